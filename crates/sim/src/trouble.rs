//! Faults of a second stream: what strangers, clients' links, machines and operators do beside the first.
//!
//! Their chance is drawn from a stream of its own, beside that of everything else, so that a seed that knows none of
//! them runs as it did before they were thought of.

use crate::checker::{Seen, Time};
use crate::client::SECOND;
use crate::faults::Undo;
use crate::hostile::Attack;
use crate::random::Random;
use crate::settings::NODES;
use crate::world::{Event, Stop, World};
use standfast_core::configuration::Configuration;
use standfast_core::input::{Command, Input, StoreHealth};
use std::time::Duration;

/// One kind, and where it strikes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Trouble {
    /// Somebody on the clients' link means no good.
    Attack(Attack),
    /// The link between clients and a node comes and goes.
    FlapClients(usize),
    /// Clients do not hear a node that hears them.
    MuteToClients(usize),
    /// A node does not hear clients that hear it.
    DeafToClients(usize),
    /// What clients and nodes say to each other takes long, and overtakes each other.
    SlowClients,
    /// A process dies between two of the things that it has to do.
    Crash(usize),
    /// No space is left, for a while.
    FullDisk(usize),
    /// A record, which the partner has too, cannot be read any more.
    Damage(usize),
    /// What was sent in a session comes once more, in the next one.
    LateMessages,
    /// A session begins while another one is up, whose end is heard of later.
    SecondSession,
    /// An operator says that a node is off, which runs.
    Untrue(usize),
    /// An operator ends the embargo of a node.
    AcceptRisk(usize),
    /// Both stores are lost at once, and an operator declares the cluster new.
    BothLost,
    /// An operator changes the configuration, if need be without the node that is away.
    Reconfigure(usize),
    /// An operator ends somebody's lease.
    EndLease(usize),
    /// An operator stops both nodes at once.
    BothLeave,
    /// An operator has the primary serve again.
    Failback(usize),
}

impl Trouble {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Attack(attack) => attack.name(),
            Self::FlapClients(_) => "fault flap clients",
            Self::MuteToClients(_) => "fault mute to clients",
            Self::DeafToClients(_) => "fault deaf to clients",
            Self::SlowClients => "fault slow clients",
            Self::Crash(_) => "fault crash between outputs",
            Self::FullDisk(_) => "fault full disk",
            Self::Damage(_) => "fault damaged record",
            Self::LateMessages => "fault late messages",
            Self::SecondSession => "fault second session",
            Self::Untrue(_) => "operator untrue partner-down",
            Self::AcceptRisk(_) => "operator accept risk",
            Self::BothLost => "fault both stores lost",
            Self::Reconfigure(_) => "operator configuration",
            Self::EndLease(_) => "operator end lease",
            Self::BothLeave => "operator both leave",
            Self::Failback(_) => "operator failback",
        }
    }

    /// One of each kind, and how often it comes beside the others.
    pub(crate) fn all(host: usize) -> Vec<(Self, u32)> {
        let mut all = vec![
            (Self::FlapClients(host), 3),
            (Self::MuteToClients(host), 4),
            (Self::DeafToClients(host), 4),
            (Self::SlowClients, 3),
            (Self::Crash(host), 8),
            (Self::FullDisk(host), 4),
            (Self::Damage(host), 4),
            (Self::LateMessages, 6),
            (Self::SecondSession, 6),
            (Self::Untrue(host), 5),
            (Self::AcceptRisk(host), 3),
            (Self::BothLost, 2),
            (Self::Reconfigure(host), 8),
            (Self::EndLease(host), 3),
            (Self::BothLeave, 3),
            (Self::Failback(host), 5),
        ];
        all.extend(Attack::ALL.map(|attack| (Self::Attack(attack), 3)));
        all
    }
}

/// How such a fault goes on and ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Aftermath {
    CutClients(usize),
    HealClients(usize),
    FastClients,
    TellFull(usize),
    Space(usize),
    Punctual,
    /// An operator says that the other node is off.
    UntruePromise(usize),
    /// A fence command ends.
    Fence(usize, usize),
    /// An operator declares the cluster new; `true`: when every lease is over.
    Init(usize, bool),
    /// An operator puts back the configuration that the cluster began with.
    Restore,
}

