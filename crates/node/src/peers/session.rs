//! A session: two streams that live and end together.

use super::{PeerEvent, Shared};
use crate::cluster_file::revision::read_text;
use standfast_core::id::{Incarnation, NodeName, Session};
use standfast_core::message::PeerMessage;
use standfast_core::time::Instant;
use standfast_rpc::convert::{DecodeError, Frame, Open, Unread};
use std::error::Error as _;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::{Stream, StreamExt};
use tonic::{Code, Status, Streaming};

/// Heartbeats that wait to be sent: more than a heartbeat timeout is worth.
const HEARTBEATS_QUEUED: usize = 32;
/// Other messages that wait to be sent. The core has few batches under way at a time.
const MESSAGES_QUEUED: usize = 1_024;

/// A peer that was heard so lately lives: another process of its name is not the same one, started again.
const LIVES: Duration = Duration::from_secs(2);

/// Which stream of a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Heartbeats,
    Replication,
}

/// One stream of a session, opened on both sides.
pub(super) struct Half {
    pub(super) outgoing: mpsc::Sender<PeerMessage>,
    pub(super) incoming: Incoming,
}

/// The process at the other end of a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Process {
    pub(super) incarnation: Incarnation,
    pub(super) at: SocketAddr,
}

/// What arrives after the first message; an error ends the stream and says why.
pub(super) type Incoming = Pin<Box<dyn Stream<Item = Result<PeerMessage, End>> + Send>>;

/// The queue of one stream.
pub(super) fn queue(kind: Kind) -> (mpsc::Sender<PeerMessage>, mpsc::Receiver<PeerMessage>) {
    mpsc::channel(match kind {
        Kind::Heartbeats => HEARTBEATS_QUEUED,
        Kind::Replication => MESSAGES_QUEUED,
    })
}

/// The first message of a stream.
pub(super) async fn first<P>(stream: &mut Streaming<P>) -> Result<Open, Status>
where
    Frame: TryFrom<P, Error = DecodeError>,
{
    let missing = || Status::invalid_argument("the stream ended before its first message");
    let message = stream.message().await?.ok_or_else(missing)?;
    match Frame::try_from(message).map_err(|error| Status::invalid_argument(error.to_string()))? {
        Frame::Open(open) => Ok(open),
        Frame::Message(_) | Frame::Unread(_) | Frame::Unknown => {
            Err(Status::invalid_argument("the first message is not an open"))
        }
    }
}

/// Everything after it, but for what a later version says and this one does not know.
pub(super) fn rest<P: Send + 'static>(stream: Streaming<P>) -> Incoming
where
    Frame: TryFrom<P, Error = DecodeError>,
{
    let messages = stream.then(|message| async {
        match Frame::try_from(message.map_err(broken)?) {
            Ok(Frame::Message(message)) => Ok(Some(message)),
            Ok(Frame::Unread(unread)) => read(unread).await.map(Some),
            Ok(Frame::Unknown) => Ok(None),
            Ok(Frame::Open(_)) => Err(End::Senseless("a stream is opened once".to_owned())),
            Err(error) => Err(End::Senseless(error.to_string())),
        }
    });
    Box::pin(messages.filter_map(Result::transpose))
}

/// Why a session ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// The connection closed or broke.
    Closed(String),
    /// The peer sent what this node cannot take.
    Senseless(String),
}

/// A message larger than any that a node sends never becomes one: it is the stream that fails.
#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn broken(status: Status) -> End {
    let what = status.message().to_owned();
    // Where the connection broke, that is the cause of it.
    let of_a_message = matches!(status.code(), Code::OutOfRange | Code::Internal) && status.source().is_none();
    if of_a_message { End::Senseless(what) } else { End::Closed(what) }
}

/// Reads the text of a message, which may take long, where it holds up nobody else.
async fn read(unread: Unread) -> Result<PeerMessage, End> {
    let text = unread.text.clone();
    let reading = tokio::task::spawn_blocking(move || read_text(&text)).await;
    Ok(unread.read(reading.map_err(|error| End::Senseless(format!("a configuration: {error}")))?))
}

