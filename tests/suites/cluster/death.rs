//! The active node dies by SIGKILL, and comes back.

use crate::pair::{A, B, Pair, address};
use dhcproto::v4::MessageType;
use standfast_tests::clients::{Client, Kind, Manner};
use standfast_tests::device::{Device, Grant, Patience};
use standfast_tests::judge::{deactivated_is_silent, first_answer};
use standfast_tests::lab::enter;
use std::time::Instant;

const DEVICES: u8 = 12;

#[test]
fn a_pair_serves_through_the_death_of_its_active_node() {
    if !enter("death::a_pair_serves_through_the_death_of_its_active_node", &["dhclient", "udhcpc"]) {
        return;
    }
    // Short leases, so that the real clients come to the end of theirs and renew by broadcast while the test runs.
    let mut pair = Pair::start(3, "40s");
    let real = [(Kind::Dhclient, 0), (Kind::Udhcpc, 1)];
    let clients = real.map(|(kind, host)| Client::start(kind, &pair.lab.clients[host], pair.path(), Manner::default()));
    let addresses = clients.each_ref().map(Client::wait_for_address);
    for client in &clients {
        assert_eq!(client.successes()[0].server, Some(address(A)), "leases come from the active node");
    }
    let mut devices: Vec<_> = (1..=DEVICES).map(|number| Device::new(&pair.lab.clients[2], number)).collect();
    let grants: Vec<Grant> = devices.iter_mut().map(|it| it.obtain(None, Patience::USUAL).unwrap()).collect();
    assert_eq!(pair.leases().len(), addresses.len() + grants.len());
    assert_silent(&pair, B, "the standby, while all was well");

    let death = Instant::now();
    pair.kill(A);
    let new = Device::new(&pair.lab.clients[2], DEVICES + 1).obtain(None, Patience::EAGER).unwrap();
    assert_eq!(new.server, address(B), "a new client gets an address from the survivor");
    report_first_answers(&pair, death);
    for (device, grant) in devices.iter_mut().zip(&grants) {
        let kept = device.rebind(grant.address, None, Patience::USUAL).unwrap();
        assert_eq!((kept.address, kept.server), (grant.address, address(B)), "old clients keep their addresses");
    }
    for (client, address_before) in clients.iter().zip(addresses) {
        let renewal = client.wait_for_renewal_by(address(B));
        assert_eq!(renewal.address, Some(address_before), "a real client renews by broadcast and keeps its address");
    }

    let return_of_a = Instant::now();
    pair.boot(A, false);
    pair.settle(A);
    let open = Instant::now();
    pair.wait_until_in_step(B);
    for (device, grant) in devices.iter_mut().zip(&grants) {
        assert_eq!(device.rebind(grant.address, None, Patience::USUAL).unwrap().server, address(B));
    }
    let mut emitted = deactivated_is_silent(&pair.capture.since(return_of_a), A);
    // Until its sockets are open the kernel answers for a process that is not there.
    emitted.retain(|it| !it.contains("Icmp"));
    emitted.extend(deactivated_is_silent(&pair.capture.since(open), A));
    assert!(emitted.is_empty(), "the node that returned is silent: {emitted:#?}");
    let before = pair.leases();

    pair.switch_over_to(A);
    for (device, grant) in devices.iter_mut().zip(&grants) {
        let kept = device.rebind(grant.address, None, Patience::USUAL).unwrap();
        assert_eq!((kept.address, kept.server), (grant.address, address(A)), "failback loses nothing");
    }
    let after = pair.leases();
    for lease in &before {
        assert!(after.iter().any(|it| it.address == lease.address), "{lease:?} was lost in failback");
    }
    pair.judge();
}

fn assert_silent(pair: &Pair, node: usize, who: &str) {
    let emitted = deactivated_is_silent(&pair.capture.all(), node);
    assert!(emitted.is_empty(), "{who}: {emitted:#?}");
}

/// Says how long clients were without an answer.
fn report_first_answers(pair: &Pair, death: Instant) {
    let seen = pair.capture.since(death);
    let after = |kind| first_answer(&seen, B, kind).expect("the new client was answered").duration_since(death);
    standfast_tests::say(&format!(
        "after SIGKILL of the active node, default timers: first OFFER {:.3} s, first ACK {:.3} s",
        after(MessageType::Offer).as_secs_f64(),
        after(MessageType::Ack).as_secs_f64()
    ));
}
