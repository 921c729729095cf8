//! The door out: everything that must now happen. Output is data; the driver alone acts.

use crate::configuration::{Configuration, Probe};
use crate::dhcp::destination::Destination;
use crate::event::Event;
use crate::id::{NodeName, RelationshipName, Sequence, Session};
use crate::input::Request;
use crate::lease::record::Lease;
use crate::message::PeerMessage;
use crate::stored::{ConfigurationRecord, NodeRecord, RelationshipRecord};
use crate::time::Instant;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// What must happen, each list in order. The lists are independent: what must wait for a write is not in here before
/// that write is persisted.
#[derive(Debug, Default)]
pub struct Outputs {
    /// To be committed, all of them, in this order; then [`Input::Persisted`](crate::input::Input::Persisted).
    pub writes: Vec<Write>,
    /// To be sent.
    pub messages: Vec<Outgoing>,
    /// To be sent to clients and relays.
    pub replies: Vec<Reply>,
    /// Addresses to look for; then [`Input::ProbeAnswered`](crate::input::Input::ProbeAnswered), if somebody answers.
    pub probes: Vec<Probing>,
    /// To be shown and logged.
    pub events: Vec<Event>,
    /// Sessions to end.
    pub disconnects: Vec<NodeName>,
    /// Fence commands to run.
    pub fences: Vec<RelationshipName>,
    /// This configuration is in use from now on; what the driver takes from it may have changed.
    pub configured: Option<Arc<Configuration>>,
    /// Answers to operators.
    pub answers: Vec<(Request, CommandResult)>,
    /// The node has left; the process may end.
    pub left: bool,
    /// A pause was too long to go on from: the process must start again.
    pub restart: bool,
}

/// One record to store.
#[derive(Clone, PartialEq, Debug)]
pub struct Write {
    /// Rises by one with each write.
    pub sequence: Sequence,
    /// What.
    pub record: StoredRecord,
}

/// What the store holds; each kind under a key of its own.
#[derive(Clone, PartialEq, Debug)]
pub enum StoredRecord {
    /// Keyed by relationship and address.
    Lease(RelationshipName, Lease),
    /// Keyed by name.
    Relationship(RelationshipRecord),
    /// One per store.
    Node(NodeRecord),
    /// One per store.
    Configuration(ConfigurationRecord),
}

/// A message for a peer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outgoing {
    /// For whom.
    pub to: NodeName,
    /// In which session; dropped if another one is up.
    pub session: Session,
    /// What. A heartbeat goes on the heartbeat stream, everything else on the replication stream.
    pub message: PeerMessage,
}

/// A datagram for a client or relay.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    /// The link to send by.
    pub link: u32,
    /// Source address: the server identifier.
    pub source: Ipv4Addr,
    /// To whom.
    pub destination: Destination,
    /// Not to be sent after this instant: what it was built under may no longer hold.
    pub deadline: Instant,
    /// The UDP payload.
    pub bytes: Vec<u8>,
}

/// An address to look for, once: does somebody use it?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Probing {
    /// The link of the client that is to have it.
    pub link: u32,
    /// Which.
    pub address: Ipv4Addr,
    /// How: by an ARP request on the link, or by an ICMP echo request by whichever way leads there.
    pub how: Probe,
    /// Not to be sent after this instant: this node may have ceased to serve.
    pub deadline: Instant,
}

/// What became of an operator's request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CommandResult {
    /// Done; what there is to say about it.
    Done(String),
    /// Refused because it would be unsafe or is needless: why, and what to do instead.
    Refused(String),
    /// Tried and failed: what happened.
    Failed(String),
}
