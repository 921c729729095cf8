//! Addresses that were offered and not yet taken up: in memory only, bounded, and gone after a while.

use crate::lease::record::ClientId;
use crate::time::Instant;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

/// Offers that one relationship keeps at the most; the oldest go first.
const MOST: usize = 65_536;

/// Offers to unknown clients of one link or relay, so that clients invented there do not use up those of others.
const MOST_OF_LINK: u32 = 16_384;

/// Offers to unknown clients behind one circuit of a relay, which is one port or one subscriber.
const MOST_OF_CIRCUIT: u32 = 64;

/// Where an unknown client asks from.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Origin {
    pub(crate) link: u32,
    /// Zero without a relay.
    pub(crate) relay: Ipv4Addr,
    /// As a trusted relay says.
    pub(crate) circuit: Option<Box<[u8]>>,
}

impl Origin {
    fn most(&self) -> u32 {
        if self.circuit.is_some() { MOST_OF_CIRCUIT } else { MOST_OF_LINK }
    }
}

#[derive(Debug)]
struct Offer {
    address: Ipv4Addr,
    until: Instant,
    /// Of a client that was unknown.
    origin: Option<Origin>,
    /// Nobody answered for the address when it was looked for.
    quiet: bool,
}

/// Who was offered what.
#[derive(Debug, Default)]
pub(crate) struct Offers {
    by_client: BTreeMap<ClientId, Offer>,
    by_address: BTreeMap<Ipv4Addr, ClientId>,
    by_time: BTreeSet<(Instant, Ipv4Addr)>,
    /// How many unknown clients hold an offer, by where they asked from.
    by_origin: BTreeMap<Origin, u32>,
}

impl Offers {
    /// What `client` was offered.
    pub(crate) fn of_client(&self, client: &ClientId) -> Option<Ipv4Addr> {
        self.by_client.get(client).map(|offer| offer.address)
    }

    /// Whether the address is held for a client other than this one.
    pub(crate) fn is_held_for_another(&self, address: Ipv4Addr, client: &ClientId) -> bool {
        self.by_address.get(&address).is_some_and(|holder| holder != client)
    }

    /// Whether the client was offered this address, or is about to be, and nobody answered when it was looked for.
    pub(crate) fn is_quiet(&self, client: &ClientId, address: Ipv4Addr) -> bool {
        self.by_client.get(client).is_some_and(|offer| offer.address == address && offer.quiet)
    }

    /// Nobody answered when the address that is held for the client was looked for.
    pub(crate) fn note_quiet(&mut self, client: &ClientId) {
        if let Some(offer) = self.by_client.get_mut(client) {
            offer.quiet = true;
        }
    }

    /// Whether so many unknown clients of an origin hold an offer that no further one gets any.
    pub(crate) fn is_full(&self, origin: &Origin) -> bool {
        self.by_origin.get(origin).is_some_and(|&held| held >= origin.most())
    }

    /// Holds an address for a client until then; `origin` is where it asked from, if it was unknown. Returns the
    /// addresses that this sets free: what the client was offered before, and the oldest offer if there are too many.
    pub(crate) fn hold(
        &mut self,
        client: &ClientId,
        address: Ipv4Addr,
        until: Instant,
        origin: Option<Origin>,
    ) -> Vec<Ipv4Addr> {
        let quiet = self.is_quiet(client, address);
        let mut freed: Vec<Ipv4Addr> = self.drop_client(client).into_iter().filter(|&old| old != address).collect();
        if self.by_client.len() >= MOST
            && let Some(&(_, oldest)) = self.by_time.first()
        {
            freed.extend(self.drop_address(oldest));
        }
        if let Some(origin) = &origin {
            *self.by_origin.entry(origin.clone()).or_default() += 1;
        }
        self.by_client.insert(client.clone(), Offer { address, until, origin, quiet });
        self.by_address.insert(address, client.clone());
        self.by_time.insert((until, address));
        freed
    }

    /// Who was offered what.
    pub(crate) fn all(&self) -> Vec<(ClientId, Ipv4Addr)> {
        self.by_client.iter().map(|(client, offer)| (client.clone(), offer.address)).collect()
    }

    /// The client has decided: its offer, if there was one, is over.
    pub(crate) fn drop_client(&mut self, client: &ClientId) -> Option<Ipv4Addr> {
        let Offer { address, until, origin, quiet: _ } = self.by_client.remove(client)?;
        self.by_address.remove(&address);
        self.by_time.remove(&(until, address));
        if let Some(origin) = origin
            && let Some(held) = self.by_origin.get_mut(&origin)
        {
            *held -= 1;
            if *held == 0 {
                self.by_origin.remove(&origin);
            }
        }
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
        assert!(offers.hold(&client, first, Instant(10), None).is_empty());
        assert!(offers.is_held_for_another(first, &other));
        assert!(!offers.is_held_for_another(first, &client));
        assert_eq!(offers.hold(&client, second, Instant(20), None), [first]);
        assert!(offers.drop_overdue(Instant(19)).is_empty());
        assert_eq!(offers.drop_overdue(Instant(20)), [second]);
        assert_eq!(offers.of_client(&client), None);
        assert_eq!(offers.next_overdue(), None);
    }

    #[test]
    fn unknown_clients_of_one_circuit_do_not_use_up_the_offers_of_others() {
        let mut offers = Offers::default();
        let origin =
            |circuit: u8| Origin { link: 1, relay: Ipv4Addr::new(10, 0, 0, 2), circuit: Some([circuit].into()) };
        let client = |number: u32| ClientId::new(&number.to_be_bytes());
        for number in 0..MOST_OF_CIRCUIT {
            assert!(!offers.is_full(&origin(1)));
            let until = Instant(number.into());
            assert!(offers.hold(&client(number), Ipv4Addr::from_bits(number), until, Some(origin(1))).is_empty());
        }
        assert!(offers.is_full(&origin(1)));
        assert!(!offers.is_full(&origin(2)));
        offers.hold(&client(7), Ipv4Addr::from_bits(7), Instant(1_000), Some(origin(1)));
        assert!(offers.is_full(&origin(1)), "an offer that is made again counts once");
        offers.drop_client(&client(7));
        assert!(!offers.is_full(&origin(1)));
        offers.drop_overdue(Instant(i64::MAX));
        assert!(offers.by_origin.is_empty());
    }
}
