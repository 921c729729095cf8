//! Both nodes gone at once, and a node that comes back with a store of yesterday.

use crate::pair::{A, B, Pair, Plan, address};
use standfast_tests::crowd::{Crowd, Load};
use standfast_tests::device::{Device, Grant, Patience, Say};
use standfast_tests::lab::enter;
use standfast_tests::say;
use standfast_tests::store::copy_folder;
use standfast_tests::wait::{LONG, until_true};
use std::fs;

const DEVICES: u8 = 12;
/// An isolated start is decided sooner than by default, since nothing here depends on how soon.
const QUICK_START: &str = r#"startup_timeout = "3s""#;
const STORE_LOST: &str = "SF3001";

fn some_devices(pair: &Pair, host: usize, first: u8) -> Vec<(Device, Grant)> {
    (first..first + DEVICES)
        .map(|number| {
            let mut device = Device::new(&pair.lab.clients[host], number);
            let grant = device.obtain(None, Patience::USUAL).unwrap();
            (device, grant)
        })
        .collect()
}

/// Everyone keeps the address that they had, by word of this node.
fn all_keep(devices: &mut [(Device, Grant)], node: usize) {
    for (device, grant) in devices {
        let kept = device.rebind(grant.address, None, Patience::USUAL).unwrap();
        assert_eq!((kept.address, kept.server), (grant.address, address(node)));
    }
}

#[test]
fn both_nodes_killed_and_started_in_either_order() {
    if !enter("starts::both_nodes_killed_and_started_in_either_order", &[]) {
        return;
    }
    let mut pair = Pair::start_with(Plan { failover: QUICK_START, ..Plan::new(1, "8h") });
    let mut devices = some_devices(&pair, 0, 1);
    let mut next = DEVICES + 1;
    for (first, second) in [(A, B), (B, A)] {
        let before = pair.leases();
        pair.kill(A);
        pair.kill(B);
        pair.boot(first, false);
        pair.daemon(first).wait_for("communications-interrupted", true);
        all_keep(&mut devices, first);
        let mut alone = some_devices(&pair, 0, next);
        next += DEVICES;
        pair.boot(second, false);
        // Neither has served without a break since they were last in step, so it is the primary's turn.
        pair.wait_until_in_step(A);
        devices.append(&mut alone);
        all_keep(&mut devices, A);
        let after = pair.leases();
        for lease in &before {
            assert!(
                after.iter().any(|it| (&it.address, &it.hardware) == (&lease.address, &lease.hardware)),
                "{lease:?}"
            );
        }
        assert_eq!(after.len(), devices.len());
    }
    // And both at once: nobody served meanwhile, so the primary does.
    pair.kill(A);
    pair.kill(B);
    pair.boot(B, false);
    pair.boot(A, false);
    pair.wait_until_in_step(A);
    all_keep(&mut devices, A);
    pair.judge();
    let promotions = pair.promotions();
    assert!(promotions <= 2 + 3, "one for each start alone and each death of an active node, not {promotions}");
}

#[test]
fn a_primary_with_yesterdays_store_gets_todays_from_its_partner() {
    if enter("starts::a_primary_with_yesterdays_store_gets_todays_from_its_partner", &[]) {
        yesterdays_store(A);
    }
}

#[test]
fn a_standby_with_yesterdays_store_gets_todays_from_its_partner() {
    if enter("starts::a_standby_with_yesterdays_store_gets_todays_from_its_partner", &[]) {
        yesterdays_store(B);
    }
}

/// The node is the active one when yesterday's copy is made, and when it dies today.
fn yesterdays_store(node: usize) {
    let mut pair = Pair::start_with(Plan { failover: QUICK_START, ..Plan::new(2, "8h") });
    let pair = &mut pair;
    Crowd::prepare(&pair.lab, 1);
    let partner = 1 - node;
    if node == B {
        pair.switch_over_to(B);
    }
    let mut devices = some_devices(pair, 0, 1);
    let data = pair.site(node).data_dir();
    let copy = pair.path().join(format!("yesterday-{node}"));
    pair.kill(node);
    copy_folder(&data, &copy);
    pair.boot(node, false);
    pair.wait_until_in_step(partner);
    pair.switch_over_to(node);

    // Today: some leave, others come and may be given what was left, and a crowd arrives.
    for (mut device, grant) in devices.split_off(usize::from(DEVICES) / 2) {
        device.say(Say::Release { server: address(node), address: grant.address }, Some(pair.server(node)));
    }
    let crowd = Crowd::start(&pair.lab.clients[1], Load { exchanges: Some(200), ..Load::new_clients(100) });
    devices.append(&mut some_devices(pair, 0, 1 + DEVICES));
    until_true("the crowd to have come", LONG, || crowd.is_done());
    let crowd = crowd.finish();
    assert_eq!((crowd.completed, crowd.lost.len()), (200, 0));
    let before = pair.leases();
    pair.kill(node);
    fs::remove_dir_all(&data).unwrap();
    fs::rename(&copy, &data).unwrap();

    let lost = pair.site(partner).count(STORE_LOST);
    pair.boot(node, false);
    pair.wait_until_in_step(partner);
    assert!(pair.site(node).count(STORE_LOST) > 0, "it says that its store is old");
    assert_eq!(pair.site(partner).count(STORE_LOST), lost, "and its partner's is not");
    all_keep(&mut devices, partner);
    let after = pair.leases();
    for lease in before.iter().filter(|it| it.state == "bound") {
        let same = after.iter().any(|it| (&it.address, &it.hardware) == (&lease.address, &lease.hardware));
        assert!(same, "{lease:?} was lost with the old store");
    }
    say(&format!("yesterday's store on node {node}: {} leases, all back", after.len()));
    pair.switch_over_to(node);
    all_keep(&mut devices, node);
    let mut new = some_devices(pair, 0, 1 + 2 * DEVICES);
    all_keep(&mut new, node);
    pair.judge();
}
