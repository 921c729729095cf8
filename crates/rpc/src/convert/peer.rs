//! What nodes say to each other.

use super::configuration::{MAX_TEXT, Unread, message_from_proto, message_to_proto};
use super::vocabulary::{
    client_id, counter, epoch, hardware, lease_state, name, option_bytes, optional_slot, phase, phase_to_proto,
    slot_to_proto, state_to_proto, version,
};
use super::{DecodeError, decode_all, required};
use crate::proto::{self, heartbeat_request, heartbeat_response, pair_message, replicate_request, replicate_response};
use standfast_core::failover::replication::BATCH_RECORDS;
use standfast_core::id::{Incarnation, NodeName, RelationshipName, Revision, Sequence, Session};
use standfast_core::lease::record::LeaseRecord;
use standfast_core::message::{Echo, HeardClock, Heartbeat, Hello, PairHello, PairMessage, PeerMessage, Pulse, Ready};
use standfast_core::time::{Instant, Remaining, Wall};
use std::net::Ipv4Addr;
use std::time::Duration;

/// Largest message on a peer stream, in bytes: the longest cluster file. A full batch of the largest records takes
/// about 350 KiB.
pub const MAX_FRAME: usize = MAX_TEXT + (256 << 10);
/// Two nodes share at most so many relationships.
const MAX_PAIRS: usize = 1024;
/// A node has at most so many server identifiers.
const MAX_IDENTIFIERS: usize = 4096;

/// Version of the peer protocol. A node talks to every minor of its own major.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Protocol {
    /// Rises when an older node could not understand a newer one.
    pub major: u32,
    /// Rises when something was added.
    pub minor: u32,
}

impl Protocol {
    /// What this program speaks.
    pub const CURRENT: Self = Self { major: 1, minor: 0 };
}

/// The first message of each side on each stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Open {
    /// Name of the sender's cluster.
    pub cluster: String,
    /// The sender.
    pub node: NodeName,
    /// What it speaks.
    pub protocol: Protocol,
    /// Drawn at its start.
    pub incarnation: Incarnation,
    /// Drawn by the node that dials; the same on both streams.
    pub session: Session,
    /// Configuration that the sender uses.
    pub revision: Revision,
}

/// One message on a peer stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Frame {
    /// The first one.
    Open(Open),
    /// Every later one.
    Message(PeerMessage),
    /// A later one whose text is to be read first.
    Unread(Unread),
    /// A later one of a kind that this version does not know. A node of a later minor version may send it, and relies
    /// on nothing that would come of it.
    Unknown,
}

macro_rules! heartbeat_frames {
    ($($message:ty, $frame:path;)*) => {$(
        impl $message {
            /// The message that opens a stream.
            #[must_use]
            pub fn opening(open: Open) -> Self {
                use $frame as F;
                Self { frame: Some(F::Open(open.into())) }
            }
            /// `None` if the message does not belong on the heartbeat stream.
            #[must_use]
            pub fn of(message: PeerMessage) -> Option<Self> {
                use $frame as F;
                match message {
                    PeerMessage::Heartbeat(heartbeat) => Some(Self { frame: Some(F::Heartbeat(heartbeat.into())) }),
                    PeerMessage::Hello(_) | PeerMessage::Configuration(_) | PeerMessage::Pair(..) => None,
                }
            }
        }
        impl TryFrom<$message> for Frame {
            type Error = DecodeError;
            fn try_from(message: $message) -> Result<Self, DecodeError> {
                use $frame as F;
                Ok(match message.frame {
                    None => Self::Unknown,
                    Some(F::Open(open)) => Self::Open(open.try_into()?),
                    Some(F::Heartbeat(heartbeat)) => Self::Message(PeerMessage::Heartbeat(heartbeat.try_into()?)),
                })
            }
        }
    )*};
}

heartbeat_frames! {
    proto::HeartbeatRequest, heartbeat_request::Frame;
    proto::HeartbeatResponse, heartbeat_response::Frame;
}

