//! What two nodes of the model say to each other in one session, from the first message to `ready`.

use super::node::{Node, PartnerDown, Phase};
use super::record::{Epoch, Merged, NEVER, Place, Record, State, Version, merge};
use super::{GRACE, LONGEST, MCLT, Mutation, Tick};

#[derive(Clone, Copy, Debug)]
pub(super) struct Hello {
    pub(super) partner_down: bool,
    pub(super) alone_since_normal: bool,
    pub(super) lost: Option<Tick>,
    pub(super) unbroken: bool,
    pub(super) epoch: Epoch,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Ready {
    pub(super) unbroken: bool,
    pub(super) last_epoch: Epoch,
    pub(super) last_active: usize,
    pub(super) epoch: Epoch,
}

#[derive(Clone, Debug)]
pub(super) enum Message {
    Hello(Hello),
    Update { address: usize, record: Record },
    Taken { address: usize, record: Record },
    NotTaken { address: usize, record: Record },
    PassEnd,
    Ready(Ready),
    Ask { address: usize, client: usize, number: u64, version: Version, length: Tick },
    Answer { address: usize, number: u64, record: Option<Record> },
    Switch,
    Leave,
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) number: u64,
    pub(super) partner: Option<Hello>,
    /// Records of the first pass that the partner has not taken yet.
    open: Vec<bool>,
    sent_versions: Vec<Version>,
    pass_received: bool,
    said: Option<Ready>,
    heard: Option<Ready>,
    said_leave: bool,
}

impl Node {
    pub(super) fn connect(&mut self, number: u64) {
        self.disconnect();
        let addresses = self.records.len();
        self.session = Some(Session {
            number,
            partner: None,
            open: vec![true; addresses],
            sent_versions: vec![Version::default(); addresses],
            pass_received: false,
            said: None,
            heard: None,
            said_leave: false,
        });
        for record in &mut self.records {
            record.taken = false;
        }
        let hello = self.hello();
        self.send(Message::Hello(hello));
    }

    pub(super) fn disconnect(&mut self) {
        if self.session.take().is_none() {
            return;
        }
        self.outbox.clear();
        self.asked.fill(None);
        match self.phase {
            Phase::Normal { active } => {
                self.phase = Phase::Interrupted;
                if !active {
                    self.raise_epoch(self.marks.epoch);
                }
            }
            Phase::Recover => self.phase = Phase::Startup,
            Phase::Off | Phase::Startup | Phase::Interrupted | Phase::PartnerDown | Phase::Leaving { .. } => {}
        }
    }

    pub(super) fn receive(&mut self, now: Tick, delay: Tick, message: Message) {
        self.last_heard = now;
        if self.session.is_none() {
            return;
        }
        match message {
            Message::Hello(hello) => self.receive_hello(hello),
            Message::Update { address, record } => {
                self.receive_record(now, address, record, record.received_after(delay))
            }
            Message::NotTaken { address, record } => {
                self.receive_record(now, address, record, record.received_after(delay));
            }
            Message::Taken { address, record } => self.receive_taken(address, record),
            Message::PassEnd => self.with_session(|session| session.pass_received = true),
            Message::Ready(ready) => self.with_session(|session| session.heard = Some(ready)),
            Message::Ask { address, client, number, version, length } => {
                if self.may_grant_ask(address, version, now) {
                    self.grant_ask(now, address, client, number, length);
                } else {
                    self.send(Message::Answer { address, number, record: None });
                }
            }
            Message::Answer { address, number, record } => self.receive_answer(now, delay, address, number, record),
            Message::Switch => {
                if let Phase::Normal { active: active @ false } = &mut self.phase {
                    *active = true;
                    self.raise_epoch(self.marks.epoch);
                }
            }
            Message::Leave => self.receive_leave(now),
        }
        self.advance();
    }

    fn with_session(&mut self, change: impl FnOnce(&mut Session)) {
        if let Some(session) = &mut self.session {
            change(session);
        }
    }

