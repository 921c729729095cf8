//! What a node notices and tells: addresses that somebody uses, servers of others, and its own numbers.

use dhcproto::v4::{DhcpOption, Message, MessageType, Opcode};
use standfast_tests::capture::{open_on, send_frame};
use standfast_tests::daemon::{Daemon, Site, issue_certificates};
use standfast_tests::device::{Device, Patience};
use standfast_tests::frame::{Dhcp, Mac, write};
use standfast_tests::lab::{LAN, Lab, enter};
use standfast_tests::wait::{LONG, until};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use tempfile::TempDir;

/// Where the node's numbers are, in its namespace.
const HTTP: &str = "10.0.0.11:9667";
/// The first address of the pool.
const FIRST: Ipv4Addr = Ipv4Addr::new(10, 20, 0, 50);

/// One node that serves alone, and a client link.
struct Alone {
    node: Daemon,
    lab: Lab,
    _folder: TempDir,
}

impl Alone {
    fn start(probe: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = format!(
            r#"cluster = "lab"

[[node]]
name       = "dhcp-a"
rpc        = "10.0.0.11:6767"
interfaces = ["eth1"]
http       = "{HTTP}"

[[scope]]
name       = "lan"
subnet     = "10.20.0.0/24"
pools      = ["10.20.0.50-10.20.0.249"]
lease_time = "8h"
probe      = "{probe}"
"#
        );
        fs::write(folder.path().join("cluster.toml"), file).unwrap();
        issue_certificates(folder.path(), "lab", &["dhcp-a"]);
        let lab = Lab::new(1);
        let site = Site { name: "dhcp-a".to_owned(), folder: folder.path().to_path_buf() };
        let node = Daemon::start(site, &lab.nodes[0].namespace, true);
        until("the node to serve", LONG, || {
            let status = node.ask(&["status"])?;
            (status["scopes"][0]["state"] == "active").then_some(()).ok_or_else(|| status.to_string())
        });
        Self { node, lab, _folder: folder }
    }

    /// The first event of this kind.
    fn event(&self, name: &str) -> serde_json::Value {
        let output = std::process::Command::new(standfast_tests::daemon::binary())
            .args(["events", "--json", "--data-dir"])
            .arg(self.node.site.data_dir())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let mut events = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        events.find(|event| event["name"] == name).unwrap_or_else(|| panic!("no event {name} in {text}"))
    }
}

/// A host of the LAN took the first address of the pool by itself.
fn an_address_that_a_host_has_is_not_offered(probe: &str) {
    let site = Alone::start(probe);
    let squatter = &site.lab.clients[0];
    squatter.namespace.ip(&["address", "add", &format!("{FIRST}/24"), "dev", LAN]);
    let mut device = Device::new(squatter, 1);
    let grant = device.obtain(None, Patience::USUAL).unwrap();
    assert_eq!(grant.address, Ipv4Addr::new(10, 20, 0, 51));
    let event = site.event("address_in_use");
    assert!(event["what"].as_str().unwrap().contains("10.20.0.50"), "{event}");
    // On the node's own link an echo request is preceded by ARP, which tells who it is too.
    assert!(event["evidence"].as_str().unwrap().starts_with(&squatter.mac.to_string()), "{event}");
    let explained = site.node.ask(&["explain", "10.20.0.50"]).unwrap();
    assert_eq!(explained["scopes"][0]["lease"]["state"], "declined");
}

#[test]
fn an_address_that_answers_arp_is_not_offered() {
    if enter("observing::an_address_that_answers_arp_is_not_offered", &[]) {
        an_address_that_a_host_has_is_not_offered("arp");
    }
}

#[test]
fn an_address_that_answers_icmp_is_not_offered() {
    if enter("observing::an_address_that_answers_icmp_is_not_offered", &[]) {
        an_address_that_a_host_has_is_not_offered("icmp");
    }
}

