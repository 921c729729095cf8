//! When all faults have been over for long enough, both nodes hold the same leases, and use one configuration.

use super::{Checker, Record, Seen, Time};
use standfast_core::lease::record::LeaseState;

/// Expiries may differ by what the clocks do, and by the time that messages take.
const ROUNDING: Time = 10_000_000;

#[derive(Debug, Default)]
pub(super) struct Check;

impl Checker for Check {
    fn name(&self) -> &'static str {
        "tables_converge"
    }

    fn see(&mut self, _: Time, seen: &Seen) -> Result<(), String> {
        let Seen::End { tables: [one, two], doubt, revisions, .. } = seen else { return Ok(()) };
        if revisions[0] != revisions[1] {
            return Err(format!("the nodes use revisions {revisions:?}"));
        }
        if one.len() != two.len() {
            return Err(format!("{} records on one node, {} on the other", one.len(), two.len()));
        }
        match one.iter().zip(two).find(|(a, b)| !alike(a, b, ROUNDING.saturating_add(*doubt))) {
            Some((a, b)) => Err(format!("{a:?} and {b:?}")),
            None => Ok(()),
        }
    }
}

fn alike(a: &Record, b: &Record, within: Time) -> bool {
    let same = (a.address, a.state, a.version) == (b.address, b.state, b.version);
    same && (a.state == LeaseState::Free || a.client == b.client && (a.expiry - b.expiry).abs() <= within)
}

#[cfg(test)]
mod tests {
    use super::super::test::{breaks, holds, record};
    use super::*;

    fn end(one: Vec<Record>, two: Vec<Record>) -> [(Time, Seen); 1] {
        [(
            0,
            Seen::End {
                tables: [one, two],
                doubt: 0,
                revisions: Default::default(),
                active: Vec::new(),
                without_lease: Vec::new(),
            },
        )]
    }

    #[test]
    fn tables_that_differ_are_seen() {
        holds(Check, &end(vec![record(1, 50, [1, 0])], vec![record(1, 51, [1, 0])]));
        breaks(Check, &end(vec![record(1, 50, [1, 0])], vec![record(1, 50, [1, 1])]));
        breaks(Check, &end(vec![record(1, 50, [1, 0])], vec![]));
    }

    #[test]
    fn configurations_that_differ_are_seen() {
        let [(at, mut end)] = end(Vec::new(), Vec::new());
        if let Seen::End { revisions, .. } = &mut end {
            *revisions = ["3.a".into(), "2.b".into()];
        }
        breaks(Check, &[(at, end)]);
    }
}
