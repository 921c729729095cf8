//! Which revision of the configuration this node uses, and which ones other nodes may still use.
//!
//! A revision is durable before it is used, and the higher one always wins. While some node is not known to use the
//! one in use here, the ones that it may use instead are kept, so that nothing is given away that they do not allow
//! (see [`allowance`](crate::failover::allowance)).

use crate::configuration::Configuration;
use crate::id::{NodeName, Revision, Sequence};
use crate::input::Request;
use crate::message::Unreadable;
use crate::stored::ConfigurationRecord;
use crate::time::Instant;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Older revisions that are kept at the most; then the nodes that are away must come back first.
pub(crate) const OLDER_KEPT: usize = 32;

/// What is known of revisions, beside the one in use.
#[derive(Debug, Default)]
pub(crate) struct Revisions {
    /// Some other node may still use them; the oldest first.
    pub(crate) older: Vec<Arc<Configuration>>,
    /// The latest that each other node is known to use, everything that it did before being known here.
    pub(crate) held: BTreeMap<NodeName, Revision>,
    /// The write that made the one in use durable.
    pub(crate) stored_at: Sequence,
    /// The next one, on its way to the store.
    pub(crate) taking: Option<Taking>,
    /// An operator's change that other nodes are being asked about.
    pub(crate) applying: Option<Applying>,
    /// Who has asked this node about a change, and the number of the proposal that it accepted.
    pub(crate) accepted: Option<(NodeName, u64)>,
    pub(crate) next_proposal: u64,
    /// The file that this node was started with says something else.
    pub(crate) file_differs: bool,
    /// A higher revision that this node cannot read.
    pub(crate) unreadable: Option<Unreadable>,
}

/// A revision that is not durable yet.
#[derive(Debug)]
pub(crate) struct Taking {
    pub(crate) at: Sequence,
    pub(crate) configuration: Arc<Configuration>,
    pub(crate) evidence: String,
    /// The proposal that it was; relationships that it makes are new, as the nodes of both ends are there.
    pub(crate) proposal: Option<u64>,
}

/// An operator's change on its way through the cluster.
#[derive(Debug)]
pub(crate) struct Applying {
    pub(crate) request: Request,
    pub(crate) number: u64,
    pub(crate) configuration: Arc<Configuration>,
    pub(crate) dry_run: bool,
    pub(crate) without: BTreeSet<NodeName>,
    /// Nodes whose verdict is missing.
    pub(crate) waiting: BTreeSet<NodeName>,
    /// Nodes that cannot be asked.
    pub(crate) unreachable: BTreeSet<NodeName>,
    /// Nodes that are proven down, as far as anybody knows.
    pub(crate) down: BTreeSet<NodeName>,
    pub(crate) refusals: Vec<(NodeName, String)>,
    pub(crate) until: Instant,
}

impl Revisions {
    /// What the store knew; without a record only what its node record remembers.
    pub(crate) fn from(record: Option<&ConfigurationRecord>) -> Self {
        let Some(record) = record else { return Self::default() };
        Self {
            older: record.older.clone(),
            held: record.held.iter().cloned().collect(),
            stored_at: record.sequence,
            ..Self::default()
        }
    }

    /// Whether another node may still use `older` although `current` is in use here.
    pub(crate) fn may_use(&self, node: &NodeName, older: &Configuration, current: &Configuration) -> bool {
        let at_least = self.held.get(node);
        current.nodes.contains(node) && at_least.is_none_or(|held| *held < current.revision && *held <= older.revision)
    }

    /// Nodes that may still use a revision older than `current`, as far as it matters.
    pub(crate) fn behind<'c>(&self, me: &NodeName, current: &'c Configuration) -> Vec<&'c NodeName> {
        let is_behind =
            |node: &&NodeName| *node != me && self.older.iter().any(|older| self.may_use(node, older, current));
        current.nodes.iter().filter(is_behind).collect()
    }

    /// Forgets what nobody can use any more. True if there was something.
    pub(crate) fn prune(&mut self, me: &NodeName, current: &Configuration) -> bool {
        let before = self.older.len();
        let older = std::mem::take(&mut self.older);
        let used = |older: &Arc<Configuration>| {
            current.nodes.iter().any(|node| node != me && self.may_use(node, older, current))
        };
        self.older = older.into_iter().filter(used).collect();
        self.older.len() < before
    }

    /// Keeps a revision that some node may still use.
    pub(crate) fn keep(&mut self, older: &Arc<Configuration>) {
        let known = self.older.iter().any(|known| known.revision == older.revision && known.text == older.text);
        if older.revision.number > 0 && !known {
            self.older.push(Arc::clone(older));
            self.older.sort_by(|one, other| one.revision.cmp(&other.revision));
        }
    }
}
