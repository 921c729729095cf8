//! Round trips of every message and record, and bytes that nobody meant well.

use super::vocabulary::MAX_COUNTER;
use super::*;
use crate::proto;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use prost::Message as _;
use standfast_core::configuration::{Act, Configuration};
use standfast_core::failover::state::{Phase, Proof};
use standfast_core::id::{Epoch, Incarnation, NodeName, RelationshipName, Revision, Sequence, Session, Slot};
use standfast_core::lease::record::{ClientId, HardwareAddress, Lease, LeaseRecord, LeaseState, Version};
use standfast_core::message::{
    ConfigurationMessage, Echo, HeardClock, Heartbeat, Hello, PairHello, PairMessage, PeerMessage, Pulse, Ready,
    Remembered,
};
use standfast_core::output::StoredRecord;
use standfast_core::scale::WallOffset;
use standfast_core::stored::{ConfigurationRecord, Embargo, NodeRecord, RelationshipRecord};
use standfast_core::time::{Instant, Remaining, Wall};
use std::sync::Arc;
use std::time::Duration;

const PHASES: [Phase; 6] = [
    Phase::Startup,
    Phase::Recover,
    Phase::Normal,
    Phase::CommunicationsInterrupted,
    Phase::PartnerDown,
    Phase::Leaving,
];
const PROOFS: [Proof; 4] = [Proof::CleanLeave, Proof::Operator, Proof::Fenced, Proof::Timer];
const STATES: [LeaseState; 4] = [LeaseState::Free, LeaseState::Bound, LeaseState::Ended, LeaseState::Declined];

fn counters() -> impl Strategy<Value = u64> {
    0..MAX_COUNTER
}
fn sequences() -> impl Strategy<Value = Sequence> {
    counters().prop_map(Sequence)
}
fn slots() -> impl Strategy<Value = Slot> {
    any::<bool>().prop_map(|one| if one { Slot::One } else { Slot::Zero })
}
fn phases() -> impl Strategy<Value = Phase> {
    proptest::sample::select(&PHASES[..])
}
fn epochs() -> impl Strategy<Value = Epoch> {
    (counters(), slots()).prop_map(|(number, slot)| Epoch { number, slot })
}
fn versions() -> impl Strategy<Value = Version> {
    [counters(), counters()].prop_map(Version)
}
fn names() -> impl Strategy<Value = String> {
    "[a-zé]{1,9}"
}
fn relationships() -> impl Strategy<Value = RelationshipName> {
    names().prop_map(Into::into)
}
fn nodes() -> impl Strategy<Value = NodeName> {
    names().prop_map(Into::into)
}
fn remaining() -> impl Strategy<Value = Remaining> {
    any::<i64>().prop_map(Remaining)
}
fn remembered() -> impl Strategy<Value = Remembered> {
    (any::<u64>(), sequences())
        .prop_map(|(incarnation, persisted)| Remembered { incarnation: Incarnation(incarnation), persisted })
}
fn heard() -> impl Strategy<Value = HeardClock> {
    (any::<u64>(), any::<i64>(), any::<u64>()).prop_map(|(incarnation, clock, ago)| HeardClock {
        incarnation: Incarnation(incarnation),
        clock: Instant(clock),
        ago: Duration::from_micros(ago),
    })
}
fn revisions() -> impl Strategy<Value = Revision> {
    (counters(), nodes()).prop_map(|(number, node)| Revision { number, node })
}
fn hardware() -> impl Strategy<Value = HardwareAddress> {
    (any::<u8>(), vec(any::<u8>(), 0..=16)).prop_map(|(kind, bytes)| HardwareAddress::new(kind, &bytes).unwrap())
}
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..=255)
}

