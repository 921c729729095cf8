//! In which state the client is that sent a REQUEST.

use super::{Kind, Query};
use crate::input::Link;
use std::net::Ipv4Addr;

/// How the datagram was addressed on the client's link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Delivery {
    /// To an address of this node.
    Unicast,
    /// To everyone on the link.
    Broadcast,
}

impl Delivery {
    /// Of a datagram to `destination` that came in by `link`.
    #[must_use]
    pub fn of(destination: Ipv4Addr, link: &Link) -> Self {
        let directed = |(address, prefix): &(Ipv4Addr, u8)| {
            let hosts = u32::MAX.checked_shr((*prefix).into()).unwrap_or(0);
            *prefix < 31 && destination.to_bits() == address.to_bits() | hosts
        };
        let everyone = destination.is_broadcast() || link.addresses.iter().any(directed);
        if everyone { Self::Broadcast } else { Self::Unicast }
    }
}

/// In which state the client is that sent a REQUEST, and which address it speaks of (RFC 2131 section 4.3.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RequestKind {
    /// Takes up the offer of `server`.
    Selecting {
        /// Option 54.
        server: Ipv4Addr,
        /// Option 50.
        address: Ipv4Addr,
    },
    /// Came back and checks the address that it remembers.
    InitReboot {
        /// Option 50.
        address: Ipv4Addr,
    },
    /// Extends its lease at the server that gave it.
    Renewing {
        /// `ciaddr`.
        address: Ipv4Addr,
    },
    /// Extends its lease at any server.
    Rebinding {
        /// `ciaddr`.
        address: Ipv4Addr,
    },
}

impl RequestKind {
    /// The address that the client wants.
    #[must_use]
    pub fn address(self) -> Ipv4Addr {
        match self {
            Self::Selecting { address, .. }
            | Self::InitReboot { address }
            | Self::Renewing { address }
            | Self::Rebinding { address } => address,
        }
    }
}

impl Query {
    /// In which state the client of a REQUEST is; `None` if it names no address, or if this is no REQUEST.
    ///
    /// A REQUEST with `ciaddr` and without option 50 extends a lease even if it has an option 54, which RFC 2131
    /// section 4.3.2 forbids there and some clients send all the same.
    #[must_use]
    pub fn request_kind(&self, delivery: Delivery) -> Option<RequestKind> {
        if self.kind != Kind::Request {
            return None;
        }
        let held = Some(self.ciaddr).filter(|address| !address.is_unspecified());
        match (self.server_identifier, self.requested_address, held) {
            (Some(server), Some(address), _) => Some(RequestKind::Selecting { server, address }),
            (None, Some(address), None) => Some(RequestKind::InitReboot { address }),
            (_, _, Some(address)) => Some(match delivery {
                // A relay hears broadcasts only, and sends them on by unicast.
                Delivery::Unicast if !self.relayed() => RequestKind::Renewing { address },
                Delivery::Unicast | Delivery::Broadcast => RequestKind::Rebinding { address },
            }),
            (_, None, None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dhcp::fixture::link;
    use crate::dhcp::packet::Packet;

    const ADDRESS: [u8; 4] = [10, 20, 0, 50];

    fn address() -> Ipv4Addr {
        ADDRESS.into()
    }

    #[test]
    fn a_request_shows_its_state() {
        let server = Ipv4Addr::new(10, 20, 0, 1);
        let request = || Packet::of_type(3);
        let kind = |packet: Packet, delivery| packet.query().request_kind(delivery);

        let selecting = request().option(54, &server.octets()).option(50, &ADDRESS);
        assert_eq!(kind(selecting, Delivery::Broadcast), Some(RequestKind::Selecting { server, address: address() }));
        let rebooting = request().option(50, &ADDRESS);
        assert_eq!(kind(rebooting, Delivery::Broadcast), Some(RequestKind::InitReboot { address: address() }));
        let extending = request().ciaddr(ADDRESS);
        assert_eq!(kind(extending.clone(), Delivery::Unicast), Some(RequestKind::Renewing { address: address() }));
        assert_eq!(kind(extending.clone(), Delivery::Broadcast), Some(RequestKind::Rebinding { address: address() }));
        let relayed = extending.giaddr([10, 20, 0, 2]);
        assert_eq!(kind(relayed, Delivery::Unicast), Some(RequestKind::Rebinding { address: address() }));
        assert_eq!(kind(request(), Delivery::Broadcast), None);
        assert_eq!(kind(Packet::of_type(1).option(50, &ADDRESS), Delivery::Broadcast), None);
    }

    #[test]
    fn a_broadcast_is_one_to_everyone_or_to_the_network() {
        let link = link(&[([10, 20, 0, 1], 24), ([10, 30, 0, 1], 32)]);
        assert_eq!(Delivery::of(Ipv4Addr::BROADCAST, &link), Delivery::Broadcast);
        assert_eq!(Delivery::of(Ipv4Addr::new(10, 20, 0, 255), &link), Delivery::Broadcast);
        assert_eq!(Delivery::of(Ipv4Addr::new(10, 20, 0, 1), &link), Delivery::Unicast);
        assert_eq!(Delivery::of(Ipv4Addr::new(10, 30, 0, 1), &link), Delivery::Unicast);
    }
}
