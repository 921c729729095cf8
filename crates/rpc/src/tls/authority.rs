//! The cluster's own authority: makes itself and issues certificates.

use super::TlsError;
use super::files::{PrivateFile, read, read_private, write, write_private};
use super::identity::{Role, cluster_of_authority, identity_of, is_name};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use standfast_core::time::Wall;
use std::fs::{DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use time::OffsetDateTime;

const DAY: Duration = Duration::from_secs(24 * 3_600);
/// An authority outlives the machines: replacing it means a visit to each of them.
const AUTHORITY_LASTS: Duration = DAY.saturating_mul(20 * 365);
/// Two years: long enough that renewal is planned work, short enough that it is still known how.
const CERTIFICATE_LASTS: Duration = DAY.saturating_mul(2 * 365);

/// Signs certificates for one cluster.
pub struct Authority {
    dir: PathBuf,
    cluster: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, as files.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Issued {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// When it ends.
    pub not_after: Wall,
}

impl Authority {
    /// Makes the authority of `cluster` in the folder `dir`, which is made if need be: `ca.pem` and `ca.key`. It is
    /// valid for 20 years from `now`.
    ///
    /// # Errors
    /// If the folder has an authority, or cannot be written.
    pub fn create(dir: &Path, cluster: &str, now: Wall) -> Result<Self, TlsError> {
        make_folder(dir)?;
        let (certificate_path, key_path) = (dir.join("ca.pem"), dir.join("ca.key"));
        for path in [&certificate_path, &key_path] {
            if path.exists() {
                return Err(TlsError::Exists { path: path.clone() });
            }
        }
        let mut params = CertificateParams::default();
        set_validity(&mut params, now, AUTHORITY_LASTS);
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, cluster);
        params.distinguished_name.push(DnType::CommonName, "standfast authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = new_key(&key_path)?;
        let certificate = params.self_signed(&key).map_err(|error| unusable(&key_path, &error))?;
        write_private(&key_path, &key.serialize_pem(), PrivateFile::MustBeNew)?;
        write(&certificate_path, &certificate.pem())?;
        Ok(Self { dir: dir.to_owned(), cluster: cluster.to_owned(), issuer: Issuer::new(params, key) })
    }

    /// Reads the authority in the folder `dir`.
    ///
    /// # Errors
    /// If a file is missing, damaged, or the key can be used by others.
    pub fn open(dir: &Path) -> Result<Self, TlsError> {
        let (certificate_path, key_path) = (dir.join("ca.pem"), dir.join("ca.key"));
        let pem = read(&certificate_path, "make an authority with `standfast tls init`")?;
        let key = read_private(&key_path, "certificates are issued where `standfast tls init` ran")?;
        let key = KeyPair::from_pem(&key).map_err(|error| malformed(&key_path, &error))?;
        let der =
            CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|error| malformed(&certificate_path, &error))?;
        let cluster = cluster_of_authority(&certificate_path, &der)?;
        let issuer = Issuer::from_ca_cert_der(&der, key).map_err(|error| malformed(&certificate_path, &error))?;
        Ok(Self { dir: dir.to_owned(), cluster, issuer })
    }

    /// The cluster it signs for.
    #[must_use]
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// Issues a certificate with a new key, beside the authority. One of the same name and role is replaced: that is
    /// how a certificate is renewed. It is valid for two years from `now`.
    ///
    /// # Errors
    /// If `name` cannot stand in a certificate or has another role, or the folder cannot be written.
    pub fn issue(&self, name: &str, role: Role, now: Wall) -> Result<Issued, TlsError> {
        if !is_name(name) {
            return Err(TlsError::BadName { name: name.to_owned() });
        }
        let (certificate_path, key_path) = paths(&self.dir, name);
        if let Ok(pem) = std::fs::read(&certificate_path)
            && let Ok(Ok(holder)) = CertificateDer::from_pem_slice(&pem).map(|der| identity_of(&der))
            && holder.role != role
        {
            return Err(TlsError::OtherRole { path: certificate_path, name: name.to_owned(), found: holder.role });
        }
        let params = self.params(name, role, now)?;
        let key = new_key(&key_path)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(|error| unusable(&certificate_path, &error))?;
        write_private(&key_path, &key.serialize_pem(), PrivateFile::MayReplace)?;
        write(&certificate_path, &certificate.pem())?;
        let not_after = Wall(params.not_after.unix_timestamp() * 1_000);
        Ok(Issued { certificate: certificate_path, key: key_path, not_after })
    }

    fn params(&self, name: &str, role: Role, now: Wall) -> Result<CertificateParams, TlsError> {
        let mut params = CertificateParams::default();
        set_validity(&mut params, now, CERTIFICATE_LASTS);
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, self.cluster.as_str());
        params.distinguished_name.push(DnType::OrganizationalUnitName, role.as_str());
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if role == Role::Peer {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
            let dns_name = name.try_into().map_err(|_| TlsError::BadName { name: name.to_owned() })?;
            params.subject_alt_names = vec![SanType::DnsName(dns_name)];
        }
        Ok(params)
    }
}

/// Certificate and key of `name`.
pub(super) fn paths(dir: &Path, name: &str) -> (PathBuf, PathBuf) {
    (dir.join(format!("{name}.pem")), dir.join(format!("{name}.key")))
}

/// Valid from 1970 on: a machine without a battery for its clock starts there, and must reach its partner all the same.
fn set_validity(params: &mut CertificateParams, now: Wall, lasts: Duration) {
    let now = OffsetDateTime::from_unix_timestamp(now.0.div_euclid(1_000)).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    params.not_before = OffsetDateTime::UNIX_EPOCH;
    params.not_after = now + lasts;
}

fn make_folder(dir: &Path) -> Result<(), TlsError> {
    if dir.is_dir() {
        return Ok(());
    }
    let failed = |error| TlsError::Io { path: dir.to_owned(), done: "written", error };
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
    std::fs::set_permissions(dir, Permissions::from_mode(0o700)).map_err(failed)
}

fn new_key(path: &Path) -> Result<KeyPair, TlsError> {
    KeyPair::generate().map_err(|error| unusable(path, &error))
}

fn malformed(path: &Path, error: &dyn std::fmt::Display) -> TlsError {
    TlsError::Malformed { path: path.to_owned(), why: error.to_string() }
}

fn unusable(path: &Path, error: &dyn std::fmt::Display) -> TlsError {
    TlsError::Unusable { path: path.to_owned(), why: error.to_string() }
}
