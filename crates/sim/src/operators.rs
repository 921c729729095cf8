//! What operators do beside switching over and telling the truth: untrue promises, embargoes ended, clusters declared
//! new, changed configurations, leases ended by hand.
//!
//! Of an untrue promise, an embargo ended at their risk and a cluster declared new too early no rule can keep every
//! client from harm. The judges forgive then what nobody could prevent, until both nodes are in step and the last lease
//! from before is over; that two clients had one address must still be reported.

use crate::checker::{Seen, Time};
use crate::client::SECOND;
use crate::disk::Durable;
use crate::faults::Undo;
use crate::hostile::{Attack, Forged};
use crate::settings::{self, NODES, PAIRS};
use crate::trouble::Aftermath;
use crate::world::{Event, Stop, World};
use standfast_core::configuration::{AddressSet, Configuration, Reservation};
use standfast_core::failover::state::{Phase, Proof};
use standfast_core::input::{Apply, Command, Input};
use standfast_core::node::Node;
use standfast_core::stored::RelationshipRecord;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

/// The longest lease time, the maximum client lead time and the grace: no promise from before is left then.
const ALL_OVER: Time = 100 * SECOND;

/// The longest lease time, and a bit.
const LEASES_OVER: Time = 75 * SECOND;

impl World {
    fn runs(&self, host: usize) -> Option<&Node> {
        self.hosts[host].process.as_ref().filter(|_| !self.hosts[host].paused)
    }

    pub(crate) fn promise_untruly(&mut self, host: usize) {
        if self.runs(host).is_some() && !self.faults.is_calm() && !self.faults.is_holding() {
            let node = NODES[1 - host].into();
            self.say("operator", || format!("{} is off, untruly", NODES[1 - host]));
            let command = Command::PartnerDown { node, relationship: None, off_since: None, despite_evidence: true };
            self.order(host, command);
            // Even if the other node does not run just now: it starts when it likes.
            if (0..PAIRS.len()).any(|pair| self.hosts[host].phase(pair) == Some(Phase::PartnerDown)) {
                self.judge.excuse(Time::MAX);
            }
            // When the waits are over, so many want an address that both nodes give the same ones away.
            self.after(LEASES_OVER / 2, Event::Attack(Attack::Starving, 100));
        }
    }

    /// A state of a relationship was written: promises of partner-down are true or not, and what they spoilt heals.
    /// A story says itself what it is about.
    pub(crate) fn weigh_promises(&mut self, host: usize, record: &RelationshipRecord) {
        let promised = match record.proof {
            Some((Proof::Operator | Proof::Timer, _)) => record.phase == Phase::PartnerDown,
            Some((Proof::CleanLeave | Proof::Fenced, _)) | None => false,
        };
        if promised && self.hosts[1 - host].process.is_some() && !self.transcript.is_story() {
            self.transcript.count("promise untrue");
            self.judge.excuse(Time::MAX);
        }
        let normal = |pair: usize| self.hosts.iter().all(|host| host.phase(pair) == Some(Phase::Normal));
        if record.phase == Phase::Normal && (0..self.hosts[host].relationships()).all(normal) {
            self.judge.see(self.now, &Seen::InStep);
            self.judge.excuse_at_most(self.now + ALL_OVER);
        }
    }

    /// A node has run its fence command, which turns the partner's machine off, or fails.
    pub(crate) fn fence(&mut self, host: usize, pair: usize) {
        if self.runs(host).is_none() {
            return;
        }
        let success = self.troubles.random.percent(85);
        self.say(NODES[host], || format!("its fence command {}", if success { "succeeds" } else { "fails" }));
        if success {
            self.transcript.count("fault fence");
            if self.hosts[1 - host].process.is_some() {
                self.stop(1 - host, Stop::PowerCut);
                let back = self.troubles.random.between(5 * SECOND, 100 * SECOND);
                self.after(back, Event::Undo(Undo::Start(1 - host)));
            }
        }
        self.feed_unless_paused(host, Input::Fenced { relationship: PAIRS[pair].into(), success });
    }

    pub(crate) fn accept_risk(&mut self, host: usize) {
        let Some(node) = self.runs(host) else { return };
        let held: Vec<_> =
            node.status().relationships.into_iter().filter(|it| it.embargo.is_some()).map(|it| it.name).collect();
        for relationship in held {
            self.transcript.count("embargo ended by an operator");
            self.judge.excuse(self.now + ALL_OVER);
            self.order(host, Command::AcceptRisk { relationship });
        }
    }

    /// Both stores are gone. A patient operator declares the cluster new when no lease is left.
    pub(crate) fn lose_both(&mut self) {
        if !self.may_lose(0) || !self.may_lose(1) || std::mem::replace(&mut self.troubles.undeclared, true) {
            return;
        }
        self.transcript.count("both stores lost");
        for host in 0..2 {
            self.stop(host, Stop::PowerCut);
            self.hosts[host].disk = Default::default();
            self.restore(host, Durable::default());
            let back = self.troubles.random.between(SECOND, 10 * SECOND);
            self.after(back, Event::Undo(Undo::Start(host)));
        }
        let random = &mut self.troubles.random;
        let (host, patient) = (random.index(2), random.percent(60));
        let at = if patient { LEASES_OVER } else { random.between(10 * SECOND, 30 * SECOND) };
        self.after(at, Event::Undo(Undo::After(Aftermath::Init(host, patient))));
    }

