//! Handing over on purpose: planned switchover, failback, client links that die, and a clean stop.
//!
//! ```text
//! active                                   deactivated
//!   stops taking new exchanges
//!   waits until every promise is taken
//!   ── HandOver { epoch + 1 } ───────────────►  makes the epoch durable, answers
//!   is deactivated  ◄──────────── TookOver ──
//! ```
//! Not confirmed within the heartbeat timeout: the session is dropped, and both are simply in
//! communications-interrupted.

use super::relationship::Relationship;
use super::state::{Handover, LeavingStep, Phase, Proof, State};
use crate::configuration::Failback;
use crate::dhcp::answer::Silence;
use crate::effects::Effects;
use crate::event::Code;
use crate::id::{Epoch, NodeName};
use crate::input::Request;
use crate::message::{PairMessage, Pulse};
use crate::mutant::{Rule, holds};
use crate::output::CommandResult;
use crate::time::{Instant, Remaining};
use std::time::Duration;

/// The active node hands over when it has heard no client for this long while the other one hears them.
const DEAF_AFTER: Duration = Duration::from_secs(10);

/// How fresh a heard client or a pulse must be to count.
const FRESH: Duration = Duration::from_secs(3);

impl Relationship {
    /// An operator wants `to` to be active, or whichever node is deactivated.
    pub(crate) fn switch_over(&mut self, to: Option<&NodeName>, me: &NodeName, request: Request, fx: &mut Effects) {
        let refuse = |why: String, fx: &mut Effects| fx.answer(request, CommandResult::Refused(why));
        let State::Normal { active, handover, .. } = self.state else {
            let why = format!("{}: in {}, not in normal; nothing can be handed over", self.name, self.state.phase());
            return refuse(why, fx);
        };
        let Some(partner) = self.partner.clone() else {
            return refuse(format!("{}: served by one node alone", self.name), fx);
        };
        if handover != Handover::None || self.switchover_request.is_some() {
            return refuse(format!("{}: a switchover is under way", self.name), fx);
        }
        let i_am_active = active == self.slot;
        let deactivated = if i_am_active { &partner } else { me };
        if let Some(to) = to.filter(|to| *to != deactivated) {
            let active = if i_am_active { me } else { &partner };
            let what = if to == active { "is active already" } else { "is not one of its two nodes" };
            return refuse(format!("{}: {to} {what}", self.name), fx);
        }
        let until = fx.instant() + self.settings.heartbeat_timeout * 3;
        self.switchover_request = Some((request, until));
        if i_am_active {
            self.start_draining(true, fx);
        } else {
            self.send(PairMessage::RequestHandOver { by_operator: true }, fx);
        }
    }

    /// Takes no new exchanges and waits until every promise is taken.
    pub(crate) fn start_draining(&mut self, by_operator: bool, fx: &mut Effects) {
        let State::Normal { active, since, handover: Handover::None } = self.state else { return };
        if active != self.slot || self.partner.is_none() {
            return;
        }
        let until = fx.instant() + self.settings.heartbeat_timeout;
        self.state = State::Normal { active, since, handover: Handover::Draining { until, by_operator } };
        self.event(Code::SwitchoverStarted, "no new exchanges; waiting until every promise is taken", "", fx);
        self.continue_draining(fx);
    }

    /// Hands over once nothing waits and everything is taken.
    pub(crate) fn continue_draining(&mut self, fx: &mut Effects) {
        if let State::Leaving { .. } = self.state {
            return self.continue_leaving(fx);
        }
        let State::Normal { active, since, handover: Handover::Draining { until, by_operator } } = self.state else {
            return;
        };
        if self.held.is_empty() && self.table.first_untaken().is_none() {
            self.state = State::Normal { active, since, handover: Handover::Offered { until, by_operator } };
            let epoch = self.epoch.next(self.slot.other());
            self.send(PairMessage::HandOver { epoch, by_operator }, fx);
        }
    }

