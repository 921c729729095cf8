//! A node from its start to its end: the cluster file, the store, the sockets and the certificates around one core.

use crate::admin::{self, House, SocketError};
use crate::clock::Clock;
use crate::cluster_file::{Cluster, ClusterFile, Mistake, NodeSettings};
use crate::driver::{Desk, Driver, Ended, Serving, Work, describe};
use crate::events::{self, EventLog};
use crate::handle::NodeHandle;
use crate::load;
use crate::metrics::{self, Commits, HttpError, Readings, Sources};
use crate::peers::{EventQueue, PeerSettings, Peers, peers_in};
use crate::port;
use crate::refused::Refused;
use crate::store::{Condition, Opened, Report, Store, StoreError, StoreThread};
use crate::udp::{Inbox, Link, Pinger, Poller, UdpError};
use standfast_core::configuration::Configuration;
use standfast_core::event::{Code, Event};
use standfast_core::id::{Incarnation, NodeName};
use standfast_core::input::{Command, Identity, Input};
use standfast_core::node::Node;
use standfast_core::stored::ConfigurationRecord;
use standfast_core::time::Wall;
use standfast_rpc::tls::{ReloadableTls, TlsError};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use std::{fs, io};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tonic::service::Routes;

/// Messages of peers that wait for the serving loop.
const PEER_QUEUE: usize = 4_096;

/// How often renewed certificates are looked for.
const RENEW_EVERY: Duration = Duration::from_secs(60);

/// Threads for peers and operators. With a second one each message wakes both, and one is enough for either.
const WORKERS: usize = 1;

/// What `standfast serve` is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// The cluster file.
    pub config: PathBuf,
    /// Which node of it this is.
    pub node: String,
    /// Where the store and the admin socket are.
    pub data_dir: PathBuf,
    /// Where the certificates are.
    pub tls_dir: PathBuf,
    /// An empty store is right: the cluster is new.
    pub new_cluster: bool,
}

/// Why a node could not start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The cluster file cannot be read.
    #[error("cannot read the cluster file {}: {source}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The cluster file is wrong.
    #[error("the cluster file is wrong")]
    Mistakes(Vec<Mistake>),
    /// The cluster file has no such node.
    #[error("the cluster file has no node {name}; it has {known}: name one of them with --node")]
    NoSuchNode {
        /// Which was asked for.
        name: String,
        /// Which there are.
        known: String,
    },
    /// Certificates.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The revision in the store.
    #[error(transparent)]
    Revision(#[from] load::RevisionError),
    /// A client link.
    #[error(transparent)]
    Udp(#[from] UdpError),
    /// The port of peers and operators.
    #[error(
        "cannot listen on {address} for peers and operators: {source}; `rpc` of this node in the cluster file must be a free address of this machine"
    )]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The admin socket.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The pages for a monitoring system.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The operating system.
    #[error("cannot {action}: {source}")]
    Os {
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// The process stood still for longer than the lead time.
    #[error("the process stood still for longer than the maximum client lead time; start it again")]
    StoodStill,
}

/// Serves until the process is told to stop (SIGTERM, SIGINT) or cannot go on.
///
/// # Errors
/// What was wrong, where, and what to do.
pub fn serve(options: &Options) -> Result<(), DaemonError> {
    let file = read_cluster(options);
    let store = options.data_dir.join("store");
    if file.is_err() && !store.exists() {
        return file.map(drop);
    }
    // A node without space is silent and its partner serves; it must come back by itself.
    let opened = Store::open_when_there_is_space(&store, |error| {
        tracing::error!(%error, "waiting for space; nobody is served from here meanwhile");
    })?;
    let configurations = Configurations::of(file, load::revision(&opened, &options.node)?)?;
    let cluster = &configurations.in_use;
    let settings = settings_of(cluster, &options.node)?.clone();
    let tls = Arc::new(ReloadableTls::load(&options.tls_dir, &options.node)?);
    tls.current().check_cluster(&cluster.configuration.cluster)?;
    tls.current().check_time(crate::clock::wall())?;
    let links = open_links(&settings)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .map_err(|source| DaemonError::Os { action: "start the threads for peers", source })?;
    let listener = listen(&runtime, settings.rpc)?;
    start(options, configurations, settings, tls, opened, links, &runtime, listener)
}

