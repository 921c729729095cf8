//! Records to and from the partner, and the way of an ended lease back to free.
//!
//! A lease that is over becomes free when the node that is *not* its home relinquishes the right to extend it, durably,
//! and the home takes that. Nobody hands an address on while the other might still extend the old lease.

use super::relationship::{ConflictReport, REUSE_GRACE, Relationship};
use super::replication::Sent;
use super::state::{Handover, Role, State};
use crate::effects::Effects;
use crate::event::Code;
use crate::lease::merge::{Merged, Merging, TRANSIT, merge};
use crate::lease::record::{ClientId, Lease, LeaseRecord, LeaseState, Version};
use crate::lease::table::LeaseTable;
use crate::message::PairMessage;
use crate::mutant::{Rule, holds};
use crate::time::Instant;
use std::borrow::Cow;
use std::net::Ipv4Addr;
use std::time::Duration;

/// Leases that one tick sets free at the most, so that clients need not wait for it.
const FREED_PER_TICK: usize = 256;

/// How often a node in partner-down looks for leases that its waits have set free.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

impl Relationship {
    /// A message of the partner, in this session.
    pub(crate) fn heard(&mut self, message: PairMessage, fx: &mut Effects) {
        match message {
            PairMessage::Batch { number, records } => self.heard_batch(number, &records, fx),
            PairMessage::Ack { number, refused } => self.heard_ack(number, &refused, fx),
            PairMessage::PassDone => {
                if let Some(exchange) = self.exchange.as_mut() {
                    exchange.pass_done_heard = true;
                }
            }
            PairMessage::Ready(ready) => {
                if let Some(exchange) = self.exchange.as_mut() {
                    exchange.ready_heard = Some(ready);
                }
            }
            PairMessage::Ask { number, record } => self.heard_ask(number, &record, fx),
            PairMessage::Answer { number, address, record } => self.heard_answer(number, address, record, fx),
            PairMessage::Left(phase) => self.partner_left(phase, fx),
            PairMessage::HandOver { epoch, by_operator } => self.take_over(epoch, by_operator, fx),
            PairMessage::TookOver { epoch } => self.handed_over(epoch, fx),
            PairMessage::RequestHandOver { by_operator } => self.start_draining(by_operator, fx),
            PairMessage::CleanLeave => self.partner_leaves(fx),
            PairMessage::CleanLeaveAccepted => self.finish_leaving(fx),
            PairMessage::Pause(remaining) => self.set_pause(remaining.from(fx.instant()), fx),
        }
        if self.exchange.is_some() {
            self.advance(fx);
            self.send_batches(fx);
        }
    }

    /// Sends what is persisted here and not yet sent in this session.
    pub(crate) fn send_batches(&mut self, fx: &mut Effects) {
        let Some(partner) = self.partner.clone() else { return };
        while let Some(exchange) = self.exchange.as_mut() {
            let session = exchange.session;
            let Some(batch) = exchange.next_batch(
                &self.table,
                if holds(Rule::PersistBeforeSend) { fx.persisted } else { fx.last() },
                fx,
            ) else {
                break;
            };
            let message = crate::message::PeerMessage::Pair(self.name.clone(), batch);
            fx.send_in_order(&partner, session, message);
        }
        if self.exchange.as_ref().is_some_and(|exchange| !exchange.pass_done_said) {
            self.advance(fx);
        }
    }

    fn heard_batch(&mut self, number: u64, records: &[LeaseRecord], fx: &mut Effects) {
        let mut refused = Vec::new();
        for record in records {
            self.merge_record(record, fx);
            let held = self.table.get(record.address);
            if let Some(held) = held.filter(|held| !is_taken(held, record, fx)) {
                refused.push(fx.to_record(held));
            }
        }
        self.send(PairMessage::Ack { number, refused }, fx);
    }

    fn heard_ack(&mut self, number: u64, refused: &[LeaseRecord], fx: &mut Effects) {
        let Some(exchange) = self.exchange.as_mut() else { return };
        let Some((sent, took)) = exchange.acknowledged(number, fx.instant()) else { return };
        for sent in sent {
            if refused.iter().any(|record| record.address == sent.address) {
                continue;
            }
            // A record that changed meanwhile keeps the larger expiry.
            if let Some(expiry) = self.acknowledged_expiry(&sent) {
                self.table.raise_acked(sent.address, &sent.client, expiry);
            }
            if self.table.get(sent.address).is_some_and(|lease| lease.version == sent.version) {
                self.table.mark_taken(sent.address);
                self.settle_taken(sent.address, fx);
            }
        }
        for record in refused {
            self.merge_record(record, fx);
        }
        if self.lag.answered(took, self.settings.replication_deadline, self.table.untaken_len()) {
            self.event(Code::Lagging, "the partner has caught up", format!("answered within {took:?}"), fx);
        }
        self.continue_draining(fx);
    }

