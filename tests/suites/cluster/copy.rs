//! A standby with an empty store gets all leases while the active node serves.

use crate::pair::{A, B, Pair, Plan};
use jiff::Timestamp;
use standfast_tests::crowd::{Crowd, Load};
use standfast_tests::lab::enter;
use standfast_tests::say;
use standfast_tests::wait::until_true;
use std::fs;
use std::time::Duration;

/// What the checks have time for with a binary that is not optimised. The figure in the documentation is of
/// `STANDFAST_COPY_LEASES=100000 STANDFAST_COPY_RATE=500` with one that is.
const LEASES: u64 = 4_000;
const RATE: u32 = 200;
/// How fast clients come before the copy.
const ARRIVALS: u32 = 600;
/// Patience for as many leases as anyone asks for.
const FILLING: Duration = Duration::from_secs(600);

fn setting<T: std::str::FromStr>(name: &str, otherwise: T) -> T {
    std::env::var(name).ok().and_then(|it| it.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn an_empty_standby_gets_everything_while_the_active_node_serves() {
    if !enter("copy::an_empty_standby_gets_everything_while_the_active_node_serves", &[]) {
        return;
    }
    let leases = setting("STANDFAST_COPY_LEASES", LEASES);
    let rate = setting("STANDFAST_COPY_RATE", RATE);
    let mut pair = Pair::start_with(Plan::new(1, "8h"));
    Crowd::prepare(&pair.lab, 0);
    let per_second = setting("STANDFAST_COPY_ARRIVALS", ARRIVALS);
    let filling = Crowd::start(&pair.lab.clients[0], Load { exchanges: Some(leases), ..Load::new_clients(per_second) });
    until_true("the leases to be there", FILLING, || filling.is_done());
    let filling = filling.finish();
    assert_eq!((filling.completed, filling.lost.len()), (leases, 0));

    pair.kill(B);
    fs::remove_dir_all(pair.site(B).data_dir()).unwrap();
    let first = u32::try_from(leases).unwrap();
    let crowd = Crowd::start(&pair.lab.clients[0], Load { first, ..Load::new_clients(rate) });
    let progress = |more: u64| {
        let before = crowd.completed();
        until_true("the crowd to be served", FILLING, || crowd.completed() >= before + more);
    };
    pair.daemon(A).wait_for("communications-interrupted", true);
    progress(u64::from(rate));
    pair.boot(B, false);
    pair.wait_until_in_step(A);
    progress(u64::from(rate));
    let outcome = crowd.finish();

    let took = time_of(&pair, "-> normal").duration_since(time_of(&pair, "startup -> recover"));
    say(&format!(
        "full copy of {leases} leases to an empty standby at {rate} exchanges/s: {:.2} s; {} exchanges, {} lost, {} messages \
         repeated, median {:.1?}, p99 {:.1?}, longest {:.1?}",
        took.as_secs_f64(),
        outcome.completed,
        outcome.lost.len(),
        outcome.repeated,
        outcome.percentile(0.5),
        outcome.percentile(0.99),
        outcome.percentile(1.0),
    ));
    assert!(outcome.lost.is_empty(), "{:#?}", outcome.lost);
    assert_eq!(pair.leases().len() as u64, leases + outcome.held.len() as u64);
    pair.judge();
}

/// When a state was last changed so at the standby.
fn time_of(pair: &Pair, what: &str) -> Timestamp {
    let log = fs::read_to_string(pair.site(B).log()).unwrap();
    let line = log.lines().rfind(|line| line.contains("state_changed") && line.contains(what)).expect("it happened");
    line.split_whitespace().next().unwrap().parse().unwrap()
}
