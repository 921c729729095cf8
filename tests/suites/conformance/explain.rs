//! A node can say what it would answer, and says then what it answers.

use crate::client::{DISCOVER, Datagram, client_id, hardware};
use crate::lab::{Lab, SERVERS, address, pool, reservation, scope};
use standfast_core::configuration::{ReservationHolder, Scope};
use standfast_core::lease::record::LeaseState;
use standfast_core::node::{Explanation, ScopeState, Subject};

fn of_client(lab: &Lab, number: u8) -> Explanation {
    let mut explanations = lab.node(0).explain(&Subject::Hardware(hardware(number)));
    assert_eq!(explanations.len(), 1);
    explanations.remove(0)
}

fn of_address(lab: &Lab, last: u8) -> Explanation {
    lab.node(0).explain(&Subject::Address(address(last))).remove(0)
}

#[test]
fn a_new_client_would_get_the_next_free_address_until_there_is_none() {
    let mut lab = Lab::alone(vec![Scope { pools: vec![pool(50, 50)], ..scope() }]);
    assert_eq!(of_client(&lab, 1).would, "an offer of the next free address, of 1");
    lab.ask(&Datagram::selecting(2, SERVERS[0], address(50)));
    assert_eq!(of_client(&lab, 1).would, "silence: no address is free");
    assert_eq!(lab.silence(0, &Datagram::new(1, DISCOVER)), "exhausted");
}

#[test]
fn a_known_client_would_get_its_lease() {
    let mut lab = Lab::alone(vec![scope()]);
    lab.ask(&Datagram::selecting(1, SERVERS[0], address(50)));
    let explanation = of_client(&lab, 1);
    assert_eq!(explanation.lease.map(|lease| (lease.address, lease.state)), Some((address(50), LeaseState::Bound)));
    assert!(explanation.would.starts_with("10.20.0.50: an offer of it"), "{}", explanation.would);
    assert!(of_address(&lab, 50).would.contains("it is the client's lease"));
}

#[test]
fn a_reservation_is_shown_and_why_it_cannot_be_given() {
    let kept = vec![reservation(ReservationHolder::Hardware(hardware(1)), 50)];
    let mut lab = Lab::alone(vec![scope()]);
    lab.ask(&Datagram::selecting(2, SERVERS[0], address(50)));
    lab.configure(vec![Scope { reservations: kept, ..scope() }]);
    let explanation = of_client(&lab, 1);
    assert_eq!(explanation.reserved, Some(address(50)));
    assert_eq!(explanation.would, "10.20.0.50: not offered: another client may be using it");
    assert_ne!(lab.ask(&Datagram::new(1, DISCOVER)).yiaddr, address(50));
}

#[test]
fn an_address_that_nobody_may_have_says_so() {
    let lab = Lab::alone(vec![scope()]);
    assert_eq!(of_address(&lab, 99).would, "it is in no pool and not reserved: nobody gets it");
    assert_eq!(of_address(&lab, 55).would, "it is free: whoever asks may get it");
    assert_eq!(lab.node(0).explain(&Subject::Address([192, 168, 7, 9].into())), []);
}

#[test]
fn a_deactivated_or_disabled_scope_says_why_it_is_silent() {
    let lab = Lab::pair(vec![scope()]);
    let explanation = lab.node(1).explain(&Subject::ClientId(client_id(1))).remove(0);
    assert_eq!(explanation.state, ScopeState::Deactivated);
    assert_eq!(explanation.would, "silence: the scope is deactivated here (normal)");
    let lab = Lab::alone(vec![Scope { disabled: true, ..scope() }]);
    assert_eq!(of_client(&lab, 1).would, "silence: an operator disabled the scope");
}

#[test]
fn a_node_remembers_what_it_last_did_for_a_client() {
    let mut lab = Lab::alone(vec![scope()]);
    lab.ask(&Datagram::new(1, DISCOVER));
    lab.silence(0, &Datagram::rebooting(1, address(51)));
    lab.ask(&Datagram::new(2, DISCOVER));
    let deeds: Vec<_> = lab.node(0).deeds(hardware(1)).map(|deed| (deed.message, deed.silence)).collect();
    assert_eq!(deeds, [("request", Some("unknown_client")), ("discover", None)]);
}
