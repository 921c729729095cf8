//! The configuration of real nodes on loopback: shown, compared, changed while they serve and while one is away.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "configuration/site.rs"]
mod site;

use serde_json::Value;
use site::{Site, until};

/// Three nodes, of which dhcp-b is the standby of both others.
const THREE: [&str; 3] = ["dhcp-a", "dhcp-b", "dhcp-c"];

fn pair() -> Site {
    let mut site = Site::new(&THREE[..2], |nodes| {
        format!(
            "cluster = 'lab'\n[failover]\nmclt = '1m'\nfailback = 'manual'\n{nodes}\
             [[scope]]\nname = 'lan'\nsubnet = '198.51.100.0/24'\npools = ['198.51.100.10-198.51.100.99']\n\
             relays = ['127.0.0.3']\n"
        )
    });
    site.start_all(true);
    site
}

/// Who applied the revision that a node uses.
fn applied(shown: &Value) -> (Option<u64>, Option<&str>) {
    (shown["revision"]["number"].as_u64(), shown["applied"]["why"].as_str())
}

#[test]
fn a_change_is_told_before_it_is_done_and_reaches_every_node_while_they_serve() {
    let mut site = pair();
    let held = site.lease(0, 1).expect("the active node gives an address");
    let smaller = site.text.replace("100.10-198.51.100.99", "100.50-198.51.100.120");
    let file = site.write("smaller.toml", &smaller);

    let (exit, text) = site.run(0, &["config", "diff", &file]);
    assert_eq!(exit, 0, "{text}");
    assert!(text.starts_with("TO DO  Look at the 1 lease that this touches."), "{text}");
    assert!(text.contains(&format!("1 leased now: {held}")), "{text}");
    let (exit, text) = site.run(0, &["config", "apply", &file]);
    assert_eq!((exit, text.contains("--yes")), (20, true), "{text}");
    let (exit, text) = site.run(0, &["config", "apply", &file, "--dry-run"]);
    assert_eq!((exit, text.contains("every node that can be reached would take revision 2")), (0, true), "{text}");
    let (exit, text) = site.run(1, &["config", "apply", &file, "--yes", "--reason", "the printers move"]);
    assert_eq!((exit, text.contains("revision 2 of dhcp-b is in use")), (0, true), "{text}");
    for node in [0, 1] {
        until("the revision to be in use", || {
            let shown = site.json(node, &["config", "show"])?;
            let expected = (Some(2), Some("the printers move"));
            if applied(&shown) == expected && shown["text"] == smaller { Ok(()) } else { Err(shown.to_string()) }
        });
        let (_, events) = site.run(node, &["events"]);
        assert!(events.contains("at the admin socket: the printers move"), "{events}");
    }
    let given = site.lease(0, 2).expect("it still serves");
    assert!(given.octets()[3] >= 50, "{given} is not of the new pool");
    assert_eq!(site.run(0, &["config", "apply", &file]).0, 0, "what is so already needs nothing");
}

#[test]
fn a_scope_is_disabled_and_enabled_on_every_node() {
    let mut site = pair();
    assert!(site.lease(0, 1).is_some());
    let (exit, text) = site.run(1, &["scope", "disable", "lan", "--reason", "the floor is closed"]);
    assert_eq!(exit, 0, "{text}");
    let states = |site: &Site| -> Vec<String> {
        [0, 1].map(|node| site.json(node, &["scope", "list"]).unwrap()[0]["state"].to_string()).to_vec()
    };
    until("both nodes to say so", || {
        let states = states(&site);
        if states == ["\"disabled\"", "\"disabled\""] { Ok(()) } else { Err(format!("{states:?}")) }
    });
    assert_eq!(site.lease(0, 2), None);
    let (_, events) = site.run(0, &["events"]);
    assert!(events.contains("scope disable lan: the floor is closed"), "{events}");
    assert_eq!(site.run(0, &["scope", "disable", "attic"]).0, 20);
    assert_eq!(site.run(0, &["scope", "enable", "lan"]).0, 0);
    until("the scope to be served", || if states(&site)[0] == "\"active\"" { Ok(()) } else { Err(String::new()) });
    assert!(site.lease(0, 2).is_some());
}

#[test]
fn a_node_that_is_away_takes_the_revision_when_it_returns() {
    let mut site = pair();
    site.kill(1);
    let grown = site.text.replace("100.99", "100.199");
    let file = site.write("grown.toml", &grown);
    let (exit, text) = site.run(0, &["config", "apply", &file]);
    assert_eq!(exit, 20, "{text}");
    assert!(text.contains("dhcp-b: it cannot be reached") && text.contains("--without dhcp-b"), "{text}");
    let (exit, text) = site.run(0, &["config", "apply", &file, "--without", "dhcp-b"]);
    assert_eq!((exit, text.contains("dhcp-b takes it on coming back")), (0, true), "{text}");
    let (_, status) = site.run(0, &["status"]);
    assert!(status.contains("dhcp-b may still use an older revision"), "{status}");

    site.start(1, false);
    site.wait_for_normal();
    let shown = site.json(1, &["config", "show"]).unwrap();
    assert_eq!((applied(&shown).0, shown["text"].as_str()), (Some(2), Some(grown.as_str())));
    until("nothing to be said any more", || {
        let notes = site.json(0, &["config", "show"])?["notes"].clone();
        if notes.as_array().is_some_and(Vec::is_empty) { Ok(()) } else { Err(notes.to_string()) }
    });

    site.kill(1);
    site.write("cluster.toml", "this is no cluster file any more");
    site.start(1, false);
    site.wait_for_normal();
    let shown = site.json(1, &["config", "show"]).unwrap();
    assert_eq!(applied(&shown).0, Some(2), "a broken file is no reason not to serve");
    assert!(shown["notes"][0].as_str().unwrap().contains("the cluster file of this node differs"), "{shown}");
}

