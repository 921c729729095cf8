//! Everything around the two nodes: the network, clients, operators, faults; and the judge.

use super::node::{Disk, Node, Phase, Reply};
use super::record::State;
use super::session::Message;
use super::{GRACE, LONGEST, MCLT, Mutation, Rules, Tick};
use crate::random::Random;
use std::collections::{BTreeMap, VecDeque};

/// What a walk did.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Answers that reached a client.
    pub grants: u64,
    /// Times that a node entered Normal, PartnerDown.
    pub normals: u64,
    pub partner_downs: u64,
    pub leaves: u64,
    pub wipes: u64,
    /// Answers given in PartnerDown.
    pub alone: u64,
    /// Times that a serving node ended PartnerDown.
    pub regained: u64,
}

impl Stats {
    /// Adds another walk's.
    pub fn add(&mut self, other: &Self) {
        self.grants += other.grants;
        self.normals += other.normals;
        self.partner_downs += other.partner_downs;
        self.leaves += other.leaves;
        self.wipes += other.wipes;
        self.alone += other.alone;
        self.regained += other.regained;
    }

    /// All of them.
    #[must_use]
    pub fn counts(&self) -> [u64; 7] {
        let Self { grants, normals, partner_downs, leaves, wipes, alone, regained } = *self;
        [grants, normals, partner_downs, leaves, wipes, alone, regained]
    }
}

/// An invariant that was broken, and the history that led to it.
#[derive(Clone, Debug)]
pub struct Violation {
    pub seed: u64,
    pub step: u32,
    pub invariant: &'static str,
    pub detail: String,
    pub history: Vec<String>,
}

struct Envelope {
    session: u64,
    sent: Tick,
    message: Message,
}

#[derive(Clone, Copy, Default)]
struct Client {
    exchange: u64,
    address: Option<usize>,
}

/// A lease as its client sees it.
#[derive(Clone, Copy)]
struct Held {
    until: Tick,
    /// Whose disks must know it.
    known: [bool; 2],
}

/// The kinds of event of a walk, and their usual weights.
const EVENTS: [(&str, u32); 21] = [
    ("tick", 150),
    ("persist", 900),
    ("deliver", 1500),
    ("request", 400),
    ("overdue", 60),
    ("release", 50),
    ("decline", 6),
    ("relinquish", 300),
    ("give up ask", 15),
    ("disconnect", 15),
    ("connect", 100),
    ("crash", 8),
    ("wipe", 4),
    ("start", 80),
    ("start alone", 50),
    ("promise", 15),
    ("leave", 12),
    ("switch", 15),
    ("calm", 12),
    ("death", 6),
    ("farewell", 6),
];

pub struct World {
    seed: u64,
    random: Random,
    rules: Rules,
    weights: [u32; EVENTS.len()],
    now: Tick,
    step: u32,
    addresses: usize,
    nodes: [Node; 2],
    /// On the way to each node.
    queues: [VecDeque<Envelope>; 2],
    session: u64,
    clients: Vec<Client>,
    held: BTreeMap<(usize, usize), Held>,
    /// Highest expiry that each node ever had on disk, by address and client.
    ever_on_disk: [BTreeMap<(usize, usize), Tick>; 2],
    crashed_at: [Tick; 2],
    last_phase: [Phase; 2],
    /// An operator promised that this node is off until it has synced.
    promised_off: [bool; 2],
    exchanges: u64,
    stats: Stats,
    history: Option<Vec<String>>,
    violation: Option<(&'static str, String)>,
}

impl World {
    #[must_use]
    pub fn new(seed: u64, rules: Rules) -> Self {
        let mut random = Random::new(seed);
        let addresses = random.between(2, 4) as usize;
        let clients = random.between(2, 3) as usize;
        // Some kinds of event never happen in a walk, others often: see "swarm testing", Groce et al. 2012.
        let weights = EVENTS.map(|(_, weight)| match random.below(10) {
            0 => 0,
            1 | 2 => weight * 5,
            3 | 4 => weight.div_ceil(3),
            5 => weight.div_ceil(10),
            _ => weight,
        });
        let mut world = Self {
            seed,
            random,
            rules,
            weights,
            now: 0,
            step: 0,
            addresses,
            nodes: [Node::new(0, addresses, rules), Node::new(1, addresses, rules)],
            queues: [VecDeque::new(), VecDeque::new()],
            session: 0,
            clients: vec![Client::default(); clients],
            held: BTreeMap::new(),
            ever_on_disk: [BTreeMap::new(), BTreeMap::new()],
            crashed_at: [0; 2],
            last_phase: [Phase::Off; 2],
            promised_off: [false; 2],
            exchanges: 0,
            stats: Stats::default(),
            history: None,
            violation: None,
        };
        // Without these nothing else ever happens.
        for (i, (name, weight)) in EVENTS.iter().enumerate() {
            if matches!(*name, "tick" | "persist" | "deliver" | "request" | "connect" | "start") {
                world.weights[i] = world.weights[i].max(weight.div_ceil(if *name == "start" { 10 } else { 3 }));
            }
        }
        world
    }

