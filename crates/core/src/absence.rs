//! How long this node did not run, and who says so.
//!
//! What a store holds goes on ageing while no process runs, and only the wall clock tells by how much. But it may be
//! wrong now (a machine that boots in 2040), it may have been wrong when the store was last written, and it may have
//! been set in between. So until someone confirms it, that time does not count towards giving an address to someone
//! else ([`Effects::certain`](crate::effects::Effects::certain)), and what the partner is said to have taken counts as
//! unknown. Two can confirm it:
//!
//! - the partner, which remembers what the clock of this node's last process read when it last heard it, and how long
//!   ago by its own clock that was;
//! - a wall clock that was known to be right both when the store was last written and now.
//!
//! Both say by how much the wall clock was wrong, and every stored instant is moved by that. Two wall clocks that agree
//! now confirm nothing: what was stored may come from before they did.

use crate::id::Incarnation;
use crate::message::HeardClock;
use crate::stored::NodeRecord;
use crate::time::{Instant, Now, Wall};
use std::time::Duration;

/// An error of the wall clock that is not worth moving everything for.
const TOLERANCE: i64 = 500_000;

/// What is known of the time before this process.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Absence {
    /// Time that may not have passed although stored instants say so. `None`: stored instants are right.
    doubt: Option<Duration>,
    last: Option<LastLife>,
    /// No promise runs longer than this, whenever it was made: what is older than that is over, whatever the doubt.
    pub(crate) longest_promise: Duration,
    /// Both clocks, when the wall clock was last said to be right.
    confirmed: Option<Now>,
}

/// The process before this one, and the absence that followed.
#[derive(Clone, PartialEq, Eq, Debug)]
struct LastLife {
    incarnation: Incarnation,
    /// When its clock read zero, on this process's clock if the absence was as long as the wall clock says.
    zero: Instant,
    /// When it last ran, likewise.
    ran_at: Instant,
    /// The wall clock at that moment, if it was right.
    ran_at_wall: Option<Wall>,
    /// What had been in doubt before.
    older: Option<Duration>,
}

impl Absence {
    /// After the process that left `record`, which is not known to `now` to have ended when the wall clock says.
    pub(crate) fn after(record: &NodeRecord, now: Now) -> Self {
        let absent = now.instant.since(record.last_running_at);
        let last = record.incarnations.last().map(|&incarnation| LastLife {
            incarnation,
            zero: record.clock_zero,
            ran_at: record.last_running_at,
            ran_at_wall: record.clock_confirmed.then_some(record.last_running),
            older: record.doubt,
        });
        Self { doubt: Some(record.doubt.unwrap_or_default() + absent), last, ..Self::default() }
    }

    /// Time that may not have passed, or `None` if nothing is in doubt.
    pub(crate) fn doubt(&self) -> Option<Duration> {
        self.doubt
    }

    /// Whether the wall clock is right: it was said to be, and has not been set since.
    pub(crate) fn clock_is_confirmed(&self, now: Now) -> bool {
        self.confirmed.is_some_and(|then| {
            let by_wall = now.wall.0.saturating_sub(then.wall.0).saturating_mul(1_000);
            by_wall.saturating_sub(now.instant.0.saturating_sub(then.instant.0)).abs() <= TOLERANCE
        })
    }

    /// The partner tells when it last heard the process before. Returns by how much stored instants are to be moved.
    pub(crate) fn heard_by_partner(&mut self, heard: HeardClock, now: Instant) -> Option<Shift> {
        let last = self.last.as_ref().filter(|last| last.incarnation == heard.incarnation)?;
        let now_by_partner = Instant(last.zero.0.saturating_add(heard.clock.0)) + heard.ago;
        Some(self.settle(now.0.saturating_sub(now_by_partner.0)))
    }

    /// The wall clock is right now. Returns by how much stored instants are to be moved.
    pub(crate) fn confirmed_by_clock(&mut self, now: Now) -> Option<Shift> {
        self.confirmed = Some(now);
        let last = self.last.as_ref()?;
        let absent = now.wall.0.saturating_sub(last.ran_at_wall?.0).saturating_mul(1_000);
        Some(self.settle(now.instant.0.saturating_sub(last.ran_at.0).saturating_sub(absent)))
    }

    /// Everything that was stored before this process is over, whatever the doubt.
    pub(crate) fn lapse(&mut self) {
        self.doubt = None;
        self.last = None;
    }

