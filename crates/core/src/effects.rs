//! What one call of the core brings about, and the gate that makes it durable before it is visible.
//!
//! A message to a partner waits until every write that came before it is persisted, and leaves in order: nobody has to
//! remember which record a message rests on. Heartbeats do not wait, as they say only what is persisted. Batches and asks
//! wait for no write either, and overtake answers to the partner's own batches and asks, which wait for theirs; what says
//! where this node stands (a hello, a state) they do not overtake.

use crate::absence::Absence;
use crate::event::{Code, Event};
use crate::failover::granting::Settled;
use crate::id::{Epoch, NodeName, RelationshipName, Sequence, Session};
use crate::input::Request;
use crate::lease::record::{Lease, LeaseRecord, LeaseState};
use crate::message::{PairMessage, PeerMessage};
use crate::output::{CommandResult, Outgoing, Outputs, StoredRecord, Write};
use crate::time::{Instant, Now};
use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Events of one kind that clients can cause in a second.
const EVENTS_PER_SECOND: u32 = 5;

/// Where everything that must happen is collected.
#[derive(Debug)]
pub(crate) struct Effects {
    /// This turn's reading of the clocks.
    pub(crate) now: Now,
    /// What is known of the time in which the node did not run.
    pub(crate) absence: Absence,
    /// The last write that the store held when it was opened.
    found: Sequence,
    /// Whether the store takes writes.
    pub(crate) store_works: bool,
    /// Everything up to here is durable.
    pub(crate) persisted: Sequence,
    last: Sequence,
    gated: VecDeque<(Sequence, Gated)>,
    pub(crate) outputs: Outputs,
    /// Replies that may leave now.
    pub(crate) settled: Vec<Settled>,
    /// Events that clients caused in the current second, by kind.
    recent: BTreeMap<Code, (Instant, u32)>,
}

#[derive(Debug)]
enum Gated {
    Message(Outgoing),
    Answer(Request, CommandResult),
}

impl Effects {
    pub(crate) fn new(now: Now, last: Sequence) -> Self {
        Self {
            now,
            absence: Absence::default(),
            found: last,
            store_works: true,
            persisted: last,
            last,
            gated: VecDeque::new(),
            outputs: Outputs::default(),
            settled: Vec::new(),
            recent: BTreeMap::new(),
        }
    }

    /// The instant of this turn, by which promises are made and timers run.
    pub(crate) fn instant(&self) -> Instant {
        self.now.instant
    }

    /// An instant that has surely been reached, by which an address may be given to someone else.
    pub(crate) fn certain(&self) -> Instant {
        self.now.instant - self.doubt()
    }

    /// Time that stored instants count and that may not have passed.
    pub(crate) fn doubt(&self) -> Duration {
        self.absence.doubt().unwrap_or_default()
    }

    /// Whether a lease was stored by an earlier process, so that its times are as right as what is known of the absence.
    pub(crate) fn is_from_before(&self, lease: &Lease) -> bool {
        lease.sequence <= self.found
    }

    /// Whether the times of a lease may be wrong: it was stored by an earlier process, and how long ago is not known.
    pub(crate) fn is_in_doubt(&self, lease: &Lease) -> bool {
        self.absence.doubt().is_some() && self.is_from_before(lease)
    }

