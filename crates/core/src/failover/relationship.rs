//! One relationship on one node: its state, its leases, and what it takes to change either.
//!
//! The rules live in the files beside this one, each an `impl Relationship`: [`contact`](super::contact) for sessions
//! and the way into normal, [`updates`](super::updates) for records to and from the partner,
//! [`granting`](super::granting) for promises to clients, [`partner_down`](super::partner_down) for what may be given
//! away without the partner, [`switchover`](super::switchover) for handing over on purpose.

use super::allowance::Allowance;
use super::granting::{HeldReplies, Settled};
use super::replication::{Exchange, Lag};
use super::state::{Handover, Phase, Proof, Resume, Role, State};
use crate::configuration::{FailoverSettings, IsolatedStart};
use crate::dhcp::answer::Silence;
use crate::dhcp::offers::Offers;
use crate::dhcp::probes::Probes;
use crate::effects::Effects;
use crate::event::Code;
use crate::id::{Epoch, NodeName, RelationshipName, Sequence, Session, Slot};
use crate::input::Request;
use crate::lease::merge::Case;
use crate::lease::table::{LeaseTable, Over};
use crate::message::Pulse;
use crate::mutant::{Rule, holds};
use crate::output::{CommandResult, StoredRecord};
use crate::stored::{Embargo, RelationshipRecord};
use crate::time::{Instant, Now, Wall};
use std::collections::BTreeMap;
use std::time::Duration;

/// A lease that is over by this much counts as over on both nodes, whatever the skew of their clocks.
pub const REUSE_GRACE: Duration = Duration::from_secs(10);

/// Why a node becomes active. Each is counted from zero, as a counter that begins at one shows no increase.
const PROMOTION_REASONS: [&str; 3] = ["alone", "contact_lost", "switchover"];

/// A relationship, or the scopes that one node serves alone.
#[derive(Debug)]
pub struct Relationship {
    pub(crate) name: RelationshipName,
    /// The partner; `None` for scopes that this node serves alone.
    pub(crate) partner: Option<NodeName>,
    /// Whether this node is active when both are well.
    pub(crate) is_primary: bool,
    pub(crate) settings: FailoverSettings,
    /// The longest lease time that the scopes ever had.
    pub(crate) longest_lease: Duration,
    /// The longest lead time that was ever configured: promises by it may still stand.
    pub(crate) longest_mclt: Duration,
    /// What older revisions of the configuration let it give.
    pub(crate) allowance: Allowance,
    /// The state has changed in a way that `allowance` depends on.
    pub(crate) allowance_is_stale: bool,
    /// Whether both nodes use the same revision, as far as this session has told.
    pub(crate) same_revision: bool,
    /// The session in which the partner was told how this node knows the relationship.
    pub(crate) greeted_in: Option<Session>,
    pub(crate) slot: Slot,
    /// Whether `slot` was given for good.
    pub(crate) slot_known: bool,
    pub(crate) state: State,
    pub(crate) epoch: Epoch,
    pub(crate) last_normal: Option<Epoch>,
    pub(crate) must_hear_partner: bool,
    pub(crate) lost: bool,
    pub(crate) was_partner_down: bool,
    pub(crate) served: bool,
    pub(crate) embargo: Option<Embargo>,
    pub(crate) promoted_automatically: bool,
    pub(crate) paused_until: Option<Instant>,
    /// Until when a process that starts alone waits for the partner.
    pub(crate) startup_ends: Instant,
    pub(crate) started: Instant,
    /// When the state was entered, by the wall clock: for people.
    pub(crate) since: Wall,
    /// How often this node became active, by reason.
    pub(crate) promotions: BTreeMap<&'static str, u64>,
    /// How often each case of merging decided.
    pub(crate) merges: [u64; Case::ALL.len()],
    /// The times that the store held, which are as right as what is known of the absence.
    pub(crate) found: FoundTimes,
    /// Whether this process started since the last normal.
    pub(crate) restarted: bool,
    /// Whether this node has served without a break since the last normal.
    pub(crate) unbroken: bool,
    /// The last write on which the right to serve rests.
    pub(crate) gate: Sequence,
    pub(crate) table: LeaseTable,
    pub(crate) exchange: Option<Exchange>,
    pub(crate) partner_hello: PartnerHello,
    pub(crate) partner_pulse: Option<(Instant, Pulse)>,
    /// Until when the partner, under an embargo, gives nobody an address of its own that nobody ever had.
    pub(crate) partner_holds_back: Option<Instant>,
    /// Since when both nodes of a normal relationship have said that they are active, or that they are not.
    pub(crate) disagreement_since: Option<Instant>,
    pub(crate) lag: Lag,
    pub(crate) held: HeldReplies,
    pub(crate) offers: Offers,
    pub(crate) probes: Probes,
    /// How far the leases at home have been looked through for those that partner-down sets free.
    pub(crate) sweep: Option<Over>,
    pub(crate) next_sweep: Instant,
    /// When the fence command is to be run.
    pub(crate) fence_due: Option<Instant>,
    /// When a client last named the partner as its server while contact was lost.
    pub(crate) partner_seen: Option<Instant>,
    /// When a client of the scopes was last heard that spoke to every server: what it says to one alone is no sign that
    /// the other is deaf.
    pub(crate) client_heard: Option<Instant>,
    /// Since when the partner has heard the clients that this node hears.
    pub(crate) partner_hears_since: Option<Instant>,
    /// Whether this node became active because the primary heard no clients.
    pub(crate) took_over_from_deaf: bool,
    /// Whether some client link has a carrier.
    pub(crate) carrier: bool,
    /// Whether operators were told that an isolated start is silent.
    pub(crate) silence_told: bool,
    /// The operator's switchover that is under way, and when it is given up.
    pub(crate) switchover_request: Option<(Request, Instant)>,
    pub(crate) conflicts: Vec<ConflictReport>,
}

