//! `standfast-sim SEED`: a cluster's life, one line an event, and the checkers' verdicts.

#![expect(clippy::print_stdout, reason = "the transcript is what this program is for")]

use clap::Parser;
use standfast_sim::run::{Options, Report, run};
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
    /// Switch a rule of failover off.
    #[cfg(feature = "mutants")]
    #[arg(long)]
    without: Option<String>,
    /// Switch each rule off in turn and print how many seeds it takes to notice; `--seeds` limits the search.
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
            return mutants(arguments.seeds.unwrap_or((0, 1_000)), arguments.minutes);
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
    match (arguments.seed, arguments.seeds) {
        (Some(seed), None) => tell(seed, arguments.minutes),
        (_, seeds) => search(seeds.unwrap_or((0, 100)), arguments.minutes),
    }
}

fn range(text: &str) -> Result<(u64, u64), String> {
    let (first, last) = text.split_once("..").ok_or("expected FIRST..LAST")?;
    let number = |text: &str| text.parse().map_err(|error| format!("{text}: {error}"));
    Ok((number(first)?, number(last)?))
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

fn search((first, last): (u64, u64), minutes: i64) -> ExitCode {
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
    let simulated = (last - first) as f64 * minutes as f64;
    let rate = simulated / began.elapsed().as_secs_f64();
    println!("{} seeds, {broken} broken, {rate:.0} simulated minutes a second", last - first);
    verdict(broken == 0)
}

/// The table of mutants and the seeds that each needs. A seed that breaks with all rules on shows nothing.
#[cfg(feature = "mutants")]
fn mutants((first, last): (u64, u64), minutes: i64) -> ExitCode {
    use standfast_core::mutant::{Rule, without};
    let mut all_caught = true;
    for &rule in Rule::ALL {
        let caught = (first..last).find_map(|seed| {
            without(Some(rule));
            let report = run(seed, Options { minutes, lines: false });
            without(None);
            let violation = report.violations.into_iter().next()?;
            run(seed, Options { minutes, lines: false }).violations.is_empty().then_some((seed, violation.invariant))
        });
        match caught {
            Some((seed, invariant)) => println!("{:24} {:>6} seeds  {invariant}", rule.name(), seed - first + 1),
            None => println!("{:24} not caught in {} seeds", rule.name(), last - first),
        }
        all_caught &= caught.is_some();
    }
    verdict(all_caught)
}

fn verdict(holds: bool) -> ExitCode {
    if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