    fn settle(&mut self, error: i64) -> Shift {
        self.doubt = self.last.take().and_then(|last| last.older);
        Shift(if error.abs() > TOLERANCE { error } else { 0 })
    }
}

/// By how many microseconds stored instants are earlier than they ought to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Shift(pub(crate) i64);

impl Shift {
    /// A stored instant, mended.
    pub(crate) fn mend(self, instant: Instant) -> Instant {
        if instant <= Instant::NEVER { instant } else { Instant(instant.0.saturating_add(self.0)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Sequence;

    const SECOND: i64 = 1_000_000;

    /// A process that ran until 30 s before it is 0 here, by a wall clock of which `confirmed` says whether it was right.
    fn record(confirmed: bool, doubt: Option<Duration>) -> NodeRecord {
        NodeRecord {
            node: "a".into(),
            incarnations: vec![Incarnation(6), Incarnation(7)],
            peers: vec![],
            last_running: Wall(1_000_000),
            last_running_at: Instant(-30 * SECOND),
            clock_zero: Instant(-100 * SECOND),
            clock_confirmed: confirmed,
            doubt,
            revision: None,
            sequence: Sequence(0),
        }
    }

    fn now(wall: i64) -> Now {
        Now { instant: Instant(0), wall: Wall(wall) }
    }

    fn heard(incarnation: u64, ago: u64) -> HeardClock {
        let (incarnation, clock) = (Incarnation(incarnation), Instant(69 * SECOND));
        HeardClock { incarnation, clock, ago: Duration::from_secs(ago) }
    }

    #[test]
    fn an_absence_that_nobody_confirms_is_in_doubt_and_adds_to_an_older_one() {
        assert_eq!(Absence::after(&record(false, None), now(1_030_000)).doubt(), Some(Duration::from_secs(30)));
        let older = Some(Duration::from_secs(12));
        assert_eq!(Absence::after(&record(false, older), now(1_030_000)).doubt(), Some(Duration::from_secs(42)));
    }

    #[test]
    fn the_partner_tells_how_long_it_was() {
        let mut absence = Absence::after(&record(false, None), now(1_030_000));
        assert_eq!(absence.heard_by_partner(heard(6, 31), Instant(0)), None, "it heard another process");
        assert_eq!(absence.heard_by_partner(heard(7, 31), Instant(0)), Some(Shift(0)));
        assert_eq!(absence.doubt(), None);
        let mut absence = Absence::after(&record(false, None), now(1_030_000));
        assert_eq!(absence.heard_by_partner(heard(7, 11), Instant(0)), Some(Shift(20 * SECOND)));
        let older = Some(Duration::from_secs(12));
        let mut absence = Absence::after(&record(false, older), now(1_030_000));
        assert_eq!(absence.heard_by_partner(heard(7, 31), Instant(0)), Some(Shift(0)));
        assert_eq!(absence.doubt(), older, "it says nothing about the one before");
    }

    #[test]
    fn a_clock_that_is_right_now_tells_nothing_if_it_was_not_then() {
        let mut absence = Absence::after(&record(false, None), now(1_030_000));
        assert_eq!(absence.confirmed_by_clock(now(1_030_000)), None);
        let mut absence = Absence::after(&record(true, None), now(1_030_000));
        assert_eq!(absence.confirmed_by_clock(now(1_030_000)), Some(Shift(0)));
    }

    #[test]
    fn a_clock_that_is_set_is_no_longer_known_to_be_right() {
        let at = |seconds: i64, wall: i64| Now { instant: Instant(seconds * SECOND), wall: Wall(wall) };
        let mut absence = Absence::default();
        assert!(!absence.clock_is_confirmed(at(0, 1_000_000)));
        absence.confirmed_by_clock(at(0, 1_000_000));
        assert!(absence.clock_is_confirmed(at(60, 1_060_000)));
        assert!(!absence.clock_is_confirmed(at(61, 1_081_000)));
    }

    #[test]
    fn a_clock_that_booted_in_the_future_and_was_set_right_mends_what_it_spoilt() {
        let mut absence = Absence::after(&record(true, None), now(1_030_000));
        assert_eq!(absence.confirmed_by_clock(now(1_005_000)), Some(Shift(25 * SECOND)));
        assert_eq!(absence.doubt(), None);
    }
}
