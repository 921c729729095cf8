//! Nodes in one thread, two as a rule, joined by streams that deliver in order and at once, with disks that are as
//! fast.

use dhcproto::v4::{DhcpOption, Message, MessageType, Opcode, OptionCode};
use dhcproto::{Decodable, Decoder, Encodable};
use standfast_core::configuration::{
    Act, AddressRange, Boot, Configuration, FailoverSettings, LeaseTime, Pool, Probe, RelationshipSettings, Scope,
    ScopeOwner, Subnet,
};
use standfast_core::event::Event;
use standfast_core::id::{Incarnation, NodeName, Revision, Session};
use standfast_core::input::{Command, Identity, Input, Link, Packet, Request};
use standfast_core::message::{ConfigurationMessage, PeerMessage, Unreadable};
use standfast_core::node::{Node, RelationshipStatus};
use standfast_core::output::{CommandResult, Outgoing, Reply, StoredRecord, Write};
use standfast_core::stored::Stored;
use standfast_core::time::{Instant, Now, Wall};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

pub(crate) const NODES: [&str; 3] = ["a", "b", "c"];

/// What a disk holds, by a key that a later write replaces.
type Disk = BTreeMap<String, Write>;

pub(crate) struct Host {
    pub(crate) node: Option<Node>,
    pub(crate) disk: Disk,
    pub(crate) replies: Vec<Reply>,
    pub(crate) events: Vec<Event>,
    pub(crate) answers: Vec<CommandResult>,
    pub(crate) left: bool,
    /// It is of a version that cannot read what others apply.
    pub(crate) is_older: bool,
    starts: u64,
}

pub(crate) struct Pair {
    pub(crate) now: Instant,
    pub(crate) hosts: Vec<Host>,
    /// Which nodes are joined, and in which session.
    pub(crate) links: BTreeMap<(usize, usize), Option<Session>>,
    /// The file that nodes are started with.
    pub(crate) file: Configuration,
    sessions: u64,
    requests: u64,
}

pub(crate) fn configuration() -> Configuration {
    let failover = FailoverSettings { mclt: Duration::from_secs(600), ..FailoverSettings::default() };
    let range =
        |first, last| AddressRange { first: Ipv4Addr::new(10, 0, 0, first), last: Ipv4Addr::new(10, 0, 0, last) };
    Configuration {
        cluster: "test".into(),
        revision: Revision { number: 1, node: NodeName::from("a") },
        nodes: NODES[..2].iter().map(|&name| name.into()).collect(),
        relationships: vec![RelationshipSettings {
            name: "office".into(),
            primary: "a".into(),
            standby: "b".into(),
            failover,
        }],
        scopes: vec![Scope {
            name: "lan".into(),
            owner: ScopeOwner::Relationship("office".into()),
            disabled: false,
            subnet: Subnet { network: Ipv4Addr::new(10, 0, 0, 0), prefix: 24 },
            pools: vec![Pool { range: range(50, 57), class: None, options: BTreeMap::new() }],
            exclude: Vec::new(),
            lease_time: LeaseTime {
                default: Duration::from_secs(7_200),
                min: Duration::from_secs(60),
                max: Duration::from_secs(7_200),
            },
            options: BTreeMap::new(),
            reservations: Vec::new(),
            authoritative: true,
            nak_unknown_clients: false,
            shared_network: None,
            relays: Vec::new(),
            subnet_selection: false,
            rapid_commit: false,
            bootp: false,
            decline_time: Duration::from_secs(600),
            offer_hold: Duration::from_secs(30),
            probe: Probe::Off,
            v6only_wait: None,
            boot: Boot::default(),
            forced_options: Vec::new(),
        }],
        classes: Vec::new(),
        server_identifiers: BTreeMap::new(),
        text: "".into(),
        act: Act::default(),
    }
}

impl Pair {
    /// Both nodes started with empty stores in a cluster that is new, and connected.
    pub(crate) fn new() -> Self {
        let mut pair = Self::unstarted();
        pair.start(0, true);
        pair.start(1, true);
        pair.connect();
        pair
    }

    pub(crate) fn unstarted() -> Self {
        Self::of(configuration())
    }