/// Times of a relationship that an earlier process stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct FoundTimes {
    pub(crate) embargo: Option<Embargo>,
    pub(crate) paused_until: Option<Instant>,
    pub(crate) partner_down_from: Option<Instant>,
}

/// What the partner said of itself when the session began.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct PartnerHello {
    pub(crate) lost: bool,
    pub(crate) restarted: bool,
    pub(crate) was_partner_down: bool,
}

/// Two clients were told of one address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConflictReport {
    /// The lease that stays.
    pub kept: crate::lease::record::Lease,
    /// The lease whose client loses the address.
    pub lost: crate::lease::record::Lease,
    /// Whether both leases ran at once; if not, they may have.
    pub certain: bool,
    /// When it was found.
    pub when: Wall,
    /// From what it followed.
    pub why: String,
}

/// What a relationship is made from.
#[derive(Debug)]
pub(crate) struct Beginning {
    pub(crate) name: RelationshipName,
    pub(crate) partner: Option<NodeName>,
    pub(crate) is_primary: bool,
    pub(crate) settings: FailoverSettings,
    pub(crate) longest_lease: Duration,
    pub(crate) record: Option<RelationshipRecord>,
    /// It is new, so that an empty store is right.
    pub(crate) new: bool,
    pub(crate) now: Now,
}

impl Beginning {
    /// The longest lease time and lead time that were ever in use.
    fn longest(&self) -> (Duration, Duration) {
        let recorded = self.record.as_ref().map(|record| (record.longest_lease, record.longest_mclt));
        let (lease, mclt) = recorded.unwrap_or_default();
        (self.longest_lease.max(lease), self.settings.mclt.max(mclt))
    }

    /// What a start that meets nobody goes on as.
    fn resume(&self) -> Resume {
        match self.record.as_ref().and_then(|record| Some((record.phase, record.proof?))) {
            Some((Phase::PartnerDown, (proof, from))) => Resume::PartnerDown { proof, from },
            Some(_) | None => Resume::CommunicationsInterrupted,
        }
    }

    /// The slot that the relationship will use.
    pub(crate) fn slot(&self) -> Slot {
        let by_rank = if self.is_primary { Slot::Zero } else { Slot::One };
        self.record.as_ref().filter(|_| holds(Rule::HomeOfSlot)).map_or(by_rank, |record| record.slot)
    }
}

