//! One node: the door in, the door out, and who is behind it.

mod apply;
mod clients;
mod counters;
mod explain;
mod foreign;
mod import;
mod operators;
mod peers;
mod probing;
mod revisions;
mod status;

pub use counters::{Counters, Durations};
pub use explain::{Deed, Explanation, Subject};
pub use foreign::ForeignServer;
pub use status::{PartnerStatus, RelationshipStatus, ScopeState, ScopeStatus, Status};

use crate::absence::{Absence, Shift};
use crate::configuration::{Configuration, RelationshipSettings};
use crate::dhcp::answer::Silence;
use crate::dhcp::limits::Limits;
use crate::dhcp::reservation::Reservations;
use crate::dhcp::selection::Selector;
use crate::effects::Effects;
use crate::event::Code;
use crate::failover::relationship::{Beginning, REUSE_GRACE, Relationship};
use crate::id::{NodeName, RelationshipName, Sequence};
use crate::input::{Identity, Input, Link, Request, StoreHealth};
use crate::lease::merge::Case;
use crate::lease::record::Lease;
use crate::lease::table::LeaseTable;
use crate::mutant::{Rule, holds};
use crate::output::{CommandResult, Outputs, StoredRecord};
use crate::peer::Peer;
use crate::revisions::Revisions;
use crate::stored::{NodeRecord, RelationshipRecord, Stored};
use crate::time::{Instant, Now};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

/// How often the node's own record is stored while it changes.
const RECORD_EVERY: Duration = Duration::from_secs(1);

/// How often the node's own record is stored in any case, so that it is known until when the node ran.
const RECORD_AT_LEAST_EVERY: Duration = Duration::from_secs(60);

/// Incarnations that a store remembers at the most.
const INCARNATIONS_KEPT: usize = 1_000;

/// A node of the cluster, as one deterministic value.
#[derive(Debug)]
pub struct Node {
    identity: Identity,
    configuration: Arc<Configuration>,
    selector: Selector,
    reservations: Vec<Reservations>,
    /// The relationship of each scope, by position in the configuration; `None` where another node serves it.
    owners: Vec<Option<usize>>,
    relationships: Vec<Relationship>,
    /// Relationships that the configuration does not have, and their leases.
    dormant: Vec<(RelationshipRecord, Vec<Lease>)>,
    revisions: Revisions,
    peers: BTreeMap<NodeName, Peer>,
    links: BTreeMap<u32, Link>,
    record: NodeRecord,
    /// The last write that the store held when it was opened.
    found: Sequence,
    /// When everything that the store held then will be over, with the waits that rest on it.
    all_old_is_over: Instant,
    record_stored: Instant,
    record_changed: bool,
    fx: Effects,
    last_turn: Instant,
    /// Since when a write has been waiting for the store.
    write_waits_since: Option<Instant>,
    /// Heartbeats are held back, because writes hang or fail.
    muted: bool,
    /// What was received before this is too old to be answered.
    stale_before: Instant,
    counters: Counters,
    limits: Limits,
    deeds: explain::Deeds,
    foreign: foreign::ForeignServers,
    /// Operators who wait until the homes of what they import have answered.
    importing: Vec<(Request, CommandResult)>,
    /// The process is to end.
    leaving: bool,
}

/// Why a node wants to be called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wakeup {
    /// A heartbeat is due, or contact is about to be lost.
    Heartbeat,
    /// Something of a relationship is due.
    Relationship,
    /// The node's own record is due, or it must notice that it stood still.
    Housekeeping,
}