    /// The partner hands over to this node.
    pub(crate) fn take_over(&mut self, epoch: Epoch, by_operator: bool, fx: &mut Effects) {
        let State::Normal { active, since, .. } = self.state else { return };
        if active == self.slot || epoch <= self.epoch {
            return;
        }
        self.epoch = epoch;
        self.last_normal = Some(epoch);
        self.unbroken = true;
        self.promoted_automatically = !self.is_primary && !by_operator;
        self.took_over_from_deaf = self.promoted_automatically;
        self.enter(State::Normal { active: self.slot, since, handover: Handover::None }, "the partner hands over", fx);
        self.note_promotion("switchover", "the partner handed over", fx);
        self.send(PairMessage::TookOver { epoch }, fx);
        self.answer_switchover(CommandResult::Done(format!("{}: this node is active now", self.name)), fx);
    }

    /// The partner answers from now on.
    pub(crate) fn handed_over(&mut self, epoch: Epoch, fx: &mut Effects) {
        let State::Normal { active, since, handover: Handover::Offered { .. } } = self.state else { return };
        if active != self.slot || epoch <= self.epoch {
            return;
        }
        self.epoch = epoch;
        self.last_normal = Some(epoch);
        self.unbroken = false;
        let state = State::Normal { active: self.slot.other(), since, handover: Handover::None };
        self.enter(state, "the partner took over", fx);
        self.event(Code::Demoted, "the partner is active now", "it confirmed the switchover", fx);
        let active = self.partner.as_ref().map_or("the partner", NodeName::as_str);
        self.answer_switchover(CommandResult::Done(format!("{}: {active} is active now", self.name)), fx);
    }

    /// What is due in normal.
    pub(crate) fn tick_normal(&mut self, fx: &mut Effects) {
        let State::Normal { active, since, handover } = self.state else { return };
        let now = fx.instant();
        match handover {
            Handover::Draining { until, .. } if until <= now => {
                self.state = State::Normal { active, since, handover: Handover::None };
                self.event(
                    Code::SwitchoverFailed,
                    "this node stays active",
                    "the partner did not take everything in time",
                    fx,
                );
                self.answer_switchover(
                    CommandResult::Failed("the partner did not take everything in time; nothing has changed".into()),
                    fx,
                );
            }
            Handover::Offered { until, .. } if until <= now => {
                self.event(Code::SwitchoverFailed, "the session is dropped", "the partner did not confirm in time", fx);
                self.drop_session(fx);
            }
            Handover::None if active == self.slot => {
                if self.failback_at().is_some_and(|at| at <= now) && self.partner_has_carrier(now) {
                    self.start_draining(false, fx);
                } else if !self.carrier && self.partner_may_hear_clients(now) {
                    self.event(Code::LinkUnhealthy, "this node hands over", "no client link has a carrier", fx);
                    self.start_draining(false, fx);
                }
            }
            Handover::None | Handover::Draining { .. } | Handover::Offered { .. } => {}
        }
        if self.switchover_request.is_some_and(|(_, until)| until <= now) {
            self.answer_switchover(CommandResult::Failed("the partner did not hand over in time".into()), fx);
        }
        if self.disagreement_since.is_some_and(|at| at + self.settings.heartbeat_timeout <= now) {
            self.drop_session(fx);
        }
    }

    fn drop_session(&mut self, fx: &mut Effects) {
        self.disagreement_since = None;
        if let Some(partner) = self.partner.clone() {
            fx.disconnect(&partner);
        }
    }

    /// When something is due in normal.
    pub(crate) fn normal_deadline(&self) -> Option<Instant> {
        let State::Normal { active, handover, .. } = self.state else { return None };
        let handover = match handover {
            Handover::Draining { until, .. } | Handover::Offered { until, .. } => Some(until),
            Handover::None if active == self.slot => {
                // A failback that waits for the partner's links is looked at again with each pulse.
                self.failback_at().filter(|&at| self.partner_pulse.as_ref().is_none_or(|&(heard, _)| heard < at))
            }
            Handover::None => None,
        };
        let disagreement = self.disagreement_since.map(|at| at + self.settings.heartbeat_timeout);
        handover.into_iter().chain(disagreement).min()
    }