    /// The nodes of a configuration, of which none runs.
    pub(crate) fn of(file: Configuration) -> Self {
        switch_rule_off();
        let host = || Host {
            node: None,
            disk: Disk::new(),
            replies: Vec::new(),
            events: Vec::new(),
            answers: Vec::new(),
            left: false,
            is_older: false,
            starts: 0,
        };
        Self {
            now: Instant(0),
            hosts: NODES.iter().map(|_| host()).collect(),
            links: BTreeMap::new(),
            file,
            sessions: 0,
            requests: 0,
        }
    }

    pub(crate) fn clock(&self) -> Now {
        Now { instant: self.now, wall: Wall(1_800_000_000_000 + self.now.0 / 1_000) }
    }

    /// Starts a node with what its disk holds.
    pub(crate) fn start(&mut self, host: usize, new_cluster: bool) {
        self.hosts[host].starts += 1;
        let incarnation = Incarnation(self.hosts[host].starts * 10 + host as u64);
        let identity = Identity { node: NODES[host].into(), incarnation, new_cluster };
        let stored = self.stored(host);
        let mut node = Node::new(identity, Arc::new(self.file.clone()), stored, self.clock());
        let link = Link {
            index: 1,
            name: "eth1".into(),
            addresses: vec![(Ipv4Addr::new(10, 0, 0, 1 + host as u8), 24)],
            mtu: 1_500,
            carrier: true,
        };
        node.handle(self.clock(), Input::Links(vec![link]));
        self.hosts[host].node = Some(node);
        self.settle();
    }

    fn stored(&self, host: usize) -> Stored {
        let mut stored = Stored::default();
        for write in self.hosts[host].disk.values() {
            stored.sequence = stored.sequence.max(write.sequence);
            match write.record.clone() {
                StoredRecord::Lease(name, lease) => stored.leases.push((name, lease)),
                StoredRecord::Relationship(record) => stored.relationships.push(record),
                StoredRecord::Node(record) => stored.node = Some(record),
                StoredRecord::Configuration(record) => stored.configuration = Some(record),
            }
        }
        stored
    }

    /// The process of a node ends, and its host says so to everyone.
    pub(crate) fn kill(&mut self, host: usize) {
        self.hosts[host].node = None;
        for other in (0..NODES.len()).filter(|&other| other != host) {
            self.separate(host, other);
            self.input(other, Input::PeerGone { peer: NODES[host].into() });
        }
    }

    pub(crate) fn connect(&mut self) {
        self.join(0, 1);
    }

    pub(crate) fn disconnect(&mut self) {
        self.separate(0, 1);
    }

    /// Joins two nodes; whenever their session ends they begin another one.
    pub(crate) fn join(&mut self, one: usize, other: usize) {
        let link = (one.min(other), one.max(other));
        self.sessions += 1;
        let session = Session(self.sessions);
        self.links.insert(link, Some(session));
        for (host, peer) in [link, (link.1, link.0)] {
            self.raw_input(host, Input::PeerUp { peer: NODES[peer].into(), session });
        }
        self.settle();
    }

    pub(crate) fn separate(&mut self, one: usize, other: usize) {
        let link = (one.min(other), one.max(other));
        let session = self.links.remove(&link).flatten();
        self.end_session(link, session);
        self.settle();
    }

    fn end_session(&mut self, link: (usize, usize), session: Option<Session>) {
        let Some(session) = session else { return };
        for (host, peer) in [link, (link.1, link.0)] {
            self.raw_input(host, Input::PeerDown { peer: NODES[peer].into(), session });
        }
    }

    pub(crate) fn input(&mut self, host: usize, input: Input) {
        self.raw_input(host, input);
        self.settle();
    }

    pub(crate) fn raw_input(&mut self, host: usize, input: Input) {
        let clock = self.clock();
        if let Some(node) = self.hosts[host].node.as_mut() {
            node.handle(clock, input);
        }
    }

    /// Lets everything happen that follows at this instant.
    pub(crate) fn settle(&mut self) {
        while (0..NODES.len()).fold(false, |busy, host| self.perform(host) | busy) {}
        let ended: Vec<_> = self.links.iter().filter(|(_, session)| session.is_none()).map(|(&link, _)| link).collect();
        for (one, other) in ended {
            self.join(one, other);
        }
    }

