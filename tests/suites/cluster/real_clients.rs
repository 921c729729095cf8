//! The life of real clients, once before a failover and once through it: they get a lease, renew, rebind when their
//! server does not answer, come back after a crash and give their lease back. On the LAN itself and behind a relay that
//! speaks to both nodes, with and without the broadcast flag.
//!
//! What a client did is read from the frames at the nodes, and so is what it was answered.

use crate::pair::{A, B, Pair, Plan};
use dhcproto::v4::MessageType;
use standfast_tests::clients::{Client, Kind, Manner};
use standfast_tests::judge::{Heard, Spoke, conversation};
use standfast_tests::lab::{Cable, Host, LAN, SITE, enter, node_lan_address};
use standfast_tests::say;
use standfast_tests::wait::{LONG, until};
use std::net::Ipv4Addr;
use std::process::{Child, Stdio};
use std::time::Instant;

/// So short that each client renews and rebinds while the test runs: after 12 s and after 21 s.
const LEASE: &str = "24s";
/// The router and relay of the site, in its scope.
const RELAY: Ipv4Addr = Ipv4Addr::new(10, 64, 0, 1);

/// Who lives there, and whether it asks for broadcast answers. Debian's dhclient cannot.
const RESIDENTS: [(Kind, bool); 7] = [
    (Kind::Dhclient, false),
    (Kind::Udhcpc, false),
    (Kind::Udhcpc, true),
    (Kind::Dhcpcd, false),
    (Kind::Dhcpcd, true),
    (Kind::Networkd, false),
    (Kind::Networkd, true),
];

fn programs() -> Vec<&'static str> {
    Kind::ALL.iter().map(|it| it.program()).collect()
}

#[test]
fn real_clients_live_through_a_failover() {
    if !enter("real_clients::real_clients_live_through_a_failover", &programs()) {
        return;
    }
    let pair = Pair::start_with(Plan::new(RESIDENTS.len(), LEASE));
    live_on(pair, None);
}

#[test]
fn real_clients_behind_a_relay_live_through_a_failover() {
    let needed = [programs(), vec!["dhcrelay"]].concat();
    if !enter("real_clients::real_clients_behind_a_relay_live_through_a_failover", &needed) {
        return;
    }
    let pair = Pair::start_with(Plan::new(1, LEASE));
    let number = u8::try_from(RESIDENTS.len()).unwrap();
    let hosts = pair.lab.site_behind(0, RELAY, 12, number);
    let relay = &pair.lab.clients[0].namespace;
    relay.ip(&["address", "add", "10.20.0.9/24", "dev", LAN]);
    for node in &pair.lab.nodes {
        node.namespace.ip(&["route", "add", "10.64.0.0/12", "via", "10.20.0.9"]);
    }
    let servers = [0, 1].map(|node| node_lan_address(node).to_string());
    let mut command = relay.command("dhcrelay");
    command.args(["-4", "-d", "--no-pid", "-id", SITE, "-iu", LAN]).args(servers);
    let relay = Relay(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    live_on(pair, Some((hosts, relay)));
}

/// Killed when the value goes.
struct Relay(Child);

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A client, how it behaves, and the host that it runs on.
struct Resident<'a> {
    kind: Kind,
    manner: Manner,
    host: &'a Host,
    client: Client,
}

fn live_on(mut pair: Pair, site: Option<(Vec<Host>, Relay)>) {
    let relayed = site.is_some();
    let own = std::mem::take(&mut pair.lab.clients);
    let hosts: &[Host] = site.as_ref().map_or(&own, |(hosts, _)| hosts);
    // The relay hands on what is sent to one server alone as well, and both copies arrive.
    let renews: &[Spoke] = if relayed { &[Spoke::Renewing, Spoke::Rebinding] } else { &[Spoke::Renewing] };

    let (residents, addresses) = move_in(&pair, hosts, relayed);
    let moved_in = Instant::now();
    residents.iter().for_each(|it| it.client.renew());
    all_keep(&pair, &residents, &addresses, A, renews, moved_in);
    if !relayed {
        // It would not hear who has an address either.
        for (it, address) in residents.iter().zip(&addresses) {
            let neighbour = [&address.to_string(), "lladdr", &it.host.mac.to_string(), "dev", LAN, "nud", "permanent"];
            pair.lab.nodes[A].namespace.ip(&[&["neighbour", "replace"], &neighbour[..]].concat());
        }
        let deaf = Instant::now();
        pair.lab.deafen_to_unicast(A, Cable::Lan);
        all_keep(&pair, &residents, &addresses, A, &[Spoke::Rebinding], deaf);
        pair.lab.heal(A, Cable::Lan);
    }
    let residents = crash_and_come_back(&pair, A, residents, &addresses);
    release(&pair, A, residents);

    let (residents, again) = move_in(&pair, hosts, relayed);
    assert_eq!(again, addresses, "whoever comes back is offered what it had");
    let death = Instant::now();
    pair.kill(A);
    all_keep(&pair, &residents, &addresses, B, &[Spoke::Rebinding], death);
    // udhcpc goes on asking the server that it had its first offer from, and then everyone.
    let moved = Instant::now();
    all_keep(&pair, &residents, &addresses, B, &[Spoke::Renewing, Spoke::Rebinding], moved);
    let residents = crash_and_come_back(&pair, B, residents, &addresses);
    release(&pair, B, residents);

    pair.judge();
    let place = if relayed { "behind a relay" } else { "on the LAN" };
    say(&format!("{place}: {:?}, with and without the broadcast flag, each lived through a failover", Kind::ALL));
}