macro_rules! replicate_frames {
    ($($message:ty, $frame:path;)*) => {$(
        impl $message {
            /// The message that opens a stream.
            #[must_use]
            pub fn opening(open: Open) -> Self {
                use $frame as F;
                Self { frame: Some(F::Open(open.into())) }
            }
            /// `None` if the message does not belong on the replication stream.
            #[must_use]
            pub fn of(message: PeerMessage) -> Option<Self> {
                use $frame as F;
                match message {
                    PeerMessage::Heartbeat(_) => None,
                    PeerMessage::Hello(hello) => Some(Self { frame: Some(F::Hello(hello.into())) }),
                    PeerMessage::Configuration(message) => {
                        Some(Self { frame: Some(F::Configuration(message_to_proto(message)?)) })
                    }
                    PeerMessage::Pair(relationship, message) => {
                        Some(Self { frame: Some(F::Pair(pair_to_proto(&relationship, message))) })
                    }
                }
            }
        }
        impl TryFrom<$message> for Frame {
            type Error = DecodeError;
            fn try_from(message: $message) -> Result<Self, DecodeError> {
                use $frame as F;
                Ok(match message.frame {
                    None => Self::Unknown,
                    Some(F::Open(open)) => Self::Open(open.try_into()?),
                    Some(F::Hello(hello)) => Self::Message(PeerMessage::Hello(hello.try_into()?)),
                    Some(F::Configuration(message)) => message_from_proto(message)?,
                    Some(F::Pair(pair)) => pair_from_proto(pair)?,
                })
            }
        }
    )*};
}

replicate_frames! {
    proto::ReplicateRequest, replicate_request::Frame;
    proto::ReplicateResponse, replicate_response::Frame;
}

impl From<Open> for proto::Open {
    fn from(open: Open) -> Self {
        Self {
            cluster: open.cluster,
            node: open.node.as_str().to_owned(),
            protocol_major: open.protocol.major,
            protocol_minor: open.protocol.minor,
            incarnation: open.incarnation.0,
            session: open.session.0,
            revision: Some(open.revision.into()),
        }
    }
}

impl TryFrom<proto::Open> for Open {
    type Error = DecodeError;
    fn try_from(open: proto::Open) -> Result<Self, DecodeError> {
        Ok(Self {
            cluster: name("Open.cluster", open.cluster)?,
            node: name("Open.node", open.node)?,
            protocol: Protocol { major: open.protocol_major, minor: open.protocol_minor },
            incarnation: Incarnation(open.incarnation),
            session: Session(open.session),
            revision: required("Open.revision", open.revision)?.try_into()?,
        })
    }
}

