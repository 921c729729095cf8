//! `standfast-sim SEED`: a cluster's life, one line an event, and the checkers' verdicts.

#![expect(clippy::print_stdout, reason = "the transcript is what this program is for")]

use clap::Parser;
#[cfg(feature = "mutants")]
use standfast_core::mutant::{Rule, without};
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
    /// Threads among which the seeds are shared out.
    #[arg(long, default_value_t = 1)]
    jobs: usize,
    /// Without the faults of the second stream.
    #[arg(long)]
    plain: bool,
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
        if arguments.mutants {
            let (first, last) = arguments.seeds.unwrap_or((0, 300));
            let table = standfast_sim::mutants::table(first..last, arguments.minutes, |line| println!("{line}"));
            return verdict(table);
        }
        if let Some(name) = &arguments.without {
            if rule_off(&arguments).is_none() {
                let known: Vec<&str> = Rule::ALL.iter().map(|rule| rule.name()).collect();
                println!("there is no rule {name}; there is: {}", known.join(" "));
                return ExitCode::FAILURE;
            }
            without(rule_off(&arguments));
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
        (Some(seed), None) => tell(seed, arguments.minutes, arguments.plain),
        (_, seeds) => search(seeds.unwrap_or((0, 100)), &arguments),
    }
}

/// The rule that is to be off; each thread has to be told of it.
#[cfg(feature = "mutants")]
fn rule_off(arguments: &Arguments) -> Option<Rule> {
    let name = arguments.without.as_deref()?;
    Rule::ALL.iter().copied().find(|rule| rule.name() == name)
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

fn tell(seed: u64, minutes: i64, plain: bool) -> ExitCode {
    let report = run(seed, Options { minutes, lines: true, plain });
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

fn search(seeds: (u64, u64), arguments: &Arguments) -> ExitCode {
    let (began, jobs) = (Instant::now(), arguments.jobs.max(1));
    let (coverage, broken) = std::thread::scope(|scope| {
        let shares: Vec<_> = (0..jobs).map(|job| scope.spawn(move || share(seeds, job, jobs, arguments))).collect();
        let mut all = (BTreeMap::new(), 0);
        for share in shares {
            let (coverage, broken) = share.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            coverage.into_iter().for_each(|(what, count)| *all.0.entry(what).or_default() += count);
            all.1 += broken;
        }
        all
    });
    for (what, count) in &coverage {
        println!("{count:>10} {what}");
    }
    let missing = missing(&coverage);
    missing.iter().for_each(|what| println!("{:>10} {what}: NEVER", 0));
    let (count, took) = (seeds.1 - seeds.0, began.elapsed().as_secs_f64());
    let rate = count as f64 * arguments.minutes as f64 / took / jobs as f64;
    println!("{count} seeds, {broken} broken, {took:.0} s, {rate:.0} simulated minutes a second and thread");
    verdict(broken == 0 && (missing.is_empty() || !arguments.require_coverage))
}

/// Every so many of the seeds: what occurred in them, and how many are broken.
fn share((first, last): (u64, u64), job: usize, jobs: usize, arguments: &Arguments) -> (BTreeMap<String, u64>, u64) {
    #[cfg(feature = "mutants")]
    without(rule_off(arguments));
    let mut coverage: BTreeMap<String, u64> = BTreeMap::new();
    let mut broken = 0;
    let options = Options { minutes: arguments.minutes, lines: false, plain: arguments.plain };
    for seed in (first..last).skip(job).step_by(jobs) {
        let Report { violations, coverage: occurred, .. } = run(seed, options);
        occurred.into_iter().for_each(|(what, count)| *coverage.entry(what).or_default() += count);
        for violation in &violations {
            println!("seed {seed} at {} s: {}: {}", violation.at / 1_000_000, violation.invariant, violation.detail);
        }
        broken += u64::from(!violations.is_empty());
    }
    (coverage, broken)
}

fn verdict(holds: bool) -> ExitCode {
    if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