    /// Keeps the history of the walk for a [`Violation`].
    #[must_use]
    pub fn recorded(mut self) -> Self {
        self.history = Some(Vec::new());
        self
    }

    /// # Errors
    /// The first invariant that was broken.
    pub fn walk(mut self, steps: u32) -> Result<Stats, Violation> {
        while self.step < steps && self.violation.is_none() {
            self.step += 1;
            let event = self.random.weighted(&self.weights);
            self.event(EVENTS[event].0);
            self.settle();
            self.check();
        }
        if self.violation.is_none() {
            self.heal();
        }
        match self.violation {
            None => Ok(self.stats),
            Some((invariant, detail)) => Err(Violation {
                seed: self.seed,
                step: self.step,
                invariant,
                detail,
                history: self.history.unwrap_or_default(),
            }),
        }
    }

    fn event(&mut self, event: &str) {
        let n = self.random.index(2);
        let client = self.random.index(self.clients.len());
        let address = self.random.index(self.addresses);
        let partner_off = self.nodes[1 - n].phase == Phase::Off;
        match event {
            "tick" => self.now += 1,
            "persist" => {
                let all = self.random.percent(30);
                while self.nodes[n].persist() && all {}
            }
            "deliver" => self.deliver(n),
            "request" => self.request(n, client),
            "overdue" => self.answer(n, true),
            "release" => self.give_back(n, client, false),
            "decline" => self.give_back(n, client, true),
            "relinquish" => self.nodes[n].relinquish(self.now, address),
            "give up ask" => self.nodes[n].asked[address] = None,
            "disconnect" => self.nodes[n].disconnect(),
            "connect" if self.may_connect() => self.connect(),
            "crash" if self.nodes[n].phase != Phase::Off => self.crash(n),
            "wipe" if self.may_wipe(n) => self.wipe(n),
            "start" if matches!(self.nodes[n].phase, Phase::Leaving { .. }) => self.crash(n),
            "start" if self.nodes[n].phase == Phase::Off => self.nodes[n].phase = Phase::Startup,
            "start alone" if self.nodes[n].phase == Phase::Startup && !self.promised_off[n] => {
                if self.nodes[n].session.is_none() {
                    self.nodes[n].start_alone();
                }
            }
            "promise" if partner_off && self.may_promise(n) => {
                self.promised_off[1 - n] = true;
                self.nodes[n].promise(self.crashed_at[1 - n]);
            }
            "leave" => self.nodes[n].leave(self.now),
            "switch" => self.nodes[n].switch(),
            // Stories that single events would tell too seldom.
            "calm" => self.calm(),
            "death" if self.may_die(1 - n) => {
                self.crash(1 - n);
                self.nodes[n].disconnect();
                self.promised_off[1 - n] = true;
                self.nodes[n].promise(self.crashed_at[1 - n]);
            }
            "farewell" => {
                self.nodes[n].leave(self.now);
                if self.random.percent(70) {
                    self.drain();
                }
                if matches!(self.nodes[n].phase, Phase::Leaving { .. }) {
                    self.crash(n);
                }
                self.nodes[1 - n].disconnect();
            }
            _ => return,
        }
        self.note(|world| format!("{event} node{n} client{client} address{address}: {:?}", world.nodes[n].phase));
    }

    fn may_die(&self, n: usize) -> bool {
        self.nodes[n].phase != Phase::Off && self.nodes[1 - n].phase == Phase::Interrupted && !self.promised_off[1 - n]
    }

    /// Both nodes run and are connected until nothing is left to say.
    fn calm(&mut self) {
        for node in &mut self.nodes {
            if matches!(node.phase, Phase::Off | Phase::Leaving { .. }) {
                node.crash();
                node.phase = Phase::Startup;
            }
        }
        if self.nodes.iter().any(|node| node.session.is_none()) {
            self.connect();
        }
        self.drain();
    }

    fn drain(&mut self) {
        for _ in 0..60 {
            for n in 0..2 {
                while self.nodes[n].persist() {}
                self.settle();
                self.deliver(n);
                self.check();
            }
        }
    }

    fn note(&mut self, line: impl FnOnce(&Self) -> String) {
        if self.history.is_some() {
            let line = format!("{:5} t{:4} {}", self.step, self.now, line(self));
            self.history.get_or_insert_default().push(line);
        }
    }

