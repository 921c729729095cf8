//! What a node counts of its clients: received = answered + passed over for a reason + waiting, at every moment.

use std::collections::BTreeMap;
use std::time::Duration;

/// What was received, answered and passed over, by type and reason.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Packets by type of message.
    pub received: BTreeMap<&'static str, u64>,
    /// Answers by type of message.
    pub answered: BTreeMap<&'static str, u64>,
    /// Packets that got no answer, by reason.
    pub silent: BTreeMap<&'static str, u64>,
    /// From the arrival of a packet to its answer, by type of the packet.
    pub exchanges: BTreeMap<&'static str, Durations>,
}

impl Counters {
    pub(super) fn count(of: &mut BTreeMap<&'static str, u64>, label: &'static str) {
        *of.entry(label).or_default() += 1;
    }
}

/// How long something took, many times: how often, by upper bound.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Durations {
    /// How many took as long as a bound of [`Durations::BOUNDS`] at the most, and longer than the one before; the last
    /// one counts those that took longer than all of them.
    pub counts: [u64; 16],
    /// All together.
    pub sum: Duration,
}

impl Durations {
    /// Upper bounds, in microseconds.
    pub const BOUNDS: [u64; 15] = [
        50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    ];

    /// Counts one.
    pub fn add(&mut self, took: Duration) {
        let bucket = Self::BOUNDS.partition_point(|&bound| u128::from(bound) < took.as_micros());
        self.counts[bucket] += 1;
        self.sum += took;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_what_is_below_it() {
        let mut durations = Durations::default();
        for micros in [0, 50, 51, 2_500_000, 2_500_001] {
            durations.add(Duration::from_micros(micros));
        }
        assert_eq!((durations.counts[0], durations.counts[1]), (2, 1));
        assert_eq!((durations.counts[14], durations.counts[15]), (1, 1));
        assert_eq!(durations.sum, Duration::from_micros(5_000_102));
    }
}