    /// Does what a node says; whether there was anything that others notice.
    fn perform(&mut self, host: usize) -> bool {
        let Some(node) = self.hosts[host].node.as_mut() else { return false };
        let outputs = node.outputs();
        let mut busy = false;
        self.hosts[host].left |= outputs.left;
        self.hosts[host].replies.extend(outputs.replies);
        self.hosts[host].events.extend(outputs.events);
        self.hosts[host].answers.extend(outputs.answers.into_iter().map(|(_, result)| result));
        if let Some(last) = outputs.writes.last().map(|write| write.sequence) {
            busy = true;
            let writes = outputs.writes.into_iter().map(|write| (key(&write.record), write));
            self.hosts[host].disk.extend(writes);
            self.raw_input(host, Input::Persisted(last));
        }
        for Outgoing { to, session, message } in outputs.messages {
            let peer = position(&to);
            if self.links.get(&(host.min(peer), host.max(peer))) == Some(&Some(session)) {
                busy = true;
                let message = if self.hosts[peer].is_older { unread(message) } else { message };
                self.raw_input(peer, Input::Peer { peer: NODES[host].into(), session, message });
            }
        }
        for peer in outputs.disconnects {
            busy = true;
            let peer = position(&peer);
            let link = (host.min(peer), host.max(peer));
            let session = self.links.get_mut(&link).and_then(Option::take);
            self.end_session(link, session);
        }
        busy
    }

    /// Lets time pass, with every deadline kept.
    pub(crate) fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            let deadlines = self.hosts.iter().filter_map(|host| host.node.as_ref()?.deadline());
            let next = deadlines.map(|(at, _)| at).min().unwrap_or(end).max(self.now + Duration::from_micros(1));
            if next > end {
                break;
            }
            self.now = next;
            for host in 0..NODES.len() {
                self.raw_input(host, Input::Tick);
            }
            self.settle();
        }
        self.now = end;
        for host in 0..NODES.len() {
            self.raw_input(host, Input::Tick);
        }
        self.settle();
    }

    pub(crate) fn command(&mut self, host: usize, command: Command) {
        self.requests += 1;
        self.input(host, Input::Operator(Request(self.requests), command));
    }

    pub(crate) fn status(&self, host: usize) -> RelationshipStatus {
        self.hosts[host].node.as_ref().unwrap().status().relationships.remove(0)
    }

    pub(crate) fn phase(&self, host: usize) -> &'static str {
        self.status(host).phase.as_str()
    }

    pub(crate) fn active(&self) -> Vec<usize> {
        (0..NODES.len()).filter(|&host| self.hosts[host].node.is_some() && self.status(host).active).collect()
    }

    /// The tables of both nodes, without what is local and with times in seconds.
    pub(crate) fn tables(&self) -> [BTreeSet<String>; 2] {
        [0, 1].map(|host| {
            let node = self.hosts[host].node.as_ref().unwrap();
            node.leases().map(|(_, l)| format!("{} {:?} {} {:?}", l.address, l.state, l.client, l.version)).collect()
        })
    }

    /// Sends a message on the link, so that the hosts named hear it.
    pub(crate) fn send(&mut self, hosts: &[usize], message: &Message, destination: Ipv4Addr) {
        let bytes = message.to_vec().unwrap();
        let source = SocketAddrV4::new(message.ciaddr(), 68);
        for &host in hosts {
            let packet = Packet { link: 1, source, destination, received: self.now, bytes: bytes.clone() };
            self.raw_input(host, Input::Packet(packet));
        }
        self.settle();
    }

    /// The replies since the last call: host, type, address, lease time.
    pub(crate) fn heard(&mut self) -> Vec<(usize, MessageType, Ipv4Addr, Option<u32>)> {
        let mut heard = Vec::new();
        for host in 0..NODES.len() {
            for reply in std::mem::take(&mut self.hosts[host].replies) {
                let message = Message::decode(&mut Decoder::new(&reply.bytes)).unwrap();
                let lease = match message.opts().get(OptionCode::AddressLeaseTime) {
                    Some(DhcpOption::AddressLeaseTime(seconds)) => Some(*seconds),
                    _ => None,
                };
                heard.push((host, message.opts().msg_type().unwrap(), message.yiaddr(), lease));
            }
        }
        heard
    }

    /// A client that is new gets an address from whoever answers first.
    pub(crate) fn acquire(&mut self, client: u8) -> Option<(usize, Ipv4Addr, u32)> {
        self.acquire_from(client, &[0, 1])
    }

    pub(crate) fn acquire_from(&mut self, client: u8, hosts: &[usize]) -> Option<(usize, Ipv4Addr, u32)> {
        self.send(hosts, &message(client, MessageType::Discover), Ipv4Addr::BROADCAST);
        let (server, _, address, _) = *self.heard().iter().find(|(_, kind, ..)| *kind == MessageType::Offer)?;
        let mut request = message(client, MessageType::Request);
        request.opts_mut().insert(DhcpOption::RequestedIpAddress(address));
        request.opts_mut().insert(DhcpOption::ServerIdentifier(Ipv4Addr::new(10, 0, 0, 1 + server as u8)));
        self.send(hosts, &request, Ipv4Addr::BROADCAST);
        let ack = self.heard().into_iter().find(|(_, kind, ..)| *kind == MessageType::Ack)?;
        Some((ack.0, ack.2, ack.3.unwrap()))
    }

    /// A client that is new looks for an address.
    pub(crate) fn discover(&mut self, client: u8) -> Vec<(usize, MessageType, Ipv4Addr, Option<u32>)> {
        self.send(&[0, 1], &message(client, MessageType::Discover), Ipv4Addr::BROADCAST);
        self.heard()
    }

    /// A client broadcasts to extend its lease.
    pub(crate) fn rebind(
        &mut self,
        client: u8,
        address: Ipv4Addr,
        hosts: &[usize],
    ) -> Vec<(usize, MessageType, Ipv4Addr, Option<u32>)> {
        let mut request = message(client, MessageType::Request);
        request.set_ciaddr(address);
        self.send(hosts, &request, Ipv4Addr::BROADCAST);
        self.heard()
    }
}

