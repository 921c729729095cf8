//! Promises to clients: extending, allocating, and waiting for the partner before the client hears.
//!
//! The expiry told to a client is at most `max(acked_expiry, now) + MCLT`, unless the partner takes the longer one
//! first. So in normal a reply is held until its record is persisted here and taken by the partner, and after
//! `replication_deadline` it leaves with the bounded lease instead.

use super::partner_down::Giving;
use super::relationship::Relationship;
use super::state::State;
use crate::dhcp::answer::Silence;
use crate::dhcp::pending::Pending;
use crate::dhcp::probes::Probing;
use crate::effects::Effects;
use crate::event::Code;
use crate::id::Sequence;
use crate::lease::record::{ClientId, HardwareAddress, Lease, LeaseRecord, LeaseState, Version};
use crate::lease::table::LeaseTable;
use crate::message::{PairMessage, PeerMessage};
use crate::mutant::{Rule, holds};
use crate::time::Instant;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

/// A reply that has waited for longer is not sent: its client has asked again (RFC 2131 section 4.1: after four seconds,
/// give or take one), or has turned elsewhere.
const WAITS_AT_MOST: Duration = Duration::from_secs(5);

/// A client and what it wants.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) address: Ipv4Addr,
    pub(crate) client: ClientId,
    pub(crate) hardware: HardwareAddress,
    pub(crate) hostname: Box<[u8]>,
    /// The lease time that the configuration gives this client.
    pub(crate) duration: Duration,
}

/// Why a client may not have an address now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    /// It is another client's, which may be using it.
    HeldByAnother,
    /// It is held for another client, which has not taken it up yet.
    Offered,
    /// Someone else was found to use it.
    Declined,
    /// The lease on it is over and not agreed free.
    NotYetFree,
    /// Its home is the partner, which cannot be asked.
    HomeElsewhere,
    /// This node lost what it knew and holds back.
    HeldBack,
    /// A node that may use an older revision may give it to someone else.
    OtherRevision,
}

/// How a client may have an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Right {
    /// It has it already.
    Extend,
    /// It is free and at home, or the partner is down.
    Allocate,
    /// It is free, and its home must be asked.
    Ask,
}

/// Replies that wait for a write or for the partner.
#[derive(Debug, Default)]
pub(crate) struct HeldReplies {
    by_address: BTreeMap<Ipv4Addr, Held>,
    /// When each is given up on or sent with the bounded lease.
    by_time: BTreeSet<(Instant, Ipv4Addr)>,
    /// Those that wait for nothing but a write.
    by_write: BTreeSet<(Sequence, Ipv4Addr)>,
}

#[derive(Debug)]
struct Held {
    client: ClientId,
    /// The lease time, once the partner has taken it.
    full: Duration,
    /// The expiry that may be promised without the partner.
    bounded: Instant,
    waits_for: WaitsFor,
    until: Instant,
    pending: Box<Pending>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum WaitsFor {
    /// This write; then the reply leaves with the full lease if `full`.
    Write { sequence: Sequence, full: bool },
    /// The partner, to take this write.
    Taken { sequence: Sequence },
    /// The partner's answer to this ask.
    Answer { ask: u64 },
}

/// What became of a request that waited.
#[derive(Debug)]
pub(crate) enum Settled {
    /// The client has the address for so long.
    Granted { address: Ipv4Addr, lease: Duration, pending: Box<Pending> },
    /// The home did not give the address, or did not answer; for people: which.
    Refused { pending: Box<Pending>, why: &'static str },
    /// Nobody answered when the address was looked for, which may be offered now.
    Quiet(Probing),
    /// There will be no reply, and why.
    Dropped { pending: Box<Pending>, why: Silence },
}

impl Settled {
    /// Whose request it was, and of which type.
    pub(crate) fn from(&self) -> (HardwareAddress, &'static str) {
        let (Self::Granted { pending, .. }
        | Self::Refused { pending, .. }
        | Self::Quiet(Probing { pending, .. })
        | Self::Dropped { pending, .. }) = self;
        (pending.query.hardware, pending.query.kind.as_str())
    }
}

impl HeldReplies {
    /// When the next one is due.
    pub(crate) fn next_give_up(&self) -> Option<Instant> {
        self.by_time.first().map(|&(at, _)| at)
    }

