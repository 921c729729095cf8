//! What can be wrong with certificates and keys: what, where, and what to do about it.

use super::Role;
use rustls::{AlertDescription, CertificateError};
use standfast_core::time::Wall;
use std::io;
use std::path::PathBuf;

/// Why certificates or keys cannot be made or used. Each message ends with what to do.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is not there.
    #[error("{path} is missing: {hint}")]
    Missing {
        /// Which.
        path: PathBuf,
        /// How to get it.
        hint: String,
    },
    /// A file or folder cannot be read or written.
    #[error("{path} cannot be {done}: {error}")]
    Io {
        /// Which.
        path: PathBuf,
        /// "read" or "written".
        done: &'static str,
        /// Why.
        error: io::Error,
    },
    /// Others than the owner can get at a key.
    #[error("{path} can be used by others (mode {mode:04o}): run `chmod 0600 {path}`")]
    Exposed {
        /// The key.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A file holds something else than it should.
    #[error("{path} is damaged: {why}; copy it again or issue a new one")]
    Malformed {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A certificate that no authority of this program made.
    #[error("this is not a certificate of a cluster: {why}; issue one with `standfast tls issue`")]
    NotOurs {
        /// What it lacks.
        why: String,
    },
    /// A certificate is somebody else's.
    #[error("{path} is the certificate of `{found}`, not of `{wanted}`: copy that of `{wanted}` here, or issue it")]
    OtherName {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Whose it should be.
        wanted: String,
    },
    /// A certificate and a key do not belong together.
    #[error("{key} does not belong to {certificate}: copy both of them again from where they were issued")]
    OtherKey {
        /// The certificate.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
    },
    /// A certificate was issued by another authority than the one beside it.
    #[error("{path} was not issued by the authority in {authority}: copy both of them from where they were issued")]
    OtherAuthority {
        /// The certificate.
        path: PathBuf,
        /// The authority's certificate.
        authority: PathBuf,
    },
    /// A certificate is of another cluster.
    #[error("{path} is of the cluster `{found}`, and this is the cluster `{wanted}`: use the files of `{wanted}`")]
    OtherCluster {
        /// The certificate.
        path: PathBuf,
        /// Its cluster.
        found: String,
        /// The cluster it should be of.
        wanted: String,
    },
    /// A certificate has ended.
    #[error("{path} expired on {day}: issue a new one with `standfast tls issue {option} {name}`", day = day(*since),
        option = option(*role))]
    Expired {
        /// The certificate.
        path: PathBuf,
        /// When it ended.
        since: Wall,
        /// Whose it is.
        name: String,
        /// What they may do.
        role: Role,
    },
    /// There is an authority already.
    #[error("{path} exists: this folder has an authority, and a second one would make all its certificates worthless")]
    Exists {
        /// Its certificate or key.
        path: PathBuf,
    },
    /// A certificate would take the place of one with another role.
    #[error("{path} is the certificate of the {found} `{name}`: a name has one role; choose another name")]
    OtherRole {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        name: String,
        /// With which role.
        found: Role,
    },
    /// A name that cannot stand in a certificate.
    #[error("`{}` cannot be a name: use 1 to 63 letters, digits, `-` and `.`, the first a letter or digit, and not `ca`",
        name.escape_default())]
    BadName {
        /// The name.
        name: String,
    },
    /// The library refuses what the files hold.
    #[error("{path} cannot be used: {why}")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// The library's words.
        why: String,
    },
}

/// Why a handshake failed, for whoever must put it right; `None` if it failed for another reason than certificates.
#[expect(clippy::wildcard_enum_match_arm, reason = "a foreign enum, of which a few variants have a remedy")]
#[must_use]
pub fn explain(error: &rustls::Error) -> Option<&'static str> {
    match error {
        rustls::Error::InvalidCertificate(error) => explain_certificate(error),
        rustls::Error::NoCertificatesPresented => {
            Some("the other side showed no certificate: give it one with `standfast tls issue`")
        }
        rustls::Error::AlertReceived(alert) => explain_alert(*alert),
        rustls::Error::InvalidMessage(_) => Some("the other side does not speak TLS"),
        _ => None,
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "a foreign enum, of which a few variants have a remedy")]
fn explain_certificate(error: &CertificateError) -> Option<&'static str> {
    Some(match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the other side's certificate expired: issue a new one there with `standfast tls issue` (or a clock is wrong)"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the other side's certificate is not valid yet: a clock is wrong"
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "the other side's certificate was issued by another authority: it belongs to another cluster, or its files \
             are older than `standfast tls init`; issue it again"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "another node answered than the one that was called: the cluster file gives a node the `rpc` address of \
             another, or the other side has the wrong certificate"
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "the other side showed a person's certificate where a node's is needed: issue it with `--node`"
        }
        _ => return None,
    })
}

#[expect(clippy::wildcard_enum_match_arm, reason = "a foreign enum, of which a few variants have a remedy")]
fn explain_alert(alert: AlertDescription) -> Option<&'static str> {
    Some(match alert {
        AlertDescription::CertificateRequired => {
            "the other side asks for a certificate: issue one with `standfast tls issue`"
        }
        AlertDescription::CertificateExpired => {
            "the other side says that our certificate expired: issue a new one (or a clock is wrong)"
        }
        AlertDescription::UnknownCA | AlertDescription::DecryptError => {
            "the other side does not know the authority of our certificate: one of us belongs to another cluster"
        }
        AlertDescription::BadCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnsupportedCertificate => {
            "the other side does not accept our certificate: its log says why"
        }
        _ => return None,
    })
}

fn option(role: Role) -> &'static str {
    match role {
        Role::Peer => "--node",
        Role::Operator => "--operator",
        Role::Viewer => "--viewer",
    }
}

fn day(wall: Wall) -> String {
    let date = time::OffsetDateTime::from_unix_timestamp(wall.0.div_euclid(1_000)).map(time::OffsetDateTime::date);
    date.map_or_else(|_| format!("second {}", wall.0 / 1_000), |date| date.to_string())
}