/// Which of them a seed knows, and their chance.
#[derive(Debug)]
pub(crate) struct Troubles {
    pub(crate) random: Random,
    weights: Vec<u32>,
    mean: Time,
    fences: bool,
    guesses: bool,
    /// Both stores were lost, and nobody has declared the cluster new.
    pub(crate) undeclared: bool,
    /// What was sent comes again in the next session.
    pub(crate) late: bool,
    /// After how many outputs a process dies.
    pub(crate) crash: [Option<usize>; 2],
}

impl Troubles {
    /// Of a seed. One in four knows none.
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::beside(seed);
        let some = random.below(4) > 0;
        let weight = |weight| match random.below(4) {
            2 if some => weight,
            3 if some => weight * 4,
            _ => 0,
        };
        let weights = Trouble::all(0).into_iter().map(|(_, usual)| usual).map(weight).collect();
        let mean = [5, 10, 20, 40][random.index(4)] * SECOND;
        let how = random.below(8);
        Self { weights, mean, fences: some && how == 0, guesses: some && how == 1, ..Self::with(random) }
    }

    /// None, for a seed that is to run as it did before.
    pub(crate) fn none() -> Self {
        Self::with(Random::steady())
    }

    fn with(random: Random) -> Self {
        let (weights, mean) = (Vec::new(), SECOND);
        Self { random, weights, mean, fences: false, guesses: false, undeclared: false, late: false, crash: [None; 2] }
    }

    pub(crate) fn are_known(&self) -> bool {
        self.weights.iter().any(|&weight| weight > 0)
    }

    /// What nodes are configured to do about a partner that is gone.
    pub(crate) fn configure(&self, configuration: &mut Configuration) {
        for pair in &mut configuration.relationships {
            if self.fences {
                pair.failover.fence_command = vec!["fence".into()];
            }
            if self.guesses {
                pair.failover.auto_partner_down = Some(Duration::from_secs(12));
            }
        }
    }
}

impl World {
    /// One of the kinds that this seed knows strikes, unless everything must be well now.
    pub(crate) fn trouble(&mut self) {
        if self.faults.is_calm() || !self.troubles.are_known() {
            return;
        }
        let random = &mut self.troubles.random;
        let next = random.between(SECOND / 2, self.troubles.mean * 2);
        let (host, pick) = (random.index(2), random.weighted(&self.troubles.weights));
        self.after(next, Event::Trouble);
        if !self.faults.is_holding() {
            let trouble = Trouble::all(host)[pick].0;
            self.transcript.count(trouble.name());
            self.say("fault", || format!("{trouble:?}"));
            self.strike(trouble);
        }
    }

    fn strike(&mut self, trouble: Trouble) {
        let random = &mut self.troubles.random;
        let long = random.between(SECOND / 2, 40 * SECOND);
        let steps = random.index(6);
        let later = |world: &mut Self, aftermath| world.after(long, Event::Undo(Undo::After(aftermath)));
        match trouble {
            Trouble::Attack(attack) => self.begin_attack(attack),
            Trouble::FlapClients(host) => {
                for round in 0..6 {
                    let at = round * 2 * SECOND;
                    self.after(at, Event::Undo(Undo::After(Aftermath::CutClients(host))));
                    self.after(at + SECOND, Event::Undo(Undo::After(Aftermath::HealClients(host))));
                }
            }
            Trouble::MuteToClients(host) => {
                self.lan.mute[host] = true;
                later(self, Aftermath::HealClients(host));
            }
            Trouble::DeafToClients(host) => {
                self.lan.deaf[host] = true;
                later(self, Aftermath::HealClients(host));
            }
            Trouble::SlowClients => {
                self.lan.delay = 400_000;
                later(self, Aftermath::FastClients);
            }
            Trouble::Crash(host) => self.troubles.crash[host] = Some(steps),
            Trouble::FullDisk(host) => {
                self.hosts[host].disk.full = true;
                later(self, Aftermath::Space(host));
            }
            Trouble::Damage(host) => self.damage(host),
            Trouble::LateMessages => {
                self.troubles.late = true;
                later(self, Aftermath::Punctual);
            }
            Trouble::SecondSession => self.second_session(),
            Trouble::Untrue(host) => {
                self.network.cut = [true; 2];
                let said = self.troubles.random.between(SECOND, 6 * SECOND);
                self.after(said, Event::Undo(Undo::After(Aftermath::UntruePromise(host))));
                let healed = said + self.troubles.random.between(20 * SECOND, 100 * SECOND);
                for host in 0..2 {
                    self.after(healed, Event::Undo(Undo::HealLink(host)));
                }
            }
            Trouble::AcceptRisk(host) => self.accept_risk(host),
            Trouble::BothLost => self.lose_both(),
            Trouble::Reconfigure(host) => self.reconfigure(host),
            Trouble::EndLease(host) => self.end_lease(host),
            Trouble::BothLeave => {
                self.order(0, Command::Leave);
                self.order(1, Command::Leave);
            }
            Trouble::Failback(host) => self.fail_back(host),
        }
    }

