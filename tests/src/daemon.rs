//! The real binary: built once, started in a namespace, watched through its own JSON.

use crate::lab::Namespace;
use crate::wait::{LONG, until};
use jiff::{SignedDuration, Timestamp};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output};
use std::sync::OnceLock;

/// The path of `standfast`: what `STANDFAST_BINARY` names, or else built in the profile of this test.
///
/// Asking for the whole workspace and some test beside it keeps cargo from choosing other features than `cargo test` did,
/// and so from building dependencies a second time.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(path) = std::env::var_os("STANDFAST_BINARY") {
            return path.into();
        }
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--workspace", "--bin", "standfast", "--test", "tidy", "--locked"]);
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        // What cargo says of this package to its test is another thing to a build: a dependency whose build asks for it
        // would be built again, with all that stand on it, and once more by the next `cargo test`.
        for (name, _) in std::env::vars_os() {
            let told = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_"];
            if name.to_str().is_some_and(|name| told.iter().any(|told| name.starts_with(told))) {
                build.env_remove(&name);
            }
        }
        let output = build.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("cargo starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        // A test lies in PROFILE/deps, the binaries in PROFILE.
        let test = std::env::current_exe().expect("a test knows its own file");
        let path = test.ancestors().nth(2).expect("a test lies in a profile's folder").join("standfast");
        assert!(path.is_file(), "cargo left no {}", path.display());
        path
    })
}

/// Runs the binary outside of any laboratory, until it ends.
pub fn standfast(arguments: &[&str], folder: &Path) -> Output {
    Command::new(binary()).args(arguments).current_dir(folder).output().expect("the binary starts")
}