prop_compose! {
    fn records()(
        address in any::<u32>(),
        state in proptest::sample::select(&STATES[..]),
        client in bytes(),
        hardware in hardware(),
        hostname in bytes(),
        expires_in in remaining(),
        potential_expires_in in remaining(),
        in_doubt in any::<bool>(),
        version in versions(),
        epoch in epochs(),
    ) -> LeaseRecord {
        let (client, hostname) = (ClientId::new(&client), hostname.into());
        let address = address.into();
        LeaseRecord {
            address, state, client, hardware, hostname, expires_in, potential_expires_in, in_doubt, version, epoch,
        }
    }
}

prop_compose! {
    fn pulses()(
        relationship in relationships(),
        phase in phases(),
        epoch in epochs(),
        serving in any::<bool>(),
        carrier in any::<bool>(),
        client_heard_ms in any::<Option<u64>>(),
        held_back_ms in any::<Option<u64>>(),
    ) -> Pulse {
        Pulse { relationship, phase, epoch, serving, carrier, client_heard_ms, held_back_ms }
    }
}

prop_compose! {
    fn heartbeats()(
        number in counters(),
        echo in option::of((counters(), counters())),
        (wall, clock) in any::<(i64, i64)>(),
        persisted in sequences(),
        pulses in vec(pulses(), 0..3),
    ) -> Heartbeat {
        let echo = echo.map(|(number, held)| Echo { number, held });
        Heartbeat { number, echo, wall: Wall(wall), clock: Instant(clock), persisted, pulses }
    }
}

prop_compose! {
    fn pair_hellos()(
        relationship in relationships(),
        slot in option::of(slots()),
        phase in phases(),
        epoch in epochs(),
        [was_partner_down, lost, wants_everything, restarted, served, new] in any::<[bool; 6]>(),
        partner_down_since in option::of(remaining()),
    ) -> PairHello {
        PairHello {
            relationship, slot, phase, epoch, was_partner_down, partner_down_since, lost, wants_everything, restarted,
            served, new,
        }
    }
}

prop_compose! {
    fn hellos()(
        incarnation in any::<u64>(),
        wall in any::<i64>(),
        remembered in option::of(remembered()),
        heard in option::of(heard()),
        server_identifiers in vec(any::<u32>().prop_map(Into::into), 0..3),
        pairs in vec(pair_hellos(), 0..3),
        (revision, digest) in (revisions(), any::<u64>()),
    ) -> Hello {
        let (incarnation, wall) = (Incarnation(incarnation), Wall(wall));
        Hello { incarnation, wall, remembered, heard, server_identifiers, pairs, revision, digest }
    }
}

fn pair_messages() -> impl Strategy<Value = PairMessage> {
    prop_oneof![
        (counters(), vec(records(), 0..4)).prop_map(|(number, records)| PairMessage::Batch { number, records }),
        (counters(), vec(records(), 0..4)).prop_map(|(number, refused)| PairMessage::Ack { number, refused }),
        Just(PairMessage::PassDone),
        (any::<bool>(), epochs(), epochs()).prop_map(|(unbroken, epoch, last_normal)| PairMessage::Ready(Ready {
            unbroken,
            epoch,
            last_normal
        })),
        (counters(), records()).prop_map(|(number, record)| PairMessage::Ask { number, record }),
        (counters(), any::<u32>(), option::of(records()))
            .prop_map(|(number, address, record)| { PairMessage::Answer { number, address: address.into(), record } }),
        phases().prop_map(PairMessage::Left),
        (epochs(), any::<bool>()).prop_map(|(epoch, by_operator)| PairMessage::HandOver { epoch, by_operator }),
        epochs().prop_map(|epoch| PairMessage::TookOver { epoch }),
        any::<bool>().prop_map(|by_operator| PairMessage::RequestHandOver { by_operator }),
        Just(PairMessage::CleanLeave),
        Just(PairMessage::CleanLeaveAccepted),
        remaining().prop_map(PairMessage::Pause),
    ]
}

