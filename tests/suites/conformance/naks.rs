//! A NAK rests on positive evidence, in an active scope, and a missing record is never evidence.

use crate::client::{ACK, DISCOVER, Datagram, NAK, hardware};
use crate::lab::{Lab, SERVERS, address, other_scope, pool, reservation, scope};
use standfast_core::configuration::{ReservationHolder, Scope};
use std::net::Ipv4Addr;
use std::time::Duration;

const SERVER: Ipv4Addr = SERVERS[0];
const FOREIGN: Ipv4Addr = Ipv4Addr::new(192, 168, 7, 9);

/// Binds this address to client `number`.
fn bind(lab: &mut Lab, number: u8, last: u8) -> Ipv4Addr {
    assert_eq!(lab.ask(&Datagram::selecting(number, SERVER, address(last))).kind, ACK);
    address(last)
}

/// Every way to ask for an address without an offer.
fn without_offer(number: u8, address: Ipv4Addr) -> [Datagram; 3] {
    [Datagram::rebooting(number, address), Datagram::renewing(number, address), Datagram::rebinding(number, address)]
}

#[test]
fn rfc2131_section_3_1_4_selecting_what_cannot_be_given_gets_a_nak() {
    let mut lab = Lab::alone(vec![Scope {
        reservations: vec![reservation(ReservationHolder::Hardware(hardware(9)), 59)],
        ..scope()
    }]);
    let held = bind(&mut lab, 1, 50);
    let declined = bind(&mut lab, 2, 51);
    lab.send(0, &Datagram::decline(2, SERVER, declined));
    for (address, why) in [
        (held, "held by another"),
        (declined, "declined"),
        (address(59), "reserved for another"),
        (address(99), "outside the pools"),
        (FOREIGN, "outside the network"),
    ] {
        assert_eq!(lab.ask(&Datagram::selecting(3, SERVER, address)).kind, NAK, "{why}");
    }
}

#[test]
fn rfc2131_section_4_3_2_init_reboot_of_an_unknown_client_gets_silence() {
    let mut lab = Lab::alone(vec![scope()]);
    for asked in [address(50), address(99)] {
        assert_eq!(lab.silence(0, &Datagram::rebooting(1, asked)), "unknown_client");
    }
}

#[test]
fn init_reboot_of_an_unknown_client_gets_a_nak_where_the_operator_wants_it() {
    let mut lab = Lab::alone(vec![Scope { nak_unknown_clients: true, ..scope() }]);
    assert_eq!(lab.ask(&Datagram::rebooting(1, address(50))).kind, NAK);
}

#[test]
fn init_reboot_by_a_client_with_a_live_lease_elsewhere_gets_a_nak() {
    let mut lab = Lab::alone(vec![scope()]);
    bind(&mut lab, 1, 50);
    assert_eq!(lab.ask(&Datagram::rebooting(1, address(51))).kind, NAK);
}

#[test]
fn init_reboot_by_a_client_whose_lease_has_ended_gets_silence_for_another_address() {
    let mut lab = Lab::alone(vec![scope()]);
    let held = bind(&mut lab, 1, 50);
    lab.send(0, &Datagram::release(1, SERVER, held));
    assert_eq!(lab.silence(0, &Datagram::rebooting(1, address(51))), "unknown_client");
}

#[test]
fn a_live_lease_of_someone_else_is_evidence() {
    let mut lab = Lab::alone(vec![scope()]);
    let held = bind(&mut lab, 1, 50);
    for request in without_offer(2, held) {
        assert_eq!(lab.ask(&request).kind, NAK);
    }
}

#[test]
fn an_ended_lease_of_someone_else_is_no_evidence() {
    let mut lab = Lab::alone(vec![scope()]);
    let held = bind(&mut lab, 1, 50);
    lab.send(0, &Datagram::release(1, SERVER, held));
    assert_eq!(lab.silence(0, &Datagram::rebooting(2, held)), "unknown_client");
}

#[test]
fn an_offer_to_someone_else_is_no_evidence() {
    let mut lab = Lab::alone(vec![scope()]);
    let offered = lab.ask(&Datagram::new(1, DISCOVER)).yiaddr;
    assert_eq!(lab.silence(0, &Datagram::rebooting(2, offered)), "unknown_client");
    assert_eq!(lab.silence(0, &Datagram::renewing(2, offered)), "not_ours");
    assert_eq!(lab.silence(0, &Datagram::rebinding(2, offered)), "not_ours");
    assert_eq!(lab.ask(&Datagram::selecting(2, SERVER, offered)).kind, NAK);
}

#[test]
fn rfc2131_section_4_3_2_an_address_of_a_foreign_network_gets_a_nak() {
    let mut lab = Lab::alone(vec![scope()]);
    let [rebooting, _, rebinding] = without_offer(1, FOREIGN);
    assert_eq!(lab.ask(&rebooting).kind, NAK);
    assert_eq!(lab.ask(&rebinding).kind, NAK);
}

