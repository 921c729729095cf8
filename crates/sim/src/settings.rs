//! The simulated cluster: two nodes, each the other's standby, with small pools and short leases, so that addresses
//! change hands all the time.

use crate::random::Random;
use crate::wire;
use standfast_core::configuration::{
    Act, AddressRange, Boot, Configuration, Failback, FailoverSettings, LeaseTime, OptionValues, Pool, Probe,
    RelationshipSettings, Reservation, ReservationHolder, Scope, ScopeOwner, Subnet,
};
use standfast_core::id::{NodeName, Revision};
use standfast_core::input::Link;
use standfast_core::lease::record::HardwareAddress;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

/// Names of the nodes, by number.
pub(crate) const NODES: [&str; 2] = ["a", "b"];
/// Names of the relationships, by number; the node of the same number is the primary.
pub(crate) const PAIRS: [&str; 2] = ["wired", "remote"];
/// Maximum client lead time.
pub(crate) const MCLT: Duration = Duration::from_secs(20);
/// The relay's address, in the second scope.
pub(crate) const RELAY: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);
/// The client link of each node.
pub(crate) const LINK: u32 = 1;

/// The address of a node on its client link.
pub(crate) fn server(host: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, 2 + host as u8)
}

/// The node of an address.
pub(crate) fn host_of(address: Ipv4Addr) -> Option<usize> {
    (0..2).find(|&host| server(host) == address)
}

pub(crate) fn link(host: usize, carrier: bool) -> Link {
    Link { index: LINK, name: "lan".into(), addresses: vec![(server(host), 24)], mtu: 1500, carrier }
}

pub(crate) fn configuration(random: &mut Random) -> Configuration {
    let beat = [100, 200, 300][random.index(3)];
    let failback =
        if random.percent(70) { Failback::Automatic { delay: Duration::from_secs(5) } } else { Failback::Manual };
    let failover = FailoverSettings {
        heartbeat_interval: Duration::from_millis(beat),
        heartbeat_timeout: Duration::from_millis(beat * 5),
        mclt: MCLT,
        startup_timeout: Duration::from_secs(3),
        failback,
        ..FailoverSettings::default()
    };
    Configuration {
        cluster: "simulated".into(),
        revision: Revision { number: 1, node: NODES[0].into() },
        nodes: NODES.iter().map(|&name| NodeName::from(name)).collect(),
        relationships: (0..2).map(|pair| relationship(pair, failover.clone())).collect(),
        scopes: (0..2).map(|pair| scope(pair, random)).collect(),
        classes: Vec::new(),
        server_identifiers: BTreeMap::new(),
        text: "".into(),
        act: Act::default(),
    }
}

/// An address is kept for a client.
pub(crate) fn reservation(address: Ipv4Addr, client: usize) -> Reservation {
    let hardware = HardwareAddress::new(1, &wire::hardware(client)).expect("six bytes");
    Reservation {
        holder: ReservationHolder::Hardware(hardware),
        address,
        hostname: None,
        options: Default::default(),
        boot: Default::default(),
    }
}

fn relationship(pair: usize, failover: FailoverSettings) -> RelationshipSettings {
    RelationshipSettings {
        name: PAIRS[pair].into(),
        primary: NODES[pair].into(),
        standby: NODES[1 - pair].into(),
        failover,
    }
}

fn scope(pair: usize, random: &mut Random) -> Scope {
    let network = |last| Ipv4Addr::new(10, pair as u8, 0, last);
    let last = 100 + random.between(6, 11) as u8;
    Scope {
        name: format!("net-{pair}").as_str().into(),
        owner: ScopeOwner::Relationship(PAIRS[pair].into()),
        disabled: false,
        subnet: Subnet { network: network(0), prefix: 24 },
        pools: vec![Pool {
            range: AddressRange { first: network(100), last: network(last) },
            class: None,
            options: OptionValues::new(),
        }],
        exclude: Vec::new(),
        lease_time: LeaseTime {
            default: Duration::from_secs(40),
            min: Duration::from_secs(10),
            max: Duration::from_secs(60),
        },
        options: OptionValues::new(),
        reservations: Vec::new(),
        authoritative: true,
        nak_unknown_clients: false,
        shared_network: None,
        relays: if pair == 1 { vec![RELAY] } else { Vec::new() },
        subnet_selection: false,
        rapid_commit: false,
        bootp: false,
        decline_time: Duration::from_secs(30),
        offer_hold: Duration::from_secs(5),
        probe: Probe::Off,
        v6only_wait: None,
        boot: Boot::default(),
        forced_options: Vec::new(),
    }
}