fn replicated() -> impl Strategy<Value = PeerMessage> {
    prop_oneof![
        hellos().prop_map(PeerMessage::Hello),
        (relationships(), pair_messages()).prop_map(|(name, message)| PeerMessage::Pair(name, message)),
        revisions().prop_map(|revision| PeerMessage::Configuration(ConfigurationMessage::Held(revision))),
        (counters(), option::of(names()), vec(nodes(), 0..3)).prop_map(|(number, refusal, down)| {
            PeerMessage::Configuration(ConfigurationMessage::Verdict { number, refusal, down })
        }),
    ]
}

prop_compose! {
    fn opens()(
        cluster in names(),
        node in nodes(),
        [major, minor] in any::<[u32; 2]>(),
        [incarnation, session] in any::<[u64; 2]>(),
        revision in revisions(),
    ) -> Open {
        let protocol = Protocol { major, minor };
        Open { cluster, node, protocol, incarnation: Incarnation(incarnation), session: Session(session), revision }
    }
}

/// Instants that fall on a millisecond of the wall clock, which is what the store keeps.
fn instants() -> impl Strategy<Value = Instant> {
    prop_oneof![Just(Instant::NEVER), (-4_000_000_000_000..4_000_000_000_000_i64).prop_map(|ms| Instant(ms * 1_000))]
}

prop_compose! {
    fn leases()(
        record in records(),
        expiry in instants(),
        potential_expiry in instants(),
        acked_expiry in instants(),
        taken in any::<bool>(),
        sequence in sequences(),
    ) -> Lease {
        let LeaseRecord { address, state, client, hardware, hostname, version, epoch, .. } = record;
        Lease {
            address, state, client, hardware, hostname, expiry, potential_expiry, acked_expiry, version, epoch, taken,
            sequence,
        }
    }
}

fn embargoes() -> impl Strategy<Value = Embargo> {
    prop_oneof![
        Just(Embargo::UntilSynced),
        (instants(), instants()).prop_map(|(opened, end)| Embargo::PerAddress { opened, end }),
        (instants(), any::<bool>()).prop_map(|(end, extends_nothing)| Embargo::Everything { end, extends_nothing }),
    ]
}

prop_compose! {
    fn relationship_records()(
        (relationship, partner, slot, phase) in (relationships(), nodes(), slots(), phases()),
        since in instants(),
        proof in option::of((proptest::sample::select(&PROOFS[..]), instants())),
        (epoch, last_normal) in (epochs(), option::of(epochs())),
        [must_hear_partner, lost, was_partner_down, served, promoted_automatically] in any::<[bool; 5]>(),
        embargo in option::of(embargoes()),
        paused_until in option::of(instants().prop_filter("a pause has an end", |until| *until != Instant::NEVER)),
        sequence in sequences(),
        longest in [0..1_u64 << 40, 0..1_u64 << 40],
    ) -> RelationshipRecord {
        let [longest_lease, longest_mclt] = longest.map(Duration::from_millis);
        RelationshipRecord {
            relationship, slot, partner, phase, since, proof, epoch, last_normal, must_hear_partner, lost,
            was_partner_down, served, embargo, promoted_automatically, paused_until, sequence, longest_lease, longest_mclt,
        }
    }
}

prop_compose! {
    fn node_records()(
        node in nodes(),
        incarnations in vec(any::<u64>().prop_map(Incarnation), 0..5),
        peers in vec((nodes(), remembered()), 0..3),
        last_running in any::<i64>(),
        (last_running_at, clock_zero) in (-1_000_000_000_i64..1_000_000_000, -1_000_000_000_i64..1_000_000_000),
        (clock_confirmed, doubt) in any::<(bool, Option<u32>)>(),
        revision in option::of(revisions()),
        sequence in sequences(),
    ) -> NodeRecord {
        NodeRecord {
            node,
            incarnations,
            peers,
            last_running: Wall(last_running),
            last_running_at: Instant(last_running_at * 1_000),
            clock_zero: Instant(clock_zero * 1_000),
            clock_confirmed,
            doubt: doubt.map(|millis| Duration::from_millis(millis.into())),
            revision,
            sequence,
        }
    }
}