#[test]
fn a_unicast_request_with_no_scope_gets_silence() {
    let mut lab = Lab::alone(vec![scope()]);
    assert_eq!(lab.silence(0, &Datagram::renewing(1, FOREIGN)), "unknown_scope");
}

#[test]
fn an_address_of_a_foreign_network_gets_silence_where_the_scope_is_not_authoritative() {
    let mut lab = Lab::alone(vec![Scope { authoritative: false, ..scope() }]);
    assert_eq!(lab.silence(0, &Datagram::rebooting(1, FOREIGN)), "not_ours");
    assert_eq!(lab.silence(0, &Datagram::rebinding(1, FOREIGN)), "not_ours");
}

#[test]
fn an_address_of_a_foreign_network_gets_silence_unless_the_whole_link_is_served_here() {
    let shared = |scope: Scope| Scope { shared_network: Some("floor".into()), ..scope };
    let elsewhere = Scope { owner: standfast_core::configuration::ScopeOwner::Node("b".into()), ..other_scope(30) };
    let mut lab = Lab::alone(vec![shared(scope()), shared(elsewhere)]);
    assert_eq!(lab.silence(0, &Datagram::rebooting(1, FOREIGN)), "not_ours");
    let mut whole = Lab::alone(vec![shared(scope()), shared(other_scope(30))]);
    assert_eq!(whole.ask(&Datagram::rebooting(1, FOREIGN)).kind, NAK);
}

#[test]
fn an_address_of_another_scope_on_the_link_is_not_foreign() {
    let shared = |scope: Scope| Scope { shared_network: Some("floor".into()), ..scope };
    let mut lab = Lab::alone(vec![shared(scope()), shared(other_scope(30))]);
    let there = Ipv4Addr::new(10, 30, 0, 55);
    assert_eq!(lab.ask(&Datagram::selecting(1, SERVER, there)).kind, ACK);
    assert_eq!(lab.ask(&Datagram::rebinding(1, there)).kind, ACK);
    assert_eq!(lab.ask(&Datagram::rebooting(1, there)).kind, ACK);
}

#[test]
fn renewing_what_was_taken_out_of_the_configuration_gets_a_nak_and_an_event() {
    let mut lab = Lab::alone(vec![scope()]);
    let held = bind(&mut lab, 1, 50);
    lab.configure(vec![Scope { pools: vec![pool(60, 69)], ..scope() }]);
    lab.events();
    assert_eq!(lab.ask(&Datagram::renewing(1, held)).kind, NAK);
    assert!(lab.events().contains(&"renewal_refused"));
}

#[test]
fn renewing_what_is_reserved_for_another_gets_a_nak_and_an_event() {
    let mut lab = Lab::alone(vec![scope()]);
    let held = bind(&mut lab, 1, 50);
    let kept = vec![reservation(ReservationHolder::Hardware(hardware(2)), 50)];
    lab.configure(vec![Scope { reservations: kept, ..scope() }]);
    lab.events();
    assert_eq!(lab.ask(&Datagram::rebinding(1, held)).kind, NAK);
    assert!(lab.events().contains(&"renewal_refused"));
}

#[test]
fn a_nak_says_no_more_than_it_must() {
    let mut lab = Lab::alone(vec![Scope { forced_options: vec![6], ..scope() }]);
    let request = Datagram::selecting(1, SERVER, FOREIGN).option(61, b"id").relayed(address(3)).option(82, &[1, 1, 7]);
    let nak = lab.ask(&request);
    assert_eq!(nak.codes, [53, 54, 56, 61, 82]);
    assert_eq!(nak.bytes[12..24], [0; 12], "ciaddr, yiaddr and siaddr");
    assert_eq!(nak.bytes[10] & 0x80, 0x80, "the relay must broadcast it (RFC 2131 section 4.3.2)");
}

#[test]
fn naks_are_limited_per_client() {
    let mut lab = Lab::alone(vec![scope()]);
    let request = |number| Datagram::rebooting(number, FOREIGN);
    let answered = (0..40).map(|_| lab.send(0, &request(1)).len()).sum::<usize>();
    assert!((1..20).contains(&answered), "{answered} of 40 within 12 seconds");
    assert_eq!(lab.ask(&request(2)).kind, NAK, "another client is not held to it");
    lab.skip(Duration::from_secs(60));
    assert_eq!(lab.ask(&request(1)).kind, NAK);
}

#[test]
fn discovers_are_never_limited_by_naks() {
    let mut lab = Lab::alone(vec![scope()]);
    for _ in 0..40 {
        lab.send(0, &Datagram::rebooting(1, FOREIGN));
    }
    lab.ask(&Datagram::new(1, DISCOVER));
}
