//! One node or a pair of them, their link to each other and a link with clients, all in one value.

use crate::client::{Answer, Datagram};
use standfast_core::configuration::{
    Act, AddressRange, Boot, Configuration, FailoverSettings, LeaseTime, OptionValues, Pool, Probe,
    RelationshipSettings, Reservation, ReservationHolder, Scope, ScopeOwner, Subnet,
};
use standfast_core::id::{Incarnation, NodeName, Revision, Session, Slot};
use standfast_core::input::{Apply, Command, Identity, Input, Link, Overheard, Packet, Request, StoreHealth};
use standfast_core::lease::record::{ClientId, HardwareAddress, Lease, LeaseState};
use standfast_core::node::Node;
use standfast_core::output::{Outputs, Probing};
use standfast_core::stored::Stored;
use standfast_core::time::{Instant, Now, Wall};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

/// The client link is 10.20.0.0/24; its nodes are .1 and .2 and its pool is .50 to .59.
pub(crate) const LINK: u32 = 1;
pub(crate) const SERVERS: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 20, 0, 1), Ipv4Addr::new(10, 20, 0, 2)];
const STEP: Duration = Duration::from_millis(20);

/// A host address of the client link.
pub(crate) fn address(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 20, 0, last)
}

/// The scope of the client link.
pub(crate) fn scope() -> Scope {
    Scope {
        name: "lan".into(),
        owner: ScopeOwner::Node(NodeName::from("a")),
        disabled: false,
        subnet: Subnet { network: address(0), prefix: 24 },
        pools: vec![pool(50, 59)],
        exclude: Vec::new(),
        lease_time: LeaseTime {
            default: Duration::from_secs(3_600),
            min: Duration::from_secs(60),
            max: Duration::from_secs(86_400),
        },
        options: OptionValues::from([(3, SERVERS[0].octets().to_vec()), (6, vec![10, 0, 0, 53])]),
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
    }
}

/// 10.`second`.0.0/24 with a pool from .50 to .59, not on the client link.
pub(crate) fn other_scope(second: u8) -> Scope {
    let host = |last| Ipv4Addr::new(10, second, 0, last);
    let range = AddressRange { first: host(50), last: host(59) };
    Scope {
        name: format!("net-{second}").into(),
        subnet: Subnet { network: host(0), prefix: 24 },
        pools: vec![Pool { range, class: None, options: OptionValues::new() }],
        options: OptionValues::new(),
        ..scope()
    }
}

/// Addresses of the client link.
pub(crate) fn pool(first: u8, last: u8) -> Pool {
    let range = AddressRange { first: address(first), last: address(last) };
    Pool { range, class: None, options: OptionValues::new() }
}

/// An address of the client link kept for `holder`.
pub(crate) fn reservation(holder: ReservationHolder, last: u8) -> Reservation {
    Reservation { holder, address: address(last), hostname: None, options: OptionValues::new(), boot: Boot::default() }
}

/// A cluster of the nodes "a" and "b" with these scopes.
pub(crate) fn configuration(scopes: Vec<Scope>) -> Configuration {
    Configuration {
        cluster: "conformance".into(),
        revision: Revision { number: 1, node: NodeName::from("a") },
        nodes: vec![NodeName::from("a"), NodeName::from("b")],
        relationships: Vec::new(),
        scopes,
        classes: Vec::new(),
        server_identifiers: BTreeMap::new(),
        text: "".into(),
        act: Act::default(),
    }
}

/// With "a", the primary, and "b" as a relationship that all scopes belong to.
fn paired(mut configuration: Configuration) -> Configuration {
    configuration.relationships.push(RelationshipSettings {
        name: "pair".into(),
        primary: NodeName::from("a"),
        standby: NodeName::from("b"),
        failover: FailoverSettings::default(),
    });
    for scope in &mut configuration.scopes {
        scope.owner = ScopeOwner::Relationship("pair".into());
    }
    configuration
}

/// Nodes, clients and time.
pub(crate) struct Lab {
    nodes: Vec<Node>,
    now: Instant,
    session: Option<Session>,
    sessions: u64,
    heard: Vec<Answer>,
    told: Vec<&'static str>,
    looked_for: Vec<(usize, Probing)>,
    dead: Option<usize>,
}

