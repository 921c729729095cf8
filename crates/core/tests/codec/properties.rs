//! What holds for every packet and every answer.

use crate::wire::{joined, options, packet};
use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;
use standfast_core::configuration::{Boot, OptionValues};
use standfast_core::dhcp::destination::{Destination, destination};
use standfast_core::dhcp::encode::{Answer, AnswerKind, LeaseTimes, encode};
use standfast_core::dhcp::option::OptionLayers;
use standfast_core::dhcp::query::Query;
use std::net::Ipv4Addr;
use std::time::Duration;

const MTU: u16 = 1500;
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 20, 0, 1);
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 20, 0, 50);

/// What an operator may configure for an answer.
#[derive(Clone, Debug)]
struct Configured {
    kind: AnswerKind,
    lease: Option<u32>,
    values: OptionValues,
    forced: Vec<u8>,
    boot: Boot,
    rapid_commit: bool,
    message: String,
}

impl Configured {
    fn answer(&self) -> Answer<'_> {
        Answer {
            kind: self.kind,
            yiaddr: ADDRESS,
            server_identifier: SERVER,
            times: self.lease.map(|lease| LeaseTimes::of(Duration::from_secs(lease.into()))),
            boot: self.boot.clone(),
            options: OptionLayers::new(vec![&self.values]).mask(Ipv4Addr::new(255, 255, 255, 0)),
            forced: &self.forced,
            rapid_commit: self.rapid_commit,
            subnet_selected: true,
            message: &self.message,
        }
    }
}

fn configured() -> impl Strategy<Value = Configured> {
    let kind =
        proptest::sample::select(&[AnswerKind::Offer, AnswerKind::Ack, AnswerKind::Nak, AnswerKind::BootReply][..]);
    let length = prop_oneof![8 => 0..40usize, 1 => 0..600usize];
    let value = length.prop_flat_map(|length| vec(any::<u8>(), length));
    let boot =
        (of(any::<[u8; 4]>()), of("[a-z]{1,127}"), of("[a-z]{1,63}")).prop_map(|(next_server, file, server_name)| {
            Boot { next_server: next_server.map(Ipv4Addr::from), file, server_name }
        });
    let parts = (kind, of(any::<u32>()), btree_map(1..=254u8, value, 0..20), vec(any::<u8>(), 0..4), boot);
    (parts, any::<bool>(), ".{0,80}").prop_map(|((kind, lease, values, forced, boot), rapid_commit, message)| {
        Configured { kind, lease, values, forced, boot, rapid_commit, message }
    })
}

fn query() -> impl Strategy<Value = Query> {
    packet().prop_filter_map("dropped", |bytes| Query::parse(&bytes).ok())
}

