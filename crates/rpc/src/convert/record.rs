//! What the store holds: keys and payloads.

use super::configuration::{StoredTexts, record_to_proto, texts_from_proto};
use super::vocabulary::{
    client_id, counter, epoch, hardware, lease_state, name, option_bytes, optional_proof, phase, phase_to_proto,
    proof_to_proto, slot, slot_to_proto, state_to_proto, version,
};
use super::{DecodeError, Problem, required};
use crate::proto::{self, embargo};
use prost::Message;
use standfast_core::id::{Epoch, Incarnation, NodeName, RelationshipName, Sequence};
use standfast_core::lease::record::Lease;
use standfast_core::message::Remembered;
use standfast_core::output::StoredRecord;
use standfast_core::scale::WallOffset;
use standfast_core::stored::{Embargo, NodeRecord, RelationshipRecord};
use standfast_core::time::Wall;
use std::net::Ipv4Addr;
use std::time::Duration;

const LEASE: u8 = b'l';
const RELATIONSHIP: u8 = b'r';
const NODE: u8 = b'n';
const CONFIGURATION: u8 = b'c';

/// What a record is about. Known even where the record itself cannot be read.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Key {
    /// The lease of an address in a relationship.
    Lease(RelationshipName, Ipv4Addr),
    /// A relationship.
    Relationship(RelationshipName),
    /// The node whose store this is.
    Node,
    /// The configuration of the cluster.
    Configuration,
}

impl Key {
    /// The key of `record`.
    #[must_use]
    pub fn of(record: &StoredRecord) -> Self {
        match record {
            StoredRecord::Lease(relationship, lease) => Self::Lease(relationship.clone(), lease.address),
            StoredRecord::Relationship(record) => Self::Relationship(record.relationship.clone()),
            StoredRecord::Node(_) => Self::Node,
            StoredRecord::Configuration(_) => Self::Configuration,
        }
    }

    /// As the store sorts them. Leases of one relationship lie together, in the order of their addresses. A name keeps
    /// its first 255 bytes, which is what the configuration allows.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Lease(relationship, address) => {
                let name = relationship.as_str().as_bytes();
                let length = u8::try_from(name.len()).unwrap_or(u8::MAX);
                let name = &name[..usize::from(length)];
                [&[LEASE, length], name, &address.octets()].concat()
            }
            Self::Relationship(relationship) => [&[RELATIONSHIP], relationship.as_str().as_bytes()].concat(),
            Self::Node => vec![NODE],
            Self::Configuration => vec![CONFIGURATION],
        }
    }

    /// # Errors
    /// `bytes` were not made by [`Key::encode`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let unknown = || Problem::NotAMessage(format!("{bytes:02x?} is no key")).of("key");
        let relationship = |name: &[u8]| match std::str::from_utf8(name) {
            Ok(name) => Ok(RelationshipName::from(name)),
            Err(_) => Err(unknown()),
        };
        match bytes {
            [LEASE, length, rest @ ..] => {
                let (name, address) = rest.split_at_checked(usize::from(*length)).ok_or_else(unknown)?;
                let address: [u8; 4] = address.try_into().map_err(|_| unknown())?;
                Ok(Self::Lease(relationship(name)?, address.into()))
            }
            [RELATIONSHIP, name @ ..] => Ok(Self::Relationship(relationship(name)?)),
            [NODE] => Ok(Self::Node),
            [CONFIGURATION] => Ok(Self::Configuration),
            [..] => Err(unknown()),
        }
    }
}

/// Key and value of `record`, to be stored.
#[must_use]
pub fn encode_record(record: &StoredRecord, offset: WallOffset) -> (Vec<u8>, Vec<u8>) {
    let value = match record {
        StoredRecord::Lease(_, lease) => lease_to_proto(lease, offset).encode_to_vec(),
        StoredRecord::Relationship(record) => relationship_to_proto(record, offset).encode_to_vec(),
        StoredRecord::Node(record) => node_to_proto(record, offset).encode_to_vec(),
        StoredRecord::Configuration(record) => record_to_proto(record).encode_to_vec(),
    };
    (Key::of(record).encode(), value)
}

