//! The simulator's seeds, as tests. `STANDFAST_SIM_SEEDS=FIRST..LAST` runs others than the usual ones; a night runs
//! millions with `cargo run --release -p standfast-sim -- --seeds 0..1000000`.

use standfast_sim::run::{Options, Report, run};
use std::collections::BTreeMap;

/// Seeds that once broke an invariant, and what was wrong. Draws have changed since for all but the last five, which no
/// longer meet the history that they are named after; what keeps a history is its story among the scenarios.
const PINNED: [(u64, &str); 18] = [
    (15, "two stores were found to be lost because of one"),
    (39, "a wall clock that stepped shortened what the store held"),
    (44, "two nodes waited for each other to say which had gone back in time"),
    (48, "an old memory of a wiped partner was believed"),
    (146, "another lease of a client was evidence against what the partner had given it"),
    (177, "an ask that the home refused became a NAK of a renewal"),
    (314, "a batch overtook the hello and was dropped"),
    (333, "a store that had gone back was found to have done so again"),
    (375, "a batch overtook the hello and was dropped"),
    (457, "an ask that the home refused became a NAK of a renewal"),
    (631, "a promise of partner-down was on its way when its rights ended"),
    (1_151, "what a process had written since its start hid that its store had gone back"),
    (1_923, "an address that its client had declined elsewhere"),
    (167, "of one version the partner held the shorter times, and they counted as taken"),
    (946, "a lease that was held back was refused, because another one was thought to run still"),
    (1_259, "an embargo was moved by what the wall clock had been wrong before it"),
    (6_930, "what was held for longer than it was stored counted as taken"),
    (9_287, "a decline that was over, told by a node in doubt, refused the client that had the address"),
];

/// What must occur in the usual seeds for them to show anything.
const COVERED: [&str; 24] = [
    "client acked",
    "client gave back",
    "communications-interrupted -> normal",
    "communications-interrupted -> partner-down",
    "embargo_started",
    "fault cut clients",
    "fault end session",
    "fault failing disk",
    "fault kill",
    "fault one way",
    "fault partition",
    "fault power cut",
    "fault slow disk",
    "fault suspend",
    "fault wipe",
    "normal -> communications-interrupted",
    "normal -> partner-down",
    "operator leave",
    "operator partner-down",
    "operator switchover",
    "partner-down -> communications-interrupted",
    "recover -> normal",
    "startup -> communications-interrupted",
    "store_lost",
];

const MINUTES: i64 = 10;

fn judged(seed: u64) -> Report {
    let report = run(seed, Options { minutes: MINUTES, lines: false });
    assert!(report.violations.is_empty(), "cargo run -p standfast-sim -- {seed}\n{:#?}", report.violations);
    report
}

#[test]
fn no_seed_breaks_an_invariant() {
    let seeds = std::env::var("STANDFAST_SIM_SEEDS").unwrap_or_else(|_| "0..40".into());
    let (first, last) = seeds.split_once("..").unwrap();
    let mut coverage: BTreeMap<String, u64> = BTreeMap::new();
    for seed in first.parse().unwrap()..last.parse::<u64>().unwrap() {
        judged(seed).coverage.into_iter().for_each(|(what, count)| *coverage.entry(what).or_default() += count);
    }
    for what in COVERED {
        assert!(coverage.contains_key(what), "{what} never occurred: {coverage:#?}");
    }
}

#[test]
fn no_seed_that_once_failed_fails_again() {
    for (seed, _) in PINNED {
        judged(seed);
    }
}

#[test]
fn a_seed_gives_the_same_transcript_twice() {
    let options = Options { minutes: 5, lines: true };
    let (once, again) = (run(7, options), run(7, options));
    assert!(once.lines.len() > 50, "{} lines", once.lines.len());
    assert_eq!(once.lines, again.lines);
}
