//! The accepting side: joins the two streams of a session that a peer opens.

use super::Shared;
use super::check::check_caller;
use super::session::{Half, Kind, Process, first, queue, rest};
use crate::port::Caller;
use crate::refused::Who;
use standfast_core::id::{NodeName, Session};
use standfast_core::message::PeerMessage;
use standfast_rpc::convert::{DecodeError, Frame, MAX_FRAME, Open};
use standfast_rpc::proto::peer_service_server::{PeerService, PeerServiceServer};
use standfast_rpc::proto::{HeartbeatRequest, HeartbeatResponse, ReplicateRequest, ReplicateResponse};
use standfast_rpc::tls::Identity;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt, once};
use tonic::{Request, Response, Status, Streaming};

/// A stream on which nothing is said for so long is refused.
pub(super) const OPEN_DEADLINE: Duration = Duration::from_secs(3);

/// Lets peers in.
#[derive(Clone)]
pub struct PeerGate {
    shared: Arc<Shared>,
    /// Streams whose session lacks its other one, at most one a peer.
    waiting: Arc<Mutex<BTreeMap<NodeName, Waiting>>>,
}

struct Waiting {
    session: Session,
    process: Process,
    kind: Kind,
    half: Half,
}

impl PeerGate {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, waiting: Arc::default() }
    }

    /// As a service of tonic.
    #[must_use]
    pub fn into_service(self) -> PeerServiceServer<Self> {
        PeerServiceServer::new(self).max_decoding_message_size(MAX_FRAME).max_encoding_message_size(MAX_FRAME)
    }

    /// Checks who opens a stream, and joins it with the other one of its session.
    async fn admit<P: Send + 'static>(
        &self,
        kind: Kind,
        request: Request<Streaming<P>>,
    ) -> Result<(Open, mpsc::Receiver<PeerMessage>), Status>
    where
        Frame: TryFrom<P, Error = DecodeError>,
    {
        let caller = request.extensions().get::<Caller>().cloned();
        let Some(Caller::Certificate(identity, from)) = caller else {
            return Err(Status::permission_denied("peers show a certificate"));
        };
        let mut stream = request.into_inner();
        let open = self.check(&mut stream, &identity, from).await.inspect_err(|status| {
            let (name, said) = (NodeName::from(identity.name.as_str()), status.message());
            self.shared.refused.refused(Who::Named(name.clone(), from), said);
            self.shared.notices.warn(name, format_args!("refused `{}` at {from}, and told it: {said}", identity.name));
        })?;
        let (outgoing, messages) = queue(kind);
        let half = Half { outgoing, incoming: rest(stream) };
        let process = Process { incarnation: open.incarnation, at: from };
        self.join(&open.node, Waiting { session: open.session, process, kind, half });
        Ok((self.shared.settings().open(open.session), messages))
    }

    /// Who opens a stream, if it may.
    async fn check<P>(&self, stream: &mut Streaming<P>, identity: &Identity, from: SocketAddr) -> Result<Open, Status>
    where
        Frame: TryFrom<P, Error = DecodeError>,
    {
        let too_late = |_| Status::deadline_exceeded("no open message came");
        let open = tokio::time::timeout(OPEN_DEADLINE, first(stream)).await.map_err(too_late)??;
        check_caller(&self.shared.settings(), identity, &open)?;
        self.shared.check_process(&open, from)?;
        Ok(open)
    }

    fn join(&self, peer: &NodeName, arrived: Waiting) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        // One that does not fit is of an attempt that failed; it ends here.
        let other = waiting.remove(peer).filter(|other| other.session == arrived.session && other.kind != arrived.kind);
        let Some(other) = other else {
            waiting.insert(peer.clone(), arrived);
            return;
        };
        let (session, process) = (arrived.session, arrived.process);
        let (heartbeats, replication) = match arrived.kind {
            Kind::Heartbeats => (arrived.half, other.half),
            Kind::Replication => (other.half, arrived.half),
        };
        let (shared, peer) = (Arc::clone(&self.shared), peer.clone());
        tokio::spawn(async move {
            shared.live_session(&peer, session, process, [heartbeats, replication]).await;
            if let Some(address) = shared.address_of(&peer) {
                shared.confirm_gone(&peer, address).await;
            }
        });
    }
}

type Outgoing<P> = Pin<Box<dyn Stream<Item = Result<P, Status>> + Send>>;

fn outgoing<P: Send + 'static>(
    opening: P,
    messages: mpsc::Receiver<PeerMessage>,
    encode: impl Fn(PeerMessage) -> Option<P> + Send + 'static,
) -> Response<Outgoing<P>> {
    Response::new(Box::pin(once(opening).chain(ReceiverStream::new(messages).filter_map(encode)).map(Ok)))
}

#[tonic::async_trait]
impl PeerService for PeerGate {
    type HeartbeatStream = Outgoing<HeartbeatResponse>;
    type ReplicateStream = Outgoing<ReplicateResponse>;

    async fn heartbeat(
        &self,
        request: Request<Streaming<HeartbeatRequest>>,
    ) -> Result<Response<Self::HeartbeatStream>, Status> {
        let (open, messages) = self.admit(Kind::Heartbeats, request).await?;
        Ok(outgoing(HeartbeatResponse::opening(open), messages, HeartbeatResponse::of))
    }

    async fn replicate(
        &self,
        request: Request<Streaming<ReplicateRequest>>,
    ) -> Result<Response<Self::ReplicateStream>, Status> {
        let (open, messages) = self.admit(Kind::Replication, request).await?;
        Ok(outgoing(ReplicateResponse::opening(open), messages, ReplicateResponse::of))
    }
}
