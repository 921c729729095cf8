//! One run: virtual time, the events in it, and how they reach nodes and clients.

mod lan;

pub(crate) use lan::LAN_DELAY;

use crate::checker::{Judge, Seen, Time};
use crate::client::{Client, SECOND, State};
use crate::coverage;
use crate::faults::{Fault, Faults, Undo};
use crate::host::{Clock, Host};
use crate::hostile::{Attack, Forged, Strangers};
use crate::network::{InFlight, Network};
use crate::random::Random;
use crate::run::Options;
use crate::settings::{self, MCLT, NODES, PAIRS, RELAY};
use crate::transcript::Transcript;
use crate::trouble::{Aftermath, Troubles};
use crate::wire::{self, Heard};
use lan::Lan;
use standfast_core::configuration::Configuration;
use standfast_core::event::Code;
use standfast_core::failover::state::Phase;
use standfast_core::id::{Epoch, Session, Slot};
use standfast_core::input::Input;
use standfast_core::message::{PairMessage, PeerMessage};
use standfast_core::output::{Outputs, StoredRecord, Write};
use standfast_core::stored::RelationshipRecord;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

#[derive(Debug)]
pub(crate) enum Event {
    Tick {
        host: usize,
        life: u64,
        at: Time,
    },
    Commit {
        host: usize,
        life: u64,
    },
    Message(InFlight),
    Up {
        host: usize,
        session: Session,
    },
    Down {
        host: usize,
        session: Session,
    },
    Gone {
        host: usize,
    },
    Connect,
    Packet {
        host: usize,
        packet: Sent,
    },
    Reply {
        client: usize,
        host: usize,
        bytes: Vec<u8>,
        left: Time,
        bounded: bool,
    },
    Client {
        client: usize,
        at: Time,
    },
    /// Whoever keeps wall clocks right looks after those of the hosts.
    Discipline,
    Fault,
    /// As `Fault`, of the second stream.
    Trouble,
    /// The next message of an attack, and how many are left.
    Attack(Attack, i64),
    /// An answer reaches a stranger.
    Stranger {
        host: usize,
        heard: Heard,
        left: Time,
        bounded: bool,
    },
    Undo(Undo),
}

impl Event {
    /// A stranger's datagram.
    pub(crate) fn packet(
        host: usize,
        source: SocketAddrV4,
        destination: Ipv4Addr,
        arrived: Time,
        bytes: Vec<u8>,
        forged: Option<Forged>,
    ) -> Self {
        Self::Packet { host, packet: Sent { source, destination, arrived, bytes, forged } }
    }
}

/// A datagram on its way to a node, and when it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    source: SocketAddrV4,
    destination: Ipv4Addr,
    arrived: Time,
    bytes: Vec<u8>,
    /// The lease that it may end without its client's will.
    forged: Option<Forged>,
}

pub(crate) struct World {
    pub(crate) now: Time,
    pub(crate) end: Time,
    pub(crate) random: Random,
    pub(crate) hosts: [Host; 2],
    pub(crate) network: Network,
    pub(crate) clients: Vec<Client>,
    pub(crate) lan: Lan,
    pub(crate) faults: Faults,
    pub(crate) troubles: Troubles,
    pub(crate) strangers: Strangers,
    pub(crate) judge: Judge,
    pub(crate) transcript: Transcript,
    events: BTreeMap<(Time, u64), Event>,
    scheduled: u64,
    /// What a paused process has yet to be told.
    backlog: [Vec<Event>; 2],
    incarnations: u64,
}

impl World {
    pub(crate) fn new(seed: u64, options: Options) -> Self {
        let mut random = Random::new(seed);
        let troubles = if options.plain { Troubles::none() } else { Troubles::new(seed) };
        let mut configuration = settings::configuration(&mut random);
        troubles.configure(&mut configuration);
        let configuration = Arc::new(configuration);
        let hosts = [0, 1].map(|index| Host::new(index, Clock::new(&mut random), Arc::clone(&configuration)));
        let direct = random.between(2, 5) as usize;
        let relayed = random.between(1, 4) as usize;
        let relay = |index: usize| (index >= direct).then_some(RELAY);
        let clients = (0..direct + relayed).map(|index| Client::new(index, relay(index), &mut random)).collect();
        Self {
            now: 0,
            end: options.minutes * 60 * SECOND,
            faults: Faults::new(&mut random),
            random,
            hosts,
            network: Network::new(),
            clients,
            lan: Lan::new(1),
            troubles,
            strangers: Strangers::default(),
            judge: Judge::new(MCLT.as_micros() as Time),
            transcript: Transcript::new(options.lines),
            events: BTreeMap::new(),
            scheduled: 0,
            backlog: [Vec::new(), Vec::new()],
            incarnations: 0,
        }
    }

