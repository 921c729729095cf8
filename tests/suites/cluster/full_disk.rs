//! The disk of a node is full: nothing is promised that is not durable, the other node serves, and all goes on by itself
//! once there is space.

use crate::pair::{A, B, Pair, Plan, address};
use standfast_tests::crowd::{Crowd, Load, Outcome};
use standfast_tests::disk::SmallDisk;
use standfast_tests::judge::{answered_new, promises, reached_node};
use standfast_tests::lab::enter;
use standfast_tests::say;
use standfast_tests::store;
use standfast_tests::wait::{LONG, until, until_true};
use std::time::Instant;

const MEBIBYTES: u32 = 40;
const STORE_HEALTH: &str = "SF3004";

struct Scene {
    pair: Pair,
    crowd: Crowd,
    disks: [SmallDisk; 2],
}

impl Scene {
    fn start() -> Self {
        let mut pair = Pair::prepare(Plan::new(1, "8h"));
        let disks = [A, B].map(|node| SmallDisk::mount(&pair.site(node).data_dir(), MEBIBYTES));
        pair.boot(A, true);
        pair.boot(B, true);
        pair.wait_until_in_step(A);
        Crowd::prepare(&pair.lab, 0);
        let crowd = Crowd::start(&pair.lab.clients[0], Load::new_clients(100));
        let scene = Self { pair, crowd, disks };
        scene.wait_for_progress();
        scene
    }

    fn wait_for_progress(&self) {
        let before = self.crowd.completed();
        until_true("the crowd to be served", LONG, || self.crowd.completed() > before + 50);
    }

    /// Fills the disk of a node and waits until it says so, in its status and as an event. Returns when it was full.
    fn fill(&self, node: usize) -> Instant {
        let before = self.pair.site(node).count(STORE_HEALTH);
        self.disks[node].fill();
        let full = Instant::now();
        until("the node to notice that its disk is full", LONG, || {
            let told = self.pair.site(node).count(STORE_HEALTH) > before;
            let status = self.pair.daemon(node).ask(&["status"])?;
            let todo = status["todo"].as_str().unwrap_or_default();
            let silent = status["scopes"][0]["state"] == "deactivated";
            if told && silent && todo.contains("disk") { Ok(()) } else { Err(status.to_string()) }
        });
        self.assert_all_promises_are_on_disk(node);
        full
    }

    /// What a node told its clients is on its disk, although that took no more.
    fn assert_all_promises_are_on_disk(&self, node: usize) {
        let told = promises(&self.pair.capture.all(), node);
        let on_disk = store::leases(&self.pair.site(node).data_dir(), self.pair.path());
        for promise in &told {
            let kept = on_disk.iter().any(|it| it.address == promise.address && it.hardware == promise.client);
            assert!(kept, "{} told {promise:?}, which is not on its disk", address(node));
        }
    }

    /// There is space again: the node recovers without help.
    fn empty(&self, node: usize) {
        let before = self.pair.site(node).count(STORE_HEALTH);
        self.disks[node].empty();
        until("the node to notice that there is space", LONG, || {
            let status = self.pair.daemon(node).ask(&["status"])?;
            let todo = status["todo"].as_str().unwrap_or_default();
            let told = self.pair.site(node).count(STORE_HEALTH) > before;
            if told && !todo.contains("disk") { Ok(()) } else { Err(status.to_string()) }
        });
    }

    fn end(self, name: &str) -> Outcome {
        self.wait_for_progress();
        let outcome = self.crowd.finish();
        self.pair.wait_for_normal();
        let leases = self.pair.leases();
        for (mac, held) in &outcome.held {
            assert!(leases.iter().any(|it| it.address == held.to_string()), "{name}: {mac} holds {held}");
        }
        self.pair.judge();
        say(&format!(
            "{name}: {} exchanges, {} messages repeated, longest time without an answer {:.1?}, {} promotions",
            outcome.completed,
            outcome.repeated,
            outcome.longest_silence(outcome.answers[0].0),
            self.pair.promotions()
        ));
        assert!(outcome.lost.is_empty(), "{name}: {:#?}", outcome.lost);
        outcome
    }
}

#[test]
fn the_disk_of_the_active_node_is_full() {
    if !enter("full_disk::the_disk_of_the_active_node_is_full", &["mount"]) {
        return;
    }
    let scene = Scene::start();
    let full = scene.fill(A);
    let seen = |node, since| promises(&scene.pair.capture.since(since), node).len();
    until_true("the other node to serve", LONG, || seen(B, full) > 50);
    let served = Instant::now();
    scene.wait_for_progress();
    assert_eq!(seen(A, served), 0, "and only the other node");
    scene.empty(A);
    scene.pair.wait_until_in_step(B);
    scene.pair.switch_over_to(A);
    scene.end("the disk of the active node is full, then not");
}

#[test]
fn the_disk_of_the_standby_is_full() {
    if !enter("full_disk::the_disk_of_the_standby_is_full", &["mount"]) {
        return;
    }
    let scene = Scene::start();
    scene.fill(B);
    scene.wait_for_progress();
    assert!(scene.pair.daemon(A).relationship().unwrap().active, "nothing is lost by it");
    scene.empty(B);
    scene.pair.wait_until_in_step(A);
    scene.pair.switch_over_to(B);
    scene.end("the disk of the standby is full, then not");
}

#[test]
fn both_disks_are_full() {
    if !enter("full_disk::both_disks_are_full", &["mount"]) {
        return;
    }
    let scene = Scene::start();
    scene.fill(B);
    scene.fill(A);
    // Both are silent now, whatever is asked of them.
    let silent = Instant::now();
    let reached = |node| reached_node(&scene.pair.capture.since(silent), node).len();
    until_true("both to be asked in vain", LONG, || reached(A) > 50 && reached(B) > 50);
    for node in [A, B] {
        let told = answered_new(&scene.pair.capture.all(), node, silent);
        assert!(told.is_empty(), "{}: {told:#?}\n{}", address(node), scene.pair.daemon(node).tail());
        scene.assert_all_promises_are_on_disk(node);
    }
    scene.empty(A);
    scene.wait_for_progress();
    scene.empty(B);
    scene.end("both disks are full, then not");
}
