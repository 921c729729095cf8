//! An answer as bytes.
//!
//! The order of options is the client's: those it asked for first are the last to be left out when space ends. Before
//! them stands what makes the message one of DHCP, after them what must be echoed, the relay's information last
//! (RFC 3046 section 2.1). When the options field is full, `file` and `sname` take what fits there (option 52), unless
//! they carry boot parameters.

mod wanted;

use super::option::{OptionLayers, code, seconds};
use super::query::Query;
use crate::configuration::Boot;
use std::net::Ipv4Addr;
use std::time::Duration;
use wanted::wanted;

const HEADER: usize = 240;
const SNAME: usize = 44;
const SNAME_LENGTH: usize = 64;
const FILE: usize = 108;
const FILE_LENGTH: usize = 128;
/// BOOTP clients, and relays that grew up with them, drop shorter messages (RFC 1542 section 2.1).
const MIN_LENGTH: usize = 300;
/// Every client takes datagrams of this size (RFC 2132 section 9.10).
const MIN_DATAGRAM: u16 = 576;
/// IP header without options, and UDP header.
const IP_AND_UDP: usize = 28;

/// Everything that an answer says.
#[derive(Clone, Debug)]
pub struct Answer<'a> {
    /// What kind of message.
    pub kind: AnswerKind,
    /// The address given; zero in a NAK and in the answer to an INFORM.
    pub yiaddr: Ipv4Addr,
    /// Option 54; left out in a BOOTREPLY.
    pub server_identifier: Ipv4Addr,
    /// Options 51, 58 and 59; `None` in a NAK, a BOOTREPLY and the answer to an INFORM.
    pub times: Option<LeaseTimes>,
    /// `siaddr`, `file` and `sname`.
    pub boot: Boot,
    /// Values of what the client may ask for.
    pub options: OptionLayers<'a>,
    /// Codes that are sent even when not asked for.
    pub forced: &'a [u8],
    /// The address is bound by this answer to a DISCOVER (RFC 4039): say so.
    pub rapid_commit: bool,
    /// Option 118 chose the scope (RFC 3011): echo it.
    pub subnet_selected: bool,
    /// Option 56: why, for people. Only a NAK carries it.
    pub message: &'a str,
}

/// What kind of message an answer is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum AnswerKind {
    /// DHCPOFFER.
    Offer,
    /// DHCPACK.
    Ack,
    /// DHCPNAK.
    Nak,
    /// BOOTREPLY, to a BOOTP client.
    BootReply,
}

impl AnswerKind {
    /// The kind as a metric label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Offer => "offer",
            Self::Ack => "ack",
            Self::Nak => "nak",
            Self::BootReply => "bootreply",
        }
    }
}

/// How long a client may use its address, and when it should ask again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LeaseTimes {
    /// Option 51.
    pub lease: Duration,
    /// Option 58, T1.
    pub renewal: Duration,
    /// Option 59, T2.
    pub rebinding: Duration,
}

impl LeaseTimes {
    /// With T1 and T2 at one half and seven eighths of the lease (RFC 2131 section 4.4.5).
    #[must_use]
    pub fn of(lease: Duration) -> Self {
        Self { lease, renewal: lease / 2, rebinding: lease * 7 / 8 }
    }
}

/// What must be in the answer is larger than the client or the link takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Oversized;

/// Writes `answer` to `query` as the payload of a datagram from port 67, replacing what `out` holds.
///
/// `mtu` is that of the link on which it leaves, in bytes.
///
/// # Errors
/// [`Oversized`] if even the options that no client did ask for do not fit; `out` is then empty.
pub fn encode(answer: &Answer<'_>, query: &Query, mtu: u16, out: &mut Vec<u8>) -> Result<(), Oversized> {
    out.clear();
    write_header(answer, query, out);

    let limit = limit(answer.kind, query, mtu);
    let wanted = wanted(answer, query);
    let fixed = fixed_length(answer, query) + 1;
    let room = limit.checked_sub(HEADER + fixed).ok_or_else(|| {
        out.clear();
        Oversized
    })?;

    write_leading(answer, out);
    if wanted.iter().map(|(_, value)| encoded_length(value.len())).sum::<usize>() <= room {
        wanted.iter().for_each(|(code, value)| write_option(out, *code, value));
    } else {
        write_overloaded(answer, &wanted, room, out);
    }
    write_trailing(answer, query, out);
    out.push(code::END);
    if out.len() < MIN_LENGTH {
        out.resize(MIN_LENGTH, 0);
    }
    Ok(())
}