    /// A world in which nothing happens by chance, for a story; its clients do what they are told.
    pub(crate) fn for_story(configuration: Configuration, clients: usize) -> Self {
        let mut world = Self::new(0, Options { minutes: 0, lines: false, plain: true });
        world.random = Random::steady();
        world.network.delay = 1_000;
        world.lan.loss = 0;
        let configuration = Arc::new(configuration);
        world.hosts = [0, 1]
            .map(|index| Host { commit: 1_000, ..Host::new(index, Clock::default(), Arc::clone(&configuration)) });
        world.clients = (0..clients).map(|index| Client::new(index, None, &mut world.random)).collect();
        world.clients.iter_mut().for_each(|client| client.told = true);
        world
    }

    /// Both nodes start and look for each other.
    pub(crate) fn begin(&mut self) {
        self.start(0);
        self.start(1);
        self.at(self.now, Event::Connect);
    }

    /// Runs to the end, or to the first violation.
    pub(crate) fn run(&mut self) {
        self.begin();
        self.at(10 * SECOND, Event::Fault);
        if self.troubles.are_known() {
            self.at(10 * SECOND, Event::Trouble);
        }
        self.at(SECOND, Event::Discipline);
        for client in 0..self.clients.len() {
            self.wake_client(client);
        }
        self.run_until(self.end);
        if self.judge.violations.is_empty() {
            self.see_the_end();
        }
        self.hosts.iter().for_each(|host| coverage::harvest(host, &mut self.transcript));
    }

    pub(crate) fn run_until(&mut self, end: Time) {
        while self.judge.violations.is_empty() && self.step_before(end) {}
        self.now = self.now.max(end);
    }

    /// One event happens, unless there is none until then.
    pub(crate) fn step_before(&mut self, end: Time) -> bool {
        let due = self.events.first_entry().filter(|first| first.key().0 <= end);
        let Some(((at, _), event)) = due.map(std::collections::btree_map::OccupiedEntry::remove_entry) else {
            return false;
        };
        self.now = at;
        self.happen(event);
        true
    }

    /// Nothing has gone wrong for long: the nodes must agree, and clients must have leases. What is just on its way, a
    /// record or a switchover, has three seconds to arrive.
    pub(crate) fn see_the_end(&mut self) {
        for _ in 0..30 {
            if self.is_settled() {
                break;
            }
            self.run_until(self.now + SECOND / 10);
        }
        let says = [self.hosts[0].active(), self.hosts[1].active()];
        let now = self.now;
        let used = |host: &Host| host.process.as_ref().map(|node| node.configuration().revision.to_string());
        let lacks = |client: &&Client| client.held.is_none_or(|held| held.until <= now);
        let end = Seen::End {
            tables: [self.hosts[0].table(), self.hosts[1].table()],
            doubt: self.hosts.iter().map(Host::doubt).max().unwrap_or(0),
            revisions: [0, 1].map(|host| used(&self.hosts[host]).unwrap_or_default()),
            active: (0..self.hosts[0].relationships()).map(|pair| [says[0][pair], says[1][pair]]).collect(),
            without_lease: self
                .clients
                .iter()
                .filter(|client| !client.told)
                .filter(lacks)
                .map(|client| client.index)
                .collect(),
        };
        self.judge.see(self.now, &end);
    }