/// A session that is up, as senders see it. Dropping it ends the session.
pub(super) struct Live {
    pub(super) session: Session,
    process: Process,
    /// When the peer was last heard.
    heard: Instant,
    heartbeats: mpsc::Sender<PeerMessage>,
    replication: mpsc::Sender<PeerMessage>,
    _alive: oneshot::Sender<()>,
}

impl Live {
    /// Fails if the stream's queue is full.
    pub(super) fn send(&self, message: PeerMessage) -> Result<(), ()> {
        let stream = match message {
            PeerMessage::Heartbeat(_) => &self.heartbeats,
            PeerMessage::Hello(_) | PeerMessage::Configuration(_) | PeerMessage::Pair(..) => &self.replication,
        };
        match stream.try_send(message) {
            Err(mpsc::error::TrySendError::Full(_)) => Err(()),
            // A stream that has closed ends the session by itself.
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
        }
    }
}

impl Shared {
    /// Refuses a second process that has the name of one that lives.
    pub(super) fn check_process(&self, open: &Open, from: SocketAddr) -> Result<(), Status> {
        let live = self.live();
        let Some(live) = live.get(&open.node).filter(|live| live.process.incarnation != open.incarnation) else {
            return Ok(());
        };
        if self.clock.instant().since(live.heard) >= LIVES {
            return Ok(());
        }
        let (name, one) = (&open.node, live.process.at);
        Err(Status::already_exists(format!(
            "two processes are called `{name}`, one at {one} and one at {from}: stop one of them, or give it a name of its \
             own"
        )))
    }

    /// Makes a session live until one of its streams ends, it is taken out, or another one takes its place.
    pub(super) async fn live_session(&self, peer: &NodeName, session: Session, process: Process, halves: [Half; 2]) {
        let [heartbeats, replication] = halves;
        let (alive, ended) = oneshot::channel();
        let live = Live {
            session,
            process,
            heard: self.clock.instant(),
            heartbeats: heartbeats.outgoing,
            replication: replication.outgoing,
            _alive: alive,
        };
        drop(self.live().insert(peer.clone(), live));
        self.gone().remove(peer);
        self.refused.met(peer, process.at.ip());
        tracing::info!(%peer, "connected");
        self.events.put(PeerEvent::Up { peer: peer.clone(), session }).await;
        let why = tokio::select! {
            why = self.pump(peer, session, heartbeats.incoming) => why,
            why = self.pump(peer, session, replication.incoming) => why,
            _ = ended => End::Closed("we ended it".to_owned()),
        };
        self.end(peer, session);
        match why {
            End::Closed(why) => tracing::info!(%peer, why, "disconnected"),
            End::Senseless(what) => {
                let at = process.at;
                let what = format_args!(
                    "the session with `{peer}` at {at} ends, because of what it sent: {what}; see that both nodes run a \
                     version that the other can understand"
                );
                self.notices.warn(peer.clone(), what);
            }
        }
        self.events.put(PeerEvent::Down { peer: peer.clone(), session }).await;
    }

    /// Passes messages on until the stream ends; why it did. Those that arrive together are told of together.
    async fn pump(&self, peer: &NodeName, session: Session, mut incoming: Incoming) -> End {
        loop {
            let arrived = poll_fn(|cx| Poll::Ready(incoming.as_mut().poll_next(cx))).await;
            let next = match arrived {
                Poll::Ready(next) => next,
                Poll::Pending => {
                    self.events.tell();
                    incoming.next().await
                }
            };
            match next {
                Some(Ok(message)) => {
                    self.heard(peer, session);
                    self.events.leave(PeerEvent::Message { peer: peer.clone(), session, message }).await;
                }
                Some(Err(why)) => return why,
                None => return End::Closed("the peer ended it".to_owned()),
            }
        }
    }

    fn heard(&self, peer: &NodeName, session: Session) {
        let now = self.clock.instant();
        if let Some(live) = self.live().get_mut(peer).filter(|live| live.session == session) {
            live.heard = now;
        }
    }
}
