//! A packet whose scope is deactivated, disabled, unknown or not yet recovered gets nothing, whatever it is.

use crate::client::{DECLINE, DISCOVER, Datagram, INFORM, RELEASE, client_id, hardware};
use crate::lab::{Lab, SERVERS, address, other_scope, reservation, scope};
use standfast_core::configuration::{ReservationHolder, Scope, ScopeOwner};
use std::net::Ipv4Addr;
use std::time::Duration;

const FOREIGN: Ipv4Addr = Ipv4Addr::new(192, 168, 7, 9);

/// A message of every kind from client `number`, which may hold `held`; `server` is named where one must be.
fn every_message(number: u8, held: Ipv4Addr, server: Ipv4Addr) -> Vec<(&'static str, Datagram)> {
    let of_type = |message_type| Datagram::new(number, message_type).ciaddr(held);
    vec![
        ("discover", Datagram::new(number, DISCOVER)),
        ("rapid discover", Datagram::new(number, DISCOVER).option(80, &[])),
        ("selecting", Datagram::selecting(number, server, held)),
        ("selecting another address", Datagram::selecting(number, server, address(58))),
        ("selecting a foreign address", Datagram::selecting(number, server, FOREIGN)),
        ("init-reboot", Datagram::rebooting(number, held)),
        ("init-reboot of another address", Datagram::rebooting(number, address(58))),
        ("init-reboot of a foreign address", Datagram::rebooting(number, FOREIGN)),
        ("renewing", Datagram::renewing(number, held)),
        ("rebinding", Datagram::rebinding(number, held)),
        ("rebinding a foreign address", Datagram::rebinding(number, FOREIGN)),
        ("relayed", Datagram::new(number, DISCOVER).relayed(address(3))),
        ("relayed rebinding", Datagram::rebinding(number, held).relayed(address(3))),
        ("decline", Datagram::decline(number, server, held)),
        ("release", Datagram::release(number, server, held)),
        ("inform", of_type(INFORM)),
        ("bootp", Datagram::bootp(number)),
        ("leasequery", of_type(10)),
        ("an offer", of_type(2)),
        ("an unknown type", of_type(200)),
        ("a request for nothing", Datagram::new(number, 3)),
        ("a release of nothing", Datagram::new(number, RELEASE)),
        ("a decline of nothing", Datagram::new(number, DECLINE)),
    ]
}

fn generous() -> Scope {
    Scope {
        rapid_commit: true,
        bootp: true,
        nak_unknown_clients: true,
        reservations: vec![reservation(ReservationHolder::Hardware(hardware(7)), 20)],
        ..scope()
    }
}

#[test]
fn a_deactivated_scope_says_nothing_to_anyone() {
    let mut lab = Lab::pair(vec![generous()]);
    let held = lab.ask(&Datagram::new(1, DISCOVER)).yiaddr;
    lab.ask(&Datagram::selecting(1, SERVERS[0], held));
    for number in [1, 2, 7] {
        for server in SERVERS {
            for (name, message) in every_message(number, held, server) {
                // A link that only the deactivated node hears clients on would be a reason to switch over.
                lab.ask(&Datagram::new(9, DISCOVER));
                for (how, message) in [("", message.clone()), ("unicast ", message.unicast())] {
                    let reason = lab.silence(1, &message);
                    let no_link = message.destination.is_none() && reason == "unknown_scope";
                    assert!(reason == "deactivated" || no_link, "{how}{name} of client {number}: {reason}");
                }
            }
        }
    }
}

#[test]
fn a_disabled_scope_says_nothing_to_anyone() {
    let mut lab = Lab::alone(vec![Scope { disabled: true, ..generous() }]);
    for (name, message) in every_message(7, address(20), SERVERS[0]) {
        assert_eq!(lab.silence(0, &message), "disabled", "{name}");
    }
}

#[test]
fn a_scope_disabled_while_an_offer_is_out_says_no_more() {
    let mut lab = Lab::alone(vec![scope()]);
    let offered = lab.ask(&Datagram::new(1, DISCOVER)).yiaddr;
    lab.configure(vec![Scope { disabled: true, ..scope() }]);
    assert_eq!(lab.silence(0, &Datagram::selecting(1, SERVERS[0], offered)), "disabled");
}

