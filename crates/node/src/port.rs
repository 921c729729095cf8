//! The port on which peers and operators connect: our own accept loop in front of tonic's server, which caps neither
//! connections nor the time that a handshake takes.
//!
//! A port scan, half a handshake, a slow reader or a flood of connections costs a bounded number of descriptors for a
//! bounded time. The addresses of the cluster's nodes have places of their own, so that a flood from elsewhere does not
//! keep a peer out.

mod refusals;

pub(crate) use refusals::{in_short, why};

use crate::refused::Refused;
use refusals::Refusals;
use standfast_rpc::tls::{Identity, ReloadableTls, identity_of};
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::Connected;

/// Connections at a time, of a node of the cluster and of everybody else together.
const CONNECTIONS: Places = Places { of_a_node: 16, of_others: 64 };
/// Handshakes under way at a time.
const HANDSHAKES: Places = Places { of_a_node: 8, of_others: 32 };
/// A handshake that takes longer is given up.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(3);
/// What was sent and is not acknowledged for so long ends the connection.
const UNACKNOWLEDGED: Duration = Duration::from_secs(5);
/// Calls at a time on one connection.
const CALLS: u32 = 16;
/// Bytes under way on one stream: several full batches.
pub(crate) const WINDOW: u32 = 4 << 20;
/// How often a quiet connection is asked whether anybody is there, and for how long an answer is waited for.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(5));
/// A listener that cannot accept (no descriptors left, say) tries again after this.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Who is at the other end of a connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Caller {
    /// Somebody with a certificate of the cluster, and where they connect from.
    Certificate(Arc<Identity>, SocketAddr),
    /// Somebody on this machine who may open the admin socket: which user, if the system says.
    Local(Option<u32>),
}

/// Serves `routes` to everyone with a certificate of the cluster until `shutdown`; who is refused is remembered.
///
/// # Errors
/// tonic's server failed as a whole; one connection that fails ends alone.
pub async fn serve(
    listener: TcpListener,
    tls: Arc<ReloadableTls>,
    nodes: impl IntoIterator<Item = IpAddr>,
    refused: Refused,
    routes: Routes,
    shutdown: impl Future<Output = ()>,
) -> Result<(), tonic::transport::Error> {
    let nodes: Vec<IpAddr> = nodes.into_iter().collect();
    let gate = Gate {
        connections: Pool::new(&CONNECTIONS, &nodes),
        handshakes: Pool::new(&HANDSHAKES, &nodes),
        refusals: Arc::new(Refusals::new(&nodes, refused)),
    };
    let (ready, incoming) = mpsc::channel(1);
    let accepting = accept(listener, tls, gate, ready);
    let serving = server().add_routes(routes).serve_with_incoming_shutdown(ReceiverStream::new(incoming), shutdown);
    tokio::select! {
        never = accepting => match never {},
        served = serving => served,
    }
}

/// A tonic server with the limits of every connection.
pub(crate) fn server() -> Server {
    Server::builder()
        .concurrency_limit_per_connection(CALLS as usize)
        .max_concurrent_streams(CALLS)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .http2_keepalive_interval(Some(KEEPALIVE.0))
        .http2_keepalive_timeout(Some(KEEPALIVE.1))
}

/// Sets what every connection of peers and operators needs: no delay, and an end if the other side is silent.
pub(crate) fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    socket2::SockRef::from(stream).set_tcp_user_timeout(Some(UNACKNOWLEDGED))
}

type Ready = mpsc::Sender<io::Result<Connection<TlsStream<TcpStream>>>>;

async fn accept(listener: TcpListener, tls: Arc<ReloadableTls>, gate: Gate, ready: Ready) -> std::convert::Infallible {
    loop {
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                gate.refusals.nobody(&error);
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Some((connection, handshake)) = gate.enter(from.ip()) else {
            gate.refusals.too_many(from);
            continue;
        };
        let acceptor = TlsAcceptor::from(tls.current().server_config());
        let (ready, refusals) = (ready.clone(), Arc::clone(&gate.refusals));
        tokio::spawn(async move {
            match tokio::time::timeout(HANDSHAKE_DEADLINE, shake_hands(acceptor, stream, from)).await {
                Ok(Ok((stream, caller))) => {
                    drop(handshake);
                    let _ = ready.send(Ok(Connection { stream, caller, _place: Some(connection) })).await;
                }
                Ok(Err(error)) => refusals.handshake(from, &error),
                Err(_) => refusals.too_slow(from),
            }
        });
    }
}

async fn shake_hands(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    from: SocketAddr,
) -> io::Result<(TlsStream<TcpStream>, Caller)> {
    tune(&stream)?;
    let stream = acceptor.accept(stream).await?;
    let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let certificate = certificate.ok_or_else(|| io::Error::other("it shows no certificate"))?;
    let identity = identity_of(certificate).map_err(io::Error::other)?;
    Ok((stream, Caller::Certificate(Arc::new(identity), from)))
}

/// How many places there are.
struct Places {
    of_a_node: usize,
    of_others: usize,
}

struct Gate {
    connections: Pool,
    handshakes: Pool,
    refusals: Arc<Refusals>,
}

impl Gate {
    /// A place for a connection and one for its handshake, if there are any left.
    fn enter(&self, from: IpAddr) -> Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)> {
        Some((self.connections.take(from)?, self.handshakes.take(from)?))
    }
}

struct Pool {
    of_nodes: BTreeMap<IpAddr, Arc<Semaphore>>,
    of_others: Arc<Semaphore>,
}

impl Pool {
    fn new(places: &Places, nodes: &[IpAddr]) -> Self {
        let of_node = |&node: &IpAddr| (node, Arc::new(Semaphore::new(places.of_a_node)));
        let of_others = Arc::new(Semaphore::new(places.of_others));
        Self { of_nodes: nodes.iter().map(of_node).collect(), of_others }
    }

    /// An address of a node may be shared with operators, who then may take a place of the others.
    fn take(&self, from: IpAddr) -> Option<OwnedSemaphorePermit> {
        let own =
            self.of_nodes.get(&from.to_canonical()).and_then(|places| Arc::clone(places).try_acquire_owned().ok());
        own.or_else(|| Arc::clone(&self.of_others).try_acquire_owned().ok())
    }
}

/// An accepted connection, which gives its place back when it ends.
pub(crate) struct Connection<S> {
    stream: S,
    caller: Caller,
    _place: Option<OwnedSemaphorePermit>,
}

impl<S> Connection<S> {
    /// One that needs no place.
    pub(crate) fn new(stream: S, caller: Caller) -> Self {
        Self { stream, caller, _place: None }
    }
}

impl<S> Connected for Connection<S> {
    type ConnectInfo = Caller;
    fn connect_info(&self) -> Caller {
        self.caller.clone()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_from_elsewhere_leaves_nodes_their_places() {
        let (node, stranger) = (IpAddr::from([10, 0, 0, 12]), IpAddr::from([203, 0, 113, 9]));
        let pool = Pool::new(&Places { of_a_node: 2, of_others: 3 }, &[node]);
        let flood: Vec<_> = std::iter::from_fn(|| pool.take(stranger)).collect();
        assert_eq!(flood.len(), 3);
        let own: Vec<_> = std::iter::from_fn(|| pool.take(node)).collect();
        assert_eq!(own.len(), 2);
        drop(flood);
        let as_others: Vec<_> = std::iter::from_fn(|| pool.take(node)).collect();
        assert_eq!(as_others.len(), 3);
    }
}
