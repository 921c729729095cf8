//! What the kernel says of an interface.

use super::error::UdpError;
use crate::kernel;
use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::net::if_::InterfaceFlags;
use nix::sys::socket::{LinkAddr, SockaddrStorage};
use socket2::{Domain, Socket, Type};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;

/// A network interface as it is at one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// The kernel's number for it. An interface that is replaced keeps its name and not its number.
    pub index: u32,
    /// IPv4 addresses with the length of their prefix, in the kernel's order: the first one is the primary.
    pub addresses: Vec<(Ipv4Addr, u8)>,
    /// Largest IP packet in bytes.
    pub mtu: u32,
    /// Its hardware address; all zeros on the loopback interface.
    pub hardware: [u8; 6],
    /// Whether it is up and can carry frames.
    pub carrier: bool,
    /// To bind raw sockets to it.
    pub(super) link: LinkAddr,
}

impl Interface {
    /// Looks an interface up.
    pub fn find(name: &str) -> Result<Self, UdpError> {
        let os = |action, source| UdpError::Os { action, link: name.into(), source };
        let all: Vec<InterfaceAddress> =
            getifaddrs().map_err(|errno| os("read the addresses", errno.into()))?.collect();
        let ours = || all.iter().filter(|entry| entry.interface_name == name);
        let Some(link) = ours().find_map(|entry| entry.address.as_ref()?.as_link_addr().copied()) else {
            let names: BTreeSet<_> = all.into_iter().map(|entry| entry.interface_name).collect();
            return Err(UdpError::NoInterface { name: name.into(), present: names.into_iter().collect() });
        };
        let why = "has no 6-byte hardware address, so that DHCP cannot be served on it; name an Ethernet interface";
        let hardware = link.addr().ok_or(UdpError::Unsuitable { name: name.into(), why })?;
        // Not bound: the loopback interface may be down.
        let any = Socket::new(Domain::IPV4, Type::DGRAM, None)
            .map_err(|source| os("open a socket to read the MTU", source))?;
        let mtu = kernel::interface_mtu(any.as_fd(), name).map_err(|source| os("read the MTU", source))?;
        // Without a cable LOWER_UP goes at once and RUNNING a second later; with one, frames are thrown away without a
        // word until RUNNING comes.
        let flags = InterfaceFlags::IFF_UP | InterfaceFlags::IFF_LOWER_UP | InterfaceFlags::IFF_RUNNING;
        Ok(Self {
            name: name.into(),
            index: u32::try_from(link.ifindex()).unwrap_or(0),
            addresses: ours().filter_map(address).collect(),
            mtu,
            hardware,
            carrier: ours().any(|entry| entry.flags.contains(flags)),
            link,
        })
    }
}

fn address(entry: &InterfaceAddress) -> Option<(Ipv4Addr, u8)> {
    let ip = |storage: &Option<SockaddrStorage>| Some(storage.as_ref()?.as_sockaddr_in()?.ip());
    let netmask = ip(&entry.netmask).unwrap_or(Ipv4Addr::BROADCAST);
    let prefix = u8::try_from(netmask.to_bits().leading_ones()).unwrap_or(32);
    Some((ip(&entry.address)?, prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_as_everywhere() {
        let lo = Interface::find("lo").unwrap();
        assert!(lo.addresses.contains(&(Ipv4Addr::LOCALHOST, 8)), "{lo:?}");
        assert!(lo.index > 0 && lo.mtu >= 1_500);
        assert_eq!(lo.hardware, [0; 6]);
    }

    #[test]
    fn a_missing_interface_is_told_with_those_that_exist() {
        let error = Interface::find("eth-none").unwrap_err();
        assert!(matches!(&error, UdpError::NoInterface { present, .. } if present.contains(&"lo".into())), "{error}");
    }
}
