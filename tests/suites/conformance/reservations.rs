//! A reservation that is removed, moved or made while leases live: nobody loses an address that they may keep, and
//! nobody gets one that another may be using.

use crate::client::{ACK, DISCOVER, Datagram, NAK, hardware};
use crate::lab::{Lab, SERVERS, address, reservation, scope};
use standfast_core::configuration::{ReservationHolder, Scope};
use standfast_core::lease::record::LeaseState;
use std::time::Duration;

/// A scope that keeps the address that ends in `last` for client `number`.
fn keeping(number: u8, last: u8) -> Scope {
    Scope { reservations: vec![reservation(ReservationHolder::Hardware(hardware(number)), last)], ..scope() }
}

/// A node that has given client 1 its reserved address.
fn with_reserved_lease(last: u8) -> Lab {
    let mut lab = Lab::alone(vec![keeping(1, last)]);
    assert_eq!(lab.ask(&Datagram::selecting(1, SERVERS[0], address(last))).kind, ACK);
    lab.events();
    lab
}

#[test]
fn a_client_whose_reservation_in_a_pool_is_removed_keeps_its_lease() {
    let mut lab = with_reserved_lease(55);
    lab.configure(vec![scope()]);
    assert_eq!(lab.ask(&Datagram::renewing(1, address(55))).kind, ACK);
    assert_eq!(lab.ask(&Datagram::new(1, DISCOVER)).yiaddr, address(55));
    assert_ne!(lab.ask(&Datagram::new(2, DISCOVER)).yiaddr, address(55));
}

#[test]
fn a_client_whose_reservation_outside_the_pools_is_removed_is_refused_and_starts_again_in_a_pool() {
    let mut lab = with_reserved_lease(20);
    lab.configure(vec![scope()]);
    assert_eq!(lab.ask(&Datagram::renewing(1, address(20))).kind, NAK);
    assert!(lab.events().contains(&"renewal_refused"));
    assert_eq!(lab.ask(&Datagram::rebooting(1, address(20))).kind, NAK);
    let offered = lab.ask(&Datagram::new(1, DISCOVER)).yiaddr;
    assert!((50..=59).contains(&offered.octets()[3]), "{offered}");
    // Until it ends, the lease that is left over is nobody else's.
    assert_eq!(lab.ask(&Datagram::selecting(2, SERVERS[0], address(20))).kind, NAK);
}

#[test]
fn a_reservation_that_moves_to_another_client_waits_for_the_lease_to_end() {
    let mut lab = with_reserved_lease(20);
    lab.configure(vec![keeping(2, 20)]);
    assert_ne!(lab.ask(&Datagram::new(2, DISCOVER)).yiaddr, address(20), "client 1 may be using it");
    assert_eq!(lab.ask(&Datagram::renewing(1, address(20))).kind, NAK, "it is another client's now");
    lab.skip(Duration::from_secs(3_700));
    assert_ne!(lab.state(address(20)), LeaseState::Bound);
    assert_eq!(lab.ask(&Datagram::new(2, DISCOVER)).yiaddr, address(20));
}

#[test]
fn a_reservation_made_for_a_client_with_another_lease_is_offered_when_it_starts_again() {
    let mut lab = Lab::alone(vec![scope()]);
    assert_eq!(lab.ask(&Datagram::selecting(1, SERVERS[0], address(50))).kind, ACK);
    lab.configure(vec![keeping(1, 20)]);
    assert_eq!(lab.ask(&Datagram::renewing(1, address(50))).kind, ACK, "it may keep what it has");
    assert_eq!(lab.ask(&Datagram::new(1, DISCOVER)).yiaddr, address(20));
}

#[test]
fn a_reservation_that_is_removed_and_made_again_finds_its_client() {
    let mut lab = with_reserved_lease(20);
    lab.configure(vec![scope()]);
    lab.configure(vec![keeping(1, 20)]);
    assert_eq!(lab.ask(&Datagram::renewing(1, address(20))).kind, ACK);
}
