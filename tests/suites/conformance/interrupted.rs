//! What a node may say when it cannot hear its partner, which may be alive.

use crate::client::{ACK, DISCOVER, Datagram, NAK};
use crate::lab::{Lab, SERVERS, scope};
use standfast_core::lease::table::LeaseTable;
use std::net::Ipv4Addr;
use std::time::Duration;

const MCLT: u32 = 3_600;

/// Binds an address to client `number` at node "a", which is active, and waits until both nodes know.
fn bind(lab: &mut Lab, number: u8) -> Ipv4Addr {
    let offered = lab.ask(&Datagram::new(number, DISCOVER)).yiaddr;
    assert_eq!(lab.ask(&Datagram::selecting(number, SERVERS[0], offered)).kind, ACK);
    offered
}

/// An address of the pool whose home is node `index`, and that nobody holds.
fn free_at_home_of(lab: &Lab, index: usize) -> Ipv4Addr {
    let home = lab.slot(index);
    let free = |address: &Ipv4Addr| LeaseTable::home(*address) == home && lab.lease(index, *address).is_none();
    (50..=59).map(crate::lab::address).find(free).expect("a free address")
}

#[test]
fn both_nodes_extend_a_lease_that_both_know() {
    let mut lab = Lab::pair(vec![scope()]);
    let held = bind(&mut lab, 1);
    lab.cut();
    for index in [0, 1] {
        let answers = lab.send(index, &Datagram::rebinding(1, held));
        assert_eq!((answers.len(), answers[0].kind, answers[0].yiaddr), (1, ACK, held));
    }
}

#[test]
fn a_promise_runs_no_further_than_the_lead_time() {
    let day = Duration::from_secs(86_400);
    let mut long = scope();
    long.lease_time.default = day;
    let mut lab = Lab::pair(vec![long]);
    let offered = lab.ask(&Datagram::new(1, DISCOVER)).yiaddr;
    let ack = lab.ask(&Datagram::selecting(1, SERVERS[0], offered));
    assert_eq!(ack.number(51), Some(86_400), "in Normal the first ACK has the full lease");
    lab.cut();
    let fresh = Datagram::selecting(2, SERVERS[1], free_at_home_of(&lab, 1));
    assert_eq!(lab.send(1, &fresh)[0].number(51), Some(MCLT));
}

#[test]
fn an_address_whose_home_is_the_partner_is_not_ours_to_give() {
    let mut lab = Lab::pair(vec![scope()]);
    lab.cut();
    let theirs = free_at_home_of(&lab, 0);
    assert_eq!(lab.silence(1, &Datagram::rebinding(1, theirs)), "not_ours");
    assert_eq!(lab.silence(1, &Datagram::rebooting(1, theirs)), "unknown_client");
    let nak = lab.send(1, &Datagram::selecting(1, SERVERS[1], theirs));
    assert_eq!((nak.len(), nak[0].kind), (1, NAK), "a client that selects holds nothing yet");
    let offer = lab.send(1, &Datagram::new(2, DISCOVER).option(50, &theirs.octets()));
    assert_eq!(LeaseTable::home(offer[0].yiaddr), lab.slot(1));
}

#[test]
fn evidence_about_an_address_whose_home_is_the_partner_is_not_enough_for_a_nak() {
    let mut lab = Lab::pair(vec![scope()]);
    let leases: Vec<Ipv4Addr> = (1..=6).map(|number| bind(&mut lab, number)).collect();
    lab.cut();
    for held in leases {
        let request = Datagram::rebinding(9, held);
        if LeaseTable::home(held) == lab.slot(1) {
            assert_eq!(lab.send(1, &request)[0].kind, NAK);
        } else {
            assert_eq!(lab.silence(1, &request), "not_ours");
        }
    }
}

#[test]
fn a_rapid_commit_binds_only_while_the_two_are_in_step() {
    let mut rapid = scope();
    rapid.rapid_commit = true;
    let mut lab = Lab::pair(vec![rapid]);
    let discover = |number| Datagram::new(number, DISCOVER).option(80, &[]);
    assert_eq!(lab.ask(&discover(1)).kind, ACK);
    lab.cut();
    let offer = lab.send(1, &discover(2)).remove(0);
    assert_eq!((offer.kind, offer.options.get(&80)), (crate::client::OFFER, None));
}

#[test]
fn a_client_that_chose_the_partner_is_evidence_that_it_serves() {
    let mut lab = Lab::pair(vec![scope()]);
    lab.cut();
    let offered = lab.send(1, &Datagram::new(1, DISCOVER))[0].yiaddr;
    assert_eq!(lab.silence(1, &Datagram::selecting(1, SERVERS[0], offered)), "other_server");
    assert!(lab.node(1).status().relationships[0].partner.seen_serving);
}

#[test]
fn the_same_request_gets_the_same_answer_from_either_node() {
    let mut lab = Lab::pair(vec![scope()]);
    let held = bind(&mut lab, 1);
    let request = Datagram::rebinding(1, held).option(61, &[]).option(12, b"host");
    let mut first = lab.send(0, &request).remove(0);
    lab.kill(0);
    let mut second = lab.send(1, &request).remove(0);
    assert_eq!(first.address(54), Some(SERVERS[0]));
    assert_eq!(second.address(54), Some(SERVERS[1]));
    for answer in [&mut first, &mut second] {
        answer.bytes[245..249].fill(0);
        assert_eq!(answer.codes, [53, 54, 51, 58, 59, 1, 3, 6]);
    }
    let times = 249..267;
    assert_eq!(first.bytes[..times.start], second.bytes[..times.start]);
    assert_eq!(first.bytes[times.end..], second.bytes[times.end..]);
}
