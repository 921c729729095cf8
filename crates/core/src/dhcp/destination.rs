//! Where an answer goes.

use crate::lease::record::HardwareAddress;
use std::net::{Ipv4Addr, SocketAddrV4};

/// Where an answer goes (RFC 2131 section 4.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Destination {
    /// An ordinary datagram.
    Unicast(SocketAddrV4),
    /// 255.255.255.255:68 on the receiving link.
    Broadcast,
    /// A frame to the client's hardware address, as it cannot answer ARP yet; IP `address`, port 68.
    Frame {
        /// To which machine.
        hardware: HardwareAddress,
        /// The address it is about to have.
        address: Ipv4Addr,
    },
}
