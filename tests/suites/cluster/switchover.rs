//! An operator moves the service from one node to the other while clients come at 300 exchanges a second.

use crate::pair::{A, B, Pair, Plan, address};
use standfast_tests::crowd::{Crowd, Load};
use standfast_tests::lab::enter;
use standfast_tests::say;
use standfast_tests::wait::{LONG, until_true};
use std::time::Instant;

const RATE: u32 = 300;

#[test]
fn a_planned_switchover_loses_no_exchange() {
    if !enter("switchover::a_planned_switchover_loses_no_exchange", &[]) {
        return;
    }
    let pair = Pair::start_with(Plan::new(1, "8h"));
    Crowd::prepare(&pair.lab, 0);
    let crowd = Crowd::start(&pair.lab.clients[0], Load::new_clients(RATE));
    let progress = || {
        let before = crowd.completed();
        until_true("the crowd to be served", LONG, || crowd.completed() > before + 300);
    };
    progress();
    let mut moves = Vec::new();
    for to in [B, A, B] {
        let start = Instant::now();
        pair.switch_over_to(to);
        progress();
        moves.push((to, start, Instant::now()));
    }
    let outcome = crowd.finish();
    let silences = moves.iter().map(|&(to, start, end)| {
        let answers: Vec<Instant> =
            outcome.answers.iter().map(|it| it.0).filter(|at| (start..end).contains(at)).collect();
        assert!(outcome.answers.iter().any(|it| it.1 == address(to) && (start..end).contains(&it.0)));
        answers.windows(2).map(|two| two[1] - two[0]).max().unwrap()
    });
    say(&format!(
        "planned switchovers at {RATE} exchanges/s: longest time without an answer {:.1?} in turn; {} exchanges, {} lost, \
         {} messages repeated, {} refused",
        silences.collect::<Vec<_>>(),
        outcome.completed,
        outcome.lost.len(),
        outcome.repeated,
        outcome.refused
    ));
    assert!(outcome.lost.is_empty(), "{:#?}", outcome.lost);
    assert!(outcome.denied.is_empty(), "who renews is not told NAK: {:?}", outcome.denied);
    // A partner that lags, on a machine that is busy, is not asked for the address that was offered.
    let lagged = [A, B].iter().any(|&node| pair.site(node).count("SF1015") > 0);
    assert!(lagged || outcome.refused == 0, "{} clients were told NAK", outcome.refused);
    let leases = pair.leases();
    assert_eq!(leases.len(), outcome.held.len());
    pair.judge();
}
