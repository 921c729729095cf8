//! Commands that need no cluster, run as an operator runs them.

use std::path::Path;
use std::process::{Command, Output};

const GOOD: &str = r#"
cluster = "hq"
[[node]]
name = "dhcp-a"
rpc = "10.0.0.11:6767"
interfaces = ["eth1"]
[[scope]]
name = "lan"
subnet = "10.20.0.0/24"
pools = ["10.20.0.50-10.20.0.249"]
"#;

fn standfast(arguments: &[&str], dir: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_standfast"))
        .args(arguments)
        .current_dir(dir)
        .output()
        .expect("the binary was built")
}

fn status_and_text(output: &Output) -> (i32, String) {
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    (output.status.code().expect("it ended by itself"), String::from_utf8(text).expect("it writes UTF-8"))
}

#[test]
fn a_good_file_is_summed_up() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("cluster.toml"), GOOD).unwrap();
    let (status, text) = status_and_text(&standfast(&["config", "check", "cluster.toml"], dir.path()));
    assert_eq!(status, 0, "{text}");
    let expected = "cluster.toml is good: cluster hq, 1 node, 0 relationships, 1 scope with 200 addresses in pools";
    assert_eq!(text.trim(), expected);
}

#[test]
fn every_mistake_is_shown_and_the_status_says_bad_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let text = GOOD.replace("interfaces", "interface").replace("10.20.0.249", "10.21.0.249");
    std::fs::write(dir.path().join("cluster.toml"), text).unwrap();
    let (status, text) = status_and_text(&standfast(&["config", "check", "cluster.toml"], dir.path()));
    assert_eq!(status, 10, "{text}");
    for part in ["cluster.toml:6:1", "did you mean `interfaces`?", "leaves its subnet", "has 3 mistakes"] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
    let output = standfast(&["config", "check", "--json", "cluster.toml"], dir.path());
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((json["good"].as_bool(), json["mistakes"][1]["line"].as_u64()), (Some(false), Some(6)));
    let (status, text) = status_and_text(&standfast(&["config", "check", "absent.toml"], dir.path()));
    assert_eq!((status, text.contains("absent.toml cannot be read")), (10, true), "{text}");
}

#[test]
fn an_authority_is_made_from_the_cluster_file_and_issues_for_nodes_and_people() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("cluster.toml"), GOOD).unwrap();
    let run = |arguments: &[&str]| status_and_text(&standfast(arguments, dir.path()));
    let (status, text) = run(&["tls", "issue", "--node", "dhcp-a", "--tls-dir", "tls"]);
    assert_eq!((status, text.contains("`standfast tls init`")), (1, true), "{text}");

    let init = ["tls", "init", "--config", "cluster.toml", "--tls-dir", "tls"];
    assert_eq!(run(&init).0, 0);
    assert_eq!(run(&init).0, 20, "a second authority is refused");

    for (option, name, role) in
        [("--node", "dhcp-a", "peer"), ("--operator", "alice", "operator"), ("--viewer", "bob", "viewer")]
    {
        let (status, text) = run(&["tls", "issue", option, name, "--tls-dir", "tls"]);
        assert_eq!(status, 0, "{text}");
        let identity = standfast_rpc::tls::TlsFiles::load(&dir.path().join("tls"), name).unwrap().identity().clone();
        assert_eq!((identity.role.as_str(), identity.cluster.as_str()), (role, "hq"));
    }
    assert_eq!(run(&["tls", "issue", "--viewer", "dhcp-a", "--tls-dir", "tls"]).0, 20, "a name has one role");
    assert_eq!(run(&["tls", "issue", "--node", "../dhcp-a", "--tls-dir", "tls"]).0, 2);
    assert_eq!(run(&["tls", "issue", "--tls-dir", "tls"]).0, 2);
}

#[test]
fn completions_and_manual_pages_know_every_command() {
    let dir = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let (status, text) = status_and_text(&standfast(&["completions", shell], dir.path()));
        assert_eq!((status, text.contains("check")), (0, true), "{shell}");
    }
    assert!(status_and_text(&standfast(&["man"], dir.path())).1.contains("standfast"));
    assert_eq!(standfast(&["man", "pages"], dir.path()).status.code(), Some(0));
    for page in ["standfast.1", "standfast-config-check.1", "standfast-tls-issue.1"] {
        assert!(dir.path().join("pages").join(page).exists(), "{page}");
    }
}

#[test]
fn a_wrong_command_line_is_told_from_a_failure() {
    let here = Path::new(".");
    assert_eq!(standfast(&["confg"], here).status.code(), Some(2));
    assert_eq!(standfast(&["--help"], here).status.code(), Some(0));
    assert!(status_and_text(&standfast(&["--help"], here)).1.contains("10 bad configuration"));
}
