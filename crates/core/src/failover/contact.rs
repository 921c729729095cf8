//! Sessions with the partner: how they begin, how both come into step, how contact ends.
//!
//! ```text
//! Hello ──► pass (batches of what the other may not have) ──► PassDone ──► Ready ──► normal
//! ```
//! A node says `Ready` once per session, when everything it had at the start of the session is taken and the partner's
//! pass has arrived. It is in normal when it has said and heard `Ready`; both compute the same active node from the
//! same two messages.

use super::relationship::{PartnerHello, REUSE_GRACE, Relationship};
use super::replication::{Exchange, Lag};
use super::state::{Handover, Phase, Resume, Role, State};
use crate::effects::Effects;
use crate::event::Code;
use crate::id::{Epoch, Sequence, Session, Slot};
use crate::message::{PairHello, PairMessage, Ready};
use crate::mutant::{Rule, holds};
use crate::stored::Embargo;
use crate::time::{Instant, Remaining};

impl Relationship {
    /// What this node says of the relationship when a session begins.
    pub(crate) fn hello(&self, fx: &Effects) -> PairHello {
        PairHello {
            relationship: self.name.clone(),
            slot: self.slot_known.then_some(self.slot),
            phase: self.state.phase(),
            epoch: self.epoch,
            was_partner_down: self.was_partner_down,
            partner_down_since: self.partner_down().map(|(_, from)| Remaining(from.remaining(fx.instant()).0)),
            lost: self.lost,
            wants_everything: self.lost || self.table.has_unreadable(),
            restarted: self.restarted,
            served: self.served,
            new: self.is_new(),
        }
    }

    /// Whether nobody was ever promised anything here, by word of an operator or of the partner.
    pub(crate) fn is_new(&self) -> bool {
        !self.lost && self.last_normal.is_none() && self.table.is_empty()
    }

    /// The partner said hello: from here on records flow.
    pub(crate) fn heard_hello(&mut self, session: Session, hello: &PairHello, fx: &mut Effects) {
        if !self.agree_on_slots(hello, fx) {
            return;
        }
        if hello.new && self.lost && self.table.is_empty() {
            self.lost = false;
            self.embargo = None;
            self.event(Code::Initialised, "the cluster is new", "the partner said so", fx);
        }
        if self.lost && hello.lost {
            let what = "both stores are empty: if this cluster is new, run `standfast init`; nobody is served before";
            self.event(Code::StoreLost, what, "neither node remembers the other", fx);
        }
        self.fence_due = None;
        self.partner_seen = None;
        self.partner_hello = PartnerHello {
            lost: hello.lost,
            restarted: hello.restarted,
            was_partner_down: hello.was_partner_down || hello.phase == Phase::PartnerDown,
        };
        self.must_hear_partner |= self.partner_hello.was_partner_down;
        if hello.lost {
            // At least so long; its first pulse in normal says exactly.
            self.partner_holds_back = Some(fx.instant() + self.settings.mclt + REUSE_GRACE);
        }
        if self.lost {
            self.embargo = Some(Embargo::UntilSynced);
        }
        if hello.wants_everything {
            self.table.untake_all();
        }
        self.meet(hello, fx);
        if self.lost && hello.lost {
            return;
        }
        self.lag = Lag::behind_by(self.table.untaken_len());
        self.exchange = Some(Exchange::new(session, fx.last()));
        self.send_batches(fx);
        self.advance(fx);
    }

