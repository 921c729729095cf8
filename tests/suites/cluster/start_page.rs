//! `docs/start.md`, word for word: its commands are taken out of the page and run on two machines, and then clients are
//! served, also when the active node dies.
//!
//! With `STANDFAST_DEB` the package of that path is installed, as the page says; without it the files of the package are
//! laid out as its manifest says, and its script makes user and folders. There is no systemd on these machines, so the
//! command that the page gives for that case takes the place of `systemctl`.

use standfast_tests::clients::{Client, Kind, Manner};
use standfast_tests::daemon::binary;
use standfast_tests::lab::{Lab, enter, node_lan_address};
use standfast_tests::machine::Machine;
use standfast_tests::say;
use standfast_tests::wait::{LONG, until};
use std::path::{Path, PathBuf};

const PAGE: &str = include_str!("../../../docs/start.md");
const MANIFEST: &str = include_str!("../../../crates/cli/Cargo.toml");
/// Where the commands of the page are typed.
const HOME: &str = "/srv";
const A: usize = 0;
const B: usize = 1;

/// The blocks of commands of a part of the page, by the number in its heading.
fn blocks(part: u32) -> Vec<String> {
    let (_, text) = PAGE.split_once(&format!("\n## {part}. ")).unwrap_or_else(|| panic!("the page has a part {part}"));
    let text = text.split_once("\n## ").map_or(text, |(text, _)| text);
    let mut blocks = vec![String::new()];
    for line in text.lines() {
        match line.strip_prefix("    ") {
            Some(command) => blocks.last_mut().unwrap().push_str(&format!("{command}\n")),
            None if blocks.last().unwrap().is_empty() => {}
            None => blocks.push(String::new()),
        }
    }
    blocks.retain(|block| !block.is_empty());
    blocks
}

/// The only block of a part that begins so.
fn block(part: u32, begins: &str) -> String {
    let mut found: Vec<String> = blocks(part).into_iter().filter(|block| block.starts_with(begins)).collect();
    assert_eq!(found.len(), 1, "part {part} of the page has one block that begins with `{begins}`: {found:?}");
    found.remove(0)
}

/// Runs commands that must succeed; what they said.
fn run(machine: &Machine, commands: &str) -> String {
    let output = machine.script(commands);
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{commands}{text}");
    text
}

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// Lays out what the package would.
fn lay_out(machine: &Machine) {
    let manifest: toml::Value = toml::from_str(MANIFEST).unwrap();
    let assets = manifest["package"]["metadata"]["deb"]["assets"].as_array().unwrap();
    for asset in assets {
        let [from, to, mode] = [0, 1, 2].map(|at| asset[at].as_str().unwrap());
        let built = from.strip_prefix("../../target/package/");
        let files: Vec<PathBuf> = match (built, from.strip_suffix('*').or_else(|| from.strip_suffix("*.toml"))) {
            (Some("standfast"), _) => vec![binary().to_owned()],
            // Manual pages and completions are made when the package is.
            (Some(_), _) => continue,
            (None, Some(folder)) => {
                let entries = std::fs::read_dir(repository("crates/cli").join(folder)).unwrap();
                entries.map(|entry| entry.unwrap().path()).collect()
            }
            (None, None) => vec![repository("crates/cli").join(from)],
        };
        for file in files {
            let name = file.file_name().unwrap().to_str().unwrap();
            let to = if to.ends_with('/') { format!("/{to}{name}") } else { format!("/{to}") };
            machine.bring(&file, &to, mode);
        }
    }
    machine.bring(&repository("deploy/debian/postinst"), "/srv/postinst", "755");
    run(machine, "sh ./postinst configure");
}

fn install(machine: &Machine) {
    let command = block(1, "apt install");
    match std::env::var_os("STANDFAST_DEB") {
        Some(package) => {
            let file = command.trim().rsplit('/').next().unwrap();
            machine.bring(&std::fs::canonicalize(package).unwrap(), &format!("{HOME}/{file}"), "644");
            run(machine, &command);
        }
        None => lay_out(machine),
    }
}

/// The state and role of a node, by the JSON of the page's own command.
fn state(machine: &Machine) -> Result<(String, bool), String> {
    let output = machine.script(&format!("{} --json", block(6, "standfast status").trim()));
    let status: serde_json::Value =
        serde_json::from_slice(&output.stdout).map_err(|_| String::from_utf8_lossy(&output.stderr).into_owned())?;
    let it = &status["relationships"][0];
    Ok((it["state"].as_str().unwrap_or_default().to_owned(), it["role"] == "active"))
}

