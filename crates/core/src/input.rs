//! The door in: everything that can happen to a node.

use crate::configuration::Configuration;
use crate::id::{Incarnation, NodeName, RelationshipName, Revision, Sequence, Session};
use crate::lease::record::{ClientId, HardwareAddress};
use crate::message::PeerMessage;
use crate::time::{Instant, Wall};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

/// One thing that happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// Bytes arrived on a client link.
    Packet(Packet),
    /// Somebody answered for an address that was looked for; see [`Outputs::probes`](crate::output::Outputs::probes).
    ProbeAnswered {
        /// The link it came in by, where an answer has one.
        link: Option<u32>,
        /// Which address.
        address: Ipv4Addr,
        /// Who, as far as an answer tells it.
        hardware: Option<HardwareAddress>,
    },
    /// A datagram for a client, from some server on a client link.
    Overheard(Overheard),
    /// A session with a peer began: both streams are up and the peer is who it says.
    PeerUp {
        /// Who.
        peer: NodeName,
        /// Of which later messages bear the number.
        session: Session,
    },
    /// A message of a session.
    Peer {
        /// Who sent it.
        peer: NodeName,
        /// In which session.
        session: Session,
        /// What.
        message: PeerMessage,
    },
    /// A session ended.
    PeerDown {
        /// With whom.
        peer: NodeName,
        /// Which.
        session: Session,
    },
    /// The peer's process is gone: its host refuses connections, twice.
    PeerGone {
        /// Whose.
        peer: NodeName,
    },
    /// Every write up to this one is durable.
    Persisted(Sequence),
    /// The state of the client links, at the start and after each change.
    Links(Vec<Link>),
    /// The store can or cannot take writes. A node that cannot persist does not serve.
    StoreHealth(StoreHealth),
    /// The wall clock is known to be right, so the time that the node did not run counts.
    ClockConfirmed,
    /// A fence command ended.
    Fenced {
        /// Of which relationship.
        relationship: RelationshipName,
        /// Whether it exited 0, which promises that the partner's machine is off.
        success: bool,
    },
    /// An operator wants something; the answer carries the same number.
    Operator(Request, Command),
    /// Time has passed.
    Tick,
}

/// Whether the store takes writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StoreHealth {
    /// It does.
    Working,
    /// It does not: full, failing or gone.
    Failing,
}

/// A datagram from a client or relay.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Packet {
    /// The link it came in by; see [`Link::index`].
    pub link: u32,
    /// Who sent it.
    pub source: SocketAddrV4,
    /// To which address; 255.255.255.255 for a broadcast.
    pub destination: Ipv4Addr,
    /// When the kernel received it.
    pub received: Instant,
    /// The UDP payload.
    pub bytes: Vec<u8>,
}

/// What another server on a client link sent to a client, or to all.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Overheard {
    /// The link.
    pub link: u32,
    /// The hardware address that it came from.
    pub hardware: HardwareAddress,
    /// The UDP payload.
    pub bytes: Vec<u8>,
}

/// A client link: a network interface, or a plain UDP listener for relays.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Link {
    /// Names it in packets and replies.
    pub index: u32,
    /// Interface name, or the listener's address.
    pub name: String,
    /// Addresses with the length of their prefix; the first one is the server identifier. The address listened on,
    /// with prefix 32, for a plain listener.
    pub addresses: Vec<(Ipv4Addr, u8)>,
    /// Largest IP packet in bytes.
    pub mtu: u16,
    /// Whether it can carry frames.
    pub carrier: bool,
}

/// Number of an operator's request.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Request(pub u64);

/// What operators ask for.
#[derive(Clone, Debug)]
pub enum Command {
    /// A planned switchover to a node, or to whichever is deactivated.
    Switchover {
        /// Of which relationship.
        relationship: RelationshipName,
        /// The node to become active.
        to: Option<NodeName>,
    },
    /// The operator promises that a node is off and stays off until it has spoken to its partner again.
    PartnerDown {
        /// The node that is off.
        node: NodeName,
        /// In one relationship, or in all that the node was in.
        relationship: Option<RelationshipName>,
        /// Since when.
        off_since: Option<Wall>,
        /// Said a second time, against evidence that the node serves.
        despite_evidence: bool,
    },
    /// End an embargo early, at the operator's risk.
    AcceptRisk {
        /// Of which relationship.
        relationship: RelationshipName,
    },
    /// This cluster is new: both stores are empty and that is right.
    Init,
    /// Hold back automatic promotion for so long.
    Pause {
        /// Of one relationship, or of all.
        relationship: Option<RelationshipName>,
        /// For how long; zero ends a pause.
        duration: Duration,
    },
    /// End the lease of an address, as its client's RELEASE would.
    Release {
        /// Which.
        address: Ipv4Addr,
    },
    /// Record leases that another server gave to clients.
    Import(Vec<ImportedLease>),
    /// Make this configuration the next revision of the cluster.
    Apply(Apply),
    /// Stop: leave cleanly where the partner is connected and in normal.
    Leave,
}

/// A lease that another server gave to a client, which goes on believing in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ImportedLease {
    /// Its address.
    pub address: Ipv4Addr,
    /// Who holds it.
    pub client: ClientId,
    /// The hardware address of the client.
    pub hardware: HardwareAddress,
    /// What the client calls itself; may be empty.
    pub hostname: Box<[u8]>,
    /// When it ends.
    pub expiry: Wall,
}

/// A configuration that an operator wants.
#[derive(Clone, Debug)]
pub struct Apply {
    /// Its revision is given to it; its act says who wants it.
    pub configuration: Arc<Configuration>,
    /// The revision that it was made from; another one in use by now means that somebody else's change would be lost.
    pub base: Option<Revision>,
    /// Nodes that cannot be reached and need not be asked.
    pub without: BTreeSet<NodeName>,
    /// Only ask every node whether it would take it.
    pub dry_run: bool,
}

/// What a node is told when it is made.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Which node of the configuration this is.
    pub node: NodeName,
    /// Drawn at random at this start.
    pub incarnation: Incarnation,
    /// Whether an empty store is right: the cluster is new.
    pub new_cluster: bool,
}
