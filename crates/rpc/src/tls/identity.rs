//! What a certificate says of its holder.

use super::TlsError;
use rustls_pki_types::CertificateDer;
use standfast_core::time::Wall;
use std::fmt;
use std::path::Path;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// What the holder of a certificate may do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Role {
    /// A node of the cluster: replicates, and answers operators.
    Peer,
    /// May change what the cluster does.
    Operator,
    /// May look.
    Viewer,
}

impl Role {
    /// As it stands in certificates.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Peer => "peer",
            Self::Operator => "operator",
            Self::Viewer => "viewer",
        }
    }

    fn of(text: &str) -> Option<Self> {
        [Self::Peer, Self::Operator, Self::Viewer].into_iter().find(|role| role.as_str() == text)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The holder of a certificate. To be believed only after the certificate was verified against the authority.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// Of the node or the person.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// The cluster whose authority issued it.
    pub cluster: String,
    /// When it ends.
    pub not_after: Wall,
}

/// Reads the identity out of a certificate.
///
/// # Errors
/// If `certificate` is not one of ours: it does not parse, or lacks name, role or cluster.
pub fn identity_of(certificate: &CertificateDer<'_>) -> Result<Identity, TlsError> {
    let malformed = |why: &str| TlsError::NotOurs { why: why.to_owned() };
    let parsed = parse(certificate).ok_or_else(|| malformed("it is not a certificate"))?;
    let subject = parsed.subject();
    let name = only(subject.iter_common_name()).ok_or_else(|| malformed("it has no common name"))?;
    let role = only(subject.iter_organizational_unit())
        .and_then(Role::of)
        .ok_or_else(|| malformed("its organisational unit is none of peer, operator, viewer"))?;
    let cluster = cluster_in(subject).ok_or_else(|| malformed("its organisation names no cluster"))?;
    Ok(Identity { name: name.to_owned(), role, cluster: cluster.to_owned(), not_after: not_after(&parsed) })
}

/// The cluster that an authority signs for.
pub(super) fn cluster_of_authority(path: &Path, certificate: &CertificateDer<'_>) -> Result<String, TlsError> {
    let malformed =
        || TlsError::Malformed { path: path.to_owned(), why: "its organisation names no cluster".to_owned() };
    let parsed = parse(certificate).ok_or_else(malformed)?;
    Ok(cluster_in(parsed.subject()).ok_or_else(malformed)?.to_owned())
}

/// Whether `name` can be the name of a file, of a host and in a certificate: 1 to 63 letters, digits, `-` and `.`, the
/// first a letter or digit, and not `ca`, which is the authority.
pub(super) fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    (1..=63).contains(&name.len())
        && name.chars().all(allowed)
        && name.split('.').all(|label| !label.is_empty() && !label.starts_with('-') && !label.ends_with('-'))
        && name != "ca"
}

fn parse<'a>(certificate: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    X509Certificate::from_der(certificate).ok().filter(|(rest, _)| rest.is_empty()).map(|(_, parsed)| parsed)
}

fn cluster_in<'a>(name: &'a X509Name<'_>) -> Option<&'a str> {
    only(name.iter_organization())
}

/// The one value of an attribute; two would leave open which is meant.
fn only<'a>(mut values: impl Iterator<Item = &'a AttributeTypeAndValue<'a>>) -> Option<&'a str> {
    let value = values.next()?.as_str().ok()?;
    values.next().is_none().then_some(value)
}

fn not_after(certificate: &X509Certificate<'_>) -> Wall {
    Wall(certificate.validity().not_after.timestamp().saturating_mul(1_000))
}
