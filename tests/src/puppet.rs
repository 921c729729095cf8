//! A peer or operator that is moved by hand: TLS with whatever certificate, and gRPC a message at a time, so that it can
//! say what no client library would and leave unread what it likes.
//!
//! ```text
//!     reach ──► secure ──► call ──► Line: say, hear
//!     TCP       TLS        HTTP/2   one stream of gRPC
//! ```

use crate::lab::Door;
use h2::client::ResponseFuture;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Method, Request, Response};
use prost::bytes::Bytes;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use standfast_rpc::tls::TlsFiles;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

/// The two calls of a session between peers.
pub const HEARTBEAT: &str = "/standfast.v1.PeerService/Heartbeat";
pub const REPLICATE: &str = "/standfast.v1.PeerService/Replicate";

/// Threads for puppets. They stop when the value goes.
pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("threads for puppets")
}

/// A TCP connection from this address of a namespace.
///
/// # Errors
/// It was refused.
pub async fn reach(door: &Door, from: IpAddr, to: SocketAddr) -> io::Result<TcpStream> {
    // A socket belongs to the namespace in which it was made.
    let socket = door.inside(|| TcpSocket::new_v4().expect("a socket"));
    socket.bind((from, 0).into())?;
    socket.connect(to).await
}

/// A listener at this address of a namespace.
pub fn listen(door: &Door, at: SocketAddr, runtime: &Runtime) -> TcpListener {
    door.inside(|| {
        let _inside = runtime.enter();
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("a socket option");
        socket.bind(at).unwrap_or_else(|error| panic!("{at}: {error}"));
        socket.listen(64).expect("listen")
    })
}

/// What a puppet shows of itself: the certificate of this name in that folder.
#[derive(Clone, Copy)]
pub struct Pass<'a> {
    pub dir: &'a Path,
    pub name: &'a str,
}

/// TLS to the node `server`, which is trusted if its certificate is of the authority in `trusted`. The own certificate
/// may be anybody's: nothing about it is checked on this side.
///
/// # Errors
/// The handshake failed on this side. TLS 1.3 ends it before the other side has looked at the certificate.
pub async fn secure(
    stream: TcpStream,
    pass: Pass<'_>,
    trusted: &Path,
    server: &str,
) -> io::Result<client::TlsStream<TcpStream>> {
    let Pass { dir, name } = pass;
    let certificates = |path: PathBuf| {
        CertificateDer::pem_file_iter(path)
            .map_err(io::Error::other)?
            .collect::<Result<Vec<_>, _>>()
            .map_err(io::Error::other)
    };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates(trusted.join("ca.pem"))?);
    let key = PrivateKeyDer::from_pem_file(dir.join(format!("{name}.key"))).map_err(io::Error::other)?;
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_client_auth_cert(certificates(dir.join(format!("{name}.pem")))?, key)
        .map_err(io::Error::other)?;
    let server = ServerName::try_from(server.to_owned()).map_err(io::Error::other)?;
    TlsConnector::from(Arc::new(config)).connect(server, stream).await
}

/// TLS as the node `name`, whose certificate lies in `dir`, with whoever connected.
///
/// # Errors
/// The handshake failed.
pub async fn accept(stream: TcpStream, dir: &Path, name: &str) -> io::Result<server::TlsStream<TcpStream>> {
    let files = TlsFiles::load(dir, name).map_err(io::Error::other)?;
    TlsAcceptor::from(files.server_config()).accept(stream).await
}

/// Opens a call, and says its first message.
///
/// # Errors
/// The connection broke.
pub async fn call<S>(stream: S, path: &str, first: &[u8]) -> Result<Line, h2::Error>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) = h2::client::handshake(stream).await?;
    let (stop, stopped) = oneshot::channel();
    tokio::spawn(async move {
        let mut connection = pin!(connection);
        let told = tokio::select! {
            _ = &mut connection => return,
            told = stopped => told,
        };
        // Nothing is read and nothing is written, and the socket stays open, as of a process that stands still.
        if let Ok(_streams) = told {
            std::future::pending::<()>().await;
        }
        let _ = connection.await;
    });
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("http://puppet{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .expect("a request");
    let (response, sending) = sender.ready().await?.send_request(request, false)?;
    let mut line = Line { stop, sending, hearing: Hearing::Waiting(response), unread: Vec::new() };
    line.say(first);
    Ok(line)
}

/// One stream of gRPC, as the side that called has it.
pub struct Line {
    stop: oneshot::Sender<(SendStream<Bytes>, Hearing)>,
    sending: SendStream<Bytes>,
    hearing: Hearing,
    unread: Vec<u8>,
}

enum Hearing {
    Waiting(ResponseFuture),
    Answered(RecvStream),
}

/// What came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Heard {
    Message(Vec<u8>),
    /// The call has ended: its status, as a number and in words.
    End(String, String),
    /// The connection broke.
    Broken(String),
}