fn stored_records() -> impl Strategy<Value = StoredRecord> {
    prop_oneof![
        (relationships(), leases()).prop_map(|(name, lease)| StoredRecord::Lease(name, lease)),
        relationship_records().prop_map(StoredRecord::Relationship),
        node_records().prop_map(StoredRecord::Node),
    ]
}

proptest! {
    #[test]
    fn heartbeats_round_trip(heartbeat in heartbeats(), open in opens()) {
        let message = PeerMessage::Heartbeat(heartbeat);
        let request = proto::HeartbeatRequest::of(message.clone()).unwrap();
        prop_assert_eq!(Frame::try_from(request), Ok(Frame::Message(message.clone())));
        let response = proto::HeartbeatResponse::of(message.clone()).unwrap();
        prop_assert_eq!(Frame::try_from(response), Ok(Frame::Message(message.clone())));
        prop_assert_eq!(proto::ReplicateRequest::of(message), None);
        let opening = proto::HeartbeatRequest::opening(open.clone());
        prop_assert_eq!(Frame::try_from(opening), Ok(Frame::Open(open)));
    }

    #[test]
    fn replication_messages_round_trip(message in replicated()) {
        let request = proto::ReplicateRequest::of(message.clone()).unwrap();
        let request = proto::ReplicateRequest::decode(request.encode_to_vec().as_slice()).unwrap();
        prop_assert_eq!(Frame::try_from(request), Ok(Frame::Message(message.clone())));
        let response = proto::ReplicateResponse::of(message.clone()).unwrap();
        prop_assert_eq!(Frame::try_from(response), Ok(Frame::Message(message.clone())));
        prop_assert_eq!(proto::HeartbeatRequest::of(message), None);
    }

    #[test]
    fn stored_records_round_trip(record in stored_records(), offset in -1_000_000_000_000_000..2_000_000_000_000_000_i64) {
        let offset = WallOffset(offset / 1_000 * 1_000);
        let (key, value) = encode_record(&record, offset);
        let key = Key::decode(&key).unwrap();
        prop_assert_eq!(&key, &Key::of(&record));
        prop_assert_eq!(decode_record(key, &value, offset), Ok(record));
    }

    #[test]
    fn hostile_bytes_are_refused_without_a_panic(bytes in vec(any::<u8>(), 0..300)) {
        let request = proto::ReplicateRequest::decode(bytes.as_slice()).map(Frame::try_from);
        let response = proto::HeartbeatResponse::decode(bytes.as_slice()).map(Frame::try_from);
        let key = Key::decode(&bytes);
        let records = [Key::Node, Key::Relationship("r".into()), Key::Lease("r".into(), [10, 0, 0, 1].into())]
            .map(|key| decode_record(key, &bytes, WallOffset(i64::MAX)));
        drop((request, response, key, records));
    }

    #[test]
    fn a_damaged_message_is_refused_without_a_panic(message in replicated(), at in any::<proptest::sample::Index>(), with in any::<u8>()) {
        let mut bytes = proto::ReplicateRequest::of(message).unwrap().encode_to_vec();
        let at = at.index(bytes.len());
        bytes[at] = with;
        if let Ok(request) = proto::ReplicateRequest::decode(bytes.as_slice()) {
            let _ = Frame::try_from(request);
        }
    }
}

fn configuration(text: &str, act: Act) -> Configuration {
    Configuration {
        cluster: "hq".into(),
        revision: Revision { number: 7, node: "dhcp-a".into() },
        nodes: Vec::new(),
        relationships: Vec::new(),
        scopes: Vec::new(),
        classes: Vec::new(),
        server_identifiers: std::collections::BTreeMap::new(),
        text: text.into(),
        act,
    }
}