/// The longest message that the client and the link take. BOOTP clients have a vendor field of 64 bytes and no more
/// (RFC 951 section 3); the relay takes what is its own out of the message before they see it.
fn limit(kind: AnswerKind, query: &Query, mtu: u16) -> usize {
    if kind == AnswerKind::BootReply {
        let of_relay = query.relay_information.as_ref().map_or(0, |information| encoded_length(information.len()));
        return MIN_LENGTH + of_relay;
    }
    let datagram = query.max_message_size.unwrap_or(0).max(MIN_DATAGRAM).min(mtu);
    usize::from(datagram).saturating_sub(IP_AND_UDP).max(MIN_LENGTH)
}

fn write_header(answer: &Answer<'_>, query: &Query, out: &mut Vec<u8>) {
    const BOOTREPLY: u8 = 2;
    let nak = answer.kind == AnswerKind::Nak;
    // The relay of a NAK must not trust the client's address (RFC 2131 section 4.3.2).
    let flags = if nak && query.relayed() { query.flags | 0x8000 } else { query.flags };
    let ciaddr = match answer.kind {
        AnswerKind::Ack | AnswerKind::BootReply => query.ciaddr,
        AnswerKind::Offer | AnswerKind::Nak => Ipv4Addr::UNSPECIFIED,
    };
    let chaddr = query.hardware.as_bytes();
    out.extend_from_slice(&[BOOTREPLY, query.hardware.kind, chaddr.len().to_le_bytes()[0], 0]);
    out.extend_from_slice(&query.xid.to_be_bytes());
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&flags.to_be_bytes());
    out.extend_from_slice(&ciaddr.octets());
    out.extend_from_slice(&if nak { Ipv4Addr::UNSPECIFIED } else { answer.yiaddr }.octets());
    let boot = (!nak).then_some(&answer.boot);
    let next_server = boot.and_then(|boot| boot.next_server).unwrap_or(Ipv4Addr::UNSPECIFIED);
    out.extend_from_slice(&next_server.octets());
    out.extend_from_slice(&query.giaddr.octets());
    out.extend_from_slice(chaddr);
    out.resize(SNAME, 0);
    out.resize(HEADER, 0);
    if let Some(boot) = boot {
        write_text(&mut out[SNAME..SNAME + SNAME_LENGTH], boot.server_name.as_deref());
        write_text(&mut out[FILE..FILE + FILE_LENGTH], boot.file.as_deref());
    }
    out[HEADER - 4..].copy_from_slice(&dhcproto::v4::MAGIC);
}

/// Text that leaves room for the NUL that ends it.
fn write_text(field: &mut [u8], text: Option<&str>) {
    let bytes = text.unwrap_or_default().as_bytes();
    let length = bytes.len().min(field.len() - 1);
    field[..length].copy_from_slice(&bytes[..length]);
}

/// Length of what [`write_leading`] and [`write_trailing`] write.
fn fixed_length(answer: &Answer<'_>, query: &Query) -> usize {
    let mut scratch = Vec::with_capacity(64);
    write_leading(answer, &mut scratch);
    write_trailing(answer, query, &mut scratch);
    scratch.len()
}

fn write_leading(answer: &Answer<'_>, out: &mut Vec<u8>) {
    let message_type = match answer.kind {
        AnswerKind::Offer => 2,
        AnswerKind::Ack => 5,
        AnswerKind::Nak => 6,
        AnswerKind::BootReply => return,
    };
    write_option(out, code::MESSAGE_TYPE, &[message_type]);
    write_option(out, code::SERVER_IDENTIFIER, &answer.server_identifier.octets());
    if answer.kind == AnswerKind::Nak {
        let message = answer.message.as_bytes();
        if !message.is_empty() {
            write_option(out, code::MESSAGE, &message[..message.len().min(255)]);
        }
        return;
    }
    if let Some(times) = answer.times {
        write_option(out, code::LEASE_TIME, &seconds(times.lease));
        write_option(out, code::RENEWAL_TIME, &seconds(times.renewal));
        write_option(out, code::REBINDING_TIME, &seconds(times.rebinding));
    }
}

fn write_trailing(answer: &Answer<'_>, query: &Query, out: &mut Vec<u8>) {
    if answer.kind != AnswerKind::Nak {
        if answer.rapid_commit {
            write_option(out, code::RAPID_COMMIT, &[]);
        }
        if let Some(subnet) = query.subnet_selection.filter(|_| answer.subnet_selected) {
            write_option(out, code::SUBNET_SELECTION, &subnet.octets());
        }
    }
    if let Some(id) = &query.client_id_option {
        write_option(out, code::CLIENT_ID, id);
    }
    if let Some(information) = &query.relay_information {
        write_option(out, code::RELAY_INFORMATION, information);
    }
}

