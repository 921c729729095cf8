//! The dialing side: connects twice, opens both streams, and tries again when a session ends.

use super::Shared;
use super::check::check_answer;
use super::service::OPEN_DEADLINE;
use super::session::{Half, Kind, Process, first, queue, rest};
use crate::port::{WINDOW, in_short, tune, why};
use hyper_util::rt::TokioIo;
use rand::Rng as _;
use rustls::pki_types::ServerName;
use standfast_core::id::{Incarnation, NodeName, Session};
use standfast_rpc::convert::MAX_FRAME;
use standfast_rpc::proto::peer_service_client::PeerServiceClient;
use standfast_rpc::proto::{HeartbeatRequest, ReplicateRequest};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{StreamExt, once};
use tonic::Status;
use tonic::transport::{Channel, Endpoint, Uri};

/// Pause before the first new attempt after a session, doubled with each that fails.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause.
const LAST_PAUSE: Duration = Duration::from_secs(1);

/// Keeps one session with `peer`, for as long as it is one.
pub(super) async fn keep_dialing(shared: Arc<Shared>, peer: NodeName) {
    let mut pause = FIRST_PAUSE;
    while let Some(address) = shared.address_of(&peer) {
        match shared.dial(&peer, address).await {
            Ok((session, process, halves)) => {
                shared.live_session(&peer, session, process, halves).await;
                let address = shared.address_of(&peer).unwrap_or(address);
                shared.confirm_gone(&peer, address).await;
                pause = FIRST_PAUSE;
            }
            Err(error) => {
                shared.refused.called_in_vain(&peer, address, &error.in_short(&peer));
                if error.is_nobody() {
                    shared.confirm_gone(&peer, address).await;
                } else {
                    shared.notices.warn(peer.clone(), format_args!("cannot connect to `{peer}` at {address}: {error}"));
                }
            }
        }
        // Between half and all of it, so that two nodes do not keep meeting at a bad moment.
        let jittered = pause.mul_f64(rand::rng().random_range(0.5..1.0));
        tokio::time::sleep(jittered).await;
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    #[error("{0}")]
    Connect(io::Error),
    #[error("{}", why(.0))]
    Tls(io::Error),
    #[error("{}", .0.message())]
    Refused(Status),
    #[error("{0}")]
    Transport(#[from] tonic::transport::Error),
    #[error("no answer within {} s", OPEN_DEADLINE.as_secs())]
    TooLate,
}

impl DialError {
    /// Whether the host is there, and nothing listens.
    fn is_nobody(&self) -> bool {
        matches!(self, Self::Connect(error) if error.kind() == io::ErrorKind::ConnectionRefused)
    }

    /// What is wrong and, behind the last colon, what to do.
    fn in_short(&self, peer: &NodeName) -> String {
        match self {
            Self::Connect(_) if self.is_nobody() => format!("its host is there and nothing listens: start {peer}"),
            Self::Connect(error) => format!("{error}: see the link between the nodes, and {peer}"),
            Self::Tls(error) => in_short(error),
            Self::Refused(status) => format!("{peer} says that {}", status.message()),
            Self::Transport(error) => format!("{error}: see the log of {peer}"),
            Self::TooLate => format!("{self}: see the link and the firewalls between the nodes, and {peer}"),
        }
    }
}

impl Shared {
    /// Opens both streams of a new session.
    pub(super) async fn dial(
        &self,
        peer: &NodeName,
        address: SocketAddr,
    ) -> Result<(Session, Process, [Half; 2]), DialError> {
        let session = Session(rand::random());
        let both = async {
            tokio::try_join!(
                self.open_heartbeats(peer, address, session),
                self.open_replication(peer, address, session)
            )
        };
        let ((incarnation, heartbeats), (_, replication)) =
            tokio::time::timeout(OPEN_DEADLINE, both).await.map_err(|_| DialError::TooLate)??;
        Ok((session, Process { incarnation, at: address }, [heartbeats, replication]))
    }

    async fn open_heartbeats(
        &self,
        peer: &NodeName,
        address: SocketAddr,
        session: Session,
    ) -> Result<(Incarnation, Half), DialError> {
        let (outgoing, messages) = queue(Kind::Heartbeats);
        let opening = HeartbeatRequest::opening(self.settings().open(session));
        let requests = once(opening).chain(ReceiverStream::new(messages).filter_map(HeartbeatRequest::of));
        let mut client = client(self.connect(peer, address).await?);
        let mut stream = client.heartbeat(requests).await.map_err(DialError::Refused)?.into_inner();
        let open = first(&mut stream).await.map_err(DialError::Refused)?;
        check_answer(&self.settings(), peer, session, &open).map_err(DialError::Refused)?;
        Ok((open.incarnation, Half { outgoing, incoming: rest(stream) }))
    }

    async fn open_replication(
        &self,
        peer: &NodeName,
        address: SocketAddr,
        session: Session,
    ) -> Result<(Incarnation, Half), DialError> {
        let (outgoing, messages) = queue(Kind::Replication);
        let opening = ReplicateRequest::opening(self.settings().open(session));
        let requests = once(opening).chain(ReceiverStream::new(messages).filter_map(ReplicateRequest::of));
        let mut client = client(self.connect(peer, address).await?);
        let mut stream = client.replicate(requests).await.map_err(DialError::Refused)?.into_inner();
        let open = first(&mut stream).await.map_err(DialError::Refused)?;
        check_answer(&self.settings(), peer, session, &open).map_err(DialError::Refused)?;
        Ok((open.incarnation, Half { outgoing, incoming: rest(stream) }))
    }

    /// A connection of its own. TLS has made sure that the other side is `peer`.
    async fn connect(&self, peer: &NodeName, address: SocketAddr) -> Result<Channel, DialError> {
        let stream = TcpStream::connect(address).await.map_err(DialError::Connect)?;
        tune(&stream).map_err(DialError::Connect)?;
        let name =
            ServerName::try_from(peer.as_str().to_owned()).map_err(|error| DialError::Tls(io::Error::other(error)))?;
        let connector = TlsConnector::from(self.tls.current().client_config());
        let stream = connector.connect(name, stream).await.map_err(DialError::Tls)?;
        let mut stream = Some(TokioIo::new(stream));
        let connector = tower::service_fn(move |_: Uri| {
            let stream = stream.take().ok_or_else(|| io::Error::other("a connection is made once"));
            std::future::ready(stream)
        });
        // The name is never looked up: the connector has its stream.
        let endpoint = Endpoint::from_static("http://peer")
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW);
        Ok(endpoint.connect_with_connector(connector).await?)
    }
}

fn client(channel: Channel) -> PeerServiceClient<Channel> {
    PeerServiceClient::new(channel).max_decoding_message_size(MAX_FRAME).max_encoding_message_size(MAX_FRAME)
}