impl Lab {
    /// Node "a" alone, with these scopes.
    pub(crate) fn alone(scopes: Vec<Scope>) -> Self {
        Self::of(configuration(scopes), 1)
    }

    /// Nodes "a", the primary, and "b", in Normal, with these scopes: "a" is active.
    pub(crate) fn pair(scopes: Vec<Scope>) -> Self {
        Self::pair_of(configuration(scopes))
    }

    /// As [`Lab::pair`], with the classes of `configuration` too.
    pub(crate) fn pair_of(configuration: Configuration) -> Self {
        let mut lab = Self::of(paired(configuration), 2);
        lab.connect();
        lab.run(Duration::from_secs(2));
        let active: Vec<bool> = lab.nodes.iter().map(|node| node.status().relationships[0].active).collect();
        assert_eq!(active, [true, false], "the primary serves and the standby is deactivated");
        lab
    }

    /// Two nodes that have not met yet.
    pub(crate) fn pair_apart(scopes: Vec<Scope>) -> Self {
        Self::of(paired(configuration(scopes)), 2)
    }

    /// The first nodes of a configuration, not connected.
    pub(crate) fn of(configuration: Configuration, nodes: usize) -> Self {
        let configuration = Arc::new(configuration);
        let now = Now { instant: Instant(1_000_000), wall: Wall(1_000) };
        let node = |index: usize| {
            let identity = Identity {
                node: configuration.nodes[index].clone(),
                incarnation: Incarnation(index as u64 + 1),
                new_cluster: true,
            };
            let mut node = Node::new(identity, Arc::clone(&configuration), Stored::default(), now);
            node.handle(now, Input::Links(vec![link(index)]));
            node
        };
        let mut lab = Self {
            nodes: (0..nodes).map(node).collect(),
            now: now.instant,
            session: None,
            sessions: 0,
            heard: Vec::new(),
            told: Vec::new(),
            looked_for: Vec::new(),
            dead: None,
        };
        lab.settle();
        lab.run(Duration::from_millis(100));
        lab
    }

    /// The node, to look at.
    pub(crate) fn node(&self, index: usize) -> &Node {
        &self.nodes[index]
    }

    /// The state of the lease of an address at a node, unless it has no record.
    pub(crate) fn lease(&self, index: usize, address: Ipv4Addr) -> Option<&Lease> {
        self.nodes[index].leases().map(|(_, lease)| lease).find(|lease| lease.address == address)
    }

    /// The state of an address at node "a" as of now, `Free` without a record.
    pub(crate) fn state(&self, address: Ipv4Addr) -> LeaseState {
        self.lease(0, address).map_or(LeaseState::Free, |lease| lease.state_at(self.now))
    }

    /// Whether node "a" has `client` as the holder of a live lease of an address.
    pub(crate) fn holds(&self, client: &ClientId, address: Ipv4Addr) -> bool {
        self.lease(0, address).is_some_and(|lease| lease.client == *client && lease.is_live(self.now))
    }

    /// What a node says to a datagram, at once and until the replication deadline has passed.
    pub(crate) fn send(&mut self, index: usize, datagram: &Datagram) -> Vec<Answer> {
        self.heard.clear();
        let packet = Packet {
            link: LINK,
            source: datagram.source,
            destination: datagram.destination.unwrap_or(SERVERS[index]),
            received: self.now,
            bytes: datagram.bytes(),
        };
        self.handle(index, Input::Packet(packet));
        self.settle();
        self.run(Duration::from_millis(300));
        std::mem::take(&mut self.heard)
    }

    /// Node "a" gets a datagram, and nothing else happens yet: what it writes is on its way to the disk.
    pub(crate) fn begin(&mut self, datagram: &Datagram) {
        let packet = Packet {
            link: LINK,
            source: datagram.source,
            destination: datagram.destination.unwrap_or(SERVERS[0]),
            received: self.now,
            bytes: datagram.bytes(),
        };
        self.handle(0, Input::Packet(packet));
    }

