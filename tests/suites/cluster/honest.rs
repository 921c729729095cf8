//! `standfast status` never claims what is not so, whatever happens to a pair.

use crate::pair::{A, B, Pair, Plan};
use standfast_tests::crowd::{Crowd, Load};
use standfast_tests::honesty::{Watcher, untrue_claims};
use standfast_tests::lab::{Cable, enter};
use standfast_tests::say;
use standfast_tests::wait::{LONG, until_true};
use std::time::Instant;

#[test]
fn status_says_what_the_frames_show() {
    if !enter("honest::status_says_what_the_frames_show", &[]) {
        return;
    }
    let mut pair = Pair::start_with(Plan::new(1, "8h"));
    Crowd::prepare(&pair.lab, 0);
    let crowd = Crowd::start(&pair.lab.clients[0], Load::new_clients(50));
    let watcher = Watcher::start([A, B].map(|node| pair.site(node)));
    let progress = || {
        let before = crowd.completed();
        until_true("the crowd to be served", LONG, || crowd.completed() > before + 100);
    };
    progress();

    let cut = Instant::now();
    pair.lab.cut(A, Cable::Peer);
    pair.daemon(A).wait_for("communications-interrupted", true);
    pair.daemon(B).wait_for("communications-interrupted", true);
    progress();
    let healed = Instant::now();
    pair.lab.heal(A, Cable::Peer);
    pair.wait_until_in_step(A);
    progress();

    pair.switch_over_to(B);
    progress();
    pair.lab.cut(B, Cable::Lan);
    pair.wait_until_in_step(A);
    pair.lab.heal(B, Cable::Lan);
    progress();
    pair.kill(A);
    pair.daemon(B).wait_for("communications-interrupted", true);
    progress();
    pair.boot(A, false);
    pair.wait_until_in_step(B);
    progress();

    let outcome = crowd.finish();
    let claims = watcher.finish();
    let untrue = untrue_claims(&claims, &pair.capture.all(), &[(cut, healed)]);
    assert!(untrue.is_empty(), "{untrue:#?}");
    // A node whose link is dead may have given a lease of which the client never heard.
    let leases = pair.leases();
    for (mac, held) in &outcome.held {
        assert!(leases.iter().any(|it| it.address == held.to_string()), "{mac} holds {held}");
    }
    for node in [A, B] {
        let status = pair.daemon(node).ask(&["status"]).unwrap();
        let bound: u64 = status["scopes"].as_array().unwrap().iter().filter_map(|it| it["bound"].as_u64()).sum();
        assert_eq!(bound, leases.len() as u64, "as many as are listed: {status}");
    }
    pair.judge();
    say(&format!(
        "{} statuses beside the frames of a cut, a switchover, a dead link and a death: all true",
        claims.len()
    ));
}
