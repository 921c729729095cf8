//! A pair at a site: two nodes in a laboratory, both well, everything captured.

use standfast_tests::capture::Capture;
use standfast_tests::crowd::SUBNET;
use standfast_tests::daemon::{Daemon, Lease, Site, issue_certificates, same_table};
use standfast_tests::device::Server;
use standfast_tests::judge::one_client_per_address;
use standfast_tests::lab::{Lab, node_lan_address};
use standfast_tests::wait::{LONG, until, until_true};
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// The primary and the standby.
pub(crate) const A: usize = 0;
pub(crate) const B: usize = 1;

const NAMES: [&str; 2] = ["dhcp-a", "dhcp-b"];
/// The relationship that a file of two nodes has without saying so.
const RELATIONSHIP: &str = "pair";
/// The code of the event of a promotion.
const PROMOTED: &str = "SF1002";

pub(crate) struct Pair {
    // Dropped in this order: the nodes before the namespaces that they are in.
    pub(crate) daemons: [Option<Daemon>; 2],
    pub(crate) capture: Capture,
    pub(crate) lab: Lab,
    pub(crate) folder: TempDir,
}

/// What a pair is started with.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    /// Hosts on the LAN.
    pub(crate) clients: usize,
    /// Of both scopes.
    pub(crate) lease_time: &'static str,
    /// Lines of the `[failover]` section. All timers keep their defaults, and failback is by command, so that a test
    /// decides who is active.
    pub(crate) failover: &'static str,
}

impl Plan {
    pub(crate) const fn new(clients: usize, lease_time: &'static str) -> Self {
        Self { clients, lease_time, failover: "" }
    }
}

impl Pair {
    /// Starts both nodes of a new cluster, with all timers at their defaults.
    pub(crate) fn start(clients: usize, lease_time: &'static str) -> Self {
        Self::start_with(Plan::new(clients, lease_time))
    }

    /// Starts both nodes of a new cluster, and waits until they are in step.
    pub(crate) fn start_with(plan: Plan) -> Self {
        let mut pair = Self::prepare(plan);
        pair.boot(A, true);
        pair.boot(B, true);
        pair.wait_until_in_step(A);
        pair
    }

    /// Everything but the nodes.
    pub(crate) fn prepare(plan: Plan) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("cluster.toml"), cluster_file(plan)).unwrap();
        issue_certificates(folder.path(), "lab", &NAMES);
        let lab = Lab::new(plan.clients);
        let capture = Capture::start(&lab);
        Self { daemons: [None, None], capture, lab, folder }
    }

    /// Starts one node.
    pub(crate) fn boot(&mut self, node: usize, new_cluster: bool) {
        self.daemons[node] = Some(Daemon::start(self.site(node), &self.lab.nodes[node].namespace, new_cluster));
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self, node: usize) {
        self.daemons[node].take().expect("a node that runs").kill();
    }

    pub(crate) fn daemon(&self, node: usize) -> &Daemon {
        self.daemons[node].as_ref().expect("a node that runs")
    }

    /// Where a node keeps what it has, also when it does not run.
    pub(crate) fn site(&self, node: usize) -> Site {
        Site { name: NAMES[node].to_owned(), folder: self.path().to_path_buf() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Waits until both are in Normal, and this one is the active node.
    pub(crate) fn wait_until_in_step(&self, active: usize) {
        for node in [A, B] {
            self.daemon(node).wait_for("normal", node == active);
        }
    }

    /// Waits until both are in Normal and just one of them is active, and returns which.
    pub(crate) fn wait_for_normal(&self) -> usize {
        until("one active node in Normal", LONG, || {
            let states = [A, B].map(|node| self.daemon(node).relationship());
            match states {
                [Ok(a), Ok(b)] if a.state == "normal" && b.state == "normal" && a.active != b.active => {
                    Ok(if a.active { A } else { B })
                }
                states => Err(format!("{states:?}\n{}\n{}", self.daemon(A).tail(), self.daemon(B).tail())),
            }
        })
    }

    /// Waits until both nodes list the same leases, and returns them as the first one does.
    pub(crate) fn leases(&self) -> Vec<Lease> {
        until("both nodes to list the same leases", LONG, || {
            let (a, b) = (self.daemon(A).leases()?, self.daemon(B).leases()?);
            if same_table(&a, &b) { Ok(a) } else { Err(first_difference(&a, &b)) }
        })
    }

    /// Promotions of either node, in all their lives.
    pub(crate) fn promotions(&self) -> usize {
        [A, B].map(|node| self.site(node).count(PROMOTED)).iter().sum()
    }

    /// A planned switchover.
    pub(crate) fn switch_over_to(&self, node: usize) {
        self.operate(node, &["failover", "--relationship", RELATIONSHIP, "--to", NAMES[node]]);
        self.wait_until_in_step(node);
    }

    /// Ends the embargo of a node.
    pub(crate) fn accept_risk(&self, node: usize) {
        self.operate(node, &["failover", "--relationship", RELATIONSHIP, "--accept-risk"]);
    }

    /// A command that must succeed, through the admin socket of a node.
    fn operate(&self, node: usize, arguments: &[&str]) {
        let output = Command::new(standfast_tests::daemon::binary())
            .args(arguments)
            .arg("--data-dir")
            .arg(self.site(node).data_dir())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{arguments:?}: {text}");
    }

    /// The two nodes as clients speak to them.
    pub(crate) fn server(&self, node: usize) -> Server {
        Server { mac: self.lab.nodes[node].mac, address: address(node) }
    }

    /// Fails if any address had two clients since the start.
    pub(crate) fn judge(&self) {
        let violations = one_client_per_address(&self.capture.all());
        assert!(violations.is_empty(), "{violations:#?}");
    }

    /// Waits until the node has handled everything that reached it until now: its serving loop answers in turn.
    pub(crate) fn settle(&self, node: usize) {
        until_true("the status of a node", LONG, || self.daemon(node).relationship().is_ok());
    }
}

/// The server identifier of a node.
pub(crate) fn address(node: usize) -> Ipv4Addr {
    node_lan_address(u8::try_from(node).unwrap())
}

fn first_difference(a: &[Lease], b: &[Lease]) -> String {
    let differ = |one: &[Lease], other: &[Lease]| {
        one.iter().filter(|it| !other.contains(it)).take(3).map(|it| format!("{it:?}")).collect::<Vec<_>>().join("\n")
    };
    let [one, other] = NAMES;
    format!("{one} lists {}, among them\n{}\n{other} {}\n{}", a.len(), differ(a, b), b.len(), differ(b, a))
}

/// A LAN of its own, and behind a relay a site as large as any.
fn cluster_file(plan: Plan) -> String {
    let Plan { lease_time, failover, .. } = plan;
    format!(
        r#"cluster = "lab"

[failover]
failback = "manual"
{failover}

[[node]]
name       = "dhcp-a"
rpc        = "10.0.0.11:6767"
interfaces = ["eth1"]

[[node]]
name       = "dhcp-b"
rpc        = "10.0.0.12:6767"
interfaces = ["eth1"]

[[scope]]
name       = "lan"
subnet     = "10.20.0.0/24"
pools      = ["10.20.0.50-10.20.0.249"]
lease_time = "{lease_time}"
options    = {{ routers = ["10.20.0.1"], domain-name-servers = ["10.20.0.53"], domain-name = "lab.example.net" }}

[[scope]]
name       = "site"
subnet     = "{SUBNET}"
pools      = ["10.64.1.0-10.66.255.255"]
lease_time = "{lease_time}"
options    = {{ routers = ["10.64.0.1"] }}
"#
    )
}
