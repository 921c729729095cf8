//! What partners and peers say to each other. No absolute time crosses: only what remains.

use crate::configuration::Configuration;
use crate::failover::state::Phase;
use crate::id::{Epoch, Incarnation, NodeName, RelationshipName, Revision, Sequence, Slot};
use crate::lease::record::LeaseRecord;
use crate::time::{Instant, Remaining, Wall};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

/// One message of a session between two nodes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PeerMessage {
    /// Sent every heartbeat interval, on a connection of its own.
    Heartbeat(Heartbeat),
    /// The first message on the replication stream of each session.
    Hello(Hello),
    /// About the cluster's configuration, on the replication stream.
    Configuration(ConfigurationMessage),
    /// Everything else concerns one relationship, in order, on the replication stream.
    Pair(RelationshipName, PairMessage),
}

impl PeerMessage {
    /// Whether later records may arrive before it: it answers one batch or one ask, and says nothing of where its sender
    /// stands.
    pub(crate) fn may_be_overtaken(&self) -> bool {
        match self {
            Self::Pair(_, PairMessage::Ack { .. } | PairMessage::Answer { .. }) => true,
            Self::Heartbeat(_) | Self::Hello(_) | Self::Configuration(_) | Self::Pair(..) => false,
        }
    }
}

/// A sign of life of the loop that serves clients.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Heartbeat {
    /// Counts the sender's heartbeats of this session.
    pub number: u64,
    /// The highest number heard from the receiver, and for how many microseconds the echo was held.
    pub echo: Option<Echo>,
    /// The sender's wall clock, to show skew.
    pub wall: Wall,
    /// The sender's clock, which counts from the start of its process: told back to it after a restart.
    pub clock: Instant,
    /// The sender's last persisted write.
    pub persisted: Sequence,
    /// What the sender says of itself, per relationship with the receiver; for display and for the health of client
    /// links, never to change a state.
    pub pulses: Vec<Pulse>,
}

/// Proof that a heartbeat arrived.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Echo {
    /// Its number.
    pub number: u64,
    /// Microseconds between its arrival and this answer.
    pub held: u64,
}

/// One relationship as a heartbeat shows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pulse {
    /// Which.
    pub relationship: RelationshipName,
    /// The sender's state.
    pub phase: Phase,
    /// The sender's epoch.
    pub epoch: Epoch,
    /// Whether the sender answers clients.
    pub serving: bool,
    /// Whether a client link of the sender has a carrier.
    pub carrier: bool,
    /// Milliseconds since the sender last heard a client of this relationship's scopes that spoke to every server.
    pub client_heard_ms: Option<u64>,
    /// Milliseconds for which the sender, under an embargo, still gives nobody an address that nobody ever had.
    pub held_back_ms: Option<u64>,
}

/// What a node knows of itself and of its partner when a session begins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hello {
    /// Drawn at the sender's start.
    pub incarnation: Incarnation,
    /// The sender's wall clock.
    pub wall: Wall,
    /// The receiver as the sender's store remembers it.
    pub remembered: Option<Remembered>,
    /// When the sender last heard the receiver, if that was since the sender's process started.
    pub heard: Option<HeardClock>,
    /// What the sender calls itself towards clients, on any of its links.
    pub server_identifiers: Vec<Ipv4Addr>,
    /// The relationships that the sender shares with the receiver.
    pub pairs: Vec<PairHello>,
    /// The configuration that the sender uses. Its number is 0 where no cluster has made the sender's file a revision.
    pub revision: Revision,
    /// [`Configuration::digest`] of it.
    pub digest: u64,
}

/// What nodes say to each other about the cluster's configuration. A text is read where it arrives, so that the core
/// is handed what it says, or why it cannot be read there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ConfigurationMessage {
    /// An operator wants this: would the receiver take it?
    Proposal {
        /// Counts the sender's proposals.
        number: u64,
        /// The revision as it would be.
        reading: Reading,
    },
    /// The answer to a proposal.
    Verdict {
        /// To which.
        number: u64,
        /// Why the sender would not take it.
        refusal: Option<String>,
        /// Nodes that are proven down, as far as the sender knows.
        down: Vec<NodeName>,
    },
    /// Some node may still use this revision, which is older than the one that follows.
    Older(Reading),
    /// Take this revision.
    Revision {
        /// What it says.
        reading: Reading,
        /// The proposal that it was, if the receiver has just been asked about it.
        proposal: Option<u64>,
    },
    /// The sender uses this revision, and the receiver has taken everything that the sender did before.
    Held(Revision),
}

