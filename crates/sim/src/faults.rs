//! What goes wrong, when, and how it ends.
//!
//! Each seed draws which kinds of fault it knows and how often they come: one only cuts links, another kills processes
//! every few seconds. Operators tell the truth: a node that was promised to be off starts again only while everything
//! else is well, until it has noted durably what happened to it.

use crate::checker::{Seen, Time};
use crate::client::SECOND;
use crate::disk::Durable;
use crate::random::Random;
use crate::settings::{self, NODES, PAIRS};
use crate::trouble::Aftermath;
use crate::world::{Event, Stop, World};
use standfast_core::failover::state::Phase;
use standfast_core::id::Sequence;
use standfast_core::input::{Command, Input, Request, StoreHealth};
use standfast_core::time::Wall;
use std::time::Duration;

/// Before the end everything is well for so long.
const CALM: Time = 200 * SECOND;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    Kill(usize),
    PowerCut(usize),
    Partition,
    OneWay(usize),
    Flap,
    SlowLink,
    EndSession,
    Suspend(usize),
    SlowDisk(usize),
    FailingDisk(usize),
    CutClients(usize),
    NoCarrier(usize),
    LoseClientPackets,
    StepWallClock(usize),
    Switchover,
    Death(usize),
    Leave(usize),
    HoldPromotion,
    Wipe(usize),
    RollBack(usize),
}

impl Fault {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kill(_) => "fault kill",
            Self::PowerCut(_) => "fault power cut",
            Self::Partition => "fault partition",
            Self::OneWay(_) => "fault one way",
            Self::Flap => "fault flap",
            Self::SlowLink => "fault slow link",
            Self::EndSession => "fault end session",
            Self::Suspend(_) => "fault suspend",
            Self::SlowDisk(_) => "fault slow disk",
            Self::FailingDisk(_) => "fault failing disk",
            Self::CutClients(_) => "fault cut clients",
            Self::NoCarrier(_) => "fault no carrier",
            Self::LoseClientPackets => "fault lose client packets",
            Self::StepWallClock(_) => "fault step wall clock",
            Self::Switchover => "operator switchover",
            Self::Death(_) => "operator partner-down",
            Self::Leave(_) => "operator leave",
            Self::HoldPromotion => "operator pause",
            Self::Wipe(_) => "fault wipe",
            Self::RollBack(_) => "fault roll back",
        }
    }

    /// One of each kind.
    pub(crate) fn every() -> impl Iterator<Item = Self> {
        Self::all(0).into_iter().map(|(fault, _)| fault)
    }

    fn all(host: usize) -> [(Self, u32); 20] {
        [
            (Self::Kill(host), 10),
            (Self::PowerCut(host), 10),
            (Self::Partition, 15),
            (Self::OneWay(host), 10),
            (Self::Flap, 5),
            (Self::SlowLink, 5),
            (Self::EndSession, 10),
            (Self::Suspend(host), 10),
            (Self::SlowDisk(host), 5),
            (Self::FailingDisk(host), 5),
            (Self::CutClients(host), 8),
            (Self::NoCarrier(host), 4),
            (Self::LoseClientPackets, 4),
            (Self::StepWallClock(host), 3),
            (Self::Switchover, 10),
            (Self::Death(host), 8),
            (Self::Leave(host), 8),
            (Self::HoldPromotion, 3),
            (Self::Wipe(host), 4),
            (Self::RollBack(host), 4),
        ]
    }
}

/// How a fault ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Undo {
    Start(usize),
    HealLink(usize),
    FastLink,
    Resume(usize),
    FastDisk(usize),
    WorkingDisk(usize),
    HealClients(usize),
    Carrier(usize),
    KeepClientPackets,
    /// An operator says that the other node is off since then.
    Promise(usize, Time),
    /// What follows on a fault of the second stream.
    After(Aftermath),
    /// Everything is well from now on.
    Calm,
}

#[derive(Debug)]
pub(crate) struct Faults {
    weights: [u32; 20],
    mean: Time,
    /// A node that an operator promised to be off, until it knows of that.
    promised_off: [bool; 2],
    /// A node that starts while everything else must be well.
    held_for: Option<usize>,
    calm: bool,
    requests: u64,
}