    fn is_settled(&self) -> bool {
        let [one, two] = [self.hosts[0].table(), self.hosts[1].table()];
        let alike = one.iter().map(|r| (r.state, r.version)).eq(two.iter().map(|r| (r.state, r.version)));
        let [one, two] = [self.hosts[0].active(), self.hosts[1].active()];
        let runs = |pair: usize| self.hosts.iter().any(|host| host.phase(pair).is_some());
        alike && (0..PAIRS.len()).all(|pair| !runs(pair) || one[pair] != two[pair])
    }

    pub(crate) fn at(&mut self, time: Time, event: Event) {
        self.scheduled += 1;
        self.events.insert((time, self.scheduled), event);
    }

    pub(crate) fn after(&mut self, delay: Time, event: Event) {
        self.at(self.now + delay, event);
    }

    pub(crate) fn say(&mut self, who: &str, what: impl FnOnce() -> String) {
        self.transcript.line(self.now, who, what);
    }

    fn happen(&mut self, event: Event) {
        if let Some(host) = host_of(&event)
            && self.hosts[host].paused
        {
            self.backlog[host].push(event);
            return;
        }
        match event {
            Event::Tick { host, life, at } => {
                if self.hosts[host].life == life && self.hosts[host].tick_at == Some(at) {
                    self.hosts[host].tick_at = None;
                    self.feed(host, Input::Tick);
                }
            }
            Event::Commit { host, life } => self.commit(host, life),
            Event::Message(InFlight { to, session, message }) => {
                let peer = NODES[1 - to].into();
                self.feed(to, Input::Peer { peer, session, message });
            }
            Event::Up { host, session } => self.feed(host, Input::PeerUp { peer: NODES[1 - host].into(), session }),
            Event::Down { host, session } => {
                self.network.close(host, session);
                self.feed(host, Input::PeerDown { peer: NODES[1 - host].into(), session });
            }
            Event::Gone { host } => self.feed(host, Input::PeerGone { peer: NODES[1 - host].into() }),
            Event::Connect => self.connect(),
            Event::Packet { host, packet } => self.packet(host, packet),
            Event::Reply { client, host, bytes, left, bounded } => self.reply(client, host, &bytes, left, bounded),
            Event::Client { client, at } => {
                if self.clients[client].wake_at == at {
                    let acts = self.clients[client].wake(self.now, &mut self.random);
                    self.act(client, acts, None);
                }
            }
            Event::Discipline => self.discipline(),
            Event::Fault => self.fault(),
            Event::Trouble => self.trouble(),
            Event::Attack(attack, left) => self.attack(attack, left),
            Event::Stranger { host, heard, left, bounded } => self.answer_to_stranger(host, &heard, left, bounded),
            Event::Undo(undo) => self.undo(undo),
        }
    }

    // Nodes

    pub(crate) fn start(&mut self, host: usize) {
        if self.hosts[host].process.is_some() {
            return;
        }
        self.incarnations += 1;
        let incarnation = self.incarnations * 2 + host as u64;
        // Only a cluster that never ran is new.
        let new_cluster = self.incarnations <= 2;
        let outputs = self.hosts[host].start(self.now, incarnation, new_cluster);
        self.say(NODES[host], || "starts".into());
        self.carry_out(host, outputs, false);
    }

    /// The process is gone; with the power, so is what was not durable.
    pub(crate) fn stop(&mut self, host: usize, how: Stop) {
        if self.hosts[host].process.is_none() {
            return;
        }
        coverage::harvest(&self.hosts[host], &mut self.transcript);
        self.hosts[host].stop();
        self.backlog[host].clear();
        let written = match how {
            Stop::Clean => self.hosts[host].disk.flush(),
            Stop::Killed | Stop::PowerCut => {
                let kept = self.random.index(8);
                self.hosts[host].disk.cut_power(kept)
            }
        };
        self.see_written(host, &written);
        self.say(NODES[host], || how.as_str().into());
        if let Some(session) = self.network.open[host] {
            let told = self.network.close(host, session);
            if told && how != Stop::PowerCut {
                let delay = self.network.travel(&mut self.random);
                self.after(delay, Event::Down { host: 1 - host, session });
                self.after(delay + 30_000, Event::Gone { host: 1 - host });
            }
        }
    }

    /// Of what queued up while a process was paused, the datagrams are read first.
    pub(crate) fn packets_first(&mut self, host: usize) {
        self.backlog[host].sort_by_key(|event| !matches!(event, Event::Packet { .. }));
    }