    /// What meeting the partner does to the state.
    fn meet(&mut self, hello: &PairHello, fx: &mut Effects) {
        self.event(Code::ContactRegained, format!("partner is in {}", hello.phase), "hello", fx);
        let partner_down = hello.phase == Phase::PartnerDown;
        match self.state {
            State::Startup { resume, .. } => self.enter(State::Recover { resume }, "the partner answers", fx),
            State::CommunicationsInterrupted { .. } if partner_down => {
                let state = State::Recover { resume: Resume::CommunicationsInterrupted };
                self.enter(state, "the partner is in partner-down", fx);
            }
            State::PartnerDown { .. } if partner_down || self.served_meanwhile(hello) => {
                self.event(Code::PromiseBroken, "the partner has served while it was said to be down", "hello", fx);
                let since = fx.instant();
                self.enter(State::CommunicationsInterrupted { role: Role::Active, since }, "the partner served", fx);
            }
            State::CommunicationsInterrupted { .. }
            | State::PartnerDown { .. }
            | State::Recover { .. }
            | State::Normal { .. }
            | State::Leaving { .. } => self.persist(fx),
        }
    }

    /// A partner that serves now has served since the promise that it was down.
    fn served_meanwhile(&self, hello: &PairHello) -> bool {
        match hello.phase {
            Phase::CommunicationsInterrupted | Phase::Normal => true,
            Phase::Startup | Phase::Recover | Phase::PartnerDown | Phase::Leaving => false,
        }
    }

    /// Slots are given once. A node without one takes the one that its partner does not have.
    fn agree_on_slots(&mut self, hello: &PairHello, fx: &mut Effects) -> bool {
        match (self.slot_known, hello.slot) {
            (true, Some(theirs)) if theirs == self.slot => {
                let what = "both nodes have the same slot: one of the stores belongs to another node";
                self.event(Code::StoreLost, what, "hello", fx);
                if let Some(partner) = self.partner.clone() {
                    fx.disconnect(&partner);
                }
                false
            }
            (false, Some(theirs)) => {
                self.slot = theirs.other();
                self.table.set_slot(self.slot);
                self.slot_known = true;
                true
            }
            (true, Some(_)) | (_, None) => true,
        }
    }

    /// This node uses another revision: the pass covers everything that it did by the one before.
    pub(crate) fn revised(&mut self, fx: &Effects) {
        if let Some(exchange) = self.exchange.as_mut().filter(|exchange| exchange.ready_said.is_none()) {
            exchange.pass_end = fx.last();
        }
    }

    /// Whether the partner has taken everything up to a write of ours, in this session.
    pub(crate) fn has_settled(&self, sequence: Sequence) -> bool {
        self.exchange.is_some() && self.table.first_untaken().is_none_or(|first| first > sequence)
    }

    /// Says what is due on the way to normal, and enters it when both are ready.
    pub(crate) fn advance(&mut self, fx: &mut Effects) {
        let Some(exchange) = self.exchange.as_mut() else { return };
        if !exchange.pass_done_said && exchange.pass_sent(&self.table) {
            exchange.pass_done_said = true;
            self.send(PairMessage::PassDone, fx);
        }
        let Some(exchange) = self.exchange.as_ref() else { return };
        let all_taken = self.table.first_untaken().is_none() || holds(Rule::NotedSequence);
        let synced = exchange.pass_done_said
            && exchange.pass_done_heard
            && (exchange.pass_taken(&self.table) && all_taken || !holds(Rule::ReadyHandshake))
            && self.same_revision;
        if synced && exchange.ready_said.is_none() && self.leaves_partner_down(exchange.ready_heard.is_some(), fx) {
            let ready = Ready {
                unbroken: self.unbroken,
                epoch: self.epoch,
                last_normal: self.last_normal.unwrap_or(Epoch::INITIAL),
            };
            if let Some(exchange) = self.exchange.as_mut() {
                exchange.ready_said = Some(ready);
            }
            self.send(PairMessage::Ready(ready), fx);
        }
        let readies = self.exchange.as_ref().and_then(|exchange| {
            let said = exchange.ready_said?;
            Some((said, exchange.ready_heard.or_else(|| (!holds(Rule::BothReady)).then_some(said))?))
        });
        if let Some((said, heard)) = readies
            && let Some(exchange) = self.exchange.as_mut().filter(|exchange| !exchange.in_step)
        {
            exchange.in_step = true;
            self.enter_normal(said, heard, fx);
        }
    }

