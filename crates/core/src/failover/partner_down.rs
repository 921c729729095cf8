//! What may be given away without the partner: the proofs that it does not serve, the waits they need, and the
//! holding back of a node that lost what it knew.

use super::relationship::{REUSE_GRACE, Relationship};
use super::state::{Phase, Proof, Resume, Role, State};
use crate::absence::Shift;
use crate::effects::Effects;
use crate::event::Code;
use crate::lease::record::Lease;
use crate::mutant::{Rule, holds};
use crate::output::CommandResult;
use crate::stored::Embargo;
use crate::time::{Instant, Wall};
use std::net::Ipv4Addr;
use std::time::Duration;

/// How long the node that was active gives the other one to fence it.
pub(crate) const FENCE_DELAY_OF_ACTIVE: Duration = Duration::from_secs(30);

/// How long a client's word that the partner serves counts; it can be forged or late.
const EVIDENCE_LASTS: Duration = Duration::from_secs(10);

/// What is needed to say whether an address may be given to a client that does not hold it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Giving {
    /// This instant has surely been reached.
    pub(crate) certain: Instant,
    mclt: Duration,
    partner_down: Option<(Proof, Instant)>,
    embargo: Option<Embargo>,
    partner_holds_back: Option<Instant>,
}

impl Giving {
    pub(crate) fn of(pair: &Relationship, fx: &Effects) -> Self {
        Self {
            certain: fx.certain(),
            mclt: pair.longest_mclt,
            partner_down: pair.partner_down(),
            embargo: pair.embargo,
            partner_holds_back: pair.partner_holds_back,
        }
    }

    /// Whether an address on a free list may be offered.
    pub(crate) fn may_offer(&self, at_home: bool, lease: Option<&Lease>) -> bool {
        let agreed = lease.is_none_or(|lease| lease.taken);
        let ours = self.partner_down.is_none() || (at_home && agreed);
        let given = !self.holds_back(at_home, lease) && (at_home || !self.partner_keeps(lease));
        given && (ours || self.wait_is_over(lease))
    }

    /// Whether the wait of partner-down is over for an address, so that another client may have it.
    pub(crate) fn wait_is_over(&self, lease: Option<&Lease>) -> bool {
        let Some((proof, from)) = self.partner_down else { return false };
        if !holds(Rule::PartnerDownWait) {
            return true;
        }
        let potential = lease.map_or(Instant::NEVER, |lease| lease.potential_expiry);
        match proof {
            Proof::CleanLeave => potential <= self.certain,
            // What remained of an expiry grew on its way to the partner, which may have promised by the larger one.
            Proof::Operator | Proof::Fenced | Proof::Timer => {
                let grace = if holds(Rule::WaitIncludesGrace) { REUSE_GRACE } else { Duration::ZERO };
                potential.max(from) + self.mclt + grace <= self.certain
            }
        }
    }

    /// Whether the partner would refuse an address of its own if it were asked, because it lost its store. Without this
    /// clients would be offered what they are then refused, again and again.
    pub(crate) fn partner_keeps(&self, lease: Option<&Lease>) -> bool {
        let potential = lease.map_or(Instant::NEVER, |lease| lease.potential_expiry);
        let over = |until: Instant| until.max(potential + self.mclt + REUSE_GRACE) <= self.certain;
        self.partner_down.is_none() && self.partner_holds_back.is_some_and(|until| !over(until))
    }

    /// Whether a node that does not know what was promised keeps an address to itself.
    ///
    /// A partner that lost nothing knows what it promised of its own, and is asked: the node that lost its store may be
    /// the active one, and new clients must not go without an address until its embargo ends.
    pub(crate) fn holds_back(&self, at_home: bool, lease: Option<&Lease>) -> bool {
        match self.embargo {
            None => false,
            Some(_) if !holds(Rule::Embargo) => false,
            Some(Embargo::UntilSynced) => true,
            Some(Embargo::PerAddress { .. }) if !at_home && self.partner_down.is_none() => false,
            Some(Embargo::PerAddress { opened, .. }) => {
                let potential = lease.map_or(Instant::NEVER, |lease| lease.potential_expiry);
                self.certain < potential.max(opened) + self.mclt + REUSE_GRACE
            }
            Some(Embargo::Everything { end, .. }) => self.certain < end,
        }
    }
}

