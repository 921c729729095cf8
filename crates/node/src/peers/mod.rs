//! Links to peers: one session to each, of two streams that have a connection each, so that a heartbeat never waits
//! behind a batch.
//!
//! ```text
//!     the node whose name sorts first             the other
//!     draws a session number, connects twice ───► accepts, checks certificate and Open
//!     checks Open                            ◄─── Open
//!     Up ······················ both streams ······················ Up
//!     Down ◄─────────── either stream closes, either side ───────────► Down
//!     Gone, if the peer's port then refuses connections               Gone
//! ```
//!
//! Everything here runs on its own threads. The serving loop hands messages over without waiting, takes events from a
//! bounded queue, and is never held up by a slow peer: a stream whose queue is full ends its session.

mod check;
mod dial;
mod gone;
mod service;
mod session;

#[cfg(test)]
mod tests;

pub use service::PeerGate;

use crate::clock::Clock;
use crate::cluster_file::{Cluster, ClusterFile};
use crate::notices::Notices;
use crate::refused::Refused;
use session::Live;
use standfast_core::configuration::Configuration;
use standfast_core::id::{Incarnation, NodeName, Revision, Session};
use standfast_core::message::PeerMessage;
use standfast_rpc::convert::{Open, Protocol};
use standfast_rpc::tls::ReloadableTls;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

/// What the serving loop is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PeerEvent {
    /// Both streams of a session are open.
    Up {
        /// With whom.
        peer: NodeName,
        /// Which.
        session: Session,
    },
    /// A message of a session that is up.
    Message {
        /// From whom.
        peer: NodeName,
        /// In which session.
        session: Session,
        /// What.
        message: PeerMessage,
    },
    /// A session that was up has ended.
    Down {
        /// With whom.
        peer: NodeName,
        /// Which.
        session: Session,
    },
    /// The peer's host refuses connections: its process is gone. Told once per outage.
    Gone {
        /// Whose.
        peer: NodeName,
    },
}

/// Who this node is, and who its peers are.
#[derive(Clone, Debug)]
pub struct PeerSettings {
    /// Name of the cluster.
    pub cluster: String,
    /// This node.
    pub node: NodeName,
    /// Drawn at this start.
    pub incarnation: Incarnation,
    /// The configuration in use.
    pub revision: Revision,
    /// The other nodes, and where they listen.
    pub peers: BTreeMap<NodeName, SocketAddr>,
}

impl PeerSettings {
    /// Of two nodes the one whose name sorts first connects to the other.
    fn dials(&self, peer: &NodeName) -> bool {
        self.node < *peer
    }

    fn open(&self, session: Session) -> Open {
        Open {
            cluster: self.cluster.clone(),
            node: self.node.clone(),
            protocol: Protocol::CURRENT,
            incarnation: self.incarnation,
            session,
            revision: self.revision.clone(),
        }
    }
}

/// Where events go: a bounded queue, and a way to tell whoever takes from it, who may do so before that returns. A queue
/// that is full holds up the peers.
#[derive(Clone)]
pub struct EventQueue {
    queue: mpsc::Sender<PeerEvent>,
    tell: Arc<dyn Fn() + Send + Sync>,
}

impl EventQueue {
    /// A queue of at most `capacity` events; `tell` is called when there are some and no more is at hand.
    pub fn new(capacity: usize, tell: impl Fn() + Send + Sync + 'static) -> (Self, mpsc::Receiver<PeerEvent>) {
        let (queue, events) = mpsc::channel(capacity);
        (Self { queue, tell: Arc::new(tell) }, events)
    }

    /// Leaves an event and tells of it.
    async fn put(&self, event: PeerEvent) {
        self.leave(event).await;
        self.tell();
    }

    /// Leaves an event, to be told of soon.
    async fn leave(&self, event: PeerEvent) {
        if let Err(mpsc::error::TrySendError::Full(event)) = self.queue.try_send(event) {
            self.tell();
            // Fails only once the serving loop has ended.
            let _ = self.queue.send(event).await;
        }
    }

    fn tell(&self) {
        (self.tell)();
    }
}

/// The links to all peers. Dropping it ends them.
pub struct Peers {
    shared: Arc<Shared>,
    runtime: Handle,
    /// What keeps a session with each peer that this node dials.
    dialers: Dialers,
}

type Dialers = Arc<Mutex<BTreeMap<NodeName, AbortHandle>>>;

