//! What a client shows of itself, as far as it is believed.
//!
//! What a relay adds about its client (option 82) counts only if the relay may speak for the scope: anyone on a link
//! can send a packet with an option 82, and with it the address reserved for somebody else's circuit could be had.

use super::query::Query;
use crate::lease::record::HardwareAddress;
use std::net::Ipv4Addr;

/// Whether option 82 comes from a relay that may speak for the scope.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RelayTrust {
    /// It does.
    Trusted,
    /// It does not, or no relay was passed.
    Untrusted,
}

/// What a client, and a trusted relay about it, shows.
#[derive(Clone, Copy, Debug)]
pub struct Credentials<'a> {
    query: &'a Query,
    relay: RelayTrust,
}

impl<'a> Credentials<'a> {
    /// Of the sender of `query`.
    #[must_use]
    pub fn new(query: &'a Query, relay: RelayTrust) -> Self {
        Self { query, relay }
    }

    /// `htype` and `chaddr`.
    #[must_use]
    pub fn hardware(&self) -> HardwareAddress {
        self.query.hardware
    }

    /// Option 61 as sent.
    #[must_use]
    pub fn client_id(&self) -> Option<&'a [u8]> {
        self.query.client_id_option.as_deref()
    }

    /// Option 60; empty if absent.
    #[must_use]
    pub fn vendor_class(&self) -> &'a [u8] {
        &self.query.vendor_class
    }

    /// Option 77; empty if absent.
    #[must_use]
    pub fn user_class(&self) -> &'a [u8] {
        &self.query.user_class
    }

    /// Option 93; empty if absent.
    #[must_use]
    pub fn architectures(&self) -> &'a [u16] {
        &self.query.architectures
    }

    /// Sub-option 1 of a trusted relay's option 82.
    #[must_use]
    pub fn circuit_id(&self) -> Option<&'a [u8]> {
        self.trusted()?.circuit_id()
    }

    /// Sub-option 2 of a trusted relay's option 82.
    #[must_use]
    pub fn remote_id(&self) -> Option<&'a [u8]> {
        self.trusted()?.remote_id()
    }

    /// Sub-option 11 of a trusted relay's option 82 (RFC 5107), unless it is zero.
    #[must_use]
    pub fn server_id_override(&self) -> Option<Ipv4Addr> {
        self.trusted()?.server_id_override().filter(|address| !address.is_unspecified())
    }

    fn trusted(&self) -> Option<&'a Query> {
        match self.relay {
            RelayTrust::Trusted => Some(self.query),
            RelayTrust::Untrusted => None,
        }
    }
}