/// The record that [`encode_record`] made `value` from.
///
/// # Errors
/// The value is not one of the key's kind, or holds something that the core cannot. So does a configuration's, which is
/// a text: [`decode_configuration`] has it.
pub fn decode_record(key: Key, value: &[u8], offset: WallOffset) -> Result<StoredRecord, DecodeError> {
    match key {
        Key::Lease(relationship, address) => {
            let lease = lease_from_proto(parse("StoredLease", value)?, address, offset)?;
            Ok(StoredRecord::Lease(relationship, lease))
        }
        Key::Relationship(name) => {
            let stored = parse("StoredRelationship", value)?;
            Ok(StoredRecord::Relationship(relationship_from_proto(stored, name, offset)?))
        }
        Key::Node => Ok(StoredRecord::Node(node_from_proto(parse("StoredNode", value)?, offset)?)),
        Key::Configuration => {
            Err(Problem::NotAMessage("a text, to be read first".to_owned()).of("StoredConfiguration"))
        }
    }
}

/// The texts of the configuration record that [`encode_record`] made `value` from.
///
/// # Errors
/// The value is not one.
pub fn decode_configuration(value: &[u8]) -> Result<StoredTexts, DecodeError> {
    texts_from_proto(parse("StoredConfiguration", value)?)
}

/// Rounded up: a promise may stand that long.
fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

fn parse<M: Message + Default>(field: &'static str, value: &[u8]) -> Result<M, DecodeError> {
    M::decode(value).map_err(|error| Problem::NotAMessage(error.to_string()).of(field))
}

fn lease_to_proto(lease: &Lease, offset: WallOffset) -> proto::StoredLease {
    proto::StoredLease {
        state: state_to_proto(lease.state).into(),
        client_id: lease.client.as_bytes().to_vec(),
        hardware: Some(lease.hardware.into()),
        hostname: lease.hostname.to_vec(),
        expiry_ms: offset.to_wall(lease.expiry),
        potential_expiry_ms: offset.to_wall(lease.potential_expiry),
        acked_expiry_ms: offset.to_wall(lease.acked_expiry),
        version: Some(lease.version.into()),
        epoch: Some(lease.epoch.into()),
        taken: lease.taken,
        sequence: lease.sequence.0,
    }
}

fn lease_from_proto(stored: proto::StoredLease, address: Ipv4Addr, offset: WallOffset) -> Result<Lease, DecodeError> {
    Ok(Lease {
        address,
        state: lease_state("StoredLease.state", stored.state)?,
        client: client_id("StoredLease.client_id", stored.client_id)?,
        hardware: hardware("StoredLease.hardware", stored.hardware)?,
        hostname: option_bytes("StoredLease.hostname", stored.hostname)?.into(),
        expiry: offset.to_instant(stored.expiry_ms),
        potential_expiry: offset.to_instant(stored.potential_expiry_ms),
        acked_expiry: offset.to_instant(stored.acked_expiry_ms),
        version: version("StoredLease.version", stored.version)?,
        epoch: epoch("StoredLease.epoch", stored.epoch)?,
        taken: stored.taken,
        sequence: Sequence(counter("StoredLease.sequence", stored.sequence)?),
    })
}

fn relationship_to_proto(record: &RelationshipRecord, offset: WallOffset) -> proto::StoredRelationship {
    proto::StoredRelationship {
        slot: slot_to_proto(record.slot).into(),
        partner: record.partner.as_str().to_owned(),
        phase: phase_to_proto(record.phase).into(),
        since_ms: offset.to_wall(record.since),
        proof: record.proof.map_or(proto::Proof::Unspecified, |(proof, _)| proof_to_proto(proof)).into(),
        proof_from_ms: record.proof.and_then(|(_, from)| offset.to_wall(from)),
        epoch: Some(record.epoch.into()),
        last_normal: record.last_normal.map(Into::into),
        must_hear_partner: record.must_hear_partner,
        lost: record.lost,
        was_partner_down: record.was_partner_down,
        served: record.served,
        embargo: record.embargo.map(|embargo| embargo_to_proto(embargo, offset)),
        promoted_automatically: record.promoted_automatically,
        paused_until_ms: record.paused_until.and_then(|until| offset.to_wall(until)),
        sequence: record.sequence.0,
        longest_lease_ms: milliseconds(record.longest_lease),
        longest_mclt_ms: milliseconds(record.longest_mclt),
    }
}