    /// When the primary gets the relationship back: it must hear clients, and have done so for a while. A primary that
    /// hears only some of them would lose it again at once, so one that lost it for that reason waits longer.
    fn failback_at(&self) -> Option<Instant> {
        let State::Normal { since, .. } = self.state else { return None };
        match self.settings.failback {
            Failback::Automatic { delay } if self.promoted_automatically && !self.is_primary => {
                let proof = if self.took_over_from_deaf { delay.max(DEAF_AFTER * 2) } else { delay };
                Some((since + delay).max(self.partner_hears_since? + proof))
            }
            Failback::Automatic { .. } | Failback::Manual => None,
        }
    }

    /// Whether the partner has just said that a client link of it has a carrier.
    fn partner_has_carrier(&self, now: Instant) -> bool {
        self.partner_pulse.as_ref().is_some_and(|(at, pulse)| now < *at + FRESH && pulse.carrier)
    }

    /// Whether the partner has a client link that works, as far as is known: nothing is known while no client speaks.
    fn partner_may_hear_clients(&self, now: Instant) -> bool {
        let clients_speak = self.client_heard.is_some_and(|at| now < at + DEAF_AFTER);
        self.partner_has_carrier(now) && (self.partner_hears_since.is_some() || !clients_speak)
    }

    /// Notes since when the partner has heard the clients that this node hears. Clients that are silent say nothing
    /// about either node.
    fn note_partner_hearing(&mut self, pulse: &Pulse, now: Instant) {
        let heard = pulse.client_heard_ms.map(|ms| now - Duration::from_millis(ms));
        let hears =
            pulse.carrier && heard.is_some_and(|heard| self.client_heard.is_none_or(|ours| ours <= heard + DEAF_AFTER));
        self.partner_hears_since = hears.then(|| self.partner_hears_since.unwrap_or(now));
    }

    /// The partner's word on this relationship: for display, and for the health of client links.
    pub(crate) fn heard_pulse(&mut self, pulse: Pulse, fx: &mut Effects) {
        let now = fx.instant();
        self.note_partner_hearing(&pulse, now);
        if let State::Normal { active, handover: Handover::None, .. } = self.state {
            let i_serve = active == self.slot;
            let disagrees = pulse.phase == Phase::Normal && pulse.serving == i_serve && self.is_serving(fx) == i_serve;
            let since = self.disagreement_since.unwrap_or(now);
            self.disagreement_since = disagrees.then_some(since);
            let deaf = pulse.client_heard_ms.is_none_or(|ms| Duration::from_millis(ms) > DEAF_AFTER);
            let we_hear = self.client_heard.is_some_and(|at| now < at + FRESH);
            let settled = self.partner_pulse.is_some() && self.hears_alone_for(now);
            if !i_serve && self.carrier && (!pulse.carrier || (deaf && we_hear && settled)) {
                self.event(Code::LinkUnhealthy, "asking the active node to hand over", "it hears no clients", fx);
                self.send(PairMessage::RequestHandOver { by_operator: false }, fx);
            }
        }
        if pulse.phase != Phase::Normal && !holds(Rule::HeartbeatShows) {
            self.partner_left(pulse.phase, fx);
        }
        // Before it is in step with this node, it does not know yet what it will hold back.
        if pulse.phase == Phase::Normal {
            self.partner_holds_back = pulse.held_back_ms.map(|ms| now + Duration::from_millis(ms));
        }
        self.partner_pulse = Some((now, pulse));
    }

    /// Whether normal has lasted long enough for the partner to have heard a client.
    fn hears_alone_for(&self, now: Instant) -> bool {
        matches!(self.state, State::Normal { since, .. } if since + DEAF_AFTER < now)
    }