impl Relationship {
    /// Whether free addresses whose home is the partner may be drawn on.
    pub(crate) fn may_draw_on_partner(&self) -> bool {
        self.partner_down().is_some() || (self.is_normal() && !self.lag.is_lagging())
    }

    /// Whether no promise of the partner's for an address can stand that is not known here.
    pub(crate) fn knows_promises_of(&self, address: Ipv4Addr, fx: &Effects) -> bool {
        let (giving, lease) = (Giving::of(self, fx), self.table.get(address));
        if self.is_held_back(address, fx) {
            return false;
        }
        let unheard = match self.state.phase() {
            Phase::Normal => giving.partner_keeps(lease) && holds(Rule::UnheardPromises),
            Phase::PartnerDown => !giving.wait_is_over(lease) && holds(Rule::UnheardPromises),
            Phase::CommunicationsInterrupted => holds(Rule::NakEvidence),
            Phase::Startup | Phase::Recover | Phase::Leaving => true,
        };
        self.table.is_home(address) || !unheard
    }

    /// Whether the wait of partner-down is over for an address, so that another client may have it.
    pub(crate) fn partner_down_wait_is_over(&self, lease: Option<&Lease>, fx: &Effects) -> bool {
        Giving::of(self, fx).wait_is_over(lease)
    }

    /// Whether an address may not be given to a client that does not hold it, because this node does not know what
    /// was promised.
    pub(crate) fn is_held_back(&self, address: Ipv4Addr, fx: &Effects) -> bool {
        if self.table.is_unreadable(address, fx.certain()) {
            return true;
        }
        Giving::of(self, fx).holds_back(self.table.is_home(address), self.table.get(address))
    }

    /// Whether a lease may be extended for the client that holds it.
    pub(crate) fn may_extend(&self, lease: &Lease, fx: &Effects) -> bool {
        match self.embargo {
            Some(Embargo::Everything { extends_nothing, .. }) => {
                // What either node holds in doubt may be over, and its address another's; nothing of that is acknowledged.
                let still_runs = lease.acked_expiry > fx.instant();
                !extends_nothing && (still_runs || !holds(Rule::OverIsFrozen))
            }
            Some(Embargo::UntilSynced) => false,
            Some(Embargo::PerAddress { .. }) | None => true,
        }
    }

    /// The sync is done: says until when a node that lost its store, or the partner of one, holds back.
    ///
    /// A partner that never restarted was alive all the time, so nobody can have been in partner-down against it, and
    /// what it holds bounds what was promised. Otherwise nobody knows.
    pub(crate) fn begin_embargo(&mut self, fx: &mut Effects) {
        if !holds(Rule::Embargo) {
            self.embargo = None;
            return;
        }
        let now = fx.instant();
        let unknown = Embargo::Everything {
            end: now + self.longest_lease + self.longest_mclt + REUSE_GRACE,
            extends_nothing: false,
        };
        if self.lost {
            let known = || {
                let last = self.table.iter().map(|lease| lease.potential_expiry).max();
                let end = last.map_or(self.started, |last| last.max(self.started)) + self.longest_mclt + REUSE_GRACE;
                Embargo::PerAddress { opened: self.started, end }
            };
            let bounded = !self.partner_hello.restarted || !holds(Rule::EmbargoOfBoth);
            self.embargo = Some(if bounded { known() } else { unknown });
        } else if self.is_new() {
            // The partner has no more than an empty store either: what it said of it was before it heard the news.
            return;
        } else if self.partner_hello.lost && self.restarted && holds(Rule::EmbargoOfBoth) {
            self.embargo = Some(unknown);
        } else {
            return;
        }
        self.event(
            Code::EmbargoStarted,
            "this node holds back addresses until old promises have ended",
            "a lost store",
            fx,
        );
    }

    /// Under an embargo, until when addresses are held back that nobody ever had.
    pub(crate) fn untouched_held_until(&self) -> Option<Instant> {
        match self.embargo {
            Some(Embargo::PerAddress { opened, .. }) => Some(opened + self.settings.mclt + REUSE_GRACE),
            Some(Embargo::Everything { end, .. }) => Some(end),
            Some(Embargo::UntilSynced) | None => None,
        }
    }