/// The authority and a certificate for each of these nodes, in `folder/tls`.
pub fn issue_certificates(folder: &Path, cluster: &str, nodes: &[&str]) {
    let run = |arguments: &[&str]| {
        let output = standfast(arguments, folder);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    run(&["tls", "init", "--cluster", cluster, "--tls-dir", "tls"]);
    for node in nodes {
        run(&["tls", "issue", "--node", node, "--tls-dir", "tls"]);
    }
}

/// Where a node of a test keeps what it needs.
#[derive(Clone)]
pub struct Site {
    pub name: String,
    /// Holds `cluster.toml`, `tls`, and a data folder and a log for each node.
    pub folder: PathBuf,
}

impl Site {
    pub fn data_dir(&self) -> PathBuf {
        self.folder.join(format!("{}-data", self.name))
    }

    pub fn log(&self) -> PathBuf {
        self.folder.join(format!("{}.log", self.name))
    }

    /// Lines of the log that have all of these.
    pub fn lines_with(&self, parts: &[&str]) -> Vec<String> {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        log.lines().filter(|line| parts.iter().all(|part| line.contains(part))).map(str::to_owned).collect()
    }

    /// How often events of this kind happened, in all the lives of the node, by its log.
    pub fn count(&self, code: &str) -> usize {
        let code = format!("code=\"{code}\"");
        fs::read_to_string(self.log()).unwrap_or_default().lines().filter(|line| line.contains(&code)).count()
    }

    /// `standfast serve`, ready to start. It writes into the node's log, after what is there.
    pub fn command(&self, namespace: &Namespace, new_cluster: bool) -> Command {
        self.command_of(binary(), namespace, new_cluster)
    }

    /// The same of another copy of the binary.
    fn command_of(&self, program: &Path, namespace: &Namespace, new_cluster: bool) -> Command {
        let log = File::options().create(true).append(true).open(self.log()).expect("open the log of a node");
        let mut command = namespace.command(program);
        command.args(["serve", "--node", &self.name]);
        command.arg("--config").arg(self.folder.join("cluster.toml"));
        command.arg("--data-dir").arg(self.data_dir());
        command.arg("--tls-dir").arg(self.folder.join("tls"));
        if new_cluster {
            command.arg("--new-cluster");
        }
        command.stdout(log.try_clone().expect("share the log")).stderr(log);
        command
    }
}

/// What a command that speaks JSON says through the admin socket of a node.
///
/// # Errors
/// What it said on standard error.
pub fn ask(site: &Site, arguments: &[&str]) -> Result<Value, String> {
    let output = Command::new(binary())
        .args(arguments)
        .args(["--json", "--data-dir"])
        .arg(site.data_dir())
        .output()
        .expect("the binary starts");
    serde_json::from_slice(&output.stdout).map_err(|_| {
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        format!("{arguments:?} of {}: {out}{err}", site.name)
    })
}

/// A running node. It is killed when the value goes.
pub struct Daemon {
    pub site: Site,
    child: Child,
}

impl Daemon {
    pub fn start(site: Site, namespace: &Namespace, new_cluster: bool) -> Self {
        let child = site.command(namespace, new_cluster).spawn().expect("start a node");
        Self { site, child }
    }

    /// Starts it again from another copy of the binary, as after an upgrade.
    pub fn start_copy(site: Site, namespace: &Namespace, program: &Path) -> Self {
        let child = site.command_of(program, namespace, false).spawn().expect("start a node");
        Self { site, child }
    }

    /// Starts a new cluster's node from a copy of the binary, through a program that confines it and becomes it.
    pub fn start_through(program: &str, arguments: &[&str], site: Site, namespace: &Namespace, binary: &Path) -> Self {
        let inner = site.command_of(binary, namespace, true);
        let log = File::options().append(true).open(site.log()).expect("open the log of a node");
        let mut command = namespace.command(program);
        // What follows `ip netns exec NAME`.
        command.args(arguments).arg("--").args(inner.get_args().skip(3));
        command.stdout(log.try_clone().expect("share the log")).stderr(log);
        let child = command.spawn().expect("start a node");
        Self { site, child }
    }

    /// SIGTERM, and waits until the process has left.
    pub fn leave(mut self) -> Site {
        self.signal(Signal::SIGTERM);
        let status = self.child.wait().expect("a node that is stopped ends");
        assert!(status.success(), "{} left with {status}", self.site.name);
        self.site.clone()
    }

    /// Sends a signal to the process.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("a process id fits");
        kill(Pid::from_raw(pid), signal).expect("signal a node");
    }

    /// Descriptors that it has open.
    pub fn open_files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).map_or(0, Iterator::count)
    }

    /// SIGKILL, and waits until the process is gone.
    pub fn kill(mut self) -> Site {
        self.signal(Signal::SIGKILL);
        self.child.wait().expect("a killed node ends");
        self.site.clone()
    }

    /// Whether the process has ended, and how.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("ask for the state of a node")
    }

    /// What a command that speaks JSON says through the admin socket of this node.
    ///
    /// # Errors
    /// What it said on standard error.
    pub fn ask(&self, arguments: &[&str]) -> Result<Value, String> {
        ask(&self.site, arguments)
    }

    /// The only relationship of this node, from its status.
    ///
    /// # Errors
    /// The node does not answer, or has none.
    pub fn relationship(&self) -> Result<Relationship, String> {
        let status = self.ask(&["status"])?;
        let it = &status["relationships"][0];
        match (it["state"].as_str(), it["role"].as_str()) {
            (Some(state), Some(role)) => Ok(Relationship { state: state.to_owned(), active: role == "active" }),
            _ => Err(format!("no relationship in {status}")),
        }
    }

    /// Waits until the relationship is in this state and this node in this role.
    pub fn wait_for(&self, state: &str, active: bool) {
        let wanted = Relationship { state: state.to_owned(), active };
        until(&format!("{} to be {wanted:?}", self.site.name), LONG, || match self.relationship() {
            Ok(found) if found == wanted => Ok(()),
            Ok(found) => Err(format!("it is {found:?}\n{}", self.tail())),
            Err(error) => Err(format!("{error}\n{}", self.tail())),
        });
    }

    /// Everything this node knows about leases, without what differs between two nodes that agree: who took what.
    ///
    /// # Errors
    /// The node does not answer.
    pub fn leases(&self) -> Result<Vec<Lease>, String> {
        let list = self.ask(&["leases", "list"])?;
        let now = Timestamp::now();
        let list = list.as_array().ok_or_else(|| format!("not a list: {list}"))?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut leases: Vec<Lease> = list
            .iter()
            .map(|it| Lease {
                address: text(&it["address"]),
                hardware: text(&it["hardware"]),
                client_id: text(&it["client_id"]),
                home: text(&it["home"]),
                state: text(&it["state"]),
                expiry: it["expiry"].as_str().and_then(|it| it.parse().ok()).unwrap_or(now),
            })
            .collect();
        leases.sort();
        Ok(leases)
    }

    /// The end of its log, to say why it is not as it should be.
    pub fn tail(&self) -> String {
        let log = fs::read_to_string(self.site.log()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            crate::say(&format!("--- log of {}\n{}", self.site.name, self.tail()));
        }
    }
}

/// What a node says of its relationship.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Relationship {
    pub state: String,
    pub active: bool,
}

/// A line of `leases list`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Lease {
    pub address: String,
    pub hardware: String,
    pub client_id: String,
    pub home: String,
    pub state: String,
    pub expiry: Timestamp,
}

/// What two nodes may differ by when they tell the expiry of a lease: the grace before an address is used again.
const GRACE: SignedDuration = SignedDuration::from_secs(10);

/// Whether two tables say the same, but for what clocks and transit make of an expiry.
pub fn same_table(one: &[Lease], other: &[Lease]) -> bool {
    let same = |one: &Lease, other: &Lease| {
        let apart = one.expiry.duration_since(other.expiry).abs();
        let expiry = other.expiry;
        apart <= GRACE && Lease { expiry, ..one.clone() } == *other
    };
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
}
