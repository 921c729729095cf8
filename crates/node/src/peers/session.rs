//! A session: two streams that live and end together.

use super::{PeerEvent, Shared};
use crate::cluster_file::revision::read_text;
use standfast_core::id::{NodeName, Session};
use standfast_core::message::PeerMessage;
use standfast_rpc::convert::{DecodeError, Frame, Open, Unread};
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::{Stream, StreamExt};
use tonic::{Status, Streaming};

/// Heartbeats that wait to be sent: more than a heartbeat timeout is worth.
const HEARTBEATS_QUEUED: usize = 32;
/// Other messages that wait to be sent. The core has few batches under way at a time.
const MESSAGES_QUEUED: usize = 1_024;

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

/// What arrives after the first message; an error ends the stream and says why.
pub(super) type Incoming = Pin<Box<dyn Stream<Item = Result<PeerMessage, String>> + Send>>;

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
        Frame::Message(_) | Frame::Unread(_) => Err(Status::invalid_argument("the first message is not an open")),
    }
}

/// Everything after it.
pub(super) fn rest<P: Send + 'static>(stream: Streaming<P>) -> Incoming
where
    Frame: TryFrom<P, Error = DecodeError>,
{
    Box::pin(stream.then(|message| async {
        match Frame::try_from(message.map_err(|status| status.message().to_owned())?) {
            Ok(Frame::Message(message)) => Ok(message),
            Ok(Frame::Unread(unread)) => read(unread).await,
            Ok(Frame::Open(_)) => Err("a stream is opened once".to_owned()),
            Err(error) => Err(format!("a message was refused: {error}")),
        }
    }))
}

/// Reads the text of a message, which may take long, where it holds up nobody else.
async fn read(unread: Unread) -> Result<PeerMessage, String> {
    let text = unread.text.clone();
    let reading = tokio::task::spawn_blocking(move || read_text(&text)).await;
    Ok(unread.read(reading.map_err(|error| format!("a configuration could not be read: {error}"))?))
}

/// A session that is up, as senders see it. Dropping it ends the session.
pub(super) struct Live {
    pub(super) session: Session,
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
    /// Makes a session live until one of its streams ends, it is taken out, or another one takes its place.
    pub(super) async fn live_session(&self, peer: &NodeName, session: Session, heartbeats: Half, replication: Half) {
        let (alive, ended) = oneshot::channel();
        let live = Live { session, heartbeats: heartbeats.outgoing, replication: replication.outgoing, _alive: alive };
        drop(self.live().insert(peer.clone(), live));
        self.gone().remove(peer);
        tracing::info!(%peer, "connected");
        self.events.put(PeerEvent::Up { peer: peer.clone(), session }).await;
        let why = tokio::select! {
            why = self.pump(peer, session, heartbeats.incoming) => why,
            why = self.pump(peer, session, replication.incoming) => why,
            _ = ended => "we ended it".to_owned(),
        };
        self.end(peer, session);
        tracing::info!(%peer, why, "disconnected");
        self.events.put(PeerEvent::Down { peer: peer.clone(), session }).await;
    }

    /// Passes messages on until the stream ends; why it did. Those that arrive together are told of together.
    async fn pump(&self, peer: &NodeName, session: Session, mut incoming: Incoming) -> String {
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
                    self.events.leave(PeerEvent::Message { peer: peer.clone(), session, message }).await
                }
                Some(Err(why)) => return why,
                None => return "the peer ended it".to_owned(),
            }
        }
    }
}
