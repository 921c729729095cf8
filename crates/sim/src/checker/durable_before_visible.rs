//! Nothing is sent to a partner or a client before the record that it rests on is durable.

use super::{Checker, Disks, Seen, Time};

/// Lease times are whole seconds, counted by clocks that may drift.
const ROUNDING: Time = 1_100_000;

#[derive(Debug, Default)]
pub(super) struct Check {
    disks: Disks,
    /// When each store was lost last: an answer that had left by then rested on what it held before.
    lost_at: [Option<Time>; 2],
}

impl Checker for Check {
    fn name(&self) -> &'static str {
        "durable_before_visible"
    }

    fn see(&mut self, now: Time, seen: &Seen) -> Result<(), String> {
        self.disks.see(seen);
        match seen {
            Seen::StoreLost { host } => {
                self.lost_at[*host] = Some(now);
                Ok(())
            }
            Seen::Acked(acked) if self.lost_at[acked.host].is_some_and(|at| acked.left <= at) => Ok(()),
            Seen::Acked(acked) => {
                let durable = self.disks.get(acked.host, acked.address);
                let rests = durable
                    .is_some_and(|record| record.client == acked.client && record.potential + ROUNDING >= acked.until);
                if rests { Ok(()) } else { Err(format!("{acked:?} rests on {durable:?}")) }
            }
            Seen::Sent { host, address, version } => {
                let durable = self.disks.get(*host, *address);
                let rests = durable.is_some_and(|record| record.version.has_seen(*version));
                if rests {
                    Ok(())
                } else {
                    Err(format!("node {host} sent {address} at {version:?} and has {durable:?}"))
                }
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::test::{ADDRESS, acked, breaks, durable};
    use super::*;
    use standfast_core::lease::record::Version;

    #[test]
    fn an_answer_without_a_record_is_seen() {
        breaks(Check::default(), &[(0, durable(0, 2, 50_000_000, [1, 0])), (1, acked(0, 1, 40_000_000))]);
    }

    #[test]
    fn a_message_ahead_of_the_store_is_seen() {
        let sent = |version| Seen::Sent { host: 0, address: ADDRESS, version: Version(version) };
        let story = [(0, durable(0, 1, 50, [1, 0])), (1, sent([1, 0])), (2, sent([2, 0]))];
        breaks(Check::default(), &story);
    }
}
