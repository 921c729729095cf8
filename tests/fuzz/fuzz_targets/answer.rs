//! Any query and any configured values make an answer that a strict client can read, or none.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use standfast_core::configuration::{Boot, OptionValues};
use standfast_core::dhcp::encode::{Answer, AnswerKind, LeaseTimes, encode};
use standfast_core::dhcp::option::OptionLayers;
use standfast_core::dhcp::query::Query;
use std::net::Ipv4Addr;
use std::time::Duration;

#[derive(Arbitrary, Debug)]
struct Configured {
    kind: u8,
    lease: Option<u32>,
    values: Vec<(u8, Vec<u8>)>,
    forced: Vec<u8>,
    file: Option<String>,
    server_name: Option<String>,
    message: String,
    rapid_commit: bool,
}

fuzz_target!(|input: (Configured, &[u8])| check(&input.0, input.1));

fn check(configured: &Configured, packet: &[u8]) {
    let Ok(query) = Query::parse(packet) else { return };
    let values: OptionValues =
        configured.values.iter().filter(|(code, _)| !matches!(code, 0 | 255)).cloned().collect();
    let kinds = [AnswerKind::Offer, AnswerKind::Ack, AnswerKind::Nak, AnswerKind::BootReply];
    let kind = kinds[usize::from(configured.kind % 4)];
    let answer = Answer {
        kind,
        yiaddr: Ipv4Addr::new(10, 20, 0, 50),
        server_identifier: Ipv4Addr::new(10, 20, 0, 1),
        times: configured.lease.map(|lease| LeaseTimes::of(Duration::from_secs(lease.into()))),
        boot: Boot { next_server: None, file: configured.file.clone(), server_name: configured.server_name.clone() },
        options: OptionLayers::new(vec![&values]).mask(Ipv4Addr::new(255, 255, 255, 0)),
        forced: &configured.forced,
        rapid_commit: configured.rapid_commit,
        subnet_selected: true,
        message: &configured.message,
    };
    let mut bytes = Vec::new();
    if encode(&answer, &query, 1500, &mut bytes).is_err() {
        assert!(bytes.is_empty());
        return;
    }
    let accepted = match kind {
        AnswerKind::BootReply => {
            let of_relay = query.relay_information.as_ref();
            300 + of_relay.map_or(0, |value| value.len() + 2 * value.len().div_ceil(255).max(1))
        }
        AnswerKind::Offer | AnswerKind::Ack | AnswerKind::Nak => {
            usize::from(query.max_message_size.unwrap_or(0).clamp(576, 1500)) - 28
        }
    };
    assert!((300..=accepted).contains(&bytes.len()));
    let sent = options(&bytes[240..]);
    if kind == AnswerKind::Nak {
        assert!(sent.iter().all(|(code, _)| [53, 54, 56, 61, 82].contains(code)));
    }
    let echoed: Vec<u8> = sent.iter().filter(|(code, _)| *code == 82).flat_map(|(_, value)| value.to_vec()).collect();
    assert_eq!(echoed, query.relay_information.clone().unwrap_or_default());
    assert!(query.relay_information.is_none() || sent.last().is_some_and(|(code, _)| *code == 82));
    if let Some((_, overload)) = sent.iter().find(|(code, _)| *code == 52) {
        let fields = [&bytes[108..236], &bytes[44..108]];
        for (bit, field) in fields.into_iter().enumerate() {
            if overload[0] & (1 << bit) != 0 {
                assert!(!options(field).is_empty());
            }
        }
    }
}

/// Panics where a strict client would drop the message.
fn options(mut rest: &[u8]) -> Vec<(u8, &[u8])> {
    let mut options = Vec::new();
    loop {
        match rest {
            [0, tail @ ..] => rest = tail,
            [255, ..] => return options,
            [code, length, tail @ ..] => {
                let (value, after) = tail.split_at(usize::from(*length));
                options.push((*code, value));
                rest = after;
            }
            [_] | [] => panic!("field without an end"),
        }
    }
}
