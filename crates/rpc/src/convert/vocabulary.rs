//! Names, numbers and enums that peers, operators and the store share.

use super::{DecodeError, Problem, at_most, required};
use crate::proto;
use standfast_core::failover::state::{Phase, Proof};
use standfast_core::id::{Epoch, Incarnation, NodeName, Revision, Sequence, Slot};
use standfast_core::lease::record::{ClientId, HardwareAddress, LeaseState, Version};
use standfast_core::message::Remembered;

/// Names of nodes, relationships and clusters are at most this many bytes.
pub(super) const MAX_NAME: usize = 255;
/// Options carry at most this many bytes.
const MAX_OPTION: usize = 255;
/// Counters stay below this, so that no arithmetic on what a peer says can overflow.
pub(super) const MAX_COUNTER: u64 = 1 << 62;

pub(super) fn name<T: From<String>>(field: &'static str, name: String) -> Result<T, DecodeError> {
    if name.is_empty() {
        return Err(Problem::Missing.of(field));
    }
    at_most(field, name.len(), MAX_NAME)?;
    Ok(name.into())
}

pub(super) fn counter(field: &'static str, value: u64) -> Result<u64, DecodeError> {
    if value < MAX_COUNTER { Ok(value) } else { Err(Problem::OutOfRange(value).of(field)) }
}

pub(super) fn option_bytes(field: &'static str, bytes: Vec<u8>) -> Result<Vec<u8>, DecodeError> {
    at_most(field, bytes.len(), MAX_OPTION)?;
    Ok(bytes)
}

pub(super) fn client_id(field: &'static str, bytes: Vec<u8>) -> Result<ClientId, DecodeError> {
    Ok(ClientId::new(&option_bytes(field, bytes)?))
}

pub(super) fn slot_to_proto(slot: Slot) -> proto::Slot {
    match slot {
        Slot::Zero => proto::Slot::Zero,
        Slot::One => proto::Slot::One,
    }
}

/// `None` for the unspecified value, where absence has a meaning.
pub(super) fn optional_slot(field: &'static str, value: i32) -> Result<Option<Slot>, DecodeError> {
    match proto::Slot::try_from(value) {
        Ok(proto::Slot::Unspecified) => Ok(None),
        Ok(proto::Slot::Zero) => Ok(Some(Slot::Zero)),
        Ok(proto::Slot::One) => Ok(Some(Slot::One)),
        Err(_) => Err(Problem::Unknown(value).of(field)),
    }
}

pub(super) fn slot(field: &'static str, value: i32) -> Result<Slot, DecodeError> {
    required(field, optional_slot(field, value)?)
}

pub(super) fn phase_to_proto(phase: Phase) -> proto::Phase {
    match phase {
        Phase::Startup => proto::Phase::Startup,
        Phase::Recover => proto::Phase::Recover,
        Phase::Normal => proto::Phase::Normal,
        Phase::CommunicationsInterrupted => proto::Phase::CommunicationsInterrupted,
        Phase::PartnerDown => proto::Phase::PartnerDown,
        Phase::Leaving => proto::Phase::Leaving,
    }
}

pub(super) fn phase(field: &'static str, value: i32) -> Result<Phase, DecodeError> {
    match proto::Phase::try_from(value) {
        Ok(proto::Phase::Unspecified) => Err(Problem::Missing.of(field)),
        Ok(proto::Phase::Startup) => Ok(Phase::Startup),
        Ok(proto::Phase::Recover) => Ok(Phase::Recover),
        Ok(proto::Phase::Normal) => Ok(Phase::Normal),
        Ok(proto::Phase::CommunicationsInterrupted) => Ok(Phase::CommunicationsInterrupted),
        Ok(proto::Phase::PartnerDown) => Ok(Phase::PartnerDown),
        Ok(proto::Phase::Leaving) => Ok(Phase::Leaving),
        Err(_) => Err(Problem::Unknown(value).of(field)),
    }
}

pub(super) fn proof_to_proto(proof: Proof) -> proto::Proof {
    match proof {
        Proof::CleanLeave => proto::Proof::CleanLeave,
        Proof::Operator => proto::Proof::Operator,
        Proof::Fenced => proto::Proof::Fenced,
        Proof::Timer => proto::Proof::Timer,
    }
}