/// A configuration as read from its text; nobody sends one that could not be read.
pub type Reading = Result<Arc<Configuration>, Unreadable>;

/// A configuration that cannot be read where it arrived.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unreadable {
    /// Which revision.
    pub revision: Revision,
    /// What is wrong with it, for people.
    pub why: String,
}

/// The last that a node saw of another; a store that lacks it has gone back in time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Remembered {
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// Its highest persisted write.
    pub persisted: Sequence,
}

/// When a node last heard another, for the other to know how long it was away. No absolute time: the clock is the
/// receiver's own, and the rest is a duration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HeardClock {
    /// The process of the receiver that was heard.
    pub incarnation: Incarnation,
    /// What its clock read then.
    pub clock: Instant,
    /// How long ago that is by the sender's clock.
    pub ago: Duration,
}

/// One relationship in a [`Hello`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PairHello {
    /// Which.
    pub relationship: RelationshipName,
    /// The sender's slot, if its store has one.
    pub slot: Option<Slot>,
    /// The sender's state.
    pub phase: Phase,
    /// The sender's epoch.
    pub epoch: Epoch,
    /// Whether the sender has been in partner-down since the two were last in normal.
    pub was_partner_down: bool,
    /// Time since which the sender's partner-down rights count, if it is in partner-down.
    pub partner_down_since: Option<Remaining>,
    /// Whether the sender's store holds nothing it can rely on.
    pub lost: bool,
    /// Whether the sender wants every record, because it lost its store or could not read all of it.
    pub wants_everything: bool,
    /// Whether the sender has restarted since the two were last in normal.
    pub restarted: bool,
    /// Whether the sender has served at any time since the two were last in normal.
    pub served: bool,
    /// Whether the cluster was declared new and the two have never been in normal.
    pub new: bool,
}

/// Messages of one relationship.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PairMessage {
    /// Leases that the receiver may not have, in the order in which they were persisted. At most
    /// [`BATCH_RECORDS`](crate::failover::replication::BATCH_RECORDS).
    Batch {
        /// Counts the batches of this session.
        number: u64,
        /// What the sender has persisted.
        records: Vec<LeaseRecord>,
    },
    /// Everything in batch `number` is merged and persisted.
    Ack {
        /// Which batch.
        number: u64,
        /// Records that were not taken, as the receiver holds them.
        refused: Vec<LeaseRecord>,
    },
    /// Everything the sender had when the session began has been sent.
    PassDone,
    /// Everything the sender had is taken, and the receiver's pass has arrived.
    Ready(Ready),
    /// Please give this free address, whose home you are, to this client.
    Ask {
        /// Counts the asks of this session.
        number: u64,
        /// The lease as it would be; its version is the one that the sender sees as free.
        record: LeaseRecord,
    },
    /// The home's answer to an ask.
    Answer {
        /// Which ask.
        number: u64,
        /// Whose address it was about.
        address: Ipv4Addr,
        /// The lease as the home recorded it, or `None` if it may not be given.
        record: Option<LeaseRecord>,
    },
    /// The sender has left the state that it had said ready in.
    Left(Phase),
    /// The sender has stopped answering and everything it promised is taken: take over, in this epoch.
    HandOver {
        /// The new epoch, of the receiver's slot.
        epoch: Epoch,
        /// Whether an operator asked for it, so that no automatic failback undoes it.
        by_operator: bool,
    },
    /// The sender answers from now on, in this epoch.
    TookOver {
        /// The epoch, durable at the sender.
        epoch: Epoch,
    },
    /// Please hand over to me.
    RequestHandOver {
        /// Whether an operator asked for it.
        by_operator: bool,
    },
    /// The sender stops cleanly: it serves no more, and everything it granted is taken.
    CleanLeave,
    /// The receiver of a clean leave has entered partner-down durably.
    CleanLeaveAccepted,
    /// An operator holds back automatic promotion for so long; zero ends the pause.
    Pause(Remaining),
}

/// What both nodes decide the active one from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ready {
    /// Whether the sender has served without a break since the last normal.
    pub unbroken: bool,
    /// The sender's epoch.
    pub epoch: Epoch,
    /// The epoch of the last normal that the sender was in; its slot is the active node of it.
    pub last_normal: Epoch,
}