fn wait_for(machine: &Machine, wanted: (&str, bool)) {
    until(&format!("a node to be {wanted:?}"), LONG, || match state(machine)? {
        (state, active) if (state.as_str(), active) == wanted => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

/// Parts 2 to 4 of the page: the file and the certificates are made on one machine, and brought to both.
fn configure([a, b]: &[Machine; 2]) {
    for part in [2, 3] {
        for commands in blocks(part) {
            run(a, &commands);
        }
    }
    run(a, "mkdir -p /srv/bring && cp -r cluster.toml tls /srv/bring/");
    a.bring_over("/srv/bring", b);
    run(b, "cp -r /srv/bring/* .");
    let to_the_node = block(4, "install -o root");
    run(a, &to_the_node);
    run(b, &to_the_node.replace("dhcp-a", "dhcp-b"));
}

#[test]
fn the_page_is_followed_word_for_word() {
    if !enter("start_page::the_page_is_followed_word_for_word", &["dhclient", "udhcpc", "nsenter", "adduser"]) {
        return;
    }
    if let Err(why) = Machine::can_be_made() {
        return say(&format!("SKIPPED start_page::the_page_is_followed_word_for_word: {why}"));
    }
    let folder = tempfile::tempdir().unwrap();
    // Dropped in this order: the machines before the namespaces that they are in.
    let lab = Lab::new(2);
    let mut machines = [A, B].map(|node| {
        let scratch = folder.path().join(format!("machine-{node}"));
        std::fs::create_dir(&scratch).unwrap();
        Machine::new(&lab.nodes[node].namespace, &scratch)
    });
    machines.iter().for_each(install);
    configure(&machines);
    assert_eq!(block(5, "systemctl"), "systemctl enable --now standfast\n");
    let serve = block(5, "standfast serve");
    for (node, name) in [(A, "dhcp-a"), (B, "dhcp-b")] {
        let log = folder.path().join(format!("{name}.log"));
        machines[node].start(serve.replace("dhcp-a", name).trim(), &log);
    }
    let init = block(5, "standfast init");
    let log = || std::fs::read_to_string(folder.path().join("dhcp-a.log")).unwrap_or_default();
    until("both nodes to answer", LONG, || {
        machines.iter().try_for_each(|machine| state(machine).map(drop)).map_err(|error| format!("{error}\n{}", log()))
    });
    run(&machines[A], &init);
    wait_for(&machines[A], ("normal", true));
    wait_for(&machines[B], ("normal", false));
    let status = run(&machines[A], &block(6, "standfast status"));
    assert!(status.contains("normal") && !status.starts_with("TO DO"), "{status}");

    let client = |kind, host: usize, manner| Client::start(kind, &lab.clients[host], folder.path(), manner);
    let dhclient = client(Kind::Dhclient, 0, Manner::default());
    let udhcpc = client(Kind::Udhcpc, 1, Manner::default());
    let addresses = [&dhclient, &udhcpc].map(Client::wait_for_address);
    let leases = run(&machines[A], &block(6, "standfast leases list"));
    assert!(addresses.iter().all(|it| leases.contains(&it.to_string())), "{addresses:?}\n{leases}");
    let before = udhcpc.successes().len();
    until("udhcpc to renew", LONG, || {
        udhcpc.renew();
        (udhcpc.successes().len() > before).then_some(()).ok_or_else(|| format!("{:?}", udhcpc.happenings()))
    });

    assert_eq!(blocks(7), ["standfast status --watch\n"]);
    machines[A].power_off();
    wait_for(&machines[B], ("communications-interrupted", true));
    for (client, host, address) in [(dhclient, 0, addresses[0]), (udhcpc, 1, addresses[1])] {
        let kind = if host == 0 { Kind::Dhclient } else { Kind::Udhcpc };
        client.crash();
        let manner = Manner { asks_for: (kind == Kind::Udhcpc).then_some(address), ..Manner::default() };
        let again = Client::start(kind, &lab.clients[host], folder.path(), manner);
        let kept = again.wait_for_renewal_by(node_lan_address(1));
        assert_eq!(kept.address, Some(address), "{kind:?} keeps its address");
    }
    machines[A].start(serve.trim(), &folder.path().join("dhcp-a.log"));
    wait_for(&machines[B], ("normal", true));
    say(
        "docs/start.md was followed on two machines; dhclient and udhcpc were served, and kept their addresses when the active node died",
    );
}