#[test]
fn a_foreign_server_is_noticed() {
    if !enter("observing::a_foreign_server_is_noticed", &[]) {
        return;
    }
    let site = Alone::start("off");
    let host = &site.lab.clients[0];
    let (mac, identifier) = (Mac([2, 0, 0, 0, 9, 9]), Ipv4Addr::new(10, 20, 0, 9));
    let mut offer =
        Message::new_with_id(7, [0, 0, 0, 0].into(), FIRST, [0, 0, 0, 0].into(), [0, 0, 0, 0].into(), &[2; 6]);
    offer.set_opcode(Opcode::BootReply);
    offer.opts_mut().insert(DhcpOption::MessageType(MessageType::Offer));
    offer.opts_mut().insert(DhcpOption::ServerIdentifier(identifier));
    let frame = write(&Dhcp {
        source_mac: mac,
        destination_mac: Mac::BROADCAST,
        source: (identifier, 67),
        destination: (Ipv4Addr::BROADCAST, 68),
        message: Some(offer),
    });
    let socket = host.namespace.inside(|| open_on(LAN).0);
    send_frame(&socket, &frame);
    let checks = until("the node to hear it", LONG, || {
        let checks = site.node.ask(&["doctor"])?;
        let found = checks.as_array().is_some_and(|all| {
            all.iter().any(|check| check["name"] == "foreign_servers" && check["verdict"] == "warn")
        });
        if found { Ok(checks) } else { Err(checks.to_string()) }
    });
    assert!(checks.to_string().contains("10.20.0.9 (02:00:00:00:09:09) answers clients on eth1"), "{checks}");
    let event = site.event("foreign_server");
    assert!(event["evidence"].as_str().unwrap().starts_with("its OFFER came from 02:00:00:00:09:09"), "{event}");
}

/// Pages of the node, over one connection.
struct Pages(BufReader<TcpStream>);

impl Pages {
    fn of(site: &Alone) -> Self {
        let stream = site.lab.nodes[0].namespace.inside(|| TcpStream::connect(HTTP).unwrap());
        Self(BufReader::new(stream))
    }

    /// The status and the text of a page.
    fn get(&mut self, path: &str) -> (u16, String) {
        let request = format!("GET {path} HTTP/1.1\r\nHost: node\r\n\r\n");
        self.0.get_mut().write_all(request.as_bytes()).unwrap();
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        let status = line.split(' ').nth(1).unwrap().parse().unwrap();
        let mut length = 0;
        loop {
            line.clear();
            self.0.read_line(&mut line).unwrap();
            if line == "\r\n" {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut text = vec![0; length];
        self.0.read_exact(&mut text).unwrap();
        (status, String::from_utf8(text).unwrap())
    }

    /// The sum over its labels of each metric.
    fn metrics(&mut self) -> BTreeMap<String, f64> {
        let (status, text) = self.get("/metrics");
        assert_eq!(status, 200, "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
        let mut sums = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (name, value) = line.rsplit_once(' ').unwrap();
            let name = name.split('{').next().unwrap().to_owned();
            *sums.entry(name).or_default() += value.parse::<f64>().unwrap();
        }
        sums
    }
}

#[test]
fn ten_thousand_looks_at_the_metrics_find_every_packet_accounted_for() {
    if !enter("observing::ten_thousand_looks_at_the_metrics_find_every_packet_accounted_for", &[]) {
        return;
    }
    let site = Alone::start("off");
    let mut pages = Pages::of(&site);
    assert_eq!(pages.get("/health").0, 200);
    let mut devices: Vec<Device> = (1..=20).map(|number| Device::new(&site.lab.clients[0], number)).collect();
    for round in 0..devices.len() {
        devices[round].obtain(None, Patience::USUAL).unwrap();
        for _ in 0..10_000 / devices.len() {
            let sums = pages.metrics();
            let accounted = ["answers_total", "silent_total", "packets_waiting"]
                .map(|name| sums.get(&format!("standfast_{name}")).copied().unwrap_or(0.0));
            assert_eq!(sums["standfast_packets_received_total"], accounted.iter().sum::<f64>());
        }
    }
    let last = until("the last reading", LONG, || {
        let sums = pages.metrics();
        if sums["standfast_answers_total"] >= 40.0 { Ok(sums) } else { Err(format!("{sums:?}")) }
    });
    assert_eq!(last["standfast_leases"], 20.0);
    assert_eq!(last["standfast_scope_active"], 1.0);
    assert!(last["standfast_store_commit_seconds_count"] >= 20.0);
}