impl Relationship {
    /// As it is when the process starts: silent, unless it has no partner.
    pub(crate) fn new(beginning: Beginning, table: LeaseTable) -> Self {
        let slot = beginning.slot();
        let (longest_lease, longest_mclt) = beginning.longest();
        let resume = beginning.resume();
        let Beginning { name, partner, is_primary, settings, record, new, now, .. } = beginning;
        let slot_known = record.is_some() || new;
        let must_hear_partner = record.as_ref().is_none_or(|record| record.must_hear_partner);
        let startup_ends = now.instant + settings.startup_timeout;
        let mut relationship = Self {
            partner,
            is_primary,
            settings,
            longest_lease,
            longest_mclt,
            allowance: Allowance::default(),
            allowance_is_stale: false,
            same_revision: false,
            greeted_in: None,
            slot,
            slot_known,
            state: State::Startup { until: None, resume },
            epoch: record.as_ref().map_or(Epoch::INITIAL, |record| record.epoch),
            last_normal: record.as_ref().and_then(|record| record.last_normal),
            must_hear_partner,
            lost: record.as_ref().map_or(!new, |record| record.lost),
            was_partner_down: record.as_ref().is_some_and(|record| record.was_partner_down),
            served: record.as_ref().is_some_and(|record| record.served),
            embargo: record.as_ref().and_then(|record| record.embargo),
            promoted_automatically: record.as_ref().is_some_and(|record| record.promoted_automatically),
            paused_until: record.as_ref().and_then(|record| record.paused_until),
            startup_ends,
            started: now.instant,
            since: now.wall,
            promotions: PROMOTION_REASONS.map(|reason| (reason, 0)).into(),
            merges: [0; Case::ALL.len()],
            found: record.as_ref().map_or_else(FoundTimes::default, |record| FoundTimes {
                embargo: record.embargo,
                paused_until: record.paused_until,
                partner_down_from: record.proof.map(|(_, from)| from),
            }),
            restarted: true,
            unbroken: false,
            gate: Sequence(0),
            table,
            exchange: None,
            partner_hello: PartnerHello::default(),
            partner_pulse: None,
            partner_holds_back: None,
            disagreement_since: None,
            lag: Lag::default(),
            held: HeldReplies::default(),
            offers: Offers::default(),
            probes: Probes::default(),
            sweep: None,
            next_sweep: now.instant,
            fence_due: None,
            partner_seen: None,
            client_heard: None,
            partner_hears_since: None,
            took_over_from_deaf: false,
            carrier: true,
            silence_told: false,
            switchover_request: None,
            conflicts: Vec::new(),
            name,
        };
        relationship.state = relationship.first_state(resume, now.instant);
        relationship
    }

    /// Silent, unless it has no partner.
    fn first_state(&self, resume: Resume, now: Instant) -> State {
        if self.partner.is_none() {
            State::Normal { active: self.slot, since: now, handover: Handover::None }
        } else {
            State::Startup { until: self.isolated_until(resume, now), resume }
        }
    }

    /// Whether this node answers these clients once its state is durable.
    pub(crate) fn is_about_to_serve(&self, fx: &Effects) -> bool {
        self.answers_clients() && !fx.is_persisted(self.gate) && fx.store_works
    }

    /// Whether this node answers the clients of these scopes now.
    pub(crate) fn is_serving(&self, fx: &Effects) -> bool {
        self.answers_clients() && fx.is_persisted(self.gate) && fx.store_works
    }

    /// Whether the state, once durable, lets this node answer.
    pub(crate) fn answers_clients(&self) -> bool {
        match &self.state {
            State::Normal { active, handover: Handover::None, .. } => *active == self.slot,
            State::CommunicationsInterrupted { role: Role::Active, .. } | State::PartnerDown { .. } => true,
            State::Normal { handover: Handover::Draining { .. } | Handover::Offered { .. }, .. }
            | State::CommunicationsInterrupted { role: Role::Deactivated { .. }, .. }
            | State::Startup { .. }
            | State::Recover { .. }
            | State::Leaving { .. } => false,
        }
    }

    /// Whether both nodes are in step and nobody is handing over.
    pub(crate) fn is_normal(&self) -> bool {
        matches!(self.state, State::Normal { handover: Handover::None, .. }) && self.partner.is_some()
    }

    /// Whether the partner is connected and both know where the other stands.
    pub(crate) fn is_connected(&self) -> bool {
        self.exchange.is_some()
    }

