//! What a client asks, read once, strictly, at the edge.
//!
//! After [`Query::parse`] nothing looks at the bytes of a packet again, and nothing that a packet can hold makes any
//! later step fail. Two rules decide what happens to an oddity. What would change *which* answer is given, or leaves the
//! meaning of the packet in doubt (lengths that overrun, a message type of two bytes), drops the packet: a guess may
//! give one client the address of another. What only decorates it (a host name that is garbage, an unreadable list of
//! architectures) drops the option.
//!
//! The work is bounded: at most 255 options, at most 1 KiB for a code, each byte seen a constant number of times.

mod malformed;
mod options;
pub(crate) mod overheard;
mod relay;
mod request;

pub use malformed::Malformed;
pub use request::{Delivery, RequestKind};

use super::option::code;
use crate::lease::record::{ClientId, HardwareAddress};
use dhcproto::v4::MAGIC;
use dhcproto::v4::borrowed::Message;
use options::Options;
use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

/// Length of the fixed header with the magic cookie.
const HEADER: usize = 240;
const COOKIE: std::ops::Range<usize> = 236..240;

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

impl Kind {
    fn of(message_type: Option<[u8; 1]>) -> Self {
        match message_type {
            None => Self::Bootp,
            Some([1]) => Self::Discover,
            Some([3]) => Self::Request,
            Some([4]) => Self::Decline,
            Some([7]) => Self::Release,
            Some([8]) => Self::Inform,
            Some([other]) => Self::Other(other),
        }
    }

    /// The kind as a metric label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Discover => "discover",
            Self::Request => "request",
            Self::Decline => "decline",
            Self::Release => "release",
            Self::Inform => "inform",
            Self::Bootp => "bootp",
            Self::Other(_) => "other",
        }
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
            kind: Kind::of(options.fixed(code::MESSAGE_TYPE)?),
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
}

/// One line for a log. Bytes of the client are escaped: a host name may hold a newline or a terminal's commands.
impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:08x} from {}", self.kind.as_str(), self.xid, self.hardware)?;
        if self.client_id_option.is_some() {
            write!(f, ", client id {}", self.client)?;
        }
        if !self.ciaddr.is_unspecified() {
            write!(f, ", at {}", self.ciaddr)?;
        }
        if let Some(address) = self.requested_address {
            write!(f, ", wants {address}")?;
        }
        if let Some(server) = self.server_identifier {
            write!(f, ", names {server}")?;
        }
        if self.relayed() {
            write!(f, ", through {}", self.giaddr)?;
        }
        if !self.hostname.is_empty() {
            write!(f, ", called \"{}\"", self.hostname.escape_ascii())?;
        }
        Ok(())
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
    // An answer to such an address would go to everyone, or come back to us. A relay on loopback is possible where we
    // listen there ourselves; the selection of the scope sees to that.
    let everyone = |address: Ipv4Addr| address.is_multicast() || address.is_broadcast();
    if everyone(header.ciaddr()) || header.ciaddr().is_loopback() || everyone(header.giaddr()) {
        return Err(Malformed::Address);
    }
    Ok(())
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
        assert_eq!(query.requested_address, Some(ADDRESS.into()));
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
    fn what_leaves_the_meaning_in_doubt_is_dropped() {
        assert_eq!(Query::parse(&[]), Err(Malformed::Short));
        assert_eq!(Query::parse(&Packet::new().bytes()[..239]), Err(Malformed::Short));
        assert_eq!(dropped(Packet::of_type(1).header(0, &[2])), Malformed::NotARequest);
        assert_eq!(dropped(Packet::of_type(1).header(2, &[0])), Malformed::HardwareLength);
        assert_eq!(dropped(Packet::of_type(1).header(2, &[17])), Malformed::HardwareLength);
        assert_eq!(dropped(Packet::of_type(1).header(236, &[0])), Malformed::Cookie);
        assert_eq!(dropped(Packet::of_type(1).giaddr([224, 0, 0, 1])), Malformed::Address);
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
        assert_eq!(Packet::of_type(1).option(93, &[0, 7, 0]).query().architectures, [0_u16; 0]);
        assert_eq!(Packet::of_type(1).option(57, &[9]).query().max_message_size, None);
    }

    #[test]
    fn a_line_of_log_holds_no_byte_of_a_client_that_is_not_plain() {
        let query = Packet::of_type(3).option(50, &ADDRESS).option(12, b"a\"\n\x1b[31m<b>\xff").query();
        let line = query.to_string();
        assert_eq!(
            line,
            "request 01020304 from 02:00:5e:10:00:01, wants 10.20.0.50, called \"a\\\"\\n\\x1b[31m<b>\\xff\""
        );
    }
}