#[test]
fn a_configuration_crosses_and_is_stored_as_its_text() {
    let act = Act { who: "alice".into(), why: "a new printer".into(), when: Wall(5) };
    let sent = Arc::new(configuration("cluster = 'hq'", act.clone()));
    for message in [
        ConfigurationMessage::Proposal { number: 3, reading: Ok(Arc::clone(&sent)) },
        ConfigurationMessage::Older(Ok(Arc::clone(&sent))),
        ConfigurationMessage::Revision { reading: Ok(Arc::clone(&sent)), proposal: Some(3) },
    ] {
        let message = PeerMessage::Configuration(message);
        let request = proto::ReplicateRequest::of(message.clone()).unwrap();
        let Ok(Frame::Unread(unread)) = Frame::try_from(request) else { panic!("it has a text") };
        let text = &unread.text;
        assert_eq!((&text.revision, &text.act, text.text.as_str()), (&sent.revision, &act, "cluster = 'hq'"));
        assert_eq!(unread.read(Ok(Arc::clone(&sent))), message);
    }
    let held = vec![("dhcp-b".into(), Revision { number: 6, node: "dhcp-a".into() })];
    let older = vec![Arc::clone(&sent)];
    let record = ConfigurationRecord { current: Arc::clone(&sent), older, held: held.clone(), sequence: Sequence(9) };
    let (key, value) = encode_record(&StoredRecord::Configuration(record), WallOffset(0));
    assert_eq!(Key::decode(&key), Ok(Key::Configuration));
    let stored = decode_configuration(&value).unwrap();
    assert_eq!((stored.older.len(), stored.held, stored.sequence), (1, held, Sequence(9)));
    assert_eq!(stored.current.text, "cluster = 'hq'");
}

#[test]
fn a_text_has_an_end() {
    let text = |length| proto::ConfigurationText::from(&configuration(&" ".repeat(length), Act::default()));
    assert!(Text::try_from(text(MAX_TEXT)).is_ok());
    let refusal = Text::try_from(text(MAX_TEXT + 1)).unwrap_err();
    assert_eq!(refusal.to_string(), "ConfigurationText.text: 4194305 is more than 4194304");
}

fn record() -> proto::LeaseRecord {
    proto::LeaseRecord {
        address: 0x0a14_0032,
        state: proto::LeaseState::Bound.into(),
        client_id: vec![1; 7],
        hardware: Some(proto::HardwareAddress { kind: 1, address: vec![2; 6] }),
        hostname: Vec::new(),
        expires_in_ms: 1,
        potential_expires_in_ms: 1,
        in_doubt: false,
        version: Some(proto::Version { slot_zero: 1, slot_one: 0 }),
        epoch: Some(proto::Epoch { number: 1, slot: proto::Slot::One.into() }),
    }
}

fn refusal(spoil: impl Fn(&mut proto::LeaseRecord)) -> String {
    let mut record = record();
    spoil(&mut record);
    LeaseRecord::try_from(record).unwrap_err().to_string()
}

#[test]
fn a_refusal_names_the_field() {
    assert_eq!(refusal(|record| record.state = 9), "LeaseRecord.state: value 9 is not known");
    assert_eq!(refusal(|record| record.state = 0), "LeaseRecord.state: missing");
    assert_eq!(refusal(|record| record.version = None), "LeaseRecord.version: missing");
    assert_eq!(refusal(|record| record.hostname = vec![0; 256]), "LeaseRecord.hostname: 256 is more than 255");
    assert_eq!(
        refusal(|record| record.hardware = Some(proto::HardwareAddress { kind: 1, address: vec![0; 17] })),
        "HardwareAddress.address: 17 is more than 16"
    );
    assert_eq!(
        refusal(|record| record.epoch = Some(proto::Epoch { number: u64::MAX, slot: 1 })),
        "Epoch.number: 18446744073709551615 is out of range"
    );
}

/// A field and a kind of message that no version has yet.
const LATER: [u8; 6] = [0xfa, 0xff, 0x03, 2, 1, 2];

