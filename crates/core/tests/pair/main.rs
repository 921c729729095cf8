//! What a pair of nodes does, told as stories. The simulator goes where no story has gone; these say what is meant.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod harness;
mod import;
mod revisions;
mod three;

use dhcproto::v4::MessageType;
use harness::{Pair, message};
use standfast_core::id::{NodeName, RelationshipName};
use standfast_core::input::{Command, Input};
use standfast_core::lease::record::LeaseState;
use standfast_core::output::CommandResult;
use std::net::Ipv4Addr;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_new_pair_comes_into_normal_and_only_the_primary_answers() {
    let mut pair = Pair::new();
    assert_eq!([pair.phase(0), pair.phase(1)], ["normal", "normal"]);
    assert_eq!(pair.active(), [0]);
    let (server, address, lease) = pair.acquire(1).unwrap();
    assert_eq!((server, address, lease), (0, Ipv4Addr::new(10, 0, 0, 50), 7_200));
    assert!(pair.hosts[1].replies.is_empty());
    let [a, b] = pair.tables();
    assert_eq!(a, b);
    assert_eq!(a.len(), 1);
}

#[test]
fn status_counts_leases_as_they_are_now() {
    let mut pair = Pair::new();
    let mut seen = std::collections::BTreeSet::new();
    for client in 1..=4 {
        pair.acquire(client).unwrap();
        pair.run(600 * SECOND);
    }
    let mut release = message(1, MessageType::Release);
    let (_, address, _) = pair.acquire(1).unwrap();
    release.set_ciaddr(address);
    pair.send(&[0, 1], &release, Ipv4Addr::new(10, 0, 0, 1));
    for _ in 0..200 {
        let node = pair.hosts[0].node.as_ref().unwrap();
        let scope = &node.status().scopes[0];
        let of = |state| node.leases().filter(|(_, lease)| lease.state_at(pair.now) == state).count() as u64;
        let leases = [LeaseState::Bound, LeaseState::Ended, LeaseState::Declined].map(of);
        assert_eq!([scope.bound, scope.ended, scope.declined], leases);
        seen.insert(leases);
        pair.run(40 * SECOND);
    }
    assert!(seen.contains(&[3, 1, 0]) || seen.contains(&[3, 0, 0]), "one was released: {seen:?}");
    assert!(seen.contains(&[0, 0, 0]), "all are over and free in the end: {seen:?}");
}

#[test]
fn the_whole_pool_is_usable_in_normal() {
    let mut pair = Pair::new();
    let addresses: std::collections::BTreeSet<_> = (1..=8).map(|client| pair.acquire(client).unwrap().1).collect();
    assert_eq!(addresses.len(), 8);
    assert_eq!(pair.acquire(9), None);
    let [a, b] = pair.tables();
    assert_eq!(a, b);
}

#[test]
fn the_standby_takes_over_when_the_active_node_dies_and_clients_keep_their_addresses() {
    let mut pair = Pair::new();
    let (_, first, _) = pair.acquire(1).unwrap();
    pair.kill(0);
    assert_eq!(pair.active(), [1]);
    assert_eq!(pair.rebind(1, first, &[1]), [(1, MessageType::Ack, first, Some(7_200))]);
    let (server, second, lease) = pair.acquire(2).unwrap();
    assert_eq!((server, lease), (1, 600), "a new lease runs no further than the lead time");
    assert_ne!(first, second);
    assert_eq!(second.octets()[3] % 2, 1, "alone, a node gives away only what is at home");

    pair.run(5 * SECOND);
    pair.start(0, false);
    assert_eq!(pair.phase(0), "startup");
    assert_eq!(pair.active(), [1]);
    pair.connect();
    assert_eq!([pair.phase(0), pair.phase(1)], ["normal", "normal"]);
    assert_eq!(pair.active(), [1], "the one that served goes on");
    let [a, b] = pair.tables();
    assert_eq!(a, b);

    pair.run(60 * SECOND);
    assert_eq!(pair.active(), [1], "no failback to a primary that has heard nobody");
    assert_eq!(pair.rebind(1, first, &[0, 1]), [(1, MessageType::Ack, first, Some(7_200))]);
    pair.run(29 * SECOND);
    assert_eq!(pair.active(), [1]);
    pair.run(2 * SECOND);
    assert_eq!(pair.active(), [0], "failback after its delay");
    assert_eq!(pair.rebind(2, second, &[0, 1]), [(0, MessageType::Ack, second, Some(7_200))]);
}

