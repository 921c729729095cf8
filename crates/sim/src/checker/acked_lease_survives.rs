//! A lease that was ACKed stays known to the node that gave it, whatever its power does, and, if the partner had taken
//! it by then, to the partner as well.

use super::{Acked, Checker, Disks, Record, Seen, Time};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// Lease times are whole seconds, counted by clocks that may drift.
const ROUNDING: Time = 1_100_000;

/// For so long a declined address is nobody's, even if its client gets it again from a node that has not heard of it.
const DECLINED_FOR: Time = 60_000_000;

#[derive(Debug, Default)]
pub(super) struct Check {
    disks: Disks,
    /// What is believed in, and which stores must know it.
    known: BTreeMap<(Ipv4Addr, usize), (Acked, [bool; 2])>,
    declined: BTreeMap<Ipv4Addr, Time>,
}

impl Checker for Check {
    fn name(&self) -> &'static str {
        "acked_lease_survives"
    }

    fn see(&mut self, now: Time, seen: &Seen) -> Result<(), String> {
        self.disks.see(seen);
        match seen {
            Seen::Acked(acked) if self.declined.get(&acked.address).is_some_and(|at| now < at + DECLINED_FOR) => {}
            Seen::Acked(acked) => {
                let given = self.disks.get(acked.host, acked.address);
                let version = given.map(|record| record.version).unwrap_or_default();
                let partner = self.disks.get(1 - acked.host, acked.address);
                let taken = partner.is_some_and(|r| r.version.has_seen(version) && holds(r, acked));
                let mut known = [taken; 2];
                // The store may have gone since the answer left.
                known[acked.host] = given.is_some_and(|record| holds(record, acked));
                self.known.insert((acked.address, acked.client), (*acked, known));
            }
            Seen::GaveBack { client, address, declined: true } => {
                self.declined.insert(*address, now);
                self.known.remove(&(*address, *client));
            }
            Seen::GaveBack { client, address, .. } | Seen::Refused { client, address, .. } => {
                self.known.remove(&(*address, *client));
            }
            Seen::StoreLost { host } => self.known.values_mut().for_each(|(_, known)| known[*host] = false),
            Seen::Durable { host, record } => {
                let of_address = (record.address, 0)..=(record.address, usize::MAX);
                for (acked, known) in self.known.range(of_address).map(|(_, value)| value) {
                    if known[*host] && acked.until > now && !holds(record, acked) {
                        return Err(format!(
                            "node {host} forgot that {} is client {}'s for {} ms more: {record:?}",
                            acked.address,
                            acked.client,
                            (acked.until - now) / 1_000
                        ));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn holds(record: &Record, acked: &Acked) -> bool {
    record.client == acked.client && record.expiry + ROUNDING >= acked.until
}

#[cfg(test)]
mod tests {
    use super::super::test::{acked, breaks, durable, holds};
    use super::*;

    const LONG: Time = 60_000_000;

    #[test]
    fn a_partner_that_forgets_what_it_took_is_seen() {
        let story = [
            (0, durable(0, 1, LONG, [1, 0])),
            (0, durable(1, 1, LONG, [1, 0])),
            (1, acked(0, 1, LONG)),
            (2, durable(1, 2, LONG, [1, 1])),
        ];
        breaks(Check::default(), &story);
    }

    #[test]
    fn a_lost_store_may_forget() {
        let story = [
            (0, durable(0, 1, LONG, [1, 0])),
            (1, acked(0, 1, LONG)),
            (2, Seen::StoreLost { host: 0 }),
            (3, durable(0, 2, LONG, [2, 0])),
        ];
        holds(Check::default(), &story);
    }
}
