//! What the partner has yet to take, and what it has taken: the exchange of one session.
//!
//! Records go in batches, in the order in which they were persisted, a few batches ahead of their acknowledgement.
//! Resynchronisation is nothing else: the first *pass* of a session is whatever the partner has not taken, which after
//! a loss is everything. Both say `ready` when their own pass is taken and the other's has arrived.

use crate::effects::Effects;
use crate::id::{Sequence, Session};
use crate::lease::record::{ClientId, Lease, LeaseRecord, LeaseState, Version};
use crate::lease::table::LeaseTable;
use crate::message::{PairMessage, Ready};
use crate::time::Instant;
use std::collections::{BTreeSet, VecDeque};
use std::net::Ipv4Addr;
use std::time::Duration;

/// Records in one batch at the most, so that one commit of the store and one message carry many leases.
pub const BATCH_RECORDS: usize = 512;

/// Batches sent ahead of their acknowledgement at the most.
const WINDOW: usize = 8;

/// One session's exchange of one relationship.
#[derive(Debug)]
pub(crate) struct Exchange {
    /// Which session.
    pub(crate) session: Session,
    /// Our last write when it began; `ready` waits until everything up to it is taken.
    pub(crate) pass_end: Sequence,
    /// Whether we have said that our pass is sent.
    pub(crate) pass_done_said: bool,
    /// Whether the partner's pass has arrived.
    pub(crate) pass_done_heard: bool,
    /// What we said when we were ready.
    pub(crate) ready_said: Option<Ready>,
    /// What the partner said when it was.
    pub(crate) ready_heard: Option<Ready>,
    /// Whether both have been in normal in this session; a session comes into step once.
    pub(crate) in_step: bool,
    /// Counts our asks.
    pub(crate) next_ask: u64,
    /// Asks for leases that are imported: nobody waits for the answer, and a late one is as good.
    pub(crate) imports: BTreeSet<u64>,
    next_batch: u64,
    cursor: Sequence,
    in_flight: VecDeque<InFlight>,
}

#[derive(Debug)]
struct InFlight {
    number: u64,
    sent_at: Instant,
    records: Vec<Sent>,
}

/// What was sent of one lease.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) address: Ipv4Addr,
    pub(crate) version: Version,
    pub(crate) client: ClientId,
    /// The expiry that the partner knows once it has taken the record; none that is in doubt here.
    pub(crate) expiry: Option<Instant>,
}

impl Sent {
    fn of(lease: &Lease, fx: &Effects) -> Self {
        let certain = lease.state == LeaseState::Bound && !fx.is_in_doubt(lease);
        Self {
            address: lease.address,
            version: lease.version,
            client: lease.client.clone(),
            expiry: certain.then_some(lease.expiry),
        }
    }
}

impl Exchange {
    /// The exchange of a session that begins now, in which everything up to `pass_end` is our pass.
    pub(crate) fn new(session: Session, pass_end: Sequence) -> Self {
        Self {
            session,
            pass_end,
            pass_done_said: false,
            pass_done_heard: false,
            ready_said: None,
            ready_heard: None,
            in_step: false,
            next_ask: 0,
            imports: BTreeSet::new(),
            next_batch: 0,
            cursor: Sequence(0),
            in_flight: VecDeque::new(),
        }
    }

    /// The next batch of what is persisted here and not sent in this session, if the window has room.
    pub(crate) fn next_batch(&mut self, table: &LeaseTable, persisted: Sequence, fx: &Effects) -> Option<PairMessage> {
        if self.in_flight.len() >= WINDOW {
            return None;
        }
        let due: Vec<(Sequence, &Lease)> =
            table.untaken_after(self.cursor).take_while(|&(at, _)| at <= persisted).take(BATCH_RECORDS).collect();
        self.cursor = due.last()?.0;
        let number = self.next_batch;
        self.next_batch += 1;
        let sent = due.iter().map(|(_, lease)| Sent::of(lease, fx)).collect();
        self.in_flight.push_back(InFlight { number, sent_at: fx.instant(), records: sent });
        let records: Vec<LeaseRecord> = due.iter().map(|(_, lease)| fx.to_record(lease)).collect();
        Some(PairMessage::Batch { number, records })
    }

    /// The records of batch `number`, which the partner has answered, and how long that took.
    pub(crate) fn acknowledged(&mut self, number: u64, now: Instant) -> Option<(Vec<Sent>, Duration)> {
        let batch = self.in_flight.pop_front_if(|batch| batch.number == number)?;
        Some((batch.records, now.since(batch.sent_at)))
    }

    /// Whether everything of our pass has been sent.
    pub(crate) fn pass_sent(&self, table: &LeaseTable) -> bool {
        table.untaken_after(self.cursor).next().is_none_or(|(at, _)| at > self.pass_end)
    }

    /// Whether the partner has taken everything of our pass.
    pub(crate) fn pass_taken(&self, table: &LeaseTable) -> bool {
        table.first_untaken().is_none_or(|first| first > self.pass_end)
    }
}

/// Whether the partner keeps up with what it must take before clients are answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Lag {
    missed: u32,
    lagging: bool,
}

impl Lag {
    /// Deadlines missed in a row before nobody waits any more.
    const PATIENCE: u32 = 3;

    /// As it begins, with so many records for the partner to take: clients do not wait for what comes behind a full copy.
    pub(crate) fn behind_by(untaken: usize) -> Self {
        Self { missed: 0, lagging: untaken > BATCH_RECORDS }
    }

    /// Whether nobody waits for the partner.
    pub(crate) fn is_lagging(self) -> bool {
        self.lagging
    }

    /// A reply's deadline passed before the partner took its record. True if the partner lags from now on.
    pub(crate) fn missed(&mut self) -> bool {
        self.missed += 1;
        let begins = !self.lagging && self.missed >= Self::PATIENCE;
        self.lagging |= begins;
        begins
    }

    /// A batch was answered after `took`, and `untaken` records are left. True if the partner has caught up.
    pub(crate) fn answered(&mut self, took: Duration, deadline: Duration, untaken: usize) -> bool {
        if took > deadline {
            return false;
        }
        self.missed = 0;
        let ends = self.lagging && untaken <= BATCH_RECORDS;
        self.lagging &= !ends;
        ends
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_waits_for_a_partner_that_has_more_than_a_batch_to_take() {
        let (took, deadline) = (Duration::from_millis(10), Duration::from_millis(200));
        assert!(!Lag::behind_by(BATCH_RECORDS).is_lagging());
        let mut lag = Lag::behind_by(BATCH_RECORDS + 1);
        assert!(lag.is_lagging());
        assert!(!lag.answered(took, deadline, BATCH_RECORDS + 1), "it is still behind");
        assert!(lag.answered(took, deadline, BATCH_RECORDS), "it has caught up");
        assert!(!lag.is_lagging());
    }
}
