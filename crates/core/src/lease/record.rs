//! The lease: the record tying address, client and time.

use crate::id::{Epoch, Sequence, Slot};
use crate::mutant::{Rule, holds};
use crate::time::{Instant, Remaining};
use std::fmt;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// Option 61 if present and not empty, else hardware type and address (RFC 2131 section 4.2). At most 255 bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(Arc<[u8]>);

impl ClientId {
    /// The identifier a client sent in option 61, byte for byte.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// The identifier of a client that sent none: its hardware type and address.
    #[must_use]
    pub fn of_hardware(hardware: HardwareAddress) -> Self {
        let mut bytes = Vec::with_capacity(17);
        bytes.push(hardware.kind);
        bytes.extend_from_slice(hardware.as_bytes());
        Self(bytes.into())
    }

    /// The bytes as sent.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

/// A client's hardware address: type (RFC 1700 number) and 0 to 16 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HardwareAddress {
    /// `htype`; 1 is Ethernet.
    pub kind: u8,
    length: u8,
    bytes: [u8; 16],
}

impl HardwareAddress {
    /// `None` if `bytes` is longer than 16.
    #[must_use]
    pub fn new(kind: u8, bytes: &[u8]) -> Option<Self> {
        let mut padded = [0; 16];
        padded.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(Self { kind, length: u8::try_from(bytes.len()).ok()?, bytes: padded })
    }

    /// The address without padding.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

impl fmt::Debug for HardwareAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, self.as_bytes())
    }
}

impl fmt::Display for HardwareAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, self.as_bytes())
    }
}

fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    for (i, byte) in bytes.iter().enumerate() {
        if i > 0 {
            f.write_str(":")?;
        }
        write!(f, "{byte:02x}")?;
    }
    Ok(())
}

/// What a lease is. Expiry is derived from the clock and never a change of state: a `Bound` lease past its expiry
/// counts as `Ended`, a `Declined` one past its time likewise.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum LeaseState {
    /// Nobody holds it; its home may give it away once both nodes agree on that.
    Free,
    /// Promised to its client until `expiry`.
    Bound,
    /// Released, expired or declined and past its time, and not yet agreed free.
    Ended,
    /// A client found the address in use; nobody gets it until `expiry`.
    Declined,
}

/// A pair of counters, one per node of the relationship; a node raises its own on every local change.
///
/// One number is not enough: the two nodes' changes are not ordered, and an older RELEASE would then beat a newer
/// extension.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Version(pub [u64; 2]);

impl Version {
    /// Whether everything in `other` is in `self` too.
    #[must_use]
    pub fn has_seen(self, other: Self) -> bool {
        if !holds(Rule::PairVersion) {
            return self.0[0] + self.0[1] >= other.0[0] + other.0[1];
        }
        self.0[0] >= other.0[0] && self.0[1] >= other.0[1]
    }

    /// The smallest version that has seen both.
    #[must_use]
    pub fn joined(self, other: Self) -> Self {
        Self([self.0[0].max(other.0[0]), self.0[1].max(other.0[1])])
    }

    /// With the counter of the node in `slot` at `floor` or above.
    #[must_use]
    pub fn at_least(mut self, slot: Slot, floor: u64) -> Self {
        let counter = &mut self.0[slot.index()];
        *counter = (*counter).max(floor);
        self
    }

    /// After one more local change of the node in `slot`.
    #[must_use]
    pub fn raised(mut self, slot: Slot) -> Self {
        self.0[slot.index()] += 1;
        self
    }
}

/// One address of a relationship and who may use it until when. An address without a record is `Free` at version 0.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lease {
    /// The key.
    pub address: Ipv4Addr,
    /// What it is, as of the last change.
    pub state: LeaseState,
    /// Who holds it, or held it last and is offered it first.
    pub client: ClientId,
    /// The hardware address that the client last showed.
    pub hardware: HardwareAddress,
    /// Option 12 as the client sent it, bytes and all; empty if it sent none.
    pub hostname: Box<[u8]>,
    /// The latest expiry this node knows the client may believe in.
    pub expiry: Instant,
    /// The highest expiry ever recorded, kept through RELEASE and relinquishing until it has passed.
    pub potential_expiry: Instant,
    /// The highest expiry that the partner has taken for this client. Local: never sent.
    pub acked_expiry: Instant,
    /// Raised by every change.
    pub version: Version,
    /// The epoch of the node that changed it last.
    pub epoch: Epoch,
    /// Whether the partner is known to hold this very version. Local: never sent.
    pub taken: bool,
    /// The write that last changed it here. Local: never sent.
    pub sequence: Sequence,
}

impl Lease {
    /// The state with the clock taken into account.
    #[must_use]
    pub fn state_at(&self, now: Instant) -> LeaseState {
        match self.state {
            LeaseState::Bound | LeaseState::Declined if self.expiry <= now => LeaseState::Ended,
            state @ (LeaseState::Free | LeaseState::Bound | LeaseState::Ended | LeaseState::Declined) => state,
        }
    }

    /// Whether its client may still use it, or nobody may because it was declined.
    #[must_use]
    pub fn is_live(&self, now: Instant) -> bool {
        matches!(self.state_at(now), LeaseState::Bound | LeaseState::Declined)
    }

    /// The lease as the partner is told of it.
    #[must_use]
    pub fn to_record(&self, now: Instant) -> LeaseRecord {
        LeaseRecord {
            address: self.address,
            state: self.state,
            client: self.client.clone(),
            hardware: self.hardware,
            hostname: self.hostname.clone(),
            expires_in: self.expiry.remaining(now),
            potential_expires_in: self.potential_expiry.remaining(now),
            in_doubt: false,
            version: self.version,
            epoch: self.epoch,
        }
    }
}

impl LeaseRecord {
    /// The lease on the receiver's clock, as the partner holds it.
    #[must_use]
    pub fn to_lease(&self, now: Instant) -> Lease {
        let expiry = self.expires_in.from(now);
        Lease {
            address: self.address,
            state: self.state,
            client: self.client.clone(),
            hardware: self.hardware,
            hostname: self.hostname.clone(),
            expiry,
            potential_expiry: self.potential_expires_in.from(now).max(expiry),
            // Whoever sent it knows it.
            acked_expiry: if self.state == LeaseState::Bound && !self.in_doubt { expiry } else { Instant::NEVER },
            version: self.version,
            epoch: self.epoch,
            taken: true,
            sequence: Sequence(0),
        }
    }
}

/// A lease on its way between partners: times are what remains of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeaseRecord {
    /// As [`Lease::address`].
    pub address: Ipv4Addr,
    /// As [`Lease::state`].
    pub state: LeaseState,
    /// As [`Lease::client`].
    pub client: ClientId,
    /// As [`Lease::hardware`].
    pub hardware: HardwareAddress,
    /// As [`Lease::hostname`].
    pub hostname: Box<[u8]>,
    /// Until [`Lease::expiry`].
    pub expires_in: Remaining,
    /// Until [`Lease::potential_expiry`].
    pub potential_expires_in: Remaining,
    /// Whether the sender may hold less than that: it does not know how long it was away.
    pub in_doubt: bool,
    /// As [`Lease::version`].
    pub version: Version,
    /// As [`Lease::epoch`].
    pub epoch: Epoch,
}
