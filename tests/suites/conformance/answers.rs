//! Which answer to which message, in an active scope: the table of the reference, row by row.

use crate::client::{ACK, DISCOVER, Datagram, INFORM, NAK, OFFER, client_id, hardware};
use crate::lab::{Lab, SERVERS, address, pool, reservation, scope};
use standfast_core::configuration::{ReservationHolder, Scope};
use standfast_core::lease::record::LeaseState;
use std::net::Ipv4Addr;
use std::time::Duration;

const SERVER: Ipv4Addr = SERVERS[0];

/// Binds an address to client `number` and returns it.
fn bind(lab: &mut Lab, number: u8) -> Ipv4Addr {
    let offered = lab.ask(&Datagram::new(number, DISCOVER)).yiaddr;
    let ack = lab.ask(&Datagram::selecting(number, SERVER, offered));
    assert_eq!((ack.kind, ack.yiaddr), (ACK, offered));
    offered
}

#[test]
fn discover_gets_an_offer_and_request_binds_it() {
    let mut lab = Lab::alone(vec![scope()]);
    let offer = lab.ask(&Datagram::new(1, DISCOVER));
    assert_eq!(offer.kind, OFFER);
    assert_eq!(offer.address(54), Some(SERVER));
    assert_eq!(lab.state(offer.yiaddr), LeaseState::Free, "an offer is no lease");
    let ack = lab.ask(&Datagram::selecting(1, SERVER, offer.yiaddr));
    assert_eq!((ack.kind, ack.yiaddr, ack.number(51)), (ACK, offer.yiaddr, Some(3_600)));
    assert!(lab.holds(&client_id(1), offer.yiaddr));
}

#[test]
fn discover_prefers_the_current_lease() {
    let mut lab = Lab::alone(vec![scope()]);
    let held = bind(&mut lab, 1);
    let wish = Datagram::new(1, DISCOVER).option(50, &address(58).octets());
    assert_eq!(lab.ask(&wish).yiaddr, held);
}

#[test]
fn discover_prefers_the_previous_address_while_it_is_free() {
    let mut lab = Lab::alone(vec![scope()]);
    let held = bind(&mut lab, 1);
    assert_eq!(lab.send(0, &Datagram::release(1, SERVER, held)), []);
    bind(&mut lab, 2);
    assert_eq!(lab.ask(&Datagram::new(1, DISCOVER)).yiaddr, held);
}

#[test]
fn discover_gets_the_address_that_it_asks_for_if_that_is_free() {
    let mut lab = Lab::alone(vec![scope()]);
    let wish = |number, last| Datagram::new(number, DISCOVER).option(50, &address(last).octets());
    assert_eq!(lab.ask(&wish(1, 57)).yiaddr, address(57));
    assert_ne!(lab.ask(&wish(2, 57)).yiaddr, address(57), "it is offered to another");
    assert_ne!(lab.ask(&wish(3, 99)).yiaddr, address(99), "it is in no pool");
}

#[test]
fn discover_gets_the_same_offer_again() {
    let mut lab = Lab::alone(vec![scope()]);
    let first = lab.ask(&Datagram::new(1, DISCOVER)).yiaddr;
    assert_ne!(lab.ask(&Datagram::new(2, DISCOVER)).yiaddr, first);
    assert_eq!(lab.ask(&Datagram::new(1, DISCOVER)).yiaddr, first);
}

#[test]
fn an_offer_that_nobody_takes_up_is_over_in_time() {
    let mut lab = Lab::alone(vec![Scope { pools: vec![pool(50, 50)], ..scope() }]);
    assert_eq!(lab.ask(&Datagram::new(1, DISCOVER)).yiaddr, address(50));
    assert_eq!(lab.silence(0, &Datagram::new(2, DISCOVER)), "exhausted");
    lab.skip(Duration::from_secs(31));
    assert_eq!(lab.ask(&Datagram::new(2, DISCOVER)).yiaddr, address(50));
}