/// Writes to the options field what fits there, then to `file` and `sname`; the rest is left out, later codes first.
fn write_overloaded(answer: &Answer<'_>, wanted: &[(u8, &[u8])], room: usize, out: &mut Vec<u8>) {
    // BOOTP knows no option 52, and that takes room itself.
    let beside_it = room.checked_sub(3).filter(|_| answer.kind != AnswerKind::BootReply);
    let may_overload = beside_it.is_some();
    let mut room = beside_it.unwrap_or(room);
    // One byte of each field is for its end.
    let free = |taken: bool, length: usize| if taken || !may_overload { 0 } else { length - 1 };
    let mut file = Vec::with_capacity(FILE_LENGTH);
    let mut file_room = free(answer.boot.file.is_some(), FILE_LENGTH);
    let mut sname = Vec::with_capacity(SNAME_LENGTH);
    let mut sname_room = free(answer.boot.server_name.is_some(), SNAME_LENGTH);
    let mut options = Vec::with_capacity(room);
    for (code, value) in wanted {
        for (field, room) in [(&mut options, &mut room), (&mut file, &mut file_room), (&mut sname, &mut sname_room)] {
            let length = encoded_length(value.len());
            if length <= *room {
                *room -= length;
                write_option(field, *code, value);
                break;
            }
        }
    }
    let overload = u8::from(!file.is_empty()) | u8::from(!sname.is_empty()) << 1;
    if overload != 0 {
        write_option(out, code::OVERLOAD, &[overload]);
    }
    out.extend_from_slice(&options);
    for (start, field) in [(FILE, &mut file), (SNAME, &mut sname)] {
        if !field.is_empty() {
            field.push(code::END);
            out[start..start + field.len()].copy_from_slice(field);
        }
    }
}

/// A value longer than 255 bytes is split (RFC 3396).
fn write_option(out: &mut Vec<u8>, code: u8, value: &[u8]) {
    if value.is_empty() {
        out.extend_from_slice(&[code, 0]);
    }
    for part in value.chunks(255) {
        out.extend_from_slice(&[code, part.len().to_le_bytes()[0]]);
        out.extend_from_slice(part);
    }
}

