//! The store of a simulated node: what is durable, and what is on its way there.

use standfast_core::id::{RelationshipName, Sequence};
use standfast_core::input::Identity;
use standfast_core::output::{StoredRecord, Write};
use standfast_core::stored::{Embargo, Stored};
use standfast_core::time::Instant;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::Ipv4Addr;

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Key {
    Node,
    Relationship(RelationshipName),
    Lease(RelationshipName, Ipv4Addr),
}

/// Durable records, each with its times as wall time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Durable {
    pub(crate) records: BTreeMap<Key, StoredRecord>,
    pub(crate) sequence: Sequence,
}

#[derive(Debug, Default)]
pub(crate) struct Disk {
    pub(crate) durable: Durable,
    /// Older states, to roll back to.
    pub(crate) backups: Vec<Durable>,
    /// Not durable yet, each with what turns its instants into wall time.
    waiting: VecDeque<(Write, i64)>,
    /// How many of those are being committed.
    committing: usize,
    pub(crate) fails: bool,
    /// Leases whose records cannot be read until they are written again.
    pub(crate) unreadable: BTreeSet<(RelationshipName, Ipv4Addr)>,
}

impl Disk {
    pub(crate) fn accept(&mut self, writes: Vec<Write>, to_wall: i64) {
        self.waiting.extend(writes.into_iter().map(|write| (write, to_wall)));
    }

    /// Begins a commit of everything that waits, unless one is under way or there is nothing.
    pub(crate) fn begin_commit(&mut self) -> bool {
        if self.committing > 0 || self.waiting.is_empty() || self.fails {
            return false;
        }
        self.committing = self.waiting.len();
        true
    }

    /// The commit under way is done: what it made durable.
    pub(crate) fn end_commit(&mut self) -> Vec<Write> {
        let count = std::mem::take(&mut self.committing);
        self.make_durable(count)
    }

    /// Power is cut: of the commit under way, the first `kept` writes are durable, and the rest is lost.
    pub(crate) fn cut_power(&mut self, kept: usize) -> Vec<Write> {
        let count = std::mem::take(&mut self.committing).min(kept);
        let written = self.make_durable(count);
        self.waiting.clear();
        written
    }

    /// A clean end: everything is written.
    pub(crate) fn flush(&mut self) -> Vec<Write> {
        self.committing = 0;
        self.make_durable(self.waiting.len())
    }

    fn make_durable(&mut self, count: usize) -> Vec<Write> {
        let mut written = Vec::with_capacity(count);
        for _ in 0..count {
            let Some((write, to_wall)) = self.waiting.pop_front() else { break };
            self.durable.sequence = write.sequence;
            if let StoredRecord::Lease(name, lease) = &write.record {
                self.unreadable.remove(&(name.clone(), lease.address));
            }
            self.durable.records.insert(key_of(&write.record), shifted(write.record.clone(), to_wall));
            written.push(write);
        }
        written
    }

    /// What a process finds that starts now; `to_wall` turns its instants into wall time.
    pub(crate) fn load(&self, to_wall: i64) -> Stored {
        let unreadable = self.unreadable.iter().cloned().collect();
        let mut stored = Stored { sequence: self.durable.sequence, unreadable, ..Stored::default() };
        for record in self.durable.records.values() {
            match shifted(record.clone(), -to_wall) {
                StoredRecord::Node(record) => stored.node = Some(record),
                StoredRecord::Relationship(record) => stored.relationships.push(record),
                StoredRecord::Lease(name, lease) => {
                    if !self.unreadable.contains(&(name.clone(), lease.address)) {
                        stored.leases.push((name, lease));
                    }
                }
            }
        }
        stored
    }

    /// Whether a process that starts on it starts a new cluster.
    pub(crate) fn is_new(&self, identity: &Identity) -> bool {
        identity.new_cluster && self.durable.records.is_empty()
    }
}

fn key_of(record: &StoredRecord) -> Key {
    match record {
        StoredRecord::Node(_) => Key::Node,
        StoredRecord::Relationship(record) => Key::Relationship(record.relationship.clone()),
        StoredRecord::Lease(name, lease) => Key::Lease(name.clone(), lease.address),
    }
}

fn shifted(record: StoredRecord, by: i64) -> StoredRecord {
    let shift = |instant: Instant| {
        if instant.0 <= Instant::NEVER.0 / 2 { instant } else { Instant(instant.0.saturating_add(by)) }
    };
    match record {
        StoredRecord::Node(record) => StoredRecord::Node(record),
        StoredRecord::Lease(name, mut lease) => {
            lease.expiry = shift(lease.expiry);
            lease.potential_expiry = shift(lease.potential_expiry);
            lease.acked_expiry = shift(lease.acked_expiry);
            StoredRecord::Lease(name, lease)
        }
        StoredRecord::Relationship(mut record) => {
            record.since = shift(record.since);
            record.proof = record.proof.map(|(proof, from)| (proof, shift(from)));
            record.paused_until = record.paused_until.map(shift);
            record.embargo = record.embargo.map(|embargo| match embargo {
                Embargo::UntilSynced => Embargo::UntilSynced,
                Embargo::PerAddress { opened, end } => Embargo::PerAddress { opened: shift(opened), end: shift(end) },
                Embargo::Everything { end, extends_nothing } => {
                    Embargo::Everything { end: shift(end), extends_nothing }
                }
            });
            StoredRecord::Relationship(record)
        }
    }
}