    /// A node in partner-down gives its rights back durably before it is ready, and last: after the partner is.
    /// True if it may say that it is ready.
    fn leaves_partner_down(&mut self, partner_is_ready: bool, fx: &mut Effects) -> bool {
        if self.partner_down().is_none() {
            return true;
        }
        if !partner_is_ready {
            return false;
        }
        let since = fx.instant();
        self.enter(State::CommunicationsInterrupted { role: Role::Active, since }, "the partner has synced", fx);
        // What was granted by those rights while the pass ran must be taken too, or the partner would go on without it.
        let Some(exchange) = self.exchange.as_mut() else { return false };
        if holds(Rule::RightsEndNoted) {
            exchange.pass_end = fx.last();
        }
        exchange.pass_taken(&self.table) || !holds(Rule::ReadyHandshake)
    }

    fn enter_normal(&mut self, said: Ready, heard: Ready, fx: &mut Effects) {
        let active = active_node(self.slot, self.is_primary, said, heard);
        let before = said.last_normal.max(heard.last_normal);
        let primary = if self.is_primary { self.slot } else { self.slot.other() };
        self.epoch = Epoch { number: said.epoch.number.max(heard.epoch.number) + 1, slot: active };
        self.begin_embargo(fx);
        if active == primary {
            self.promoted_automatically = false;
        } else if before.slot != active {
            self.promoted_automatically = true;
            self.took_over_from_deaf = false;
        }
        self.last_normal = Some(self.epoch);
        self.must_hear_partner = false;
        self.lost = false;
        self.was_partner_down = false;
        self.served = false;
        self.restarted = false;
        self.unbroken = active == self.slot;
        self.disagreement_since = None;
        self.partner_hears_since = None;
        let why = if active == self.slot { "in step; this node is active" } else { "in step; the partner is active" };
        self.enter(State::Normal { active, since: fx.instant(), handover: Handover::None }, why, fx);
    }

    /// The session ended. Nobody is in step any more; a standby waits until the loss is certain, at `lost_at`.
    pub(crate) fn session_down(&mut self, lost_at: Instant, fx: &mut Effects) {
        if self.exchange.take().is_some() {
            self.held.partner_went_away(fx.instant());
        }
        self.lag = Default::default();
        let now = fx.instant();
        match self.state {
            State::Recover { resume } => {
                let until = self.isolated_until(resume, now);
                self.enter(State::Startup { until, resume }, "the session ended before both were in step", fx);
            }
            State::Normal { active, .. } if active == self.slot => {
                self.enter(
                    State::CommunicationsInterrupted { role: Role::Active, since: now },
                    "the session ended",
                    fx,
                );
            }
            State::Normal { .. } => {
                let role = Role::Deactivated { until: lost_at.max(now) };
                self.enter(State::CommunicationsInterrupted { role, since: now }, "the session ended", fx);
            }
            State::Leaving { .. } => self.finish_leaving(fx),
            State::CommunicationsInterrupted { role: Role::Deactivated { .. }, since } => {
                let role = Role::Deactivated { until: lost_at.max(now) };
                self.state = State::CommunicationsInterrupted { role, since };
            }
            State::Startup { .. }
            | State::CommunicationsInterrupted { role: Role::Active, .. }
            | State::PartnerDown { .. } => {}
        }
    }

