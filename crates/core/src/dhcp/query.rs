//! What a client asks, read once, strictly, at the edge.
//!
//! After [`Query::parse`] nothing looks at the bytes of a packet again, and nothing that a packet can hold makes any
//! later step fail. Two rules decide what happens to an oddity. What would change *which* answer is given, or leaves the
//! meaning of the packet in doubt (lengths that overrun, a message type of two bytes), drops the packet: a guess may
//! give one client the address of another. What only decorates it (a host name that is garbage, an unreadable list of
//! architectures) drops the option.
//!
//! The work is bounded: at most 255 options, at most 1 KiB for a code, each byte seen a constant number of times.

use super::option::code;
use crate::input::Link;
use crate::lease::record::{ClientId, HardwareAddress};
use dhcproto::v4::MAGIC;
use dhcproto::v4::borrowed::{DhcpOptionIterator, Message};
use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

/// Header up to and including the magic cookie.
const HEADER: usize = 240;
const SNAME: std::ops::Range<usize> = 44..108;
const FILE: std::ops::Range<usize> = 108..236;
const COOKIE: std::ops::Range<usize> = 236..240;

const MAX_OPTIONS: usize = 255;
const MAX_OPTION_LENGTH: usize = 1024;

/// A client's message, checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Query {
    /// What kind of message it is.
    pub kind: Kind,
    /// Number that ties an answer to its request.
    pub xid: u32,
    /// Seconds since the client began, as sent. Some old clients swap its bytes.
    pub secs: u16,
    /// Flags as sent; only [`Query::broadcast`] means anything.
    pub flags: u16,
    /// Relays passed on the way.
    pub hops: u8,
    /// The client's address, if it can answer ARP for one; else zero.
    pub ciaddr: Ipv4Addr,
    /// The relay's address on the client's link; zero if no relay was passed.
    pub giaddr: Ipv4Addr,
    /// `htype` and `chaddr`, 1 to 16 bytes long.
    pub hardware: HardwareAddress,
    /// Option 61, or hardware type and address where that is absent or empty.
    pub client: ClientId,
    /// Option 61 as sent, to be echoed (RFC 6842); `None` if absent or empty.
    pub client_id_option: Option<Vec<u8>>,
    /// Option 50, unless it is zero.
    pub requested_address: Option<Ipv4Addr>,
    /// Option 54.
    pub server_identifier: Option<Ipv4Addr>,
    /// Option 51: how long the client would like to keep its address.
    pub lease_time: Option<Duration>,
    /// Option 55, in the client's order; empty if absent.
    pub parameters: Vec<u8>,
    /// Option 57 as sent.
    pub max_message_size: Option<u16>,
    /// Option 12 without trailing NUL; empty if absent or garbage. Any bytes but NUL: escape before showing.
    pub hostname: Vec<u8>,
    /// Option 60; empty if absent. Any bytes: escape before showing.
    pub vendor_class: Vec<u8>,
    /// Option 77 as sent; empty if absent.
    pub user_class: Vec<u8>,
    /// Option 93 (RFC 4578); empty if absent or of odd length.
    pub architectures: Vec<u16>,
    /// Option 97 (RFC 4578); empty if absent.
    pub machine_id: Vec<u8>,
    /// Option 80 is there (RFC 4039).
    pub rapid_commit: bool,
    /// Option 118 (RFC 3011).
    pub subnet_selection: Option<Ipv4Addr>,
    /// Option 82 as sent, to be echoed.
    pub relay_information: Option<Vec<u8>>,
}

/// What kind of message a client sent (RFC 2132 section 9.6).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// Looks for servers.
    Discover,
    /// Takes up an offer, or checks or extends a lease.
    Request,
    /// Found the address in use.
    Decline,
    /// Gives the address back.
    Release,
    /// Has an address and wants the rest.
    Inform,
    /// No option 53: a BOOTP client (RFC 951).
    Bootp,
    /// A type that clients do not send or that is not known here.
    Other(u8),
}

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

