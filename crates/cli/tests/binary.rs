//! The binary as scripts see it: what it prints where, and how it ends.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::process::{Command, Output};

fn standfast(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_standfast")).args(arguments).output().unwrap()
}

#[test]
fn a_good_cluster_file_passes_and_a_bad_one_says_where_it_is_wrong() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/config/pair.toml");
    let good = standfast(&["config", "check", example]);
    assert_eq!(good.status.code(), Some(0), "{good:?}");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cluster.toml");
    let text = std::fs::read_to_string(example).unwrap().replacen("pools", "pool", 1);
    std::fs::write(&path, text).unwrap();
    let bad = standfast(&["config", "check", path.to_str().unwrap()]);
    assert_eq!(bad.status.code(), Some(10), "{bad:?}");
    let said = String::from_utf8(bad.stderr).unwrap();
    assert!(said.contains("cluster.toml") && said.contains("pool"), "{said}");
}

#[test]
fn a_wrong_command_line_ends_with_its_own_status() {
    assert_eq!(standfast(&["config", "invent"]).status.code(), Some(2));
}

/// The demo judges itself: it fails if a lease is lost or an address is given twice.
#[test]
fn the_demo_kills_the_active_node_and_loses_nothing() {
    let demo = standfast(&["demo", "--headless"]);
    let said = String::from_utf8(demo.stdout).unwrap();
    assert_eq!(demo.status.code(), Some(0), "{said}");
    for line in ["dhcp-a is killed (SIGKILL)", "leases lost                        0", "given to two clients     0"] {
        assert!(said.contains(line), "{line:?} is missing:\n{said}");
    }
}