/// What a node was started with, and the revision that its store holds, which goes before.
struct Configurations {
    file: Arc<Configuration>,
    in_use: Cluster,
    record: Option<ConfigurationRecord>,
}

impl Configurations {
    /// A cluster file that cannot be used is no reason not to serve where the store has a revision.
    fn of(file: Result<Cluster, DaemonError>, revision: Option<load::Revision>) -> Result<Self, DaemonError> {
        let Some(load::Revision { cluster, record }) = revision else {
            let in_use = file?;
            return Ok(Self { file: Arc::new(in_use.configuration.clone()), in_use, record: None });
        };
        let number = cluster.configuration.revision.clone();
        let text = match file {
            Ok(file) => file.configuration.text,
            Err(error) => {
                tracing::error!(%error, "the cluster file is not used: revision {number} stays in use");
                "".into()
            }
        };
        let file = Arc::new(Configuration { text, ..cluster.configuration.clone() });
        Ok(Self { file, in_use: cluster, record: Some(record) })
    }
}

/// Reads the cluster file; warnings are logged.
fn read_cluster(options: &Options) -> Result<Cluster, DaemonError> {
    let unreadable = |source| DaemonError::Unreadable { path: options.config.clone(), source };
    let text = fs::read_to_string(&options.config).map_err(unreadable)?;
    let name = options.config.display().to_string();
    let cluster = ClusterFile::parse(&name, &text).map_err(DaemonError::Mistakes)?;
    for warning in &cluster.warnings {
        tracing::warn!("{warning}");
    }
    Ok(cluster)
}

fn settings_of<'a>(cluster: &'a Cluster, name: &str) -> Result<&'a NodeSettings, DaemonError> {
    cluster.node(name).ok_or_else(|| {
        let known: Vec<&str> = cluster.nodes.iter().map(|node| node.name.as_str()).collect();
        DaemonError::NoSuchNode { name: name.to_owned(), known: known.join(", ") }
    })
}

fn open_links(settings: &NodeSettings) -> Result<Vec<Link>, UdpError> {
    let interfaces = settings.interfaces.iter().map(|name| Link::on_interface(name));
    let listeners = settings.dhcp_listen.iter().map(|&address| Link::listen(address));
    interfaces.chain(listeners).collect()
}

/// Without it, addresses are offered without being looked for by ICMP.
fn open_pinger(poller: &Poller) -> Option<Pinger> {
    let opened = Pinger::open(poller);
    opened.inspect_err(|error| tracing::info!(%error, "no probes by ICMP: they take CAP_NET_RAW")).ok()
}

fn listen(runtime: &Runtime, address: SocketAddr) -> Result<TcpListener, DaemonError> {
    runtime.block_on(TcpListener::bind(address)).map_err(|source| DaemonError::Listen { address, source })
}

