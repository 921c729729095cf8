//! One run: virtual time, the events in it, and how they reach nodes and clients.

mod lan;
mod seen;

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
use crate::wire::Heard;
use lan::Lan;
use standfast_core::configuration::Configuration;
use standfast_core::event::Code;
use standfast_core::id::Session;
use standfast_core::input::Input;
use standfast_core::output::Outputs;
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
        // The process before may have ended between storing a revision and using it.
        if let Some(revision) = self.hosts[host].process.as_ref().map(|node| Arc::clone(node.configuration())) {
            self.configured(host, &revision);
        }
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
            if event.code == Code::PromiseBroken {
                self.judge.see(self.now, &Seen::Reported);
            } else if event.code == Code::Conflict {
                self.see_conflicts(host);
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