/// Where each code stands first.
fn position(parts: &[(u8, Vec<u8>)], code: u8) -> Option<usize> {
    parts.iter().position(|(known, _)| *known == code)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_bytes_are_read_or_dropped(bytes in vec(any::<u8>(), 0..600)) {
        let _outcome = Query::parse(&bytes);
    }

    #[test]
    fn any_packet_is_read_or_dropped_and_can_be_logged(bytes in packet()) {
        match Query::parse(&bytes) {
            Ok(query) => prop_assert!(query.to_string().bytes().all(|byte| (0x20..0x7f).contains(&byte))),
            Err(malformed) => prop_assert!(malformed.as_str().starts_with("malformed_")),
        }
    }

    #[test]
    fn a_client_id_is_never_longer_than_a_lease_keeps(query in query()) {
        prop_assert!((1..=255).contains(&query.client.as_bytes().len()));
        prop_assert!(query.hostname.len() <= 255);
    }

    #[test]
    fn an_answer_keeps_its_promises(query in query(), configured in configured()) {
        let mut bytes = Vec::new();
        let answer = configured.answer();
        if encode(&answer, &query, MTU, &mut bytes).is_err() {
            prop_assert!(bytes.is_empty());
            return Ok(());
        }
        let bootp = configured.kind == AnswerKind::BootReply;
        let of_relay = query.relay_information.as_ref().map_or(0, |value| value.len() + 2 * value.len().div_ceil(255).max(1));
        let accepted = if bootp { 300 + of_relay } else { usize::from(query.max_message_size.unwrap_or(0).clamp(576, MTU)) - 28 };
        prop_assert!((300..=accepted).contains(&bytes.len()));

        let parts = options(&bytes[240..]);
        let joined = joined(&bytes);
        for never in [50, 55, 57] {
            prop_assert!(!joined.contains_key(&never));
        }
        if configured.kind != AnswerKind::BootReply {
            prop_assert_eq!(position(&parts, 53), Some(0));
            prop_assert_eq!(position(&parts, 54), Some(1));
        }
        if let (Some(mask), Some(routers)) = (position(&parts, 1), position(&parts, 3)) {
            prop_assert!(mask < routers);
        }
        prop_assert!(!(joined.contains_key(&121) && joined.contains_key(&3)));
        prop_assert_eq!(joined.get(&82), query.relay_information.as_ref());
        if query.relay_information.is_some() {
            prop_assert_eq!(parts.last().map(|(code, _)| *code), Some(82));
        }
        prop_assert_eq!(joined.get(&61), query.client_id_option.as_ref());
        if configured.kind == AnswerKind::Nak {
            prop_assert!(joined.keys().all(|code| [53, 54, 56, 61, 82].contains(code)));
            prop_assert!(bytes[12..24].iter().all(|byte| *byte == 0));
        }
        prop_assert_eq!(&bytes[4..8], &query.xid.to_be_bytes());
        prop_assert_eq!(&bytes[24..28], &query.giaddr.octets());
        prop_assert_eq!(&bytes[28..28 + query.hardware.as_bytes().len()], query.hardware.as_bytes());
        prop_assert!(!joined.contains_key(&108) || query.parameters.contains(&108));
    }

    #[test]
    fn what_is_sent_is_what_was_configured(query in query(), configured in configured()) {
        let mut bytes = Vec::new();
        if configured.kind == AnswerKind::Nak || encode(&configured.answer(), &query, MTU, &mut bytes).is_err() {
            return Ok(());
        }
        let own = [1, 51, 52, 53, 54, 58, 59, 61, 80, 82, 118];
        for (code, value) in joined(&bytes).iter().filter(|(code, _)| !own.contains(code)) {
            prop_assert_eq!(Some(value), configured.values.get(code));
            let asked = query.parameters.is_empty() || query.parameters.contains(code);
            prop_assert!(asked || configured.forced.contains(code));
        }
    }

    #[test]
    fn everything_asked_for_is_there_when_there_is_room(
        values in btree_map(100..=107u8, vec(any::<u8>(), 1..30), 0..8),
        asked in vec(100..=107u8, 1..16),
    ) {
        let mut packet = vec![1, 1, 6, 0];
        packet.resize(236, 0);
        packet.extend([99, 130, 83, 99, 53, 1, 1, 55, u8::try_from(asked.len()).unwrap()]);
        packet.extend(&asked);
        let query = Query::parse(&packet).unwrap();
        let configured = Configured {
            kind: AnswerKind::Offer,
            lease: Some(3600),
            values,
            forced: Vec::new(),
            boot: Boot::default(),
            rapid_commit: false,
            message: String::new(),
        };
        let mut bytes = Vec::new();
        encode(&configured.answer(), &query, MTU, &mut bytes).unwrap();
        let sent: Vec<u8> = options(&bytes[240..]).iter().skip(5).map(|(code, _)| *code).collect();
        let mut expected: Vec<u8> = Vec::new();
        for code in asked {
            if configured.values.contains_key(&code) && !expected.contains(&code) {
                expected.push(code);
            }
        }
        prop_assert_eq!(sent, expected);
    }

    #[test]
    fn an_answer_never_goes_to_port_67_of_a_client(query in query(), source_port in any::<u16>()) {
        for kind in [AnswerKind::Offer, AnswerKind::Ack, AnswerKind::Nak, AnswerKind::BootReply] {
            match destination(&query, source_port, kind, ADDRESS) {
                Destination::Unicast(to) if *to.ip() == query.ciaddr => prop_assert!(to.port() == 68 || query.relayed()),
                Destination::Unicast(to) => prop_assert_eq!(*to.ip(), query.giaddr),
                Destination::Broadcast => prop_assert!(!query.relayed()),
                Destination::Frame { hardware, address } => {
                    prop_assert!(!query.relayed() && !query.broadcast() && kind != AnswerKind::Nak);
                    prop_assert_eq!((hardware, address), (query.hardware, ADDRESS));
                }
            }
        }
    }
}