#[expect(clippy::too_many_arguments, reason = "each is one part that was opened before anything is started")]
fn start(
    options: &Options,
    configurations: Configurations,
    settings: NodeSettings,
    tls: Arc<ReloadableTls>,
    opened: Opened,
    links: Vec<Link>,
    runtime: &Runtime,
    listener: TcpListener,
) -> Result<(), DaemonError> {
    let os = |action| move |source| DaemonError::Os { action, source };
    let clock = Clock::start();
    let now = clock.now();
    let incarnation = Incarnation(rand::random());
    let identity = Identity {
        node: settings.name.clone(),
        incarnation,
        new_cluster: options.new_cluster && opened.condition == Condition::Fresh,
    };
    let events = EventLog::default();
    runtime.spawn(events::keep(events.clone(), options.data_dir.clone()));
    report_condition(&opened.condition, &events);
    let (mut stored, offset) = load::stored(&opened, now);
    // They would be in memory twice for as long as the process lives.
    drop(opened.records);
    if let Some(record) = configurations.record {
        load::use_configuration(&mut stored, record);
    }
    let mut node = Node::new(identity, configurations.file, stored, now);
    node.handle(now, Input::Links(describe(&links)));

    let poller = Poller::new().map_err(os("wait for packets"))?;
    for (index, link) in (0..).zip(&links) {
        link.watch(&poller, index).map_err(os("watch a client link"))?;
    }
    let pinger = open_pinger(&poller);
    let desk = Desk::new(poller.waker());
    let (handle, calls) = NodeHandle::new(poller.waker());
    let (queue, peer_events) = EventQueue::new(PEER_QUEUE, {
        let desk = Arc::clone(&desk);
        move || desk.attend()
    });
    let refused = Refused::new(clock);
    let peers = Peers::start(
        peer_settings(&configurations.in_use, &settings.name, incarnation),
        Arc::clone(&tls),
        clock,
        queue,
        refused.clone(),
        runtime.handle(),
    );
    let (report, reports) = mpsc::channel();
    let store = StoreThread::start(opened.store, clock, report_to(Arc::clone(&desk), report))
        .map_err(os("start the thread of the store"))?;
    let socket = socket_path(&options.data_dir);
    let house = House {
        tls: Some(Arc::clone(&tls)),
        config: options.config.clone(),
        data_dir: options.data_dir.clone(),
        refused: refused.clone(),
    };
    let open_to_operators = serve_operators(runtime, &socket, &handle, &events, house)?;
    let commits = Commits::default();
    let sources = Sources {
        node: handle.clone(),
        clock,
        tls: Arc::clone(&tls),
        commits: commits.clone(),
        store_dir: options.data_dir.join("store"),
    };
    serve_metrics(runtime, settings.http, sources)?;
    let (stop, stopped) = oneshot::channel::<()>();
    let routes = open_to_operators.add_service(peers.gate().into_service());
    let nodes: Vec<_> = configurations.in_use.nodes.iter().map(|node| node.rpc.ip()).collect();
    let renewable = Arc::clone(&tls);
    let shutdown = async {
        let _ = stopped.await;
    };
    let served = port::serve(listener, tls, nodes, refused, routes, shutdown);
    runtime.spawn(say_if_it_fails("the port of peers and operators", served));
    leave_on_signal(runtime, handle.clone())?;
    renew_certificates(runtime, renewable, events.clone())?;
    let serving = Serving {
        node,
        clock,
        offset,
        pinger,
        links,
        store,
        reports,
        peers,
        peer_events,
        handle,
        calls,
        events,
        commits,
        work: Work::default(),
    };
    tracing::info!(node = %settings.name, rpc = %settings.rpc, "serving");
    // Fails where there is no service manager to tell.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    // On this thread: the runtime has its own.
    let ended = Driver { poller, desk, inbox: Inbox::default() }.run(serving);
    drop(stop);
    // The next start replaces one that is still there.
    let _ = fs::remove_file(&socket);
    match ended {
        Ended::Left => Ok(()),
        Ended::Restart => Err(DaemonError::StoodStill),
        Ended::StoreGone(error) => Err(error.into()),
    }
}

/// What the store has to say goes to the loop. While the next commit waits, the store's thread has no time to deal with it.
fn report_to(desk: Arc<Desk>, reports: mpsc::Sender<Report>) -> impl FnMut(Report) {
    move |report| {
        let has_time = matches!(report, Report::Persisted { idle: true, .. });
        // Fails only once the serving loop has ended.
        let _ = reports.send(report);
        if has_time { desk.attend() } else { desk.ring() }
    }
}

/// Says what became of a store that could not be used.
fn report_condition(condition: &Condition, events: &EventLog) {
    if let Condition::Replaced { moved_to } = condition {
        events.add(Event {
            code: Code::StoreLost,
            relationship: None,
            epoch: None,
            what: format!(
                "the store was damaged and has been moved to {}; an empty one took its place",
                moved_to.display()
            ),
            evidence: "it could not be read as it was written".into(),
            cause: String::new(),
        });
    }
}

