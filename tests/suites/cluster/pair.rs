//! A pair at a site: two nodes in a laboratory, both well, everything captured.

use standfast_tests::capture::Capture;
use standfast_tests::daemon::{Daemon, Lease, Site, issue_certificates};
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

pub(crate) struct Pair {
    // Dropped in this order: the nodes before the namespaces that they are in.
    pub(crate) daemons: [Option<Daemon>; 2],
    pub(crate) capture: Capture,
    pub(crate) lab: Lab,
    pub(crate) folder: TempDir,
}

impl Pair {
    /// Starts both nodes of a new cluster, with all timers at their defaults, and waits until they are in step. Failback
    /// is by command, so that a test decides who is active.
    pub(crate) fn start(clients: usize, lease_time: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("cluster.toml"), cluster_file(lease_time)).unwrap();
        issue_certificates(folder.path(), "lab", &NAMES);
        let lab = Lab::new(clients);
        let capture = Capture::start(&lab);
        let mut pair = Self { daemons: [None, None], capture, lab, folder };
        pair.boot(A, true);
        pair.boot(B, true);
        pair.wait_until_in_step(A);
        pair
    }

    /// Starts one node.
    pub(crate) fn boot(&mut self, node: usize, new_cluster: bool) {
        let site = Site { name: NAMES[node].to_owned(), folder: self.path().to_path_buf() };
        self.daemons[node] = Some(Daemon::start(site, &self.lab.nodes[node].namespace, new_cluster));
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self, node: usize) {
        self.daemons[node].take().expect("a node that runs").kill();
    }

    pub(crate) fn daemon(&self, node: usize) -> &Daemon {
        self.daemons[node].as_ref().expect("a node that runs")
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

    /// Waits until both nodes list the same leases, and returns them.
    pub(crate) fn leases(&self) -> Vec<Lease> {
        until("both nodes to list the same leases", LONG, || {
            let (a, b) = (self.daemon(A).leases()?, self.daemon(B).leases()?);
            if a == b { Ok(a) } else { Err(format!("{NAMES:?} list\n{a:?}\n{b:?}")) }
        })
    }

    /// A planned switchover.
    pub(crate) fn switch_over_to(&self, node: usize) {
        let output = Command::new(standfast_tests::daemon::binary())
            .args(["failover", "--relationship", RELATIONSHIP, "--to", NAMES[node], "--data-dir"])
            .arg(self.daemon(node).site.data_dir())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{text}");
        self.wait_until_in_step(node);
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

fn cluster_file(lease_time: &str) -> String {
    format!(
        r#"cluster = "lab"

[failover]
failback = "manual"

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
"#
    )
}