pub(crate) fn message(client: u8, kind: MessageType) -> Message {
    let zero = Ipv4Addr::UNSPECIFIED;
    let mut message = Message::new_with_id(u32::from(client), zero, zero, zero, zero, &[2, 0, 0, 0, 0, client]);
    message.set_opcode(Opcode::BootRequest);
    message.opts_mut().insert(DhcpOption::MessageType(kind));
    message
}

/// With the feature `mutants`, `STANDFAST_WITHOUT=RULE` shows which stories notice that a rule is missing.
#[cfg(feature = "mutants")]
fn switch_rule_off() {
    use standfast_core::mutant::{Rule, without};
    let name = std::env::var("STANDFAST_WITHOUT").ok();
    without(name.map(|name| *Rule::ALL.iter().find(|rule| rule.name() == name).expect("a rule of that name")));
}

#[cfg(not(feature = "mutants"))]
fn switch_rule_off() {}

/// A message as it arrives at a node that cannot read the configuration in it.
fn unread(message: PeerMessage) -> PeerMessage {
    let PeerMessage::Configuration(ConfigurationMessage::Revision { reading: Ok(configuration), proposal }) = message
    else {
        return message;
    };
    let unreadable = Unreadable { revision: configuration.revision.clone(), why: "line 7: what is that?".into() };
    PeerMessage::Configuration(ConfigurationMessage::Revision { reading: Err(unreadable), proposal })
}

fn position(name: &NodeName) -> usize {
    NODES.iter().position(|node| *node == name.as_str()).unwrap()
}

fn key(record: &StoredRecord) -> String {
    match record {
        StoredRecord::Lease(name, lease) => format!("lease {name} {}", lease.address),
        StoredRecord::Relationship(record) => format!("relationship {}", record.relationship),
        StoredRecord::Node(_) => "node".into(),
        StoredRecord::Configuration(_) => "configuration".into(),
    }
}
