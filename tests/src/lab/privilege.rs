//! Getting the right to make namespaces, or saying why a test did not run.
//!
//! As root a test simply runs. Otherwise it starts itself again in a user namespace, where it is root over network
//! namespaces of its own. Where neither works it is skipped and says so, and where `STANDFAST_REQUIRE_CLIENTS=1`
//! stands, as in CI, that is a failure.

use nix::unistd::Uid;
use std::env;
use std::process::Command;

const INSIDE: &str = "STANDFAST_INSIDE_NAMESPACE";
const REQUIRE: &str = "STANDFAST_REQUIRE_CLIENTS";

/// Whether the caller should go on: it may make namespaces, and has the programs it names. `test` is the path of the
/// test function, as the test harness prints it.
pub fn enter(test: &str, programs: &[&str]) -> bool {
    if !need_programs(test, &["ip"]) || !need_programs(test, programs) {
        return false;
    }
    if Uid::effective().is_root()
        && Command::new("ip").args(["netns", "list"]).output().is_ok_and(|it| it.status.success())
    {
        return may_make_namespaces(test);
    }
    again_in_a_user_namespace(test);
    false
}

fn may_make_namespaces(test: &str) -> bool {
    let probe = format!("sf{}-probe-{}", std::process::id(), test.replace("::", "-"));
    let added = Command::new("ip").args(["netns", "add", &probe]).output();
    let _ = Command::new("ip").args(["netns", "delete", &probe]).output();
    match added {
        Ok(output) if output.status.success() => true,
        Ok(output) => skip(test, &format!("no network namespaces here: {}", String::from_utf8_lossy(&output.stderr))),
        Err(error) => skip(test, &format!("ip(8) does not start: {error}")),
    }
}

/// Runs the same test as root of a new user namespace, with a `/run` of its own for the names of network namespaces.
fn again_in_a_user_namespace(test: &str) {
    if env::var_os(INSIDE).is_some() {
        skip(test, "root of a user namespace may not make network namespaces");
        return;
    }
    let can = Command::new("unshare").args(["-Urnm", "true"]).output();
    if !can.is_ok_and(|output| output.status.success()) {
        skip(test, "not root, and `unshare -Urnm` is not allowed");
        return;
    }
    let status = Command::new("unshare")
        .args(["-Urnm", "sh", "-c", "mount -t tmpfs tmpfs /run && exec \"$0\" \"$@\""])
        .arg(env::current_exe().expect("a test knows its own file"))
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .status()
        .expect("unshare starts");
    assert!(status.success(), "{test} failed in its user namespace");
}

/// Whether all of these programs are installed.
pub fn need_programs(test: &str, programs: &[&str]) -> bool {
    let missing: Vec<_> = programs.iter().filter(|program| !is_installed(program)).copied().collect();
    missing.is_empty() || skip(test, &format!("not installed: {}", missing.join(", ")))
}

/// By name, or by its full path.
fn is_installed(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders.into_iter().any(|folder| folder.join(program).is_file())
}

/// Says why a test does not run; a failure where everything must.
fn skip(test: &str, reason: &str) -> bool {
    assert!(env::var_os(REQUIRE).is_none_or(|it| it != "1"), "{test} must run here, but cannot: {reason}");
    crate::say(&format!("SKIPPED {test}: {reason}"));
    false
}
