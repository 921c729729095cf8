//! What the machine refuses: a port, an interface, a permission. In a laboratory, because port 67 is not ours outside.

use crate::{SCOPE, assert_says, one_failure, serve, write_cluster};
use standfast_tests::daemon::{binary, issue_certificates};
use standfast_tests::lab::{Namespace, enter};
use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// One node with this interface, in a namespace that has an `eth1`.
fn site(interface: &str) -> (TempDir, Namespace) {
    let folder = tempfile::tempdir().unwrap();
    let node = format!("[[node]]\nname = \"dhcp-a\"\nrpc = \"127.0.0.1:6767\"\ninterfaces = [\"{interface}\"]\n");
    write_cluster(folder.path(), &format!("cluster = \"lab\"\n{node}{SCOPE}"));
    issue_certificates(folder.path(), "lab", &["dhcp-a"]);
    let namespace = Namespace::new("m");
    namespace.ip(&["link", "add", "eth1", "type", "veth", "peer", "name", "far"]);
    namespace.ip(&["address", "add", "10.20.0.2/24", "dev", "eth1"]);
    namespace.ip(&["link", "set", "eth1", "up"]);
    namespace.ip(&["link", "set", "far", "up"]);
    (folder, namespace)
}

fn run(mut command: Command, folder: &Path) -> (i32, String) {
    one_failure(&command.current_dir(folder).output().unwrap())
}

#[test]
fn port_67_is_taken() {
    if !enter("machine::port_67_is_taken", &[]) {
        return;
    }
    let (folder, namespace) = site("eth1");
    let other = namespace.inside(|| UdpSocket::bind("0.0.0.0:67").unwrap());
    let mut command = namespace.command(binary());
    command.args(serve("dhcp-a"));
    let (_, text) = run(command, folder.path());
    assert_says(&text, &["UDP 0.0.0.0:67", "eth1", "taken", "stop it"]);
    drop(other);
}

#[test]
fn the_interface_is_missing() {
    if !enter("machine::the_interface_is_missing", &[]) {
        return;
    }
    let (folder, namespace) = site("eth9");
    let mut command = namespace.command(binary());
    command.args(serve("dhcp-a"));
    let (_, text) = run(command, folder.path());
    assert_says(&text, &["eth9", "eth1", "interfaces"]);
}

#[test]
fn raw_sockets_are_not_permitted() {
    if !enter("machine::raw_sockets_are_not_permitted", &["setpriv"]) {
        return;
    }
    let (folder, namespace) = site("eth1");
    // Without any capability root is nobody to the network, and still owner of its files.
    let mut command = namespace.command("setpriv");
    command.args(["--bounding-set", "-all", "--inh-caps", "-all", "--"]).arg(binary()).args(serve("dhcp-a"));
    let (_, text) = run(command, folder.path());
    assert_says(&text, &["eth1", "CAP_NET_RAW", "CAP_NET_BIND_SERVICE"]);
}
