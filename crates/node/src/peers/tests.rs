//! Two nodes in one process, over loopback, with certificates made for the test.

use super::*;
use crate::port;
use standfast_core::message::{Heartbeat, PairMessage};
use standfast_core::time::{Instant, Wall};
use standfast_rpc::tls::{Authority, Role, TlsFiles};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tonic::service::Routes;

/// Far longer than anything here takes; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

struct Node {
    peers: Peers,
    events: mpsc::Receiver<PeerEvent>,
    refused: Refused,
    server: JoinHandle<()>,
}

impl Node {
    fn start(dir: &Path, settings: PeerSettings, listener: TcpListener) -> Self {
        let tls = Arc::new(ReloadableTls::load(dir, settings.node.as_str()).unwrap());
        let (queue, events) = EventQueue::new(64, || {});
        let refused = Refused::new(Clock::start());
        let peers =
            Peers::start(settings, Arc::clone(&tls), Clock::start(), queue, refused.clone(), &Handle::current());
        let routes = Routes::new(peers.gate().into_service());
        let serving =
            port::serve(listener, tls, [[127, 0, 0, 1].into()], refused.clone(), routes, std::future::pending());
        let server = tokio::spawn(async move { serving.await.unwrap() });
        Self { peers, events, refused, server }
    }

    async fn next(&mut self) -> PeerEvent {
        tokio::time::timeout(PATIENCE, self.events.recv()).await.unwrap().unwrap()
    }

    async fn up(&mut self) -> Session {
        let event = self.next().await;
        let PeerEvent::Up { session, .. } = event else { panic!("{event:?}") };
        session
    }

    /// Ends as a process that is killed does: streams and listener close, nothing is said.
    async fn kill(self) {
        drop(self.peers);
        self.server.abort();
        let _ = self.server.await;
    }
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn certificates() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::create(dir.path(), "hq", crate::clock::wall()).unwrap();
    for node in ["dhcp-a", "dhcp-b"] {
        authority.issue(node, Role::Peer, crate::clock::wall()).unwrap();
    }
    dir
}

fn settings(node: &str, peer: &str, address: SocketAddr) -> PeerSettings {
    PeerSettings {
        cluster: "hq".to_owned(),
        node: node.into(),
        incarnation: Incarnation(5),
        revision: Revision { number: 1, node: "dhcp-a".into() },
        peers: [(peer.into(), address)].into(),
    }
}

fn heartbeat(number: u64) -> PeerMessage {
    let persisted = standfast_core::id::Sequence(3);
    PeerMessage::Heartbeat(Heartbeat {
        number,
        echo: None,
        wall: Wall(1),
        clock: Instant(0),
        persisted,
        pulses: Vec::new(),
    })
}

