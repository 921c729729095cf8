//! A node emits nothing for a scope that is deactivated there, and changes no record because of a client.

use super::{Checker, Seen, Time};

#[derive(Debug, Default)]
pub(super) struct Check;

impl Checker for Check {
    fn name(&self) -> &'static str {
        "deactivated_is_silent"
    }

    fn see(&mut self, _: Time, seen: &Seen) -> Result<(), String> {
        match seen {
            Seen::Served { host, active: false, relationship, .. } => {
                Err(format!("node {host} served relationship {relationship} while it was not active in it"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::test::{breaks, holds};
    use super::*;
    use standfast_core::id::Epoch;

    fn served(active: bool) -> Seen {
        Seen::Served { host: 1, active, epoch: Epoch::INITIAL, own: true, relationship: 0 }
    }

    #[test]
    fn an_answer_of_a_deactivated_node_is_seen() {
        holds(Check, &[(0, served(true))]);
        breaks(Check, &[(0, served(false))]);
    }
}
