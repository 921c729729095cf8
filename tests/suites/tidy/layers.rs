//! Which crate may see what: the arrows of docs/architecture.md.

use crate::{assert_none, root, sources};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// The crates of this workspace that each may depend on.
const ARROWS: [(&str, &[&str]); 5] = [
    ("standfast-core", &[]),
    ("standfast-rpc", &["standfast-core"]),
    ("standfast-node", &["standfast-core", "standfast-rpc"]),
    ("standfast", &["standfast-core", "standfast-rpc", "standfast-node"]),
    ("standfast-sim", &["standfast-core"]),
];

/// What the core must not reach, through whatever it depends on: runtimes, sockets, files, the store. (`tracing` comes
/// with dhcproto; the core itself does not use it.)
const NOT_IN_CORE: [&str; 11] =
    ["tokio", "tonic", "prost", "sled", "mio", "socket2", "nix", "rustls", "hyper", "async-std", "futures"];

/// The packages of the workspace and their dependencies outside of tests, by name.
struct Graph(BTreeMap<String, BTreeSet<String>>);

impl Graph {
    fn load() -> Self {
        let output = Command::new(env!("CARGO"))
            .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", "x86_64-unknown-linux-gnu"])
            .current_dir(root())
            .output()
            .expect("cargo runs");
        assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
        let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
        let list = |value: &Value| value.as_array().unwrap().clone();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let names: BTreeMap<String, String> =
            list(&metadata["packages"]).iter().map(|package| (text(&package["id"]), text(&package["name"]))).collect();
        let mut graph = BTreeMap::<String, BTreeSet<String>>::new();
        for node in list(&metadata["resolve"]["nodes"]) {
            let seen = graph.entry(names[&text(&node["id"])].clone()).or_default();
            for dependency in list(&node["deps"]) {
                // A kind of null is a normal dependency, "build" and "dev" are the others.
                if list(&dependency["dep_kinds"]).iter().any(|kind| kind["kind"].is_null()) {
                    seen.insert(names[&text(&dependency["pkg"])].clone());
                }
            }
        }
        Self(graph)
    }

    fn direct(&self, package: &str) -> &BTreeSet<String> {
        self.0.get(package).unwrap_or_else(|| panic!("there is no package {package}"))
    }

    fn reachable(&self, package: &str) -> BTreeSet<String> {
        let mut reached = BTreeSet::new();
        let mut waiting = vec![package.to_owned()];
        while let Some(next) = waiting.pop() {
            waiting.extend(self.direct(&next).iter().filter(|it| reached.insert((*it).clone())).cloned());
        }
        reached
    }
}

#[test]
fn crates_depend_along_the_arrows_only() {
    let graph = Graph::load();
    let mut faults = Vec::new();
    for (package, allowed) in ARROWS {
        let wrong =
            graph.direct(package).iter().filter(|it| it.starts_with("standfast") && !allowed.contains(&it.as_str()));
        faults.extend(wrong.map(|it| format!("{package} depends on {it}")));
    }
    assert_none(&faults, "cli -> node -> rpc -> core and sim -> core are the only arrows between crates:");
}

#[test]
fn the_core_knows_no_runtime_socket_or_store() {
    let reached = Graph::load().reachable("standfast-core");
    let wrong: Vec<_> = NOT_IN_CORE.iter().filter(|it| reached.contains(**it)).collect();
    assert_none(&wrong, "the core is a value that a simulator can drive; it must not reach:");
}

#[test]
fn the_command_line_does_not_see_the_store() {
    let wrong: Vec<_> = Graph::load().direct("standfast").iter().filter(|it| *it == "sled").cloned().collect();
    assert_none(&wrong, "operators' commands ask the daemon, they never open its store; crates/cli depends on:");
}

/// Lines of files other than `only` (or in these folders) that use one of `names` in code, tests apart.
fn used_outside(names: &[&str], only: &[&str]) -> Vec<String> {
    let is_test = |path: &str| path.starts_with("tests/") || path.contains("/tests") || path.contains("/benches/");
    let mut faults = Vec::new();
    for source in
        sources(&["rs"]).iter().filter(|it| !only.iter().any(|place| it.path.starts_with(place)) && !is_test(&it.path))
    {
        for (number, line) in source.text.lines().enumerate() {
            if !line.trim_start().starts_with("//") && names.iter().any(|name| line.contains(name)) {
                faults.push(format!("{}:{}: {}", source.path, number + 1, line.trim()));
            }
        }
    }
    faults
}

#[test]
fn one_file_knows_the_store() {
    assert_none(
        &used_outside(&["sled::"], &["crates/node/src/store/base.rs"]),
        "sled is named in crates/node/src/store/base.rs alone, so that it can be replaced:",
    );
}

/// The simulator's program says how fast it was; what it simulates has a time of its own.
const OWN_SPEED: &str = "crates/sim/src/main.rs";
/// The demo and the bench play clients, on the outside of the daemons.
const OWN_CLIENTS: [&str; 2] = ["crates/cli/src/demo", "crates/cli/src/bench"];

#[test]
fn one_file_reads_the_clock() {
    let names = ["SystemTime::now(", "Instant::now(", "clock_gettime(", "Timestamp::now(", "Zoned::now("];
    let faults = used_outside(&names, &["crates/node/src/clock.rs", OWN_SPEED, OWN_CLIENTS[0], OWN_CLIENTS[1]]);
    assert_none(
        &faults,
        "time is read in crates/node/src/clock.rs and handed on, so that tests and the simulator can make it up:",
    );
}

#[test]
fn one_folder_opens_sockets_to_clients() {
    let faults = used_outside(&["sys::socket::", "AddressFamily::Packet"], &["crates/node/src/udp/", OWN_CLIENTS[1]]);
    assert_none(&faults, "sockets towards clients live in crates/node/src/udp:");
}
