//! On a store an older record never replaces a newer one.

use super::{Checker, Disks, Seen, Time};

#[derive(Debug, Default)]
pub(super) struct Check(Disks);

impl Checker for Check {
    fn name(&self) -> &'static str {
        "no_resurrection"
    }

    fn see(&mut self, _: Time, seen: &Seen) -> Result<(), String> {
        let mut verdict = Ok(());
        if let Seen::Durable { host, record } = seen
            && let Some(before) = self.0.get(*host, record.address)
            && !record.version.has_seen(before.version)
        {
            verdict = Err(format!("node {host}: {record:?} replaced {before:?}"));
        }
        self.0.see(seen);
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::super::test::{breaks, durable};
    use super::*;

    #[test]
    fn an_older_record_in_the_place_of_a_newer_one_is_seen() {
        breaks(Check::default(), &[(0, durable(0, 1, 50, [2, 3])), (1, durable(0, 1, 60, [3, 2]))]);
    }
}
