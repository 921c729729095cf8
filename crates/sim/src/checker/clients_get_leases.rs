//! With nodes that are well and hear the clients, every client gets a lease.

use super::{Checker, Seen, Time};

#[derive(Debug, Default)]
pub(super) struct Check;

impl Checker for Check {
    fn name(&self) -> &'static str {
        "clients_get_leases"
    }

    fn see(&mut self, _: Time, seen: &Seen) -> Result<(), String> {
        match seen {
            Seen::End { without_lease, .. } if !without_lease.is_empty() => {
                Err(format!("clients {without_lease:?} have none"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::test::breaks;
    use super::*;

    #[test]
    fn a_client_without_a_lease_is_seen() {
        let end = Seen::End {
            tables: [Vec::new(), Vec::new()],
            doubt: 0,
            revisions: Default::default(),
            active: Vec::new(),
            without_lease: vec![3],
        };
        breaks(Check, &[(0, end)]);
    }
}