#[test]
fn a_client_that_sends_without_end_is_limited_and_nobody_else_is() {
    let mut lab = Lab::alone(vec![scope()]);
    assert_eq!(lab.flood(&Datagram::new(1, DISCOVER), 1_000), 50);
    assert_eq!(lab.flood(&Datagram::new(2, DISCOVER), 1), 1);
    lab.run(Duration::from_secs(1));
    assert_eq!(lab.ask(&Datagram::new(1, DISCOVER)).kind, OFFER);
}

#[test]
fn clients_invented_behind_one_circuit_do_not_use_up_the_pool() {
    let hold = Duration::from_secs(300);
    let mut lab = Lab::alone(vec![Scope { pools: vec![pool(50, 249)], offer_hold: hold, ..scope() }]);
    let behind = |number: u8, port: u8| Datagram::new(number, DISCOVER).option(82, &[1, 1, port]).relayed(address(3));
    let known = lab.ask(&behind(201, 1)).yiaddr;
    lab.ask(&Datagram::selecting(201, SERVER, known));
    let offers = (1..=100).map(|number| lab.send(0, &behind(number, 1)).len()).sum::<usize>();
    assert_eq!(offers, 64);
    assert_eq!(lab.silence(0, &behind(101, 1)), "limited");
    assert_eq!(lab.ask(&behind(102, 2)).kind, OFFER, "another circuit");
    assert_eq!(lab.ask(&behind(201, 1)).yiaddr, known, "a known client");
}

#[test]
fn discover_with_the_pool_exhausted_gets_silence_and_never_a_nak() {
    let mut lab = Lab::alone(vec![Scope { pools: vec![pool(50, 51)], ..scope() }]);
    bind(&mut lab, 1);
    bind(&mut lab, 2);
    assert_eq!(lab.silence(0, &Datagram::new(3, DISCOVER)), "exhausted");
}

#[test]
fn rfc4039_section_3_1_rapid_commit_binds_at_once_where_it_is_enabled() {
    let discover = Datagram::new(1, DISCOVER).option(80, &[]);
    let mut disabled = Lab::alone(vec![scope()]);
    assert_eq!(disabled.ask(&discover).kind, OFFER);
    let mut enabled = Lab::alone(vec![Scope { rapid_commit: true, ..scope() }]);
    let ack = enabled.ask(&discover);
    assert_eq!((ack.kind, ack.options.get(&80)), (ACK, Some(&Vec::new())));
    assert!(enabled.holds(&client_id(1), ack.yiaddr));
    assert_eq!(enabled.ask(&Datagram::new(2, DISCOVER)).kind, OFFER, "a client that does not ask for it");
}

#[test]
fn selecting_an_address_that_is_free_binds_it_without_an_offer() {
    let mut lab = Lab::alone(vec![scope()]);
    assert_eq!(lab.ask(&Datagram::selecting(1, SERVER, address(55))).kind, ACK);
}

#[test]
fn selecting_another_server_drops_our_offer_in_silence() {
    let mut lab = Lab::alone(vec![Scope { pools: vec![pool(50, 50)], ..scope() }]);
    lab.ask(&Datagram::new(1, DISCOVER));
    assert_eq!(lab.silence(0, &Datagram::selecting(1, address(9), address(50))), "other_server");
    assert_eq!(lab.ask(&Datagram::new(2, DISCOVER)).yiaddr, address(50));
}

#[test]
fn rfc2131_section_4_3_2_init_reboot_of_a_live_lease_is_acked() {
    let mut lab = Lab::alone(vec![scope()]);
    let held = bind(&mut lab, 1);
    let ack = lab.ask(&Datagram::rebooting(1, held));
    assert_eq!((ack.kind, ack.yiaddr), (ACK, held));
}

#[test]
fn init_reboot_of_an_ended_and_unclaimed_lease_is_acked() {
    let mut lab = Lab::alone(vec![scope()]);
    let held = bind(&mut lab, 1);
    lab.send(0, &Datagram::release(1, SERVER, held));
    assert_eq!(lab.ask(&Datagram::rebooting(1, held)).kind, ACK);
}

