//! Mistakes in the cluster file and in the choice of node. `config check` and `serve` say the same.

use crate::{SCOPE, assert_says, loopback_cluster, one_failure, serve, write_cluster};
use standfast_tests::daemon::{issue_certificates, standfast};

/// What both say of a cluster file that is wrong.
fn assert_both_say(file: &str, parts: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    write_cluster(folder.path(), file);
    issue_certificates(folder.path(), "lab", &["dhcp-a", "dhcp-b"]);
    for arguments in [&["config", "check", "cluster.toml"][..], &serve("dhcp-a")] {
        let output = standfast(arguments, folder.path());
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(output.status.code(), Some(10), "{arguments:?}:\n{text}");
        assert_says(&text, parts);
    }
    assert!(!folder.path().join("dhcp-a").join("store").exists(), "a node with a wrong file must not make a store");
}

#[test]
fn a_pool_outside_its_subnet() {
    let file = loopback_cluster().replace("10.20.0.249", "10.21.0.249");
    assert_both_say(&file, &["cluster.toml:14", "10.21.0.249", "leaves its subnet", "10.20.0.0/24"]);
}

#[test]
fn an_unknown_key() {
    let file = loopback_cluster().replace("pools =", "pool =");
    assert_both_say(&file, &["cluster.toml:14", "`pool`", "did you mean `pools`?"]);
}

#[test]
fn overlapping_scopes() {
    let second = SCOPE.replace("\"lan\"", "\"floor-2\"").replace("10.20.0.0/24", "10.20.0.0/16");
    assert_both_say(
        &format!("{}{second}", loopback_cluster()),
        &["cluster.toml:", "10.20.0.0/24 and 10.20.0.0/16 overlap"],
    );
}

#[test]
fn no_such_node_name() {
    let folder = tempfile::tempdir().unwrap();
    write_cluster(folder.path(), &loopback_cluster());
    issue_certificates(folder.path(), "lab", &["dhcp-a"]);
    let (status, text) = one_failure(&standfast(&serve("dhcp-c"), folder.path()));
    assert_eq!(status, 10);
    assert_says(&text, &["dhcp-c", "dhcp-a", "dhcp-b", "--node"]);
}

#[test]
fn a_certificate_of_another_cluster() {
    let folder = tempfile::tempdir().unwrap();
    write_cluster(folder.path(), &loopback_cluster());
    issue_certificates(folder.path(), "elsewhere", &["dhcp-a"]);
    let (_, text) = one_failure(&standfast(&serve("dhcp-a"), folder.path()));
    assert_says(&text, &["`elsewhere`", "`lab`", "tls", "use the files of"]);
}