impl Node {
    /// A node that starts now with what its store held. Of `file`, which it is started with, only what the store has
    /// no revision of is used.
    #[must_use]
    pub fn new(identity: Identity, file: Arc<Configuration>, mut stored: Stored, now: Now) -> Self {
        let own = stored.node.take().filter(|record| record.node == identity.node);
        let known = own.is_some();
        let (configuration, revisions) =
            Self::first_revision(&identity.node, file, identity.new_cluster, known.then_some(&stored));
        let mut fx = Effects::new(now, stored.sequence);
        if let Some(record) = own.as_ref().filter(|_| holds(Rule::TimeNotRun)) {
            fx.absence = Absence::after(record, now);
        }
        let mut record = own.unwrap_or_else(|| NodeRecord {
            node: identity.node.clone(),
            incarnations: Vec::new(),
            peers: Vec::new(),
            last_running: now.wall,
            last_running_at: now.instant,
            clock_zero: Instant(0),
            clock_confirmed: false,
            doubt: None,
            revision: None,
            sequence: Sequence(0),
        });
        let stood_still = now.wall.0 - record.last_running.0;
        if stood_still < 0 {
            let what = "the wall clock is behind the store: leases live longer until it is right";
            fx.event(Code::ClockBehind, None, what, format!("by {} ms", -stood_still));
        }
        record.incarnations.push(identity.incarnation);
        let excess = record.incarnations.len().saturating_sub(INCARNATIONS_KEPT);
        record.incarnations.drain(..excess);
        record.revision = Some(configuration.revision.clone());

        let mut node = Self {
            selector: Selector::new(&configuration),
            reservations: configuration.scopes.iter().map(Reservations::new).collect(),
            owners: Vec::new(),
            relationships: Vec::new(),
            dormant: Vec::new(),
            revisions,
            peers: BTreeMap::new(),
            links: BTreeMap::new(),
            record,
            found: stored.sequence,
            all_old_is_over: now.instant,
            record_stored: now.instant,
            record_changed: false,
            fx,
            last_turn: now.instant,
            write_waits_since: None,
            muted: false,
            stale_before: Instant::NEVER,
            counters: Counters::default(),
            limits: Limits::default(),
            deeds: explain::Deeds::default(),
            foreign: foreign::ForeignServers::default(),
            importing: Vec::new(),
            leaving: false,
            identity,
            configuration,
        };
        node.make_relationships(if known { stored.relationships } else { Vec::new() });
        node.fill_tables(if known { stored.leases } else { Vec::new() });
        node.hold_unreadable(&stored.unreadable);
        node.reckon_with_old_promises(now.instant);
        node.make_peers();
        node.refresh_allowances();
        node.begin_revision(stored.configuration.is_none() || !known);
        node.store_record();
        node.relationships.iter_mut().for_each(|relationship| relationship.persist(&mut node.fx));
        node
    }

    /// Until when a promise of an earlier process may stand.
    fn reckon_with_old_promises(&mut self, now: Instant) {
        let longest = |relationship: &Relationship| {
            relationship.longest_lease
                + relationship.partner.as_ref().map_or(Duration::ZERO, |_| relationship.longest_mclt)
        };
        self.fx.absence.longest_promise = self.relationships.iter().map(longest).max().unwrap_or_default();
        self.all_old_is_over = now + self.fx.absence.longest_promise + REUSE_GRACE;
    }

    /// Never blocks, never fails: bad input is counted and dropped.
    pub fn handle(&mut self, now: Now, input: Input) {
        self.fx.now = now;
        self.notice_standstill();
        match input {
            Input::Packet(packet) => self.packet(packet),
            Input::PeerUp { peer, session } => self.peer_up(&peer, session),
            Input::Peer { peer, session, message } => self.peer_message(&peer, session, message),
            Input::PeerDown { peer, session } => self.peer_down(&peer, session),
            Input::PeerGone { peer } => self.peer_gone(&peer),
            Input::Persisted(sequence) => self.persisted(sequence),
            Input::Links(links) => self.links_changed(links),
            Input::StoreHealth(health) => self.store_health(health),
            Input::ClockConfirmed => self.clock_confirmed(),
            Input::Fenced { relationship, success } => self.fenced(&relationship, success),
            Input::Operator(request, command) => self.operator(request, command),
            Input::Overheard(overheard) => self.overhear(&overheard),
            Input::ProbeAnswered { link, address, hardware } => self.probe_answered(link, address, hardware),
            Input::Tick => self.tick(),
        }
        if self.relationships.iter().any(|pair| pair.allowance_is_stale) {
            self.refresh_allowances();
        }
        self.tell_held();
        self.tell_imported();
        self.reply_settled();
        if self.write_waits_since.is_none() && self.fx.last() > self.fx.persisted {
            self.write_waits_since = Some(now.instant);
        }
    }

    /// Everything that must now happen; taking it empties it.
    pub fn outputs(&mut self) -> Outputs {
        std::mem::take(&mut self.fx.outputs)
    }

