//! Where an answer goes (RFC 2131 section 4.1): the table of the reference, row by row.

use crate::client::{ACK, DISCOVER, Datagram, INFORM, NAK, OFFER, hardware};
use crate::lab::{Lab, SERVERS, address, scope};
use standfast_core::dhcp::destination::Destination;
use std::net::{Ipv4Addr, SocketAddrV4};

const SERVER: Ipv4Addr = SERVERS[0];
const FOREIGN: Ipv4Addr = Ipv4Addr::new(192, 168, 7, 9);

fn unicast(address: Ipv4Addr, port: u16) -> Destination {
    Destination::Unicast(SocketAddrV4::new(address, port))
}

/// Kind and destination of the answer.
fn answered(datagram: &Datagram) -> (u8, Destination) {
    let answer = Lab::alone(vec![scope()]).ask(datagram);
    assert_eq!(answer.source, SERVER, "the server identifier of the link");
    (answer.kind, answer.destination)
}

#[test]
fn through_a_relay_everything_goes_to_the_relay() {
    let relay = address(3);
    for (kind, message) in [
        (OFFER, Datagram::new(1, DISCOVER)),
        (OFFER, Datagram::new(1, DISCOVER).broadcast_flag()),
        (ACK, Datagram::selecting(1, SERVER, address(50))),
        (ACK, Datagram::rebinding(1, address(50))),
        (NAK, Datagram::selecting(1, SERVER, FOREIGN)),
    ] {
        assert_eq!(answered(&message.relayed(relay)), (kind, unicast(relay, 67)));
    }
}

#[test]
fn rfc8357_section_5_2_a_relay_that_asks_for_it_is_answered_at_its_port() {
    let relay = address(3);
    let mut message = Datagram::new(1, DISCOVER).relayed(relay).option(82, &[19, 2, 0x1a, 0x6f]);
    message.source = SocketAddrV4::new(relay, 6_767);
    assert_eq!(answered(&message), (OFFER, unicast(relay, 6_767)));
}

#[test]
fn a_client_with_an_address_is_answered_there() {
    let held = address(50);
    assert_eq!(answered(&Datagram::renewing(1, held)), (ACK, unicast(held, 68)));
    assert_eq!(answered(&Datagram::rebinding(1, held)), (ACK, unicast(held, 68)));
    assert_eq!(answered(&Datagram::rebinding(1, held).broadcast_flag()), (ACK, unicast(held, 68)));
}

#[test]
fn the_broadcast_flag_is_heeded() {
    assert_eq!(answered(&Datagram::new(1, DISCOVER).broadcast_flag()), (OFFER, Destination::Broadcast));
    let selecting = Datagram::selecting(1, SERVER, address(50)).broadcast_flag();
    assert_eq!(answered(&selecting), (ACK, Destination::Broadcast));
}

#[test]
fn rfc2131_section_2_only_bit_15_of_the_flags_counts() {
    let (_, destination) = answered(&Datagram::new(1, DISCOVER).header(10, &[0x7f, 0xff]));
    assert!(matches!(destination, Destination::Frame { .. }));
}

#[test]
fn everyone_else_is_answered_by_a_frame() {
    let frame = Destination::Frame { hardware: hardware(1), address: address(50) };
    let wish = Datagram::new(1, DISCOVER).option(50, &address(50).octets());
    assert_eq!(answered(&wish), (OFFER, frame));
    assert_eq!(answered(&Datagram::selecting(1, SERVER, address(50))), (ACK, frame));
}

#[test]
fn a_nak_is_broadcast() {
    for message in [
        Datagram::selecting(1, SERVER, FOREIGN),
        Datagram::selecting(1, SERVER, FOREIGN).broadcast_flag(),
        Datagram::rebinding(1, FOREIGN),
    ] {
        assert_eq!(answered(&message), (NAK, Destination::Broadcast));
    }
}

#[test]
fn rfc2131_section_4_3_5_inform_is_answered_at_ciaddr_even_through_a_relay() {
    let inform = || Datagram::new(1, INFORM).ciaddr(address(200));
    assert_eq!(answered(&inform()), (ACK, unicast(address(200), 68)));
    assert_eq!(answered(&inform().relayed(address(3))), (ACK, unicast(address(200), 68)));
}