impl Faults {
    pub(crate) fn new(random: &mut Random) -> Self {
        let weights = Fault::all(0).map(|(_, weight)| match random.below(4) {
            0 => 0,
            1 => weight * 4,
            _ => weight,
        });
        let mean = [3, 8, 15, 30][random.index(4)] * SECOND;
        Self { weights, mean, promised_off: [false; 2], held_for: None, calm: false, requests: 0 }
    }

    /// Whether all faults are over.
    pub(crate) fn is_calm(&self) -> bool {
        self.calm
    }

    /// Whether a node starts while everything else must be well.
    pub(crate) fn is_holding(&self) -> bool {
        self.held_for.is_some()
    }
}

impl World {
    /// One of the kinds that this seed knows happens, unless everything must be well now.
    pub(crate) fn fault(&mut self) {
        if self.faults.calm {
            return;
        }
        if self.now + CALM >= self.end {
            return self.undo(Undo::Calm);
        }
        let next = self.random.between(SECOND / 2, self.faults.mean * 2);
        self.after(next, Event::Fault);
        if self.faults.held_for.is_some() || self.faults.weights.iter().all(|&weight| weight == 0) {
            return;
        }
        let host = self.random.index(2);
        let pick = self.random.weighted(&self.faults.weights);
        self.inject(Fault::all(host)[pick].0);
    }

    pub(crate) fn apply(&mut self, fault: Fault) {
        let long = self.random.between(SECOND / 2, 40 * SECOND);
        let short = self.random.between(SECOND / 5, 15 * SECOND);
        match fault {
            Fault::Kill(host) => {
                self.stop(host, Stop::Killed);
                self.after(short, Event::Undo(Undo::Start(host)));
            }
            Fault::PowerCut(host) => {
                self.stop(host, Stop::PowerCut);
                self.after(long, Event::Undo(Undo::Start(host)));
            }
            Fault::Partition => {
                self.network.cut = [true; 2];
                self.after(long, Event::Undo(Undo::HealLink(0)));
                self.after(long, Event::Undo(Undo::HealLink(1)));
            }
            Fault::OneWay(host) => {
                self.network.cut[host] = true;
                self.after(short, Event::Undo(Undo::HealLink(host)));
            }
            Fault::Flap => {
                for round in 0..6 {
                    let host = self.random.index(2);
                    self.after(round * 2 * SECOND, Event::Undo(Undo::HealLink(1 - host)));
                    self.after(round * 2 * SECOND + SECOND, Event::Undo(Undo::HealLink(host)));
                }
                self.network.cut = [true; 2];
            }
            Fault::SlowLink => {
                self.network.delay = self.random.between(20_000, 400_000);
                self.after(long, Event::Undo(Undo::FastLink));
            }
            Fault::EndSession => {
                if let Some(session) = self.network.open[0] {
                    self.after(0, Event::Down { host: 0, session });
                    self.after(500, Event::Down { host: 1, session });
                }
            }
            Fault::Suspend(host) => {
                if self.hosts[host].process.is_some() {
                    self.hosts[host].paused = true;
                    self.after(short, Event::Undo(Undo::Resume(host)));
                }
            }
            Fault::SlowDisk(host) => {
                self.hosts[host].commit = self.random.between(50_000, 900_000);
                self.after(long, Event::Undo(Undo::FastDisk(host)));
            }
            Fault::FailingDisk(host) => {
                self.hosts[host].disk.fails = true;
                self.feed_unless_paused(host, Input::StoreHealth(StoreHealth::Failing));
                self.after(short, Event::Undo(Undo::WorkingDisk(host)));
            }
            Fault::CutClients(host) => {
                self.lan.cut[host] = true;
                self.after(long, Event::Undo(Undo::HealClients(host)));
            }
            Fault::NoCarrier(host) => {
                self.lan.cut[host] = true;
                self.set_carrier(host, false);
                self.after(long, Event::Undo(Undo::Carrier(host)));
            }
            Fault::LoseClientPackets => {
                self.lan.loss = 40;
                self.after(long, Event::Undo(Undo::KeepClientPackets));
            }
            Fault::StepWallClock(host) => self.hosts[host].clock.step(self.now, &mut self.random),
            Fault::Switchover => self.switch_over(),
            Fault::Leave(host) => self.order(host, Command::Leave),
            Fault::HoldPromotion => self.hold_promotion(),
            Fault::Death(host) => self.death(host),
            Fault::Wipe(host) => self.wipe(host),
            Fault::RollBack(host) => self.roll_back(host),
        }
    }