    pub(crate) fn unpause(&mut self, host: usize) {
        self.hosts[host].paused = false;
        self.say(NODES[host], || "goes on".into());
        if !matches!(self.backlog[host].first(), Some(Event::Packet { .. })) {
            self.feed(host, Input::Tick);
        }
        for event in std::mem::take(&mut self.backlog[host]) {
            self.happen(event);
        }
    }

    pub(crate) fn feed(&mut self, host: usize, input: Input) {
        let from_client = matches!(input, Input::Packet(_));
        if let Some(outputs) = self.hosts[host].handle(self.now, input) {
            self.carry_out(host, outputs, from_client);
        }
    }

    fn carry_out(&mut self, host: usize, mut outputs: Outputs, from_client: bool) {
        let crashes = self.crashes_amid(host, &mut outputs);
        // What is said in a turn rests on what was durable before it.
        for reply in outputs.replies {
            self.emit(host, reply);
        }
        self.note_writes(host, &outputs.writes, from_client);
        self.hosts[host].disk.accept(outputs.writes);
        self.begin_commit(host);
        for event in outputs.events {
            self.transcript.count(event.code.name());
            if event.code == Code::StateChanged {
                self.transcript.count(&event.what);
            }
            if matches!(event.code, Code::Conflict | Code::PromiseBroken) {
                self.judge.see(self.now, &Seen::Reported);
            }
            self.tell_event(host, &event);
        }
        for relationship in outputs.fences {
            self.say(NODES[host], || "runs its fence command".into());
            let pair = PAIRS.iter().position(|&pair| relationship.as_str() == pair).unwrap_or(0);
            if !self.transcript.is_story() {
                self.after(2 * SECOND, Event::Undo(Undo::After(Aftermath::Fence(host, pair))));
            }
        }
        if let Some(revision) = &outputs.configured {
            self.configured(host, revision);
        }
        for message in outputs.messages {
            self.send(host, InFlight { to: 1 - host, session: message.session, message: message.message });
        }
        for (_, result) in outputs.answers {
            self.tell_result(&result);
        }
        if !outputs.disconnects.is_empty()
            && let Some(session) = self.network.open[host]
        {
            if self.network.close(host, session) {
                let delay = self.network.travel(&mut self.random);
                self.after(delay, Event::Down { host: 1 - host, session });
            }
            self.after(0, Event::Down { host, session });
        }
        if crashes {
            return self.crash(host);
        }
        if self.transcript.is_story() && (outputs.left || outputs.restart) {
            self.stop(host, if outputs.left { Stop::Clean } else { Stop::Killed });
            if outputs.restart {
                self.after(SECOND, Event::Undo(Undo::Start(host)));
            }
            return;
        }
        if outputs.left || outputs.restart {
            let again = self.random.between(1, 20) * SECOND;
            self.stop(host, if outputs.left { Stop::Clean } else { Stop::Killed });
            self.after(again, Event::Undo(Undo::Start(host)));
            return;
        }
        self.schedule_tick(host);
    }

    /// Whether the process dies amid these outputs: only the first few of each list come about then.
    fn crashes_amid(&mut self, host: usize, outputs: &mut Outputs) -> bool {
        if outputs.writes.len() + outputs.messages.len() + outputs.replies.len() < 2 {
            return false;
        }
        let Some(steps) = self.troubles.crash[host].take() else { return false };
        let written = steps.saturating_sub(outputs.replies.len());
        let sent = written.saturating_sub(outputs.writes.len());
        outputs.replies.truncate(steps);
        outputs.writes.truncate(written);
        outputs.messages.truncate(sent);
        true
    }

    fn discipline(&mut self) {
        for host in [0, 1] {
            if self.hosts[host].clock.is_right(self.now) && !self.hosts[host].paused {
                self.feed(host, Input::ClockConfirmed);
            }
        }
        self.after(2 * SECOND, Event::Discipline);
    }