    pub(crate) fn undo_trouble(&mut self, aftermath: Aftermath) {
        match aftermath {
            Aftermath::CutClients(host) => self.lan.cut[host] = !self.faults.is_calm() && !self.faults.is_holding(),
            Aftermath::HealClients(host) => {
                self.lan.cut[host] = false;
                self.lan.mute[host] = false;
                self.lan.deaf[host] = false;
            }
            Aftermath::FastClients => self.lan.delay = crate::world::LAN_DELAY,
            Aftermath::TellFull(host) if self.hosts[host].disk.full => {
                self.feed_unless_paused(host, Input::StoreHealth(StoreHealth::Failing));
            }
            Aftermath::TellFull(_) => {}
            Aftermath::Space(host) if self.hosts[host].disk.full => {
                self.hosts[host].disk.full = false;
                self.hosts[host].disk.told_full = false;
                self.begin_commit(host);
                self.feed_unless_paused(host, Input::StoreHealth(StoreHealth::Working));
            }
            Aftermath::Space(_) => {}
            Aftermath::Punctual => self.troubles.late = false,
            Aftermath::UntruePromise(host) => self.promise_untruly(host),
            Aftermath::Fence(host, pair) => self.fence(host, pair),
            Aftermath::Init(host, patient) => self.declare_new(host, patient),
            Aftermath::Restore => self.restore_configuration(),
        }
    }

    /// Everything is well again.
    pub(crate) fn heal_troubles(&mut self) {
        for host in 0..2 {
            self.undo_trouble(Aftermath::HealClients(host));
            self.undo_trouble(Aftermath::Space(host));
        }
        self.undo_trouble(Aftermath::FastClients);
        self.undo_trouble(Aftermath::Punctual);
        self.troubles.crash = [None; 2];
    }

    /// A process that was to die between two of its outputs has done so.
    pub(crate) fn crash(&mut self, host: usize) {
        self.stop(host, Stop::Killed);
        let back = self.troubles.random.between(SECOND / 5, 20 * SECOND);
        self.after(back, Event::Undo(Undo::Start(host)));
    }

    /// A lease that the partner holds as it is cannot be read any more when the process starts again.
    fn damage(&mut self, host: usize) {
        let other = &self.hosts[1 - host].disk;
        let known = |record: &&crate::checker::Record| {
            other.durable.seen.get(&record.address).is_some_and(|theirs| theirs.version.has_seen(record.version))
        };
        let safe: Vec<_> = self.hosts[host].disk.durable.seen.values().filter(known).map(|it| it.address).collect();
        if safe.is_empty() || !self.may_lose(host) {
            return;
        }
        let address = safe[self.troubles.random.index(safe.len())];
        self.stop(host, Stop::PowerCut);
        self.hosts[host].disk.damage(address);
        self.judge.see(self.now, &Seen::RecordLost { host, address });
        self.say("fault", || format!("the record of {address} in the store of {} is damaged", NODES[host]));
        let back = self.troubles.random.between(SECOND, 20 * SECOND);
        self.after(back, Event::Undo(Undo::Start(host)));
    }

    fn second_session(&mut self) {
        let Some(old) = self.network.open[0].filter(|_| self.network.is_whole()) else { return };
        self.begin_session();
        for host in 0..2 {
            let heard = self.troubles.random.between(0, 2 * SECOND);
            self.after(heard, Event::Down { host, session: old });
        }
    }
}