#[test]
fn a_scope_of_another_node_says_nothing_to_anyone() {
    let mut lab = Lab::alone(vec![Scope { owner: ScopeOwner::Node("b".into()), ..generous() }]);
    for (name, message) in every_message(7, address(20), SERVERS[0]) {
        assert_eq!(lab.silence(0, &message), "deactivated", "{name}");
    }
}

#[test]
fn a_link_without_a_scope_says_nothing_to_anyone() {
    let mut lab = Lab::alone(vec![other_scope(30)]);
    for (name, message) in every_message(1, address(50), SERVERS[0]) {
        assert_eq!(lab.silence(0, &message), "unknown_scope", "{name}");
    }
}

#[test]
fn a_node_that_starts_says_nothing_until_it_has_spoken_to_its_partner() {
    let mut lab = Lab::pair_apart(vec![generous()]);
    for (name, message) in every_message(7, address(20), SERVERS[0]) {
        assert_eq!(lab.silence(0, &message), "deactivated", "{name}");
    }
}

#[test]
fn no_wrong_network_nak_for_an_address_of_a_deactivated_scope_on_the_link() {
    let shared = |scope: Scope| Scope { shared_network: Some("floor".into()), ..scope };
    let elsewhere = Scope { owner: ScopeOwner::Node("b".into()), ..other_scope(30) };
    let mut lab = Lab::alone(vec![shared(scope()), shared(elsewhere)]);
    let there = Ipv4Addr::new(10, 30, 0, 55);
    assert_eq!(lab.silence(0, &Datagram::rebooting(1, there)), "deactivated");
    assert_eq!(lab.silence(0, &Datagram::rebinding(1, there)), "deactivated");
    assert_eq!(lab.silence(0, &Datagram::selecting(1, SERVERS[0], there)), "deactivated");
}

#[test]
fn what_is_malformed_is_dropped_and_counted() {
    let mut lab = Lab::alone(vec![scope()]);
    let discover = || Datagram::new(1, DISCOVER);
    for (message, reason) in [
        (discover().header(0, &[2]), "malformed_not_a_request"),
        (discover().header(2, &[0]), "malformed_hardware_length"),
        (discover().header(2, &[17]), "malformed_hardware_length"),
        (discover().header(236, &[0]), "malformed_cookie"),
        (discover().header(24, &[127, 0, 0, 1]), "own_relay_address"),
        (discover().header(24, &[224, 0, 0, 1]), "malformed_address"),
        (discover().header(24, &[255; 4]), "malformed_address"),
        (discover().relayed(SERVERS[0]), "own_relay_address"),
        (discover().option(53, &[1]), "malformed_option_length"),
        (discover().option(61, &[7; 200]).option(61, &[7; 200]), "malformed_client_id_length"),
    ] {
        assert_eq!(lab.silence(0, &message), reason);
    }
}

#[test]
fn everything_received_is_answered_or_passed_over_by_reason() {
    let mut lab = Lab::alone(vec![generous()]);
    let offered = lab.ask(&Datagram::new(1, DISCOVER)).yiaddr;
    lab.ask(&Datagram::selecting(1, SERVERS[0], offered));
    for number in [1, 2, 7] {
        for (_, message) in every_message(number, offered, SERVERS[0]) {
            lab.send(0, &message);
        }
    }
    lab.send(0, &Datagram::new(1, DISCOVER).header(0, &[9]));
    let counters = lab.node(0).counters();
    let sum = |of: &std::collections::BTreeMap<&'static str, u64>| of.values().sum::<u64>();
    assert_eq!(sum(&counters.received), sum(&counters.answered) + sum(&counters.silent), "{counters:?}");
}

#[test]
fn after_a_failover_the_other_node_speaks_and_the_first_one_is_silent() {
    let mut lab = Lab::pair(vec![scope()]);
    let held = lab.ask(&Datagram::new(1, DISCOVER)).yiaddr;
    lab.ask(&Datagram::selecting(1, SERVERS[0], held));
    lab.skip(Duration::from_secs(1));
    assert!(lab.holds(&client_id(1), held));
    lab.kill(0);
    let answers = lab.send(1, &Datagram::rebinding(1, held));
    assert_eq!((answers.len(), answers[0].yiaddr), (1, held));
}
