//! The container files say what there is: paths, addresses, users, and a command line that the binary takes. No engine is
//! needed to see that.

use super::{parse, read};
use serde_yaml_ng::Value;
use standfast_tests::daemon::{binary, standfast};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

const DOCKERFILE: &str = "deploy/container/Dockerfile";

fn compose() -> Value {
    let mut compose: Value = serde_yaml_ng::from_str(&read("deploy/container/compose.yaml")).unwrap();
    compose.apply_merge().unwrap();
    compose
}

fn texts(list: &Value) -> Vec<String> {
    list.as_sequence().unwrap().iter().map(|it| it.as_str().unwrap().to_owned()).collect()
}

/// What follows an instruction of the Dockerfile, each time.
fn instructions(name: &str) -> Vec<String> {
    let file = read(DOCKERFILE).replace("\\\n", " ");
    file.lines().filter_map(|line| line.strip_prefix(&format!("{name} ")).map(str::to_owned)).collect()
}

/// A command line that the binary understands: it gets as far as the cluster file, which is not here.
fn assert_is_understood(arguments: &[String]) {
    let nowhere = tempfile::tempdir().unwrap();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let output = standfast(&arguments, nowhere.path());
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(10), "{arguments:?}: {said}");
    assert!(said.contains("cannot read the cluster file /etc/standfast/cluster.toml"), "{arguments:?}: {said}");
}

#[test]
fn the_image_is_built_from_what_is_here_and_starts_a_node() {
    let toolchain: toml::Value = toml::from_str(&read("rust-toolchain.toml")).unwrap();
    let (minor, _) = toolchain["toolchain"]["channel"].as_str().unwrap().rsplit_once('.').unwrap();
    assert_eq!(instructions("FROM")[0], format!("rust:{minor}-slim-bookworm AS build"));
    let built = "/src/target/release/standfast";
    assert_eq!(instructions("COPY")[1], format!("--from=build {built} /usr/bin/standfast"));
    assert!(instructions("RUN").iter().any(|run| run == "cargo build --release --locked --package standfast"));
    let manifest: toml::Value = toml::from_str(&read("crates/cli/Cargo.toml")).unwrap();
    assert_eq!(manifest["package"]["name"].as_str(), Some("standfast"), "the package that is built");

    let entry: Vec<String> = serde_json::from_str(&instructions("ENTRYPOINT")[0]).unwrap();
    assert_eq!(entry, ["/usr/bin/standfast"]);
    assert_is_understood(&serde_json::from_str::<Vec<String>>(&instructions("CMD")[0]).unwrap());

    // The user that it runs as is made, and owns what it writes to.
    let user = instructions("USER").remove(0);
    let made = instructions("RUN").remove(1);
    assert!(
        made.contains("useradd --system") && made.contains(&format!("--home-dir /var/lib/{user} {user}")),
        "{made}"
    );
    assert!(
        made.contains(&format!("install -d -o {user} -g {user} -m 750 /var/lib/standfast /etc/standfast")),
        "{made}"
    );
    assert_eq!(instructions("VOLUME"), ["/var/lib/standfast"]);
}

#[test]
fn the_pair_of_compose_is_the_one_of_its_cluster_file() {
    let text = read("deploy/container/cluster.toml");
    let cluster = parse("cluster.toml", &text);
    let compose = compose();
    for node in &cluster.nodes {
        let service = &compose["services"][node.name.as_str()];
        let address = service["networks"]["peers"]["ipv4_address"].as_str().unwrap();
        assert_eq!(node.rpc.ip().to_string(), address, "{}", node.name);
        let port = format!("{}/tcp", node.rpc.port());
        assert!(instructions("EXPOSE")[0].contains(&port), "{port}");
        let command = texts(&service["command"]);
        assert!(command.windows(2).any(|it| it == ["--node", node.name.as_str()]), "{command:?}");
        assert_is_understood(&command);
        assert_eq!(texts(&service["cap_drop"]), ["ALL"]);
        assert_eq!(texts(&service["cap_add"]), ["NET_RAW", "NET_BIND_SERVICE"]);
        // Every folder that the command names is one that is mounted, with a file that is here or a volume.
        for volume in texts(&service["volumes"]) {
            let (from, to) = volume.split_once(':').unwrap();
            match from.strip_prefix("./") {
                Some(file) => assert!(!read(&format!("deploy/container/{file}")).is_empty()),
                None => assert!(compose["volumes"].get(from).is_some(), "the volume {from}"),
            }
            let place = to.trim_end_matches(":ro");
            assert!(command.iter().any(|argument| argument == place), "{place} is used by {command:?}");
        }
        for (network, _) in service["networks"].as_mapping().unwrap() {
            assert!(compose["networks"].get(network).is_some(), "{network:?}");
        }
    }
    let services = compose["services"].as_mapping().unwrap();
    assert_eq!(services.len(), cluster.nodes.len() + 1, "the nodes, and what makes their certificates");
    let dockerfile = compose["services"]["dhcp-a"]["build"]["dockerfile"].as_str().unwrap();
    assert_eq!(dockerfile, DOCKERFILE);
}

/// Runs the commands of the service that makes certificates, with its folders elsewhere and a user that is not here.
#[test]
fn the_certificates_of_compose_are_made() {
    let folder = tempfile::tempdir().unwrap();
    let bin = folder.path().join("bin");
    fs::create_dir(&bin).unwrap();
    symlink(binary(), bin.join("standfast")).unwrap();
    fs::write(bin.join("chown"), "#!/bin/sh\n[ \"$*\" = \"-R standfast:standfast $TLS\" ]\n").unwrap();
    fs::set_permissions(bin.join("chown"), fs::Permissions::from_mode(0o755)).unwrap();
    let compose = compose();
    let service = &compose["services"]["certificates"];
    let tls = folder.path().join("tls").display().to_string();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/container/cluster.toml");
    let script =
        texts(&service["command"]).remove(0).replace("/etc/standfast/cluster.toml", file).replace("/tls", &tls);
    let entry = texts(&service["entrypoint"]);
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let output =
        Command::new(&entry[0]).args(&entry[1..]).arg(&script).env("PATH", path).env("TLS", &tls).output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    for node in ["dhcp-a", "dhcp-b"] {
        let files = standfast_rpc::tls::TlsFiles::load(&folder.path().join("tls"), node).unwrap();
        assert_eq!(files.identity().cluster, "compose");
    }
}
