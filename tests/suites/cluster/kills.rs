//! SIGKILL within milliseconds of an ACK, again and again: what a client was told is known to both nodes.

use crate::pair::{A, Pair, Plan};
use dhcproto::v4::MessageType;
use standfast_tests::daemon::Lease;
use standfast_tests::device::{Device, Patience, Say};
use standfast_tests::judge::{Promise, promises};
use standfast_tests::lab::enter;
use standfast_tests::say;
use standfast_tests::store::{self, Stored};
use standfast_tests::wait::{LONG, until};
use std::time::{Duration, Instant, SystemTime};

/// As many as the checks have time for; `STANDFAST_KILLS=200` is what the figure in the documentation was taken with.
const KILLS: u32 = 24;
/// Clients that ask at the same time.
const AT_ONCE: u8 = 4;
/// So many come in turn, again and again, so that extensions are put to the test as well as grants.
const DEVICES: u8 = 60;
/// A partner that a busy machine keeps from its work would not be waited for by default, and the client be told a bounded
/// lease that its node alone has to know of.
const PATIENT: &str = r#"replication_deadline = "10s""#;
/// Times cross as whole seconds.
const ROUNDING: Duration = Duration::from_secs(2);

#[test]
fn nothing_that_was_acked_is_lost_when_its_node_is_killed_at_once() {
    if !enter("kills::nothing_that_was_acked_is_lost_when_its_node_is_killed_at_once", &[]) {
        return;
    }
    let kills = std::env::var("STANDFAST_KILLS").map_or(KILLS, |it| it.parse().unwrap());
    let mut pair = Pair::start_with(Plan { failover: PATIENT, ..Plan::new(1, "8h") });
    let mut devices: Vec<Device> = (0..DEVICES).map(|number| Device::new(&pair.lab.clients[0], number)).collect();
    let (mut active, mut acked) = (A, 0);
    for round in 0..kills {
        let survivor = 1 - active;
        let start = Instant::now();
        let turn = usize::try_from(round).unwrap() * usize::from(AT_ONCE) % devices.len();
        ask_at_once(&mut devices[turn..turn + usize::from(AT_ONCE)]);
        // From the moment of the first ACK to some milliseconds later, when others are under way.
        std::thread::sleep(Duration::from_micros(u64::from(round % 8) * 500));
        pair.kill(active);
        let told = promises(&pair.capture.since(start), active);
        assert!(!told.is_empty(), "somebody was told something");
        acked += told.len();

        let on_disk = store::leases(&pair.site(active).data_dir(), pair.path());
        for promise in &told {
            assert!(
                on_disk.iter().any(|it| keeps(it, promise)),
                "round {round}: not on the disk of the dead: {promise:?}"
            );
        }
        pair.daemon(survivor).wait_for("communications-interrupted", true);
        assert_lists(&pair, survivor, &told, round);
        pair.boot(active, false);
        pair.wait_until_in_step(survivor);
        assert_lists(&pair, active, &told, round);
        active = survivor;
    }
    pair.leases();
    pair.judge();
    assert!(pair.promotions() <= usize::try_from(kills).unwrap(), "one for each death");
    say(&format!("SIGKILL within milliseconds of an ACK, {kills} times: none of {acked} promises lost on either node"));
}

/// Each gets an OFFER and asks for it; returns when the first has its ACK.
fn ask_at_once(devices: &mut [Device]) {
    let mut requests = Vec::new();
    for device in &mut *devices {
        let offer = device.discover(None, Patience::USUAL).unwrap();
        requests.push(Say::Selecting { server: offer.server, address: offer.address });
    }
    for (device, request) in devices.iter_mut().zip(&requests) {
        device.say(*request, None);
    }
    let quick = Duration::from_micros(200);
    until("the first ACK", LONG, || {
        let heard = devices.iter().any(|device| device.hear(MessageType::Ack, None, quick).is_ok());
        heard.then_some(()).ok_or_else(|| "nobody was answered".to_owned())
    });
}

fn keeps(stored: &Stored, promise: &Promise) -> bool {
    let until = SystemTime::now() + promise.until.saturating_duration_since(Instant::now());
    stored.bound
        && stored.address == promise.address
        && stored.hardware == promise.client
        && stored.expiry + ROUNDING >= until
}

fn assert_lists(pair: &Pair, node: usize, told: &[Promise], round: u32) {
    let listed = pair.daemon(node).leases().unwrap();
    let now = jiff::Timestamp::now();
    for promise in told {
        let until = now + promise.until.saturating_duration_since(Instant::now());
        let hardware = promise.client.iter().map(|it| format!("{it:02x}")).collect::<Vec<_>>().join(":");
        let keeps = |it: &Lease| {
            it.address == promise.address.to_string()
                && it.hardware == hardware
                && it.state == "bound"
                && it.expiry + ROUNDING >= until
        };
        assert!(listed.iter().any(keeps), "round {round}: node {node} does not know of {promise:?}: {listed:#?}");
    }
}
