//! Packets as anyone might send them, and answers read as a strict client would read them.

use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Codes that mean something to the server, so that random packets reach every branch.
const KNOWN: [u8; 24] =
    [0, 1, 3, 12, 50, 51, 52, 53, 54, 55, 56, 57, 58, 60, 61, 77, 80, 81, 82, 93, 97, 108, 118, 255];

fn code() -> impl Strategy<Value = u8> {
    prop_oneof![4 => proptest::sample::select(&KNOWN[..]), 1 => any::<u8>()]
}

/// An option whose length may lie.
fn option() -> impl Strategy<Value = Vec<u8>> {
    let sized = |code: u8, value: Vec<u8>| {
        let mut bytes = vec![code, u8::try_from(value.len()).expect("at most 255")];
        bytes.extend(value);
        bytes
    };
    let length = prop_oneof![2 => 0..=8usize, 2 => Just(4), 2 => Just(1), 1 => 0..=255usize];
    let honest = (code(), length.prop_flat_map(|length| vec(any::<u8>(), length)))
        .prop_map(move |(code, value)| sized(code, value));
    let lying = (code(), any::<u8>(), vec(any::<u8>(), 0..8)).prop_map(|(code, length, value)| {
        let mut bytes = vec![code, length];
        bytes.extend(value);
        bytes
    });
    prop_oneof![
        20 => honest,
        6 => (1..=9u8).prop_map(|kind| vec![53, 1, kind]),
        2 => (0..=3u8).prop_map(|overload| vec![52, 1, overload]),
        1 => lying,
    ]
}

fn field(options: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(option(), 0..options).prop_map(|options| options.concat())
}

/// A packet with a plausible header; its options are anything.
pub(crate) fn packet() -> impl Strategy<Value = Vec<u8>> {
    let header = (
        prop_oneof![9 => Just(1u8), 1 => any::<u8>()],
        prop_oneof![9 => Just(6u8), 1 => any::<u8>()],
        any::<[u8; 4]>(),
        any::<u16>(),
        prop_oneof![Just([0; 4]), Just([10, 20, 0, 50]), any::<[u8; 4]>()],
        prop_oneof![Just([0; 4]), Just([10, 20, 0, 2]), any::<[u8; 4]>()],
        any::<[u8; 16]>(),
    );
    (header, field(12), field(3), field(3)).prop_map(|(header, options, sname, file)| {
        let (op, hlen, xid, flags, ciaddr, giaddr, chaddr) = header;
        let mut bytes = vec![op, 1, hlen, 0];
        bytes.extend(xid);
        bytes.extend([0, 0]);
        bytes.extend(flags.to_be_bytes());
        bytes.extend(ciaddr);
        bytes.extend([0; 8]);
        bytes.extend(giaddr);
        bytes.extend(chaddr);
        bytes.extend(sname.iter().copied().chain(std::iter::repeat(0)).take(64));
        bytes.extend(file.iter().copied().chain(std::iter::repeat(0)).take(128));
        bytes.extend([99, 130, 83, 99]);
        bytes.extend(options);
        bytes
    })
}

/// The options of one field in order of sending, parts unjoined. Panics where a strict client would drop the message:
/// at a length that overruns, and at a field that does not end.
pub(crate) fn options(mut rest: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut options = Vec::new();
    loop {
        match rest {
            [0, tail @ ..] => rest = tail,
            [255, padding @ ..] => {
                assert!(padding.iter().all(|byte| *byte == 0), "padding after the end");
                return options;
            }
            [code, length, tail @ ..] => {
                let (value, after) = tail.split_at_checked(usize::from(*length)).expect("option overruns");
                options.push((*code, value.to_vec()));
                rest = after;
            }
            [_] | [] => panic!("field without an end"),
        }
    }
}

/// Every option of an answer, joined as RFC 3396 wants: options field, then `file`, then `sname`.
pub(crate) fn joined(answer: &[u8]) -> BTreeMap<u8, Vec<u8>> {
    let mut parts = options(&answer[240..]);
    let overload = parts.iter().find(|(code, _)| *code == 52).map_or(0, |(_, value)| value[0]);
    if overload & 1 != 0 {
        parts.extend(options(&answer[108..236]));
    }
    if overload & 2 != 0 {
        parts.extend(options(&answer[44..108]));
    }
    let mut joined = BTreeMap::<u8, Vec<u8>>::new();
    for (code, value) in parts {
        joined.entry(code).or_default().extend(value);
    }
    joined
}
