//! A simulated machine: its clocks, its store, and the process on it.

use crate::checker::{Record, Time};
use crate::client::SECOND;
use crate::disk::{Disk, Key};
use crate::random::Random;
use crate::settings::{NODES, PAIRS, link};
use crate::wire;
use standfast_core::configuration::Configuration;
use standfast_core::failover::state::Phase;
use standfast_core::id::Incarnation;
use standfast_core::input::{Identity, Input};
use standfast_core::lease::record::Lease;
use standfast_core::node::Node;
use standfast_core::output::{Outputs, StoredRecord};
use standfast_core::stored::RelationshipRecord;
use standfast_core::time::{Instant, Now, Wall};
use std::sync::Arc;

/// 2026-01-01, in milliseconds since 1970.
const BEGINNING: i64 = 1_767_225_600_000;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clock {
    offset: i64,
    /// Parts per million that it is fast.
    pub(crate) drift: i64,
    /// Milliseconds that the wall clock is ahead.
    pub(crate) skew: i64,
    /// Whether something keeps the wall clock right.
    disciplined: bool,
    /// When that notices that it is wrong.
    wrong_until: Time,
}

impl Clock {
    pub(crate) fn new(random: &mut Random) -> Self {
        let disciplined = random.percent(50);
        let skew = if disciplined { 0 } else { random_skew(random) };
        Self { offset: 0, drift: random.between(-200, 200), skew, disciplined, wrong_until: 0 }
    }

    /// Someone sets the wall clock.
    pub(crate) fn step(&mut self, time: Time, random: &mut Random) {
        self.skew = random_skew(random);
        self.wrong_until = time + random.between(3, 30) * SECOND;
    }

    /// Whether the wall clock is known to be right; it is set right if it was not.
    pub(crate) fn is_right(&mut self, time: Time) -> bool {
        let right = self.disciplined && self.wrong_until <= time;
        if right {
            self.skew = 0;
        }
        right
    }

    pub(crate) fn read(&self, time: Time) -> Now {
        Now {
            instant: Instant(time + time / 1_000_000 * self.drift + self.offset),
            wall: Wall(BEGINNING + time / 1_000 + self.skew),
        }
    }

    /// The true time at which the clock reads `instant`, or shortly before.
    pub(crate) fn time_of(&self, instant: Instant) -> Time {
        let shown = instant.0.saturating_sub(self.offset);
        shown.saturating_sub(shown / 1_000_000 * self.drift)
    }

    /// A process starts: its clock reads zero.
    pub(crate) fn restart(&mut self, time: Time) {
        self.offset -= self.read(time).instant.0;
    }
}

/// Milliseconds: little, some, a lot, or a machine that believes in another decade.
fn random_skew(random: &mut Random) -> i64 {
    let most = [2_000, 20_000, 20_000, 600_000, 440_000_000_000][random.index(5)];
    random.between(-most, most)
}

#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) index: usize,
    pub(crate) clock: Clock,
    pub(crate) disk: Disk,
    pub(crate) process: Option<Node>,
    pub(crate) paused: bool,
    /// Counts starts and crashes: what belongs to an earlier life is void.
    pub(crate) life: u64,
    /// When the process wants to be called, if that is scheduled.
    pub(crate) tick_at: Option<Time>,
    pub(crate) carrier: bool,
    /// How long a commit takes at the most.
    pub(crate) commit: Time,
    /// The state of each relationship, as last written.
    pub(crate) pairs: [Option<RelationshipRecord>; 2],
    /// Until when answers may promise by the rights of partner-down.
    pub(crate) alone_until: [Time; 2],
    pub(crate) configuration: Arc<Configuration>,
    /// The revision that the process was last seen to take.
    pub(crate) used: Option<Arc<Configuration>>,
}

