//! A pair that serves clients while somebody misbehaves at the port of peers and operators of its active node.
//!
//! What must hold of every fault: the node refuses it and says so, in its log, with who it was and what to do; no client
//! waits for an answer; and the partner is not lost.

use crate::pair::{A, B, Pair, Plan};
use standfast_core::time::Wall;
use standfast_rpc::tls::{Authority, Role};
use standfast_tests::crowd::{Crowd, Load, Outcome};
use standfast_tests::lab::PEER;
use standfast_tests::puppet::{self, Pass, secure};
use standfast_tests::wait::{LONG, until, until_true};
use standfast_tests::{daemon::Daemon, say};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_rustls::client::TlsStream;

/// Where faults come from: beside the nodes, and nobody's.
pub(crate) const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 99));
/// The port under siege.
pub(crate) const TARGET: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 12)), 6767);
pub(crate) const TARGET_NAME: &str = "dhcp-b";

/// Exchanges that begin in a second.
const RATE: u32 = 100;
/// So many exchanges show what is usual.
const USUAL: u64 = 200;
/// Of one crowd.
const CLIENTS: u32 = 50;

pub(crate) struct Siege {
    pub(crate) pair: Pair,
    pub(crate) runtime: Runtime,
    /// The clients of now, and those of before.
    crowd: Option<Crowd>,
    served: Vec<Outcome>,
    usual: Outcome,
}

impl Siege {
    /// A pair whose active node is the one that is dialled, with clients.
    pub(crate) fn start() -> Self {
        let pair = Pair::start_with(Plan::new(1, "8h"));
        Crowd::prepare(&pair.lab, 0);
        pair.lab.nodes[A].namespace.ip(&["address", "add", &format!("{STRANGER}/24"), "dev", PEER]);
        pair.switch_over_to(B);
        let usual = Crowd::start(&pair.lab.clients[0], Load { exchanges: Some(USUAL), ..renewals(0) });
        until_true("a usual crowd to be served", LONG, || usual.is_done());
        let usual = usual.finish();
        let mut siege = Self { pair, runtime: puppet::runtime(), crowd: None, served: Vec::new(), usual };
        siege.let_clients_come();
        siege
    }

    pub(crate) fn let_clients_come(&mut self) {
        let first = CLIENTS * u32::try_from(self.served.len() + 1).unwrap();
        self.crowd = Some(Crowd::start(&self.pair.lab.clients[0], renewals(first)));
        self.wait_for_progress();
    }

    pub(crate) fn let_clients_go(&mut self) {
        self.wait_for_progress();
        self.served.extend(self.crowd.take().map(Crowd::finish));
    }

    pub(crate) fn target(&self) -> &Daemon {
        self.pair.daemon(B)
    }

    /// A TCP connection of the stranger.
    pub(crate) async fn reach(&self) -> TcpStream {
        puppet::reach(&self.pair.lab.nodes[A].namespace.door(), STRANGER, TARGET).await.unwrap()
    }

    /// TLS of the stranger, who shows this.
    pub(crate) async fn secure(&self, dir: &Path, name: &str) -> io::Result<TlsStream<TcpStream>> {
        secure(self.reach().await, Pass { dir, name }, &self.tls_dir(), TARGET_NAME).await
    }

    /// Where the certificates of the cluster are.
    pub(crate) fn tls_dir(&self) -> PathBuf {
        self.pair.path().join("tls")
    }

    /// Issues a certificate of the cluster.
    pub(crate) fn issue(&self, name: &str, role: Role) {
        Authority::open(&self.tls_dir()).unwrap().issue(name, role, wall(Duration::ZERO)).unwrap();
    }

    /// Waits until the log of the node says all of this in one line.
    pub(crate) fn wait_for_line(&self, parts: &[&str]) {
        until(&format!("the log to say {parts:?}"), LONG, || {
            let said = !self.target().site.lines_with(parts).is_empty();
            said.then_some(()).ok_or_else(|| self.target().tail())
        });
    }

    /// Clients go on being served.
    pub(crate) fn wait_for_progress(&self) {
        let crowd = self.crowd.as_ref().expect("clients come");
        let before = crowd.completed();
        until_true("the crowd to be served", LONG, || crowd.completed() > before + u64::from(2 * CLIENTS));
    }

    /// The partner stops. While it goes, and comes back, no clients come: what they wait for then is not of the fault.
    pub(crate) fn dismiss_partner(&mut self) {
        self.let_clients_go();
        self.pair.daemons[A].take().unwrap().leave();
        self.target().wait_for("partner-down", true);
        self.let_clients_come();
    }

    /// The partner comes back, and all is well.
    pub(crate) fn restore_partner(&mut self) {
        self.let_clients_go();
        self.pair.boot(A, false);
        self.pair.daemon(A).wait_for("normal", false);
        self.let_clients_come();
    }

    /// What holds after every fault.
    pub(crate) fn end(mut self, fault: &str) {
        self.let_clients_go();
        let outcome = self.served.drain(..).reduce(together).unwrap();
        assert_eq!(self.pair.wait_for_normal(), B, "{fault}: the active node is the same");
        let of =
            |it: &Outcome| format!("{:.1?}/{:.1?}/{:.1?}", it.percentile(0.5), it.percentile(0.99), it.percentile(1.0));
        say(&format!(
            "{fault}: {} exchanges, {} messages repeated, {} lost; took {} (median/99 %/longest), before it {}",
            outcome.completed,
            outcome.repeated,
            outcome.lost.len(),
            of(&outcome),
            of(&self.usual),
        ));
        assert!(outcome.lost.is_empty(), "{fault}: {:#?}", outcome.lost);
        assert!(outcome.denied.is_empty(), "{fault}: {:?}", outcome.denied);
        assert_eq!(outcome.repeated_renewals, 0, "{fault}: every renewal was answered");
        let lost = self.pair.site(B).lines_with(&["normal -> communications-interrupted"]);
        assert!(lost.is_empty(), "{fault}: contact with the partner is not lost: {lost:#?}");
        self.pair.judge();
    }
}

/// What came of two crowds, one after the other.
fn together(mut one: Outcome, other: Outcome) -> Outcome {
    one.completed += other.completed;
    one.repeated += other.repeated;
    one.repeated_renewals += other.repeated_renewals;
    one.refused += other.refused;
    one.lost.extend(other.lost);
    one.denied.extend(other.denied);
    one.took.extend(other.took);
    one
}

/// Some clients who renew in turn, and wait long for each answer: what they say again was not answered, and not only
/// late.
fn renewals(first: u32) -> Load {
    Load { first, repeat_after: Duration::from_secs(8), tries: 3, ..Load::renewals(RATE, CLIENTS) }
}

/// The wall clock, so long ago.
pub(crate) fn wall(ago: Duration) -> Wall {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Wall(i64::try_from((now - ago).as_millis()).unwrap())
}