    /// Whether a grant of the address is under way.
    pub(crate) fn is_pending(&self, address: Ipv4Addr) -> bool {
        self.by_address.contains_key(&address)
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_address.is_empty()
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.by_address.len()
    }

    /// The scopes of the configuration have new positions. Returns the replies in scopes that are gone, and whether
    /// the home was asked of their address.
    pub(crate) fn renumber_scopes(
        &mut self,
        position: impl Fn(usize) -> Option<usize>,
    ) -> Vec<(Ipv4Addr, bool, Box<Pending>)> {
        let mut gone = Vec::new();
        for (&address, held) in &mut self.by_address {
            match position(held.pending.scope) {
                Some(scope) => held.pending.scope = scope,
                None => gone.push(address),
            }
        }
        let asked = |held: &Held| matches!(held.waits_for, WaitsFor::Answer { .. });
        gone.into_iter()
            .filter_map(|address| self.take(address).map(|held| (address, asked(&held), held.pending)))
            .collect()
    }

    /// Whoever waits for the partner is due now.
    pub(crate) fn partner_went_away(&mut self, now: Instant) {
        let due: Vec<Ipv4Addr> = self.by_time.iter().map(|&(_, address)| address).collect();
        for address in due {
            if let Some(held) = self.take(address) {
                self.insert(address, Held { until: now, ..held });
            }
        }
    }

    /// The record of an address has changed: its reply stands only if its client still has the address.
    pub(crate) fn recheck(&mut self, address: Ipv4Addr, client: Option<&ClientId>, fx: &mut Effects) {
        let stands = |held: &Held| matches!(held.waits_for, WaitsFor::Answer { .. }) || Some(&held.client) == client;
        if self.by_address.get(&address).is_some_and(|held| !stands(held))
            && let Some(held) = self.take(address)
        {
            drop_reply(held.pending, Silence::Changed, fx);
        }
    }

    /// The client asks again while its home is being asked: the answer goes to its later request, which is returned if
    /// that is not so.
    fn replace_asking(&mut self, wish: &Wish, pending: Box<Pending>, fx: &mut Effects) -> Option<Box<Pending>> {
        match self.by_address.get_mut(&wish.address) {
            Some(held) if held.client == wish.client && matches!(held.waits_for, WaitsFor::Answer { .. }) => {
                drop_reply(std::mem::replace(&mut held.pending, pending), Silence::Superseded, fx);
                None
            }
            Some(_) | None => Some(pending),
        }
    }

    /// Holds a reply in the place of the one that waited for the address.
    fn replace(&mut self, address: Ipv4Addr, held: Held, fx: &mut Effects) {
        if let Some(before) = self.take(address) {
            drop_reply(before.pending, Silence::Superseded, fx);
        }
        self.insert(address, held);
    }

    fn insert(&mut self, address: Ipv4Addr, held: Held) {
        match held.waits_for {
            WaitsFor::Write { sequence, .. } => {
                self.by_write.insert((sequence, address));
            }
            WaitsFor::Taken { .. } | WaitsFor::Answer { .. } => {
                self.by_time.insert((held.until, address));
            }
        }
        self.by_address.insert(address, held);
    }

