//! What no rule can prevent must be told: when both nodes are in step again and two clients still believe in one
//! address, one of the nodes has reported a conflict, or that a promise was broken. And what is told for certain is so:
//! both leases stand in the stores and run.

use super::{Beliefs, Checker, Disks, Seen, Time};
use standfast_core::lease::record::LeaseState;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// A lease that is about to end may be over for the nodes.
const ABOUT_TO_END: Time = 2_000_000;

/// The client that lost the address believes in it for so long after the report.
const REPORT_STANDS: Time = 100_000_000;

/// Messages take their time, and clocks drift.
const ROUNDING: Time = 1_100_000;

#[derive(Debug, Default)]
pub(super) struct Check {
    beliefs: Beliefs,
    disks: Disks,
    reported: Option<Time>,
    /// Since a store was lost its node may not know what it gave.
    forgotten: bool,
}

impl Checker for Check {
    fn name(&self) -> &'static str {
        "conflicts_are_reported"
    }

    fn see(&mut self, now: Time, seen: &Seen) -> Result<(), String> {
        self.beliefs.see(now, seen);
        self.disks.see(seen);
        match seen {
            Seen::Reported => self.reported = Some(now),
            Seen::Conflict { address, clients, certain } => {
                self.reported = Some(now);
                if let Some(client) = clients.iter().find(|&&client| *certain && !self.runs(now, *address, client)) {
                    return Err(format!("client {client} has no lease of {address} that runs, as a node says"));
                }
            }
            Seen::StoreLost { .. } => self.forgotten = true,
            Seen::InStep => {
                let live: Vec<_> = self.beliefs.iter().filter(|held| held.until > now + ABOUT_TO_END).collect();
                // Beliefs come by address.
                let two = live.windows(2).filter(|two| two[0].address == two[1].address);
                let shared: BTreeSet<Ipv4Addr> = two.map(|two| two[0].address).collect();
                let reported = self.reported.is_some_and(|at| now < at + REPORT_STANDS) || self.forgotten;
                if !reported && !shared.is_empty() {
                    return Err(format!("two clients have one address, and nobody says so: {shared:?} of {live:?}"));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl Check {
    fn runs(&self, now: Time, address: Ipv4Addr, client: usize) -> bool {
        let records = [0, 1].into_iter().filter_map(|host| self.disks.get(host, address));
        records
            .filter(|record| record.client == client && record.state == LeaseState::Bound)
            .any(|record| now < record.expiry + ROUNDING)
    }
}

#[cfg(test)]
mod tests {
    use super::super::test::{ADDRESS, acked, breaks, durable, holds};
    use super::*;

    const LONG: Time = 60_000_000;

    #[test]
    fn a_conflict_that_nobody_tells_is_seen() {
        let story = [(0, acked(0, 1, LONG)), (1, acked(1, 2, LONG)), (2, Seen::InStep)];
        breaks(Check::default(), &story);
    }

    #[test]
    fn a_conflict_that_is_told_is_as_it_should_be() {
        let story = [(0, acked(0, 1, LONG)), (1, acked(1, 2, LONG)), (2, Seen::Reported), (3, Seen::InStep)];
        holds(Check::default(), &story);
    }

    #[test]
    fn a_conflict_that_is_none_is_seen() {
        let conflict = |certain| Seen::Conflict { address: ADDRESS, clients: [1, 2], certain };
        let before = [(0, durable(0, 1, LONG, [1, 0])), (1, durable(1, 2, 20_000_000, [0, 1]))];
        let story = |at, certain| before.iter().cloned().chain([(at, conflict(certain))]).collect::<Vec<_>>();
        holds(Check::default(), &story(19_000_000, true));
        holds(Check::default(), &story(30_000_000, false));
        breaks(Check::default(), &story(30_000_000, true));
    }
}