#[test]
fn renewing_and_rebinding_extend_the_lease() {
    let mut lab = Lab::alone(vec![scope()]);
    let held = bind(&mut lab, 1);
    for extending in [Datagram::renewing(1, held), Datagram::rebinding(1, held)] {
        let before = lab.lease(0, held).map(|lease| lease.expiry);
        lab.run(Duration::from_secs(5));
        let ack = lab.ask(&extending);
        assert_eq!((ack.kind, ack.yiaddr, ack.number(51)), (ACK, held, Some(3_600)));
        assert!(lab.lease(0, held).map(|lease| lease.expiry) > before);
    }
}

#[test]
fn renewing_without_a_record_is_adopted_if_the_address_is_free() {
    let mut lab = Lab::alone(vec![scope()]);
    for (number, extending) in [(1, Datagram::renewing(1, address(51))), (2, Datagram::rebinding(2, address(52)))] {
        assert_eq!(lab.ask(&extending).kind, ACK);
        assert!(lab.holds(&client_id(number), address(50 + number)));
    }
}

#[test]
fn decline_by_the_owner_keeps_the_address_from_everyone_for_a_time() {
    let mut lab = Lab::alone(vec![Scope { pools: vec![pool(50, 50)], ..scope() }]);
    let held = bind(&mut lab, 1);
    assert_eq!(lab.send(0, &Datagram::decline(1, SERVER, held)), []);
    assert_eq!(lab.state(held), LeaseState::Declined);
    assert_eq!(lab.silence(0, &Datagram::new(1, DISCOVER)), "exhausted");
    assert_eq!(lab.silence(0, &Datagram::new(2, DISCOVER)), "exhausted");
    lab.skip(Duration::from_secs(620));
    assert_eq!(lab.ask(&Datagram::new(2, DISCOVER)).yiaddr, held);
}

#[test]
fn decline_by_anyone_else_is_ignored() {
    let mut lab = Lab::alone(vec![scope()]);
    let held = bind(&mut lab, 1);
    assert_eq!(lab.silence(0, &Datagram::decline(2, SERVER, held)), "not_owner");
    assert_eq!(lab.silence(0, &Datagram::decline(1, address(9), held)), "not_owner");
    assert_eq!(lab.silence(0, &Datagram::decline(1, SERVER, address(55))), "not_owner");
    assert!(lab.holds(&client_id(1), held));
}

#[test]
fn release_by_the_owner_ends_the_lease() {
    let mut lab = Lab::alone(vec![scope()]);
    let held = bind(&mut lab, 1);
    assert_eq!(lab.send(0, &Datagram::release(1, SERVER, held)), []);
    assert!(!lab.holds(&client_id(1), held));
    for number in 2..=10 {
        assert_ne!(bind(&mut lab, number), held, "it goes to the end of the queue");
    }
}

#[test]
fn release_by_anyone_else_or_from_elsewhere_is_ignored() {
    let mut lab = Lab::alone(vec![scope()]);
    let held = bind(&mut lab, 1);
    assert_eq!(lab.silence(0, &Datagram::release(2, SERVER, held)), "not_owner");
    let mut spoofed = Datagram::release(1, SERVER, held);
    spoofed.source.set_ip(address(77));
    assert_eq!(lab.silence(0, &spoofed), "not_owner");
    assert!(lab.holds(&client_id(1), held));
}

#[test]
fn release_through_a_relay_comes_from_the_relay() {
    let mut lab = Lab::alone(vec![scope()]);
    let held = bind(&mut lab, 1);
    assert_eq!(lab.send(0, &Datagram::release(1, SERVER, held).relayed(address(3))), []);
    assert!(!lab.holds(&client_id(1), held));
}

#[test]
fn rfc2131_section_4_3_5_inform_gets_parameters_and_no_lease() {
    let mut lab = Lab::alone(vec![scope()]);
    let ack = lab.ask(&Datagram::new(1, INFORM).ciaddr(address(200)));
    assert_eq!((ack.kind, ack.yiaddr), (ACK, Ipv4Addr::UNSPECIFIED));
    assert_eq!(ack.codes, [53, 54, 1, 3, 6]);
    assert_eq!(lab.node(0).leases().count(), 0);
    assert_eq!(lab.silence(0, &Datagram::new(1, INFORM)), "senseless");
}

