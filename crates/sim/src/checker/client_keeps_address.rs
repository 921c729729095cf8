//! A client that comes back while its lease has not ended gets its address again, if both nodes knew the lease.

use super::{Beliefs, Checker, Disks, Record, STRANGERS, Seen, Time};
use standfast_core::lease::record::LeaseState;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

#[derive(Debug, Default)]
pub(super) struct Check {
    disks: Disks,
    beliefs: Beliefs,
    /// After a lost store nodes may hold back what they would otherwise give.
    lost: bool,
    /// Addresses that a revision of the configuration took away or gave to others.
    configured: BTreeSet<Ipv4Addr>,
}

impl Checker for Check {
    fn name(&self) -> &'static str {
        "client_keeps_address"
    }

    fn see(&mut self, now: Time, seen: &Seen) -> Result<(), String> {
        self.disks.see(seen);
        self.lost |= matches!(seen, Seen::StoreLost { .. });
        if let Seen::Configured { addresses } = seen {
            self.configured.extend(addresses);
        }
        let mut verdict = Ok(());
        if let Seen::Acked(acked) = seen {
            let same_scope = |address: Ipv4Addr| address.octets()[..3] == acked.address.octets()[..3];
            let other = self.beliefs.iter().find(|held| {
                // One that it declined at a node is not given to it again, whatever the other node did meanwhile.
                let known = |record: &Record| {
                    record.client == held.client && record.state == LeaseState::Bound && record.expiry > now
                };
                let on_both = (0..2).all(|host| self.disks.get(host, held.address).is_some_and(known));
                held.client == acked.client
                    && held.address != acked.address
                    && same_scope(held.address)
                    && held.until > now
                    && held.client < STRANGERS
                    && on_both
                    && ![held.address, acked.address].iter().any(|address| self.configured.contains(address))
            });
            // Two leases may be left of an interruption; only a third address would be a new one.
            let had_before = |host: usize| {
                self.disks.get(host, acked.address).is_some_and(|record| record.version.0.iter().sum::<u64>() > 1)
            };
            if let Some(held) = other.filter(|_| !self.lost && !had_before(acked.host)) {
                verdict = Err(format!("client {} had {} and got {}", acked.client, held.address, acked.address));
            }
        }
        self.beliefs.see(now, seen);
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::super::Acked;
    use super::super::test::{ADDRESS, acked, breaks, durable};
    use super::*;

    #[test]
    fn another_address_for_a_client_that_has_one_is_seen() {
        let other =
            Acked { host: 1, client: 1, address: Ipv4Addr::new(10, 0, 0, 101), until: 100, left: 0, bounded: true };
        assert_ne!(other.address, ADDRESS);
        let story = [
            (0, durable(0, 1, 100, [1, 0])),
            (0, durable(1, 1, 100, [1, 0])),
            (1, acked(0, 1, 100)),
            (2, Seen::Acked(other)),
        ];
        breaks(Check::default(), &story);
    }
}