    fn switch_over(&mut self) {
        let relationship = PAIRS[self.random.index(2)].into();
        let host = self.random.index(2);
        self.order(host, Command::Switchover { relationship, to: None });
    }

    fn hold_promotion(&mut self) {
        let duration = Duration::from_secs(self.random.below(20));
        let host = self.random.index(2);
        self.order(host, Command::Pause { relationship: None, duration });
    }

    pub(crate) fn order(&mut self, host: usize, command: Command) {
        self.faults.requests += 1;
        let request = Request(self.faults.requests);
        self.feed_unless_paused(host, Input::Operator(request, command));
    }

    pub(crate) fn feed_unless_paused(&mut self, host: usize, input: Input) {
        if !self.hosts[host].paused {
            self.feed(host, input);
        }
    }

    pub(crate) fn set_carrier(&mut self, host: usize, carrier: bool) {
        self.hosts[host].carrier = carrier;
        self.feed_unless_paused(host, Input::Links(vec![settings::link(host, carrier)]));
    }

    /// A machine dies, and an operator, who has seen that, says so to the other one.
    pub(crate) fn death(&mut self, host: usize) {
        let other_runs = self.hosts[1 - host].process.is_some();
        if !other_runs || self.faults.promised_off[1 - host] {
            return;
        }
        self.stop(host, Stop::PowerCut);
        self.faults.promised_off[host] = true;
        let said = self.random.between(SECOND, 8 * SECOND);
        let back = said + self.random.between(5 * SECOND, 120 * SECOND);
        self.after(said, Event::Undo(Undo::Promise(1 - host, self.now)));
        self.after(back, Event::Undo(Undo::Start(host)));
    }

    /// A store is gone; never both, which no rule survives.
    fn wipe(&mut self, host: usize) {
        if !self.may_lose(host) {
            return;
        }
        self.stop(host, Stop::PowerCut);
        self.hosts[host].disk = Default::default();
        self.restore(host, Durable::default());
        let back = self.random.between(SECOND, 40 * SECOND);
        self.after(back, Event::Undo(Undo::Start(host)));
    }

    /// Both stores are whole.
    pub(crate) fn may_lose(&self, host: usize) -> bool {
        let whole = self.hosts.iter().all(|host| host.knows_everything() && host.disk.unreadable.is_empty());
        whole && self.faults.promised_off == [false; 2] && self.hosts[1 - host].disk.durable.sequence.0 > 0
    }

    /// A store goes back to an older state, from which its partner can tell.
    fn roll_back(&mut self, host: usize) {
        let backups = &self.hosts[host].disk.backups;
        if backups.is_empty() || !self.may_lose(host) {
            return;
        }
        let backup = backups[self.random.index(backups.len())].clone();
        if !self.partner_can_tell(host, backup.sequence) {
            return;
        }
        self.stop(host, Stop::PowerCut);
        self.faults.promised_off[host] = true;
        self.restore(host, backup);
        let back = self.random.between(SECOND, 20 * SECOND);
        self.after(back, Event::Undo(Undo::Start(host)));
    }

    /// A store, whose process does not run, holds something else from now on.
    pub(crate) fn restore(&mut self, host: usize, held: Durable) {
        self.hosts[host].disk.durable = held;
        self.judge.see(self.now, &Seen::StoreLost { host });
        for record in self.hosts[host].disk.durable.seen.clone().into_values() {
            self.judge.see(self.now, &Seen::Durable { host, record });
        }
    }