    /// Changes the state: the only place that does. It is durable before this node answers in it.
    pub(crate) fn enter(&mut self, state: State, why: &str, fx: &mut Effects) {
        let (before, after) = (self.state.phase(), state.phase());
        assert!(before.leads_to(after), "{}: no way from {before} to {after}", self.name);
        let served = self.answers_clients();
        self.state = state;
        if self.answers_clients() {
            self.served = true;
        } else if served {
            self.stop_answering(fx);
        }
        self.table.set_free_without_agreement(after == Phase::PartnerDown);
        self.allowance_is_stale |= (before == Phase::PartnerDown) != (after == Phase::PartnerDown);
        self.persist(fx);
        self.gate = fx.last();
        if before != after {
            self.since = fx.now.wall;
            fx.event(Code::StateChanged, Some((&self.name, self.epoch)), format!("{before} -> {after}"), why);
        }
        if before == Phase::Normal && after != Phase::Normal {
            self.answer_switchover(CommandResult::Failed(format!("{}: {why}", self.name)), fx);
            self.tell_left(after, fx);
        }
    }

    /// Stores what must survive of this relationship; nothing that rests on it happens before that is done.
    pub(crate) fn persist(&mut self, fx: &mut Effects) {
        if self.partner.is_none() || !self.slot_known {
            return;
        }
        let record = self.record(fx);
        fx.write(StoredRecord::Relationship(record));
    }

    /// What is durable of it.
    pub(crate) fn record(&self, fx: &Effects) -> RelationshipRecord {
        let (phase, proof) = match &self.state {
            State::PartnerDown { proof, from } => (Phase::PartnerDown, Some((*proof, *from))),
            State::Startup { resume: Resume::PartnerDown { proof, from }, .. }
            | State::Recover { resume: Resume::PartnerDown { proof, from } } => {
                (Phase::PartnerDown, Some((*proof, *from)))
            }
            State::Startup { .. }
            | State::Recover { .. }
            | State::Normal { .. }
            | State::CommunicationsInterrupted { .. }
            | State::Leaving { .. } => (self.state.phase(), None),
        };
        RelationshipRecord {
            relationship: self.name.clone(),
            slot: self.slot,
            partner: self.partner.clone().unwrap_or_else(|| NodeName::from("")),
            phase,
            since: fx.instant(),
            proof,
            epoch: self.epoch,
            last_normal: self.last_normal,
            must_hear_partner: self.must_hear_partner,
            lost: self.lost,
            was_partner_down: self.was_partner_down,
            served: self.served,
            embargo: self.embargo,
            promoted_automatically: self.promoted_automatically,
            paused_until: self.paused_until,
            sequence: Sequence(0),
            longest_lease: self.longest_lease,
            longest_mclt: self.longest_mclt,
        }
    }

    /// Takes a new epoch and answers from now on.
    pub(crate) fn promote(&mut self, why: &str, fx: &mut Effects) {
        if holds(Rule::EpochFencing) {
            self.epoch = self.epoch.next(self.slot);
        }
        self.unbroken = true;
        self.promoted_automatically = !self.is_primary;
        let since = fx.instant();
        self.enter(State::CommunicationsInterrupted { role: Role::Active, since }, why, fx);
        self.note_promotion("contact_lost", why, fx);
        if !self.settings.fence_command.is_empty() {
            self.fence_due = Some(since);
        }
    }

    /// Counts and tells that this node is active now.
    pub(crate) fn note_promotion(&mut self, reason: &'static str, evidence: &str, fx: &mut Effects) {
        debug_assert!(PROMOTION_REASONS.contains(&reason), "{reason} is counted from zero");
        *self.promotions.entry(reason).or_default() += 1;
        self.event(Code::Promoted, "this node is active now", evidence, fx);
    }

    fn stop_answering(&mut self, fx: &mut Effects) {
        self.unbroken = false;
        self.drop_held(Silence::Deactivated, fx);
        self.offers.drop_all().into_iter().for_each(|address| self.table.release_offered(address));
    }

    /// Until when a start that meets nobody is silent; `None`: until the partner is heard.
    pub(crate) fn isolated_until(&self, resume: Resume, now: Instant) -> Option<Instant> {
        let until = Some(self.startup_ends.max(now));
        match resume {
            Resume::PartnerDown { .. } => until,
            Resume::CommunicationsInterrupted => {
                let silent = ((self.must_hear_partner || self.lost) && holds(Rule::MustHearPartner))
                    || self.settings.isolated_start == IsolatedStart::Silent
                    || !self.settings.fence_command.is_empty()
                    || self.settings.auto_partner_down.is_some();
                until.filter(|_| !silent)
            }
        }
    }

