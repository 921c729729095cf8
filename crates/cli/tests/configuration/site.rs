//! Real nodes on loopback, with certificates, stores and a cluster file in a temporary folder, and a relay.

use dhcproto::v4::{DhcpOption, Message, MessageType, Opcode, OptionCode, UnknownOption};
use dhcproto::{Decodable, Decoder, Encodable};
use serde_json::Value;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Generous: what takes longer does not happen at all.
const LONG: Duration = Duration::from_secs(60);

/// What a relay waits for an answer; a node that is silent costs a test so long.
const ANSWER: Duration = Duration::from_millis(1_500);

/// The relay of the scopes, on the same machine: loopback has more than one address.
const RELAY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);

pub(crate) struct Site {
    folder: TempDir,
    names: Vec<&'static str>,
    /// Where each node hears relays.
    listens: Vec<SocketAddr>,
    children: Vec<Option<Child>>,
    /// The cluster file that nodes are started with.
    pub(crate) text: String,
}

impl Site {
    /// Makes everything that the nodes need, and starts none; `file` is told their sections.
    pub(crate) fn new(names: &[&'static str], file: impl FnOnce(&str) -> String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Held until all are known, so that they differ.
        let rpc: Vec<_> = names.iter().map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let udp: Vec<_> = names.iter().map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
        let listens: Vec<_> = udp.iter().map(|socket| socket.local_addr().unwrap()).collect();
        let section = |at: usize| {
            let (name, rpc, udp) = (names[at], rpc[at].local_addr().unwrap(), listens[at]);
            format!("[[node]]\nname = '{name}'\nrpc = '{rpc}'\ndhcp_listen = ['{udp}']\n")
        };
        let text = file(&(0..names.len()).map(section).collect::<String>());
        let children = names.iter().map(|_| None).collect();
        let site = Self { folder, names: names.to_vec(), listens, children, text };
        site.write("cluster.toml", &site.text);
        site.tls(&["init", "--cluster", "lab"]);
        names.iter().for_each(|name| site.tls(&["issue", "--node", name]));
        site
    }

    fn tls(&self, arguments: &[&str]) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_standfast"));
        let output = command.arg("tls").args(arguments).arg("--tls-dir").arg(self.path("tls")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file; its path.
    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name).display().to_string()
    }

    pub(crate) fn start(&mut self, node: usize, new_cluster: bool) {
        let name = self.names[node];
        let log = File::options().create(true).append(true).open(self.path(&format!("{name}.log"))).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_standfast"));
        command.args(["serve", "--node", name]).args(new_cluster.then_some("--new-cluster"));
        command.arg("--config").arg(self.path("cluster.toml"));
        command.arg("--data-dir").arg(self.path(name)).arg("--tls-dir").arg(self.path("tls"));
        self.children[node] = Some(command.stdout(Stdio::null()).stderr(log).spawn().unwrap());
    }

    /// Starts every node and waits until they are in step.
    pub(crate) fn start_all(&mut self, new_cluster: bool) {
        (0..self.names.len()).for_each(|node| self.start(node, new_cluster));
        self.wait_for_normal();
    }

    pub(crate) fn wait_for_normal(&self) {
        for node in 0..self.names.len() {
            until("normal", || {
                let status = self.json(node, &["status"])?;
                let states = status["relationships"].as_array().cloned().unwrap_or_default();
                let normal = !states.is_empty() && states.iter().all(|it| it["state"] == "normal");
                if normal { Ok(()) } else { Err(format!("{status}\n{}", self.tail(node))) }
            });
        }
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self, node: usize) {
        if let Some(mut child) = self.children[node].take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// A command at the admin socket of a node: its exit code, and everything that it said.
    pub(crate) fn run(&self, node: usize, arguments: &[&str]) -> (i32, String) {
        let output = self.command(node, arguments).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(text).unwrap())
    }

    /// What a command says with `--json`.
    pub(crate) fn json(&self, node: usize, arguments: &[&str]) -> Result<Value, String> {
        let output = self.command(node, arguments).arg("--json").output().unwrap();
        serde_json::from_slice(&output.stdout).map_err(|_| {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            format!("{arguments:?}: {said}\n{}", self.tail(node))
        })
    }

    fn command(&self, node: usize, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_standfast"));
        command.args(arguments).arg("--data-dir").arg(self.path(self.names[node]));
        command
    }

    fn tail(&self, node: usize) -> String {
        let log = std::fs::read_to_string(self.path(&format!("{}.log", self.names[node]))).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    /// The address that a node gives to a new client behind the relay; `None` if it is silent.
    pub(crate) fn lease(&mut self, node: usize, client: u8) -> Option<Ipv4Addr> {
        let relay = UdpSocket::bind((RELAY, 0)).unwrap();
        relay.set_read_timeout(Some(ANSWER)).unwrap();
        let ask = |kind, options: Vec<DhcpOption>| -> Option<Message> {
            let zero = Ipv4Addr::UNSPECIFIED;
            let mut message =
                Message::new_with_id(u32::from(client), zero, zero, zero, RELAY, &[2, 0, 0, 0, 0, client]);
            message.set_opcode(Opcode::BootRequest).set_hops(1);
            message.opts_mut().insert(DhcpOption::MessageType(kind));
            // RFC 8357: the answer goes to the port that the relay sent from, which needs no privilege.
            let port = UnknownOption::new(OptionCode::RelayAgentInformation, vec![19, 0]);
            message.opts_mut().insert(DhcpOption::Unknown(port));
            options.into_iter().for_each(|option| {
                message.opts_mut().insert(option);
            });
            relay.send_to(&message.to_vec().unwrap(), self.listens[node]).unwrap();
            let mut buffer = [0; 1_500];
            let length = relay.recv(&mut buffer).ok()?;
            Some(Message::decode(&mut Decoder::new(&buffer[..length])).unwrap())
        };
        let offer = ask(MessageType::Discover, Vec::new())?;
        let server = offer.opts().get(OptionCode::ServerIdentifier).cloned().unwrap();
        let ack = ask(MessageType::Request, vec![DhcpOption::RequestedIpAddress(offer.yiaddr()), server])?;
        (ack.opts().msg_type() == Some(MessageType::Ack)).then(|| ack.yiaddr())
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        (0..self.names.len()).for_each(|node| self.kill(node));
    }
}

/// Waits until `attempt` comes to something.
pub(crate) fn until<T>(what: &str, mut attempt: impl FnMut() -> Result<T, String>) -> T {
    let end = Instant::now() + LONG;
    loop {
        match attempt() {
            Ok(value) => return value,
            Err(reason) if Instant::now() > end => panic!("waited {LONG:?} in vain for {what}: {reason}"),
            Err(_) => sleep(Duration::from_millis(30)),
        }
    }
}