#[test]
fn what_a_later_version_says_is_skipped() {
    let frame = |bytes: &[u8]| Frame::try_from(proto::ReplicateRequest::decode(bytes).unwrap());
    assert_eq!(frame(&LATER), Ok(Frame::Unknown));
    // Within a message of a relationship (field 3), and of the configuration (field 4).
    for field in [3, 4] {
        let length = u8::try_from(LATER.len()).unwrap();
        assert_eq!(frame(&[&[field << 3 | 2, length][..], &LATER].concat()), Ok(Frame::Unknown));
    }
    let beat = Heartbeat {
        number: 7,
        echo: None,
        wall: Wall(1),
        clock: Instant(2),
        persisted: Sequence(3),
        pulses: Vec::new(),
    };
    let message = PeerMessage::Heartbeat(beat);
    let bytes = [proto::HeartbeatRequest::of(message.clone()).unwrap().encode_to_vec(), LATER.to_vec()].concat();
    let read = proto::HeartbeatRequest::decode(bytes.as_slice()).unwrap();
    assert_eq!(Frame::try_from(read), Ok(Frame::Message(message)));
}

#[test]
fn a_batch_has_an_end() {
    let batch = |length| proto::ReplicateRequest {
        frame: Some(proto::replicate_request::Frame::Pair(proto::PairMessage {
            relationship: "office".to_owned(),
            message: Some(proto::pair_message::Message::Batch(proto::Batch {
                number: 1,
                records: vec![record(); length],
            })),
        })),
    };
    assert!(Frame::try_from(batch(512)).is_ok());
    assert_eq!(Frame::try_from(batch(513)).unwrap_err().to_string(), "Batch.records: 513 is more than 512");
}

#[test]
fn the_largest_batch_fits_a_frame() {
    let mut largest = record();
    largest.client_id = vec![0; 255];
    largest.hostname = vec![0; 255];
    largest.version = Some(proto::Version { slot_zero: MAX_COUNTER, slot_one: MAX_COUNTER });
    let batch = proto::Batch { number: MAX_COUNTER, records: vec![largest; 512] };
    assert!(batch.encoded_len() < MAX_FRAME / 2, "{}", batch.encoded_len());
}

#[test]
fn an_instant_is_rounded_up_to_a_millisecond() {
    let offset = WallOffset::between(Instant(5_000), Wall(1_000));
    let lease = |expiry| {
        let record = LeaseRecord::try_from(record()).unwrap();
        let LeaseRecord { address, state, client, hardware, hostname, version, epoch, .. } = record;
        let (potential_expiry, acked_expiry) = (Instant::NEVER, Instant::NEVER);
        let (taken, sequence) = (true, Sequence(3));
        StoredRecord::Lease(
            "office".into(),
            Lease {
                address,
                state,
                client,
                hardware,
                hostname,
                expiry,
                potential_expiry,
                acked_expiry,
                version,
                epoch,
                taken,
                sequence,
            },
        )
    };
    let (key, value) = encode_record(&lease(Instant(7_001)), offset);
    assert_eq!(decode_record(Key::decode(&key).unwrap(), &value, offset), Ok(lease(Instant(8_000))));
}

#[test]
fn keys_of_a_relationship_lie_together_in_the_order_of_addresses() {
    let lease = |address: [u8; 4]| Key::Lease("office".into(), address.into()).encode();
    assert_eq!(lease([10, 20, 0, 50]), b"l\x06office\x0a\x14\x00\x32");
    assert!(lease([10, 20, 0, 255]) < lease([10, 20, 1, 0]));
    assert_eq!(Key::Relationship("office".into()).encode(), b"roffice");
    for hostile in
        [&b""[..], b"x", b"l", b"l\x06offic", b"l\x01a\x0a\x14\x00", b"l\x01a\x0a\x14\x00\x01\x02", b"nn", b"r\xff"]
    {
        assert!(Key::decode(hostile).is_err(), "{hostile:?}");
    }
}