    /// The expiry that the partner knows now.
    fn acknowledged_expiry(&self, sent: &Sent) -> Option<Instant> {
        let held = self.table.get(sent.address).map(|lease| lease.expiry);
        if holds(Rule::AckOfVersion) { sent.expiry } else { held }
    }

    /// Merges a record of the partner's into ours.
    pub(crate) fn merge_record(&mut self, record: &LeaseRecord, fx: &mut Effects) {
        let theirs = record.to_lease(fx.instant());
        let unknown = LeaseTable::never_used(record.address, &record.client, record.hardware);
        let mine = self.table.get(record.address).unwrap_or(&unknown);
        let merging = Merging {
            now: fx.instant(),
            slot: self.slot,
            home: self.table.is_home(record.address),
            we_were_partner_down: self.was_partner_down,
            they_were_partner_down: self.partner_hello.was_partner_down,
            learns_times: fx.is_in_doubt(mine) && !record.in_doubt,
            mine_may_run: fx.at_latest(mine).is_live(fx.instant()),
            lost: self.lost,
        };
        let certain = !fx.is_in_doubt(mine) && !record.in_doubt;
        // A lease that may be over does not stand in the way of one that surely is not.
        let yields = !record.in_doubt && theirs.is_live(fx.instant()) && theirs.client != mine.client;
        let mine = if yields { Cow::Borrowed(mine) } else { fx.at_latest(mine) };
        let (case, merged) = merge(merging, &mine, &theirs);
        self.merges[case as usize] += 1;
        match merged {
            Merged::Unchanged | Merged::NotTaken => {}
            Merged::Taken(lease) | Merged::Changed(lease) => self.replace(lease, fx),
            Merged::Conflict { kept, .. } if !certain && !holds(Rule::DoubtIsTold) => self.replace(kept, fx),
            Merged::Conflict { kept, lost } => {
                self.note_conflict(kept.clone(), lost, certain, fx);
                self.replace(kept, fx);
            }
        }
    }

    /// Two clients were told of one address. Where a time is not certain they may have had it one after the other: better
    /// an operator who looks in vain than one who is not told.
    fn note_conflict(&mut self, kept: Lease, lost: Lease, certain: bool, fx: &mut Effects) {
        let perhaps = if certain { "" } else { ", perhaps one after the other: how long a node was away is not known" };
        let what = format!("{} was given to {} and to {}", kept.address, kept.client, lost.client);
        let epochs = format!("epoch {} against {}", kept.epoch.number, lost.epoch.number);
        let why = format!("{} keeps it: {epochs}{perhaps}", kept.client);
        self.event(Code::Conflict, what, why.clone(), fx);
        self.conflicts.push(ConflictReport { kept, lost, certain, when: fx.now.wall, why });
    }

    /// Stores a merged record; answers that waited for the one before it are dropped if their promise is gone.
    pub(super) fn replace(&mut self, lease: Lease, fx: &mut Effects) {
        let lease = fx.write_lease(&self.name, lease);
        let keeps_promise = lease.state == LeaseState::Bound;
        self.held.recheck(lease.address, keeps_promise.then_some(&lease.client), fx);
        self.table.put(lease);
    }

    /// Stores a change of this node's own.
    pub(crate) fn change(&mut self, lease: Lease, fx: &mut Effects) {
        // Where a record was lost its versions count from the clock, or they would repeat what the partner has seen.
        let counts_on = (self.lost || self.table.lacks(lease.address)) && holds(Rule::LostCountsFromClock);
        let floor = if counts_on { u64::try_from(fx.now.wall.0).unwrap_or(0) } else { 0 };
        let version = lease.version.at_least(self.slot, floor).raised(self.slot);
        let mut lease = Lease { version, epoch: self.epoch, taken: false, ..lease };
        if lease.state != LeaseState::Bound && !holds(Rule::PotentialExpiry) {
            lease.potential_expiry = lease.expiry;
        }
        let lease = fx.write_lease(&self.name, lease);
        self.table.put(lease);
    }

    /// Sets free, or relinquishes, what is over.
    pub(crate) fn free_what_is_over(&mut self, fx: &mut Effects) {
        if self.may_relinquish(fx) {
            let until = fx.certain() - REUSE_GRACE;
            let home = self.partner.is_none() || !holds(Rule::Relinquish);
            let over: Vec<Lease> = self
                .table
                .over_by(home, (Instant(i64::MIN), Ipv4Addr::UNSPECIFIED), until)
                .take(FREED_PER_TICK)
                .map(|lease| fx.at_latest(lease).into_owned())
                .collect();
            for lease in over {
                self.change(Lease { state: LeaseState::Free, ..lease }, fx);
            }
        }
        if self.next_sweep <= fx.instant() && self.partner_down().is_some() {
            self.sweep_partner_down(fx);
        }
    }