#[test]
fn both_serve_through_a_cut_and_never_give_one_address_to_two_clients() {
    let mut pair = Pair::new();
    pair.disconnect();
    pair.run(2 * SECOND);
    assert_eq!(pair.active(), [0, 1]);
    let mut given = std::collections::BTreeMap::new();
    for client in 0..16 {
        if let Some((_, address, _)) = pair.acquire_from(client, &[usize::from(client % 2)]) {
            assert_eq!(given.insert(address, client), None);
        }
    }
    assert_eq!(given.len(), 8);
    pair.connect();
    assert_eq!([pair.phase(0), pair.phase(1)], ["normal", "normal"]);
    assert_eq!(pair.active(), [0], "a blip moves nothing");
    let [a, b] = pair.tables();
    assert_eq!(a, b);
    assert_eq!(a.len(), 8);
}

#[test]
fn an_operator_switches_over_and_back() {
    let mut pair = Pair::new();
    let (_, address, _) = pair.acquire(1).unwrap();
    let switchover =
        |to: &str| Command::Switchover { relationship: RelationshipName::from("office"), to: Some(NodeName::from(to)) };
    pair.command(0, switchover("b"));
    assert_eq!(pair.active(), [1]);
    assert!(matches!(pair.hosts[0].answers.pop(), Some(CommandResult::Done(_))));
    assert_eq!(pair.rebind(1, address, &[0, 1]), [(1, MessageType::Ack, address, Some(7_200))]);
    pair.run(60 * SECOND);
    assert_eq!(pair.active(), [1], "what an operator did is not undone");
    pair.command(0, switchover("b"));
    assert!(matches!(pair.hosts[0].answers.pop(), Some(CommandResult::Refused(_))));
    pair.command(0, switchover("a"));
    assert_eq!(pair.active(), [0]);
}

#[test]
fn an_ended_lease_is_relinquished_and_its_address_given_to_another() {
    let mut pair = Pair::new();
    let addresses: Vec<_> = (1..=8).map(|client| pair.acquire(client).unwrap().1).collect();
    let mut release = message(1, MessageType::Release);
    release.set_ciaddr(addresses[0]);
    pair.send(&[0], &release, Ipv4Addr::new(10, 0, 0, 1));
    assert_eq!(pair.acquire(9), None, "not before both agree that it is free");
    pair.run(12 * SECOND);
    assert_eq!(pair.acquire(9).unwrap().1, addresses[0]);
    let [a, b] = pair.tables();
    assert_eq!(a, b);
}

#[test]
fn a_node_that_leaves_cleanly_leaves_everything_to_its_partner_and_is_silent_until_it_is_back() {
    let mut pair = Pair::new();
    let (_, address, _) = pair.acquire(1).unwrap();
    pair.command(0, Command::Leave);
    assert!(pair.hosts[0].left);
    assert_eq!(pair.phase(1), "partner-down");
    pair.kill(0);
    let given: Vec<_> = (2..=9).filter_map(|client| pair.acquire_from(client, &[1])).collect();
    assert_eq!(given.len(), 7, "the whole pool, at once");
    assert!(given.iter().all(|&(_, _, lease)| lease == 7_200));
    pair.start(0, false);
    pair.run(60 * SECOND);
    assert_eq!(pair.phase(0), "startup", "silent until it has heard its partner");
    pair.connect();
    assert_eq!([pair.phase(0), pair.phase(1)], ["normal", "normal"]);
    let [a, b] = pair.tables();
    assert_eq!(a, b);
    assert_eq!(a.len(), 8);
    assert_eq!(pair.rebind(1, address, &[0, 1]).len(), 1);
}

