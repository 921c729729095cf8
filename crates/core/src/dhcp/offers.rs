//! Addresses that were offered and not yet taken up: in memory only, bounded, and gone after a while.

use crate::lease::record::ClientId;
use crate::time::Instant;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

/// Offers that one relationship keeps at the most; the oldest go first.
const MOST: usize = 65_536;

/// Who was offered what.
#[derive(Debug, Default)]
pub(crate) struct Offers {
    by_client: BTreeMap<ClientId, (Ipv4Addr, Instant)>,
    by_address: BTreeMap<Ipv4Addr, ClientId>,
    by_time: BTreeSet<(Instant, Ipv4Addr)>,
}

impl Offers {
    /// What `client` was offered.
    pub(crate) fn of_client(&self, client: &ClientId) -> Option<Ipv4Addr> {
        self.by_client.get(client).map(|&(address, _)| address)
    }

    /// Whether the address is held for a client other than this one.
    pub(crate) fn is_held_for_another(&self, address: Ipv4Addr, client: &ClientId) -> bool {
        self.by_address.get(&address).is_some_and(|holder| holder != client)
    }

    /// Holds an address for a client until then. Returns the addresses that this sets free: what the client was
    /// offered before, and the oldest offer if there are too many.
    pub(crate) fn hold(&mut self, client: &ClientId, address: Ipv4Addr, until: Instant) -> Vec<Ipv4Addr> {
        let mut freed: Vec<Ipv4Addr> = self.drop_client(client).into_iter().filter(|&old| old != address).collect();
        if self.by_client.len() >= MOST
            && let Some(&(_, oldest)) = self.by_time.first()
        {
            freed.extend(self.drop_address(oldest));
        }
        self.by_client.insert(client.clone(), (address, until));
        self.by_address.insert(address, client.clone());
        self.by_time.insert((until, address));
        freed
    }

    /// The client has decided: its offer, if there was one, is over.
    pub(crate) fn drop_client(&mut self, client: &ClientId) -> Option<Ipv4Addr> {
        let (address, until) = self.by_client.remove(client)?;
        self.by_address.remove(&address);
        self.by_time.remove(&(until, address));
        Some(address)
    }

    /// Offers that nobody took up in time.
    pub(crate) fn drop_overdue(&mut self, now: Instant) -> Vec<Ipv4Addr> {
        let mut overdue = Vec::new();
        while let Some(&(until, address)) = self.by_time.first()
            && until <= now
        {
            overdue.extend(self.drop_address(address));
        }
        overdue
    }

    /// Every offer is over.
    pub(crate) fn drop_all(&mut self) -> Vec<Ipv4Addr> {
        let addresses = self.by_address.keys().copied().collect();
        *self = Self::default();
        addresses
    }

    /// When the next offer is over.
    pub(crate) fn next_overdue(&self) -> Option<Instant> {
        self.by_time.first().map(|&(until, _)| until)
    }

    fn drop_address(&mut self, address: Ipv4Addr) -> Option<Ipv4Addr> {
        let client = self.by_address.get(&address).cloned()?;
        self.drop_client(&client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_holds_one_address_and_loses_it_in_time() {
        let mut offers = Offers::default();
        let (client, other) = (ClientId::new(b"a"), ClientId::new(b"b"));
        let (first, second) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
        assert!(offers.hold(&client, first, Instant(10)).is_empty());
        assert!(offers.is_held_for_another(first, &other));
        assert!(!offers.is_held_for_another(first, &client));
        assert_eq!(offers.hold(&client, second, Instant(20)), [first]);
        assert!(offers.drop_overdue(Instant(19)).is_empty());
        assert_eq!(offers.drop_overdue(Instant(20)), [second]);
        assert_eq!(offers.of_client(&client), None);
        assert_eq!(offers.next_overdue(), None);
    }
}