    /// In partner-down, what is over becomes free without the partner once its wait has passed.
    fn sweep_partner_down(&mut self, fx: &mut Effects) {
        let until = fx.certain() - REUSE_GRACE;
        let from = self.sweep.unwrap_or((Instant(i64::MIN), Ipv4Addr::UNSPECIFIED));
        let over: Vec<Lease> = [true, false]
            .into_iter()
            .flat_map(|home| self.table.over_by(home, from, until).take(FREED_PER_TICK))
            .cloned()
            .collect();
        self.sweep = over.last().map(|lease| (lease.expiry, lease.address));
        self.next_sweep = fx.instant() + if self.sweep.is_some() { Duration::ZERO } else { SWEEP_INTERVAL };
        for lease in over {
            if self.partner_down_wait_is_over(Some(&lease), fx) {
                let lease = fx.at_latest(&lease).into_owned();
                self.change(Lease { state: LeaseState::Free, ..lease }, fx);
            }
        }
    }

    /// When `free_what_is_over` has something to do.
    pub(crate) fn next_freeing(&self, fx: &Effects) -> Option<Instant> {
        let relinquish = self
            .table
            .first_expiry(self.partner.is_none())
            .filter(|_| self.may_relinquish(fx))
            .map(|expiry| expiry + REUSE_GRACE + fx.doubt());
        let sweep = self.partner_down().map(|_| self.next_sweep);
        relinquish.into_iter().chain(sweep).min()
    }

    /// A node that lost its store does not know what it would give up the right to.
    fn may_relinquish(&self, fx: &Effects) -> bool {
        if self.partner.is_none() {
            return fx.store_works;
        }
        let state = match &self.state {
            State::Normal { handover: Handover::None, .. } => true,
            State::CommunicationsInterrupted { role: Role::Active, .. } => self.is_connected(),
            State::Normal { handover: Handover::Draining { .. } | Handover::Offered { .. }, .. }
            | State::CommunicationsInterrupted { role: Role::Deactivated { .. }, .. }
            | State::Startup { .. }
            | State::Recover { .. }
            | State::PartnerDown { .. }
            | State::Leaving { .. } => false,
        };
        state && self.is_connected() && self.embargo.is_none() && fx.store_works
    }

    /// Whether this node's configuration, and any that may be in use elsewhere, let this client have the address.
    fn gives(&self, address: Ipv4Addr, client: &ClientId) -> bool {
        let configured = self.table.pool_of(address).is_some() || self.table.reserved_for(address) == Some(client);
        (configured && self.allowance.allows(address, client)) || !holds(Rule::BothRevisions)
    }

    /// The home's side of an ask: records the lease itself and returns it, if the address is free for it to give.
    fn heard_ask(&mut self, number: u64, record: &LeaseRecord, fx: &mut Effects) {
        let address = record.address;
        let version = self.table.get(address).map_or(Version::default(), |lease| lease.version);
        let is_free = self.table.get(address).is_none_or(|lease| lease.state == LeaseState::Free);
        let granted = self.is_normal()
            && self.table.is_home(address)
            && is_free
            && version == record.version
            && !self.held.is_pending(address)
            && self.gives(address, &record.client)
            && !self.is_held_back(address, fx);
        if granted {
            let before = self.table.get(address).map(|lease| fx.at_latest(lease));
            let asked = record.to_lease(fx.instant());
            let lease = Lease {
                state: LeaseState::Bound,
                potential_expiry: before.map_or(asked.expiry, |lease| lease.potential_expiry.max(asked.expiry)),
                acked_expiry: Instant::NEVER,
                ..asked
            };
            self.change(lease, fx);
        }
        let record = self.table.get(address).filter(|_| granted).map(|lease| fx.to_record(lease));
        self.send(PairMessage::Answer { number, address, record }, fx);
    }
}

/// Whether what we hold covers what the partner sent: it may count on it.
fn is_taken(held: &Lease, sent: &LeaseRecord, fx: &Effects) -> bool {
    if held.version == sent.version {
        return true;
    }
    let reaches = |held: &Lease| held.expiry >= sent.expires_in.from(fx.instant()) - TRANSIT;
    let covers_expiry =
        sent.state != LeaseState::Bound || (held.state == LeaseState::Bound && reaches(held) && !fx.is_in_doubt(held));
    held.version.has_seen(sent.version) && held.client == sent.client && covers_expiry
}
