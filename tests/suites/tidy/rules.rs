//! Rules of failover, the scenarios that stand for them, and the page that tells of both.

use crate::{assert_none, root};
use standfast_core::mutant::Rule;
use standfast_sim::scenario::SCENARIOS;
use std::collections::BTreeSet;

const PAGE: &str = "docs/internals/failover.md";

#[test]
fn the_page_on_failover_has_every_rule_with_its_scenario() {
    let page = std::fs::read_to_string(root().join(PAGE)).unwrap();
    let (_, section) = page.split_once("## Rules, their stories and their mutants").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let mut faults = Vec::new();

    let told: BTreeSet<(&str, &str)> = SCENARIOS
        .iter()
        .flat_map(|scenario| scenario.needs.iter().map(|(rule, _)| (scenario.name, rule.name())))
        .collect();
    let written: BTreeSet<(&str, &str)> = section.lines().filter_map(row).collect();
    faults
        .extend(told.difference(&written).map(|(scenario, rule)| format!("{rule} by {scenario} is not in the table")));
    faults.extend(written.difference(&told).map(|(scenario, rule)| format!("{rule} by {scenario} is not in the code")));

    let named: BTreeSet<&str> = section.split('`').skip(1).step_by(2).collect();
    let scenarios = SCENARIOS.iter().map(|scenario| scenario.name);
    faults
        .extend(scenarios.filter(|name| !named.contains(name)).map(|name| format!("the scenario {name} is not named")));
    assert_none(&faults, &format!("{PAGE} tells which scenario stands for which rule:"));
}

/// Rules that are noticed by seeds instead: no story of a few steps is known that comes to where they matter.
const BY_SEEDS: [&str; 1] = ["merge-raises-version"];

#[test]
fn every_rule_has_a_scenario() {
    let needed: BTreeSet<&str> =
        SCENARIOS.iter().flat_map(|scenario| scenario.needs.iter().map(|(rule, _)| rule.name())).collect();
    let told = |name: &&str| needed.contains(name) || BY_SEEDS.contains(name);
    let missing: Vec<&str> = Rule::ALL.iter().map(|rule| rule.name()).filter(|name| !told(name)).collect();
    assert_none(&missing, "a rule that can be switched off is one that some scenario needs:");
}

/// Scenario and mutant of a row of the table.
fn row(line: &str) -> Option<(&str, &str)> {
    let cells: Vec<&str> = line.strip_prefix('|')?.split('|').map(str::trim).collect();
    let quoted = |cell: &str| cell.len() > 2 && cell.starts_with('`') && cell.ends_with('`');
    let [_, scenario, mutant, ..] = cells.as_slice() else { return None };
    (quoted(scenario) && quoted(mutant)).then(|| (scenario.trim_matches('`'), mutant.trim_matches('`')))
}