    pub(crate) fn declare_new(&mut self, host: usize, patient: bool) {
        if self.hosts[host].knows_everything() {
            self.troubles.undeclared = false;
            return;
        }
        if self.runs(host).is_some() {
            if !patient {
                self.judge.excuse(self.now + ALL_OVER);
            }
            self.order(host, Command::Init);
        }
        self.after(3 * SECOND, Event::Undo(Undo::After(Aftermath::Init(host, patient))));
    }

    /// As a client's RELEASE would, which did not send one.
    pub(crate) fn end_lease(&mut self, host: usize) {
        let Some((client, address, _)) = self.victim() else { return };
        let ended = Forged { client, address };
        if self.runs(host).is_some() && self.stands(host, ended) {
            self.order(host, Command::Release { address });
            if !self.stands(host, ended) {
                self.has_ended(host, ended);
            }
        }
    }

    pub(crate) fn fail_back(&mut self, host: usize) {
        for (pair, primary) in PAIRS.into_iter().zip(NODES) {
            let to = Some(primary.into());
            self.order(host, Command::Switchover { relationship: pair.into(), to });
        }
    }

    pub(crate) fn reconfigure(&mut self, host: usize) {
        let Some(node) = self.runs(host) else { return };
        let mut changed = Configuration::clone(node.configuration());
        let random = &mut self.troubles.random;
        let client = random.index(self.clients.len());
        let relayed = usize::from(self.clients[client].relay.is_some());
        let scope = &mut changed.scopes[relayed];
        let address = Ipv4Addr::new(10, relayed as u8, 0, 100 + random.below(12) as u8);
        let free = |held: &Reservation| held.address != address;
        match random.below(6) {
            0 => scope.pools[0].range.last = Ipv4Addr::new(10, relayed as u8, 0, 102 + random.below(10) as u8),
            1 => scope.pools[0].range.first = Ipv4Addr::new(10, relayed as u8, 0, 100 + random.below(3) as u8),
            2 if scope.reservations.iter().all(free) => {
                scope.reservations.retain(|it| *it != settings::reservation(it.address, client));
                scope.reservations.push(settings::reservation(address, client));
            }
            2 | 3 => scope.reservations.clear(),
            4 => scope.lease_time.default = Duration::from_secs([20, 40, 60][random.index(3)]),
            _ => scope.disabled = !scope.disabled,
        }
        self.apply_configuration(host, changed);
    }

    /// Has a node apply it; without its partner, if that cannot be reached.
    fn apply_configuration(&mut self, host: usize, mut changed: Configuration) {
        changed.text = format!("{:?} {:?}", changed.relationships, changed.scopes).into();
        let without = self.network.open[host].is_none().then(|| NODES[1 - host].into()).into_iter().collect();
        let apply = Apply { configuration: Arc::new(changed), base: None, without, dry_run: false };
        self.order(host, Command::Apply(apply));
    }

    /// All faults are over: the first configuration comes into use again, so that there is an address for everyone.
    pub(crate) fn restore_configuration(&mut self) {
        let first = Configuration::clone(&self.hosts[0].configuration);
        let differs = |host: &usize| self.runs(*host).is_some_and(|node| node.configuration().scopes != first.scopes);
        if let Some(host) = [0, 1].into_iter().find(differs) {
            self.apply_configuration(host, first);
            self.after(2 * SECOND, Event::Undo(Undo::After(Aftermath::Restore)));
        }
    }

    /// A node uses another revision: the judges are told which addresses it treats in another way than the one before.
    pub(crate) fn configured(&mut self, host: usize, revision: &Arc<Configuration>) {
        let before = self.hosts[host].used.replace(Arc::clone(revision));
        let before = before.as_deref().unwrap_or(&self.hosts[host].configuration);
        let mut addresses = Vec::new();
        for (old, new) in before.scopes.iter().zip(&revision.scopes) {
            let (given, given_now) = (AddressSet::given(old), AddressSet::given(new));
            let all = [given.without(&given_now), given_now.without(&given)];
            addresses.extend(
                all.iter()
                    .flat_map(|set| set.ranges())
                    .flat_map(|range| (range.first.to_bits()..=range.last.to_bits()).map(Ipv4Addr::from)),
            );
            let only = |these: &[Reservation], those: &[Reservation]| -> Vec<Ipv4Addr> {
                these.iter().filter(|kept| !those.contains(kept)).map(|kept| kept.address).collect()
            };
            addresses.extend(only(&old.reservations, &new.reservations));
            addresses.extend(only(&new.reservations, &old.reservations));
        }
        self.judge.see(self.now, &Seen::Configured { addresses });
    }
}
