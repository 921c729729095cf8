//! Ethernet frames, read and written by the suites' own hand: the judge must not see through the eyes of the accused.

use dhcproto::v4::Message;
use dhcproto::{Decodable, Decoder, Encodable};
use std::fmt;
use std::net::Ipv4Addr;

const ETHERNET: usize = 14;
const IPV4: usize = 20;
const UDP: usize = 8;

/// A hardware address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    pub const BROADCAST: Self = Self([255; 6]);
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a frame is, as far as the suites care.
#[derive(Clone, Debug)]
pub enum Frame {
    Dhcp(Box<Dhcp>),
    Icmp { from: Ipv4Addr, to: Ipv4Addr, kind: u8 },
    ArpRequest { by: Mac, from: Ipv4Addr, for_address: Ipv4Addr },
    ArpReply { from: Ipv4Addr },
    Other,
}

/// A DHCP message and the addresses that it travelled under.
#[derive(Clone, Debug)]
pub struct Dhcp {
    pub source_mac: Mac,
    pub destination_mac: Mac,
    pub source: (Ipv4Addr, u16),
    pub destination: (Ipv4Addr, u16),
    /// `None`: the ports are those of DHCP, and the rest is not.
    pub message: Option<Message>,
}

impl Frame {
    pub fn read(bytes: &[u8]) -> Self {
        let kind = bytes.get(12..14).unwrap_or_default();
        match kind {
            [0x08, 0x06] => read_arp(bytes),
            [0x08, 0x00] => read_ipv4(bytes),
            _ => Self::Other,
        }
    }
}

fn read_arp(bytes: &[u8]) -> Frame {
    let address = |at: usize| bytes.get(at..at + 4).and_then(|it| <[u8; 4]>::try_from(it).ok()).map(Ipv4Addr::from);
    match (bytes.get(20..22), address(28), address(38)) {
        (Some([0, 1]), Some(from), Some(for_address)) => {
            let by = Mac(bytes[22..28].try_into().expect("six bytes"));
            Frame::ArpRequest { by, from, for_address }
        }
        (Some([0, 2]), Some(from), _) => Frame::ArpReply { from },
        _ => Frame::Other,
    }
}

fn read_ipv4(bytes: &[u8]) -> Frame {
    let Some(header) = bytes.get(ETHERNET..ETHERNET + IPV4) else { return Frame::Other };
    let from = Ipv4Addr::new(header[12], header[13], header[14], header[15]);
    let to = Ipv4Addr::new(header[16], header[17], header[18], header[19]);
    let Some(payload) = bytes.get(ETHERNET + usize::from(header[0] & 15) * 4..) else { return Frame::Other };
    match (header[9], payload) {
        (1, [kind, ..]) => Frame::Icmp { from, to, kind: *kind },
        (17, [a, b, c, d, high, low, _, _, rest @ ..]) => {
            let ports = (u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d]));
            let is_dhcp = |port| [67, 68].contains(&port);
            if !is_dhcp(ports.0) && !is_dhcp(ports.1) {
                return Frame::Other;
            }
            let length = usize::from(u16::from_be_bytes([*high, *low])).saturating_sub(UDP).min(rest.len());
            let mac = |at: usize| Mac(bytes[at..at + 6].try_into().expect("six bytes"));
            Frame::Dhcp(Box::new(Dhcp {
                source_mac: mac(6),
                destination_mac: mac(0),
                source: (from, ports.0),
                destination: (to, ports.1),
                message: Message::decode(&mut Decoder::new(&rest[..length])).ok(),
            }))
        }
        _ => Frame::Other,
    }
}

