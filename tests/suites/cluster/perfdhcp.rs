//! perfdhcp, the load generator of another server's makers, sees no drop and no duplicate.

use crate::pair::{Pair, Plan};
use standfast_tests::crowd::Crowd;
use standfast_tests::lab::{enter, node_lan_address};
use standfast_tests::say;

/// Clients, and exchanges that begin in a second. A binary that is not optimised drops DISCOVERs, as a server that has
/// more to do than it can do should, on a machine that runs other tests: it is asked less often.
fn load() -> (u32, u32) {
    let optimised = !cfg!(debug_assertions) || std::env::var_os("STANDFAST_BINARY").is_some();
    if optimised { (5_000, 500) } else { (2_000, 100) }
}

/// A machine that is busy with other tests is slow, and that is no drop. By default a partner that is slow is asked for
/// nothing, and one that stands still is given up; either has some clients start again, which perfdhcp counts as drops.
const PATIENT: &str = r#"replication_deadline = "2s"
heartbeat_timeout = "10s""#;

#[test]
fn perfdhcp_sees_no_drop_and_no_duplicate() {
    if !enter("perfdhcp::perfdhcp_sees_no_drop_and_no_duplicate", &["perfdhcp"]) {
        return;
    }
    let pair = Pair::start_with(Plan { failover: PATIENT, ..Plan::new(1, "8h") });
    Crowd::prepare(&pair.lab, 0);
    let (all, per_second) = load();
    let (clients, rate) = (all.to_string(), per_second.to_string());
    // It ends when it has begun so many exchanges, or a few more, and waits for their answers. `-u` has it check that no
    // address comes twice; no client comes twice either.
    let output = pair.lab.clients[0]
        .namespace
        .command("perfdhcp")
        .args([
            "-4",
            "-u",
            "-r",
            &rate,
            "-R",
            "1000000",
            "-n",
            &clients,
            "-d",
            "10",
            "-W",
            "5000000",
            "-l",
            "10.64.0.1",
        ])
        .arg(node_lan_address(0).to_string())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines = |name: &str| {
        let of_this = text.lines().filter(|it| it.trim_start().starts_with(name));
        of_this.filter_map(|it| it.rsplit(':').next()?.trim().parse::<u32>().ok()).collect::<Vec<_>>()
    };
    // One block for DISCOVER and OFFER, one for REQUEST and ACK.
    assert_eq!(lines("drops"), [0, 0], "{text}");
    assert_eq!(lines("non unique addresses"), [0, 0], "{text}");
    let received = lines("received packets");
    assert!(received[0] >= all && received[0] == received[1], "{text}");
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(pair.leases().len(), usize::try_from(received[1]).unwrap());
    pair.judge();
    let delays = text.lines().filter(|it| it.contains("avg delay")).map(str::trim).collect::<Vec<_>>().join(", ");
    say(&format!("perfdhcp, {all} clients at {per_second}/s: no drop, no duplicate; {delays}"));
}
