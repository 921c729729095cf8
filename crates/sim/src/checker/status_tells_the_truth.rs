//! When all faults are over, exactly one node of each relationship says that it is active, and it is the one that
//! answered last.

use super::{Checker, Seen, Time};
use std::collections::BTreeMap;

/// An answer this old says nothing about who is active now.
const RECENT: Time = 1_000_000;

#[derive(Debug, Default)]
pub(super) struct Check {
    last_served: BTreeMap<usize, (Time, usize)>,
}

impl Checker for Check {
    fn name(&self) -> &'static str {
        "status_tells_the_truth"
    }

    fn see(&mut self, now: Time, seen: &Seen) -> Result<(), String> {
        match seen {
            Seen::Served { host, relationship, .. } => {
                self.last_served.insert(*relationship, (now, *host));
            }
            Seen::End { active, .. } => {
                for (relationship, says) in active.iter().enumerate() {
                    if says[0] == says[1] {
                        return Err(format!("relationship {relationship}: the nodes say active: {says:?}"));
                    }
                    if let Some(&(at, host)) = self.last_served.get(&relationship)
                        && at + RECENT > now
                        && !says[host]
                    {
                        return Err(format!("relationship {relationship}: node {host} answers and does not say so"));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::test::breaks;
    use super::*;
    use standfast_core::id::Epoch;

    fn end(active: [bool; 2]) -> Seen {
        Seen::End {
            tables: [Vec::new(), Vec::new()],
            doubt: 0,
            revisions: Default::default(),
            active: vec![active],
            without_lease: Vec::new(),
        }
    }

    #[test]
    fn two_active_nodes_and_none_are_seen() {
        breaks(Check::default(), &[(0, end([true, true]))]);
        breaks(Check::default(), &[(0, end([false, false]))]);
    }

    #[test]
    fn a_node_that_answers_and_denies_it_is_seen() {
        let served = Seen::Served { host: 1, active: true, epoch: Epoch::INITIAL, own: true, relationship: 0 };
        breaks(Check::default(), &[(0, served), (1, end([true, false]))]);
    }
}
