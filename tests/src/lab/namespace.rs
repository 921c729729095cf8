//! One network namespace, by name, as ip(8) makes them.

use crate::frame::Mac;
use nix::sched::{CloneFlags, setns};
use std::fs::File;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

static COUNTER: AtomicU32 = AtomicU32::new(0);

/// A network namespace that goes when the value does.
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// A new one with its loopback up and without IPv6, whose chatter would only be in the way.
    pub fn new(hint: &str) -> Self {
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let namespace = Self { name: format!("sf{}-{number}-{hint}", std::process::id()) };
        run(Command::new("ip").args(["netns", "add", &namespace.name]));
        namespace.ip(&["link", "set", "lo", "up"]);
        namespace.inside(|| {
            // A kernel without IPv6 has no such file, and nothing to switch off.
            let _ = std::fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
        });
        namespace
    }

    /// `ip ARGUMENTS` in here.
    pub fn ip(&self, arguments: &[&str]) {
        run(Command::new("ip").args(["-netns", &self.name]).args(arguments));
    }

    /// `bridge ARGUMENTS` in here.
    pub(super) fn bridge(&self, arguments: &[&str]) {
        run(Command::new("bridge").args(["-netns", &self.name]).args(arguments));
    }

    /// A command that will run in here. It replaces ip(8), so that its process id is the child's.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    /// Does something in here, on a thread of its own; sockets opened there stay in here.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.door().inside(work)
    }

    /// A way in that can be handed on. It leads nowhere once the namespace has gone.
    pub fn door(&self) -> Door {
        Door(format!("/run/netns/{}", self.name))
    }

    /// A cable from `link` in here to `port` in the other namespace, up at both ends.
    pub(super) fn cable(&self, link: &str, other: &Namespace, port: &str, mac: Option<Mac>) {
        let mac = mac.map(|mac| mac.to_string());
        let mut arguments = vec!["link", "add", link];
        arguments.extend(mac.iter().flat_map(|mac| ["address", mac.as_str()]));
        arguments.extend(["type", "veth", "peer", "name", port, "netns", &other.name]);
        self.ip(&arguments);
        self.ip(&["link", "set", link, "up"]);
        other.ip(&["link", "set", port, "up"]);
    }
}

/// A way into a namespace.
#[derive(Clone, Debug)]
pub struct Door(String);

impl Door {
    /// As [`Namespace::inside`].
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let worker = scope.spawn(move || {
                let file = File::open(&self.0).unwrap_or_else(|error| panic!("{}: {error}", self.0));
                setns(file, CloneFlags::CLONE_NEWNET).expect("enter a network namespace");
                work()
            });
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // What still runs in here keeps the namespace alive without a name, and ends with its own handle.
        let _ = Command::new("ip").args(["netns", "delete", &self.name]).output();
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