    /// This node's word on this relationship.
    pub(crate) fn pulse(&self, fx: &Effects) -> Pulse {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Pulse {
            relationship: self.name.clone(),
            phase: self.state.phase(),
            epoch: self.epoch,
            serving: self.is_serving(fx),
            carrier: self.carrier,
            client_heard_ms: self.client_heard.map(|at| millis(fx.instant().since(at))),
            held_back_ms: self.untouched_held_until().map(|until| millis(until.since(fx.certain()))),
        }
    }

    /// Holds back automatic promotion on both nodes.
    pub(crate) fn pause(&mut self, duration: Duration, fx: &mut Effects) -> CommandResult {
        let until = fx.instant() + duration;
        self.set_pause(until, fx);
        self.send(PairMessage::Pause(Remaining(until.remaining(fx.instant()).0)), fx);
        let what = if duration.is_zero() { "promotion is automatic again" } else { "promotion is held back" };
        CommandResult::Done(format!("{}: {what}", self.name))
    }

    /// The process is to stop: cleanly, if the partner is there to be told.
    pub(crate) fn leave(&mut self, fx: &mut Effects) {
        let State::Normal { active, .. } = self.state else { return };
        if !self.is_connected() || self.partner.is_none() || self.embargo.is_some() {
            return;
        }
        let until = fx.instant() + self.settings.heartbeat_timeout;
        let state = State::Leaving { until, was_active: active == self.slot, step: LeavingStep::Draining };
        self.state = state;
        self.event(Code::StateChanged, "normal -> leaving", "the process is to stop", fx);
        self.continue_leaving(fx);
    }

    /// Tells the partner once every promise is taken; the mark is durable before it is told.
    pub(crate) fn continue_leaving(&mut self, fx: &mut Effects) {
        let State::Leaving { until, was_active, step } = self.state else { return };
        let drained = self.held.is_empty() && self.table.first_untaken().is_none();
        if step == LeavingStep::Draining && drained {
            self.must_hear_partner = true;
            self.state = State::Leaving { until, was_active, step: LeavingStep::Told };
            self.persist(fx);
            self.send(PairMessage::CleanLeave, fx);
        } else if until <= fx.instant() {
            self.finish_leaving(fx);
        }
    }

    /// The partner has answered a clean leave, or will not.
    pub(crate) fn finish_leaving(&mut self, fx: &mut Effects) {
        if let State::Leaving { until, was_active, step } = self.state
            && step != LeavingStep::Done
        {
            self.drop_held(Silence::Deactivated, fx);
            self.state = State::Leaving { until, was_active, step: LeavingStep::Done };
            self.event(Code::Left, "this node has left", "a clean stop", fx);
        }
    }

    /// Whether nothing keeps the process from ending.
    pub(crate) fn has_left(&self) -> bool {
        match self.state {
            State::Leaving { step, .. } => step == LeavingStep::Done,
            State::Startup { .. }
            | State::Recover { .. }
            | State::Normal { .. }
            | State::CommunicationsInterrupted { .. }
            | State::PartnerDown { .. } => true,
        }
    }

    /// The partner has stopped serving and everything it promised is taken. Accepted only from normal; when both
    /// leave, the deactivated one does and the active one accepts.
    pub(crate) fn partner_leaves(&mut self, fx: &mut Effects) {
        let accepts = match self.state {
            State::Normal { .. } => true,
            State::Leaving { was_active, .. } => was_active,
            State::Startup { .. }
            | State::Recover { .. }
            | State::CommunicationsInterrupted { .. }
            | State::PartnerDown { .. } => false,
        };
        if accepts {
            self.must_hear_partner = false;
            self.unbroken = true;
            self.promoted_automatically |= !self.is_primary;
            self.enter_partner_down(Proof::CleanLeave, fx.instant(), "the partner left cleanly", fx);
            self.send(PairMessage::CleanLeaveAccepted, fx);
        }
    }
}
