//! Only the link between the nodes is cut: clients hear both, and no one can tell a cut cable from a death.

use crate::pair::{A, B, Pair, address};
use standfast_tests::device::{Device, Grant, Patience};
use standfast_tests::lab::{Cable, enter};

const BEFORE: u8 = 10;
const DURING: u8 = 40;

#[test]
fn a_cut_link_gives_no_address_to_two_clients() {
    if !enter("cut_link::a_cut_link_gives_no_address_to_two_clients", &[]) {
        return;
    }
    let pair = Pair::start(2, "8h");
    let device = |host: usize, number| Device::new(&pair.lab.clients[host], number);
    let mut old: Vec<(Device, Grant)> = (1..=BEFORE)
        .map(|number| {
            let mut device = device(0, number);
            let grant = device.obtain(None, Patience::USUAL).unwrap();
            (device, grant)
        })
        .collect();

    pair.lab.cut(A, Cable::Peer);
    for node in [A, B] {
        pair.daemon(node).wait_for("communications-interrupted", true);
    }
    // Both serve, and clients choose as they like: at A, at B, at the quickest.
    let choices = [Some(address(A)), Some(address(B)), None];
    let mut new: Vec<(Device, Grant)> = (1..=DURING)
        .zip(choices.into_iter().cycle())
        .map(|(number, from)| {
            let mut device = device(1, number);
            let grant = device.obtain(from, Patience::USUAL).unwrap();
            (device, grant)
        })
        .collect();
    for ((device, grant), from) in old.iter_mut().zip(choices.into_iter().cycle()) {
        let kept = device.rebind(grant.address, from, Patience::USUAL).unwrap();
        assert_eq!(kept.address, grant.address, "an old client keeps its address, whoever answers");
    }
    pair.judge();

    pair.lab.heal(A, Cable::Peer);
    let active = pair.wait_for_normal();
    let leases = pair.leases();
    assert_eq!(leases.len(), usize::from(BEFORE) + usize::from(DURING), "{leases:#?}");
    for (device, grant) in old.iter_mut().chain(&mut new) {
        let kept = device.rebind(grant.address, None, Patience::USUAL).unwrap();
        assert_eq!((kept.address, kept.server), (grant.address, address(active)));
    }
    pair.judge();
}
