//! What the judges see of the nodes: what becomes durable, what is sent, who answers, and what the nodes report.

use super::World;
use crate::checker::{Seen, Time};
use crate::client::SECOND;
use crate::coverage;
use crate::settings::PAIRS;
use crate::wire;
use standfast_core::failover::state::Phase;
use standfast_core::lease::record::Lease;
use standfast_core::message::{PairMessage, PeerMessage};
use standfast_core::output::{StoredRecord, Write};
use standfast_core::stored::RelationshipRecord;

/// How long an answer may wait for the disk: what was granted in partner-down leaves so much later at the latest.
const WAITS_AT_MOST: Time = 5 * SECOND;

impl World {
    /// A node says that addresses were given twice, this very moment.
    pub(super) fn see_conflicts(&mut self, host: usize) {
        let wall = self.hosts[host].clock.read(self.now).wall;
        let reports = self.hosts[host].process.iter().flat_map(|node| node.conflicts());
        let conflicts: Vec<Seen> = reports
            .filter(|report| report.when == wall)
            .filter_map(|report| {
                let client = |lease: &Lease| wire::client_of(lease.client.as_bytes());
                let clients = [client(&report.kept)?, client(&report.lost)?];
                Some(Seen::Conflict { address: report.kept.address, clients, certain: report.certain })
            })
            .collect();
        conflicts.iter().for_each(|conflict| self.judge.see(self.now, conflict));
    }

    /// What a node writes: its states are noted at once, to know by which rules it answers.
    pub(super) fn note_writes(&mut self, host: usize, writes: &[Write], from_client: bool) {
        for write in writes {
            match &write.record {
                StoredRecord::Relationship(record) => {
                    if let Some(pair) = PAIRS.iter().position(|&pair| record.relationship.as_str() == pair) {
                        if record.phase == Phase::PartnerDown {
                            self.hosts[host].alone_until[pair] = Time::MAX;
                        } else if self.hosts[host].phase(pair) == Some(Phase::PartnerDown) {
                            self.hosts[host].alone_until[pair] = self.now + WAITS_AT_MOST;
                        }
                        self.note_state(host, pair, record);
                        self.weigh_promises(host, record);
                    }
                }
                StoredRecord::Lease(name, _) if from_client => {
                    if let Some(pair) = PAIRS.iter().position(|&pair| name.as_str() == pair) {
                        self.see_served(host, pair, false);
                    }
                }
                StoredRecord::Lease(..) | StoredRecord::Node(_) | StoredRecord::Configuration(_) => {}
            }
        }
    }

    fn note_state(&mut self, host: usize, pair: usize, record: &RelationshipRecord) {
        let entered = self.hosts[host].phase(pair) != Some(record.phase);
        self.hosts[host].pairs[pair] = Some(record.clone());
        if entered {
            self.transcript.count(&coverage::state(record.phase));
            if let (Phase::PartnerDown, Some((proof, _))) = (record.phase, record.proof) {
                self.transcript.count(&coverage::proof(proof));
            }
        }
    }

    /// A node that hands over, leaves, or has just lost its partner, takes nothing new before that is durable, and
    /// answers what it has begun in its own epoch; one that leaves, until it is marked and says that it has left.
    pub(super) fn may_finish(&self, host: usize, pair: usize) -> bool {
        let finishes = |record: &RelationshipRecord| {
            let serves = match record.phase {
                Phase::Normal | Phase::CommunicationsInterrupted | Phase::PartnerDown => true,
                Phase::Leaving => !record.must_hear_partner,
                Phase::Startup | Phase::Recover => false,
            };
            serves && record.epoch.slot == record.slot
        };
        let host = &self.hosts[host];
        host.durable_pair(pair).is_some_and(finishes) && host.pairs[pair].as_ref().is_some_and(finishes)
    }

    pub(super) fn see_served(&mut self, host: usize, relationship: usize, may_finish: bool) {
        let active = may_finish || self.hosts[host].active()[relationship];
        if let Some(&RelationshipRecord { epoch, slot, .. }) = self.hosts[host].pairs[relationship].as_ref() {
            let own = epoch.slot == slot;
            self.judge.see(self.now, &Seen::Served { host, active, epoch, own, relationship });
        }
    }

    pub(crate) fn see_written(&mut self, host: usize, written: &[Write]) {
        for write in written {
            self.see_durable(host, &write.record);
        }
        if !written.is_empty() {
            self.written(host);
        }
    }

    pub(crate) fn see_durable(&mut self, host: usize, record: &StoredRecord) {
        match record {
            StoredRecord::Lease(_, lease) => {
                self.tell_durable(host, lease);
                if let Some(record) = self.hosts[host].record(lease) {
                    self.hosts[host].disk.durable.seen.insert(record.address, record.clone());
                    self.judge.see(self.now, &Seen::Durable { host, record });
                }
            }
            StoredRecord::Relationship(record) => {
                if let Some(relationship) = PAIRS.iter().position(|&pair| record.relationship.as_str() == pair) {
                    self.judge.see(self.now, &Seen::State { host, relationship, epoch: record.epoch });
                }
            }
            StoredRecord::Node(_) | StoredRecord::Configuration(_) => {}
        }
    }

    pub(super) fn see_sent(&mut self, host: usize, message: &PeerMessage) {
        let PeerMessage::Pair(_, message) = message else { return };
        let records = match message {
            PairMessage::Batch { records, .. } | PairMessage::Ack { refused: records, .. } => records.as_slice(),
            PairMessage::Answer { record: Some(record), .. } => std::slice::from_ref(record),
            PairMessage::PassDone
            | PairMessage::Ready(_)
            | PairMessage::Ask { .. }
            | PairMessage::Answer { record: None, .. }
            | PairMessage::Left(_)
            | PairMessage::HandOver { .. }
            | PairMessage::TookOver { .. }
            | PairMessage::RequestHandOver { .. }
            | PairMessage::CleanLeave
            | PairMessage::CleanLeaveAccepted
            | PairMessage::Pause(_) => return,
        };
        for record in records.iter().filter(|record| wire::client_of(record.client.as_bytes()).is_some()) {
            self.judge.see(self.now, &Seen::Sent { host, address: record.address, version: record.version });
        }
    }
}
