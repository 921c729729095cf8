//! Outside of partner-down a client is promised at most MCLT more than what the partner has taken.

use super::{Checker, Seen, Time};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// For the time that messages take and for whole seconds.
const ROUNDING: Time = 1_100_000;

#[derive(Debug)]
pub(super) struct Check {
    mclt: Time,
    /// The latest expiry of a client that was ever durable, by node.
    taken: [BTreeMap<(Ipv4Addr, usize), Time>; 2],
}

impl Check {
    pub(super) fn new(mclt: Time) -> Self {
        Self { mclt, taken: [BTreeMap::new(), BTreeMap::new()] }
    }
}

impl Checker for Check {
    fn name(&self) -> &'static str {
        "lead_time_bounded"
    }

    fn see(&mut self, _: Time, seen: &Seen) -> Result<(), String> {
        match seen {
            Seen::Durable { host, record } => {
                let taken = self.taken[*host].entry((record.address, record.client)).or_insert(record.potential);
                *taken = (*taken).max(record.potential);
            }
            Seen::Acked(acked) if acked.bounded => {
                let taken = self.taken[1 - acked.host].get(&(acked.address, acked.client)).copied();
                let bound = taken.unwrap_or(acked.left).max(acked.left) + self.mclt;
                if acked.until > bound + ROUNDING {
                    return Err(format!("{acked:?} is {} ms beyond the bound", (acked.until - bound) / 1_000));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::test::{acked, breaks, durable, holds};
    use super::*;

    const MCLT: Time = 20_000_000;

    #[test]
    fn a_long_promise_that_the_partner_does_not_know_is_seen() {
        breaks(Check::new(MCLT), &[(0, acked(0, 1, MCLT + ROUNDING + 1))]);
    }

    #[test]
    fn what_the_partner_took_may_be_promised() {
        let until = MCLT * 3;
        holds(Check::new(MCLT), &[(0, durable(1, 1, until, [1, 0])), (0, acked(0, 1, until + MCLT))]);
    }
}
