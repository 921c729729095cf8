//! Time as the core sees it: always an argument, never read.
//!
//! [`Instant`] is a reading of a clock that never jumps and that counts suspension. Nothing that crosses the network
//! or a restart is an `Instant`: peers exchange [`Remaining`] durations and the store keeps wall time; each side
//! converts with its own clock. [`Wall`] is shown to people and compared with a partner's, and decides nothing alone.

use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

/// Microseconds of a monotonic clock whose zero the driver chooses. Negative for times before that zero, such as the
/// expiry of a lease that ended before this process started.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Instant(pub i64);

impl Instant {
    /// Before every other instant: the expiry of what was never promised.
    pub const NEVER: Self = Self(i64::MIN / 4);

    /// How long from `earlier` to `self`; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// What is left until `self`, negative if it has passed.
    #[must_use]
    pub fn remaining(self, now: Self) -> Remaining {
        // Rounded up: a lease may live longer by a millisecond on the other side, never shorter.
        Remaining((self.0.saturating_sub(now.0)).saturating_add(999).div_euclid(1_000))
    }

    /// Half of the way, in micros, that is enough for arithmetic without overflow.
    fn offset(self, micros: i64) -> Self {
        Self(self.0.saturating_add(micros))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;
    fn add(self, duration: Duration) -> Self {
        self.offset(micros(duration))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;
    fn sub(self, duration: Duration) -> Self {
        self.offset(-micros(duration))
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX / 4)
}

/// Milliseconds until an instant, as peers tell each other; negative once it has passed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Remaining(pub i64);

impl Remaining {
    /// The instant meant, on the clock that reads `now`.
    #[must_use]
    pub fn from(self, now: Instant) -> Instant {
        now.offset(self.0.saturating_mul(1_000))
    }
}

/// Milliseconds since 1970-01-01 UTC by this machine's wall clock.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Wall(pub i64);

/// One reading of both clocks, taken together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Now {
    /// The monotonic clock, by which everything is decided.
    pub instant: Instant,
    /// The wall clock, shown and compared with the partner's.
    pub wall: Wall,
}
