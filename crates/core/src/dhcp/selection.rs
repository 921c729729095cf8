//! Which scopes a query may be served from.
//!
//! A client does not say on which link it is; what stands between it and us does. The first of these that is there
//! decides (RFC 3527, RFC 3011, RFC 2131 section 4.3.1):
//!
//! | sign | given by | condition |
//! | --- | --- | --- |
//! | link selection (82/5) | relay | `giaddr` may speak for the scope |
//! | subnet selection (118) | client | the scope allows it |
//! | `giaddr` | relay | it may speak for the scope |
//! | `ciaddr` | client | not relayed, and the packet came from that address |
//! | addresses of the receiving link | | |
//!
//! A sign that leads nowhere is not passed over for a weaker one: the client is on a link that is not ours, and silence
//! is the answer. The exceptions are option 118, which counts only where it is allowed, and a broadcast with a foreign
//! `ciaddr`, which was heard on our link.

use super::credentials::RelayTrust;
use super::query::{Delivery, Query};
use crate::configuration::{Configuration, Scope};
use crate::input::Link;
use crate::labelled::labelled;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// Finds scopes by address; made once for each revision of the configuration.
#[derive(Clone, Debug)]
pub struct Selector {
    /// First and last address of each scope and its position, by first address: scopes do not overlap.
    subnets: Vec<(Ipv4Addr, Ipv4Addr, usize)>,
    /// Of each scope: itself, then the others of its shared network in order of configuration.
    links: Vec<Vec<usize>>,
    /// Relays named by a scope, with the positions of the scopes that name them.
    relays: BTreeMap<Ipv4Addr, Vec<usize>>,
}

/// The scopes of the link that a client is on. Positions are those in [`Configuration::scopes`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Selection<'a> {
    /// The selected scope first, then those that share its network; never empty.
    pub scopes: &'a [usize],
    /// Which sign decided.
    pub sign: Sign,
    /// Whether option 82 is believed.
    pub relay: RelayTrust,
}

/// What told the link of a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sign {
    /// Sub-option 5 of option 82.
    LinkSelection,
    /// Option 118, to be echoed.
    SubnetSelection,
    /// `giaddr`.
    Relay,
    /// `ciaddr`.
    ClientAddress,
    /// The link on which the packet came in.
    Link,
}

labelled! {
    /// Why no scope was found.
    Unselected {
        /// No scope is configured for the client's link.
        UnknownScope = "unknown_scope",
        /// The relay may not speak for the scope.
        RelayRefused = "relay_refused",
        /// `giaddr` is our own address: the answer would come back to us.
        OwnRelayAddress = "own_relay_address",
    }
}

impl Selector {
    /// For the scopes of `configuration`.
    #[must_use]
    pub fn new(configuration: &Configuration) -> Self {
        let scopes = &configuration.scopes;
        let mut subnets: Vec<_> = scopes
            .iter()
            .enumerate()
            .map(|(position, scope)| (scope.subnet.network, scope.subnet.broadcast(), position))
            .collect();
        subnets.sort_unstable();

        let mut relays = BTreeMap::<_, Vec<_>>::new();
        for (position, scope) in scopes.iter().enumerate() {
            scope.relays.iter().for_each(|relay| relays.entry(*relay).or_default().push(position));
        }
        let mut networks = BTreeMap::<_, Vec<_>>::new();
        for (position, scope) in scopes.iter().enumerate() {
            scope.shared_network.iter().for_each(|network| networks.entry(network).or_default().push(position));
        }
        let link = |(position, scope): (usize, &Scope)| {
            let sharing = scope.shared_network.as_ref().and_then(|network| networks.get(network));
            let others = sharing.into_iter().flatten().copied().filter(|other| *other != position);
            std::iter::once(position).chain(others).collect()
        };
        Self { subnets, links: scopes.iter().enumerate().map(link).collect(), relays }
    }

    /// The scope that `address` lies in, wherever its link is.
    #[must_use]
    pub fn scope_of(&self, address: Ipv4Addr) -> Option<usize> {
        let after = self.subnets.partition_point(|(first, ..)| *first <= address);
        let (_, last, position) = *self.subnets.get(after.checked_sub(1)?)?;
        (address <= last).then_some(position)
    }

    /// A scope and those that share its network, itself first.
    #[must_use]
    pub fn link_of(&self, scope: usize) -> &[usize] {
        &self.links[scope]
    }