/// `None` for the unspecified value, where absence has a meaning.
pub(super) fn optional_proof(field: &'static str, value: i32) -> Result<Option<Proof>, DecodeError> {
    match proto::Proof::try_from(value) {
        Ok(proto::Proof::Unspecified) => Ok(None),
        Ok(proto::Proof::CleanLeave) => Ok(Some(Proof::CleanLeave)),
        Ok(proto::Proof::Operator) => Ok(Some(Proof::Operator)),
        Ok(proto::Proof::Fenced) => Ok(Some(Proof::Fenced)),
        Ok(proto::Proof::Timer) => Ok(Some(Proof::Timer)),
        Err(_) => Err(Problem::Unknown(value).of(field)),
    }
}

pub(super) fn state_to_proto(state: LeaseState) -> proto::LeaseState {
    match state {
        LeaseState::Free => proto::LeaseState::Free,
        LeaseState::Bound => proto::LeaseState::Bound,
        LeaseState::Ended => proto::LeaseState::Ended,
        LeaseState::Declined => proto::LeaseState::Declined,
    }
}

pub(super) fn lease_state(field: &'static str, value: i32) -> Result<LeaseState, DecodeError> {
    match proto::LeaseState::try_from(value) {
        Ok(proto::LeaseState::Unspecified) => Err(Problem::Missing.of(field)),
        Ok(proto::LeaseState::Free) => Ok(LeaseState::Free),
        Ok(proto::LeaseState::Bound) => Ok(LeaseState::Bound),
        Ok(proto::LeaseState::Ended) => Ok(LeaseState::Ended),
        Ok(proto::LeaseState::Declined) => Ok(LeaseState::Declined),
        Err(_) => Err(Problem::Unknown(value).of(field)),
    }
}

impl From<Epoch> for proto::Epoch {
    fn from(epoch: Epoch) -> Self {
        Self { number: epoch.number, slot: slot_to_proto(epoch.slot).into() }
    }
}

impl TryFrom<proto::Epoch> for Epoch {
    type Error = DecodeError;
    fn try_from(epoch: proto::Epoch) -> Result<Self, DecodeError> {
        Ok(Self { number: counter("Epoch.number", epoch.number)?, slot: slot("Epoch.slot", epoch.slot)? })
    }
}

pub(super) fn epoch(field: &'static str, epoch: Option<proto::Epoch>) -> Result<Epoch, DecodeError> {
    required(field, epoch)?.try_into()
}

impl From<Version> for proto::Version {
    fn from(Version([slot_zero, slot_one]): Version) -> Self {
        Self { slot_zero, slot_one }
    }
}

pub(super) fn version(field: &'static str, version: Option<proto::Version>) -> Result<Version, DecodeError> {
    let version = required(field, version)?;
    Ok(Version([counter("Version.slot_zero", version.slot_zero)?, counter("Version.slot_one", version.slot_one)?]))
}

impl From<HardwareAddress> for proto::HardwareAddress {
    fn from(hardware: HardwareAddress) -> Self {
        Self { kind: hardware.kind.into(), address: hardware.as_bytes().to_vec() }
    }
}

pub(super) fn hardware(
    field: &'static str,
    hardware: Option<proto::HardwareAddress>,
) -> Result<HardwareAddress, DecodeError> {
    let hardware = required(field, hardware)?;
    let kind = u8::try_from(hardware.kind)
        .map_err(|_| Problem::OutOfRange(hardware.kind.into()).of("HardwareAddress.kind"))?;
    let too_long = Problem::TooLong { length: hardware.address.len(), limit: 16 };
    HardwareAddress::new(kind, &hardware.address).ok_or_else(|| too_long.of("HardwareAddress.address"))
}

impl From<Revision> for proto::Revision {
    fn from(revision: Revision) -> Self {
        Self { number: revision.number, node: revision.node.as_str().to_owned() }
    }
}

impl TryFrom<proto::Revision> for Revision {
    type Error = DecodeError;
    fn try_from(revision: proto::Revision) -> Result<Self, DecodeError> {
        let node: NodeName = name("Revision.node", revision.node)?;
        Ok(Self { number: counter("Revision.number", revision.number)?, node })
    }
}

impl From<Remembered> for proto::Remembered {
    fn from(remembered: Remembered) -> Self {
        Self { incarnation: remembered.incarnation.0, persisted: remembered.persisted.0 }
    }
}

impl TryFrom<proto::Remembered> for Remembered {
    type Error = DecodeError;
    fn try_from(remembered: proto::Remembered) -> Result<Self, DecodeError> {
        let persisted = Sequence(counter("Remembered.persisted", remembered.persisted)?);
        Ok(Self { incarnation: Incarnation(remembered.incarnation), persisted })
    }
}