    /// Moves everything that an earlier process stored by what the wall clock got wrong since.
    pub(crate) fn mend(&mut self, shift: Shift, fx: &mut Effects) {
        let old: Vec<Lease> = self.table.iter().filter(|lease| fx.is_from_before(lease)).cloned().collect();
        for mut lease in old {
            for instant in [&mut lease.expiry, &mut lease.potential_expiry, &mut lease.acked_expiry] {
                *instant = shift.mend(*instant);
            }
            // What is in doubt still, from an absence before, would not be once the lease is written anew.
            let lease = fx.at_latest(&lease).into_owned();
            let lease = fx.write_lease(&self.name, lease);
            self.table.put(lease);
        }
        if self.embargo == self.found.embargo {
            self.embargo = self.embargo.map(|embargo| mended(embargo, shift));
        }
        if self.paused_until == self.found.paused_until {
            self.paused_until = self.paused_until.map(|until| shift.mend(until));
        }
        if let State::PartnerDown { from, .. }
        | State::Startup { resume: Resume::PartnerDown { from, .. }, .. }
        | State::Recover { resume: Resume::PartnerDown { from, .. } } = &mut self.state
            && Some(*from) == self.found.partner_down_from
        {
            *from = shift.mend(*from);
        }
        self.sweep = None;
        if let Some(exchange) = self.exchange.as_mut().filter(|exchange| exchange.ready_said.is_none()) {
            exchange.pass_end = fx.last();
        }
        self.persist(fx);
    }

    /// When the embargo ends.
    pub(crate) fn embargo_end(&self) -> Option<Instant> {
        match self.embargo {
            Some(Embargo::PerAddress { end, .. } | Embargo::Everything { end, .. }) => Some(end),
            Some(Embargo::UntilSynced) | None => None,
        }
    }

    /// Ends what has waited long enough: an embargo, a pause.
    pub(crate) fn end_waits(&mut self, fx: &mut Effects) {
        if self.embargo_end().is_some_and(|end| end <= fx.certain()) {
            self.end_embargo("its time has passed", fx);
        }
        if self.paused_until.is_some_and(|until| until <= fx.instant()) {
            self.paused_until = None;
            self.persist(fx);
            self.event(Code::PauseChanged, "automatic promotion is possible again", "the pause has ended", fx);
        }
    }

    fn end_embargo(&mut self, why: &str, fx: &mut Effects) {
        self.embargo = None;
        self.persist(fx);
        self.event(Code::EmbargoEnded, "this node gives addresses away again", why, fx);
    }

    /// An operator takes the risk that an old promise still stands.
    pub(crate) fn accept_risk(&mut self, fx: &mut Effects) -> CommandResult {
        if self.embargo.is_none() {
            return CommandResult::Refused(format!("{}: no embargo is in force", self.name));
        }
        self.end_embargo("an operator accepted the risk", fx);
        CommandResult::Done(format!("{}: the embargo is ended", self.name))
    }

    /// An operator promises that the partner is off and stays off until it has synced again.
    pub(crate) fn force_partner_down(
        &mut self,
        off_since: Option<Wall>,
        despite_evidence: bool,
        last_contact: Instant,
        fx: &mut Effects,
    ) -> CommandResult {
        let name = self.name.clone();
        let refused = |why: String| CommandResult::Refused(format!("{name}: {why}"));
        if self.is_connected() {
            return refused("the partner is reachable; use `standfast failover --relationship` to switch over".into());
        }
        if self.partner_is_seen(fx) && !despite_evidence {
            return refused("a client was just served by the partner: the link is cut, the node is not dead. Make sure that it is off, then say so again with --despite-evidence".into());
        }
        match self.state {
            State::Startup { .. } | State::CommunicationsInterrupted { .. } => {}
            State::PartnerDown { .. } => return refused("this node is in partner-down already".into()),
            State::Recover { .. } | State::Normal { .. } | State::Leaving { .. } => {
                return refused(format!("not in {}", self.state.phase()));
            }
        }
        if self.lost && !self.slot_known {
            return refused("this node has never spoken to its partner and its store is empty; if the cluster is new, run `standfast init`".into());
        }
        let said = off_since.map_or(fx.instant(), |off| instant_of(off, fx));
        self.enter_partner_down(Proof::Operator, said.max(last_contact).min(fx.instant()), "an operator's promise", fx);
        CommandResult::Done(format!(
            "{name}: partner-down; addresses of the partner are given away after the maximum client lead time"
        ))
    }