    /// What is due at this instant.
    pub(crate) fn tick(&mut self, fx: &mut Effects) {
        let now = fx.instant();
        self.settle_overdue(fx);
        self.offers.drop_overdue(now).into_iter().for_each(|address| self.table.release_offered(address));
        fx.settled.extend(std::iter::from_fn(|| self.probes.take_quiet(now)).map(Settled::Quiet));
        match self.state {
            State::Startup { until: Some(until), resume } if until <= now => self.resume_alone(resume, fx),
            State::CommunicationsInterrupted { role: Role::Deactivated { until }, .. } if until <= now => {
                self.contact_lost("no heartbeat within the timeout", fx);
            }
            State::CommunicationsInterrupted { role: Role::Active, since } => self.consider_guess(since, fx),
            State::Normal { .. } => self.tick_normal(fx),
            State::Leaving { .. } => self.continue_leaving(fx),
            State::Startup { until: None, .. } if self.startup_ends <= now => self.tell_silence(fx),
            State::Startup { .. }
            | State::Recover { .. }
            | State::PartnerDown { .. }
            | State::CommunicationsInterrupted { role: Role::Deactivated { .. }, .. } => {}
        }
        self.end_waits(fx);
        self.free_what_is_over(fx);
        self.fence_if_due(fx);
        self.send_batches(fx);
    }

    /// An isolated start that must be silent is an alarm: nobody is served from here.
    fn tell_silence(&mut self, fx: &mut Effects) {
        if !self.silence_told {
            self.silence_told = true;
            let why = if self.lost {
                "its store is empty or was lost"
            } else if self.is_new() {
                "the cluster is new, and the two were never in step"
            } else if self.must_hear_partner {
                "its partner may be in partner-down, or it left cleanly"
            } else {
                "isolated starts are configured to be silent"
            };
            self.event(Code::MustHearPartner, "silent until the partner is heard", why, fx);
        }
    }

    /// When `tick` has something to do at the latest.
    pub(crate) fn deadline(&self, fx: &Effects) -> Option<Instant> {
        let state = match self.state {
            State::Startup { until, .. } => until.or(Some(self.startup_ends).filter(|_| !self.silence_told)),
            State::CommunicationsInterrupted { role: Role::Deactivated { until }, .. } => {
                Some(until).filter(|_| !self.is_connected())
            }
            State::CommunicationsInterrupted { role: Role::Active, since } => {
                self.settings.auto_partner_down.map(|after| since + after).filter(|&at| at > fx.instant())
            }
            State::Normal { .. } => self.normal_deadline(),
            State::Leaving { until, .. } => Some(until),
            State::Recover { .. } | State::PartnerDown { .. } => None,
        };
        let waits = [
            state,
            self.held.next_give_up(),
            self.offers.next_overdue(),
            self.probes.next_quiet(),
            self.fence_due,
            self.embargo_end().map(|end| end + fx.doubt()),
            self.paused_until,
            self.next_freeing(fx),
            self.switchover_request.map(|(_, until)| until),
        ];
        waits.into_iter().flatten().min()
    }

    /// The writes up to some number are durable.
    pub(crate) fn persisted(&mut self, fx: &mut Effects) {
        self.settle_persisted(fx);
        if let State::Leaving { .. } = self.state {
            self.continue_leaving(fx);
        }
        self.send_batches(fx);
    }

    /// Answers the operator whose switchover is under way.
    pub(crate) fn answer_switchover(&mut self, result: CommandResult, fx: &mut Effects) {
        if let Some((request, _)) = self.switchover_request.take() {
            fx.answer(request, result);
        }
    }

    /// Says what happened in this relationship.
    pub(crate) fn event(&self, code: Code, what: impl Into<String>, evidence: impl Into<String>, fx: &mut Effects) {
        fx.event(code, Some((&self.name, self.epoch)), what, evidence);
    }

    /// The proof on which partner-down stands, and from when its waits count.
    pub(crate) fn partner_down(&self) -> Option<(Proof, Instant)> {
        match self.state {
            State::PartnerDown { proof, from } => Some((proof, from)),
            State::Startup { .. }
            | State::Recover { .. }
            | State::Normal { .. }
            | State::CommunicationsInterrupted { .. }
            | State::Leaving { .. } => None,
        }
    }
}
