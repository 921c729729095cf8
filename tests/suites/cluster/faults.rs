//! Faults that no process notices by itself: a node that stands still, links that carry one way, that flap, or that end
//! at a client switch.
//!
//! In each story clients come and renew all the while, and in each the same must hold: no address has two clients, both
//! tables are equal once all is well, and nobody was promoted more often than there was a reason.

use crate::pair::{A, B, Pair, Plan, address};
use nix::sys::signal::Signal;
use standfast_tests::crowd::{Crowd, Load, Outcome};
use standfast_tests::device::{Device, Grant, Patience};
use standfast_tests::judge::{answered_late, reached_node};
use standfast_tests::lab::{Cable, enter};
use standfast_tests::say;
use standfast_tests::wait::{LONG, until_true};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The host of the relay, and the one with clients of its own.
const RELAY: usize = 0;
const LAN: usize = 1;
const DEVICES: u8 = 10;
/// The story of some tests has times of its own.
const STOPPED: Duration = Duration::from_secs(10);
const FLAP: Duration = Duration::from_secs(2);
const FLAPS: usize = 15;

/// A pair, a crowd at it, and some devices with addresses.
struct Scene {
    pair: Pair,
    crowd: Crowd,
    devices: Vec<(Device, Grant)>,
}

impl Scene {
    fn start(load: Load) -> Self {
        let pair = Pair::start_with(Plan::new(2, "8h"));
        Crowd::prepare(&pair.lab, RELAY);
        let mut devices = Vec::new();
        for number in 1..=DEVICES {
            let mut device = Device::new(&pair.lab.clients[LAN], number);
            let grant = device.obtain(None, Patience::USUAL).unwrap();
            devices.push((device, grant));
        }
        let crowd = Crowd::start(&pair.lab.clients[RELAY], load);
        let scene = Self { pair, crowd, devices };
        scene.wait_for_progress();
        scene
    }

    /// Waits until the crowd has been answered some more.
    fn wait_for_progress(&self) {
        let before = self.crowd.completed();
        until_true("the crowd to be served", LONG, || self.crowd.completed() > before + 20);
    }

    /// Everyone renews at whoever answers first, and keeps the address.
    fn renew_all(&mut self) {
        for (device, grant) in &mut self.devices {
            let kept = device.rebind(grant.address, None, Patience::USUAL).unwrap();
            assert_eq!(kept.address, grant.address, "a client keeps its address");
        }
    }

    /// The crowd ends, and all is well: what holds after every story.
    fn end(mut self, name: &str, promotions_allowed: usize) -> Outcome {
        self.wait_for_progress();
        let outcome = self.crowd.finish();
        let active = self.pair.wait_for_normal();
        let leases = self.pair.leases();
        for (device, grant) in &mut self.devices {
            let kept = device.rebind(grant.address, None, Patience::USUAL).unwrap();
            assert_eq!((kept.address, kept.server), (grant.address, address(active)), "{name}");
        }
        for (mac, held) in &outcome.held {
            let known = leases.iter().find(|it| it.address == held.to_string());
            assert!(known.is_some_and(|it| it.hardware == mac.to_string()), "{name}: {mac} holds {held}: {known:?}");
        }
        self.pair.judge();
        let promotions = self.pair.promotions();
        say(&format!(
            "{name}: {} exchanges, {} messages repeated, {} refused, {} lost, longest wait {:?}; {promotions} promotions",
            outcome.completed,
            outcome.repeated,
            outcome.refused,
            outcome.lost.len(),
            outcome.percentile(1.0),
        ));
        assert!(promotions <= promotions_allowed, "{name}: {promotions} promotions, {promotions_allowed} at most");
        assert!(outcome.lost.is_empty(), "{name}: {:#?}", outcome.lost);
        assert!(outcome.denied.is_empty(), "{name}: who renews is not told NAK: {:?}", outcome.denied);
        outcome
    }
}

#[test]
fn an_active_node_that_stood_still_answers_nothing_that_queued_up() {
    if !enter("faults::an_active_node_that_stood_still_answers_nothing_that_queued_up", &[]) {
        return;
    }
    let mut scene = Scene::start(Load::new_clients(100));
    let stopped = Instant::now();
    scene.pair.daemon(A).signal(Signal::SIGSTOP);
    scene.pair.daemon(B).wait_for("communications-interrupted", true);
    scene.renew_all();
    sleep(STOPPED.saturating_sub(stopped.elapsed()));
    let continued = Instant::now();
    scene.pair.daemon(A).signal(Signal::SIGCONT);
    scene.wait_for_progress();
    scene.pair.wait_for_normal();
    let late = answered_late(&scene.pair.capture.since(stopped), A, continued);
    assert!(late.is_empty(), "{late:#?}");
    scene.end("SIGSTOP of the active node for 10 s", 2);
}

#[test]
fn a_link_that_carries_one_way_only_gives_no_address_to_two_clients() {
    if !enter("faults::a_link_that_carries_one_way_only_gives_no_address_to_two_clients", &[]) {
        return;
    }
    let mut scene = Scene::start(Load::new_clients(50));
    for deaf in [B, A] {
        let active = scene.pair.wait_for_normal();
        scene.pair.lab.deafen(deaf, Cable::Peer);
        for node in [A, B] {
            scene.pair.daemon(node).wait_for("communications-interrupted", true);
        }
        scene.wait_for_progress();
        scene.renew_all();
        scene.pair.lab.heal(deaf, Cable::Peer);
        assert_eq!(scene.pair.wait_for_normal(), active, "a blip moves nothing");
    }
    scene.end("a link that carries one way only, each way", 2 * 2);
}

#[test]
fn a_link_that_flaps_causes_no_storm() {
    if !enter("faults::a_link_that_flaps_causes_no_storm", &[]) {
        return;
    }
    let scene = Scene::start(Load::renewals(50, 300));
    for _ in 0..FLAPS {
        scene.pair.lab.cut(A, Cable::Peer);
        sleep(FLAP);
        scene.pair.lab.heal(A, Cable::Peer);
        sleep(FLAP);
    }
    scene.end("a link that flaps every 2 s for a minute", FLAPS + 1);
}

#[test]
fn an_active_node_without_clients_hands_over() {
    if !enter("faults::an_active_node_without_clients_hands_over", &[]) {
        return;
    }
    let scene = Scene::start(Load::renewals(50, 300));
    let pair = &scene.pair;
    let start = Instant::now();
    pair.lab.plug(A, Cable::Lan, false);
    pair.wait_until_in_step(B);
    let unplugged = start.elapsed();
    scene.wait_for_progress();
    let plugged = Instant::now();
    pair.lab.plug(A, Cable::Lan, true);
    until_true("A to hear clients again", LONG, || !reached_node(&pair.capture.since(plugged), A).is_empty());

    // The carrier stays, and nothing comes: only the other node can tell.
    let start = Instant::now();
    pair.lab.cut(B, Cable::Lan);
    pair.wait_until_in_step(A);
    let deaf = start.elapsed();
    scene.wait_for_progress();
    pair.lab.heal(B, Cable::Lan);
    say(&format!(
        "client link of the active node: handed over {unplugged:.1?} after it was unplugged, {deaf:.1?} after it went dead"
    ));
    let interrupted = [A, B].map(|node| pair.site(node).count("SF1004"));
    assert_eq!(interrupted, [0, 0], "contact was never lost: both were alive, and it was agreed");
    scene.end("client links that end at the active node", 2);
}
