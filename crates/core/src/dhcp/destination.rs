//! Where an answer goes (RFC 2131 section 4.1).

use super::encode::AnswerKind;
use super::query::{Kind, Query};
use crate::lease::record::HardwareAddress;
use std::net::{Ipv4Addr, SocketAddrV4};

/// UDP port of servers and relays.
pub const SERVER_PORT: u16 = 67;
/// UDP port of clients.
pub const CLIENT_PORT: u16 = 68;

const ETHERNET: u8 = 1;

/// Where an answer goes. It leaves by the interface on which its request came in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Destination {
    /// To a relay, or to a client that has its address already.
    Unicast(SocketAddrV4),
    /// To 255.255.255.255, port 68.
    Broadcast,
    /// To a client that does not have its address yet: nobody answers ARP for it.
    Frame {
        /// The client's link-layer address: Ethernet, 6 bytes.
        hardware: HardwareAddress,
        /// The address that the client is given; port 68.
        address: Ipv4Addr,
    },
}

/// Where an answer of `kind` that gives `yiaddr` goes. `source_port` is where the request came from.
#[must_use]
pub fn destination(query: &Query, source_port: u16, kind: AnswerKind, yiaddr: Ipv4Addr) -> Destination {
    let client = |address| Destination::Unicast(SocketAddrV4::new(address, CLIENT_PORT));
    let has_address = !query.ciaddr.is_unspecified();
    if query.kind == Kind::Inform && has_address {
        return client(query.ciaddr);
    }
    if query.relayed() {
        let port = if query.relay_source_port() { source_port } else { SERVER_PORT };
        return Destination::Unicast(SocketAddrV4::new(query.giaddr, port));
    }
    if kind == AnswerKind::Nak {
        // The client is about to give up whatever address it believes in.
        return Destination::Broadcast;
    }
    if has_address {
        return client(query.ciaddr);
    }
    let unreachable = query.broadcast() || yiaddr.is_unspecified() || !is_ethernet(query.hardware);
    if unreachable { Destination::Broadcast } else { Destination::Frame { hardware: query.hardware, address: yiaddr } }
}

fn is_ethernet(hardware: HardwareAddress) -> bool {
    hardware.kind == ETHERNET && hardware.as_bytes().len() == 6
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dhcp::packet::Packet;

    const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 20, 0, 50);
    const RELAY: [u8; 4] = [10, 20, 0, 2];

    fn of(packet: Packet, kind: AnswerKind) -> Destination {
        destination(&packet.query(), 6767, kind, ADDRESS)
    }

    fn unicast(address: Ipv4Addr, port: u16) -> Destination {
        Destination::Unicast(SocketAddrV4::new(address, port))
    }

    #[test]
    fn relayed_answers_go_to_the_relay() {
        let relayed = || Packet::of_type(3).giaddr(RELAY).ciaddr(ADDRESS.octets());
        for kind in [AnswerKind::Offer, AnswerKind::Ack, AnswerKind::Nak] {
            assert_eq!(of(relayed(), kind), unicast(RELAY.into(), 67));
            assert_eq!(of(relayed().option(82, &[19, 0]), kind), unicast(RELAY.into(), 6767));
        }
    }

    #[test]
    fn direct_answers_go_where_the_client_can_hear_them() {
        let direct = || Packet::of_type(3);
        let holding = || direct().ciaddr(ADDRESS.octets());
        let hardware = direct().query().hardware;
        let frame = Destination::Frame { hardware, address: ADDRESS };
        assert_eq!(of(holding(), AnswerKind::Ack), unicast(ADDRESS, 68));
        assert_eq!(of(holding().broadcast(), AnswerKind::Ack), unicast(ADDRESS, 68));
        assert_eq!(of(direct(), AnswerKind::Ack), frame);
        assert_eq!(of(direct().broadcast(), AnswerKind::Offer), Destination::Broadcast);
        for nak in [direct(), direct().broadcast(), holding()] {
            assert_eq!(of(nak, AnswerKind::Nak), Destination::Broadcast);
        }
    }

    #[test]
    fn an_inform_is_answered_directly_even_through_a_relay() {
        let inform = Packet::of_type(8).ciaddr(ADDRESS.octets()).giaddr(RELAY);
        assert_eq!(of(inform, AnswerKind::Ack), unicast(ADDRESS, 68));
    }

    #[test]
    fn a_client_without_ethernet_hears_a_broadcast() {
        let infiniband = Packet::of_type(1).header(1, &[32]);
        assert_eq!(of(infiniband, AnswerKind::Offer), Destination::Broadcast);
    }
}
