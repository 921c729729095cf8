//! A laboratory of network namespaces: nodes, clients, a LAN and a link between the nodes.
//!
//! Both bridges and all their ports are in one namespace of their own, so that a capture there sees every port, and a
//! port can be cut without either end noticing more than silence. Names carry the process and a counter, so that tests
//! run side by side; everything disappears with the value.

mod namespace;
mod privilege;

pub use namespace::Namespace;
pub use privilege::{enter, need_programs};

use crate::frame::Mac;
use std::net::Ipv4Addr;

/// The link of an endpoint to the LAN, in its namespace.
pub const LAN: &str = "eth1";
/// The link of a node to its partner, in its namespace.
pub const PEER: &str = "eth0";

const LAN_BRIDGE: &str = "lan";
const PEER_BRIDGE: &str = "peer";

/// Two nodes and some clients, cabled.
pub struct Lab {
    /// Holds the bridges and their ports.
    pub switch: Namespace,
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
        let switch = Namespace::new("sw");
        for bridge in [LAN_BRIDGE, PEER_BRIDGE] {
            switch.ip(&["link", "add", bridge, "type", "bridge", "stp_state", "0", "forward_delay", "0"]);
            switch.ip(&["link", "set", bridge, "up"]);
        }
        let nodes = [0, 1].map(|index| {
            let mut host = Host::attach(&switch, &format!("n{index}"), Mac([2, 0, 0, 0, 1, index]));
            host.namespace.ip(&["address", "add", &format!("{}/24", node_lan_address(index)), "dev", LAN]);
            host.peer_port = format!("p{index}");
            host.namespace.cable(PEER, &switch, &host.peer_port, None);
            switch.ip(&["link", "set", &host.peer_port, "master", PEER_BRIDGE]);
            host.namespace.ip(&["address", "add", &format!("{}/24", node_peer_address(index)), "dev", PEER]);
            host
        });
        let clients = (0..clients)
            .map(|index| {
                let last = u8::try_from(index).expect("a laboratory has few clients");
                Host::attach(&switch, &format!("c{index}"), Mac([2, 0, 0, 0, 2, last]))
            })
            .collect();
        Self { switch, nodes, clients }
    }

    /// Frames on this cable vanish from now on.
    pub fn cut(&self, node: usize, cable: Cable) {
        self.switch.ip(&["link", "set", self.port(node, cable), "nomaster"]);
    }

    pub fn heal(&self, node: usize, cable: Cable) {
        let bridge = match cable {
            Cable::Lan => LAN_BRIDGE,
            Cable::Peer => PEER_BRIDGE,
        };
        self.switch.ip(&["link", "set", self.port(node, cable), "master", bridge]);
    }

    fn port(&self, node: usize, cable: Cable) -> &str {
        match cable {
            Cable::Lan => &self.nodes[node].lan_port,
            Cable::Peer => &self.nodes[node].peer_port,
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