/// Why a packet was dropped unread.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Malformed {
    /// Shorter than the fixed header and the magic cookie.
    Short,
    /// `op` is not BOOTREQUEST: somebody's answer, or noise.
    NotARequest,
    /// `hlen` is 0 or above 16.
    HardwareLength,
    /// The magic cookie of RFC 2131 section 3 is missing.
    Cookie,
    /// `giaddr` cannot be the address of a relay, or `ciaddr` that of a client.
    Address,
    /// An option's length runs over the end of its field.
    OptionOverrun,
    /// More than 255 options, or more than 1 KiB of one code.
    OptionFlood,
    /// A fixed-length option that decides the answer has another length.
    OptionLength,
    /// A client id longer than 255 bytes (by concatenation).
    ClientIdLength,
}

impl Malformed {
    /// The reason as a metric label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Short => "malformed_short",
            Self::NotARequest => "malformed_not_a_request",
            Self::HardwareLength => "malformed_hardware_length",
            Self::Cookie => "malformed_cookie",
            Self::Address => "malformed_address",
            Self::OptionOverrun => "malformed_option_overrun",
            Self::OptionFlood => "malformed_option_flood",
            Self::OptionLength => "malformed_option_length",
            Self::ClientIdLength => "malformed_client_id_length",
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Query {
    /// Reads the payload of a datagram that reached port 67.
    ///
    /// # Errors
    /// The reason why the packet must be dropped.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let header = Message::new(bytes).map_err(|_| Malformed::Short)?;
        check_header(bytes, &header)?;
        let options = Options::collect(bytes)?;

        let hardware = HardwareAddress::new(bytes[1], header.chaddr()).ok_or(Malformed::HardwareLength)?;
        let client_id_option = options.bytes(code::CLIENT_ID).filter(|id| !id.is_empty()).map(<[u8]>::to_vec);
        if client_id_option.as_ref().is_some_and(|id| id.len() > 255) {
            return Err(Malformed::ClientIdLength);
        }
        Ok(Self {
            kind: options.kind()?,
            xid: header.xid(),
            secs: header.secs(),
            flags: header.flags().into(),
            hops: header.hops(),
            ciaddr: header.ciaddr(),
            giaddr: header.giaddr(),
            hardware,
            client: client_id_option.as_deref().map_or_else(|| ClientId::of_hardware(hardware), ClientId::new),
            client_id_option,
            requested_address: options.address(code::REQUESTED_ADDRESS)?.filter(|address| !address.is_unspecified()),
            server_identifier: options.address(code::SERVER_IDENTIFIER)?,
            lease_time: options.fixed(code::LEASE_TIME)?.map(|s| Duration::from_secs(u32::from_be_bytes(s).into())),
            parameters: options.owned(code::PARAMETERS),
            max_message_size: options.fixed(code::MAX_MESSAGE_SIZE).ok().flatten().map(u16::from_be_bytes),
            hostname: hostname(options.bytes(code::HOST_NAME).unwrap_or_default()),
            vendor_class: options.owned(code::VENDOR_CLASS),
            user_class: options.owned(code::USER_CLASS),
            architectures: architectures(options.bytes(code::ARCHITECTURE).unwrap_or_default()),
            machine_id: options.owned(code::MACHINE_ID),
            rapid_commit: options.bytes(code::RAPID_COMMIT).is_some(),
            subnet_selection: options.address(code::SUBNET_SELECTION).ok().flatten(),
            relay_information: options.bytes(code::RELAY_INFORMATION).map(<[u8]>::to_vec),
        })
    }

    /// The client cannot take unicast before it has an address. Only bit 15 counts; others must be ignored.
    #[must_use]
    pub fn broadcast(&self) -> bool {
        self.flags & 0x8000 != 0
    }

    /// Whether it came through a relay.
    #[must_use]
    pub fn relayed(&self) -> bool {
        !self.giaddr.is_unspecified()
    }

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

    /// Sub-option 1 of option 82: on which circuit the relay heard the client (RFC 3046 section 3.1).
    #[must_use]
    pub fn circuit_id(&self) -> Option<&[u8]> {
        self.relay_suboption(1)
    }