fn encoded_length(value: usize) -> usize {
    value + 2 * value.div_ceil(255).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::configuration::OptionValues;
    use crate::dhcp::packet::{Packet, field, options};

    const SERVER: Ipv4Addr = Ipv4Addr::new(10, 20, 0, 1);
    const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 20, 0, 50);

    fn answer(kind: AnswerKind, values: &OptionValues) -> Answer<'_> {
        Answer {
            kind,
            yiaddr: ADDRESS,
            server_identifier: SERVER,
            times: Some(LeaseTimes::of(Duration::from_secs(3600))),
            boot: Boot::default(),
            options: OptionLayers::new(vec![values]).mask(Ipv4Addr::new(255, 255, 255, 0)),
            forced: &[],
            rapid_commit: false,
            subnet_selected: false,
            message: "",
        }
    }

    fn encoded(answer: &Answer<'_>, query: &Query) -> Vec<u8> {
        let mut out = vec![7; 9];
        encode(answer, query, 1500, &mut out).unwrap();
        out
    }

    fn codes(bytes: &[u8]) -> Vec<u8> {
        options(bytes).iter().map(|(code, _)| *code).collect()
    }

    #[test]
    fn an_offer_follows_the_clients_order() {
        let values =
            OptionValues::from([(3, vec![10, 20, 0, 1]), (6, vec![10, 0, 0, 53]), (15, b"hq".to_vec()), (43, vec![9])]);
        let query =
            Packet::of_type(1).option(55, &[6, 3, 6, 1, 51, 42]).option(61, &[0, 9]).option(82, &[1, 1, 7]).query();
        let bytes = encoded(&Answer { forced: &[43, 6], ..answer(AnswerKind::Offer, &values) }, &query);
        assert_eq!(codes(&bytes), [53, 54, 51, 58, 59, 6, 1, 3, 43, 61, 82]);
        assert_eq!(bytes.len(), 300);
        assert_eq!(bytes[..4], [2, 1, 6, 0]);
        assert_eq!(bytes[16..20], ADDRESS.octets());
        assert_eq!(options(&bytes)[2].1, 3600u32.to_be_bytes());
        assert_eq!(options(&bytes)[4].1, 3150u32.to_be_bytes());
    }

    #[test]
    fn classless_routes_take_the_place_of_routers() {
        let values = OptionValues::from([(3, vec![10, 20, 0, 1]), (121, vec![0, 10, 20, 0, 1])]);
        let both = Packet::of_type(1).option(55, &[3, 121]).query();
        assert_eq!(codes(&encoded(&answer(AnswerKind::Ack, &values), &both)), [53, 54, 51, 58, 59, 121]);
        let old = Packet::of_type(1).option(55, &[3]).query();
        assert_eq!(codes(&encoded(&answer(AnswerKind::Ack, &values), &old)), [53, 54, 51, 58, 59, 3]);
    }

    #[test]
    fn a_nak_says_no_more_than_it_must() {
        let values = OptionValues::from([(6, vec![10, 0, 0, 53])]);
        let query = Packet::of_type(3)
            .giaddr([10, 20, 0, 2])
            .ciaddr(ADDRESS.octets())
            .option(55, &[6])
            .option(61, &[0, 9])
            .option(82, &[1, 1, 7])
            .query();
        let nak = Answer { message: "held by another", forced: &[6], ..answer(AnswerKind::Nak, &values) };
        let bytes = encoded(&nak, &query);
        assert_eq!(codes(&bytes), [53, 54, 56, 61, 82]);
        assert_eq!(bytes[10], 0x80);
        assert_eq!(bytes[12..24], [0; 12]);
    }

    #[test]
    fn long_options_are_split_and_spill_into_file_and_sname() {
        let values = OptionValues::from([(43, vec![1; 300]), (6, vec![2; 100]), (15, vec![3; 60]), (17, vec![4; 220])]);
        let roomy = Packet::of_type(1).option(57, &[5, 220]).option(55, &[43, 6, 15, 17]).query();
        let bytes = encoded(&answer(AnswerKind::Offer, &values), &roomy);
        let parts: Vec<_> = options(&bytes).iter().map(|(code, value)| (*code, value.len())).collect();
        assert_eq!(parts[5..], [(43, 255), (43, 45), (6, 100), (15, 60), (17, 220)]);

        let tight = Packet::of_type(1).option(55, &[17, 6, 15, 43]).query();
        let bytes = encoded(&answer(AnswerKind::Offer, &values), &tight);
        assert!(bytes.len() <= 548);
        assert_eq!(codes(&bytes), [53, 54, 51, 58, 59, 52, 17]);
        assert_eq!(options(&bytes)[5].1, [3]);
        assert_eq!(field(&bytes[108..236]), [(6, vec![2; 100])]);
        assert_eq!(field(&bytes[44..108]), [(15, vec![3; 60])]);
    }

    #[test]
    fn an_answer_that_is_nearly_full_grows_by_nothing_that_has_no_room() {
        let values = OptionValues::from([(6, vec![2; 8])]);
        for room in 0..=3 {
            let relay = vec![7; 276 - room];
            let query = Packet::of_type(3).option(55, &[6]).option(82, &relay[..255]).option(82, &relay[255..]).query();
            let bytes = encoded(&answer(AnswerKind::Ack, &values), &query);
            assert!((548 - room..=548).contains(&bytes.len()), "{} with room for {room}", bytes.len());
            assert_eq!(codes(&bytes).contains(&52), room == 3, "room for {room}");
        }
    }

    #[test]
    fn boot_parameters_keep_their_fields() {
        let values = OptionValues::from([(17, vec![4; 250]), (6, vec![2; 40])]);
        let boot =
            Boot { file: Some("pxelinux.0".into()), server_name: Some("boot".into()), next_server: Some(SERVER) };
        let query = Packet::of_type(1).option(55, &[17, 6]).query();
        let bytes = encoded(&Answer { boot, ..answer(AnswerKind::Offer, &values) }, &query);
        assert_eq!(codes(&bytes), [53, 54, 51, 58, 59, 17]);
        assert_eq!(bytes[20..24], SERVER.octets());
        assert_eq!(bytes[44..49], *b"boot\0");
        assert_eq!(bytes[108..119], *b"pxelinux.0\0");
    }

    #[test]
    fn what_must_be_echoed_and_does_not_fit_leaves_no_answer() {
        let values = OptionValues::new();
        let query = Packet::of_type(1).option(61, &[7; 255]).option(82, &[7; 255]).query();
        let mut out = Vec::new();
        assert_eq!(encode(&answer(AnswerKind::Offer, &values), &query, 1500, &mut out), Err(Oversized));
        assert!(out.is_empty());
    }
}
