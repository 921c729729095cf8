//! Two real nodes: child processes of this program, with certificates, stores and a cluster file of their own in a
//! temporary folder, all of which are gone when the pair is dropped.

use crate::admin::{self, Server};
use crate::exit::{Exit, Failure};
use standfast_node::clock;
use standfast_rpc::tls::{Authority, Role};
use std::fmt::Display;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, UdpSocket};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

pub(super) const NAMES: [&str; 2] = ["dhcp-a", "dhcp-b"];
/// Loopback has more than one address: each node, and the relay, has one as on a real network.
const ADDRESSES: [Ipv4Addr; 2] = [Ipv4Addr::new(127, 0, 0, 1), Ipv4Addr::new(127, 0, 0, 2)];
pub(super) const RELAY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
const CLUSTER: &str = "demo";
/// Lines of a node's log that are worth showing if it failed.
const LOG_LINES: usize = 15;

pub(super) struct Pair {
    folder: TempDir,
    /// Where each node hears clients.
    pub(super) listens: [SocketAddrV4; 2],
    children: [Option<Child>; 2],
}

impl Pair {
    /// Makes everything that the nodes need, and starts none.
    pub(super) fn prepare() -> Result<Self, Failure> {
        let folder = TempDir::with_prefix("standfast-demo-").map_err(failed("no temporary folder"))?;
        let tls = folder.path().join("tls");
        let authority = Authority::create(&tls, CLUSTER, clock::wall()).map_err(failed("no authority"))?;
        for name in NAMES {
            authority.issue(name, Role::Peer, clock::wall()).map_err(failed("no certificate"))?;
            std::fs::create_dir(folder.path().join(name)).map_err(failed("no data folder"))?;
        }
        let [listens, rpc] = free_addresses().map_err(failed("no free ports on 127.0.0.1 and 127.0.0.2"))?;
        let pair = Self { folder, listens, children: [None, None] };
        std::fs::write(pair.config(), cluster_file(listens, rpc)).map_err(failed("no cluster file"))?;
        Ok(pair)
    }

    /// Starts a node; one whose store is not empty goes on from there.
    pub(super) fn start(&mut self, node: usize) -> Result<(), Failure> {
        let program = std::env::current_exe().map_err(failed("this program does not know where it is"))?;
        let log = File::options().create(true).append(true).open(self.log(node)).map_err(failed("no log"))?;
        let child = Command::new(program)
            .args(["serve", "--new-cluster", "--node", NAMES[node]])
            .arg("--config")
            .arg(self.config())
            .arg("--data-dir")
            .arg(self.folder.path().join(NAMES[node]))
            .arg("--tls-dir")
            .arg(self.folder.path().join("tls"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            // A Ctrl-C in the terminal is for the demo, which ends its nodes itself.
            .process_group(0)
            .spawn()
            .map_err(failed("a node cannot be started"))?;
        self.children[node] = Some(child);
        Ok(())
    }

    /// Ends a node as a power cut would, without a word (SIGKILL).
    pub(super) fn kill(&mut self, node: usize) {
        if let Some(mut child) = self.children[node].take() {
            // One that has ended already is as dead as it can be.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub(super) fn process(&self, node: usize) -> Option<u32> {
        self.children[node].as_ref().map(Child::id)
    }

    pub(super) fn server(&self, node: usize) -> Server {
        Server::at_socket(&self.folder.path().join(NAMES[node]).join(admin::SOCKET))
    }

    /// A node that ended although nobody killed it.
    pub(super) fn ended(&mut self) -> Option<usize> {
        let ended =
            |child: &mut Option<Child>| child.as_mut().is_some_and(|child| !matches!(child.try_wait(), Ok(None)));
        self.children.iter_mut().position(ended)
    }

    /// The end of what a node wrote.
    pub(super) fn last_words(&self, node: usize) -> String {
        let log = std::fs::read_to_string(self.log(node)).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        let last = &lines[lines.len().saturating_sub(LOG_LINES)..];
        format!("{} wrote last:\n{}", NAMES[node], last.join("\n"))
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("cluster.toml")
    }

    fn log(&self, node: usize) -> PathBuf {
        self.folder.path().join(format!("{}.log", NAMES[node]))
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        (0..NAMES.len()).for_each(|node| self.kill(node));
    }
}

/// An address for clients and one for peers, for each node. Whoever takes one in the moment between is bad luck.
fn free_addresses() -> std::io::Result<[[SocketAddrV4; 2]; 2]> {
    let udp = |address| UdpSocket::bind((address, 0))?.local_addr();
    let tcp = |address| TcpListener::bind((address, 0))?.local_addr();
    let both = |port: &dyn Fn(Ipv4Addr) -> std::io::Result<SocketAddr>| {
        let addresses = [port(ADDRESSES[0])?.port(), port(ADDRESSES[1])?.port()];
        Ok::<_, std::io::Error>([0, 1].map(|node| SocketAddrV4::new(ADDRESSES[node], addresses[node])))
    };
    Ok([both(&udp)?, both(&tcp)?])
}

/// The scope is one of the documentation networks (RFC 5737): no machine has its addresses.
fn cluster_file(listens: [SocketAddrV4; 2], rpc: [SocketAddrV4; 2]) -> String {
    let nodes = [0, 1].map(|node| {
        let (name, rpc, listens) = (NAMES[node], rpc[node], listens[node]);
        format!("[[node]]\nname = \"{name}\"\nrpc = \"{rpc}\"\ndhcp_listen = [\"{listens}\"]\n")
    });
    let [primary, standby] = NAMES;
    format!(
        r#"cluster = "{CLUSTER}"

[failover]
mclt = "1m"
failback_delay = "5s"

{}
[[relationship]]
name = "demo"
primary = "{primary}"
standby = "{standby}"

[[scope]]
name = "clients"
relationship = "demo"
subnet = "198.51.100.0/24"
pools = ["198.51.100.10-198.51.100.249"]
relays = ["{RELAY}"]
lease_time = "10m"
"#,
        nodes.join("\n")
    )
}

fn failed<E: Display>(what: &'static str) -> impl FnOnce(E) -> Failure {
    move |error| Failure::new(Exit::Failed, format!("{what}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use standfast_node::cluster_file::ClusterFile;

    #[test]
    fn the_cluster_file_of_the_demo_is_good() {
        let [listens, rpc] = free_addresses().unwrap();
        let cluster = ClusterFile::parse("cluster.toml", &cluster_file(listens, rpc)).unwrap();
        assert!(cluster.warnings.is_empty(), "{:?}", cluster.warnings);
    }

    #[test]
    fn nothing_is_left_of_a_pair_that_was_never_started() {
        let pair = Pair::prepare().unwrap();
        let folder = pair.folder.path().to_owned();
        assert!(folder.join("tls/dhcp-b.key").exists());
        drop(pair);
        assert!(!folder.exists());
    }
}
