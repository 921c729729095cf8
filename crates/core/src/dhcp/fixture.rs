//! Configurations and links for tests.

use crate::configuration::{Act, Boot, Configuration, LeaseTime, OptionValues, Probe, Scope, ScopeOwner, Subnet};
use crate::id::{NodeName, Revision};
use crate::input::Link;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

/// 10.`second`.0.0/24, named after it, of node "a", without pools.
pub(crate) fn scope(second: u8) -> Scope {
    Scope {
        name: format!("net-{second}").into(),
        owner: ScopeOwner::Node(NodeName::from("a")),
        disabled: false,
        subnet: Subnet { network: Ipv4Addr::new(10, second, 0, 0), prefix: 24 },
        pools: Vec::new(),
        exclude: Vec::new(),
        lease_time: LeaseTime {
            default: Duration::from_secs(3600),
            min: Duration::from_secs(600),
            max: Duration::from_secs(86400),
        },
        options: OptionValues::new(),
        reservations: Vec::new(),
        authoritative: true,
        nak_unknown_clients: false,
        shared_network: None,
        relays: Vec::new(),
        subnet_selection: false,
        rapid_commit: false,
        bootp: false,
        decline_time: Duration::from_secs(3600),
        offer_hold: Duration::from_secs(30),
        probe: Probe::Off,
        v6only_wait: None,
        boot: Boot::default(),
        forced_options: Vec::new(),
    }
}

/// One node "a", no relationship.
pub(crate) fn configuration(scopes: Vec<Scope>) -> Configuration {
    Configuration {
        cluster: "test".into(),
        revision: Revision { number: 1, node: NodeName::from("a") },
        nodes: vec![NodeName::from("a")],
        relationships: Vec::new(),
        scopes,
        classes: Vec::new(),
        server_identifiers: BTreeMap::new(),
        text: "".into(),
        act: Act::default(),
    }
}

/// With these addresses.
pub(crate) fn link(addresses: &[([u8; 4], u8)]) -> Link {
    Link {
        index: 1,
        name: "lan".into(),
        addresses: addresses.iter().map(|(address, prefix)| (Ipv4Addr::from(*address), *prefix)).collect(),
        mtu: 1500,
        carrier: true,
    }
}
