//! The store: held by another process, or empty on both sides.

use crate::{assert_says, loopback_cluster, one_failure, serve, write_cluster};
use standfast_node::store::Store;
use standfast_tests::daemon::{binary, issue_certificates, standfast};
use standfast_tests::wait::{LONG, until};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// A node that is killed when the value goes.
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn start(node: &str, folder: &Path) -> Self {
        let mut command = Command::new(binary());
        command.args(serve(node)).current_dir(folder).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn site() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_cluster(folder.path(), &loopback_cluster());
    issue_certificates(folder.path(), "lab", &["dhcp-a", "dhcp-b"]);
    folder
}

/// What `status` of a node says, once it answers, and its exit code.
fn status(node: &str, folder: &Path) -> Result<(i32, String), String> {
    let output = standfast(&["status", "--data-dir", node], folder);
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    match output.status.code() {
        Some(code @ (0 | 40)) => Ok((code, text)),
        _ => Err(text),
    }
}

#[test]
fn another_process_holds_the_folder() {
    let folder = site();
    let store = folder.path().join("dhcp-a").join("store");
    let held = Store::open(&store).unwrap();
    let (_, text) = one_failure(&standfast(&serve("dhcp-a"), folder.path()));
    assert_says(&text, &["dhcp-a", "in use by", "stop that process", &std::process::id().to_string()]);
    drop(held);
}

#[test]
fn both_stores_are_empty_and_nobody_said_that_the_cluster_is_new() {
    let folder = site();
    let _nodes = ["dhcp-a", "dhcp-b"].map(|node| Running::start(node, folder.path()));
    let (code, text) = until("a status that names `standfast init`", LONG, || {
        let (code, text) = status("dhcp-a", folder.path())?;
        if text.contains("standfast init") { Ok((code, text)) } else { Err(text) }
    });
    assert_eq!(code, 40, "degraded");
    assert_says(&text, &["if this cluster is new, run `standfast init`", "lost its store"]);
}
