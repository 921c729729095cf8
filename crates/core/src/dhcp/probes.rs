//! Addresses that are looked for before they are offered: what waits until somebody answers, or until nobody has.
//!
//! While it is being looked for, an address is held like one that is offered. Nothing of this is replicated or stored:
//! after a failover the client asks again.

use super::pending::Pending;
use crate::lease::record::ClientId;
use crate::time::Instant;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

/// How long an answer is waited for. A client waits for four seconds before it asks again (RFC 2131 section 4.1).
pub(crate) const WAIT: Duration = Duration::from_millis(500);

/// Addresses that are looked for on behalf of one DISCOVER; the client asks again when that many were found in use.
pub(crate) const TRIES: u8 = 3;

/// Addresses of one relationship that are looked for at a time.
const MOST: usize = 4_096;

/// One address, and the DISCOVER that waits for what becomes of it.
#[derive(Debug)]
pub(crate) struct Probing {
    pub(crate) address: Ipv4Addr,
    pub(crate) client: ClientId,
    /// The how manyeth address this is for the same DISCOVER, from 1.
    pub(crate) tries: u8,
    pub(crate) pending: Box<Pending>,
    until: Instant,
}

/// What came of wanting to look for an address.
#[derive(Debug)]
pub(crate) enum Started {
    /// It is to be looked for.
    New,
    /// It is being looked for already; this request takes the place of the one that waited.
    Joined {
        /// That one.
        instead_of: Box<Pending>,
    },
    /// Too many are looked for.
    Full,
}

/// Every address that is being looked for.
#[derive(Debug, Default)]
pub(crate) struct Probes {
    by_address: BTreeMap<Ipv4Addr, Probing>,
    by_time: BTreeSet<(Instant, Ipv4Addr)>,
}

impl Probes {
    /// Looks for an address on behalf of a request. A request of another client that waited for the same one is
    /// forgotten: the address is no longer held for it.
    pub(crate) fn start(
        &mut self,
        address: Ipv4Addr,
        client: &ClientId,
        tries: u8,
        pending: Pending,
        now: Instant,
    ) -> Started {
        if let Some(probing) = self.by_address.get_mut(&address) {
            if probing.client != *client {
                (probing.client, probing.tries) = (client.clone(), tries);
            }
            return Started::Joined { instead_of: std::mem::replace(&mut probing.pending, Box::new(pending)) };
        }
        if self.by_address.len() >= MOST {
            return Started::Full;
        }
        let until = now + WAIT;
        let probing = Probing { address, client: client.clone(), tries, pending: Box::new(pending), until };
        self.by_address.insert(address, probing);
        self.by_time.insert((until, address));
        Started::New
    }

    /// Somebody answered for an address, on the link if an answer has one: what waited for it, if anything did.
    pub(crate) fn answered(&mut self, link: Option<u32>, address: Ipv4Addr) -> Option<Probing> {
        let probing = self.by_address.get(&address)?;
        let (there, until) = (probing.pending.link, probing.until);
        if link.is_none_or(|link| link == there) { self.take(until, address) } else { None }
    }

    /// The next one for which nobody has answered in time.
    pub(crate) fn take_quiet(&mut self, now: Instant) -> Option<Probing> {
        let &(until, address) = self.by_time.first().filter(|(until, _)| *until <= now)?;
        self.take(until, address)
    }

    /// When the next one is through.
    pub(crate) fn next_quiet(&self) -> Option<Instant> {
        self.by_time.first().map(|&(until, _)| until)
    }

    /// Nothing is looked for any more. Returns the requests that waited.
    pub(crate) fn drop_all(&mut self) -> impl Iterator<Item = Box<Pending>> + use<> {
        std::mem::take(self).by_address.into_values().map(|probing| probing.pending)
    }

    /// How many requests wait.
    pub(crate) fn len(&self) -> usize {
        self.by_address.len()
    }

    fn take(&mut self, until: Instant, address: Ipv4Addr) -> Option<Probing> {
        self.by_time.remove(&(until, address));
        self.by_address.remove(&address)
    }
}
