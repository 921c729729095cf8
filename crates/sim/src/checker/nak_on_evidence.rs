//! A client is never refused an address that it validly holds.

use super::{Beliefs, Checker, Disks, Seen, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

/// For so long a declined address is nobody's, even if its client gets it again from a node that has not heard of it.
const DECLINED_FOR: Time = 60_000_000;

#[derive(Debug, Default)]
pub(super) struct Check {
    disks: Disks,
    beliefs: Beliefs,
    declined: BTreeMap<Ipv4Addr, Time>,
    /// Addresses that a revision of the configuration took away or gave to others.
    configured: BTreeSet<Ipv4Addr>,
}

impl Checker for Check {
    fn name(&self) -> &'static str {
        "nak_on_evidence"
    }

    fn see(&mut self, now: Time, seen: &Seen) -> Result<(), String> {
        if let Seen::StoreLost { host } = seen {
            self.forget(*host);
        }
        self.disks.see(seen);
        let mut verdict = Ok(());
        if let Seen::GaveBack { address, declined: true, .. } = seen {
            self.declined.insert(*address, now);
        }
        if let Seen::Configured { addresses } = seen {
            self.configured.extend(addresses);
        }
        let declined = |address| self.declined.get(address).is_some_and(|at| now < at + DECLINED_FOR);
        if let Seen::Refused { host, client, address, .. } = seen
            && !declined(address)
            && !self.configured.contains(address)
            && self.beliefs.of_address(*address).any(|held| held.client == *client && held.until > now)
        {
            verdict = Err(format!("node {host} refused {address} to client {client}, whose it is"));
        }
        self.beliefs.see(now, seen);
        verdict
    }
}

impl Check {
    /// A node lost its store: what it gave alone, nobody knows any more.
    fn forget(&mut self, host: usize) {
        let disks = &self.disks;
        self.beliefs.0.retain(|_, held| {
            let known = disks.get(1 - host, held.address).is_some_and(|record| record.client == held.client);
            held.host != host || known
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::test::{ADDRESS, acked, breaks, durable, holds};
    use super::*;

    #[test]
    fn a_refused_owner_is_seen() {
        let refused = Seen::Refused { host: 1, client: 1, address: ADDRESS, until: 100 };
        breaks(Check::default(), &[(0, acked(0, 1, 100)), (50, refused.clone())]);
        holds(Check::default(), &[(0, acked(0, 1, 100)), (100, refused)]);
    }

    #[test]
    fn what_a_lost_store_alone_knew_may_be_refused_and_nothing_else() {
        let (refused, lost) =
            (Seen::Refused { host: 1, client: 1, address: ADDRESS, until: 100 }, Seen::StoreLost { host: 0 });
        holds(Check::default(), &[(0, acked(0, 1, 100)), (1, lost.clone()), (50, refused.clone())]);
        breaks(Check::default(), &[(0, durable(1, 1, 100, [1, 0])), (0, acked(0, 1, 100)), (1, lost), (50, refused)]);
    }
}