    fn take(&mut self, address: Ipv4Addr) -> Option<Held> {
        let held = self.by_address.remove(&address)?;
        self.by_time.remove(&(held.until, address));
        if let WaitsFor::Write { sequence, .. } = held.waits_for {
            self.by_write.remove(&(sequence, address));
        }
        Some(held)
    }
}

impl Held {
    /// The reply leaves, with what is left of the lease: a client counts it from the request that it sent last (RFC 2131
    /// section 4.4.1), which may be a later one than the one that is answered.
    fn leave(self, address: Ipv4Addr, full: bool, fx: &mut Effects) {
        let waited = if holds(Rule::AnswerAges) { fx.instant().since(self.pending.received) } else { Duration::ZERO };
        let waited_seconds = Duration::from_secs((waited + Duration::from_millis(500)).as_secs());
        let lease = if full { self.full.saturating_sub(waited_seconds) } else { self.bounded.since(fx.instant()) };
        if waited > WAITS_AT_MOST || lease.is_zero() {
            drop_reply(self.pending, Silence::Stale, fx);
        } else {
            fx.settled.push(Settled::Granted { address, lease, pending: self.pending });
        }
    }
}

impl Relationship {
    /// By what right a client may have an address from this node now.
    pub(crate) fn right_to(&self, address: Ipv4Addr, client: &ClientId, fx: &Effects) -> Result<Right, Refusal> {
        let lease = self.table.get(address);
        match lease.map(|lease| (lease, lease.state)) {
            Some((lease, LeaseState::Bound | LeaseState::Ended)) if lease.client == *client => {
                if self.may_extend(lease, fx) { Ok(Right::Extend) } else { Err(Refusal::HeldBack) }
            }
            // What may be over is given to nobody, and is no evidence against anyone.
            Some((lease, LeaseState::Bound)) if lease.is_live(fx.instant()) => Err(Refusal::HeldByAnother),
            Some((lease, LeaseState::Declined)) if lease.is_live(fx.instant()) => Err(Refusal::Declined),
            Some((_, LeaseState::Bound | LeaseState::Ended | LeaseState::Declined)) => Err(Refusal::NotYetFree),
            Some((_, LeaseState::Free)) | None => self.right_to_free(address, client, fx),
        }
    }

    fn right_to_free(&self, address: Ipv4Addr, client: &ClientId, fx: &Effects) -> Result<Right, Refusal> {
        let lease = self.table.get(address);
        if self.is_held_back(address, fx) {
            return Err(Refusal::HeldBack);
        }
        if !self.allowance.allows(address, client) && holds(Rule::BothRevisions) {
            return Err(Refusal::OtherRevision);
        }
        let agreed = lease.is_none_or(|lease| lease.taken) || !holds(Rule::Relinquish);
        if self.partner.is_none() {
            return Ok(Right::Allocate);
        }
        if (self.table.is_home(address) || !holds(Rule::Home)) && agreed {
            return Ok(Right::Allocate);
        }
        let may_ask = self.partner_down().is_none() && self.may_draw_on_partner();
        if agreed && !may_ask && self.is_reserved_for(address, client) {
            return Ok(Right::Allocate);
        }
        if self.partner_down().is_some() {
            let over = self.partner_down_wait_is_over(lease, fx);
            return if over { Ok(Right::Allocate) } else { Err(Refusal::NotYetFree) };
        }
        if self.table.is_home(address) {
            return Err(Refusal::NotYetFree);
        }
        let may_ask = self.may_draw_on_partner() && !Giving::of(self, fx).partner_keeps(lease);
        if may_ask { Ok(Right::Ask) } else { Err(Refusal::HomeElsewhere) }
    }

    /// Whether the address may be given to this client away from its home too, because both nodes keep it for it.
    fn is_reserved_for(&self, address: Ipv4Addr, client: &ClientId) -> bool {
        let agreed = self.allowance.is_agreed(address, client) || !holds(Rule::ReservationAgreed);
        agreed && self.table.reserved_for(address) == Some(client)
    }