    /// When to call `handle` with [`Input::Tick`] at the latest, and why.
    #[must_use]
    pub fn deadline(&self) -> Option<(Instant, Wakeup)> {
        let heartbeats = self.peers.values().filter_map(|peer| peer.detector.deadline());
        let relationships = self.relationships.iter().filter_map(|relationship| relationship.deadline(&self.fx));
        let housekeeping = self.last_turn + self.standstill() / 4;
        let verdicts = self.revisions.applying.as_ref().map(|applying| (applying.until, Wakeup::Housekeeping));
        heartbeats
            .map(|at| (at, Wakeup::Heartbeat))
            .chain(relationships.map(|at| (at, Wakeup::Relationship)))
            .chain([(housekeeping, Wakeup::Housekeeping)])
            .chain(verdicts)
            .min_by_key(|&(at, _)| at)
    }

    /// Whether some right to answer clients is being made durable, a matter of one commit. What is heard meanwhile had
    /// better wait than be dropped.
    #[must_use]
    pub fn is_about_to_serve(&self) -> bool {
        self.relationships.iter().any(|pair| pair.is_about_to_serve(&self.fx))
    }

    /// Whether any scope is active here, so that packets are answered.
    #[must_use]
    pub fn serves(&self) -> bool {
        let serves = |owner: usize| self.relationships.get(owner).is_some_and(|owner| owner.is_serving(&self.fx));
        self.owners.iter().flatten().any(|&owner| serves(owner))
    }

    /// Every lease record, with its relationship.
    pub fn leases(&self) -> impl Iterator<Item = (&RelationshipName, &Lease)> {
        self.relationships.iter().flat_map(|r| r.table.iter().map(move |lease| (&r.name, lease)))
    }

    /// The leases that come behind one of a relationship in [`Node::leases`], found without looking at those before.
    pub fn leases_behind(
        &self,
        name: &RelationshipName,
        address: Ipv4Addr,
    ) -> impl Iterator<Item = (&RelationshipName, &Lease)> {
        let at = self.relationships.iter().position(|r| r.name == *name).unwrap_or(self.relationships.len());
        self.relationships[at..].iter().enumerate().flat_map(move |(further, r)| {
            let first = if further == 0 { Bound::Excluded(address) } else { Bound::Unbounded };
            r.table.range((first, Bound::Unbounded)).map(move |lease| (&r.name, lease))
        })
    }

    /// Which node of the configuration this is.
    #[must_use]
    pub fn name(&self) -> &NodeName {
        &self.identity.node
    }

    /// The client links.
    pub fn links(&self) -> impl Iterator<Item = &Link> {
        self.links.values()
    }

    /// The lease records of addresses from `first` to `last`.
    pub fn leases_between(&self, first: Ipv4Addr, last: Ipv4Addr) -> impl Iterator<Item = &Lease> {
        self.relationships.iter().flat_map(move |pair| pair.table.range(first..=last))
    }

    /// Time that may not have passed although leases of earlier processes count it; `None` if nothing is in doubt.
    #[must_use]
    pub fn doubt(&self) -> Option<Duration> {
        self.fx.absence.doubt()
    }

    /// The configuration in use.
    #[must_use]
    pub fn configuration(&self) -> &Arc<Configuration> {
        &self.configuration
    }

    /// What was received, answered and passed over.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// How often this node became active since this process started, by relationship and reason.
    pub fn promotions(&self) -> impl Iterator<Item = (&RelationshipName, &'static str, u64)> {
        self.relationships
            .iter()
            .filter(|pair| pair.partner.is_some())
            .flat_map(|pair| pair.promotions.iter().map(|(&reason, &count)| (&pair.name, reason, count)))
    }

    /// How often each case of merging decided since this process started.
    pub fn merges(&self) -> impl Iterator<Item = (Case, u64)> {
        let all = |case: Case| self.relationships.iter().map(|pair| pair.merges[case as usize]).sum();
        Case::ALL.iter().map(move |&case| (case, all(case)))
    }