    /// Enters partner-down: the whole pool is this node's once the waits are over.
    pub(crate) fn enter_partner_down(&mut self, proof: Proof, from: Instant, why: &str, fx: &mut Effects) {
        if self.must_hear_partner && holds(Rule::FullEmbargo) {
            let end = from + self.longest_lease + self.longest_mclt + REUSE_GRACE;
            self.embargo = Some(Embargo::Everything { end, extends_nothing: self.lost });
            let what = "the partner may have promised anything before it died: no address is given away until then";
            self.event(Code::EmbargoStarted, what, why, fx);
        }
        if !self.answers_clients() {
            self.epoch = self.epoch.next(self.slot);
        }
        self.was_partner_down = true;
        self.fence_due = None;
        self.sweep = None;
        self.next_sweep = fx.instant();
        self.enter(State::PartnerDown { proof, from }, why, fx);
        self.event(Code::PartnerDownEntered, format!("proof: {}", proof.as_str()), why, fx);
    }

    /// `auto_partner_down`: a guess after a long time without contact.
    pub(crate) fn consider_guess(&mut self, since: Instant, fx: &mut Effects) {
        let due = self.settings.auto_partner_down.is_some_and(|after| since + after <= fx.instant());
        if due && !self.is_connected() && !self.partner_is_seen(fx) {
            self.enter_partner_down(
                Proof::Timer,
                fx.instant(),
                "no contact for auto_partner_down; this is a guess",
                fx,
            );
        }
    }

    /// Runs the fence command when its time has come.
    pub(crate) fn fence_if_due(&mut self, fx: &mut Effects) {
        if self.fence_due.is_some_and(|at| at <= fx.instant()) {
            self.fence_due = None;
            fx.outputs.fences.push(self.name.clone());
        }
    }

    /// A fence command has ended.
    pub(crate) fn fenced(&mut self, success: bool, fx: &mut Effects) {
        let what = if success { "the fence command has turned the partner off" } else { "the fence command failed" };
        self.event(Code::Fenced, what, "its exit code", fx);
        let interrupted = matches!(self.state, State::CommunicationsInterrupted { role: Role::Active, .. });
        if success && interrupted && !self.is_connected() {
            self.enter_partner_down(Proof::Fenced, fx.instant(), "the fence command exited 0", fx);
        }
    }

    /// A client that we heard after contact was lost says that the partner is its server.
    pub(crate) fn saw_partner_serving(&mut self, fx: &mut Effects) {
        if self.state.phase() == Phase::CommunicationsInterrupted && !self.is_connected() {
            if !self.partner_is_seen(fx) {
                let what = "partner seen serving: the link is cut, the node is not dead";
                self.event(Code::PartnerSeenServing, what, "a client chose its offer", fx);
            }
            self.partner_seen = Some(fx.instant());
        }
    }

    /// Whether there is fresh evidence that the partner serves.
    pub(crate) fn partner_is_seen(&self, fx: &Effects) -> bool {
        self.partner_seen.is_some_and(|at| fx.instant() < at + EVIDENCE_LASTS)
    }

    /// Holds back automatic promotion until then.
    pub(crate) fn set_pause(&mut self, until: Instant, fx: &mut Effects) {
        self.paused_until = Some(until).filter(|&until| until > fx.instant());
        if let (State::CommunicationsInterrupted { role: Role::Deactivated { until }, .. }, None) =
            (&mut self.state, self.paused_until)
        {
            *until = fx.now.instant;
        }
        self.persist(fx);
        let what = match self.paused_until {
            Some(_) => "automatic promotion is held back",
            None => "automatic promotion is possible again",
        };
        self.event(Code::PauseChanged, what, "an operator said so", fx);
    }
}

fn mended(embargo: Embargo, shift: Shift) -> Embargo {
    match embargo {
        Embargo::UntilSynced => Embargo::UntilSynced,
        Embargo::PerAddress { opened, end } => Embargo::PerAddress { opened: shift.mend(opened), end: shift.mend(end) },
        Embargo::Everything { end, extends_nothing } => Embargo::Everything { end: shift.mend(end), extends_nothing },
    }
}

/// A wall time as an instant of this process.
fn instant_of(wall: Wall, fx: &Effects) -> Instant {
    Instant(fx.instant().0.saturating_add((wall.0.saturating_sub(fx.now.wall.0)).saturating_mul(1_000)))
}