    fn partner_can_tell(&self, host: usize, sequence: Sequence) -> bool {
        let stored = self.hosts[1 - host].disk.look();
        let remembered =
            stored.node.and_then(|node| node.peers.into_iter().find(|(name, _)| name.as_str() == NODES[host]));
        remembered.is_some_and(|(_, remembered)| remembered.persisted > sequence)
    }

    pub(crate) fn undo(&mut self, undo: Undo) {
        match undo {
            Undo::Start(host) => self.start_again(host),
            Undo::HealLink(host) => {
                for (at, message) in self.network.heal(self.now, host, &mut self.random) {
                    self.at(at, Event::Message(message));
                }
            }
            Undo::FastLink => self.network.delay = 2_000,
            Undo::Resume(host) if self.hosts[host].paused => self.unpause(host),
            Undo::Resume(_) => {}
            Undo::FastDisk(host) => self.hosts[host].commit = 5_000,
            Undo::WorkingDisk(host) => {
                self.hosts[host].disk.fails = false;
                self.begin_commit(host);
                self.feed_unless_paused(host, Input::StoreHealth(StoreHealth::Working));
            }
            Undo::HealClients(host) => self.lan.cut[host] = false,
            Undo::Carrier(host) => {
                self.lan.cut[host] = false;
                self.set_carrier(host, true);
            }
            Undo::KeepClientPackets => self.lan.loss = 1,
            Undo::Promise(host, since) => self.promise(host, since),
            Undo::After(aftermath) => self.undo_trouble(aftermath),
            Undo::Calm => self.calm_down(),
        }
    }

    fn start_again(&mut self, host: usize) {
        if self.faults.promised_off[host] {
            let other = &self.hosts[1 - host];
            if other.process.is_none() && !self.faults.promised_off[1 - host] {
                return self.after(SECOND, Event::Undo(Undo::Start(host)));
            }
            self.faults.held_for = Some(host);
            self.heal();
        }
        self.start(host);
    }

    fn promise(&mut self, host: usize, since: Time) {
        let node = 1 - host;
        if !self.faults.promised_off[node] || self.hosts[node].process.is_some() || self.hosts[host].process.is_none() {
            return;
        }
        let wall = self.hosts[host].clock.read(self.now).wall;
        let off_since = self.random.percent(50).then_some(Wall(wall.0 - (self.now - since) / 1_000));
        self.say("operator", || format!("{} is off", NODES[node]));
        let node = NODES[node].into();
        self.order(host, Command::PartnerDown { node, relationship: None, off_since, despite_evidence: true });
    }

    /// Something became durable: a node that was promised to be off may know enough by now to look after itself.
    pub(crate) fn written(&mut self, host: usize) {
        let disk = &self.hosts[host].disk;
        if self.random.percent(2) && disk.backups.len() < 8 {
            let backup = disk.durable.clone();
            self.hosts[host].disk.backups.push(backup);
        }
        if self.faults.held_for == Some(host) && self.has_learnt(host) {
            self.faults.held_for = None;
            self.faults.promised_off[host] = false;
        }
    }

    /// Every relationship is marked, or in step.
    fn has_learnt(&self, host: usize) -> bool {
        (0..PAIRS.len()).all(|pair| {
            self.hosts[host].durable_pair(pair).is_some_and(|record| {
                let in_step = |phase| phase == Phase::Normal;
                record.must_hear_partner || in_step(record.phase) && self.hosts[host].phase(pair).is_some_and(in_step)
            })
        }) && self.network.open[host].is_some()
            && self.hosts[host].process.is_some()
    }

    fn heal(&mut self) {
        for host in 0..2 {
            for undo in [
                Undo::HealLink(host),
                Undo::Resume(host),
                Undo::FastDisk(host),
                Undo::WorkingDisk(host),
                Undo::Carrier(host),
            ] {
                self.undo(undo);
            }
        }
        self.undo(Undo::FastLink);
        self.undo(Undo::KeepClientPackets);
        self.heal_troubles();
    }

    fn calm_down(&mut self) {
        self.faults.calm = true;
        self.say("fault", || "all faults end".into());
        self.heal();
        self.start_again(0);
        self.start_again(1);
        self.tame();
        self.after(5 * SECOND, Event::Undo(Undo::After(Aftermath::Restore)));
    }
}