#[test]
fn a_node_that_lost_its_store_gets_everything_back_and_holds_back_for_the_lead_time() {
    let mut pair = Pair::new();
    pair.acquire(1).unwrap();
    pair.kill(1);
    pair.hosts[1].disk.clear();
    pair.start(1, false);
    pair.run(20 * SECOND);
    assert_eq!(pair.active(), [0]);
    pair.connect();
    assert_eq!([pair.phase(0), pair.phase(1)], ["normal", "normal"]);
    let [a, b] = pair.tables();
    assert_eq!(a, b);
    assert!(pair.status(1).embargo.is_some());
    let given: Vec<_> = (2..=9).filter_map(|client| pair.acquire(client)).collect();
    assert!(given.iter().all(|&(_, address, _)| address.octets()[3] % 2 == 0), "its home is held back: {given:?}");
    assert_eq!(given.len(), 3, "and everything else is given, to the first who ask");
    let heard = pair.discover(10);
    assert!(heard.is_empty(), "nobody is offered what would be refused: {heard:?}");
    pair.run(700 * SECOND);
    assert!(pair.acquire(20).is_some(), "what nobody ever had is free after the lead time");
    pair.run(7_200 * SECOND);
    assert_eq!(pair.status(1).embargo, None);
}

#[test]
fn a_node_that_lost_its_store_and_is_active_again_draws_on_its_partner() {
    let mut pair = Pair::new();
    let (_, address, _) = pair.acquire(1).unwrap();
    pair.kill(0);
    pair.hosts[0].disk.clear();
    pair.start(0, false);
    pair.connect();
    assert_eq!(pair.active(), [1]);
    pair.rebind(1, address, &[0, 1]);
    pair.run(31 * SECOND);
    assert_eq!(pair.active(), [0], "failback");
    assert!(pair.status(0).embargo.is_some());
    let given: Vec<_> = (2..=9).filter_map(|client| pair.acquire(client)).collect();
    assert_eq!(given.len(), 4, "what is at home at its partner: {given:?}");
    assert!(given.iter().all(|&(server, address, _)| server == 0 && address.octets()[3] % 2 == 1), "{given:?}");
    let [a, b] = pair.tables();
    assert_eq!(a, b);
}

#[test]
fn two_empty_stores_serve_nobody_until_the_cluster_is_declared_new() {
    for declared_at in [0, 1] {
        let mut pair = Pair::unstarted();
        pair.start(0, false);
        pair.start(1, false);
        pair.connect();
        pair.run(30 * SECOND);
        assert_eq!(pair.active(), [0; 0]);
        pair.command(declared_at, Command::Init);
        pair.run(SECOND);
        assert_eq!([pair.phase(0), pair.phase(1)], ["normal", "normal"]);
        assert!([0, 1].iter().all(|&host| pair.status(host).embargo.is_none()), "nothing was ever promised");
        assert!((1..=8).all(|client| pair.acquire(client).is_some()), "the whole pool is usable");
    }
}

#[test]
fn a_node_says_that_it_will_serve_once_its_right_is_durable() {
    let mut pair = Pair::new();
    let session = pair.links[&(0, 1)].unwrap();
    pair.raw_input(0, Input::PeerDown { peer: "b".into(), session });
    let says = |pair: &Pair| pair.hosts[0].node.as_ref().map(|node| (node.serves(), node.is_about_to_serve()));
    assert_eq!(says(&pair), Some((false, true)), "that it is interrupted is not stored yet");
    pair.settle();
    assert_eq!(says(&pair), Some((true, false)));
}

#[test]
fn a_forced_partner_down_gives_the_whole_pool_after_the_lead_time() {
    let mut pair = Pair::new();
    for client in 1..=4 {
        pair.acquire(client).unwrap();
    }
    pair.kill(0);
    let force = Command::PartnerDown { node: "a".into(), relationship: None, off_since: None, despite_evidence: false };
    pair.command(1, force);
    assert_eq!(pair.phase(1), "partner-down");
    let at_once = (5..=12).filter_map(|client| pair.acquire_from(client, &[1])).count();
    assert_eq!(at_once, 3, "what is at home: the active node gave its own away first");
    pair.run(611 * SECOND);
    let later = (5..=12).filter_map(|client| pair.acquire_from(client, &[1])).count();
    assert_eq!(later, 4, "and what was the partner's");
}