    /// How long a client would be promised an address if it asked now and the partner took it in time.
    pub(crate) fn lease_to_offer(
        &self,
        address: Ipv4Addr,
        client: &ClientId,
        duration: Duration,
        fx: &Effects,
    ) -> Duration {
        if self.waits_for_partner() || self.leads_freely() {
            return duration;
        }
        self.bounded(self.table.get(address), client, duration, fx).since(fx.instant())
    }

    /// Promises an address to a client, by a right that it has; the reply leaves when it may.
    pub(crate) fn grant(&mut self, right: Right, wish: &Wish, pending: Box<Pending>, fx: &mut Effects) {
        let pending = if right == Right::Ask { self.held.replace_asking(wish, pending, fx) } else { Some(pending) };
        let Some(pending) = pending else { return };
        let now = fx.instant();
        let bounded = self.bounded(self.table.get(wish.address), &wish.client, wish.duration, fx);
        let wanted = now + wish.duration;
        let until = now + self.settings.replication_deadline;
        let waits = right == Right::Ask || self.waits_for_partner();
        let expiry = if waits || self.leads_freely() { wanted } else { bounded };
        let lease = self.bound_until(expiry, wish, fx);
        let waits_for = if right == Right::Ask {
            WaitsFor::Answer { ask: self.ask(&lease, fx) }
        } else {
            if right == Right::Extend && !holds(Rule::AckRaisesVersion) {
                self.replace(lease, fx);
            } else {
                self.change(lease, fx);
            }
            let sequence = fx.last();
            if waits { WaitsFor::Taken { sequence } } else { WaitsFor::Write { sequence, full: expiry == wanted } }
        };
        let held = Held { client: wish.client.clone(), full: wish.duration, bounded, waits_for, until, pending };
        self.held.replace(wish.address, held, fx);
    }

    /// Records a lease that another server gave, by a right to its address. A home that is asked has nobody waiting.
    pub(crate) fn import(&mut self, right: Right, wish: &Wish, fx: &mut Effects) {
        let lease = self.bound_until(fx.instant() + wish.duration, wish, fx);
        match right {
            Right::Extend | Right::Allocate => self.change(lease, fx),
            Right::Ask => {
                let ask = self.ask(&lease, fx);
                if let Some(exchange) = self.exchange.as_mut() {
                    exchange.imports.insert(ask);
                }
            }
        }
    }

    /// Whether a home has yet to say whether it gives what is imported.
    pub(crate) fn is_importing(&self) -> bool {
        self.exchange.as_ref().is_some_and(|exchange| !exchange.imports.is_empty())
    }

    /// Ends a lease early: its client, or an operator, gave it up.
    pub(crate) fn end_lease(&mut self, address: Ipv4Addr, fx: &mut Effects) {
        if let Some(lease) = self.table.get(address).map(|lease| fx.at_latest(lease).into_owned()) {
            self.held.recheck(address, None, fx);
            self.change(Lease { state: LeaseState::Ended, expiry: lease.expiry.min(fx.instant()), ..lease }, fx);
        }
    }

    /// An address was found in use by the client that it was promised to, or when it was looked for on behalf of this
    /// one: nobody gets it for `time`.
    pub(crate) fn decline_lease(
        &mut self,
        address: Ipv4Addr,
        client: &ClientId,
        hardware: HardwareAddress,
        time: Duration,
        fx: &mut Effects,
    ) {
        let held = self.table.get(address).map(|lease| fx.at_latest(lease).into_owned());
        let lease = held.unwrap_or_else(|| LeaseTable::never_used(address, client, hardware));
        self.held.recheck(address, None, fx);
        let expiry = fx.instant() + time;
        let potential_expiry = lease.potential_expiry.max(expiry);
        self.change(Lease { state: LeaseState::Declined, expiry, potential_expiry, ..lease }, fx);
    }

