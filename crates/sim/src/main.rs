//! `standfast-sim SEED`: a cluster's life, one line an event, and the checkers' verdicts.

#![expect(clippy::print_stdout, reason = "the transcript is what this program is for")]

use clap::Parser;
use standfast_sim::coverage::missing;
use standfast_sim::run::{Options, Report, run};
use standfast_sim::scenario::{HOLDS, SCENARIOS, Scenario};
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Instant;

/// Simulates a cluster under faults and judges it.
#[derive(Parser, Debug)]
#[command(version)]
struct Arguments {
    /// The seed to tell about.
    seed: Option<u64>,
    /// Simulated minutes of each seed.
    #[arg(long, default_value_t = 10)]
    minutes: i64,
    /// Run many seeds, FIRST..LAST, and tell only what is broken.
    #[arg(long, value_parser = range)]
    seeds: Option<(u64, u64)>,
    /// Fail if anything that must occur in many seeds never did.
    #[arg(long)]
    require_coverage: bool,
    /// Tell a scenario.
    #[arg(long, value_name = "NAME")]
    scenario: Option<String>,
    /// List the scenarios.
    #[arg(long)]
    scenarios: bool,
    /// Switch a rule of failover off.
    #[cfg(feature = "mutants")]
    #[arg(long)]
    without: Option<String>,
    /// Switch each rule off in turn and print what notices; `--seeds` limits the search where no scenario is named.
    #[cfg(feature = "mutants")]
    #[arg(long)]
    mutants: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    #[cfg(feature = "mutants")]
    {
        use standfast_core::mutant::{Rule, without};
        if arguments.mutants {
            let (first, last) = arguments.seeds.unwrap_or((0, 300));
            let table = standfast_sim::mutants::table(first..last, arguments.minutes, |line| println!("{line}"));
            return verdict(table);
        }
        if let Some(name) = &arguments.without {
            let Some(rule) = Rule::ALL.iter().find(|rule| rule.name() == name) else {
                println!(
                    "no such rule; there is: {}",
                    Rule::ALL.iter().map(|r| r.name()).collect::<Vec<_>>().join(" ")
                );
                return ExitCode::FAILURE;
            };
            without(Some(*rule));
        }
    }
    if arguments.scenarios {
        SCENARIOS.iter().for_each(|scenario| println!("{:36} {}", scenario.name, scenario.shows[0]));
        return ExitCode::SUCCESS;
    }
    if let Some(name) = &arguments.scenario {
        return story(name);
    }
    match (arguments.seed, arguments.seeds) {
        (Some(seed), None) => tell(seed, arguments.minutes),
        (_, seeds) => search(seeds.unwrap_or((0, 100)), arguments.minutes, arguments.require_coverage),
    }
}

fn range(text: &str) -> Result<(u64, u64), String> {
    let (first, last) = text.split_once("..").ok_or("expected FIRST..LAST")?;
    let number = |text: &str| text.parse().map_err(|error| format!("{text}: {error}"));
    Ok((number(first)?, number(last)?))
}

fn story(name: &str) -> ExitCode {
    let Some(scenario) = Scenario::named(name) else {
        println!("no such scenario; --scenarios lists them");
        return ExitCode::FAILURE;
    };
    let text = scenario.text();
    print!("{text}");
    verdict(text.ends_with(HOLDS))
}

fn tell(seed: u64, minutes: i64) -> ExitCode {
    let report = run(seed, Options { minutes, lines: true });
    report.lines.iter().for_each(|line| println!("{line}"));
    for invariant in &report.invariants {
        let broken = report.violations.iter().find(|violation| violation.invariant == *invariant);
        println!(
            "{invariant:24} {}",
            broken.map_or("holds".into(), |violation| format!("BROKEN: {}", violation.detail))
        );
    }
    verdict(report.violations.is_empty())
}

fn search((first, last): (u64, u64), minutes: i64, require_coverage: bool) -> ExitCode {
    let began = Instant::now();
    let mut coverage: BTreeMap<String, u64> = BTreeMap::new();
    let mut broken = 0;
    for seed in first..last {
        let Report { violations, coverage: occurred, .. } = run(seed, Options { minutes, lines: false });
        occurred.into_iter().for_each(|(what, count)| *coverage.entry(what).or_default() += count);
        for violation in &violations {
            println!("seed {seed} at {} s: {}: {}", violation.at / 1_000_000, violation.invariant, violation.detail);
        }
        broken += u64::from(!violations.is_empty());
    }
    for (what, count) in &coverage {
        println!("{count:>10} {what}");
    }
    let missing = missing(&coverage);
    missing.iter().for_each(|what| println!("{:>10} {what}: NEVER", 0));
    let simulated = (last - first) as f64 * minutes as f64;
    let rate = simulated / began.elapsed().as_secs_f64();
    println!("{} seeds, {broken} broken, {rate:.0} simulated minutes a second", last - first);
    verdict(broken == 0 && (missing.is_empty() || !require_coverage))
}

fn verdict(holds: bool) -> ExitCode {
    if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
