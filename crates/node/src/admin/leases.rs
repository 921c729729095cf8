//! Leases in pages, each of which keeps the serving loop for a bounded time, however many there are.

use standfast_core::id::{NodeName, RelationshipName, ScopeName};
use standfast_core::lease::record::Lease;
use standfast_core::node::Node;
use standfast_core::time::Now;
use std::net::Ipv4Addr;

/// Leases in one page.
const PAGE: usize = 2_000;
/// Leases looked at for one page.
const LOOKED_AT: usize = 20_000;

/// Which leases.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct LeaseQuery {
    /// Only of this scope.
    pub(super) scope: Option<String>,
    /// Only of this address.
    pub(super) address: Option<Ipv4Addr>,
    /// Only with this client id or hardware address.
    pub(super) client: Option<Vec<u8>>,
    /// Only those behind this one, which ended the page before.
    pub(super) after: Option<(RelationshipName, Ipv4Addr)>,
}

/// Leases of one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct LeasePage {
    pub(super) now: Now,
    pub(super) leases: Vec<PlacedLease>,
    /// Where the next page goes on; `None` behind the last one.
    pub(super) next: Option<(RelationshipName, Ipv4Addr)>,
}

/// A lease and where it belongs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct PlacedLease {
    /// Its scope, if the configuration still has it.
    pub(super) scope: Option<ScopeName>,
    /// The node that may give the address away alone.
    pub(super) home: Option<NodeName>,
    pub(super) lease: Lease,
}

/// The next page of `query`.
pub(super) fn page(node: &Node, now: Now, query: &LeaseQuery) -> LeasePage {
    match &query.after {
        Some((name, address)) => collect(node, now, query, node.leases_behind(name, *address)),
        None => collect(node, now, query, node.leases()),
    }
}

fn collect<'a>(
    node: &Node,
    now: Now,
    query: &LeaseQuery,
    leases: impl Iterator<Item = (&'a RelationshipName, &'a Lease)>,
) -> LeasePage {
    let mut page = LeasePage { now, leases: Vec::new(), next: None };
    let mut last = None;
    for (looked_at, (name, lease)) in leases.enumerate() {
        if page.leases.len() == PAGE || looked_at == LOOKED_AT {
            page.next = last;
            break;
        }
        last = Some((name.clone(), lease.address));
        let (scope, home) = node.place(name, lease.address);
        let in_scope = query.scope.as_ref().is_none_or(|wanted| scope.is_some_and(|scope| scope.as_str() == wanted));
        if in_scope && fits(lease, query) {
            page.leases.push(PlacedLease { scope: scope.cloned(), home: home.cloned(), lease: lease.clone() });
        }
    }
    page
}

fn fits(lease: &Lease, query: &LeaseQuery) -> bool {
    let is_client = |client: &Vec<u8>| lease.client.as_bytes() == client || lease.hardware.as_bytes() == client;
    query.address.is_none_or(|address| address == lease.address) && query.client.as_ref().is_none_or(is_client)
}

#[cfg(test)]
mod tests {
    use super::*;
    use standfast_core::id::{Epoch, Sequence};
    use standfast_core::lease::record::{ClientId, HardwareAddress, LeaseState, Version};
    use standfast_core::time::Instant;

    fn lease(last: u8) -> Lease {
        let hardware = HardwareAddress::new(1, &[2, 0, 0, 0, 0, last]).unwrap();
        Lease {
            address: [10, 20, 0, last].into(),
            state: LeaseState::Bound,
            client: ClientId::of_hardware(hardware),
            hardware,
            hostname: Box::default(),
            expiry: Instant(1),
            potential_expiry: Instant(1),
            acked_expiry: Instant::NEVER,
            version: Version([1, 0]),
            epoch: Epoch::INITIAL,
            taken: false,
            sequence: Sequence(1),
        }
    }

    #[test]
    fn a_client_is_found_by_its_id_and_by_its_hardware() {
        let wanted = |client: &[u8]| LeaseQuery { client: Some(client.to_vec()), ..LeaseQuery::default() };
        assert!(fits(&lease(7), &wanted(&[1, 2, 0, 0, 0, 0, 7])));
        assert!(fits(&lease(7), &wanted(&[2, 0, 0, 0, 0, 7])));
        assert!(!fits(&lease(8), &wanted(&[2, 0, 0, 0, 0, 7])));
    }
}