    /// Everything that follows without delay: answers leave, messages enter the network.
    fn settle(&mut self) {
        for n in 0..2 {
            let before = self.nodes[n].phase;
            self.nodes[n].advance();
            self.answer(n, false);
            let session = self.nodes[n].session.as_ref().map(|session| session.number);
            while let (Some(session), Some(message)) = (session, self.nodes[n].next_message()) {
                self.check_sent(n, &message);
                self.note(|_| format!("  node{n} sends {message:?}"));
                self.queues[1 - n].push_back(Envelope { session, sent: self.now, message });
            }
            let after = self.nodes[n].phase;
            if after == Phase::PartnerDown && self.last_phase[n] != after {
                self.stats.partner_downs += 1;
                if self.nodes[n].marks.partner_down.is_some_and(|p| p.clean) {
                    self.stats.leaves += 1;
                }
            }
            if after != Phase::PartnerDown && self.last_phase[n] == Phase::PartnerDown && after == Phase::Interrupted {
                self.stats.regained += 1;
            }
            self.last_phase[n] = after;
            if before != after {
                self.note(|_| format!("  node{n}: {before:?} -> {after:?}"));
            }
            self.stats.normals += u64::from(matches!(after, Phase::Normal { .. }) && before != after);
        }
    }

    fn deliver(&mut self, n: usize) {
        let Some(envelope) = self.queues[n].pop_front() else { return };
        let Some(session) = self.nodes[n].session.as_ref().map(|session| session.number) else { return };
        if session != envelope.session && self.rules.holds(Mutation::SessionDrops) {
            return;
        }
        if self.now - envelope.sent > GRACE {
            return self.nodes[n].disconnect();
        }
        self.note(|_| format!("  node{n} receives {:?}", envelope.message));
        let hello = matches!(envelope.message, Message::Hello(_));
        let before = self.nodes[n].phase;
        self.nodes[n].receive(self.now, self.now - envelope.sent, envelope.message);
        let after = self.nodes[n].phase;
        self.stats.normals += u64::from(matches!(after, Phase::Normal { .. }) && before != after);
        // The partner has now learned what was promised of it; its own mark must keep it silent from here on.
        if hello {
            self.promised_off[n] = false;
            while self.nodes[n].persist() {}
        }
    }

    /// A working session is rarely replaced by a new one.
    fn may_connect(&mut self) -> bool {
        let connected = self.nodes.iter().all(|node| node.session.is_some());
        self.nodes.iter().all(|node| node.phase != Phase::Off) && (!connected || self.random.percent(5))
    }

    fn connect(&mut self) {
        self.session += 1;
        if self.rules.holds(Mutation::SessionDrops) {
            self.queues = [VecDeque::new(), VecDeque::new()];
        }
        for node in &mut self.nodes {
            node.connect(self.session);
        }
    }

    fn crash(&mut self, n: usize) {
        self.nodes[n].crash();
        self.crashed_at[n] = self.now;
    }

    fn may_wipe(&self, n: usize) -> bool {
        self.nodes[n].phase == Phase::Off && self.nodes[1 - n].disk.marks.lost.is_none()
    }

    fn wipe(&mut self, n: usize) {
        self.stats.wipes += 1;
        self.nodes[n].disk = Disk::lost(self.addresses, self.now);
        self.nodes[n].crash();
        for held in self.held.values_mut() {
            held.known[n] = false;
        }
    }

    /// An operator who tells the truth: the partner is off, and nobody promised the same of this node.
    fn may_promise(&self, n: usize) -> bool {
        let phase = self.nodes[n].phase;
        matches!(phase, Phase::Startup | Phase::Interrupted) && self.nodes[n].session.is_none() && !self.promised_off[n]
    }

    fn request(&mut self, n: usize, client: usize) {
        // A client that waits for an answer rarely turns to another server.
        let waits = self.nodes.iter().any(|node| node.owes(self.clients[client].exchange));
        if waits && self.random.percent(70) {
            return;
        }
        self.exchanges += 1;
        self.clients[client].exchange = self.exchanges;
        let wish = self.clients[client].address.filter(|_| self.random.percent(80));
        let length = self.random.between(1, LONGEST);
        self.nodes[n].request(self.now, client, self.exchanges, wish, length);
    }

    fn give_back(&mut self, n: usize, client: usize, declined: bool) {
        let Some(address) = self.clients[client].address else { return };
        self.exchanges += 1;
        self.clients[client] = Client { exchange: self.exchanges, address: None };
        self.held.remove(&(address, client));
        if self.random.percent(80) {
            self.nodes[n].release(self.now, client, address, declined);
        }
    }

