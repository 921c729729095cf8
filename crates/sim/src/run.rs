//! Running seeds and telling what came of it.

use crate::checker::Violation;
use crate::world::World;
use std::collections::BTreeMap;

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Simulated minutes, of which the last ones are calm.
    pub minutes: i64,
    /// Whether to keep the transcript.
    pub lines: bool,
    /// Without the faults of the second stream, as in the days of the seeds that are pinned.
    pub plain: bool,
}

/// What came of one seed.
#[derive(Debug)]
pub struct Report {
    /// Which.
    pub seed: u64,
    /// One line an event, if it was asked for.
    pub lines: Vec<String>,
    /// The invariants that were judged.
    pub invariants: Vec<&'static str>,
    /// Those that were broken.
    pub violations: Vec<Violation>,
    /// How often each kind of thing occurred.
    pub coverage: BTreeMap<String, u64>,
}

/// Runs one seed.
#[must_use]
pub fn run(seed: u64, options: Options) -> Report {
    let mut world = World::new(seed, options);
    world.run();
    world.transcript.add("excused", world.judge.excused);
    Report {
        seed,
        lines: world.transcript.lines().to_vec(),
        invariants: world.judge.names().collect(),
        violations: world.judge.violations,
        coverage: world.transcript.coverage,
    }
}