    fn receive_hello(&mut self, hello: Hello) {
        self.with_session(|session| session.partner = Some(hello));
        self.marks.epoch.number = self.marks.epoch.number.max(hello.epoch.number);
        if hello.partner_down {
            self.marks.must_hear_partner = true;
            self.write_marks();
        }
        match self.phase {
            Phase::Startup => self.phase = Phase::Recover,
            Phase::Interrupted | Phase::PartnerDown if hello.partner_down => {
                self.phase = Phase::Recover;
                self.waiting.clear();
            }
            Phase::Off | Phase::Recover | Phase::Normal { .. } | Phase::Interrupted => {}
            Phase::PartnerDown | Phase::Leaving { .. } => {}
        }
        if let Some(opened) = hello.lost
            && !self.hello().unbroken
        {
            self.embargo_everything(opened);
        }
        for address in 0..self.records.len() {
            let record = self.records[address];
            self.with_session(|session| session.sent_versions[address] = record.version);
            self.send_record(address);
        }
        self.send(Message::PassEnd);
    }

    fn embargo_everything(&mut self, opened: Tick) {
        let until = opened + LONGEST + MCLT + GRACE;
        self.marks.frozen = self.marks.frozen.max(until);
        for embargo in &mut self.marks.embargo {
            *embargo = (*embargo).max(until);
        }
        self.write_marks();
    }

    fn receive_record(&mut self, now: Tick, address: usize, as_sent: Record, theirs: Record) {
        self.take(now, address, theirs);
        let mine = self.records[address];
        let reply = if mine.has_taken(&as_sent, self.rules) {
            Message::Taken { address, record: as_sent }
        } else {
            Message::NotTaken { address, record: mine }
        };
        self.send_resting_on(address, reply);
    }

    fn take(&mut self, now: Tick, address: usize, theirs: Record) {
        let mine = self.records[address];
        let was_alone = self.session.as_ref().and_then(|session| session.partner).is_some_and(|p| p.alone_since_normal);
        let place = Place {
            now,
            slot: self.slot,
            is_home: self.is_home(address),
            was_alone: [self.marks.alone_since_normal, was_alone],
            rules: self.rules,
        };
        let merged = merge(place, mine, theirs);
        let raised = matches!(merged, Merged::Raise(_));
        let (Merged::Keep(mut result) | Merged::Take(mut result) | Merged::Raise(mut result)) = merged;
        result.acked = if result.client == mine.client { mine.acked } else { NEVER };
        if theirs.state == State::Bound && theirs.client == result.client {
            // The partner holds what it sent: only persisted records are sent.
            result.acked = result.acked.max(theirs.expiry);
        }
        result.taken = !raised && (result.version == theirs.version || mine.taken && result.version == mine.version);
        if result.client != mine.client || matches!(result.state, State::Free | State::Ended | State::Declined) {
            self.drop_waiting(address);
        }
        if result != mine {
            self.records[address] = result;
            self.write_record(address);
        }
        if raised {
            self.send_record(address);
        }
    }

    fn receive_taken(&mut self, address: usize, sent: Record) {
        let mine = &mut self.records[address];
        if mine.client == sent.client && sent.state == State::Bound {
            mine.acked = mine.acked.max(sent.expiry);
        }
        mine.taken |= mine.version == sent.version;
        let rules = self.rules;
        self.with_session(|session| {
            if sent.version.has_seen(session.sent_versions[address], rules) {
                session.open[address] = false;
            }
        });
    }

    fn receive_answer(&mut self, now: Tick, delay: Tick, address: usize, number: u64, record: Option<Record>) {
        let asked = self.asked[address].take_if(|asked| asked.number == number);
        let Some(record) = record else { return };
        self.receive_record(now, address, record, record.received_after(delay));
        let mine = self.records[address];
        let granted = mine.version.has_seen(record.version, self.rules) && mine.is_live(now);
        match asked.filter(|asked| granted && mine.client == asked.client) {
            Some(asked) => self.wait_for_ask(asked, address),
            None if granted && mine.client == record.client && mine.version == record.version => {
                self.end_unwanted(now, address);
            }
            None => {}
        }
    }

    pub(super) fn switch(&mut self) {
        if let Phase::Normal { active: active @ true } = &mut self.phase {
            *active = false;
            self.waiting.clear();
            self.send(Message::Switch);
        }
    }