    /// The clock goes on without the nodes.
    pub(crate) fn stand_still(&mut self) {
        self.now += Duration::from_secs(5);
        self.handle(0, Input::Tick);
        self.settle();
    }

    /// The store of node "a" fails, and works again.
    pub(crate) fn fail_store(&mut self) {
        self.handle(0, Input::StoreHealth(StoreHealth::Failing));
        self.settle();
        self.handle(0, Input::StoreHealth(StoreHealth::Working));
        self.settle();
    }

    /// Node "a" takes the configuration that it has, as another revision.
    pub(crate) fn configure_anew(&mut self) {
        let scopes = self.nodes[0].configuration().scopes.clone();
        self.configure(scopes);
    }

    /// What is said while time passes.
    pub(crate) fn listen(&mut self, duration: Duration) -> Vec<Answer> {
        self.heard.clear();
        self.run(duration);
        std::mem::take(&mut self.heard)
    }

    /// The addresses that a node has looked for since the last look.
    pub(crate) fn looked_for(&mut self, index: usize) -> Vec<Ipv4Addr> {
        let (of_node, others) = std::mem::take(&mut self.looked_for).into_iter().partition(|(node, _)| *node == index);
        self.looked_for = others;
        let of_node: Vec<(usize, Probing)> = of_node;
        of_node.into_iter().map(|(_, probing)| probing.address).collect()
    }

    /// Somebody on the client link says to node "a" that it has an address. Returns what the node says to that.
    pub(crate) fn has(&mut self, address: Ipv4Addr, hardware: HardwareAddress) -> Vec<Answer> {
        self.heard.clear();
        self.handle(0, Input::ProbeAnswered { link: Some(LINK), address, hardware: Some(hardware) });
        self.settle();
        std::mem::take(&mut self.heard)
    }

    /// A node hears what some server says to a client on the link.
    pub(crate) fn overhear(&mut self, index: usize, hardware: HardwareAddress, bytes: Vec<u8>) {
        self.handle(index, Input::Overheard(Overheard { link: LINK, hardware, bytes }));
        self.settle();
    }

    /// How often node "a" answers if it gets a datagram so many times at one instant.
    pub(crate) fn flood(&mut self, datagram: &Datagram, times: usize) -> usize {
        self.heard.clear();
        for _ in 0..times {
            let packet = Packet {
                link: LINK,
                source: datagram.source,
                destination: datagram.destination.unwrap_or(SERVERS[0]),
                received: self.now,
                bytes: datagram.bytes(),
            };
            self.handle(0, Input::Packet(packet));
        }
        self.settle();
        std::mem::take(&mut self.heard).len()
    }

    /// The one answer of node "a".
    pub(crate) fn ask(&mut self, datagram: &Datagram) -> Answer {
        let mut answers = self.send(0, datagram);
        assert_eq!(answers.len(), 1, "one answer, but: {answers:?}, {:?}", self.nodes[0].counters());
        answers.remove(0)
    }