    /// Sub-option 2 of option 82: whom the relay believes the client to be (RFC 3046 section 3.2).
    #[must_use]
    pub fn remote_id(&self) -> Option<&[u8]> {
        self.relay_suboption(2)
    }

    /// Sub-option 5 of option 82: the client's link, where it is not that of `giaddr` (RFC 3527).
    #[must_use]
    pub fn link_selection(&self) -> Option<Ipv4Addr> {
        self.relay_address(5)
    }

    /// Sub-option 11 of option 82: the server identifier to answer with (RFC 5107).
    #[must_use]
    pub fn server_id_override(&self) -> Option<Ipv4Addr> {
        self.relay_address(11)
    }

    /// Sub-option 19 of option 82: answers go to the port that the relay sent from (RFC 8357).
    #[must_use]
    pub fn relay_source_port(&self) -> bool {
        self.relay_suboption(19).is_some()
    }

    fn relay_address(&self, sub: u8) -> Option<Ipv4Addr> {
        self.relay_suboption(sub).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok()).map(Ipv4Addr::from)
    }

    /// The first sub-option of option 82 with this code. A part that overruns ends the search.
    fn relay_suboption(&self, wanted: u8) -> Option<&[u8]> {
        let mut rest = self.relay_information.as_deref()?;
        while let [sub, length, tail @ ..] = rest {
            let (value, after) = tail.split_at_checked(usize::from(*length))?;
            if *sub == wanted {
                return Some(value);
            }
            rest = after;
        }
        None
    }
}

fn check_header(bytes: &[u8], header: &Message<'_>) -> Result<(), Malformed> {
    const BOOTREQUEST: u8 = 1;
    if bytes[0] != BOOTREQUEST {
        return Err(Malformed::NotARequest);
    }
    if !(1..=16).contains(&header.hlen()) {
        return Err(Malformed::HardwareLength);
    }
    if bytes[COOKIE] != MAGIC {
        return Err(Malformed::Cookie);
    }
    // An answer to such an address would come back to us, or go to everyone.
    let impossible = |address: Ipv4Addr| address.is_loopback() || address.is_multicast() || address.is_broadcast();
    if impossible(header.ciaddr()) || impossible(header.giaddr()) {
        return Err(Malformed::Address);
    }
    Ok(())
}

/// Options by code, instances joined in the order of RFC 3396: options field, `file`, `sname`.
struct Options(Vec<(u8, Vec<u8>)>);

impl Options {
    fn collect(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut options = Self(Vec::with_capacity(16));
        let mut count = 0;
        options.read(&bytes[HEADER..], &mut count)?;
        if let Some([overload]) = options.fixed(code::OVERLOAD)? {
            if overload & 1 != 0 {
                options.read(&bytes[FILE], &mut count)?;
            }
            if overload & 2 != 0 {
                options.read(&bytes[SNAME], &mut count)?;
            }
        }
        Ok(options)
    }

    fn read(&mut self, field: &[u8], count: &mut usize) -> Result<(), Malformed> {
        *count += check_field(field)?;
        if *count > MAX_OPTIONS {
            return Err(Malformed::OptionFlood);
        }
        for option in DhcpOptionIterator::new(field) {
            self.join(option.code().into(), option.data())?;
        }
        Ok(())
    }

    fn join(&mut self, code: u8, data: &[u8]) -> Result<(), Malformed> {
        let known = self.0.iter_mut().find(|(known, _)| *known == code);
        let length = known.as_ref().map_or(0, |(_, value)| value.len()) + data.len();
        if length > MAX_OPTION_LENGTH {
            return Err(Malformed::OptionFlood);
        }
        match known {
            Some((_, value)) => value.extend_from_slice(data),
            None => self.0.push((code, data.to_vec())),
        }
        Ok(())
    }

    fn bytes(&self, code: u8) -> Option<&[u8]> {
        self.0.iter().find(|(known, _)| *known == code).map(|(_, value)| value.as_slice())
    }

