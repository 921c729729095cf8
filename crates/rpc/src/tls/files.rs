//! The files of one holder, read and checked, and what rustls makes of them.

use super::any_node::AnyNode;
use super::authority::paths;
use super::identity::{Identity, cluster_of_authority, identity_of};
use super::{TlsError, provider};
use rustls::client::Resumption;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use standfast_core::time::Wall;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// What a node or a person connects and is connected to with. Both sides must show a certificate of the authority.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    identity: Identity,
    certificate_path: PathBuf,
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    client_of_any_node: Arc<ClientConfig>,
}

impl TlsFiles {
    /// Reads `ca.pem`, `NAME.pem` and `NAME.key` in the folder `dir`.
    ///
    /// A certificate that has expired is read all the same, so that a node which restarts too late still serves its
    /// clients; ask [`Self::check_time`].
    ///
    /// # Errors
    /// If a file is missing or damaged, the key can be used by others, or the files do not belong together.
    pub fn load(dir: &Path, name: &str) -> Result<Self, TlsError> {
        let authority_path = dir.join("ca.pem");
        let (certificate_path, key_path) = paths(dir, name);
        let from_issuer = format!("copy it from where certificates are issued (`standfast tls issue` for `{name}`)");
        let authority = certificates(&authority_path, "copy it from where `standfast tls init` ran")?;
        let chain = certificates(&certificate_path, &from_issuer)?;
        let key = read_private(&key_path, &from_issuer)?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|error| malformed(&key_path, &error))?;

        let identity = identity_of(&chain[0])?;
        if identity.name != name {
            let (found, wanted) = (identity.name, name.to_owned());
            return Err(TlsError::OtherName { path: certificate_path, found, wanted });
        }
        let cluster = cluster_of_authority(&authority_path, &authority[0])?;
        if identity.cluster != cluster {
            let (found, wanted) = (identity.cluster, cluster);
            return Err(TlsError::OtherCluster { path: certificate_path, found, wanted });
        }
        let roots = Arc::new(roots(&authority_path, &authority)?);
        let verifier = client_verifier(&authority_path, &roots)?;
        check_issuer(&*verifier, &chain[0], identity.not_after).map_err(|()| TlsError::OtherAuthority {
            path: certificate_path.clone(),
            authority: authority_path.clone(),
        })?;
        let configs = Configs { roots, verifier, chain, key };
        let broken = |error: rustls::Error| {
            if matches!(error, rustls::Error::InconsistentKeys(_)) {
                return TlsError::OtherKey { certificate: certificate_path.clone(), key: key_path.clone() };
            }
            TlsError::Unusable { path: certificate_path.clone(), why: error.to_string() }
        };
        Ok(Self {
            identity,
            server: Arc::new(configs.server().map_err(broken)?),
            client: Arc::new(configs.client().map_err(broken)?),
            client_of_any_node: Arc::new(configs.client_of_any_node(&authority_path)?),
            certificate_path,
        })
    }

    /// Whose files these are.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// For accepting connections: the other side must show a certificate of the same authority. HTTP/2 only.
    #[must_use]
    pub fn server_config(&self) -> Arc<ServerConfig> {
        self.server.clone()
    }

    /// For connecting to one node: give its name, not its address, as the server's name.
    #[must_use]
    pub fn client_config(&self) -> Arc<ClientConfig> {
        self.client.clone()
    }

    /// For connecting to whichever node of the cluster answers at an address; the server's name is not looked at.
    #[must_use]
    pub fn client_config_of_any_node(&self) -> Arc<ClientConfig> {
        self.client_of_any_node.clone()
    }

    /// Whether these are files of the cluster `wanted`.
    ///
    /// # Errors
    /// If they are of another.
    pub fn check_cluster(&self, wanted: &str) -> Result<(), TlsError> {
        if self.identity.cluster == wanted {
            return Ok(());
        }
        let (found, wanted) = (self.identity.cluster.clone(), wanted.to_owned());
        Err(TlsError::OtherCluster { path: self.certificate_path.clone(), found, wanted })
    }

    /// Whether the certificate is still valid at `now`.
    ///
    /// # Errors
    /// If it has expired.
    pub fn check_time(&self, now: Wall) -> Result<(), TlsError> {
        if now < self.identity.not_after {
            return Ok(());
        }
        Err(TlsError::Expired {
            path: self.certificate_path.clone(),
            since: self.identity.not_after,
            name: self.identity.name.clone(),
            role: self.identity.role,
        })
    }
}

