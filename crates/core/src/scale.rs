//! The scale on which a store keeps instants.
//!
//! An instant means nothing outside of its process, so a store keeps it as wall time. But wall clocks are set, and a
//! clock that is set must not move what is stored. So a store has one scale for its whole life: wall time when it was
//! made, and from then on what the clocks of its processes count. Between two processes only the wall clock tells how
//! much the scale must go on; [`absence`](crate::absence) holds what is made of its word.

use crate::stored::NodeRecord;
use crate::time::{Instant, Now, Wall};

/// How far the scale of a store is ahead of the clock of this process, in microseconds. Taken once, when the store is
/// opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WallOffset(pub i64);

impl WallOffset {
    /// The scale of a store that is made now.
    #[must_use]
    pub fn between(instant: Instant, wall: Wall) -> Self {
        Self(wall.0.saturating_mul(1_000).saturating_sub(instant.0))
    }

    /// The scale of a store whose node record, read by [`WallOffset::between`] the clocks of `now`, is `last`.
    ///
    /// It goes on by what the wall clock has, from the moment at which the node is known to have run. A wall clock that
    /// is behind that moment does not turn it back.
    #[must_use]
    pub fn of_store(now: Now, last: Option<&NodeRecord>) -> Self {
        let plain = Self::between(now.instant, now.wall);
        let Some(last) = last else { return plain };
        let absent = now.wall.0.saturating_sub(last.last_running.0).max(0).saturating_mul(1_000);
        let stopped = last.last_running_at.0.saturating_add(plain.0);
        Self(stopped.saturating_add(absent).saturating_sub(now.instant.0))
    }

    /// Milliseconds on the scale, rounded up, so that a lease may live longer by one and never shorter; `None` for what
    /// lies before every instant.
    #[must_use]
    pub fn to_wall(self, instant: Instant) -> Option<i64> {
        if instant <= Instant::NEVER {
            return None;
        }
        Some(instant.0.saturating_add(self.0).saturating_add(999).div_euclid(1_000))
    }

    /// The instant of this process that is stored as `wall`.
    #[must_use]
    pub fn to_instant(self, wall: Option<i64>) -> Instant {
        let instant = |wall: i64| Instant(wall.saturating_mul(1_000).saturating_sub(self.0));
        wall.map_or(Instant::NEVER, |wall| instant(wall).max(Instant::NEVER))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Sequence;

    fn now(instant: i64, wall: i64) -> Now {
        Now { instant: Instant(instant * 1_000), wall: Wall(wall) }
    }

    /// The node record of a process that ran until `now`, as the next one reads it by the plain scale of its `start`.
    fn record(scale: WallOffset, last: Now, start: Now) -> NodeRecord {
        let plain = WallOffset::between(start.instant, start.wall);
        NodeRecord {
            node: "a".into(),
            incarnations: vec![],
            peers: vec![],
            last_running: last.wall,
            last_running_at: plain.to_instant(scale.to_wall(last.instant)),
            clock_zero: plain.to_instant(scale.to_wall(Instant(0))),
            clock_confirmed: false,
            doubt: None,
            revision: None,
            sequence: Sequence(0),
        }
    }

    #[test]
    fn a_clock_that_is_set_while_a_process_runs_moves_nothing_that_is_stored() {
        let scale = WallOffset::between(Instant(0), Wall(1_000_000));
        let expiry = scale.to_wall(Instant(90_000_000));
        let (last, start) = (now(30_000, 5_030_000), now(0, 5_040_000));
        let next = WallOffset::of_store(start, Some(&record(scale, last, start)));
        assert_eq!(next.to_instant(expiry), Instant(50_000_000), "60 s were left, and 10 have passed");
        // And so in every later life, for what nobody wrote anew.
        let (last, start) = (now(5_000, 45_000), now(0, 46_000));
        let third = WallOffset::of_store(start, Some(&record(next, last, start)));
        assert_eq!(third.to_instant(expiry), Instant(44_000_000));
    }

    #[test]
    fn a_clock_that_is_behind_keeps_leases_alive_and_no_longer_than_it_must() {
        let scale = WallOffset::between(Instant(0), Wall(1_000_000));
        let expiry = scale.to_wall(Instant(90_000_000));
        let (last, start) = (now(30_000, 1_030_000), now(0, 400_000));
        let next = WallOffset::of_store(start, Some(&record(scale, last, start)));
        assert_eq!(next.to_instant(expiry), Instant(60_000_000));
    }
}