/// A whole frame with a DHCP message in it, both checksums full.
pub fn write(dhcp: &Dhcp) -> Vec<u8> {
    let mut payload = dhcp.message.as_ref().and_then(|it| it.to_vec().ok()).expect("a message to send");
    payload.resize(payload.len().max(300), 0);
    let udp_length = u16::try_from(UDP + payload.len()).expect("it fits a datagram");

    let mut ip = vec![0x45, 0];
    ip.extend((udp_length + 20).to_be_bytes());
    ip.extend([0, 0, 0, 0, 64, 17, 0, 0]);
    ip.extend(dhcp.source.0.octets());
    ip.extend(dhcp.destination.0.octets());
    let sum = checksum(&ip);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());

    let mut udp = Vec::new();
    udp.extend(dhcp.source.1.to_be_bytes());
    udp.extend(dhcp.destination.1.to_be_bytes());
    udp.extend(udp_length.to_be_bytes());
    udp.extend([0, 0]);
    udp.extend(&payload);
    let pseudo = [&ip[12..20], &[0, 17], &udp_length.to_be_bytes()[..], &udp].concat();
    udp[6..8].copy_from_slice(&checksum(&pseudo).to_be_bytes());

    [&dhcp.destination_mac.0[..], &dhcp.source_mac.0, &[0x08, 0x00], &ip, &udp].concat()
}

/// A whole frame that tells who asked that `address` is at `mac` (RFC 826).
pub fn write_arp_reply(mac: Mac, address: Ipv4Addr, to: (Mac, Ipv4Addr)) -> Vec<u8> {
    let ethernet = [&to.0.0[..], &mac.0, &[0x08, 0x06]].concat();
    let kinds = [0, 1, 0x08, 0, 6, 4, 0, 2];
    [&ethernet[..], &kinds, &mac.0, &address.octets(), &to.0.0, &to.1.octets()].concat()
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).expect("folded")
}

#[cfg(test)]
mod tests {
    use super::*;
    use dhcproto::v4::{DhcpOption, MessageType};

    #[test]
    fn what_is_written_is_read_and_its_checksums_hold() {
        let mut message = Message::default();
        message.set_xid(7).opts_mut().insert(DhcpOption::MessageType(MessageType::Discover));
        let any = Ipv4Addr::UNSPECIFIED;
        let dhcp = Dhcp {
            source_mac: Mac([2, 0, 0, 0, 0, 1]),
            destination_mac: Mac::BROADCAST,
            source: (any, 68),
            destination: (Ipv4Addr::BROADCAST, 67),
            message: Some(message),
        };
        let bytes = write(&dhcp);
        assert_eq!(checksum(&bytes[14..34]), 0);
        let length = u16::from_be_bytes([bytes[38], bytes[39]]);
        let pseudo = [&bytes[26..34], &[0, 17], &length.to_be_bytes()[..], &bytes[34..]].concat();
        assert_eq!(checksum(&pseudo), 0);
        let Frame::Dhcp(read) = Frame::read(&bytes) else { panic!("not DHCP") };
        assert_eq!((read.message.unwrap().xid(), read.destination), (7, (Ipv4Addr::BROADCAST, 67)));
    }

    #[test]
    fn an_arp_request_is_told_from_a_reply() {
        let mut bytes = vec![0; 42];
        bytes[12..14].copy_from_slice(&[8, 6]);
        bytes[21] = 1;
        bytes[38..42].copy_from_slice(&[10, 20, 0, 50]);
        assert!(
            matches!(Frame::read(&bytes), Frame::ArpRequest { for_address, .. } if for_address.octets() == [10, 20, 0, 50])
        );
        bytes[21] = 2;
        assert!(matches!(Frame::read(&bytes), Frame::ArpReply { .. }));
        let (mac, address) = (Mac([2, 0, 0, 0, 0, 1]), Ipv4Addr::new(10, 20, 0, 50));
        let reply = write_arp_reply(mac, address, (Mac([2, 0, 0, 0, 0, 2]), Ipv4Addr::new(10, 20, 0, 2)));
        assert!(matches!(Frame::read(&reply), Frame::ArpReply { from } if from == address));
    }
}
