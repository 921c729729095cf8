//! Who a client is, and how its message is read.

use crate::client::{ACK, DISCOVER, Datagram, INFORM, OFFER, hardware};
use crate::lab::{Lab, SERVERS, address, reservation, scope};
use standfast_core::configuration::{ReservationHolder, Scope};
use standfast_core::dhcp::destination::Destination;
use standfast_core::lease::record::ClientId;
use std::net::{Ipv4Addr, SocketAddrV4};

const SERVER: Ipv4Addr = SERVERS[0];

#[test]
fn rfc2131_section_4_2_without_option_61_the_hardware_address_names_the_client() {
    let mut lab = Lab::alone(vec![scope()]);
    let first = lab.ask(&Datagram::new(1, DISCOVER)).yiaddr;
    lab.ask(&Datagram::selecting(1, SERVER, first));
    assert_eq!(lab.ask(&Datagram::new(1, DISCOVER)).yiaddr, first);
    assert_ne!(lab.ask(&Datagram::new(2, DISCOVER)).yiaddr, first);
}

#[test]
fn rfc4361_section_6_3_the_client_id_names_the_client_whatever_its_hardware() {
    let mut lab = Lab::alone(vec![scope()]);
    let with_id = |datagram: Datagram, id: &[u8]| datagram.option(61, id);
    let first = lab.ask(&with_id(Datagram::new(1, DISCOVER), b"laptop")).yiaddr;
    lab.ask(&with_id(Datagram::selecting(1, SERVER, first), b"laptop"));
    let docked = lab.ask(&with_id(Datagram::new(2, DISCOVER), b"laptop"));
    assert_eq!(docked.yiaddr, first);
    let twin = lab.ask(&with_id(Datagram::new(1, DISCOVER), b"another"));
    assert_ne!(twin.yiaddr, first, "two clients on one interface");
}

#[test]
fn client_ids_of_every_length_are_different_clients() {
    let mut lab = Lab::alone(vec![scope()]);
    let mut given = std::collections::BTreeSet::new();
    for id in [&[0][..], &[0; 2], &[0; 254], &[0; 255]] {
        // A message that must echo so long an identifier needs room for it.
        let discover = Datagram::new(1, DISCOVER).option(57, &[5, 220]).option(61, id);
        assert!(given.insert(lab.ask(&discover).yiaddr));
    }
}

#[test]
fn rfc3396_section_7_options_are_joined_and_read_from_file_and_sname() {
    let id = ClientId::new(b"a long identifier");
    let kept = vec![reservation(ReservationHolder::ClientId(id), 20)];
    let mut lab = Lab::alone(vec![Scope { reservations: kept, ..scope() }]);
    let adjacent = Datagram::new(1, DISCOVER).option(61, b"a long").option(61, b" identifier");
    assert_eq!(lab.ask(&adjacent).yiaddr, address(20));
    let apart = Datagram::new(1, DISCOVER).option(61, b"a long").option(12, b"host").option(61, b" identifier");
    assert_eq!(lab.ask(&apart).yiaddr, address(20));
    let overloaded = Datagram::new(1, DISCOVER)
        .option(52, &[3])
        .option(61, b"a ")
        .header(108, b"\x3d\x05long \xff")
        .header(44, b"\x3d\x0aidentifier\xff");
    assert_eq!(lab.ask(&overloaded).yiaddr, address(20));
}

#[test]
fn what_only_decorates_a_message_does_not_stop_it() {
    let mut lab = Lab::alone(vec![scope()]);
    for (number, (code, value)) in
        (1..).zip([(12, &b"caf\xe9"[..]), (12, b"\0\0"), (12, b"\x1b[2J\n"), (81, b"\0"), (57, b"\x01"), (93, b"\0")])
    {
        assert_eq!(lab.ask(&Datagram::new(number, DISCOVER).option(code, value)).kind, OFFER);
        let request = Datagram::selecting(number, SERVER, address(50 + number)).option(code, value);
        assert_eq!(lab.ask(&request).kind, ACK);
    }
    let lease = lab.lease(0, address(51)).map(|lease| lease.hostname.to_vec());
    assert_eq!(lease.as_deref(), Some(&b"caf\xe9"[..]), "kept as bytes");
}

#[test]
fn rfc2132_section_9_6_messages_that_are_not_for_servers_get_silence() {
    let mut lab = Lab::alone(vec![scope()]);
    for message_type in [0, 2, 5, 6, 9, 10, 11, 18, 255] {
        assert_eq!(lab.silence(0, &Datagram::new(1, message_type)), "unsupported");
    }
}

#[test]
fn requests_that_name_no_address_get_silence() {
    let mut lab = Lab::alone(vec![scope()]);
    assert_eq!(lab.silence(0, &Datagram::new(1, 3)), "senseless");
    assert_eq!(lab.silence(0, &Datagram::new(1, 3).option(54, &SERVER.octets())), "senseless");
}

#[test]
fn an_inform_from_a_foreign_network_gets_silence() {
    let mut lab = Lab::alone(vec![scope()]);
    let mut inform = Datagram::new(1, INFORM).ciaddr(Ipv4Addr::new(192, 168, 7, 9));
    inform.source.set_ip(Ipv4Addr::UNSPECIFIED);
    assert_eq!(lab.silence(0, &inform), "senseless");
}

#[test]
fn rfc1542_section_5_4_bootp_replies_go_where_the_client_can_hear_them() {
    let reservations = vec![reservation(ReservationHolder::Hardware(hardware(1)), 20)];
    let mut lab = Lab::alone(vec![Scope { bootp: true, reservations, ..scope() }]);
    let unicast = |address, port| Destination::Unicast(SocketAddrV4::new(address, port));
    let frame = Destination::Frame { hardware: hardware(1), address: address(20) };
    for (message, destination) in [
        (Datagram::bootp(1), frame),
        (Datagram::bootp(1).broadcast_flag(), Destination::Broadcast),
        (Datagram::bootp(1).ciaddr(address(20)), unicast(address(20), 68)),
        (Datagram::bootp(1).relayed(address(3)), unicast(address(3), 67)),
    ] {
        let reply = lab.ask(&message);
        assert_eq!((reply.kind, reply.destination), (0, destination));
        assert_eq!(reply.bytes.len(), 300, "RFC 951 section 3");
    }
}

#[test]
fn rfc951_section_3_a_bootp_reply_is_no_longer_than_its_client_takes() {
    let reservations = vec![reservation(ReservationHolder::Hardware(hardware(1)), 20)];
    let options = (200..=210).map(|code| (code, vec![code; 20])).collect();
    let mut lab = Lab::alone(vec![Scope { bootp: true, reservations, options, ..scope() }]);
    let reply = lab.ask(&Datagram::bootp(1));
    assert_eq!(reply.codes, [1, 200, 201]);
    assert_eq!(reply.bytes.len(), 300);
    assert_eq!(reply.bytes[44..236], [0; 192], "BOOTP knows no option 52");
}

#[test]
fn a_request_with_a_server_identifier_that_extends_a_lease_is_still_one_that_extends() {
    let mut lab = Lab::alone(vec![scope()]);
    lab.ask(&Datagram::selecting(1, SERVER, address(50)));
    let renewing = Datagram::renewing(1, address(50)).option(54, &SERVER.octets());
    assert_eq!(lab.ask(&renewing).kind, ACK);
}