fn pass_done() -> PeerMessage {
    PeerMessage::Pair("office".into(), PairMessage::PassDone)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pair_connects_talks_and_notices_a_death() {
    let dir = certificates();
    let ((listener_a, at_a), (listener_b, at_b)) = (listener().await, listener().await);
    let mut a = Node::start(dir.path(), settings("dhcp-a", "dhcp-b", at_b), listener_a);
    let mut b = Node::start(dir.path(), settings("dhcp-b", "dhcp-a", at_a), listener_b);
    let (name_a, name_b) = (NodeName::from("dhcp-a"), NodeName::from("dhcp-b"));
    let session = a.up().await;
    assert_eq!(b.up().await, session);

    for message in [heartbeat(1), pass_done()] {
        a.peers.send(&name_b, session, message.clone());
        assert_eq!(b.next().await, PeerEvent::Message { peer: name_a.clone(), session, message: message.clone() });
        b.peers.send(&name_a, session, message.clone());
        assert_eq!(a.next().await, PeerEvent::Message { peer: name_b.clone(), session, message });
    }
    // A message of another session is for nobody.
    b.peers.send(&name_a, Session(session.0.wrapping_add(1)), heartbeat(2));

    a.peers.disconnect(&name_b);
    assert_eq!(a.next().await, PeerEvent::Down { peer: name_b.clone(), session });
    assert_eq!(b.next().await, PeerEvent::Down { peer: name_a.clone(), session });
    let again = a.up().await;
    assert_ne!(again, session);
    assert_eq!(b.up().await, again);

    b.kill().await;
    assert_eq!(a.next().await, PeerEvent::Down { peer: name_b.clone(), session: again });
    assert_eq!(a.next().await, PeerEvent::Gone { peer: name_b.clone() });

    // It returns, and this time the one that is dialed sees the other die.
    let listener_b = TcpListener::bind(at_b).await.unwrap();
    let mut b = Node::start(dir.path(), settings("dhcp-b", "dhcp-a", at_a), listener_b);
    let third = a.up().await;
    assert_eq!(b.up().await, third);
    a.kill().await;
    assert_eq!(b.next().await, PeerEvent::Down { peer: name_a.clone(), session: third });
    assert_eq!(b.next().await, PeerEvent::Gone { peer: name_a });
}

/// What `dhcp-a` has to dial `dhcp-b` with.
fn dialler(dir: &Path, at_b: SocketAddr) -> (Shared, mpsc::Receiver<PeerEvent>) {
    let (events, received) = EventQueue::new(64, || {});
    let shared = Shared {
        settings: RwLock::new(Arc::new(settings("dhcp-a", "dhcp-b", at_b))),
        tls: Arc::new(ReloadableTls::load(dir, "dhcp-a").unwrap()),
        events,
        live: Mutex::default(),
        gone: Mutex::default(),
        clock: Clock::start(),
        notices: Notices::new(Clock::start()),
        refused: Refused::new(Clock::start()),
    };
    (shared, received)
}

/// What is at the address of a peer, and is not the peer.
enum Stranger {
    /// Somebody with the certificate of this name in that folder.
    Certificate(PathBuf, &'static str),
    /// A server of something else.
    Greets,
    /// Nobody says anything.
    Mute,
}

impl Stranger {
    async fn receive(&self, mut stream: TcpStream) {
        match self {
            Self::Certificate(dir, name) => {
                let files = TlsFiles::load(dir, name).unwrap();
                // It fails, for the other side does not go on.
                let _ = TlsAcceptor::from(files.server_config()).accept(stream).await;
            }
            Self::Greets => {
                stream.write_all(b"220 mail.example.net ESMTP\r\n").await.unwrap();
                let _ = stream.read_to_end(&mut Vec::new()).await;
            }
            Self::Mute => {
                let _ = stream.read_to_end(&mut Vec::new()).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_answers_must_be_the_node_that_was_dialled() {
    let (dir, elsewhere, expired) = (certificates(), certificates(), tempfile::tempdir().unwrap());
    for file in ["ca.pem", "ca.key"] {
        std::fs::copy(dir.path().join(file), expired.path().join(file)).unwrap();
    }
    Authority::open(expired.path()).unwrap().issue("dhcp-b", Role::Peer, Wall(0)).unwrap();
    let with = |dir: &tempfile::TempDir, name| Stranger::Certificate(dir.path().to_owned(), name);
    let rows = [
        (with(&elsewhere, "dhcp-b"), "issued by another authority: it belongs to another cluster"),
        (with(&expired, "dhcp-b"), "certificate expired: issue a new one there with `standfast tls issue`"),
        (with(&dir, "dhcp-a"), "another node answered than the one that was called: the cluster file gives a node"),
        (Stranger::Greets, "the other side does not speak TLS"),
        (Stranger::Mute, "no answer within 3 s"),
    ];
    for (stranger, said) in rows {
        let (listener, at_b) = listener().await;
        let answering = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stranger.receive(stream).await;
            }
        });
        let (shared, mut events) = dialler(dir.path(), at_b);
        let refusal = shared.dial(&"dhcp-b".into(), at_b).await.map(|_| ()).unwrap_err();
        assert!(refusal.to_string().contains(said), "{refusal}");
        assert!(events.try_recv().is_err());
        answering.abort();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_cluster_is_refused_with_both_names() {
    let dir = certificates();
    let (listener_b, at_b) = listener().await;
    let (_, at_a) = listener().await;
    let of_branch = PeerSettings { cluster: "branch".to_owned(), ..settings("dhcp-b", "dhcp-a", at_a) };
    let mut b = Node::start(dir.path(), of_branch, listener_b);
    let (shared, mut events_of_a) = dialler(dir.path(), at_b);
    let refusal = shared.dial(&"dhcp-b".into(), at_b).await.map(|_| ()).unwrap_err();
    assert!(refusal.to_string().starts_with("you are of cluster `hq`, we of `branch`: "), "{refusal}");
    let (case, _) = b.refused.of_late().remove(0);
    assert!(case.who.to_string().starts_with("dhcp-a at 127.0.0.1:"), "{}", case.who);
    assert_eq!(case.what, "you are of cluster `hq`, we of `branch`");
    assert_eq!(case.todo.as_deref(), Some("one of us has the cluster file of another cluster"));
    assert!(b.events.try_recv().is_err());
    assert!(events_of_a.try_recv().is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_takes_nothing_loses_its_session_and_holds_nobody_up() {
    let dir = certificates();
    let ((listener_a, at_a), (listener_b, at_b)) = (listener().await, listener().await);
    let mut a = Node::start(dir.path(), settings("dhcp-a", "dhcp-b", at_b), listener_a);
    let mut b = Node::start(dir.path(), settings("dhcp-b", "dhcp-a", at_a), listener_b);
    let name_b = NodeName::from("dhcp-b");
    let session = a.up().await;
    assert_eq!(b.up().await, session);
    // Nobody takes events of b. What a session may hold is bounded, so this ends.
    while a.peers.shared.live().contains_key(&name_b) {
        a.peers.send(&name_b, session, pass_done());
        tokio::task::yield_now().await;
    }
    assert_eq!(a.next().await, PeerEvent::Down { peer: name_b, session });
    // What is sent in the session that has ended is for nobody, and a new one begins.
    assert_ne!(a.up().await, session);
}