impl Line {
    /// Says a message: these bytes, whatever they are. Nothing is said on a call that has ended.
    pub fn say(&mut self, message: &[u8]) {
        let _ = self.sending.send_data(framed(message), false);
    }

    /// The next message, or how the call ended.
    pub async fn hear(&mut self) -> Heard {
        self.listen().await.unwrap_or_else(|error| Heard::Broken(error.to_string()))
    }

    async fn listen(&mut self) -> Result<Heard, h2::Error> {
        if let Hearing::Waiting(response) = &mut self.hearing {
            let response: Response<RecvStream> = response.await?;
            if let Some(end) = end_of(response.headers()) {
                return Ok(end);
            }
            self.hearing = Hearing::Answered(response.into_body());
        }
        let Hearing::Answered(stream) = &mut self.hearing else { unreachable!("it was answered") };
        loop {
            if let Some(message) = take_message(&mut self.unread) {
                return Ok(Heard::Message(message));
            }
            match stream.data().await {
                Some(data) => {
                    let data = data?;
                    stream.flow_control().release_capacity(data.len())?;
                    self.unread.extend_from_slice(&data);
                }
                None => {
                    let trailers = stream.trailers().await?;
                    let end = trailers.as_ref().and_then(end_of);
                    return Ok(end.unwrap_or_else(|| Heard::Broken("it ended without a status".to_owned())));
                }
            }
        }
    }

    /// Reads nothing from the connection any more, and writes nothing, until the runtime ends.
    pub fn stop(self) {
        let _ = self.stop.send((self.sending, self.hearing));
    }
}

/// A call that somebody made to a puppet.
pub struct Called {
    pub path: String,
    stream: RecvStream,
    sending: SendStream<Bytes>,
}

/// The two directions of a call, which go on by themselves.
pub struct Ear(RecvStream, Vec<u8>);
pub struct Mouth(SendStream<Bytes>);

/// Answers the calls of a connection: `each` gets every one of them.
pub async fn answer<S>(stream: S, mut each: impl FnMut(Called))
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let path = request.uri().path().to_owned();
        let response = Response::builder().header("content-type", "application/grpc").body(()).expect("a response");
        if let Ok(sending) = respond.send_response(response, false) {
            each(Called { path, stream: request.into_body(), sending });
        }
    }
}

impl Called {
    pub fn split(self) -> (Ear, Mouth) {
        (Ear(self.stream, Vec::new()), Mouth(self.sending))
    }
}

impl Line {
    /// Waits for the answer to begin.
    ///
    /// # Errors
    /// There is none.
    pub async fn split(self) -> Result<(Ear, Mouth), h2::Error> {
        let stream = match self.hearing {
            Hearing::Waiting(response) => response.await?.into_body(),
            Hearing::Answered(stream) => stream,
        };
        Ok((Ear(stream, self.unread), Mouth(self.sending)))
    }
}

impl Ear {
    /// The next message, until the stream ends or breaks.
    pub async fn hear(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(message) = take_message(&mut self.1) {
                return Some(message);
            }
            let data = self.0.data().await?.ok()?;
            self.0.flow_control().release_capacity(data.len()).ok()?;
            self.1.extend_from_slice(&data);
        }
    }
}

impl Mouth {
    /// Says a message as soon as the other side has room for it.
    ///
    /// # Errors
    /// The call has ended.
    pub async fn say(&mut self, message: &[u8]) -> Result<(), h2::Error> {
        let mut rest = framed(message);
        while !rest.is_empty() {
            self.0.reserve_capacity(rest.len());
            let room = poll_fn(|cx| self.0.poll_capacity(cx)).await.unwrap_or(Ok(0))?;
            let part = rest.split_to(room.min(rest.len()));
            self.0.send_data(part, false)?;
        }
        Ok(())
    }
}

/// The five bytes before each message of gRPC: not compressed, and so long.
fn framed(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).expect("a message has less than 4 GiB");
    [&[0][..], &length.to_be_bytes(), message].concat().into()
}

fn take_message(unread: &mut Vec<u8>) -> Option<Vec<u8>> {
    let length = u32::from_be_bytes(unread.get(1..5)?.try_into().expect("four bytes")) as usize;
    if unread.len() < 5 + length {
        return None;
    }
    let rest = unread.split_off(5 + length);
    let message = unread.split_off(5);
    *unread = rest;
    Some(message)
}

fn end_of(headers: &HeaderMap) -> Option<Heard> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let status = headers.get("grpc-status")?.to_str().ok()?.to_owned();
    Some(Heard::End(status, percent_decoded(text("grpc-message"))))
}

/// gRPC writes what is not printable as `%XX`.
fn percent_decoded(text: &str) -> String {
    let mut parts = text.split('%');
    let mut decoded = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let byte = part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.extend(byte);
        decoded.extend_from_slice(part.get(2..).unwrap_or_default().as_bytes());
    }
    String::from_utf8_lossy(&decoded).into_owned()
}