    fn schedule_tick(&mut self, host: usize) {
        let Some((deadline, _)) = self.hosts[host].process.as_ref().and_then(|node| node.deadline()) else { return };
        let at = self.hosts[host].clock.time_of(deadline).max(self.now + 200);
        if self.hosts[host].tick_at.is_none_or(|scheduled| at < scheduled) {
            self.hosts[host].tick_at = Some(at);
            let life = self.hosts[host].life;
            self.at(at, Event::Tick { host, life, at });
        }
    }

    /// What a node writes: its states are noted at once, to know by which rules it answers.
    fn note_writes(&mut self, host: usize, writes: &[Write], from_client: bool) {
        for write in writes {
            match &write.record {
                StoredRecord::Relationship(record) => {
                    if let Some(pair) = PAIRS.iter().position(|&pair| record.relationship.as_str() == pair) {
                        if record.phase == Phase::PartnerDown {
                            self.hosts[host].alone_until[pair] = Time::MAX;
                        } else if self.hosts[host].phase(pair) == Some(Phase::PartnerDown) {
                            self.hosts[host].alone_until[pair] = self.now + SECOND;
                        }
                        self.note_state(host, pair, record);
                        self.weigh_promises(host, record);
                    }
                }
                StoredRecord::Lease(name, _) if from_client => {
                    if let Some(pair) = PAIRS.iter().position(|&pair| name.as_str() == pair) {
                        self.see_served(host, pair, false);
                    }
                }
                StoredRecord::Lease(..) | StoredRecord::Node(_) | StoredRecord::Configuration(_) => {}
            }
        }
    }

    fn note_state(&mut self, host: usize, pair: usize, record: &RelationshipRecord) {
        let entered = self.hosts[host].phase(pair) != Some(record.phase);
        self.hosts[host].pairs[pair] = Some((record.phase, record.epoch, record.slot));
        if entered {
            self.transcript.count(&coverage::state(record.phase));
            if let (Phase::PartnerDown, Some((proof, _))) = (record.phase, record.proof) {
                self.transcript.count(&coverage::proof(proof));
            }
        }
    }

    /// A node that hands over, or has just lost its partner, takes nothing new before that is durable, and answers what
    /// it has begun in its own epoch.
    fn may_finish(&self, host: usize, pair: usize) -> bool {
        let durable = self.hosts[host].durable_pair(pair).map(|record| (record.phase, record.epoch, record.slot));
        let serves = |state: Option<(Phase, Epoch, Slot)>| {
            state.is_some_and(|(phase, epoch, slot)| {
                epoch.slot == slot
                    && matches!(phase, Phase::Normal | Phase::CommunicationsInterrupted | Phase::PartnerDown)
            })
        };
        serves(durable) && serves(self.hosts[host].pairs[pair])
    }

    fn see_served(&mut self, host: usize, relationship: usize, may_finish: bool) {
        let active = may_finish || self.hosts[host].active()[relationship];
        if let Some((_, epoch, slot)) = self.hosts[host].pairs[relationship] {
            let own = epoch.slot == slot;
            self.judge.see(self.now, &Seen::Served { host, active, epoch, own, relationship });
        }
    }

    pub(crate) fn begin_commit(&mut self, host: usize) {
        if self.hosts[host].disk.fails_for_space() {
            self.after(1_000, Event::Undo(Undo::After(Aftermath::TellFull(host))));
        }
        if self.hosts[host].disk.begin_commit() {
            let delay = self.random.between(200, self.hosts[host].commit);
            let life = self.hosts[host].life;
            self.after(delay, Event::Commit { host, life });
        }
    }

    fn commit(&mut self, host: usize, life: u64) {
        if self.hosts[host].life != life {
            return;
        }
        let written = self.hosts[host].disk.end_commit();
        self.see_written(host, &written);
        if let Some(last) = written.last() {
            let sequence = last.sequence;
            self.feed(host, Input::Persisted(sequence));
        }
        self.begin_commit(host);
    }

    pub(crate) fn see_written(&mut self, host: usize, written: &[Write]) {
        for write in written {
            self.see_durable(host, &write.record);
        }
        if !written.is_empty() {
            self.written(host);
        }
    }

