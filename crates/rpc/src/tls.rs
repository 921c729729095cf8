//! Who is who: a private authority per cluster, and certificates that carry name, role and cluster.
//!
//! Peers and operators are known by certificates alone; addresses prove nothing. An authority signs for exactly one
//! cluster, whose name is the organisation (O) of its own certificate and of each that it issues. The common name (CN)
//! is the node's or the person's, the organisational unit (OU) is the [`Role`]. Only a peer's certificate may stand for
//! a server, and it names the node as its DNS name, so that a client which wants one node cannot be answered by another.
//!
//! | file | where | mode |
//! | --- | --- | --- |
//! | `ca.key` | where certificates are issued, nowhere else | 0600 |
//! | `ca.pem` | everywhere | 0644 |
//! | `NAME.key` | on that node, or with that person | 0600 |
//! | `NAME.pem` | as `NAME.key` | 0644 |
//!
//! The crate's cryptography is ring's, chosen explicitly: a process-wide default could be anybody's.

mod any_node;
mod authority;
mod error;
mod files;
mod identity;
mod reload;

#[cfg(test)]
mod tests;

pub use authority::{Authority, Issued};
pub use error::{TlsError, explain};
pub use files::TlsFiles;
pub use identity::{Identity, Role, identity_of};
pub use reload::ReloadableTls;

use rustls::crypto::{CryptoProvider, ring};
use std::sync::Arc;

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