    fn owned(&self, code: u8) -> Vec<u8> {
        self.bytes(code).unwrap_or_default().to_vec()
    }

    fn fixed<const N: usize>(&self, code: u8) -> Result<Option<[u8; N]>, Malformed> {
        self.bytes(code).map(|value| value.try_into().map_err(|_| Malformed::OptionLength)).transpose()
    }

    fn address(&self, code: u8) -> Result<Option<Ipv4Addr>, Malformed> {
        Ok(self.fixed::<4>(code)?.map(Ipv4Addr::from))
    }

    fn kind(&self) -> Result<Kind, Malformed> {
        Ok(match self.fixed(code::MESSAGE_TYPE)? {
            None => Kind::Bootp,
            Some([1]) => Kind::Discover,
            Some([3]) => Kind::Request,
            Some([4]) => Kind::Decline,
            Some([7]) => Kind::Release,
            Some([8]) => Kind::Inform,
            Some([other]) => Kind::Other(other),
        })
    }
}

/// Counts the options of a field whose lengths all fit. The reader that comes after stops in silence at one that does
/// not, and what it had not reached would be lost.
fn check_field(field: &[u8]) -> Result<usize, Malformed> {
    let mut rest = field;
    let mut count = 0;
    loop {
        rest = match rest {
            [] | [code::END, ..] => return Ok(count),
            [code::PAD, tail @ ..] => {
                rest = tail;
                continue;
            }
            [_, length, tail @ ..] => tail.get(usize::from(*length)..).ok_or(Malformed::OptionOverrun)?,
            [_] => return Err(Malformed::OptionOverrun),
        };
        count += 1;
    }
}

/// Option 12 without the NULs that some clients end it with; empty if it holds others or is longer than a lease keeps.
fn hostname(bytes: &[u8]) -> Vec<u8> {
    let end = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    let name = &bytes[..end];
    if name.len() > 255 || name.contains(&0) { Vec::new() } else { name.to_vec() }
}