    /// Why node `index` says nothing; fails if it does say something, or if a lease changes there.
    pub(crate) fn silence(&mut self, index: usize, datagram: &Datagram) -> &'static str {
        let before = self.nodes[index].counters().silent.clone();
        let leases: Vec<Lease> = self.nodes[index].leases().map(|(_, lease)| lease.clone()).collect();
        assert_eq!(self.send(index, datagram), [], "no answer");
        let after: Vec<Lease> = self.nodes[index].leases().map(|(_, lease)| lease.clone()).collect();
        assert_eq!(leases, after, "no lease changes");
        let silent = self.nodes[index].counters().silent.clone();
        let counted: Vec<_> = silent.into_iter().filter(|(reason, n)| before.get(reason) != Some(n)).collect();
        assert_eq!(counted.len(), 1, "one reason is counted, but: {counted:?}");
        counted[0].0
    }

    /// Lets time pass.
    pub(crate) fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.now < end {
            self.now += STEP;
            for index in 0..self.nodes.len() {
                self.handle(index, Input::Tick);
            }
            self.settle();
        }
    }

    /// Lets a long time pass in which nothing is due often.
    pub(crate) fn skip(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.now < end {
            self.now += Duration::from_millis(200).min(end.since(self.now));
            for index in 0..self.nodes.len() {
                self.handle(index, Input::Tick);
            }
            self.settle();
        }
    }

    /// The two nodes find each other.
    pub(crate) fn connect(&mut self) {
        self.sessions += 1;
        let session = Session(self.sessions);
        self.session = Some(session);
        for index in 0..2 {
            let peer = self.nodes[1 - index].status().node;
            self.handle(index, Input::PeerUp { peer, session });
        }
        self.settle();
    }

    /// The cable between the two nodes is cut, and both have noticed.
    pub(crate) fn cut(&mut self) {
        self.disconnect();
        self.run(Duration::from_secs(2));
    }

    /// Node `index` dies, and the other one has noticed.
    pub(crate) fn kill(&mut self, index: usize) {
        self.dead = Some(index);
        self.cut();
    }

    /// The nodes take a configuration with other scopes; one that does not run is done without.
    pub(crate) fn configure(&mut self, scopes: Vec<Scope>) {
        let text = format!("{scopes:?}").into();
        let configuration =
            Arc::new(Configuration { scopes, text, ..Configuration::clone(self.nodes[0].configuration()) });
        let without = if self.nodes.len() == 1 { BTreeSet::from(["b".into()]) } else { BTreeSet::new() };
        let apply = Apply { configuration, base: None, without, dry_run: false };
        self.handle(0, Input::Operator(Request(1), Command::Apply(apply)));
        self.settle();
    }

    /// The names of the events since the last look.
    pub(crate) fn events(&mut self) -> Vec<&'static str> {
        std::mem::take(&mut self.told)
    }

    /// The slot of a node: it is the home of addresses with that last bit.
    pub(crate) fn slot(&self, index: usize) -> Slot {
        let epoch = self.nodes[0].status().relationships[0].epoch;
        let of_a = if self.nodes[0].status().relationships[0].epoch_node == self.nodes[0].status().node {
            epoch.slot
        } else {
            epoch.slot.other()
        };
        if index == 0 { of_a } else { of_a.other() }
    }

    fn disconnect(&mut self) {
        let Some(session) = self.session.take() else { return };
        for index in 0..2 {
            let peer = self.nodes[1 - index].status().node;
            self.handle(index, Input::PeerDown { peer, session });
        }
        self.settle();
    }

    fn handle(&mut self, index: usize, input: Input) {
        let now = Now { instant: self.now, wall: Wall(self.now.0 / 1_000) };
        if self.dead != Some(index) {
            self.nodes[index].handle(now, input);
        }
    }

    /// Does what the nodes want done until they want nothing more. Disks and cables are infinitely fast.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            let outputs: Vec<Outputs> = self.nodes.iter_mut().map(Node::outputs).collect();
            let quiet = |o: &Outputs| o.writes.is_empty() && o.messages.is_empty() && o.disconnects.is_empty();
            let done = outputs.iter().all(quiet);
            for (index, outputs) in outputs.into_iter().enumerate() {
                self.perform(index, outputs);
            }
            if done {
                return;
            }
        }
        panic!("the nodes never come to rest");
    }

    fn perform(&mut self, index: usize, outputs: Outputs) {
        self.heard.extend(outputs.replies.iter().map(|reply| Answer::read(index, reply)));
        self.looked_for.extend(outputs.probes.iter().map(|&probing| (index, probing)));
        self.told.extend(outputs.events.iter().map(|event| event.code.name()));
        if let Some(last) = outputs.writes.last() {
            self.handle(index, Input::Persisted(last.sequence));
        }
        for outgoing in outputs.messages {
            if self.session == Some(outgoing.session) {
                let (peer, session) = (self.nodes[index].status().node, outgoing.session);
                self.handle(1 - index, Input::Peer { peer, session, message: outgoing.message });
            }
        }
        if !outputs.disconnects.is_empty() {
            self.disconnect();
        }
    }
}

fn link(index: usize) -> Link {
    Link { index: LINK, name: "lan".into(), addresses: vec![(SERVERS[index], 24)], mtu: 1_500, carrier: true }
}
