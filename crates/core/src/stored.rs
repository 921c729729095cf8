//! What survives a restart, beside the leases.

use crate::configuration::Configuration;
use crate::failover::state::{Phase, Proof};
use crate::id::{Epoch, Incarnation, NodeName, RelationshipName, Revision, Sequence, Slot};
use crate::lease::record::Lease;
use crate::message::Remembered;
use crate::time::{Instant, Wall};
use std::sync::Arc;
use std::time::Duration;

/// Everything a store held when it was opened. Instants are already on this process's clock.
#[derive(Debug, Default)]
pub struct Stored {
    /// `None` for an empty store.
    pub node: Option<NodeRecord>,
    /// `None` where no revision was ever in use.
    pub configuration: Option<ConfigurationRecord>,
    /// In any order.
    pub relationships: Vec<RelationshipRecord>,
    /// In any order.
    pub leases: Vec<(RelationshipName, Lease)>,
    /// Addresses whose record could not be read: nobody gets them until the partner has sent its record.
    pub unreadable: Vec<(RelationshipName, std::net::Ipv4Addr)>,
    /// The highest sequence found.
    pub sequence: Sequence,
}

/// What a store knows of its node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeRecord {
    /// Whose store this is; a store opened under another name counts as lost.
    pub node: NodeName,
    /// Every incarnation that wrote to this store, the latest last.
    pub incarnations: Vec<Incarnation>,
    /// What is remembered of each peer.
    pub peers: Vec<(NodeName, Remembered)>,
    /// The wall clock when the node was last known to run; the time since then may not be counted.
    pub last_running: Wall,
    /// The same moment on the scale of the store, which nobody sets.
    pub last_running_at: Instant,
    /// When the clock of the process that wrote this read zero.
    pub clock_zero: Instant,
    /// Whether the wall clock was known to be right at the moment of `last_running`.
    pub clock_confirmed: bool,
    /// Time before this process that stored instants count and that may not have passed; `None` if they are right.
    pub doubt: Option<Duration>,
    /// The configuration in use.
    pub revision: Option<Revision>,
    /// The write that stored this.
    pub sequence: Sequence,
}

/// The configuration, as durable on this node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigurationRecord {
    /// The revision in use.
    pub current: Arc<Configuration>,
    /// Earlier ones that some other node may still use, the oldest first.
    pub older: Vec<Arc<Configuration>>,
    /// The latest that each other node was known to use.
    pub held: Vec<(NodeName, Revision)>,
    /// The write that stored this.
    pub sequence: Sequence,
}

/// One relationship, as durable on this node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RelationshipRecord {
    /// Which.
    pub relationship: RelationshipName,
    /// This node's slot.
    pub slot: Slot,
    /// The partner.
    pub partner: NodeName,
    /// The state, of which only `Normal`, `CommunicationsInterrupted` and `PartnerDown` are resumed.
    pub phase: Phase,
    /// When it was entered.
    pub since: Instant,
    /// The proof on which partner-down was entered, and the time from which its waits count.
    pub proof: Option<(Proof, Instant)>,
    /// The epoch of the active node.
    pub epoch: Epoch,
    /// The epoch of the last normal; its slot is the node that was active in it.
    pub last_normal: Option<Epoch>,
    /// An isolated start is silent until normal is reached again.
    pub must_hear_partner: bool,
    /// The node has lost what it knew, or never was in step.
    pub lost: bool,
    /// The node has been in partner-down since the last normal.
    pub was_partner_down: bool,
    /// The node has served since the last normal.
    pub served: bool,
    /// Until when the node holds back after a loss, if it does.
    pub embargo: Option<Embargo>,
    /// Whether the active node became so by an automatic promotion, which failback may undo.
    pub promoted_automatically: bool,
    /// Automatic promotion is held back until then.
    pub paused_until: Option<Instant>,
    /// The longest lease time that was ever in use: a promise of it may still stand.
    pub longest_lease: Duration,
    /// The longest lead time that was ever in use.
    pub longest_mclt: Duration,
    /// The write that stored this.
    pub sequence: Sequence,
}

/// How long a node that lost its store holds back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Embargo {
    /// The sync has not ended, so that the end is not known yet.
    UntilSynced,
    /// Each address until `max(potential expiry, opened) + MCLT`, all over at `end`.
    PerAddress {
        /// When the empty store was opened.
        opened: Instant,
        /// When no address is held back any more.
        end: Instant,
    },
    /// Every address until then, because nobody knows what was promised.
    Everything {
        /// When it ends.
        end: Instant,
        /// Whether even a lease that is still running is not extended (a lost node alone).
        extends_nothing: bool,
    },
}
