//! A laboratory of network namespaces: nodes, clients, a LAN and a link between the nodes.
//!
//! Each bridge is in a namespace of its own with all its ports, so that a capture on the LAN's sees every port of it and
//! nothing of what the nodes tell each other, and a port can be cut without either end noticing more than silence. Names carry the process and a counter, so that tests
//! run side by side; everything disappears with the value.

mod namespace;
mod privilege;

pub use namespace::{Door, Namespace};
pub use privilege::{enter, need_programs};

use crate::frame::Mac;
use std::net::Ipv4Addr;

/// The link of an endpoint to the LAN, in its namespace.
pub const LAN: &str = "eth1";
/// The link of a node to its partner, in its namespace.
pub const PEER: &str = "eth0";

/// The bridge of a site behind a relay.
pub const SITE: &str = "site";

const LAN_BRIDGE: &str = "lan";
const PEER_BRIDGE: &str = "peer";

/// Two nodes and some clients, cabled.
pub struct Lab {
    /// Holds the bridge of the LAN and its ports.
    pub switch: Namespace,
    /// Holds the bridge between the nodes and its ports.
    peering: Namespace,
    pub nodes: [Host; 2],
    pub clients: Vec<Host>,
}

/// A namespace with a link to the LAN, and for a node one to its partner.
pub struct Host {
    pub namespace: Namespace,
    /// Hardware address of the link to the LAN.
    pub mac: Mac,
    /// Name of the port at the switch; `peer_port` is empty for a client.
    pub lan_port: String,
    pub peer_port: String,
}

/// A cable of a node that can be cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cable {
    Lan,
    Peer,
}

impl Lab {
    /// Two nodes, at .2 and .3 of 10.20.0.0/24 on the LAN and 10.0.0.11 and .12 between them, and so many clients
    /// without an address.
    pub fn new(clients: usize) -> Self {
        let (switch, peering) = (Namespace::new("sw"), Namespace::new("pr"));
        for (namespace, bridge) in [(&switch, LAN_BRIDGE), (&peering, PEER_BRIDGE)] {
            namespace.ip(&["link", "add", bridge, "type", "bridge", "stp_state", "0", "forward_delay", "0"]);
            namespace.ip(&["link", "set", bridge, "up"]);
        }
        let nodes = [0, 1].map(|index| {
            let mut host = Host::attach(&switch, &format!("n{index}"), Mac([2, 0, 0, 0, 1, index]));
            host.namespace.ip(&["address", "add", &format!("{}/24", node_lan_address(index)), "dev", LAN]);
            host.peer_port = format!("p{index}");
            host.namespace.cable(PEER, &peering, &host.peer_port, None);
            peering.ip(&["link", "set", &host.peer_port, "master", PEER_BRIDGE]);
            host.namespace.ip(&["address", "add", &format!("{}/24", node_peer_address(index)), "dev", PEER]);
            host
        });
        let clients = (0..clients)
            .map(|index| {
                let last = u8::try_from(index).expect("a laboratory has few clients");
                Host::attach(&switch, &format!("c{index}"), Mac([2, 0, 0, 0, 2, last]))
            })
            .collect();
        Self { switch, peering, nodes, clients }
    }

    /// Puts a site behind a client host: a bridge in it, of which it is the router, and so many hosts on that.
    pub fn site_behind(&self, client: usize, router: Ipv4Addr, prefix: u8, hosts: u8) -> Vec<Host> {
        let relay = &self.clients[client].namespace;
        relay.ip(&["link", "add", SITE, "type", "bridge", "stp_state", "0", "forward_delay", "0"]);
        relay.ip(&["link", "set", SITE, "up"]);
        relay.ip(&["address", "add", &format!("{router}/{prefix}"), "dev", SITE]);
        relay.inside(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").expect("let the relay forward"));
        let host = |number| {
            let namespace = Namespace::new(&format!("s{number}"));
            let (port, mac) = (format!("s{number}"), Mac([2, 0, 0, 0, 3, number]));
            namespace.cable(LAN, relay, &port, Some(mac));
            relay.ip(&["link", "set", &port, "master", SITE]);
            Host { namespace, mac, lan_port: port, peer_port: String::new() }
        };
        (0..hosts).map(host).collect()
    }

    /// Frames on this cable vanish from now on, both ways.
    pub fn cut(&self, node: usize, cable: Cable) {
        let (switch, port, _) = self.port(node, cable);
        switch.ip(&["link", "set", port, "nomaster"]);
    }

    /// The node hears nothing on this cable from now on, and is still heard: the switch forwards nothing to its port.
    pub fn deafen(&self, node: usize, cable: Cable) {
        self.forward_to(node, cable, &["flood", "mcast_flood", "bcast_flood"], "off");
    }

    /// Of what others send, only broadcasts reach the node on this cable from now on.
    pub fn deafen_to_unicast(&self, node: usize, cable: Cable) {
        self.forward_to(node, cable, &["flood"], "off");
    }

    /// Undoes all of these.
    pub fn heal(&self, node: usize, cable: Cable) {
        let (switch, port, bridge) = self.port(node, cable);
        switch.ip(&["link", "set", port, "master", bridge]);
        self.forward_to(node, cable, &["flood", "mcast_flood", "bcast_flood"], "on");
    }

    /// Unplugs the cable, so that the node sees no carrier, or plugs it in again.
    pub fn plug(&self, node: usize, cable: Cable, plugged: bool) {
        let (switch, port, _) = self.port(node, cable);
        switch.ip(&["link", "set", port, if plugged { "up" } else { "down" }]);
    }

    /// Without learning where anyone is, a bridge floods; without flooding either, it forwards nothing.
    fn forward_to(&self, node: usize, cable: Cable, floods: &[&str], on: &str) {
        let (switch, port, bridge) = self.port(node, cable);
        let mut arguments = vec!["link", "set", "dev", port, "learning", on];
        for flood in floods {
            arguments.extend([*flood, on]);
        }
        switch.bridge(&arguments);
        switch.ip(&["link", "set", bridge, "type", "bridge", "fdb_flush"]);
    }

    fn port(&self, node: usize, cable: Cable) -> (&Namespace, &str, &str) {
        let host = &self.nodes[node];
        match cable {
            Cable::Lan => (&self.switch, &host.lan_port, LAN_BRIDGE),
            Cable::Peer => (&self.peering, &host.peer_port, PEER_BRIDGE),
        }
    }
}

impl Host {
    /// A new namespace on the LAN.
    fn attach(switch: &Namespace, name: &str, mac: Mac) -> Self {
        let namespace = Namespace::new(name);
        let lan_port = format!("l-{name}");
        namespace.cable(LAN, switch, &lan_port, Some(mac));
        switch.ip(&["link", "set", &lan_port, "master", LAN_BRIDGE]);
        Self { namespace, mac, lan_port, peer_port: String::new() }
    }
}

/// The address of a node on the client LAN.
pub fn node_lan_address(index: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 20, 0, 2 + index)
}

/// The address of a node on the link to its partner.
pub fn node_peer_address(index: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, 11 + index)
}