/// Where the admin socket of a node is.
#[must_use]
pub fn socket_path(data_dir: &Path) -> PathBuf {
    data_dir.join("admin.sock")
}

/// Opens the admin socket. Returns what it offers, for the port to offer too.
fn serve_operators(
    runtime: &Runtime,
    socket: &Path,
    handle: &NodeHandle,
    events: &EventLog,
    house: House,
) -> Result<Routes, DaemonError> {
    let _inside = runtime.enter();
    let listener = admin::bind(socket)?;
    let routes = admin::routes(handle.clone(), events.clone(), house);
    let served = admin::serve(listener, routes.clone(), std::future::pending());
    runtime.spawn(say_if_it_fails("the admin socket", served));
    Ok(routes)
}

/// Opens the pages for a monitoring system, if the cluster file wants them.
fn serve_metrics(runtime: &Runtime, address: Option<SocketAddr>, sources: Sources) -> Result<(), HttpError> {
    let Some(address) = address else { return Ok(()) };
    let listener = runtime.block_on(metrics::open(address))?;
    runtime.spawn(metrics::serve(listener, Arc::new(Readings::new(sources))));
    Ok(())
}

async fn say_if_it_fails(what: &'static str, served: impl Future<Output = Result<(), tonic::transport::Error>>) {
    if let Err(error) = served.await {
        tracing::error!(%error, "{what} has failed");
    }
}

/// Who this node is to its peers, and where those are.
fn peer_settings(cluster: &Cluster, me: &NodeName, incarnation: Incarnation) -> PeerSettings {
    PeerSettings {
        cluster: cluster.configuration.cluster.clone(),
        node: me.clone(),
        incarnation,
        revision: cluster.configuration.revision.clone(),
        peers: peers_in(cluster, me),
    }
}

/// Takes renewed certificates into use: on SIGHUP, and now and then. Those that cannot be used change nothing.
fn renew_certificates(runtime: &Runtime, tls: Arc<ReloadableTls>, events: EventLog) -> Result<(), DaemonError> {
    let _inside = runtime.enter();
    let catch = |source| DaemonError::Os { action: "catch signals", source };
    let mut hangup = signal(SignalKind::hangup()).map_err(catch)?;
    runtime.spawn(async move {
        let mut said = None;
        let mut warned = None;
        loop {
            if let Some(ends) = ends_soon(tls.current().identity().not_after, warned) {
                warned = Some(crate::clock::wall());
                events.add(ends);
            }
            // Either of the two is a reason to look.
            let _ = tokio::time::timeout(RENEW_EVERY, hangup.recv()).await;
            let problem = tls.reload().err().map(|error| error.to_string());
            if let Some(problem) = problem.as_ref().filter(|problem| said.as_ref() != Some(*problem)) {
                tracing::warn!("the certificates in use stay, because those on disk cannot be used: {problem}");
            }
            said = problem;
        }
    });
    Ok(())
}

/// That this node's certificate ends soon, once a day.
fn ends_soon(ends: Wall, warned: Option<Wall>) -> Option<Event> {
    const DAY_MS: i64 = 86_400_000;
    let now = crate::clock::wall();
    let left = ends.0 - now.0;
    let due = left < 30 * DAY_MS && warned.is_none_or(|warned| now.0 - warned.0 >= DAY_MS);
    due.then(|| Event {
        code: Code::CertificateEnds,
        relationship: None,
        epoch: None,
        what: format!("this node's certificate ends in {} days", left / DAY_MS),
        evidence: "the end that stands in it".to_owned(),
        cause: String::new(),
    })
}

/// A clean stop: the partner is told before the process ends.
fn leave_on_signal(runtime: &Runtime, handle: NodeHandle) -> Result<(), DaemonError> {
    let _inside = runtime.enter();
    let catch = |kind| signal(kind).map_err(|source| DaemonError::Os { action: "catch signals", source });
    let (mut terminate, mut interrupt) = (catch(SignalKind::terminate())?, catch(SignalKind::interrupt())?);
    runtime.spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        // Fails only while the node stops already.
        let _ = handle.command(Command::Leave).await;
    });
    Ok(())
}
