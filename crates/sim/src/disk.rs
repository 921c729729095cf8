//! The store of a simulated node: what is durable, and what is on its way there.

use crate::checker::Record;
use standfast_core::id::{RelationshipName, Sequence};
use standfast_core::input::Identity;
use standfast_core::output::{StoredRecord, Write};
use standfast_core::scale::WallOffset;
use standfast_core::stored::{Embargo, Stored};
use standfast_core::time::{Instant, Now};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::Ipv4Addr;

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Key {
    Node,
    Configuration,
    Relationship(RelationshipName),
    Lease(RelationshipName, Ipv4Addr),
}

/// Durable records, each with its times on the scale of the store.
#[derive(Clone, Debug, Default)]
pub(crate) struct Durable {
    pub(crate) records: BTreeMap<Key, StoredRecord>,
    /// The leases among them as they were seen when they became durable, with true times.
    pub(crate) seen: BTreeMap<Ipv4Addr, Record>,
    pub(crate) sequence: Sequence,
}

#[derive(Debug, Default)]
pub(crate) struct Disk {
    pub(crate) durable: Durable,
    /// Older states, to roll back to.
    pub(crate) backups: Vec<Durable>,
    /// The scale on which the store keeps the instants of the process that runs or ran last.
    scale: Option<WallOffset>,
    waiting: VecDeque<Write>,
    /// How many of those are being committed.
    committing: usize,
    pub(crate) fails: bool,
    /// No space is left.
    pub(crate) full: bool,
    /// The process has been told so.
    pub(crate) told_full: bool,
    /// Leases whose records cannot be read until they are written again.
    pub(crate) unreadable: BTreeSet<(RelationshipName, Ipv4Addr)>,
}

impl Disk {
    pub(crate) fn accept(&mut self, writes: Vec<Write>) {
        self.waiting.extend(writes);
    }

    /// Begins a commit of everything that waits, unless one is under way or there is nothing.
    pub(crate) fn begin_commit(&mut self) -> bool {
        if self.committing > 0 || self.waiting.is_empty() || self.fails || self.full {
            return false;
        }
        self.committing = self.waiting.len();
        true
    }

    /// Whether a commit has just failed for want of space, which the process does not know yet.
    pub(crate) fn fails_for_space(&mut self) -> bool {
        self.full && !self.waiting.is_empty() && self.committing == 0 && !std::mem::replace(&mut self.told_full, true)
    }

    /// The records of an address cannot be read any more.
    pub(crate) fn damage(&mut self, address: Ipv4Addr) {
        let of_address = self.durable.records.keys().filter_map(|key| match key {
            Key::Lease(name, of) if *of == address => Some((name.clone(), address)),
            Key::Lease(..) | Key::Node | Key::Configuration | Key::Relationship(_) => None,
        });
        self.unreadable.extend(of_address);
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
            let (Some(write), Some(scale)) = (self.waiting.pop_front(), self.scale) else { break };
            self.durable.sequence = write.sequence;
            if let StoredRecord::Lease(name, lease) = &write.record {
                self.unreadable.remove(&(name.clone(), lease.address));
            }
            let record = with_instants(write.record.clone(), |instant| stored(scale, instant));
            self.durable.records.insert(key_of(&write.record), record);
            written.push(write);
        }
        written
    }

    /// What a process finds that starts now: as `load` of the real node has it.
    pub(crate) fn open(&mut self, now: Now) -> Stored {
        let plain = WallOffset::between(now.instant, now.wall);
        let last = self.durable.records.get(&Key::Node).and_then(|record| match read(record, plain) {
            StoredRecord::Node(record) => Some(record),
            StoredRecord::Relationship(_) | StoredRecord::Lease(..) | StoredRecord::Configuration(_) => None,
        });
        let scale = WallOffset::of_store(now, last.as_ref());
        self.scale = Some(scale);
        self.load(scale)
    }

    /// What is durable, by the clock of the process that runs or ran last.
    pub(crate) fn look(&self) -> Stored {
        self.load(self.scale.unwrap_or(WallOffset(0)))
    }

    fn load(&self, scale: WallOffset) -> Stored {
        let unreadable = self.unreadable.iter().cloned().collect();
        let mut stored = Stored { sequence: self.durable.sequence, unreadable, ..Stored::default() };
        for record in self.durable.records.values() {
            match read(record, scale) {
                StoredRecord::Node(record) => stored.node = Some(record),
                StoredRecord::Configuration(record) => stored.configuration = Some(record),
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
        StoredRecord::Configuration(_) => Key::Configuration,
        StoredRecord::Relationship(record) => Key::Relationship(record.relationship.clone()),
        StoredRecord::Lease(name, lease) => Key::Lease(name.clone(), lease.address),
    }
}

/// An instant as the store keeps it: milliseconds on its scale.
fn stored(scale: WallOffset, instant: Instant) -> Instant {
    scale.to_wall(instant).map_or(Instant::NEVER, Instant)
}

fn read(record: &StoredRecord, scale: WallOffset) -> StoredRecord {
    let wall = |stored: Instant| (stored > Instant::NEVER).then_some(stored.0);
    with_instants(record.clone(), |stored| scale.to_instant(wall(stored)))
}

fn with_instants(record: StoredRecord, shift: impl Fn(Instant) -> Instant) -> StoredRecord {
    match record {
        StoredRecord::Node(mut record) => {
            record.last_running_at = shift(record.last_running_at);
            record.clock_zero = shift(record.clock_zero);
            StoredRecord::Node(record)
        }
        StoredRecord::Configuration(record) => StoredRecord::Configuration(record),
        StoredRecord::Lease(name, mut lease) => {
            lease.expiry = shift(lease.expiry);
            lease.potential_expiry = shift(lease.potential_expiry);
            lease.acked_expiry = shift(lease.acked_expiry);
            StoredRecord::Lease(name, lease)
        }
        StoredRecord::Relationship(mut record) => {
            record.since = shift(record.since);
            record.proof = record.proof.map(|(proof, from)| (proof, shift(from)));
            record.paused_until = record.paused_until.map(&shift);
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