    /// The loss of contact is certain: a standby is promoted.
    pub(crate) fn contact_lost(&mut self, evidence: &str, fx: &mut Effects) {
        let State::CommunicationsInterrupted { role, since } = self.state else { return };
        if self.is_connected() {
            return;
        }
        match role {
            Role::Deactivated { until } => match self.paused_until.filter(|&paused| paused > fx.instant()) {
                Some(paused) if until < paused => {
                    self.event(Code::ContactLost, "promotion is held back by an operator's pause", evidence, fx);
                    self.state = State::CommunicationsInterrupted { role: Role::Deactivated { until: paused }, since };
                }
                Some(_) => {}
                None => {
                    self.event(Code::ContactLost, "contact with the partner is lost", evidence, fx);
                    self.promote(evidence, fx);
                }
            },
            Role::Active => {
                if self.fence_due.is_none() && !self.settings.fence_command.is_empty() {
                    self.fence_due = Some(fx.instant() + super::partner_down::FENCE_DELAY_OF_ACTIVE);
                }
            }
        }
    }

    /// Nobody was met in time: goes on alone.
    pub(crate) fn resume_alone(&mut self, resume: Resume, fx: &mut Effects) {
        let why = "the partner was not met within the startup timeout";
        match resume {
            Resume::CommunicationsInterrupted => {
                self.epoch = self.epoch.next(self.slot);
                let since = fx.instant();
                self.enter(State::CommunicationsInterrupted { role: Role::Active, since }, why, fx);
                self.note_promotion("alone", why, fx);
            }
            Resume::PartnerDown { proof, from } => self.enter(State::PartnerDown { proof, from }, why, fx),
        }
    }

    /// The partner left the state in which it was ready.
    pub(crate) fn partner_left(&mut self, phase: Phase, fx: &mut Effects) {
        let State::Normal { active, .. } = self.state else { return };
        let since = fx.instant();
        let why = format!("the partner went to {phase}");
        let role = if active == self.slot { Role::Active } else { Role::Deactivated { until: since } };
        self.exchange = None;
        self.enter(State::CommunicationsInterrupted { role, since }, &why, fx);
        if let Some(partner) = self.partner.clone() {
            fx.disconnect(&partner);
        }
        // It has said so itself: there is nothing to wait for.
        if active != self.slot {
            self.contact_lost(&why, fx);
        }
    }

    /// Tells a connected partner that this node is no longer in normal.
    pub(crate) fn tell_left(&mut self, phase: Phase, fx: &mut Effects) {
        if phase != Phase::Leaving && phase != Phase::PartnerDown {
            self.send(PairMessage::Left(phase), fx);
        }
    }

    /// Sends to the partner, once everything written so far is durable, if there is a session.
    pub(crate) fn send(&self, message: PairMessage, fx: &mut Effects) {
        if let (Some(exchange), Some(partner)) = (&self.exchange, &self.partner) {
            fx.send_pair(partner, exchange.session, &self.name, message);
        }
    }
}

/// Who is active when both come into step: computed by both from the same two messages, so that a blip moves nothing.
fn active_node(slot: Slot, is_primary: bool, said: Ready, heard: Ready) -> Slot {
    match (said.unbroken, heard.unbroken) {
        (true, false) => slot,
        (false, true) => slot.other(),
        (true, true) => said.last_normal.max(heard.last_normal).slot,
        (false, false) => {
            if is_primary {
                slot
            } else {
                slot.other()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(unbroken: bool, last_normal: (u64, Slot)) -> Ready {
        let last_normal = Epoch { number: last_normal.0, slot: last_normal.1 };
        Ready { unbroken, epoch: last_normal, last_normal }
    }

    #[test]
    fn both_nodes_compute_the_same_active_node() {
        use Slot::{One, Zero};
        let cases = [
            (ready(true, (3, Zero)), ready(false, (3, Zero)), Zero),
            (ready(false, (3, Zero)), ready(true, (3, Zero)), One),
            (ready(true, (3, Zero)), ready(true, (3, Zero)), Zero),
            (ready(true, (3, Zero)), ready(true, (5, One)), One),
            (ready(false, (5, One)), ready(false, (5, One)), Zero),
        ];
        for (zero, one, active) in cases {
            assert_eq!(active_node(Zero, true, zero, one), active);
            assert_eq!(active_node(One, false, one, zero), active);
        }
    }
}
