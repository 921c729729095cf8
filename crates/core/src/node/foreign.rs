//! Servers that are not of this cluster and speak to clients on its links. They are listened for whether or not this
//! node serves, as nobody else may be there to notice.

use super::Node;
use crate::dhcp::query::overheard::ServerReply;
use crate::event::Code;
use crate::input::Overheard;
use crate::lease::record::HardwareAddress;
use crate::time::{Instant, Wall};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

/// Servers that are remembered at the most; whoever was not heard for longest goes first.
const MOST: usize = 64;

/// A server that goes on speaking is told of again after this.
const TELL_EVERY: Duration = Duration::from_secs(600);

/// A DHCP server that is not of this cluster.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ForeignServer {
    /// As it calls itself towards clients (option 54).
    pub identifier: Ipv4Addr,
    /// Where its frames come from.
    pub hardware: HardwareAddress,
    /// Name of the link where it was last heard.
    pub link: String,
    /// When it was first heard.
    pub first: Wall,
    /// When it was last heard.
    pub last: Wall,
    /// How many of its messages were heard.
    pub messages: u64,
}

/// Those that were heard.
#[derive(Debug, Default)]
pub(super) struct ForeignServers(BTreeMap<(Ipv4Addr, HardwareAddress), Heard>);

#[derive(Debug)]
struct Heard {
    server: ForeignServer,
    told: Instant,
}

impl ForeignServers {
    /// Notes a message. True if operators are to be told.
    fn note(&mut self, server: ForeignServer, now: Instant) -> bool {
        let key = (server.identifier, server.hardware);
        if let Some(heard) = self.0.get_mut(&key) {
            let (first, messages) = (heard.server.first, heard.server.messages + 1);
            heard.server = ForeignServer { first, messages, ..server };
            let tell = heard.told + TELL_EVERY <= now;
            if tell {
                heard.told = now;
            }
            return tell;
        }
        if self.0.len() >= MOST
            && let Some(&oldest) = self.0.iter().min_by_key(|(_, heard)| heard.server.last).map(|(key, _)| key)
        {
            self.0.remove(&oldest);
        }
        self.0.insert(key, Heard { server, told: now });
        true
    }
}

impl Node {
    /// Servers that are not of this cluster, as far as they were heard since this process started.
    pub fn foreign_servers(&self) -> impl Iterator<Item = &ForeignServer> {
        self.foreign.0.values().map(|heard| &heard.server)
    }

    pub(super) fn overhear(&mut self, overheard: &Overheard) {
        let Some(reply) = ServerReply::parse(&overheard.bytes) else { return };
        if self.is_of_cluster(reply) {
            return;
        }
        let (wall, hardware, identifier) = (self.fx.now.wall, overheard.hardware, reply.identifier);
        let link = self.links.get(&overheard.link).map(|link| link.name.clone()).unwrap_or_default();
        let server = ForeignServer { identifier, hardware, link: link.clone(), first: wall, last: wall, messages: 1 };
        if self.foreign.note(server, self.fx.instant()) {
            let what = format!("another DHCP server, {identifier}, answers clients on {link}");
            let evidence = format!("its {} came from {hardware}{}", reply.kind, self.who_it_may_be());
            self.fx.event(Code::ForeignServer, None, what, evidence);
        }
    }

    /// Whether a reply is from this node or another one of the cluster, as far as their identifiers are known. Some
    /// relays have all servers call themselves by the relay's address (RFC 5107).
    fn is_of_cluster(&self, reply: ServerReply) -> bool {
        let named = reply.identifier;
        let of_links = self.links.values().flat_map(|link| &link.addresses).any(|&(address, _)| address == named);
        let configured = self.configuration.server_identifiers.values().any(|&address| address == named);
        let of_peers = self.peers.values().any(|peer| peer.server_identifiers.contains(&named));
        let of_relay = reply.giaddr == named && self.selector.scope_of(named).is_some();
        of_links || configured || of_peers || of_relay
    }

    /// A partner that has not been heard since this process started has not said what it calls itself.
    fn who_it_may_be(&self) -> String {
        let unknown = self.peers.iter().filter(|(_, peer)| peer.server_identifiers.is_empty());
        let names: Vec<&str> = unknown.map(|(name, _)| name.as_str()).collect();
        if names.is_empty() {
            String::new()
        } else {
            format!("; it may be {}, not heard since this node started", names.join(" or "))
        }
    }
}