    /// Messages of clients that were received and are neither answered nor passed over yet.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.relationships.iter().map(|pair| pair.held.len() + pair.probes.len()).sum()
    }

    fn make_relationships(&mut self, mut records: Vec<RelationshipRecord>) {
        let configuration = Arc::clone(&self.configuration);
        let me = &self.identity.node;
        let ours = |settings: &&RelationshipSettings| settings.primary == *me || settings.standby == *me;
        self.relationships = configuration
            .relationships
            .iter()
            .filter(ours)
            .map(|settings| {
                let record = records.iter().position(|record| record.relationship == settings.name);
                let record = record.map(|position| records.swap_remove(position));
                self.beginning(Some(settings), record, self.identity.new_cluster)
            })
            .chain([self.beginning(None, None, false)])
            .map(|beginning| self.relationship(beginning))
            .collect();
        self.dormant = records.into_iter().map(|record| (record, Vec::new())).collect();
        self.index_owners();
    }

    fn relationship(&self, beginning: Beginning) -> Relationship {
        let positions = self.scopes_of(&beginning.name);
        let slot = beginning.partner.as_ref().map(|_| beginning.slot());
        let table = LeaseTable::new(slot, &self.configuration, &positions);
        Relationship::new(beginning, table)
    }

    /// What a relationship starts from; without settings, the scopes that this node serves alone.
    fn beginning(
        &self,
        settings: Option<&RelationshipSettings>,
        record: Option<RelationshipRecord>,
        new: bool,
    ) -> Beginning {
        let me = &self.identity.node;
        let name = settings.map_or_else(|| alone(me), |settings| settings.name.clone());
        let positions = self.scopes_of(&name);
        let lease_times = positions.iter().map(|&position| self.configuration.scopes[position].lease_time.max);
        Beginning {
            partner: settings.map(|s| if s.primary == *me { s.standby.clone() } else { s.primary.clone() }),
            is_primary: settings.is_none_or(|settings| settings.primary == *me),
            settings: settings.map(|settings| settings.failover.clone()).unwrap_or_default(),
            longest_lease: lease_times.max().unwrap_or_default(),
            record,
            new,
            now: self.fx.now,
            name,
        }
    }

    /// Positions of the scopes of a relationship.
    fn scopes_of(&self, name: &RelationshipName) -> Vec<usize> {
        revisions::positions_of(&self.configuration, name, &self.identity.node)
    }

    fn index_owners(&mut self) {
        self.owners = vec![None; self.configuration.scopes.len()];
        for (index, relationship) in self.relationships.iter().enumerate() {
            for position in self.scopes_of(&relationship.name) {
                self.owners[position] = Some(index);
            }
        }
    }

    fn fill_tables(&mut self, leases: Vec<(RelationshipName, Lease)>) {
        for (name, lease) in leases {
            if let Some(relationship) = self.relationships.iter_mut().find(|r| r.name == name) {
                relationship.table.put(lease);
            } else if let Some((_, leases)) = self.dormant.iter_mut().find(|(record, _)| record.relationship == name) {
                leases.push(lease);
            }
        }
    }

    /// Addresses whose record could not be read stay away from everyone until the partner has sent theirs, or until
    /// whatever may have been promised has ended.
    fn hold_unreadable(&mut self, unreadable: &[(RelationshipName, Ipv4Addr)]) {
        for (name, address) in unreadable.iter().filter(|_| holds(Rule::UnreadableHeld)) {
            if let Some(relationship) = self.relationships.iter_mut().find(|r| r.name == *name) {
                let until = self.fx.instant() + relationship.longest_lease + relationship.longest_mclt;
                relationship.table.hold_unreadable(*address, until);
            }
        }
        if !unreadable.is_empty() {
            let what = format!("{} records could not be read and were set aside", unreadable.len());
            self.fx.event(Code::RecordsSetAside, None, what, "their checksums");
        }
    }

    fn make_peers(&mut self) {
        let (me, configuration) = (&self.identity.node, &self.configuration);
        for name in configuration.nodes.iter().filter(|name| *name != me) {
            let of_both = |pair: &&RelationshipSettings| {
                [&pair.primary, &pair.standby].contains(&name) && [&pair.primary, &pair.standby].contains(&me)
            };
            let shared = configuration.relationships.iter().filter(of_both);
            let remembered = self.record.peers.iter().find(|(peer, _)| peer == name).map(|&(_, seen)| seen);
            let now = self.fx.now.instant;
            let peer = self.peers.entry(name.clone()).or_insert_with(|| Peer::new(shared.clone(), remembered, now));
            peer.use_timers(shared);
        }
    }

    /// After a standstill nothing that was believed about the partner holds, and what queued up meanwhile is old.
    fn notice_standstill(&mut self) {
        let now = self.fx.instant();
        let stood_still = now.since(self.last_turn);
        self.last_turn = now;
        if stood_still < self.standstill() || !holds(Rule::PauseDetection) {
            return;
        }
        self.stale_before = now;
        let what = format!("the process stood still for {} ms", stood_still.as_millis());
        self.fx.event(Code::Paused, None, what, "no turn of the serving loop");
        let mclt = self.relationships.iter().map(|r| r.settings.mclt).min().unwrap_or(Duration::MAX);
        self.fx.outputs.restart |= stood_still > mclt;
        for relationship in &mut self.relationships {
            relationship.drop_held(Silence::Stale, &mut self.fx);
        }
        for peer in self.peers.keys().cloned().collect::<Vec<_>>() {
            self.lose(&peer, "the process stood still");
        }
        for relationship in self.relationships.iter_mut().filter(|r| r.partner.is_some()) {
            relationship.unbroken = false;
        }
    }

    /// A gap between two turns that is a standstill.
    fn standstill(&self) -> Duration {
        let timeouts = self.relationships.iter().filter(|r| r.partner.is_some()).map(|r| r.settings.heartbeat_timeout);
        timeouts.min().unwrap_or(Duration::from_secs(1))
    }

    fn persisted(&mut self, sequence: Sequence) {
        self.fx.persist(sequence);
        self.write_waits_since = (self.fx.last() > self.fx.persisted).then_some(self.fx.now.instant);
        self.speak_again();
        self.use_durable_revision();
        for relationship in &mut self.relationships {
            relationship.persisted(&mut self.fx);
        }
        self.end_if_left();
    }

    fn tick(&mut self) {
        self.watch_peers();
        self.watch_apply();
        self.end_doubt();
        for relationship in &mut self.relationships {
            relationship.tick(&mut self.fx);
        }
        let age = self.fx.instant().since(self.record_stored);
        if age >= RECORD_AT_LEAST_EVERY || (self.record_changed && age >= RECORD_EVERY) {
            self.store_record();
        }
        self.end_if_left();
    }

    fn store_record(&mut self) {
        self.record.last_running = self.fx.now.wall;
        self.record.last_running_at = self.fx.instant();
        self.record.clock_zero = Instant(0);
        self.record.clock_confirmed = self.fx.absence.clock_is_confirmed(self.fx.now);
        self.record.doubt = self.fx.absence.doubt();
        self.record.peers =
            self.peers.iter().filter_map(|(name, peer)| Some((name.clone(), peer.remembered?))).collect();
        self.record_stored = self.fx.instant();
        self.record_changed = false;
        self.fx.write(StoredRecord::Node(self.record.clone()));
    }

    fn clock_confirmed(&mut self) {
        if let Some(shift) = self.fx.absence.confirmed_by_clock(self.fx.now) {
            self.mend_clock(shift, "the wall clock is known to be right");
        }
    }

    /// It is known how long the node was away: what is stored is moved by what the wall clock got wrong.
    fn mend_clock(&mut self, shift: Shift, evidence: &str) {
        if shift.0 != 0 {
            let what = format!("leases are moved by {} ms, by which the wall clock had been wrong", shift.0 / 1_000);
            self.fx.event(Code::ClockMended, None, what, evidence);
            self.relationships.iter_mut().for_each(|relationship| relationship.mend(shift, &mut self.fx));
        }
        self.record_changed = true;
    }

    /// Once everything that an earlier process stored is over, it does not matter how long the node was away.
    fn end_doubt(&mut self) {
        if self.fx.absence.doubt().is_some() && self.all_old_is_over <= self.fx.instant() {
            self.fx.absence.lapse();
            self.record_changed = true;
        }
    }

    fn store_health(&mut self, health: StoreHealth) {
        let works = health == StoreHealth::Working;
        if works == self.fx.store_works {
            return;
        }
        let what = if works { "the store takes writes again" } else { "the store takes no writes: nobody is served" };
        self.fx.event(Code::StoreHealth, None, what, "the store");
        self.fx.store_works = works;
        if works {
            self.speak_again();
        } else {
            self.hand_over_without_store();
        }
    }

    fn fenced(&mut self, name: &RelationshipName, success: bool) {
        if let Some(relationship) = self.relationships.iter_mut().find(|r| r.name == *name) {
            relationship.fenced(success, &mut self.fx);
        }
    }
}

/// The name of the scopes that a node serves alone. No relationship can have it: names have no colon.
fn alone(node: &NodeName) -> RelationshipName {
    RelationshipName::from(format!("node:{node}"))
}