#[test]
fn every_refusal_says_why_and_what_to_do() {
    let site = pair();
    let with = |name: &str, from: &str, to: &str| site.write(name, &site.text.replace(from, to));
    let broken = with("broken.toml", "pools", "pool");
    let renamed = with("renamed.toml", "cluster = 'lab'", "cluster = 'attic'");
    let moved = with("moved.toml", "subnet =", "node = 'dhcp-b'\nsubnet =");
    let grown = with("grown.toml", "100.99", "100.199");
    let table: [(&[&str], i32, &[&str]); 8] = [
        (&["config", "apply", &broken], 10, &["broken.toml", "did you mean `pools`?"]),
        (&["config", "diff", "nowhere.toml"], 10, &["nowhere.toml", "cannot be read"]),
        (&["config", "apply", &renamed], 20, &["dhcp-a: a cluster keeps its name", "dhcp-b: a cluster keeps its name"]),
        (&["config", "diff", &moved], 20, &["TO DO  This would be refused", "`standfast scope disable lan` first"]),
        (&["config", "apply", &moved, "--yes"], 20, &["nothing has changed", "`standfast scope disable lan` first"]),
        (&["config", "apply", &grown, "--without", "dhcp-b"], 20, &["dhcp-b is connected: leave out --without"]),
        (&["config", "apply", &grown, "--without", "dhcp-z"], 20, &["there is no other node of that name"]),
        (&["scope", "disable", "attic"], 20, &["there is no scope attic", "`standfast scope list`"]),
    ];
    for (arguments, expected, parts) in table {
        let (exit, text) = site.run(0, arguments);
        assert_eq!(exit, expected, "{arguments:?}: {text}");
        for part in parts {
            assert!(text.contains(part), "{arguments:?}: `{part}` is missing in\n{text}");
        }
    }
    let shown = site.json(0, &["config", "show"]).unwrap();
    assert_eq!(applied(&shown).0, Some(1), "nothing of all that was done");
}

#[test]
fn a_node_that_has_not_met_its_cluster_applies_nothing() {
    let mut site = Site::new(&THREE[..2], |nodes| format!("cluster = 'lab'\n{nodes}"));
    site.start(0, false);
    until("the node to answer", || site.json(0, &["status"]));
    let file = site.write("next.toml", &format!("{}# another\n", site.text));
    let (exit, text) = site.run(0, &["config", "apply", &file]);
    assert_eq!((exit, text.contains("run `standfast init` first")), (20, true), "{text}");
}

#[test]
fn one_node_is_the_standby_of_two_and_a_revision_reaches_all_three() {
    let mut site = Site::new(&THREE, |nodes| {
        format!(
            "cluster = 'lab'\n[failover]\nmclt = '1m'\nfailback = 'manual'\n{nodes}\
             [[relationship]]\nname = 'office'\nprimary = 'dhcp-a'\nstandby = 'dhcp-b'\n\
             [[relationship]]\nname = 'plant'\nprimary = 'dhcp-c'\nstandby = 'dhcp-b'\n\
             [[scope]]\nname = 'lan'\nrelationship = 'office'\nsubnet = '198.51.100.0/24'\n\
             pools = ['198.51.100.10-198.51.100.99']\nrelays = ['127.0.0.3']\n\
             [[scope]]\nname = 'hall'\nrelationship = 'plant'\nsubnet = '203.0.113.0/24'\n\
             pools = ['203.0.113.10-203.0.113.99']\nrelays = ['127.0.0.9']\n"
        )
    });
    site.start_all(true);
    assert!(site.lease(0, 1).is_some());
    assert_eq!(site.lease(1, 1), None, "the standby is silent");

    let (exit, text) = site.run(2, &["scope", "disable", "hall"]);
    assert_eq!(exit, 0, "{text}");
    until("the node without a relationship to the one that was told to have it", || {
        let shown = site.json(0, &["config", "show"])?;
        if applied(&shown).0 == Some(2) { Ok(()) } else { Err(shown.to_string()) }
    });

    site.kill(0);
    let active = |site: &Site, node: usize, name: &str| -> Result<bool, String> {
        let status = site.json(node, &["status"])?;
        let all = status["relationships"].as_array().ok_or_else(|| status.to_string())?;
        Ok(all.iter().any(|it| it["name"] == name && it["role"] == "active"))
    };
    until("the standby to be promoted for the dead node alone", || {
        if active(&site, 1, "office")? { Ok(()) } else { Err("deactivated".into()) }
    });
    assert!(!active(&site, 1, "plant").unwrap() && active(&site, 2, "plant").unwrap());
    assert!(site.lease(1, 2).is_some());
}