impl Peers {
    /// Starts to connect to the peers that this node dials, on `runtime`.
    #[must_use]
    pub fn start(
        settings: PeerSettings,
        tls: Arc<ReloadableTls>,
        clock: Clock,
        events: EventQueue,
        refused: Refused,
        runtime: &Handle,
    ) -> Self {
        let shared = Arc::new(Shared {
            settings: RwLock::new(Arc::new(settings)),
            tls,
            events,
            live: Mutex::default(),
            gone: Mutex::default(),
            clock,
            notices: Notices::new(clock),
            refused,
        });
        let peers = Self { shared, runtime: runtime.clone(), dialers: Arc::default() };
        redial(&peers.shared, &peers.dialers, runtime);
        peers
    }

    /// Uses what a configuration says of the peers, once its text has been read, which takes place elsewhere.
    pub(crate) fn reconfigure(&self, configuration: Arc<Configuration>) {
        let (shared, dialers, runtime) = (Arc::clone(&self.shared), Arc::clone(&self.dialers), self.runtime.clone());
        self.runtime.spawn_blocking(move || {
            let Ok(cluster) = ClusterFile::parse("the revision in use", &configuration.text) else {
                tracing::error!("the revision in use cannot be read again");
                return;
            };
            let before = shared.settings();
            let settings = PeerSettings {
                revision: configuration.revision.clone(),
                peers: peers_in(&cluster, &before.node),
                ..PeerSettings::clone(&before)
            };
            *shared.settings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
            redial(&shared, &dialers, &runtime);
        });
    }

    /// The service to which the peers that dial this node connect.
    #[must_use]
    pub fn gate(&self) -> PeerGate {
        PeerGate::new(Arc::clone(&self.shared))
    }

    /// Sends a message without waiting. It is dropped if another session is up, or none; if its stream is full, the
    /// session ends.
    pub fn send(&self, to: &NodeName, session: Session, message: PeerMessage) {
        let full = match self.shared.live().get(to) {
            Some(live) if live.session == session => live.send(message).is_err(),
            Some(_) | None => false,
        };
        if full {
            let what = format_args!(
                "`{to}` does not take what is sent to it; the session ends: look at its load and its link"
            );
            self.shared.notices.warn(to.clone(), what);
            self.shared.end(to, session);
        }
    }

    /// Ends the session with `peer`, if there is one.
    pub fn disconnect(&self, peer: &NodeName) {
        self.shared.live().remove(peer);
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        self.dialers.lock().unwrap_or_else(PoisonError::into_inner).values().for_each(AbortHandle::abort);
        self.shared.live().clear();
    }
}

/// The other nodes of a cluster, and where they listen.
pub(crate) fn peers_in(cluster: &Cluster, me: &NodeName) -> BTreeMap<NodeName, SocketAddr> {
    cluster.nodes.iter().filter(|node| node.name != *me).map(|node| (node.name.clone(), node.rpc)).collect()
}

/// Dials who is to be dialled and is not yet. Whoever is dialled already is asked for where it listens at each attempt.
fn redial(shared: &Arc<Shared>, dialers: &Dialers, runtime: &Handle) {
    let settings = shared.settings();
    let mut dialers = dialers.lock().unwrap_or_else(PoisonError::into_inner);
    for peer in settings.peers.keys().filter(|peer| settings.dials(peer)) {
        if dialers.get(peer).is_none_or(AbortHandle::is_finished) {
            let dialing = runtime.spawn(dial::keep_dialing(Arc::clone(shared), peer.clone()));
            dialers.insert(peer.clone(), dialing.abort_handle());
        }
    }
}

struct Shared {
    settings: RwLock<Arc<PeerSettings>>,
    tls: Arc<ReloadableTls>,
    events: EventQueue,
    /// Sessions that are up. Taking one out ends it.
    live: Mutex<BTreeMap<NodeName, Live>>,
    /// Peers that were reported gone and have not been met since.
    gone: Mutex<BTreeSet<NodeName>>,
    clock: Clock,
    notices: Notices<NodeName>,
    refused: Refused,
}

impl Shared {
    /// Where a peer listens now.
    fn address_of(&self, peer: &NodeName) -> Option<SocketAddr> {
        self.settings().peers.get(peer).copied()
    }

    fn settings(&self) -> Arc<PeerSettings> {
        Arc::clone(&self.settings.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn live(&self) -> MutexGuard<'_, BTreeMap<NodeName, Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn gone(&self) -> MutexGuard<'_, BTreeSet<NodeName>> {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends `session`, and no later one.
    fn end(&self, peer: &NodeName, session: Session) {
        let mut live = self.live();
        if live.get(peer).is_some_and(|live| live.session == session) {
            live.remove(peer);
        }
    }
}
