//! What is heard on a client link beside what is sent to us: the replies of other servers to clients, and the answers to
//! ARP probes.
//!
//! Two sockets on which the kernel filters, so that a packet which is neither costs a few instructions and no copy.
//! Each asks for one protocol: a socket that asks for all of them is also shown all that leaves. A reply to one client
//! alone is seen only where the link carries it to everyone, as a hub or a bridge that does not know the client does.

use super::error::UdpError;
use super::filter::{Filter, arp_replies, datagrams_to_clients};
use super::interface::Interface;
use super::poller::Poller;
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{MsgFlags, bind, recv};
use socket2::{Domain, Protocol, Socket, Type};
use standfast_core::lease::record::HardwareAddress;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;

/// Frames that one look takes from a socket, so that neither holds up clients.
const AT_A_TIME: usize = 64;
/// A whole frame of a link without jumbo frames; DHCP needs no longer ones.
const LONGEST: usize = 1_600;

const ETHERNET: usize = 14;
const ARP: usize = 28;

/// The sockets of one link.
#[derive(Debug)]
pub(super) struct Ear {
    replies: Socket,
    arp: Socket,
}

/// Something that was heard.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Heard {
    /// A datagram to port 68, which is what a server sends to a client.
    Reply {
        /// The hardware address that the frame came from.
        hardware: HardwareAddress,
        /// The UDP payload.
        bytes: Vec<u8>,
    },
    /// A machine said that it has an address.
    Has {
        /// Which address.
        address: Ipv4Addr,
        /// The machine's hardware address.
        hardware: HardwareAddress,
    },
}

impl Ear {
    pub(super) fn open(interface: &Interface) -> Result<Self, UdpError> {
        let replies = open(interface, libc::ETH_P_IP, &datagrams_to_clients())?;
        let arp = open(interface, libc::ETH_P_ARP, &arp_replies())?;
        Ok(Self { replies, arp })
    }

    /// Also waits for what is heard, under `number`.
    pub(super) fn watch(&self, poller: &Poller, number: u32) -> io::Result<()> {
        poller.add(&self.replies, number)?;
        poller.add(&self.arp, number)
    }

    /// Hands what was heard to `each`, without waiting; what does not fit into one look is there at the next.
    pub(super) fn listen(&self, mut each: impl FnMut(Heard)) -> io::Result<()> {
        let mut frame = [0; LONGEST];
        for (socket, read) in [(&self.replies, reply as fn(&[u8]) -> Option<Heard>), (&self.arp, has)] {
            for _ in 0..AT_A_TIME {
                // MSG_TRUNC: the length of the frame, also if it was longer than this.
                match recv(socket.as_raw_fd(), &mut frame, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC) {
                    Ok(length) => {
                        if let Some(heard) = frame.get(..length).and_then(read) {
                            each(heard);
                        }
                    }
                    Err(Errno::EAGAIN) => break,
                    Err(Errno::EINTR) => {}
                    Err(errno) => return Err(errno.into()),
                }
            }
        }
        Ok(())
    }
}

/// A frame that asks who has an address, on behalf of nobody (RFC 5227 section 1.1), so that nobody learns a wrong
/// sender from it.
pub(super) fn arp_probe(from: [u8; 6], address: Ipv4Addr) -> [u8; ETHERNET + ARP] {
    let mut frame = [0; ETHERNET + ARP];
    frame[..6].copy_from_slice(&super::frame::EVERYBODY);
    frame[6..12].copy_from_slice(&from);
    // ARP; Ethernet and IPv4, whose addresses are 6 and 4 bytes long; a request.
    frame[12..22].copy_from_slice(&[0x08, 0x06, 0, 1, 0x08, 0x00, 6, 4, 0, 1]);
    frame[22..28].copy_from_slice(&from);
    frame[38..42].copy_from_slice(&address.octets());
    frame
}

fn reply(frame: &[u8]) -> Option<Heard> {
    let hardware = HardwareAddress::new(1, frame.get(6..12)?)?;
    let ip = frame.get(ETHERNET..)?;
    let header = usize::from(ip.first()? & 0x0f) * 4;
    let udp = ip.get(header..)?;
    let length = usize::from(u16::from_be_bytes(*udp.get(4..6)?.first_chunk()?));
    Some(Heard::Reply { hardware, bytes: udp.get(8..length)?.to_vec() })
}

fn has(frame: &[u8]) -> Option<Heard> {
    let arp = frame.get(ETHERNET..ETHERNET + ARP)?;
    (arp[..6] == [0, 1, 0x08, 0x00, 6, 4]).then_some(())?;
    let address: [u8; 4] = *arp[14..18].first_chunk()?;
    Some(Heard::Has { address: address.into(), hardware: HardwareAddress::new(1, &arp[8..14])? })
}

/// A raw socket that is shown what of one protocol, by its Ethernet type, passes the filter.
fn open(interface: &Interface, protocol: i32, filter: &Filter) -> Result<Socket, UdpError> {
    let os = |source: io::Error| UdpError::Os { action: "listen to the link", link: interface.name.clone(), source };
    let protocol = Protocol::from(i32::from((protocol as u16).to_be()));
    let kind = Type::RAW.nonblocking().cloexec();
    let socket = Socket::new(Domain::PACKET, kind, Some(protocol)).map_err(os)?;
    socket.attach_filter(filter.program()).map_err(os)?;
    bind(socket.as_raw_fd(), &interface.link).map_err(|errno| os(errno.into()))?;
    // Until it was bound it heard every interface, and for a moment everything.
    while recv(socket.as_raw_fd(), &mut [0], MsgFlags::MSG_DONTWAIT).is_ok() {}
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: [u8; 6] = [2, 0, 0, 0, 0, 1];

    #[test]
    fn a_probe_speaks_for_nobody() {
        let frame = arp_probe(US, Ipv4Addr::new(10, 20, 0, 50));
        assert_eq!(frame[..14], [255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 1, 8, 6]);
        assert_eq!(frame[14..32], [0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 0, 0, 0, 0]);
        assert_eq!(frame[32..], [0, 0, 0, 0, 0, 0, 10, 20, 0, 50]);
    }

    #[test]
    fn who_has_an_address_is_read_from_a_reply() {
        let mut frame = arp_probe(US, Ipv4Addr::UNSPECIFIED);
        frame[28..32].copy_from_slice(&[10, 20, 0, 50]);
        let hardware = HardwareAddress::new(1, &US).unwrap();
        assert_eq!(has(&frame), Some(Heard::Has { address: Ipv4Addr::new(10, 20, 0, 50), hardware }));
        // Of another kind of network, or cut short.
        frame[15] = 6;
        assert_eq!(has(&frame), None);
        assert_eq!(has(&frame[..41]), None);
    }

    #[test]
    fn the_payload_of_a_reply_ends_where_its_datagram_ends() {
        let addresses = super::super::frame::Addresses {
            from_hardware: US,
            to_hardware: [0xff; 6],
            from: Ipv4Addr::new(10, 20, 0, 9),
            to: Ipv4Addr::BROADCAST,
        };
        let mut frame = Vec::new();
        super::super::frame::append(addresses, b"offer", &mut frame);
        let hardware = HardwareAddress::new(1, &US).unwrap();
        let heard = Some(Heard::Reply { hardware, bytes: b"offer".to_vec() });
        assert_eq!(reply(&frame), heard);
        // Short frames are padded on the wire.
        frame.extend([0; 13]);
        assert_eq!(reply(&frame), heard);
        for length in 0..frame.len() - 13 {
            assert_eq!(reply(&frame[..length]), None, "{length}");
        }
    }
}
