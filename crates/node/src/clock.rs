//! The one place that reads clocks.
//!
//! Deadlines run on CLOCK_BOOTTIME, which never jumps and, unlike CLOCK_MONOTONIC, counts the time that a machine is
//! suspended: a laptop lid must not keep a lease alive. Its zero is moved to the start of the process, so that an
//! instant of one process can not be mistaken for one of another; what outlives the process is kept as wall time
//! and converted here, once, when it is loaded.

use crate::kernel;
use nix::time::{ClockId, clock_gettime};
use standfast_core::time::{Instant, Now, Wall};
use std::time::Duration;

/// Reads both clocks. Copies agree with each other.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// What CLOCK_BOOTTIME read at the start, in microseconds.
    origin: i64,
}

impl Clock {
    /// A clock that reads zero now. A process makes one and copies it.
    #[must_use]
    pub fn start() -> Self {
        Self { origin: micros(ClockId::CLOCK_BOOTTIME) }
    }

    /// Both clocks, read together.
    #[must_use]
    pub fn now(&self) -> Now {
        Now { instant: self.instant(), wall: wall() }
    }

    /// The monotonic clock alone.
    #[must_use]
    pub fn instant(&self) -> Instant {
        Instant(micros(ClockId::CLOCK_BOOTTIME) - self.origin)
    }

    /// Whether the wall clock is known to be right: something disciplines it. Only then does time that a node did not
    /// run count as passed.
    #[must_use]
    pub fn is_synchronised(&self) -> bool {
        kernel::clock_is_synchronised()
    }
}

/// The wall clock alone, to name files and to stamp events.
#[must_use]
pub fn wall() -> Wall {
    Wall(micros(ClockId::CLOCK_REALTIME).div_euclid(1_000))
}

/// The wall time at which `instant` is, was or will be, by the reading `now` of both clocks. Rounded up, so that an
/// expiry may move later by a millisecond on its way through the store, and never earlier.
#[must_use]
pub fn to_wall(now: Now, instant: Instant) -> Wall {
    Wall(now.wall.0.saturating_add(instant.remaining(now.instant).0))
}

/// The instant of a stored wall time, by the reading `now` of both clocks.
#[must_use]
pub fn to_instant(now: Now, wall: Wall) -> Instant {
    standfast_core::time::Remaining(wall.0.saturating_sub(now.wall.0)).from(now.instant)
}

/// The instant at which the kernel stamped a packet: it stamps with the wall clock, since the epoch. A stamp that lies
/// ahead, because the wall clock was set back meanwhile, counts as now.
#[must_use]
pub fn instant_of_stamp(now: Now, stamp: Duration) -> Instant {
    let stamp = i64::try_from(stamp.as_micros()).unwrap_or(i64::MAX);
    // The reading has milliseconds only; its last one counts as over, so that a stamp taken within it is not ahead.
    let age = now.wall.0.saturating_add(1).saturating_mul(1_000).saturating_sub(stamp).max(0);
    Instant(now.instant.0.saturating_sub(age))
}

#[expect(clippy::expect_used, reason = "Linux has had both clocks since 2.6.39; a node without a clock has no use")]
fn micros(clock: ClockId) -> i64 {
    let time = clock_gettime(clock).expect("read the clock");
    time.tv_sec() * 1_000_000 + time.tv_nsec() / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Now = Now { instant: Instant(5_000_000), wall: Wall(1_700_000_000_000) };

    #[test]
    fn a_clock_starts_at_zero_and_never_runs_backwards() {
        let clock = Clock::start();
        let first = clock.now();
        let second = clock.now();
        assert!(first.instant >= Instant(0));
        assert!(second.instant >= first.instant);
        assert!(first.wall > Wall(1_600_000_000_000), "the wall clock reads {:?}", first.wall);
    }

    #[test]
    fn an_expiry_survives_the_way_to_the_store_and_back() {
        for offset in [-86_400_000_000, -1_000, 0, 1_000, 3_600_000_000] {
            let expiry = Instant(NOW.instant.0 + offset);
            assert_eq!(to_instant(NOW, to_wall(NOW, expiry)), expiry);
        }
    }

    #[test]
    fn rounding_never_shortens_a_lease() {
        let expiry = Instant(NOW.instant.0 + 1_500_001);
        assert_eq!(to_wall(NOW, expiry), Wall(NOW.wall.0 + 1_501));
        assert!(to_instant(NOW, to_wall(NOW, expiry)) >= expiry);
    }

    #[test]
    fn never_stays_far_in_the_past() {
        assert!(to_instant(NOW, to_wall(NOW, Instant::NEVER)) < Instant(-1_000_000_000_000_000));
    }

    #[test]
    fn a_packet_stamped_a_second_ago_is_a_second_old() {
        let stamp = Duration::from_millis(1_700_000_000_000 - 1_000);
        assert_eq!(NOW.instant.0 - instant_of_stamp(NOW, stamp).0, 1_001_000);
    }

    #[test]
    fn a_stamp_from_the_future_counts_as_now() {
        assert_eq!(instant_of_stamp(NOW, Duration::from_secs(1_800_000_000)), NOW.instant);
    }
}