    pub(crate) fn see_durable(&mut self, host: usize, record: &StoredRecord) {
        match record {
            StoredRecord::Lease(_, lease) => {
                self.tell_durable(host, lease);
                if let Some(record) = self.hosts[host].record(lease) {
                    self.hosts[host].disk.durable.seen.insert(record.address, record.clone());
                    self.judge.see(self.now, &Seen::Durable { host, record });
                }
            }
            StoredRecord::Relationship(record) => {
                if let Some(relationship) = PAIRS.iter().position(|&pair| record.relationship.as_str() == pair) {
                    self.judge.see(self.now, &Seen::State { host, relationship, epoch: record.epoch });
                }
            }
            StoredRecord::Node(_) | StoredRecord::Configuration(_) => {}
        }
    }

    // The link between the nodes

    fn connect(&mut self) {
        let both_run = self.hosts.iter().all(|host| host.process.is_some() && !host.paused);
        if both_run && self.network.may_connect() {
            self.begin_session();
        }
        let again = self.random.between(100_000, 300_000);
        self.after(again, Event::Connect);
    }

    pub(crate) fn begin_session(&mut self) {
        let (session, times) = self.network.connect(self.now, &mut self.random);
        for (host, at) in times.into_iter().enumerate() {
            self.at(at, Event::Up { host, session });
        }
        if self.troubles.late {
            for (at, message) in self.network.late(self.now, &mut self.troubles.random) {
                self.at(at, Event::Message(message));
            }
        }
    }

    fn send(&mut self, host: usize, message: InFlight) {
        self.see_sent(host, &message.message);
        if let Some((at, message)) = self.network.send(self.now, host, message, &mut self.random) {
            self.at(at, Event::Message(message));
        }
    }

    fn see_sent(&mut self, host: usize, message: &PeerMessage) {
        let PeerMessage::Pair(_, message) = message else { return };
        let records = match message {
            PairMessage::Batch { records, .. } | PairMessage::Ack { refused: records, .. } => records.as_slice(),
            PairMessage::Answer { record: Some(record), .. } => std::slice::from_ref(record),
            PairMessage::PassDone
            | PairMessage::Ready(_)
            | PairMessage::Ask { .. }
            | PairMessage::Answer { record: None, .. }
            | PairMessage::Left(_)
            | PairMessage::HandOver { .. }
            | PairMessage::TookOver { .. }
            | PairMessage::RequestHandOver { .. }
            | PairMessage::CleanLeave
            | PairMessage::CleanLeaveAccepted
            | PairMessage::Pause(_) => return,
        };
        for record in records.iter().filter(|record| wire::client_of(record.client.as_bytes()).is_some()) {
            self.judge.see(self.now, &Seen::Sent { host, address: record.address, version: record.version });
        }
    }

    /// Everyone behaves from now on.
    pub(crate) fn tame(&mut self) {
        for client in &mut self.clients {
            client.tame = true;
            client.reach = [true; 2];
            if client.state == State::Off {
                client.wake_at = client.wake_at.min(self.now + 5 * SECOND);
            }
        }
        for client in 0..self.clients.len() {
            self.wake_client(client);
        }
    }

    pub(crate) fn inject(&mut self, fault: Fault) {
        self.transcript.count(fault.name());
        self.say("fault", || format!("{fault:?}"));
        self.apply(fault);
    }
}

/// How a process ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stop {
    /// It left.
    Clean,
    /// It was killed; its machine refuses connections.
    Killed,
    /// Its machine is off.
    PowerCut,
}

impl Stop {
    fn as_str(self) -> &'static str {
        match self {
            Self::Clean => "has stopped",
            Self::Killed => "is killed",
            Self::PowerCut => "loses its power",
        }
    }
}

fn host_of(event: &Event) -> Option<usize> {
    match event {
        Event::Tick { host, .. }
        | Event::Commit { host, .. }
        | Event::Up { host, .. }
        | Event::Down { host, .. }
        | Event::Gone { host }
        | Event::Packet { host, .. } => Some(*host),
        Event::Message(message) => Some(message.to),
        Event::Connect
        | Event::Reply { .. }
        | Event::Client { .. }
        | Event::Discipline
        | Event::Fault
        | Event::Trouble
        | Event::Attack(..)
        | Event::Stranger { .. }
        | Event::Undo(_) => None,
    }
}