    /// The scopes that `query` may be served from. `source` is the IP address that it came from.
    ///
    /// # Errors
    /// Why the query must not be answered.
    pub fn select(
        &self,
        configuration: &Configuration,
        query: &Query,
        source: Ipv4Addr,
        delivery: Delivery,
        link: &Link,
    ) -> Result<Selection<'_>, Unselected> {
        let own = |(address, _): &(Ipv4Addr, u8)| *address == query.giaddr;
        // A loopback address means this machine, which no packet from a link comes from.
        let stray = query.giaddr.is_loopback() && !link.addresses.iter().any(|(address, _)| address.is_loopback());
        if stray || link.addresses.iter().any(own) {
            return Err(Unselected::OwnRelayAddress);
        }
        let scopes = &configuration.scopes;
        let by_link_selection = query.link_selection().filter(|_| query.relayed());
        if let Some(address) = by_link_selection {
            let scope = self.scope_of(address).ok_or(Unselected::UnknownScope)?;
            return self.through_relay(scopes, scope, query, Sign::LinkSelection);
        }
        if let Some(scope) = query.subnet_selection.and_then(|address| self.scope_of(address))
            && scopes[scope].subnet_selection
        {
            return if query.relayed() {
                self.through_relay(scopes, scope, query, Sign::SubnetSelection)
            } else {
                Ok(self.selection(scope, Sign::SubnetSelection, RelayTrust::Untrusted))
            };
        }
        if query.relayed() {
            let scope = self.scope_of_relay(scopes, query.giaddr).ok_or(Unselected::UnknownScope)?;
            return self.through_relay(scopes, scope, query, Sign::Relay);
        }
        self.direct(query, source, delivery, link)
    }

    fn direct(
        &self,
        query: &Query,
        source: Ipv4Addr,
        delivery: Delivery,
        link: &Link,
    ) -> Result<Selection<'_>, Unselected> {
        if !query.ciaddr.is_unspecified() && query.ciaddr == source {
            match (self.scope_of(query.ciaddr), delivery) {
                (Some(scope), _) => return Ok(self.selection(scope, Sign::ClientAddress, RelayTrust::Untrusted)),
                (None, Delivery::Unicast) => return Err(Unselected::UnknownScope),
                (None, Delivery::Broadcast) => {}
            }
        }
        // A plain listener has no link of its own: its address is one of 32 bits.
        let on_link = link.addresses.iter().filter(|(_, prefix)| *prefix < 32);
        let scope = on_link.filter_map(|(address, _)| self.scope_of(*address)).next();
        let scope = scope.ok_or(Unselected::UnknownScope)?;
        Ok(self.selection(scope, Sign::Link, RelayTrust::Untrusted))
    }

    /// The scope of a relay that says nothing but its address: the one it lies in, else the first that names it.
    fn scope_of_relay(&self, scopes: &[Scope], giaddr: Ipv4Addr) -> Option<usize> {
        let named = self.relays.get(&giaddr).and_then(|scopes| scopes.first()).copied();
        let around = self.scope_of(giaddr);
        match around {
            Some(scope) if named.is_none() || scopes[scope].relays.contains(&giaddr) => around,
            Some(_) | None => named,
        }
    }

    fn through_relay(
        &self,
        scopes: &[Scope],
        scope: usize,
        query: &Query,
        sign: Sign,
    ) -> Result<Selection<'_>, Unselected> {
        let named = &scopes[scope].relays;
        let allowed =
            if named.is_empty() { self.scope_of(query.giaddr).is_some() } else { named.contains(&query.giaddr) };
        if allowed { Ok(self.selection(scope, sign, RelayTrust::Trusted)) } else { Err(Unselected::RelayRefused) }
    }

    fn selection(&self, scope: usize, sign: Sign, relay: RelayTrust) -> Selection<'_> {
        Selection { scopes: self.link_of(scope), sign, relay }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dhcp::fixture::{configuration, link, scope};
    use crate::dhcp::packet::Packet;

    const RELAY: [u8; 4] = [10, 30, 0, 1];
    const CLIENT: [u8; 4] = [10, 20, 0, 50];

    /// What is selected for a packet that was sent from `source` on the link of 10.20.0.1/24.
    fn select(
        scopes: &[Scope],
        packet: Packet,
        source: [u8; 4],
        delivery: Delivery,
    ) -> Result<(Vec<usize>, Sign), Unselected> {
        let configuration = configuration(scopes.to_vec());
        let link = link(&[([10, 20, 0, 1], 24)]);
        let query = packet.query();
        let selector = Selector::new(&configuration);
        let selection = selector.select(&configuration, &query, source.into(), delivery, &link)?;
        assert_eq!(selection.relay == RelayTrust::Trusted, query.relayed());
        Ok((selection.scopes.to_vec(), selection.sign))
    }

    fn broadcast(scopes: &[Scope], packet: Packet) -> Result<(Vec<usize>, Sign), Unselected> {
        select(scopes, packet, [0; 4], Delivery::Broadcast)
    }

    fn relayed(scopes: &[Scope], packet: Packet) -> Result<(Vec<usize>, Sign), Unselected> {
        select(scopes, packet.giaddr(RELAY), RELAY, Delivery::Unicast)
    }

    #[test]
    fn the_strongest_sign_decides() {
        let selecting = Scope { subnet_selection: true, ..scope(40) };
        let scopes = [scope(20), scope(30), selecting, scope(50)];
        let discover = || Packet::of_type(1);
        let to_40 = |packet: Packet| packet.option(118, &[10, 40, 0, 0]);
        let to_50 = |packet: Packet| packet.option(82, &[5, 4, 10, 50, 0, 0]);
        assert_eq!(relayed(&scopes, to_50(to_40(discover()))), Ok((vec![3], Sign::LinkSelection)));
        assert_eq!(relayed(&scopes, to_40(discover())), Ok((vec![2], Sign::SubnetSelection)));
        assert_eq!(relayed(&scopes, discover().ciaddr(CLIENT)), Ok((vec![1], Sign::Relay)));
        assert_eq!(broadcast(&scopes, to_40(discover())), Ok((vec![2], Sign::SubnetSelection)));
        assert_eq!(broadcast(&scopes, to_50(discover())), Ok((vec![0], Sign::Link)));
        assert_eq!(broadcast(&scopes, discover()), Ok((vec![0], Sign::Link)));
    }

    #[test]
    fn an_unrelayed_client_is_where_its_address_is() {
        let scopes = [scope(20), scope(30)];
        let at = |address: [u8; 4]| Packet::of_type(3).ciaddr(address);
        let unicast = |packet, source| select(&scopes, packet, source, Delivery::Unicast);
        let (near, far, foreign) = ([10, 20, 0, 9], [10, 30, 0, 9], [192, 168, 0, 9]);
        assert_eq!(unicast(at(near), near), Ok((vec![0], Sign::ClientAddress)));
        assert_eq!(unicast(at(far), far), Ok((vec![1], Sign::ClientAddress)));
        assert_eq!(unicast(at(foreign), foreign), Err(Unselected::UnknownScope));
        assert_eq!(unicast(at(far), near), Ok((vec![0], Sign::Link)));
        let heard_here = select(&scopes, at(foreign), foreign, Delivery::Broadcast);
        assert_eq!(heard_here, Ok((vec![0], Sign::Link)));
    }

    #[test]
    fn rfc3011_option_118_counts_only_where_it_is_allowed() {
        let packet = || Packet::of_type(1).option(118, &[10, 30, 0, 0]);
        assert_eq!(broadcast(&[scope(20), scope(30)], packet()), Ok((vec![0], Sign::Link)));
        assert_eq!(broadcast(&[scope(20)], packet()), Ok((vec![0], Sign::Link)));
    }

    #[test]
    fn a_relay_speaks_for_the_scopes_that_allow_it() {
        let to_20 = || Packet::of_type(1).option(82, &[5, 4, 10, 20, 0, 0]);
        let naming = |relay: [u8; 4]| Scope { relays: vec![relay.into()], ..scope(20) };
        assert_eq!(relayed(&[scope(20), scope(30)], to_20()), Ok((vec![0], Sign::LinkSelection)));
        assert_eq!(relayed(&[scope(20)], to_20()), Err(Unselected::RelayRefused));
        assert_eq!(relayed(&[naming(RELAY)], to_20()), Ok((vec![0], Sign::LinkSelection)));
        assert_eq!(relayed(&[naming([10, 30, 0, 7]), scope(30)], to_20()), Err(Unselected::RelayRefused));
        assert_eq!(relayed(&[naming(RELAY)], Packet::of_type(1)), Ok((vec![0], Sign::Relay)));
        assert_eq!(relayed(&[scope(20)], Packet::of_type(1)), Err(Unselected::UnknownScope));
        let elsewhere = Scope { relays: vec![[10, 30, 0, 7].into()], ..scope(30) };
        assert_eq!(relayed(&[elsewhere], Packet::of_type(1)), Err(Unselected::RelayRefused));
    }

    #[test]
    fn our_own_address_is_no_relay() {
        let packet = Packet::of_type(1).giaddr([10, 20, 0, 1]);
        assert_eq!(broadcast(&[scope(20)], packet), Err(Unselected::OwnRelayAddress));
    }

    #[test]
    fn scopes_of_a_shared_network_come_together() {
        let shared = |second| Scope { shared_network: Some("floor-2".into()), ..scope(second) };
        let scopes = [shared(40), scope(30), shared(20), shared(10)];
        assert_eq!(broadcast(&scopes, Packet::of_type(1)), Ok((vec![2, 0, 3], Sign::Link)));
        assert_eq!(relayed(&scopes, Packet::of_type(1)), Ok((vec![1], Sign::Relay)));
    }

    #[test]
    fn a_plain_listener_serves_relays_only() {
        let configuration = configuration(vec![scope(20)]);
        let listener = link(&[([10, 20, 0, 1], 32)]);
        let selector = Selector::new(&configuration);
        let query = Packet::of_type(1).query();
        let selected = selector.select(&configuration, &query, Ipv4Addr::UNSPECIFIED, Delivery::Unicast, &listener);
        assert_eq!(selected, Err(Unselected::UnknownScope));
    }

    #[test]
    fn addresses_lie_in_at_most_one_scope() {
        let selector = Selector::new(&configuration(vec![scope(30), scope(20)]));
        assert_eq!(selector.scope_of(Ipv4Addr::new(10, 19, 255, 255)), None);
        assert_eq!(selector.scope_of(Ipv4Addr::new(10, 20, 0, 0)), Some(1));
        assert_eq!(selector.scope_of(Ipv4Addr::new(10, 20, 0, 255)), Some(1));
        assert_eq!(selector.scope_of(Ipv4Addr::new(10, 20, 1, 0)), None);
        assert_eq!(selector.scope_of(Ipv4Addr::new(10, 30, 0, 1)), Some(0));
    }
}
