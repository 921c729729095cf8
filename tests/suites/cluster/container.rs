//! A node as the container files start it: their user, and the capabilities that they leave it.

use standfast_tests::daemon::{Daemon, Site, binary, issue_certificates};
use standfast_tests::device::{Device, Patience};
use standfast_tests::lab::{Lab, enter};
use standfast_tests::machine::Machine;
use standfast_tests::say;
use standfast_tests::wait::{LONG, until};
use std::fs;
use std::os::unix::fs::chown;

const DOCKERFILE: &str = include_str!("../../../deploy/container/Dockerfile");
const COMPOSE: &str = include_str!("../../../deploy/container/compose.yaml");

#[test]
fn the_user_of_the_image_serves_with_two_capabilities() {
    if !enter("container::the_user_of_the_image_serves_with_two_capabilities", &["setpriv"]) {
        return;
    }
    if let Err(why) = Machine::can_be_made() {
        return say(&format!("SKIPPED container::the_user_of_the_image_serves_with_two_capabilities: {why}"));
    }
    let user = DOCKERFILE.split("--uid ").nth(1).unwrap().split(' ').next().unwrap();
    let group = DOCKERFILE.split("--gid ").nth(1).unwrap().split(' ').next().unwrap();
    let added = COMPOSE.split("cap_add: [").nth(1).unwrap().split(']').next().unwrap();
    let capabilities: Vec<String> = added.split(", ").map(|it| format!("+{}", it.to_lowercase())).collect();
    let capabilities = capabilities.join(",");

    let folder = tempfile::tempdir().unwrap();
    let file = r#"cluster = "lab"
[[node]]
name       = "dhcp-a"
rpc        = "10.0.0.11:6767"
interfaces = ["eth1"]
[[scope]]
name   = "lan"
subnet = "10.20.0.0/24"
pools  = ["10.20.0.50-10.20.0.249"]
"#;
    fs::write(folder.path().join("cluster.toml"), file).unwrap();
    issue_certificates(folder.path(), "lab", &["dhcp-a"]);
    // The binary may lie where only its builder can read it.
    let program = folder.path().join("standfast");
    fs::copy(binary(), &program).unwrap();
    let site = Site { name: "dhcp-a".to_owned(), folder: folder.path().to_path_buf() };
    fs::create_dir(site.data_dir()).unwrap();
    let tls = folder.path().join("tls");
    // As compose.yaml gives the certificates to the user.
    for path in [folder.path(), &site.data_dir(), &tls, &tls.join("dhcp-a.key")] {
        chown(path, Some(user.parse().unwrap()), Some(group.parse().unwrap())).unwrap();
    }
    let lab = Lab::new(1);
    let all_but = format!("-all,{capabilities}");
    let confined = [
        "--reuid",
        user,
        "--regid",
        group,
        "--clear-groups",
        "--no-new-privs",
        "--inh-caps",
        &all_but,
        "--ambient-caps",
        &capabilities,
        "--bounding-set",
        &all_but,
    ];
    let node = Daemon::start_through("setpriv", &confined, site, &lab.nodes[0].namespace, &program);
    until("the node to serve", LONG, || {
        let status = node.ask(&["status"])?;
        (status["scopes"][0]["state"] == "active").then_some(()).ok_or_else(|| status.to_string())
    });
    let grant = Device::new(&lab.clients[0], 1).obtain(None, Patience::USUAL).unwrap();
    assert_eq!(grant.address.octets()[..3], [10, 20, 0]);
}