    /// The partner's answer to an ask. One that was given up on is ended at once: its client was not told.
    pub(crate) fn heard_answer(
        &mut self,
        number: u64,
        address: Ipv4Addr,
        record: Option<LeaseRecord>,
        fx: &mut Effects,
    ) {
        let waits = |held: &Held| held.waits_for == WaitsFor::Answer { ask: number };
        let held = if self.held.by_address.get(&address).is_some_and(waits) { self.held.take(address) } else { None };
        let imported = self.exchange.as_mut().is_some_and(|exchange| exchange.imports.remove(&number));
        let Some(record) = record else {
            if let Some(held) = held {
                self.table.release_offered(address);
                fx.settled.push(Settled::Refused { pending: held.pending, why: "the address is no longer free" });
            }
            return;
        };
        self.merge_record(&record, fx);
        let given = self.table.get(address).is_some_and(|lease| {
            lease.version == record.version && lease.client == record.client && lease.state == LeaseState::Bound
        });
        match held {
            Some(held) if given => {
                let sequence = self.table.get(address).map_or(fx.last(), |lease| lease.sequence);
                self.held.insert(address, Held { waits_for: WaitsFor::Write { sequence, full: true }, ..held });
                self.settle_persisted(fx);
            }
            None if given && !imported => self.end_lease(address, fx),
            Some(held) => drop_reply(held.pending, Silence::Changed, fx),
            None => {}
        }
    }

    /// Replies whose write is durable now leave.
    pub(crate) fn settle_persisted(&mut self, fx: &mut Effects) {
        while let Some(&(sequence, address)) = self.held.by_write.first()
            && (fx.is_persisted(sequence) || !holds(Rule::DurableBeforeVisible))
        {
            let Some(held) = self.held.take(address) else { return };
            let full = matches!(held.waits_for, WaitsFor::Write { full: true, .. });
            held.leave(address, full, fx);
        }
        self.continue_draining(fx);
    }

    /// The partner has taken the record of an address: its reply leaves with the full lease.
    pub(crate) fn settle_taken(&mut self, address: Ipv4Addr, fx: &mut Effects) {
        let Some(lease) = self.table.get(address) else { return };
        let waits = |held: &Held| held.waits_for == WaitsFor::Taken { sequence: lease.sequence };
        if self.held.by_address.get(&address).is_some_and(waits)
            && let Some(held) = self.held.take(address)
        {
            held.leave(address, true, fx);
        }
    }

    /// Replies that waited for the partner long enough leave with the bounded lease, or not at all.
    pub(crate) fn settle_overdue(&mut self, fx: &mut Effects) {
        while let Some(&(until, address)) = self.held.by_time.first()
            && until <= fx.instant()
        {
            let Some(held) = self.held.take(address) else { return };
            if self.is_connected() && self.lag.missed() {
                let what = "the partner is lagging: clients get the lease that needs no answer of it";
                self.event(Code::Lagging, what, "replies missed the replication deadline", fx);
            }
            match held.waits_for {
                WaitsFor::Taken { sequence } => {
                    self.held.insert(address, Held { waits_for: WaitsFor::Write { sequence, full: false }, ..held });
                }
                WaitsFor::Answer { .. } => {
                    self.table.release_offered(address);
                    give_up_asking(held.pending, fx);
                }
                // Not among those that wait for a time.
                WaitsFor::Write { .. } => {}
            }
        }
        self.settle_persisted(fx);
    }

    /// Drops every request that waits.
    pub(crate) fn drop_held(&mut self, why: Silence, fx: &mut Effects) {
        for (address, held) in std::mem::take(&mut self.held).by_address {
            if let WaitsFor::Answer { .. } = held.waits_for {
                self.table.release_offered(address);
            }
            drop_reply(held.pending, why, fx);
        }
        self.drop_probes(why, fx);
    }

    /// Drops the requests that wait for an address to be looked for.
    pub(crate) fn drop_probes(&mut self, why: Silence, fx: &mut Effects) {
        self.probes.drop_all().for_each(|pending| drop_reply(pending, why, fx));
    }