    /// A lease with its times as late as they may be. Whatever is made of one that an earlier process stored, or said of
    /// it, starts from here: no promise may come to look shorter than it is.
    pub(crate) fn at_latest<'a>(&self, lease: &'a Lease) -> Cow<'a, Lease> {
        let doubt = self.absence.doubt().filter(|_| self.is_from_before(lease));
        let Some(doubt) = doubt else { return Cow::Borrowed(lease) };
        let most = self.instant() + self.absence.longest_promise;
        let later = |instant: Instant| instant.max((instant + doubt).min(most));
        // A declined address was promised to nobody, and a time of trial that may be over refuses no client.
        let declined = lease.state == LeaseState::Declined;
        Cow::Owned(Lease {
            expiry: if declined { lease.expiry } else { later(lease.expiry) },
            potential_expiry: later(lease.potential_expiry),
            acked_expiry: Instant::NEVER,
            ..lease.clone()
        })
    }

    /// The lease as the partner is told of it.
    pub(crate) fn to_record(&self, lease: &Lease) -> LeaseRecord {
        LeaseRecord { in_doubt: self.is_in_doubt(lease), ..self.at_latest(lease).to_record(self.instant()) }
    }

    /// The number of the last write.
    pub(crate) fn last(&self) -> Sequence {
        self.last
    }

    /// Later writes have higher numbers than this.
    pub(crate) fn skip_to(&mut self, sequence: Sequence) {
        self.last = self.last.max(sequence);
    }

    /// Whether a write is durable.
    pub(crate) fn is_persisted(&self, sequence: Sequence) -> bool {
        sequence <= self.persisted
    }

    /// Numbers a record and has it stored.
    pub(crate) fn write(&mut self, mut record: StoredRecord) -> Sequence {
        self.last = Sequence(self.last.0 + 1);
        match &mut record {
            StoredRecord::Lease(_, lease) => lease.sequence = self.last,
            StoredRecord::Relationship(record) => record.sequence = self.last,
            StoredRecord::Node(record) => record.sequence = self.last,
            StoredRecord::Configuration(record) => record.sequence = self.last,
        }
        self.outputs.writes.push(Write { sequence: self.last, record });
        self.last
    }

    /// Numbers a lease and has it stored; returns it with its number.
    pub(crate) fn write_lease(&mut self, relationship: &RelationshipName, mut lease: Lease) -> Lease {
        lease.sequence = self.write(StoredRecord::Lease(relationship.clone(), lease.clone()));
        lease
    }

    /// Sends what rests on nothing but what is persisted already.
    pub(crate) fn send_now(&mut self, to: &NodeName, session: Session, message: PeerMessage) {
        self.outputs.messages.push(Outgoing { to: to.clone(), session, message });
    }

    /// Sends what rests on nothing but what is persisted already, and overtakes only answers that wait for a write.
    pub(crate) fn send_in_order(&mut self, to: &NodeName, session: Session, message: PeerMessage) {
        let waits = |gated: &Gated| matches!(gated, Gated::Message(before) if before.to == *to && !before.message.may_be_overtaken());
        if self.gated.iter().any(|(_, gated)| waits(gated)) {
            self.gated.push_back((self.persisted, Gated::Message(Outgoing { to: to.clone(), session, message })));
        } else {
            self.send_now(to, session, message);
        }
    }

    /// Sends once everything written so far is durable.
    pub(crate) fn send(&mut self, to: &NodeName, session: Session, message: PeerMessage) {
        self.gate(Gated::Message(Outgoing { to: to.clone(), session, message }));
    }

    /// Sends a message of one relationship once everything written so far is durable.
    pub(crate) fn send_pair(&mut self, to: &NodeName, session: Session, pair: &RelationshipName, message: PairMessage) {
        self.send(to, session, PeerMessage::Pair(pair.clone(), message));
    }

    /// Answers an operator once everything written so far is durable.
    pub(crate) fn answer(&mut self, request: Request, result: CommandResult) {
        self.gate(Gated::Answer(request, result));
    }

    /// Tells operators.
    pub(crate) fn event(
        &mut self,
        code: Code,
        pair: Option<(&RelationshipName, Epoch)>,
        what: impl Into<String>,
        evidence: impl Into<String>,
    ) {
        if code.is_caused_by_clients() && self.is_too_often(code) {
            return;
        }
        self.outputs.events.push(Event {
            code,
            relationship: pair.map(|(name, _)| name.clone()),
            epoch: pair.map(|(_, epoch)| epoch),
            what: what.into(),
            evidence: evidence.into(),
            cause: String::new(),
        });
    }

    /// Whether so many events of this kind have come in this second that no more are told: a flood from clients must
    /// not become one of events.
    fn is_too_often(&mut self, code: Code) -> bool {
        let now = self.now.instant;
        let (since, count) = self.recent.entry(code).or_insert((now, 0));
        if *since + Duration::from_secs(1) <= now {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        *count > EVENTS_PER_SECOND
    }

    /// Ends the session with a peer.
    pub(crate) fn disconnect(&mut self, peer: &NodeName) {
        if !self.outputs.disconnects.contains(peer) {
            self.outputs.disconnects.push(peer.clone());
        }
    }

    /// Everything up to `sequence` is durable: what waited for it leaves.
    pub(crate) fn persist(&mut self, sequence: Sequence) {
        self.persisted = self.persisted.max(sequence);
        while let Some((_, gated)) = self.gated.pop_front_if(|(after, _)| *after <= self.persisted) {
            match gated {
                Gated::Message(message) => self.outputs.messages.push(message),
                Gated::Answer(request, result) => self.outputs.answers.push((request, result)),
            }
        }
    }

    fn gate(&mut self, gated: Gated) {
        self.gated.push_back((self.last, gated));
        self.persist(self.persisted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Incarnation;
    use crate::message::{Heartbeat, Hello};
    use crate::stored::NodeRecord;
    use crate::time::Wall;

    fn hello() -> PeerMessage {
        let (incarnation, wall) = (Incarnation(1), Wall(0));
        let revision = crate::id::Revision { number: 1, node: "a".into() };
        let (server_identifiers, pairs) = (vec![], vec![]);
        let hello =
            Hello { incarnation, wall, remembered: None, heard: None, server_identifiers, pairs, revision, digest: 0 };
        PeerMessage::Hello(hello)
    }

    fn heartbeat() -> PeerMessage {
        let persisted = Sequence(0);
        PeerMessage::Heartbeat(Heartbeat {
            number: 0,
            echo: None,
            wall: Wall(0),
            clock: Instant(0),
            persisted,
            pulses: vec![],
        })
    }

    fn write(fx: &mut Effects) {
        fx.write(StoredRecord::Node(NodeRecord {
            node: "a".into(),
            incarnations: vec![],
            peers: vec![],
            last_running: Wall(0),
            last_running_at: Instant(0),
            clock_zero: Instant(0),
            clock_confirmed: false,
            doubt: None,
            revision: None,
            sequence: Sequence(0),
        }));
    }

    fn sent(fx: &mut Effects) -> Vec<PeerMessage> {
        std::mem::take(&mut fx.outputs.messages).into_iter().map(|outgoing| outgoing.message).collect()
    }

    #[test]
    fn a_batch_does_not_overtake_the_hello_of_its_session() {
        let mut fx = Effects::new(Now { instant: Instant(0), wall: Wall(0) }, Sequence(6));
        write(&mut fx);
        let partner = NodeName::from("b");
        let batch = PeerMessage::Pair("office".into(), PairMessage::Batch { number: 0, records: vec![] });
        fx.send(&partner, Session(1), hello());
        fx.send_in_order(&partner, Session(1), batch.clone());
        fx.send_now(&partner, Session(1), heartbeat());
        assert_eq!(sent(&mut fx), [heartbeat()]);
        fx.persist(Sequence(7));
        assert_eq!(sent(&mut fx), [hello(), batch.clone()]);
        fx.send_in_order(&partner, Session(1), batch.clone());
        assert_eq!(sent(&mut fx), [batch]);
    }

    #[test]
    fn a_batch_overtakes_an_acknowledgement_that_waits_and_not_a_state() {
        let mut fx = Effects::new(Now { instant: Instant(0), wall: Wall(0) }, Sequence(6));
        let partner = NodeName::from("b");
        let pair = |message| PeerMessage::Pair("office".into(), message);
        let batch = pair(PairMessage::Batch { number: 0, records: vec![] });
        let ack = pair(PairMessage::Ack { number: 0, refused: vec![] });
        write(&mut fx);
        fx.send(&partner, Session(1), ack.clone());
        fx.send_in_order(&partner, Session(1), batch.clone());
        assert_eq!(sent(&mut fx), std::slice::from_ref(&batch));
        fx.send(&partner, Session(1), pair(PairMessage::PassDone));
        fx.send_in_order(&partner, Session(1), batch.clone());
        assert_eq!(sent(&mut fx), []);
        fx.persist(Sequence(7));
        assert_eq!(sent(&mut fx), [ack, pair(PairMessage::PassDone), batch]);
    }
}
