//! Clients: what they send, byte by byte, and answers read as strictly as the strictest of them.

use standfast_core::dhcp::destination::Destination;
use standfast_core::lease::record::{ClientId, HardwareAddress};
use standfast_core::output::Reply;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};

pub(crate) const DISCOVER: u8 = 1;
pub(crate) const OFFER: u8 = 2;
pub(crate) const REQUEST: u8 = 3;
pub(crate) const DECLINE: u8 = 4;
pub(crate) const ACK: u8 = 5;
pub(crate) const NAK: u8 = 6;
pub(crate) const RELEASE: u8 = 7;
pub(crate) const INFORM: u8 = 8;

/// The hardware address of client `number`.
pub(crate) fn hardware(number: u8) -> HardwareAddress {
    HardwareAddress::new(1, &[2, 0, 0x5e, 0x10, 0, number]).expect("6 bytes")
}

/// Client `number` as leases name it, when it sends no option 61.
pub(crate) fn client_id(number: u8) -> ClientId {
    ClientId::of_hardware(hardware(number))
}

/// A message on its way: broadcast from 0.0.0.0 port 68 unless said otherwise.
#[derive(Clone, Debug)]
pub(crate) struct Datagram {
    pub(crate) source: SocketAddrV4,
    /// `None`: the address of the node it is given to.
    pub(crate) destination: Option<Ipv4Addr>,
    header: [u8; 240],
    options: Vec<u8>,
}

impl Datagram {
    /// Of client `number`; without options it is a BOOTP request.
    pub(crate) fn bootp(number: u8) -> Self {
        let mut header = [0; 240];
        header[..8].copy_from_slice(&[1, 1, 6, 0, 0xde, 0xad, 0, number]);
        header[28..34].copy_from_slice(hardware(number).as_bytes());
        header[236..].copy_from_slice(&[99, 130, 83, 99]);
        let source = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 68);
        Self { source, destination: Some(Ipv4Addr::BROADCAST), header, options: Vec::new() }
    }

    /// A message of this type, which asks for netmask, router and name server.
    pub(crate) fn new(number: u8, message_type: u8) -> Self {
        Self::bootp(number).option(53, &[message_type]).option(55, &[1, 3, 6])
    }

    /// Takes up the offer of `server`.
    pub(crate) fn selecting(number: u8, server: Ipv4Addr, address: Ipv4Addr) -> Self {
        Self::new(number, REQUEST).option(54, &server.octets()).option(50, &address.octets())
    }

    /// Came back and remembers `address`.
    pub(crate) fn rebooting(number: u8, address: Ipv4Addr) -> Self {
        Self::new(number, REQUEST).option(50, &address.octets())
    }

    /// Renews at T1.
    pub(crate) fn renewing(number: u8, address: Ipv4Addr) -> Self {
        Self::new(number, REQUEST).ciaddr(address).unicast()
    }

    /// Rebinds at T2.
    pub(crate) fn rebinding(number: u8, address: Ipv4Addr) -> Self {
        Self::new(number, REQUEST).ciaddr(address)
    }

    /// Gives an address back.
    pub(crate) fn release(number: u8, server: Ipv4Addr, address: Ipv4Addr) -> Self {
        Self::new(number, RELEASE).option(54, &server.octets()).ciaddr(address).unicast()
    }

    /// Found an address in use.
    pub(crate) fn decline(number: u8, server: Ipv4Addr, address: Ipv4Addr) -> Self {
        Self::new(number, DECLINE).option(54, &server.octets()).option(50, &address.octets())
    }

    /// Has this address, and sends from it.
    pub(crate) fn ciaddr(mut self, address: Ipv4Addr) -> Self {
        self.header[12..16].copy_from_slice(&address.octets());
        self.source.set_ip(address);
        self
    }

    /// Sent to the node itself.
    pub(crate) fn unicast(self) -> Self {
        Self { destination: None, ..self }
    }

    /// Sent on by a relay, from its port 67.
    pub(crate) fn relayed(mut self, relay: Ipv4Addr) -> Self {
        self.header[24..28].copy_from_slice(&relay.octets());
        self.header[3] = 1;
        self.source = SocketAddrV4::new(relay, 67);
        self.unicast()
    }

    pub(crate) fn broadcast_flag(mut self) -> Self {
        self.header[10] = 0x80;
        self
    }

    /// With these bytes of the header.
    pub(crate) fn header(mut self, at: usize, bytes: &[u8]) -> Self {
        self.header[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    pub(crate) fn option(mut self, code: u8, value: &[u8]) -> Self {
        self.options.extend([code, u8::try_from(value.len()).expect("at most 255 bytes")]);
        self.options.extend(value);
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.header.to_vec();
        bytes.extend(&self.options);
        bytes.push(255);
        bytes
    }
}

/// A reply, read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Answer {
    /// Which node it is from.
    pub(crate) from: usize,
    /// Option 53; 0 in a BOOTREPLY.
    pub(crate) kind: u8,
    pub(crate) yiaddr: Ipv4Addr,
    /// Joined, by code.
    pub(crate) options: BTreeMap<u8, Vec<u8>>,
    /// Codes in order of sending.
    pub(crate) codes: Vec<u8>,
    pub(crate) destination: Destination,
    pub(crate) source: Ipv4Addr,
    pub(crate) bytes: Vec<u8>,
}

impl Answer {
    /// Fails where a strict client would drop the message.
    pub(crate) fn read(from: usize, reply: &Reply) -> Self {
        let bytes = reply.bytes.clone();
        assert!(bytes.len() >= 300, "at least 300 bytes (RFC 1542 section 2.1)");
        assert_eq!((bytes[0], bytes[3]), (2, 0), "BOOTREPLY, hops 0");
        assert_eq!(bytes[8..10], [0, 0], "secs 0");
        assert_eq!(bytes[236..240], [99, 130, 83, 99]);
        let mut options = BTreeMap::<u8, Vec<u8>>::new();
        let mut codes = Vec::new();
        let mut rest = &bytes[240..];
        loop {
            match rest {
                [255, padding @ ..] => {
                    assert!(padding.iter().all(|byte| *byte == 0));
                    break;
                }
                [code, length, tail @ ..] => {
                    let (value, after) = tail.split_at(usize::from(*length));
                    codes.push(*code);
                    options.entry(*code).or_default().extend(value);
                    rest = after;
                }
                [_] | [] => panic!("no option 255"),
            }
        }
        Self {
            from,
            kind: options.get(&53).map_or(0, |value| value[0]),
            yiaddr: Ipv4Addr::new(bytes[16], bytes[17], bytes[18], bytes[19]),
            options,
            codes,
            destination: reply.destination,
            source: reply.source,
            bytes,
        }
    }

    /// An option of four bytes, as a number.
    pub(crate) fn number(&self, code: u8) -> Option<u32> {
        self.options.get(&code).map(|value| u32::from_be_bytes(value[..].try_into().expect("4 bytes")))
    }

    /// An option of four bytes, as an address.
    pub(crate) fn address(&self, code: u8) -> Option<Ipv4Addr> {
        self.number(code).map(Ipv4Addr::from)
    }
}