fn relationship_from_proto(
    stored: proto::StoredRelationship,
    relationship: RelationshipName,
    offset: WallOffset,
) -> Result<RelationshipRecord, DecodeError> {
    let proof = optional_proof("StoredRelationship.proof", stored.proof)?;
    Ok(RelationshipRecord {
        relationship,
        slot: slot("StoredRelationship.slot", stored.slot)?,
        partner: name("StoredRelationship.partner", stored.partner)?,
        phase: phase("StoredRelationship.phase", stored.phase)?,
        since: offset.to_instant(stored.since_ms),
        proof: proof.map(|proof| (proof, offset.to_instant(stored.proof_from_ms))),
        epoch: epoch("StoredRelationship.epoch", stored.epoch)?,
        last_normal: stored.last_normal.map(Epoch::try_from).transpose()?,
        must_hear_partner: stored.must_hear_partner,
        lost: stored.lost,
        was_partner_down: stored.was_partner_down,
        served: stored.served,
        embargo: stored.embargo.map(|embargo| embargo_from_proto(embargo, offset)).transpose()?,
        promoted_automatically: stored.promoted_automatically,
        paused_until: stored.paused_until_ms.map(|until| offset.to_instant(Some(until))),
        sequence: Sequence(counter("StoredRelationship.sequence", stored.sequence)?),
        longest_lease: Duration::from_millis(stored.longest_lease_ms),
        longest_mclt: Duration::from_millis(stored.longest_mclt_ms),
    })
}

fn embargo_to_proto(embargo: Embargo, offset: WallOffset) -> proto::Embargo {
    use embargo::Kind as K;
    let kind = match embargo {
        Embargo::UntilSynced => K::UntilSynced(proto::EmbargoUntilSynced {}),
        Embargo::PerAddress { opened, end } => {
            let (opened_ms, end_ms) = (offset.to_wall(opened), offset.to_wall(end));
            K::PerAddress(proto::EmbargoPerAddress { opened_ms, end_ms })
        }
        Embargo::Everything { end, extends_nothing } => {
            K::Everything(proto::EmbargoEverything { end_ms: offset.to_wall(end), extends_nothing })
        }
    };
    proto::Embargo { kind: Some(kind) }
}

fn embargo_from_proto(embargo: proto::Embargo, offset: WallOffset) -> Result<Embargo, DecodeError> {
    use embargo::Kind as K;
    Ok(match required("Embargo.kind", embargo.kind)? {
        K::UntilSynced(proto::EmbargoUntilSynced {}) => Embargo::UntilSynced,
        K::PerAddress(proto::EmbargoPerAddress { opened_ms, end_ms }) => {
            Embargo::PerAddress { opened: offset.to_instant(opened_ms), end: offset.to_instant(end_ms) }
        }
        K::Everything(proto::EmbargoEverything { end_ms, extends_nothing }) => {
            Embargo::Everything { end: offset.to_instant(end_ms), extends_nothing }
        }
    })
}

fn node_to_proto(record: &NodeRecord, offset: WallOffset) -> proto::StoredNode {
    let peer = |(node, remembered): &(NodeName, Remembered)| proto::StoredPeer {
        node: node.as_str().to_owned(),
        remembered: Some((*remembered).into()),
    };
    proto::StoredNode {
        node: record.node.as_str().to_owned(),
        incarnations: record.incarnations.iter().map(|incarnation| incarnation.0).collect(),
        peers: record.peers.iter().map(peer).collect(),
        last_running_ms: record.last_running.0,
        last_running_at_ms: offset.to_wall(record.last_running_at).unwrap_or(0),
        clock_zero_ms: offset.to_wall(record.clock_zero),
        clock_confirmed: record.clock_confirmed,
        doubt_ms: record.doubt.map(|doubt| u64::try_from(doubt.as_millis()).unwrap_or(u64::MAX)),
        revision: record.revision.clone().map(Into::into),
        sequence: record.sequence.0,
    }
}

fn node_from_proto(stored: proto::StoredNode, offset: WallOffset) -> Result<NodeRecord, DecodeError> {
    let peer = |peer: proto::StoredPeer| {
        let remembered = required("StoredPeer.remembered", peer.remembered)?;
        Ok((name("StoredPeer.node", peer.node)?, remembered.try_into()?))
    };
    Ok(NodeRecord {
        node: name("StoredNode.node", stored.node)?,
        incarnations: stored.incarnations.into_iter().map(Incarnation).collect(),
        peers: stored.peers.into_iter().map(peer).collect::<Result<_, DecodeError>>()?,
        last_running: Wall(stored.last_running_ms),
        last_running_at: offset.to_instant(Some(stored.last_running_at_ms)),
        clock_zero: offset.to_instant(stored.clock_zero_ms),
        clock_confirmed: stored.clock_confirmed,
        doubt: stored.doubt_ms.map(Duration::from_millis),
        revision: stored.revision.map(TryInto::try_into).transpose()?,
        sequence: Sequence(counter("StoredNode.sequence", stored.sequence)?),
    })
}