    /// The record of a lease that its client may believe in until `expiry`, or longer if it had a longer one.
    fn bound_until(&self, expiry: Instant, wish: &Wish, fx: &Effects) -> Lease {
        let before = self.table.get(wish.address).map(|lease| fx.at_latest(lease));
        let before = before.as_deref();
        // A client that does not hear this answer goes on believing in the longer one that it had.
        let believed = before.filter(|lease| {
            lease.client == wish.client && lease.state == LeaseState::Bound && holds(Rule::LargerExpiry)
        });
        let recorded = believed.map_or(expiry, |lease| lease.expiry.max(expiry));
        Lease {
            address: wish.address,
            state: LeaseState::Bound,
            client: wish.client.clone(),
            hardware: wish.hardware,
            hostname: wish.hostname.clone(),
            expiry: recorded,
            potential_expiry: before.map_or(recorded, |lease| lease.potential_expiry.max(recorded)),
            acked_expiry: acked(before, &wish.client),
            version: before.map_or(Version::default(), |lease| lease.version),
            epoch: self.epoch,
            taken: false,
            sequence: Sequence(0),
        }
    }

    /// Asks the home for a free address. That rests on no write: the home gives it only at a version that it has itself.
    fn ask(&mut self, lease: &Lease, fx: &mut Effects) -> u64 {
        let (Some(exchange), Some(partner)) = (self.exchange.as_mut(), &self.partner) else { return 0 };
        let number = exchange.next_ask;
        exchange.next_ask += 1;
        let ask = PairMessage::Ask { number, record: lease.to_record(fx.instant()) };
        fx.send_in_order(partner, exchange.session, PeerMessage::Pair(self.name.clone(), ask));
        number
    }

    /// Whether replies wait for the partner to take their record.
    fn waits_for_partner(&self) -> bool {
        let takes = match self.state {
            State::Normal { .. } | State::CommunicationsInterrupted { .. } => self.partner.is_some(),
            State::Startup { .. } | State::Recover { .. } | State::PartnerDown { .. } | State::Leaving { .. } => false,
        };
        takes && self.is_connected() && !self.lag.is_lagging()
    }

    /// Whether promises need no bound: there is no partner, or there is proof that it does not serve.
    fn leads_freely(&self) -> bool {
        self.partner.is_none() || self.partner_down().is_some() || !holds(Rule::LeadTime)
    }

    /// The latest expiry that may be promised without the partner: `max(acked, now) + MCLT`, or what is wanted.
    fn bounded(&self, lease: Option<&Lease>, client: &ClientId, duration: Duration, fx: &Effects) -> Instant {
        let now = fx.instant();
        // How much of an old acknowledgement is left is not known while the time of a standstill is not.
        let acked = if fx.absence.doubt().is_none() { acked(lease, client) } else { Instant::NEVER };
        let lead_time = self.allowance.lead_time.map_or(self.settings.mclt, |older| older.min(self.settings.mclt));
        (now + duration).min(acked.max(now) + lead_time)
    }
}

/// The home does not answer. A client that chose our offer has nothing yet and starts again at once when it is refused,
/// instead of waiting for its own time-out (RFC 2131 section 3.1.4); no other has to hear of it.
fn give_up_asking(pending: Box<Pending>, fx: &mut Effects) {
    if pending.query.server_identifier.is_some() {
        fx.settled.push(Settled::Refused { pending, why: "the home of the address does not answer" });
    } else {
        drop_reply(pending, Silence::PartnerSlow, fx);
    }
}

/// Counts what will not be answered.
pub(super) fn drop_reply(pending: Box<Pending>, why: Silence, fx: &mut Effects) {
    fx.settled.push(Settled::Dropped { pending, why });
}

/// What the partner knows of this client's expiry.
fn acked(lease: Option<&Lease>, client: &ClientId) -> Instant {
    lease.filter(|lease| lease.client == *client).map_or(Instant::NEVER, |lease| lease.acked_expiry)
}
