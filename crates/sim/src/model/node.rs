//! One node of the model: what it keeps, what it grants, and how its state changes.

use super::record::{Epoch, NEVER, Record, State, Version};
use super::session::{Hello, Message, Session};
use super::{GRACE, LONGEST, MCLT, Mutation, Rules, Tick};
use std::collections::VecDeque;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    Off,
    Startup,
    Recover,
    Normal { active: bool },
    Interrupted,
    PartnerDown,
    Leaving { was_active: bool },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct PartnerDown {
    /// From when the partner is known not to serve.
    pub(super) since: Tick,
    /// The partner left cleanly: everything it granted was taken.
    pub(super) clean: bool,
    /// A marked node: until then it gives nothing to a client that does not hold it.
    pub(super) full_embargo: Tick,
    /// Nor extends anything: its store was lost as well.
    pub(super) store_lost: bool,
}

/// The durable state beside the leases.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Marks {
    pub(super) partner_down: Option<PartnerDown>,
    pub(super) must_hear_partner: bool,
    pub(super) alone_since_normal: bool,
    /// When the empty store was opened, until Normal is reached.
    pub(super) lost: Option<Tick>,
    /// Per address: no allocation at home, no grant to the partner, no relinquishing before.
    pub(super) embargo: Vec<Tick>,
    /// No lease that is over is extended before.
    pub(super) frozen: Tick,
    pub(super) epoch: Epoch,
    pub(super) last_active: usize,
    pub(super) last_epoch: Epoch,
}

#[derive(Clone, Debug)]
pub(super) struct Disk {
    pub(super) records: Vec<Record>,
    pub(super) marks: Marks,
}

impl Disk {
    pub(super) fn new(addresses: usize) -> Self {
        let marks = Marks {
            partner_down: None,
            must_hear_partner: false,
            alone_since_normal: false,
            lost: None,
            embargo: vec![NEVER; addresses],
            frozen: NEVER,
            epoch: Epoch::default(),
            last_active: 0,
            last_epoch: Epoch::default(),
        };
        Self { records: vec![Record::NEW; addresses], marks }
    }

    pub(super) fn lost(addresses: usize, opened: Tick) -> Self {
        let mut disk = Self::new(addresses);
        disk.marks.lost = Some(opened);
        disk.marks.must_hear_partner = true;
        disk
    }
}

enum Write {
    Record(usize, Record),
    Marks(Marks),
}

/// An answer held until its record is persisted, and taken or overdue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    pub(super) client: usize,
    pub(super) exchange: u64,
    pub(super) address: usize,
    pub(super) sequence: u64,
    pub(super) wanted: Tick,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Reply {
    pub(super) client: usize,
    pub(super) exchange: u64,
    pub(super) address: usize,
    pub(super) until: Tick,
    pub(super) bounded: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) client: usize,
    pub(super) exchange: u64,
    pub(super) number: u64,
    /// The home grants later than this, so what runs from here ends there first.
    pub(super) until: Tick,
}

pub(super) struct Node {
    pub(super) slot: usize,
    pub(super) rules: Rules,
    pub(super) phase: Phase,
    pub(super) disk: Disk,
    pub(super) records: Vec<Record>,
    pub(super) marks: Marks,
    record_sequence: Vec<u64>,
    marks_sequence: u64,
    writes: VecDeque<(u64, Write)>,
    issued: u64,
    persisted: u64,
    pub(super) outbox: VecDeque<(u64, Message)>,
    pub(super) session: Option<Session>,
    pub(super) waiting: Vec<Waiting>,
    pub(super) asked: Vec<Option<Asked>>,
    /// Ran without a restart, in Normal or Interrupted, since the last Normal.
    pub(super) unbroken: bool,
    pub(super) last_heard: Tick,
}

impl Node {
    pub(super) fn new(slot: usize, addresses: usize, rules: Rules) -> Self {
        let disk = Disk::new(addresses);
        Self {
            slot,
            rules,
            phase: Phase::Off,
            records: disk.records.clone(),
            marks: disk.marks.clone(),
            disk,
            record_sequence: vec![0; addresses],
            marks_sequence: 0,
            writes: VecDeque::new(),
            issued: 0,
            persisted: 0,
            outbox: VecDeque::new(),
            session: None,
            waiting: Vec::new(),
            asked: vec![None; addresses],
            unbroken: false,
            last_heard: NEVER,
        }
    }

    pub(super) fn is_home(&self, address: usize) -> bool {
        address & 1 == self.slot
    }