/// What the configurations are made of.
struct Configs {
    roots: Arc<RootCertStore>,
    verifier: Arc<dyn ClientCertVerifier>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Configs {
    /// Without session tickets: a resumed session is not verified again, so it would outlive its certificate.
    fn server(&self) -> Result<ServerConfig, rustls::Error> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(self.verifier.clone())
            .with_single_cert(self.chain.clone(), self.key.clone_key())?;
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }

    fn client(&self) -> Result<ClientConfig, rustls::Error> {
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])?
            .with_root_certificates(self.roots.clone())
            .with_client_auth_cert(self.chain.clone(), self.key.clone_key())?;
        config.resumption = Resumption::disabled();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }

    fn client_of_any_node(&self, authority: &Path) -> Result<ClientConfig, TlsError> {
        let failed = |error: &dyn std::fmt::Display| malformed(authority, error);
        let verifier = AnyNode::of(self.roots.clone()).map_err(|error| failed(&error))?;
        let mut config = self.client().map_err(|error| failed(&error))?;
        config.dangerous().set_certificate_verifier(Arc::new(verifier));
        Ok(config)
    }
}

/// Whether a private file may take the place of another.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum PrivateFile {
    MustBeNew,
    MayReplace,
}

/// Reads a file that all may read.
pub(super) fn read(path: &Path, hint: &str) -> Result<String, TlsError> {
    std::fs::read_to_string(path).map_err(|error| {
        if error.kind() == io::ErrorKind::NotFound {
            return TlsError::Missing { path: path.to_owned(), hint: hint.to_owned() };
        }
        TlsError::Io { path: path.to_owned(), done: "read", error }
    })
}

/// Reads a file that only its owner may read.
pub(super) fn read_private(path: &Path, hint: &str) -> Result<String, TlsError> {
    if let Ok(metadata) = std::fs::metadata(path) {
        let mode = metadata.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(TlsError::Exposed { path: path.to_owned(), mode });
        }
    }
    read(path, hint)
}

pub(super) fn write(path: &Path, text: &str) -> Result<(), TlsError> {
    replace(path, text, 0o644)
}

pub(super) fn write_private(path: &Path, text: &str, whether: PrivateFile) -> Result<(), TlsError> {
    if whether == PrivateFile::MustBeNew && path.exists() {
        return Err(TlsError::Exists { path: path.to_owned() });
    }
    replace(path, text, 0o600)
}

/// Writes beside and renames, so that a crash leaves the old file or the new one, and a reader sees either.
fn replace(path: &Path, text: &str, mode: u32) -> Result<(), TlsError> {
    let failed = |error| TlsError::Io { path: path.to_owned(), done: "written", error };
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let beside = PathBuf::from(name);
    match std::fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    std::fs::rename(&beside, path).map_err(failed)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

/// The certificates of a PEM file, of which there is at least one.
fn certificates(path: &Path, hint: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = read(path, hint)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match all {
        Ok(all) if all.is_empty() => Err(malformed(path, &"it holds no certificate")),
        Ok(all) => Ok(all),
        Err(error) => Err(malformed(path, &error)),
    }
}

fn roots(path: &Path, authority: &[CertificateDer<'static>]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in authority {
        roots.add(certificate.clone()).map_err(|error| malformed(path, &error))?;
    }
    Ok(roots)
}

fn client_verifier(path: &Path, roots: &Arc<RootCertStore>) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    WebPkiClientVerifier::builder_with_provider(roots.clone(), provider())
        .build()
        .map_err(|error| malformed(path, &error))
}

/// Whether the authority signed `certificate`, looked at just before the certificate ends: its time is not the question.
fn check_issuer(
    verifier: &dyn ClientCertVerifier,
    certificate: &CertificateDer<'_>,
    not_after: Wall,
) -> Result<(), ()> {
    let seconds = u64::try_from(not_after.0 / 1_000).unwrap_or(0).saturating_sub(1);
    let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    verifier.verify_client_cert(certificate, &[], time).map(|_| ()).map_err(|_| ())
}

fn malformed(path: &Path, error: &dyn std::fmt::Display) -> TlsError {
    TlsError::Malformed { path: path.to_owned(), why: error.to_string() }
}