impl From<Heartbeat> for proto::Heartbeat {
    fn from(heartbeat: Heartbeat) -> Self {
        Self {
            number: heartbeat.number,
            echo: heartbeat.echo.map(|echo| proto::Echo { number: echo.number, held_us: echo.held }),
            wall_ms: heartbeat.wall.0,
            clock_us: heartbeat.clock.0,
            persisted: heartbeat.persisted.0,
            pulses: heartbeat.pulses.into_iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<proto::Heartbeat> for Heartbeat {
    type Error = DecodeError;
    fn try_from(heartbeat: proto::Heartbeat) -> Result<Self, DecodeError> {
        let echo = |echo: proto::Echo| {
            let number = counter("Echo.number", echo.number)?;
            Ok(Echo { number, held: counter("Echo.held_us", echo.held_us)? })
        };
        Ok(Self {
            number: counter("Heartbeat.number", heartbeat.number)?,
            echo: heartbeat.echo.map(echo).transpose()?,
            wall: Wall(heartbeat.wall_ms),
            clock: Instant(heartbeat.clock_us),
            persisted: Sequence(counter("Heartbeat.persisted", heartbeat.persisted)?),
            pulses: decode_all("Heartbeat.pulses", heartbeat.pulses, MAX_PAIRS, Pulse::try_from)?,
        })
    }
}

impl From<Pulse> for proto::Pulse {
    fn from(pulse: Pulse) -> Self {
        Self {
            relationship: pulse.relationship.as_str().to_owned(),
            phase: phase_to_proto(pulse.phase).into(),
            epoch: Some(pulse.epoch.into()),
            serving: pulse.serving,
            carrier: pulse.carrier,
            client_heard_ms: pulse.client_heard_ms,
            held_back_ms: pulse.held_back_ms,
        }
    }
}

impl TryFrom<proto::Pulse> for Pulse {
    type Error = DecodeError;
    fn try_from(pulse: proto::Pulse) -> Result<Self, DecodeError> {
        Ok(Self {
            relationship: name("Pulse.relationship", pulse.relationship)?,
            phase: phase("Pulse.phase", pulse.phase)?,
            epoch: epoch("Pulse.epoch", pulse.epoch)?,
            serving: pulse.serving,
            carrier: pulse.carrier,
            client_heard_ms: pulse.client_heard_ms,
            held_back_ms: pulse.held_back_ms,
        })
    }
}

impl From<Hello> for proto::Hello {
    fn from(hello: Hello) -> Self {
        Self {
            incarnation: hello.incarnation.0,
            wall_ms: hello.wall.0,
            remembered: hello.remembered.map(Into::into),
            heard: hello.heard.map(|heard| proto::HeardClock {
                incarnation: heard.incarnation.0,
                clock_us: heard.clock.0,
                ago_us: u64::try_from(heard.ago.as_micros()).unwrap_or(u64::MAX),
            }),
            server_identifiers: hello.server_identifiers.into_iter().map(Ipv4Addr::to_bits).collect(),
            pairs: hello.pairs.into_iter().map(Into::into).collect(),
            revision: Some(hello.revision.into()),
            digest: hello.digest,
        }
    }
}

impl TryFrom<proto::Hello> for Hello {
    type Error = DecodeError;
    fn try_from(hello: proto::Hello) -> Result<Self, DecodeError> {
        Ok(Self {
            incarnation: Incarnation(hello.incarnation),
            wall: Wall(hello.wall_ms),
            remembered: hello.remembered.map(TryInto::try_into).transpose()?,
            heard: hello.heard.map(|heard| HeardClock {
                incarnation: Incarnation(heard.incarnation),
                clock: Instant(heard.clock_us),
                ago: Duration::from_micros(heard.ago_us),
            }),
            server_identifiers: decode_all(
                "Hello.server_identifiers",
                hello.server_identifiers,
                MAX_IDENTIFIERS,
                |address| Ok(Ipv4Addr::from_bits(address)),
            )?,
            pairs: decode_all("Hello.pairs", hello.pairs, MAX_PAIRS, PairHello::try_from)?,
            revision: hello.revision.map_or_else(no_revision, TryInto::try_into)?,
            digest: hello.digest,
        })
    }
}

/// Of a node that does not say which one it uses.
fn no_revision() -> Result<Revision, DecodeError> {
    Ok(Revision { number: 0, node: NodeName::from("") })
}

impl From<PairHello> for proto::PairHello {
    fn from(hello: PairHello) -> Self {
        Self {
            relationship: hello.relationship.as_str().to_owned(),
            slot: hello.slot.map_or(proto::Slot::Unspecified, slot_to_proto).into(),
            phase: phase_to_proto(hello.phase).into(),
            epoch: Some(hello.epoch.into()),
            was_partner_down: hello.was_partner_down,
            partner_down_since_ms: hello.partner_down_since.map(|remaining| remaining.0),
            lost: hello.lost,
            wants_everything: hello.wants_everything,
            restarted: hello.restarted,
            served: hello.served,
            new: hello.new,
        }
    }
}

impl TryFrom<proto::PairHello> for PairHello {
    type Error = DecodeError;
    fn try_from(hello: proto::PairHello) -> Result<Self, DecodeError> {
        Ok(Self {
            relationship: name("PairHello.relationship", hello.relationship)?,
            slot: optional_slot("PairHello.slot", hello.slot)?,
            phase: phase("PairHello.phase", hello.phase)?,
            epoch: epoch("PairHello.epoch", hello.epoch)?,
            was_partner_down: hello.was_partner_down,
            partner_down_since: hello.partner_down_since_ms.map(Remaining),
            lost: hello.lost,
            wants_everything: hello.wants_everything,
            restarted: hello.restarted,
            served: hello.served,
            new: hello.new,
        })
    }
}

fn pair_to_proto(relationship: &RelationshipName, message: PairMessage) -> proto::PairMessage {
    use pair_message::Message as M;
    let list = |records: Vec<LeaseRecord>| records.into_iter().map(Into::into).collect();
    let message = match message {
        PairMessage::Batch { number, records } => M::Batch(proto::Batch { number, records: list(records) }),
        PairMessage::Ack { number, refused } => M::Ack(proto::Ack { number, refused: list(refused) }),
        PairMessage::PassDone => M::PassDone(proto::PassDone {}),
        PairMessage::Ready(ready) => M::Ready(proto::Ready {
            unbroken: ready.unbroken,
            epoch: Some(ready.epoch.into()),
            last_normal: Some(ready.last_normal.into()),
        }),
        PairMessage::Ask { number, record } => M::Ask(proto::Ask { number, record: Some(record.into()) }),
        PairMessage::Answer { number, address, record } => {
            M::Answer(proto::Answer { number, address: address.to_bits(), record: record.map(Into::into) })
        }
        PairMessage::Left(phase) => M::Left(proto::Left { phase: phase_to_proto(phase).into() }),
        PairMessage::HandOver { epoch, by_operator } => {
            M::HandOver(proto::HandOver { epoch: Some(epoch.into()), by_operator })
        }
        PairMessage::TookOver { epoch } => M::TookOver(proto::TookOver { epoch: Some(epoch.into()) }),
        PairMessage::RequestHandOver { by_operator } => M::RequestHandOver(proto::RequestHandOver { by_operator }),
        PairMessage::CleanLeave => M::CleanLeave(proto::CleanLeave {}),
        PairMessage::CleanLeaveAccepted => M::CleanLeaveAccepted(proto::CleanLeaveAccepted {}),
        PairMessage::Pause(remaining) => M::Pause(proto::Pause { remaining_ms: remaining.0 }),
    };
    proto::PairMessage { relationship: relationship.as_str().to_owned(), message: Some(message) }
}

fn pair_from_proto(pair: proto::PairMessage) -> Result<Frame, DecodeError> {
    use pair_message::Message as M;
    let Some(message) = pair.message else { return Ok(Frame::Unknown) };
    let message = match message {
        M::Batch(batch) => PairMessage::Batch {
            number: counter("Batch.number", batch.number)?,
            records: decode_all("Batch.records", batch.records, BATCH_RECORDS, LeaseRecord::try_from)?,
        },
        M::Ack(ack) => PairMessage::Ack {
            number: counter("Ack.number", ack.number)?,
            refused: decode_all("Ack.refused", ack.refused, BATCH_RECORDS, LeaseRecord::try_from)?,
        },
        M::PassDone(proto::PassDone {}) => PairMessage::PassDone,
        M::Ready(ready) => PairMessage::Ready(Ready {
            unbroken: ready.unbroken,
            epoch: epoch("Ready.epoch", ready.epoch)?,
            last_normal: epoch("Ready.last_normal", ready.last_normal)?,
        }),
        M::Ask(ask) => PairMessage::Ask {
            number: counter("Ask.number", ask.number)?,
            record: required("Ask.record", ask.record)?.try_into()?,
        },
        M::Answer(answer) => PairMessage::Answer {
            number: counter("Answer.number", answer.number)?,
            address: Ipv4Addr::from_bits(answer.address),
            record: answer.record.map(TryInto::try_into).transpose()?,
        },
        M::Left(left) => PairMessage::Left(phase("Left.phase", left.phase)?),
        M::HandOver(hand_over) => PairMessage::HandOver {
            epoch: epoch("HandOver.epoch", hand_over.epoch)?,
            by_operator: hand_over.by_operator,
        },
        M::TookOver(took_over) => PairMessage::TookOver { epoch: epoch("TookOver.epoch", took_over.epoch)? },
        M::RequestHandOver(request) => PairMessage::RequestHandOver { by_operator: request.by_operator },
        M::CleanLeave(proto::CleanLeave {}) => PairMessage::CleanLeave,
        M::CleanLeaveAccepted(proto::CleanLeaveAccepted {}) => PairMessage::CleanLeaveAccepted,
        M::Pause(pause) => PairMessage::Pause(Remaining(pause.remaining_ms)),
    };
    Ok(Frame::Message(PeerMessage::Pair(name("PairMessage.relationship", pair.relationship)?, message)))
}

impl From<LeaseRecord> for proto::LeaseRecord {
    fn from(record: LeaseRecord) -> Self {
        Self {
            address: record.address.to_bits(),
            state: state_to_proto(record.state).into(),
            client_id: record.client.as_bytes().to_vec(),
            hardware: Some(record.hardware.into()),
            hostname: record.hostname.into_vec(),
            expires_in_ms: record.expires_in.0,
            potential_expires_in_ms: record.potential_expires_in.0,
            in_doubt: record.in_doubt,
            version: Some(record.version.into()),
            epoch: Some(record.epoch.into()),
        }
    }
}

impl TryFrom<proto::LeaseRecord> for LeaseRecord {
    type Error = DecodeError;
    fn try_from(record: proto::LeaseRecord) -> Result<Self, DecodeError> {
        Ok(Self {
            address: Ipv4Addr::from_bits(record.address),
            state: lease_state("LeaseRecord.state", record.state)?,
            client: client_id("LeaseRecord.client_id", record.client_id)?,
            hardware: hardware("LeaseRecord.hardware", record.hardware)?,
            hostname: option_bytes("LeaseRecord.hostname", record.hostname)?.into(),
            expires_in: Remaining(record.expires_in_ms),
            potential_expires_in: Remaining(record.potential_expires_in_ms),
            in_doubt: record.in_doubt,
            version: version("LeaseRecord.version", record.version)?,
            epoch: epoch("LeaseRecord.epoch", record.epoch)?,
        })
    }
}
