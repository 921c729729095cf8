//! Scenarios: stories of a cluster, told step by step, in the world and before the judges of the seeds.
//!
//! Random seeds meet some histories once in a hundred thousand. A scenario goes there directly: no chance is left in
//! it, its clients do what they are told, and its transcript is the same for ever, so that it is kept as a text that a
//! newcomer reads to learn the product. Many stand for one rule of failover: they fail once that rule is switched off.

mod stories;
mod story;
mod told;

use crate::checker::Violation;
use standfast_core::mutant::Rule;
use std::collections::BTreeMap;
use story::Story;

pub use stories::SCENARIOS;

/// How a text ends whose story no judge complained of.
pub const HOLDS: &str = "Every invariant holds.\n";

/// A story.
#[derive(Debug)]
pub struct Scenario {
    /// Its name, and that of its transcript.
    pub name: &'static str,
    /// What it shows, and the rule of failover behind it: two lines.
    pub shows: [&'static str; 2],
    /// The rules that it stands for, each with the invariant that is broken once the rule is off.
    pub needs: &'static [(Rule, &'static str)],
    tell: fn(&mut Story),
}

/// A scenario as it was told.
#[derive(Debug)]
pub struct Told {
    /// The transcript, one line an event.
    pub lines: Vec<String>,
    /// The invariants that were broken.
    pub violations: Vec<Violation>,
    /// How often each kind of thing occurred.
    pub coverage: BTreeMap<String, u64>,
}

impl Scenario {
    /// The scenario of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        SCENARIOS.iter().copied().find(|scenario| scenario.name == name)
    }

    /// Tells it.
    #[must_use]
    pub fn tell(&self) -> Told {
        let mut story = Story::new();
        (self.tell)(&mut story);
        story.told()
    }

    /// The whole text: what it shows, the transcript, the verdict.
    #[must_use]
    pub fn text(&self) -> String {
        let Told { lines, violations, .. } = self.tell();
        let heading = self.shows.map(|line| format!("# {line}\n")).concat();
        let verdict = violations.iter().map(|broken| format!("BROKEN {}: {}\n", broken.invariant, broken.detail));
        let verdict: String = verdict.collect();
        let verdict = if verdict.is_empty() { HOLDS.into() } else { verdict };
        format!("{heading}\n{}\n\n{verdict}", lines.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::SCENARIOS;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_headings_fit_a_line() {
        let names: BTreeSet<&str> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
        assert_eq!(names.len(), SCENARIOS.len());
        for scenario in SCENARIOS {
            assert!(scenario.shows.iter().all(|line| line.len() <= 118), "{}", scenario.name);
        }
    }
}