impl Host {
    pub(crate) fn new(index: usize, clock: Clock, configuration: Arc<Configuration>) -> Self {
        Self {
            index,
            clock,
            disk: Disk::default(),
            process: None,
            paused: false,
            life: 0,
            tick_at: None,
            carrier: true,
            commit: 5_000,
            pairs: [None, None],
            alone_until: [0; 2],
            configuration,
            used: None,
        }
    }

    /// How many relationships there are.
    pub(crate) fn relationships(&self) -> usize {
        self.configuration.relationships.len()
    }

    /// Another cluster file lies there at the next start.
    pub(crate) fn configure(&mut self, configuration: Configuration) {
        self.configuration = Arc::new(configuration);
    }

    pub(crate) fn name(&self) -> &'static str {
        NODES[self.index]
    }

    /// Starts the process on what its store holds.
    pub(crate) fn start(&mut self, now: Time, incarnation: u64, new_cluster: bool) -> Outputs {
        self.life += 1;
        self.disk.told_full = false;
        self.pairs = [None, None];
        self.alone_until = [0; 2];
        let mut identity = Identity { node: self.name().into(), incarnation: Incarnation(incarnation), new_cluster };
        identity.new_cluster = self.disk.is_new(&identity);
        self.clock.restart(now);
        let reading = self.clock.read(now);
        let stored = self.disk.open(reading);
        let mut node = Node::new(identity, Arc::clone(&self.configuration), stored, reading);
        node.handle(reading, Input::Links(vec![link(self.index, self.carrier)]));
        let outputs = node.outputs();
        self.process = Some(node);
        outputs
    }

    pub(crate) fn stop(&mut self) {
        self.life += 1;
        self.process = None;
        self.paused = false;
        self.tick_at = None;
    }

    pub(crate) fn handle(&mut self, now: Time, input: Input) -> Option<Outputs> {
        let reading = self.clock.read(now);
        let node = self.process.as_mut()?;
        node.handle(reading, input);
        Some(node.outputs())
    }

    /// Whether the process says that it is active in each relationship.
    pub(crate) fn active(&self) -> [bool; 2] {
        let Some(node) = &self.process else { return [false; 2] };
        let status = node.status();
        PAIRS.map(|pair| status.relationships.iter().any(|r| r.name.as_str() == pair && r.active))
    }

    pub(crate) fn phase(&self, pair: usize) -> Option<Phase> {
        self.pairs[pair].as_ref().map(|record| record.phase)
    }

    /// What is durable of a relationship.
    pub(crate) fn durable_pair(&self, pair: usize) -> Option<&RelationshipRecord> {
        match self.disk.durable.records.get(&Key::Relationship(PAIRS[pair].into()))? {
            StoredRecord::Relationship(record) => Some(record),
            StoredRecord::Node(_) | StoredRecord::Lease(..) | StoredRecord::Configuration(_) => None,
        }
    }

    /// Whether the store has been in step with the partner's in every relationship.
    pub(crate) fn knows_everything(&self) -> bool {
        (0..2).all(|pair| self.durable_pair(pair).is_some_and(|record| !record.lost))
    }

    /// The table in memory, with true times.
    pub(crate) fn table(&self) -> Vec<Record> {
        let leases = self.process.iter().flat_map(|node| node.leases());
        let mut records: Vec<Record> = leases.filter_map(|(_, lease)| self.record(lease)).collect();
        records.sort_by_key(|record| record.address);
        records
    }

    /// By how much its process may be wrong about the times of old leases.
    pub(crate) fn doubt(&self) -> Time {
        let doubt = self.process.as_ref().and_then(Node::doubt).unwrap_or_default();
        Time::try_from(doubt.as_micros()).unwrap_or(Time::MAX)
    }

    /// A lease with true times.
    pub(crate) fn record(&self, lease: &Lease) -> Option<Record> {
        Some(Record {
            address: lease.address,
            state: lease.state,
            client: wire::client_of(lease.client.as_bytes())?,
            expiry: self.clock.time_of(lease.expiry),
            potential: self.clock.time_of(lease.potential_expiry),
            version: lease.version,
        })
    }
}