#[test]
fn bootp_is_answered_where_it_is_enabled_and_an_address_is_reserved() {
    let kept = vec![reservation(ReservationHolder::Hardware(hardware(1)), 20)];
    let mut enabled = Lab::alone(vec![Scope { bootp: true, reservations: kept.clone(), ..scope() }]);
    let reply = enabled.ask(&Datagram::bootp(1));
    assert_eq!((reply.kind, reply.yiaddr), (0, address(20)));
    assert!(!reply.codes.iter().any(|code| (50..=59).contains(code)), "nothing of DHCP: {:?}", reply.codes);
    assert_eq!(reply.options.get(&1), Some(&vec![255, 255, 255, 0]));
    assert_eq!(enabled.silence(0, &Datagram::bootp(2)), "unknown_client");
    let mut disabled = Lab::alone(vec![Scope { reservations: kept, ..scope() }]);
    assert_eq!(disabled.silence(0, &Datagram::bootp(1)), "unsupported");
}

#[test]
fn reservations_outside_of_the_pools_are_given_to_their_client_alone() {
    let kept = vec![reservation(ReservationHolder::Hardware(hardware(1)), 20)];
    let mut lab = Lab::alone(vec![Scope { reservations: kept, ..scope() }]);
    assert_eq!(bind(&mut lab, 1), address(20));
    let nak = lab.ask(&Datagram::selecting(2, SERVER, address(20)));
    assert_eq!(nak.kind, NAK);
}

#[test]
fn one_machine_shares_its_reservation_whatever_client_ids_it_sends() {
    let kept = vec![reservation(ReservationHolder::Hardware(hardware(1)), 20)];
    let mut lab = Lab::alone(vec![Scope { reservations: kept, ..scope() }]);
    for id in [&b"PXE"[..], b"iPXE", b"the OS"] {
        let offer = lab.ask(&Datagram::new(1, DISCOVER).option(61, id));
        assert_eq!(offer.yiaddr, address(20));
        let ack = lab.ask(&Datagram::selecting(1, SERVER, address(20)).option(61, id));
        assert_eq!((ack.kind, ack.options[&61].as_slice()), (ACK, id));
    }
    assert_eq!(lab.node(0).leases().count(), 1);
}

#[test]
fn a_reservation_waits_until_the_address_is_free() {
    let mut lab = Lab::alone(vec![Scope {
        reservations: vec![reservation(ReservationHolder::Hardware(hardware(2)), 50)],
        ..scope()
    }]);
    let other = lab.ask(&Datagram::new(1, DISCOVER)).yiaddr;
    assert_ne!(other, address(50), "a reserved address is offered to nobody else");
    assert_eq!(bind(&mut lab, 2), address(50));
}

#[test]
fn a_lease_that_is_made_a_reservation_goes_on() {
    let mut lab = Lab::alone(vec![scope()]);
    let with_id = |datagram: Datagram, id: &[u8]| datagram.option(61, id);
    lab.ask(&with_id(Datagram::selecting(1, SERVER, address(50)), b"the OS"));
    let kept = vec![reservation(ReservationHolder::Hardware(hardware(1)), 50)];
    lab.configure(vec![Scope { reservations: kept, ..scope() }]);
    assert_eq!(lab.ask(&with_id(Datagram::renewing(1, address(50)), b"the OS")).kind, ACK);
    assert_eq!(lab.ask(&with_id(Datagram::new(1, DISCOVER), b"PXE")).yiaddr, address(50));
    assert_eq!(lab.ask(&with_id(Datagram::rebooting(1, address(50)), b"the OS")).kind, ACK);
    assert_eq!(lab.node(0).leases().count(), 1);
    lab.send(0, &with_id(Datagram::release(1, SERVER, address(50)), b"the OS"));
    assert_eq!(lab.state(address(50)), LeaseState::Ended);
}
