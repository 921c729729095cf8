//! Rules that are switched off one at a time, and what notices: proof that the judges can see.
//!
//! A rule for which scenarios are named must be noticed by each of them, by the invariant that it names and no other: a
//! complaint about something else would only show that the story went another way. A rule without a scenario must be
//! noticed by some seed that is sound while every rule holds.

use crate::run::{Options, run};
use crate::scenario::{SCENARIOS, Scenario};
use standfast_core::mutant::{Rule, without};
use std::ops::Range;

/// Says a line for each rule; true if every one of them was noticed.
pub fn table(seeds: Range<u64>, minutes: i64, mut say: impl FnMut(String)) -> bool {
    say(format!("{:22} {:24} {}", "without", "breaks", "in"));
    let mut noticed = 0;
    for &rule in Rule::ALL {
        let found = notices(rule, seeds.clone(), minutes);
        noticed += usize::from(found.is_ok());
        let (invariant, place) = found.unwrap_or_else(|why| ("NOT NOTICED", why));
        say(format!("{:22} {invariant:24} {place}", rule.name()));
    }
    say(format!("{noticed} of {} rules are noticed when they are off", Rule::ALL.len()));
    noticed == Rule::ALL.len()
}

fn notices(rule: Rule, seeds: Range<u64>, minutes: i64) -> Result<(&'static str, String), String> {
    let named: Vec<(&Scenario, &'static str)> = SCENARIOS
        .iter()
        .flat_map(|scenario| scenario.needs.iter().filter(|(of, _)| *of == rule).map(|&(_, by)| (*scenario, by)))
        .collect();
    let Some(&(first, invariant)) = named.first() else { return by_seeds(rule, seeds, minutes) };
    for (scenario, expected) in named {
        let broken = broken_without(rule, || scenario.tell().violations.first().map(|broken| broken.invariant));
        if broken != Some(expected) {
            return Err(format!("scenario {} breaks {}", scenario.name, broken.unwrap_or("nothing")));
        }
    }
    Ok((invariant, format!("scenario {}", first.name)))
}

fn by_seeds(rule: Rule, seeds: Range<u64>, minutes: i64) -> Result<(&'static str, String), String> {
    let broken =
        |seed| run(seed, Options { minutes, lines: false, plain: true }).violations.first().map(|it| it.invariant);
    let mut tried = seeds.clone();
    let found = tried.find_map(|seed| {
        let invariant = broken_without(rule, || broken(seed))?;
        broken(seed).is_none().then(|| (invariant, format!("seed {seed}")))
    });
    found.ok_or_else(|| format!("seeds {seeds:?}"))
}

fn broken_without<Told>(rule: Rule, tell: impl FnOnce() -> Told) -> Told {
    without(Some(rule));
    let told = tell();
    without(None);
    told
}