    /// Forgets everything but the disk. What was under way to the disk is lost.
    pub(super) fn crash(&mut self) {
        let disk = self.disk.clone();
        let (slot, rules, issued) = (self.slot, self.rules, self.issued);
        *self = Self { issued, persisted: issued, ..Self::new(slot, disk.records.len(), rules) };
        self.records = disk.records.iter().map(|&record| Record { taken: false, ..record }).collect();
        self.marks = disk.marks.clone();
        self.disk = disk;
    }

    /// Resumes without having heard the partner, unless a mark forbids it.
    pub(super) fn start_alone(&mut self) {
        if self.marks.must_hear_partner && self.rules.holds(Mutation::MustHearPartner) {
            return;
        }
        self.phase = if self.marks.partner_down.is_some() { Phase::PartnerDown } else { Phase::Interrupted };
        self.raise_epoch(self.marks.epoch);
    }

    /// An operator's promise that the partner is off since `since`.
    pub(super) fn promise(&mut self, since: Tick) {
        let since = since.max(self.last_heard);
        let marked = self.marks.must_hear_partner && self.rules.holds(Mutation::FullEmbargo);
        let full_embargo = if marked { since + LONGEST + MCLT + GRACE } else { NEVER };
        let store_lost = self.marks.lost.is_some() && marked;
        self.enter_partner_down(PartnerDown { since, clean: false, full_embargo, store_lost });
    }

    pub(super) fn enter_partner_down(&mut self, proof: PartnerDown) {
        self.phase = Phase::PartnerDown;
        self.unbroken = false;
        let epoch = self.marks.epoch;
        self.marks.alone_since_normal = true;
        self.marks.partner_down = Some(proof);
        self.raise_epoch(epoch);
    }

    /// Stops serving for good, durably marked before the partner hears of it.
    pub(super) fn leave(&mut self, now: Tick) {
        let Phase::Normal { active } = self.phase else { return };
        if self.is_under_embargo(now) {
            return;
        }
        self.phase = Phase::Leaving { was_active: active };
        self.waiting.clear();
        if self.rules.holds(Mutation::LeaveMark) {
            self.marks.must_hear_partner = true;
            self.write_marks();
        }
    }

    pub(super) fn is_under_embargo(&self, now: Tick) -> bool {
        self.marks.embargo.iter().any(|&until| until > now) && self.rules.holds(Mutation::Embargo)
    }

    fn is_embargoed(&self, address: usize, now: Tick) -> bool {
        self.marks.embargo[address] > now && self.rules.holds(Mutation::Embargo)
    }

    pub(super) fn raise_epoch(&mut self, above: Epoch) {
        self.marks.epoch = Epoch { number: above.number.max(self.marks.epoch.number) + 1, slot: self.slot };
        self.write_marks();
    }

    pub(super) fn serves(&self) -> bool {
        let role = match self.phase {
            Phase::Normal { active } => active,
            Phase::Interrupted | Phase::PartnerDown => true,
            Phase::Off | Phase::Startup | Phase::Recover | Phase::Leaving { .. } => false,
        };
        role && self.marks_are_durable()
    }

    pub(super) fn marks_are_durable(&self) -> bool {
        self.persisted >= self.marks_sequence
    }