/// Everyone starts and gets a lease from the primary. Returns the addresses too.
fn move_in<'a>(pair: &Pair, hosts: &'a [Host], relayed: bool) -> (Vec<Resident<'a>>, Vec<Ipv4Addr>) {
    let start = Instant::now();
    let move_in = |(host, (kind, broadcast)): (&'a Host, (Kind, bool))| {
        let manner = Manner { broadcast, ..Manner::default() };
        Resident { kind, manner, host, client: Client::start(kind, host, pair.path(), manner) }
    };
    let residents: Vec<_> = hosts.iter().zip(RESIDENTS).map(move_in).collect();
    let address_of = |it: &Resident<'_>| {
        let (heard, address) = it.wait_for_ack(pair, A, &[Spoke::Selecting], start);
        assert_eq!((heard.relayed, heard.broadcast), (relayed, it.manner.broadcast), "{:?} {:?}", it.kind, it.manner);
        address
    };
    let addresses = residents.iter().map(address_of).collect();
    (residents, addresses)
}

/// Everyone says one of these to a node since a moment, and is told to keep its address.
fn all_keep(
    pair: &Pair,
    residents: &[Resident<'_>],
    addresses: &[Ipv4Addr],
    node: usize,
    spoke: &[Spoke],
    since: Instant,
) {
    for (it, address) in residents.iter().zip(addresses) {
        let (_, kept) = it.wait_for_ack(pair, node, spoke, since);
        assert_eq!(kept, *address, "{:?} keeps its address", it.kind);
    }
}

/// Everyone crashes, and is back with what was kept. udhcpc keeps nothing: it is told, and looks for a server first.
fn crash_and_come_back<'a>(
    pair: &Pair,
    node: usize,
    residents: Vec<Resident<'a>>,
    addresses: &[Ipv4Addr],
) -> Vec<Resident<'a>> {
    let crash = Instant::now();
    let back = |(it, address): (Resident<'a>, &Ipv4Addr)| {
        it.client.crash();
        let asks_for = (it.kind == Kind::Udhcpc).then_some(*address);
        let manner = Manner { asks_for, ..it.manner };
        Resident { client: Client::start(it.kind, it.host, pair.path(), manner), manner, ..it }
    };
    let residents: Vec<_> = residents.into_iter().zip(addresses).map(back).collect();
    for (it, address) in residents.iter().zip(addresses) {
        let spoke = if it.kind == Kind::Udhcpc { Spoke::Selecting } else { Spoke::InitReboot };
        let (_, kept) = it.wait_for_ack(pair, node, &[spoke], crash);
        assert_eq!(kept, *address, "{:?} comes back to its address", it.kind);
    }
    residents
}

/// Everyone gives its lease back. networkd decides when it starts whether it will, and so lives once more.
fn release(pair: &Pair, node: usize, residents: Vec<Resident<'_>>) {
    let last_life = Instant::now();
    let live_again = |it: Resident<'_>| {
        let (kind, host, manner) = (it.kind, it.host, Manner { releases: true, ..it.manner });
        if kind != Kind::Networkd {
            return (kind, host.mac, it.client);
        }
        it.client.crash();
        let it = Resident { kind, host, manner, client: Client::start(kind, host, pair.path(), manner) };
        it.wait_for_ack(pair, node, &[Spoke::Selecting], last_life);
        (kind, host.mac, it.client)
    };
    for (kind, mac, client) in residents.into_iter().map(live_again) {
        let end = Instant::now();
        client.release();
        until(&format!("{kind:?} to release"), LONG, || {
            let said = conversation(&pair.capture.since(end), &mac.0);
            let released = said.iter().any(|it| it.spoke == Spoke::Release && it.node == node);
            released.then_some(()).ok_or_else(|| format!("{said:#?}"))
        });
    }
    until("all leases to be over", LONG, || {
        let leases = pair.daemon(node).leases()?;
        let over = leases.iter().all(|it| it.state != "bound");
        over.then_some(()).ok_or_else(|| format!("{leases:#?}"))
    });
}

impl Resident<'_> {
    /// Waits until it has said one of these to a node since a moment, and got an ACK. Returns what it said, and its
    /// address.
    fn wait_for_ack(&self, pair: &Pair, node: usize, spoke: &[Spoke], since: Instant) -> (Heard, Ipv4Addr) {
        until(&format!("{:?} to be answered {spoke:?}", self.kind), LONG, || {
            let said = conversation(&pair.capture.since(since), &self.host.mac.0);
            let acked = |it: &Heard| {
                let ack = it.answers.iter().find(|(kind, _)| *kind == MessageType::Ack)?;
                (it.node == node && spoke.contains(&it.spoke)).then(|| (it.clone(), ack.1))
            };
            said.iter().find_map(acked).ok_or_else(|| {
                let log = std::fs::read_to_string(&self.client.log).unwrap_or_default();
                let lines: Vec<&str> = log.lines().collect();
                format!("{:?}: it said {said:#?}\n{}", self.manner, lines[lines.len().saturating_sub(30)..].join("\n"))
            })
        })
    }
}