    fn receive_leave(&mut self, now: Tick) {
        let accepts = match self.phase {
            Phase::Normal { .. } => true,
            Phase::Leaving { was_active } => was_active,
            Phase::Off | Phase::Startup | Phase::Recover | Phase::Interrupted | Phase::PartnerDown => false,
        };
        if accepts {
            self.marks.must_hear_partner = false;
            self.enter_partner_down(PartnerDown { since: now, clean: true, full_embargo: NEVER, store_lost: false });
        }
    }

    /// Goes on with the handshake as far as it can.
    pub(super) fn advance(&mut self) {
        self.say_leave();
        let Some(session) = &self.session else { return };
        let Some(partner) = session.partner else { return };
        let may = matches!(self.phase, Phase::Recover | Phase::Interrupted | Phase::PartnerDown);
        let done =
            |session: &Session| session.open.iter().zip(&self.records).all(|(&open, record)| !open || record.taken);
        if may && session.said.is_none() && session.pass_received && done(session) {
            let last = partner.partner_down || session.heard.is_some() || !self.rules.holds(Mutation::PartnerDownLast);
            if self.marks.partner_down.is_none() {
                self.say_ready();
            } else if last {
                self.end_partner_down();
            }
        }
        let Some(session) = &self.session else { return };
        let heard = session.heard.or_else(|| {
            let skipped = !self.rules.holds(Mutation::ReadyHandshake) && session.said.is_some();
            skipped.then_some(Ready {
                unbroken: false,
                last_epoch: partner.epoch,
                last_active: 0,
                epoch: partner.epoch,
            })
        });
        if let (true, Some(said), Some(heard)) = (may, session.said, heard) {
            self.enter_normal(said, heard);
        }
    }

    /// PartnerDown rights end, durably; what was granted under them must be taken before `ready`.
    fn end_partner_down(&mut self) {
        self.marks.partner_down = None;
        self.write_marks();
        if self.phase == Phase::PartnerDown {
            self.phase = Phase::Interrupted;
        }
        if self.rules.holds(Mutation::NoteAfterRightsEnd) {
            let versions: Vec<Version> = self.records.iter().map(|record| record.version).collect();
            self.with_session(|session| {
                session.open.fill(true);
                session.sent_versions = versions;
            });
        }
    }

    fn say_ready(&mut self) {
        if let Some(opened) = self.marks.lost {
            let partner = self.session.as_ref().and_then(|session| session.partner);
            if partner.is_some_and(|partner| partner.unbroken) {
                for (embargo, record) in self.marks.embargo.iter_mut().zip(&self.records) {
                    *embargo = (*embargo).max(record.potential.max(opened) + MCLT + GRACE);
                }
                self.write_marks();
            } else if self.marks.frozen < opened + LONGEST + MCLT + GRACE {
                self.embargo_everything(opened);
            }
        }
        let ready = Ready {
            unbroken: self.unbroken,
            last_epoch: self.marks.last_epoch,
            last_active: self.marks.last_active,
            epoch: self.marks.epoch,
        };
        self.with_session(|session| session.said = Some(ready));
        self.send(Message::Ready(ready));
    }

    fn enter_normal(&mut self, said: Ready, heard: Ready) {
        let partner = 1 - self.slot;
        let active = match (said.unbroken, heard.unbroken) {
            (true, false) => self.slot,
            (false, true) => partner,
            (true, true) if said.last_epoch >= heard.last_epoch => said.last_active,
            (true, true) => heard.last_active,
            (false, false) => 0,
        };
        self.phase = Phase::Normal { active: active == self.slot };
        let number = said.epoch.number.max(heard.epoch.number) + 1;
        let epoch = Epoch { number, slot: active };
        self.marks.epoch = epoch;
        self.marks.last_epoch = epoch;
        self.marks.last_active = active;
        self.marks.must_hear_partner = false;
        self.marks.alone_since_normal = false;
        self.marks.lost = None;
        self.unbroken = true;
        if active != self.slot {
            self.waiting.clear();
        }
        self.write_marks();
    }

    fn say_leave(&mut self) {
        let Phase::Leaving { .. } = self.phase else { return };
        let all_taken = self.records.iter().all(|record| record.taken) || !self.rules.holds(Mutation::LeaveAllTaken);
        if let Some(session) = &mut self.session
            && all_taken
            && !session.said_leave
            && session.said.is_some()
        {
            session.said_leave = true;
            self.send(Message::Leave);
        }
    }
}
