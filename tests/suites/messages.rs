//! What goes wrong when a node is set up says so: one message with what, where and what to do, and a status that
//! scripts can tell from success.

#![allow(clippy::unwrap_used, reason = "the helpers of a test fail it as the test itself does")]

#[path = "messages/all.rs"]
mod all;
#[path = "messages/file.rs"]
mod file;
#[path = "messages/machine.rs"]
mod machine;
#[path = "messages/running.rs"]
mod running;
#[path = "messages/store.rs"]
mod store;
#[path = "messages/table.rs"]
mod table;

use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::Output;

/// A cluster of two nodes on loopback, behind relays, that needs no privilege; ports are free ones of this machine.
fn loopback_cluster() -> String {
    // Held until all four are known, so that they differ.
    let tcp = [0; 2].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    let udp = [0; 2].map(|_| UdpSocket::bind("127.0.0.1:0").unwrap());
    let node = |name: &str, index: usize| {
        let (rpc, dhcp) = (tcp[index].local_addr().unwrap(), udp[index].local_addr().unwrap());
        format!("[[node]]\nname = \"{name}\"\nrpc = \"{rpc}\"\ndhcp_listen = [\"{dhcp}\"]\n")
    };
    format!("cluster = \"lab\"\n{}{}{SCOPE}", node("dhcp-a", 0), node("dhcp-b", 1))
}

const SCOPE: &str = "\n[[scope]]\nname = \"lan\"\nsubnet = \"10.20.0.0/24\"\npools = [\"10.20.0.50-10.20.0.249\"]\n";

/// The status and everything that was said, after checking that it was one failure, told in one place.
fn one_failure(output: &Output) -> (i32, String) {
    let text = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned();
    let status = output.status.code().unwrap_or_else(|| panic!("it did not end by itself:\n{text}"));
    assert_ne!(status, 0, "it must not look like success:\n{text}");
    assert!(!text.contains("panicked"), "{text}");
    let failures = text.lines().filter(|line| line.starts_with("standfast: ")).count();
    assert_eq!(failures, 1, "one message and not {failures}:\n{text}");
    (status, text)
}

/// Fails unless the text has all parts.
fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "`{part}` is missing in\n{text}");
    }
}

/// The arguments of `serve` for a node whose things lie in the folder it is run in.
fn serve(node: &str) -> [&str; 9] {
    ["serve", "--node", node, "--config", "cluster.toml", "--data-dir", node, "--tls-dir", "tls"]
}

fn write_cluster(folder: &Path, text: &str) {
    std::fs::write(folder.join("cluster.toml"), text).unwrap();
}