fn architectures(bytes: &[u8]) -> Vec<u16> {
    let (pairs, odd) = bytes.as_chunks::<2>();
    if odd.is_empty() { pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect() } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dhcp::packet::Packet;

    const ADDRESS: [u8; 4] = [10, 20, 0, 50];

    fn address() -> Ipv4Addr {
        ADDRESS.into()
    }

    fn dropped(packet: Packet) -> Malformed {
        Query::parse(&packet.bytes()).unwrap_err()
    }

    #[test]
    fn a_discover_is_read_whole() {
        let query = Packet::of_type(1)
            .broadcast()
            .option(50, &ADDRESS)
            .option(55, &[1, 3, 6])
            .option(61, &[0, 1, 2])
            .option(12, b"printer\0")
            .option(57, &[5, 220])
            .option(93, &[0, 7])
            .query();
        assert_eq!(query.kind, Kind::Discover);
        assert_eq!(query.xid, 0x0102_0304);
        assert!(query.broadcast());
        assert_eq!(query.requested_address, Some(address()));
        assert_eq!(query.parameters, [1, 3, 6]);
        assert_eq!(query.client, ClientId::new(&[0, 1, 2]));
        assert_eq!(query.hostname, b"printer");
        assert_eq!(query.max_message_size, Some(1500));
        assert_eq!(query.architectures, [7]);
        assert_eq!(query.hardware.as_bytes(), [2, 0, 0x5e, 0x10, 0, 1]);
    }

    #[test]
    fn an_empty_client_id_is_none() {
        let query = Packet::of_type(1).option(61, &[]).query();
        assert_eq!(query.client_id_option, None);
        assert_eq!(query.client, ClientId::of_hardware(query.hardware));
    }

    #[test]
    fn parts_of_an_option_are_joined_wherever_they_stand() {
        let query = Packet::of_type(1)
            .option(61, &[1, 2])
            .option(52, &[3])
            .header(108, &[61, 2, 3, 4, 255])
            .header(44, &[61, 1, 5, 12, 1, b'a', 255])
            .option(61, &[])
            .query();
        assert_eq!(query.client_id_option.as_deref(), Some(&[1, 2, 3, 4, 5][..]));
        assert_eq!(query.hostname, b"a");
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
        let link = crate::dhcp::fixture::link(&[([10, 20, 0, 1], 24), ([10, 30, 0, 1], 32)]);
        assert_eq!(Delivery::of(Ipv4Addr::BROADCAST, &link), Delivery::Broadcast);
        assert_eq!(Delivery::of(Ipv4Addr::new(10, 20, 0, 255), &link), Delivery::Broadcast);
        assert_eq!(Delivery::of(Ipv4Addr::new(10, 20, 0, 1), &link), Delivery::Unicast);
        assert_eq!(Delivery::of(Ipv4Addr::new(10, 30, 0, 1), &link), Delivery::Unicast);
    }

    #[test]
    fn what_leaves_the_meaning_in_doubt_is_dropped() {
        assert_eq!(Query::parse(&[]), Err(Malformed::Short));
        assert_eq!(Query::parse(&Packet::new().bytes()[..239]), Err(Malformed::Short));
        assert_eq!(dropped(Packet::of_type(1).header(0, &[2])), Malformed::NotARequest);
        assert_eq!(dropped(Packet::of_type(1).header(2, &[0])), Malformed::HardwareLength);
        assert_eq!(dropped(Packet::of_type(1).header(2, &[17])), Malformed::HardwareLength);
        assert_eq!(dropped(Packet::of_type(1).header(236, &[0])), Malformed::Cookie);
        assert_eq!(dropped(Packet::of_type(1).giaddr([127, 0, 0, 1])), Malformed::Address);
        assert_eq!(dropped(Packet::of_type(1).giaddr([255; 4])), Malformed::Address);
        assert_eq!(dropped(Packet::of_type(1).giaddr([224, 0, 0, 1])), Malformed::Address);
        assert_eq!(dropped(Packet::of_type(1).raw(&[12, 5, b'a'])), Malformed::OptionOverrun);
        assert_eq!(dropped(Packet::new().option(53, &[1, 1])), Malformed::OptionLength);
        assert_eq!(dropped(Packet::of_type(3).option(50, &[10, 20])), Malformed::OptionLength);
        assert_eq!(dropped(Packet::of_type(1).option(61, &[7; 200]).option(61, &[7; 56])), Malformed::ClientIdLength);
        assert_eq!(dropped(Packet::of_type(1).raw(&[200, 0].repeat(255))), Malformed::OptionFlood);
        let kibibyte = (0..5).fold(Packet::of_type(1), |packet, _| packet.option(43, &[7; 205]));
        assert_eq!(dropped(kibibyte), Malformed::OptionFlood);
    }

    #[test]
    fn what_only_decorates_is_left_out() {
        assert_eq!(Packet::of_type(1).option(12, b"a\0b").query().hostname, b"");
        assert_eq!(Packet::of_type(1).option(12, &[0, 0]).query().hostname, b"");
        assert_eq!(Packet::of_type(1).option(12, &[0xff, 0x1b]).query().hostname, [0xff, 0x1b]);
        assert_eq!(Packet::of_type(1).option(93, &[0, 7, 0]).query().architectures, []);
        assert_eq!(Packet::of_type(1).option(57, &[9]).query().max_message_size, None);
    }

    #[test]
    fn the_relay_is_understood_as_far_as_it_can_be() {
        let information = [1, 2, 0xaa, 0xbb, 5, 4, 10, 30, 0, 0, 19, 0, 2, 9, 1];
        let query = Packet::of_type(1).option(82, &information).query();
        assert_eq!(query.relay_information.as_deref(), Some(&information[..]));
        assert_eq!(query.circuit_id(), Some(&[0xaa, 0xbb][..]));
        assert_eq!(query.link_selection(), Some(Ipv4Addr::new(10, 30, 0, 0)));
        assert!(query.relay_source_port());
        assert_eq!(query.remote_id(), None);
        assert_eq!(query.server_id_override(), None);
    }
}