    pub(super) fn is_connected(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.partner.is_some())
    }

    // Writing and sending

    pub(super) fn write_marks(&mut self) {
        self.issued += 1;
        self.marks_sequence = self.issued;
        self.writes.push_back((self.issued, Write::Marks(self.marks.clone())));
    }

    pub(super) fn write_record(&mut self, address: usize) {
        self.issued += 1;
        self.record_sequence[address] = self.issued;
        self.writes.push_back((self.issued, Write::Record(address, self.records[address])));
    }

    /// One more write reaches the disk; `false` if there is none.
    pub(super) fn persist(&mut self) -> bool {
        let Some((sequence, write)) = self.writes.pop_front() else { return false };
        match write {
            Write::Record(address, record) => self.disk.records[address] = record,
            Write::Marks(marks) => self.disk.marks = marks,
        }
        self.persisted = sequence;
        true
    }

    /// The next message that may leave: what it rests on is persisted.
    pub(super) fn next_message(&mut self) -> Option<Message> {
        let &(needs, _) = self.outbox.front()?;
        if needs > self.persisted && self.rules.holds(Mutation::PersistBeforeSend) {
            return None;
        }
        self.outbox.pop_front().map(|(_, message)| message)
    }

    pub(super) fn send(&mut self, message: Message) {
        self.outbox.push_back((self.marks_sequence, message));
    }

    pub(super) fn send_resting_on(&mut self, address: usize, message: Message) {
        self.outbox.push_back((self.record_sequence[address], message));
    }

    pub(super) fn send_record(&mut self, address: usize) {
        if self.is_connected() {
            self.send_resting_on(address, Message::Update { address, record: self.records[address] });
        }
    }

    /// A change of this node's own.
    fn change(&mut self, address: usize, change: impl FnOnce(&mut Record)) {
        let epoch = self.marks.epoch;
        let slot = self.slot;
        // An empty store counts from the clock, or its counters would repeat versions that the partner has seen.
        let floor = self.marks.lost.filter(|_| self.rules.holds(Mutation::LostCountsFromClock));
        let floor = floor.map_or(0, |opened| 1_000_000 + u32::try_from(opened).unwrap_or(0));
        let record = &mut self.records[address];
        change(record);
        record.version = record.version.at_least(slot, floor);
        record.version = record.version.raised(slot);
        record.epoch = epoch;
        record.taken = false;
        record.potential = record.potential.max(record.expiry);
        self.write_record(address);
        self.send_record(address);
    }

    // What clients ask for

    pub(super) fn request(&mut self, now: Tick, client: usize, exchange: u64, wish: Option<usize>, length: Tick) {
        if !self.serves() {
            return;
        }
        let known = |record: &Record| record.may_be_extended_by(client, now);
        let address = wish.filter(|&address| known(&self.records[address]));
        let address = address.or_else(|| (0..self.records.len()).find(|&address| known(&self.records[address])));
        match address {
            Some(address) => self.extend(now, client, exchange, address, length),
            None => self.allocate(now, client, exchange, wish, length),
        }
    }

    fn extend(&mut self, now: Tick, client: usize, exchange: u64, address: usize, length: Tick) {
        let record = self.records[address];
        let over = !record.is_live(now);
        if over && self.marks.frozen > now && self.rules.holds(Mutation::Frozen) {
            return;
        }
        if let Some(proof) = self.marks.partner_down
            && proof.full_embargo > now
            && (proof.store_lost || record.acked <= now)
        {
            return;
        }
        let wanted = self.grantable(now, record.acked, length);
        let unchanged = record.state == State::Bound && record.expiry >= wanted;
        if unchanged && !self.rules.holds(Mutation::AckRaisesVersion) {
            return self.wait(client, exchange, address, wanted);
        }
        let keeps = self.rules.holds(Mutation::ExtensionKeepsLarger);
        self.change(address, |record| {
            let floor = if keeps && record.state == State::Bound { record.expiry } else { NEVER };
            record.state = State::Bound;
            record.expiry = wanted.max(floor);
        });
        self.wait(client, exchange, address, wanted);
    }

    /// The expiry to record: the full one if the partner can take it first or is down, else what may be told alone.
    fn grantable(&self, now: Tick, acked: Tick, length: Tick) -> Tick {
        let full = now + length;
        if self.is_connected() || self.phase == Phase::PartnerDown || !self.rules.holds(Mutation::LeadTime) {
            full
        } else {
            full.min(acked.max(now) + MCLT)
        }
    }

    fn wait(&mut self, client: usize, exchange: u64, address: usize, wanted: Tick) {
        let sequence = self.record_sequence[address];
        self.waiting.push(Waiting { client, exchange, address, sequence, wanted });
    }

    fn allocate(&mut self, now: Tick, client: usize, exchange: u64, wish: Option<usize>, length: Tick) {
        let addresses = self.records.len();
        let start = wish.unwrap_or(client);
        for address in (0..addresses).map(|i| (start + i) % addresses) {
            if self.may_allocate(address, now) {
                let wanted = self.grantable(now, NEVER, length);
                self.change(address, |record| {
                    *record = Record { state: State::Bound, client, expiry: wanted, acked: NEVER, ..*record };
                });
                return self.wait(client, exchange, address, wanted);
            }
            let may_ask = matches!(self.phase, Phase::Normal { .. }) && !self.is_home(address);
            let may_ask = may_ask && self.is_connected() && self.asked[address].is_none();
            if may_ask && self.records[address].state == State::Free {
                self.asked[address] = Some(Asked { client, exchange, number: exchange, until: now + length });
                let version = self.records[address].version;
                return self
                    .send_resting_on(address, Message::Ask { address, client, number: exchange, version, length });
            }
        }
    }

    /// Whether this node may give `address` to a client that does not hold it, alone.
    fn may_allocate(&self, address: usize, now: Tick) -> bool {
        let record = &self.records[address];
        if self.is_embargoed(address, now) {
            return false;
        }
        if let Some(proof) = self.marks.partner_down.filter(|_| self.phase == Phase::PartnerDown) {
            if proof.full_embargo > now {
                return false;
            }
            let own = self.is_home(address) && record.state == State::Free;
            let mclt = if self.rules.holds(Mutation::PartnerDownMclt) { MCLT } else { 0 };
            let grace = if self.rules.holds(Mutation::WaitCoversTransit) { GRACE } else { 0 };
            let mclt = if proof.clean { 0 } else { mclt };
            let after = if proof.clean { record.potential } else { record.potential.max(proof.since) } + mclt + grace;
            let waited = after <= now || !self.rules.holds(Mutation::PartnerDownWait);
            return own || (waited && !record.is_live(now));
        }
        let ours = self.is_home(address) || !self.rules.holds(Mutation::Home);
        let free = record.state == State::Free || (record.is_over(now) && !self.rules.holds(Mutation::Relinquish));
        ours && free
    }

    /// The partner asks for an address at home here.
    pub(super) fn may_grant_ask(&self, address: usize, version: Version, now: Tick) -> bool {
        let record = &self.records[address];
        matches!(self.phase, Phase::Normal { .. })
            && self.marks_are_durable()
            && self.is_home(address)
            && record.state == State::Free
            && (record.version == version || !self.rules.holds(Mutation::AskSameVersion))
            && !self.is_embargoed(address, now)
    }

    pub(super) fn grant_ask(&mut self, now: Tick, address: usize, client: usize, number: u64, length: Tick) {
        self.change(address, |record| {
            *record = Record { state: State::Bound, client, expiry: now + length, acked: NEVER, ..*record };
        });
        let record = self.records[address];
        self.send_resting_on(address, Message::Answer { address, number, record: Some(record) });
    }

    /// The client of an ask was given up on, but the home recorded a lease for it.
    pub(super) fn end_unwanted(&mut self, now: Tick, address: usize) {
        self.change(address, |record| {
            record.state = State::Ended;
            record.expiry = record.expiry.min(now);
        });
    }

    pub(super) fn wait_for_ask(&mut self, asked: Asked, address: usize) {
        let wanted = self.records[address].expiry.min(asked.until);
        self.wait(asked.client, asked.exchange, address, wanted);
    }

    pub(super) fn release(&mut self, now: Tick, client: usize, address: usize, declined: bool) {
        let record = self.records[address];
        if !self.serves() || record.state != State::Bound || record.client != client {
            return;
        }
        self.drop_waiting(address);
        let keeps = self.rules.holds(Mutation::PotentialExpiryKept);
        self.change(address, |record| {
            record.state = if declined { State::Declined } else { State::Ended };
            record.expiry = if declined { now + MCLT } else { record.expiry.min(now) };
            if !keeps {
                record.potential = record.expiry;
            }
        });
    }

    /// Gives up the right to extend a lease that is over, so that its home may give its address away.
    pub(super) fn relinquish(&mut self, now: Tick, address: usize) {
        let serving = matches!(self.phase, Phase::Normal { .. } | Phase::Interrupted | Phase::PartnerDown);
        if !serving || self.is_home(address) || self.is_embargoed(address, now) || !self.marks_are_durable() {
            return;
        }
        if self.records[address].is_over(now) {
            self.drop_waiting(address);
            self.change(address, |record| record.state = State::Free);
        }
    }

    pub(super) fn drop_waiting(&mut self, address: usize) {
        if self.rules.holds(Mutation::WaitingDropped) {
            self.waiting.retain(|waiting| waiting.address != address);
        }
    }

    /// The answers that may leave now; `overdue`: the deadline of those that wait for the partner has passed.
    pub(super) fn replies(&mut self, now: Tick, overdue: bool) -> Vec<Reply> {
        if !self.serves() {
            return Vec::new();
        }
        let mut replies = Vec::new();
        let alone = !self.is_connected();
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.retain(|w| {
            let record = &self.records[w.address];
            if w.sequence > self.persisted && self.rules.holds(Mutation::DurableBeforeVisible) {
                return true;
            }
            let taken = record.client == w.client && record.acked >= w.wanted;
            if !taken && !alone && !overdue {
                return true;
            }
            let unbounded = taken || self.phase == Phase::PartnerDown || !self.rules.holds(Mutation::LeadTime);
            let until = if unbounded { w.wanted } else { w.wanted.min(record.acked.max(now) + MCLT) };
            let bounded = self.phase != Phase::PartnerDown;
            if until > now {
                replies.push(Reply { client: w.client, exchange: w.exchange, address: w.address, until, bounded });
            }
            false
        });
        self.waiting = waiting;
        replies
    }

    pub(super) fn owes(&self, exchange: u64) -> bool {
        let asked = self.asked.iter().flatten().any(|asked| asked.exchange == exchange);
        asked || self.waiting.iter().any(|waiting| waiting.exchange == exchange)
    }

    pub(super) fn hello(&self) -> Hello {
        Hello {
            partner_down: self.marks.partner_down.is_some(),
            alone_since_normal: self.marks.alone_since_normal,
            lost: self.marks.lost,
            unbroken: self.unbroken,
            epoch: self.marks.epoch,
        }
    }
}
