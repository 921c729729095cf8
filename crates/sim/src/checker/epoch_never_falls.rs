//! Per relationship a node's durable epoch never falls, and a node answers only in an epoch of its own: so each epoch
//! has one active node.

use super::{Checker, Seen, Time};
use standfast_core::id::Epoch;
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(super) struct Check(BTreeMap<(usize, usize), Epoch>);

impl Checker for Check {
    fn name(&self) -> &'static str {
        "epoch_never_falls"
    }

    fn see(&mut self, _: Time, seen: &Seen) -> Result<(), String> {
        match seen {
            Seen::State { host, relationship, epoch } => {
                let before = self.0.insert((*host, *relationship), *epoch);
                match before.filter(|before| before > epoch) {
                    Some(before) => Err(format!("node {host}, relationship {relationship}: {before:?} to {epoch:?}")),
                    None => Ok(()),
                }
            }
            Seen::Served { host, own: false, epoch, relationship, active: true } => {
                Err(format!("node {host} served relationship {relationship} in {epoch:?}, which is the partner's"))
            }
            Seen::StoreLost { host } => {
                self.0.retain(|(of, _), _| of != host);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::test::breaks;
    use super::*;
    use standfast_core::id::Slot;

    fn epoch(number: u64) -> Epoch {
        Epoch { number, slot: Slot::One }
    }

    #[test]
    fn a_fallen_epoch_is_seen() {
        let state = |number| Seen::State { host: 0, relationship: 0, epoch: epoch(number) };
        breaks(Check::default(), &[(0, state(3)), (1, state(2))]);
    }

    #[test]
    fn an_answer_in_the_partners_epoch_is_seen() {
        let served = |own| Seen::Served { host: 0, active: true, epoch: epoch(3), own, relationship: 0 };
        breaks(Check::default(), &[(0, served(true)), (1, served(false))]);
    }
}
