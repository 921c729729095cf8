//! What an operator gets wrong at a node that runs, and on the way to it.

use crate::store::{Running, site};
use crate::{assert_says, one_failure};
use standfast_tests::daemon::standfast;
use standfast_tests::wait::{LONG, until_true};

type Row = (&'static [&'static str], i32, &'static [&'static str]);

const ROWS: &[Row] = &[
    (&["leases", "import", "absent.json"], 1, &["absent.json cannot be read", "No such file"]),
    (&["leases", "import", "leases.json"], 1, &["leases.json: line 2: "]),
    (&["leases", "import", "leases.csv"], 1, &["leases.csv: "]),
    (&["leases", "export", "no/such/folder/leases.json"], 1, &["no/such/folder/leases.json cannot be written"]),
    (&["leases", "show", "10.20.0.77"], 1, &["there is no lease of 10.20.0.77"]),
    (&["leases", "release", "10.20.0.77"], 20, &["refused: ", "10.20.0.77"]),
    (&["scope", "disable", "attic"], 20, &["there is no scope attic", "`standfast scope list`"]),
    (&["failover", "--relationship", "attic"], 1, &["there is no relationship attic on this node; there is: pair"]),
    (&["failover", "--partner-down", "dhcp-b"], 20, &["this promises that dhcp-b is off", "--yes"]),
    (&["failover", "--partner-down", "dhcp-z", "--yes"], 1, &["this node shares no relationship with dhcp-z"]),
    (&["explain", "printer"], 2, &["printer"]),
    (&["config", "apply", "absent.toml"], 10, &["absent.toml cannot be read"]),
    (&["status", "--server", "127.0.0.1:1", "--tls-dir", "data"], 31, &["standfast tls issue --operator NAME"]),
];

const GOOD: &str = r#"{"address":"10.20.0.50","client_id":"01:02:00:5e:10:00:01","hardware":"02:00:5e:10:00:01","state":"bound","expiry":"2100-01-01T00:00:00Z"}"#;

#[test]
fn what_makes_no_sense_to_a_running_node_is_refused_with_the_reason() {
    let folder = site();
    std::fs::write(folder.path().join("leases.json"), format!("{GOOD}\nwhat is this?\n")).unwrap();
    std::fs::write(folder.path().join("leases.csv"), "address,what\n10.20.0.50,is this\n").unwrap();
    std::fs::create_dir(folder.path().join("data")).unwrap();
    let _node = Running::start("dhcp-a", folder.path());
    let answers =
        || matches!(standfast(&["status", "--data-dir", "dhcp-a"], folder.path()).status.code(), Some(0 | 40));
    until_true("the node to answer", LONG, answers);
    for (arguments, expected, parts) in ROWS {
        let arguments = [arguments, &["--data-dir", "dhcp-a"][..]].concat();
        let output = standfast(&arguments, folder.path());
        // clap has words of its own for a wrong command line.
        let (exit, text) = if *expected == 2 {
            (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
        } else {
            one_failure(&output)
        };
        assert_eq!(exit, *expected, "{arguments:?}: {text}");
        assert_says(&text, parts);
    }
}

#[test]
fn a_node_that_does_not_run_is_told_from_one_that_never_ran() {
    let folder = site();
    let (exit, text) = one_failure(&standfast(&["status", "--data-dir", "dhcp-a"], folder.path()));
    assert_eq!(exit, 30);
    assert_says(&text, &["no node has run with dhcp-a/admin.sock here", "standfast serve"]);
}
