//! An answer on its way: what is kept of a request while its reply waits.

use super::credentials::{Credentials, RelayTrust};
use super::offers::Origin;
use super::query::{Delivery, Query};
use crate::time::Instant;
use std::net::{Ipv4Addr, SocketAddrV4};

/// A request, and how it came in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pending {
    /// What the client sent.
    pub query: Query,
    /// The link it came in by.
    pub link: u32,
    /// Who sent the datagram.
    pub source: SocketAddrV4,
    /// To which address.
    pub destination: Ipv4Addr,
    /// When it was received.
    pub received: Instant,
    /// How it was addressed.
    pub delivery: Delivery,
    /// Whether option 82 counts.
    pub relay: RelayTrust,
    /// Option 118 chose the scope.
    pub subnet_selected: bool,
    /// Position of the scope in the configuration.
    pub scope: usize,
    /// The answer binds at once (RFC 4039).
    pub rapid_commit: bool,
}

impl Pending {
    /// Where the client asks from, to bound what unknown clients there may hold.
    #[must_use]
    pub(crate) fn origin(&self) -> Origin {
        let circuit = self.credentials().circuit_id().map(Into::into);
        Origin { link: self.link, relay: self.query.giaddr, circuit }
    }

    /// What the client shows of itself.
    #[must_use]
    pub fn credentials(&self) -> Credentials<'_> {
        Credentials::new(&self.query, self.relay)
    }
}