    fn answer(&mut self, n: usize, overdue: bool) {
        for reply in self.nodes[n].replies(self.now, overdue) {
            // Lost on the way, or the client has gone on to another exchange.
            if self.clients[reply.client].exchange == reply.exchange && self.random.percent(90) {
                self.acknowledge(n, reply);
            }
        }
    }

    fn acknowledge(&mut self, n: usize, reply: Reply) {
        let Reply { client, address, until, bounded, .. } = reply;
        self.note(|_| format!("  node{n} acknowledges address{address} to client{client} until {until}"));
        self.stats.grants += 1;
        self.stats.alone += u64::from(self.nodes[n].phase == Phase::PartnerDown);
        let now = self.now;
        for (&(_, other), held) in self.held.range((address, 0)..=(address, usize::MAX)) {
            if other != client && held.until > now {
                let detail =
                    format!("address{address}: client{other} until {}, client{client} until {until}", held.until);
                self.violation.get_or_insert(("one_client_per_address", detail));
            }
        }
        let partner = 1 - n;
        let taken = self.ever_on_disk[partner].get(&(address, client)).copied().unwrap_or(now).max(now);
        if bounded && until > taken + MCLT + GRACE {
            let detail = format!("address{address} client{client}: {until} > {taken} + {MCLT}");
            self.violation.get_or_insert(("lead_time_bounded", detail));
        }
        let version = self.nodes[n].records[address].version;
        let knows = |n: usize| {
            let record = &self.nodes[n].disk.records[address];
            record.client == client && record.expiry >= until && record.version.has_seen(version, Rules::ALL)
        };
        let granted = &self.nodes[n].disk.records[address];
        if granted.client != client || granted.expiry < until {
            self.violation.get_or_insert(("durable_before_visible", format!("address{address} client{client}")));
        }
        let mut known = [knows(0), knows(1)];
        known[n] = true;
        self.held.insert((address, client), Held { until, known });
        self.clients[client].address = Some(address);
    }

    /// Nothing is sent that could be forgotten.
    fn check_sent(&mut self, n: usize, message: &Message) {
        if let Message::Update { address, record } = message {
            let disk = &self.nodes[n].disk.records[*address];
            if !disk.version.has_seen(record.version, Rules::ALL) && self.rules.holds(Mutation::PersistBeforeSend) {
                self.violation.get_or_insert(("durable_before_visible", format!("node{n} address{address}")));
            }
        }
    }

    fn check(&mut self) {
        let now = self.now;
        self.held.retain(|_, held| held.until > now);
        for n in 0..2 {
            for (address, record) in self.nodes[n].disk.records.iter().enumerate() {
                let highest = self.ever_on_disk[n].entry((address, record.client)).or_insert(record.potential);
                *highest = (*highest).max(record.potential);
            }
        }
        for (&(address, client), held) in &self.held {
            for n in (0..2).filter(|&n| held.known[n]) {
                let record = &self.nodes[n].disk.records[address];
                if record.client != client || record.expiry < held.until || record.state == State::Free {
                    let detail = format!("node{n} address{address} client{client} until {}: {record:?}", held.until);
                    self.violation.get_or_insert(("acked_lease_survives", detail));
                }
            }
        }
    }

    /// All faults end; the nodes must come to agree.
    fn heal(&mut self) {
        self.note(|_| "all faults end".to_owned());
        for _ in 0..30 {
            self.calm();
        }
        let [one, two] = &self.nodes;
        let roles = [active_in_normal(one.phase), active_in_normal(two.phase)];
        let in_normal = matches!(roles, [Some(true), Some(false)] | [Some(false), Some(true)]);
        let same = one.disk.records.iter().zip(&two.disk.records).all(|(a, b)| {
            let alike = (a.state, a.client, a.version) == (b.state, b.client, b.version);
            alike && ((a.expiry - b.expiry).abs() <= MCLT || a.state == State::Free || !a.is_live(self.now))
        });
        if !in_normal || !same || self.queues.iter().any(|queue| !queue.is_empty()) {
            let detail = format!(
                "{:?} {:?}, queued {:?}\n{:?}\n{:?}",
                one.phase,
                two.phase,
                [self.queues[0].len(), self.queues[1].len()],
                one.disk.records,
                two.disk.records
            );
            self.violation.get_or_insert(("tables_converge", detail));
        }
    }
}

fn active_in_normal(phase: Phase) -> Option<bool> {
    match phase {
        Phase::Normal { active } => Some(active),
        Phase::Off | Phase::Startup | Phase::Recover | Phase::Interrupted => None,
        Phase::PartnerDown | Phase::Leaving { .. } => None,
    }
}
