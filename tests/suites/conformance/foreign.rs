//! Servers that are not of the cluster are noticed, by active and deactivated nodes alike, and told of now and then.

use crate::client::{ACK, DISCOVER, Datagram, NAK, OFFER, hardware};
use crate::lab::{Lab, SERVERS, address, scope};
use standfast_core::configuration::Scope;
use std::net::Ipv4Addr;
use std::time::Duration;

/// What a server that calls itself `identifier` says.
fn said_by(identifier: Ipv4Addr, kind: u8) -> Vec<u8> {
    Datagram::bootp(1).header(0, &[2]).option(53, &[kind]).option(54, &identifier.octets()).bytes()
}

#[test]
fn a_foreign_server_is_an_event_with_its_identifier_and_hardware_address_on_both_nodes() {
    let mut lab = Lab::pair(vec![scope()]);
    lab.events();
    for index in [0, 1] {
        lab.overhear(index, hardware(66), said_by(address(9), OFFER));
        assert_eq!(lab.events(), ["foreign_server"], "node {index}");
        let foreign: Vec<_> = lab.node(index).foreign_servers().collect();
        assert_eq!((foreign[0].identifier, foreign[0].hardware), (address(9), hardware(66)));
        assert_eq!((foreign.len(), foreign[0].messages), (1, 1));
    }
}

#[test]
fn neither_this_node_nor_its_partner_is_foreign() {
    let mut lab = Lab::pair(vec![scope()]);
    let offer = lab.ask(&Datagram::new(1, DISCOVER)).bytes;
    lab.events();
    for (index, bytes) in [(0, offer.clone()), (1, offer), (0, said_by(SERVERS[1], ACK))] {
        lab.overhear(index, hardware(66), bytes);
    }
    assert_eq!(lab.events(), Vec::<&str>::new());
}

#[test]
fn a_server_that_goes_on_is_told_of_every_ten_minutes() {
    let mut lab = Lab::alone(vec![scope()]);
    lab.events();
    for kind in [OFFER, ACK, NAK] {
        lab.overhear(0, hardware(66), said_by(address(9), kind));
    }
    assert_eq!(lab.events(), ["foreign_server"]);
    lab.skip(Duration::from_secs(600));
    lab.overhear(0, hardware(66), said_by(address(9), NAK));
    assert_eq!(lab.events(), ["foreign_server"]);
    assert_eq!(lab.node(0).foreign_servers().map(|it| it.messages).collect::<Vec<_>>(), [4]);
}

#[test]
fn a_flood_of_invented_servers_is_neither_a_flood_of_events_nor_of_memory() {
    let mut lab = Lab::alone(vec![Scope { disabled: true, ..scope() }]);
    lab.events();
    for number in 0..10_000_u32 {
        lab.overhear(0, hardware(66), said_by(Ipv4Addr::from_bits(0x0a20_0000 + number), OFFER));
    }
    assert_eq!(lab.events().len(), 5);
    assert_eq!(lab.node(0).foreign_servers().count(), 64);
}

#[test]
fn what_clients_say_and_what_is_broken_is_no_server() {
    let mut lab = Lab::alone(vec![scope()]);
    lab.events();
    let request = Datagram::selecting(1, address(9), address(50)).bytes();
    for bytes in [request, vec![], vec![2; 300], said_by(address(9), OFFER)[..245].to_vec()] {
        lab.overhear(0, hardware(66), bytes);
    }
    assert_eq!(lab.events(), Vec::<&str>::new());
}
