//! What a node says of itself and of its partners.

use super::Node;
use crate::failover::relationship::{ConflictReport, Relationship};
use crate::failover::state::{Phase, Proof};
use crate::id::{Epoch, NodeName, RelationshipName, Revision, ScopeName, Slot};
use crate::lease::table::{Counts, PoolIndex};
use crate::time::{Instant, Wall};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

/// One node, as it sees itself and the others.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Status {
    /// Name of the cluster.
    pub cluster: String,
    /// Who says this.
    pub node: NodeName,
    /// The configuration in use.
    pub revision: Revision,
    /// What people must know about it.
    pub configuration_notes: Vec<String>,
    /// The first thing to do, if there is one.
    pub todo: Option<String>,
    /// Pairs that this node is part of.
    pub relationships: Vec<RelationshipStatus>,
    /// Every scope of this node.
    pub scopes: Vec<ScopeStatus>,
}

/// One relationship.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RelationshipStatus {
    /// Which.
    pub name: RelationshipName,
    /// This node's state.
    pub phase: Phase,
    /// Whether this node answers clients.
    pub active: bool,
    /// When this state was entered, by this node's wall clock.
    pub since: Wall,
    /// Who answers, as far as this node knows.
    pub active_node: Option<NodeName>,
    /// The epoch, and the node that took it.
    pub epoch: Epoch,
    /// Node of the epoch.
    pub epoch_node: NodeName,
    /// The proof on which partner-down stands.
    pub proof: Option<Proof>,
    /// Whether an isolated start is silent.
    pub must_hear_partner: bool,
    /// Whether this node lost its store, or never was in step.
    pub lost: bool,
    /// For how long addresses are still held back after a loss.
    pub embargo: Option<Duration>,
    /// For how long automatic promotion is still held back.
    pub paused: Option<Duration>,
    /// What would happen if the active node died now; a sentence.
    pub if_active_dies: String,
    /// The other node.
    pub partner: PartnerStatus,
}

/// The partner, as this node sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartnerStatus {
    /// Who.
    pub node: NodeName,
    /// Its state, as it last said.
    pub phase: Option<Phase>,
    /// Whether there is a session.
    pub connected: bool,
    /// Since contact was last proved.
    pub heartbeat_age: Duration,
    /// Of a heartbeat.
    pub round_trip: Option<Duration>,
    /// Records that it has yet to take.
    pub lag_records: usize,
    /// Whether nobody waits for it.
    pub lagging: bool,
    /// Its clock minus ours, in milliseconds.
    pub skew_ms: Option<i64>,
    /// Whether a client has just said that it serves, although contact is lost.
    pub seen_serving: bool,
}

/// One scope.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScopeStatus {
    /// Which.
    pub name: ScopeName,
    /// Its relationship, unless one node serves it alone.
    pub relationship: Option<RelationshipName>,
    /// Its subnet, as `network/prefix`.
    pub subnet: String,
    /// On this node.
    pub state: ScopeState,
    /// Addresses in its pools.
    pub addresses: u64,
    /// Live leases.
    pub bound: u64,
    /// Leases that are over and not yet agreed free.
    pub ended: u64,
    /// Declined addresses.
    pub declined: u64,
    /// Free addresses that this node may give away alone.
    pub free_home: u64,
    /// Free addresses that its partner may give away alone.
    pub free_partner: u64,
    /// Reserved addresses.
    pub reserved: u64,
}

/// State of a scope on a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ScopeState {
    /// It answers.
    Active,
    /// It is held silent.
    Deactivated,
    /// An operator's will, on all nodes.
    Disabled,
}

impl Node {
    /// What this node says of itself and of its partners.
    #[must_use]
    pub fn status(&self) -> Status {
        let relationships: Vec<RelationshipStatus> =
            self.relationships.iter().filter_map(|pair| self.relationship_status(pair)).collect();
        Status {
            cluster: self.configuration.cluster.clone(),
            node: self.identity.node.clone(),
            revision: self.configuration.revision.clone(),
            configuration_notes: self.configuration_notes(),
            todo: self.todo(),
            relationships,
            scopes: self.scope_statuses(),
        }
    }

    /// Leases of two clients that were told of one address.
    pub fn conflicts(&self) -> impl Iterator<Item = &ConflictReport> {
        self.relationships.iter().flat_map(|pair| &pair.conflicts)
    }

    /// Whether this node answers the clients of each relationship.
    pub fn serving(&self) -> impl Iterator<Item = (&RelationshipName, bool)> {
        self.relationships.iter().map(|pair| (&pair.name, pair.is_serving(&self.fx)))
    }

    /// The scope of an address, and the node that may give it away alone.
    #[must_use]
    pub fn place(&self, name: &RelationshipName, address: Ipv4Addr) -> (Option<&ScopeName>, Option<&NodeName>) {
        let Some(pair) = self.relationships.iter().find(|pair| pair.name == *name) else { return (None, None) };
        let scope = pair.table.scope_position(address).map(|position| &self.configuration.scopes[position].name);
        let home = if pair.table.is_home(address) { Some(&self.identity.node) } else { pair.partner.as_ref() };
        (scope, home.filter(|_| pair.partner.is_some()))
    }

    /// The node that may give an address away alone; `None` if there is no partner, or no such address.
    #[must_use]
    pub fn home_of(&self, address: Ipv4Addr) -> Option<&NodeName> {
        let pair = &self.relationships[(*self.owners.get(self.selector.scope_of(address)?)?)?];
        let partner = pair.partner.as_ref()?;
        Some(if pair.table.is_home(address) { &self.identity.node } else { partner })
    }

    fn todo(&self) -> Option<String> {
        if !self.fx.store_works {
            return Some("the store takes no writes: free its disk; nobody is served from here meanwhile".into());
        }
        self.relationships.iter().filter(|pair| pair.partner.is_some()).find_map(|pair| {
            let partner = pair.partner.as_ref()?;
            let name = &pair.name;
            let isolated = !pair.is_connected();
            if pair.lost && pair.state.phase() == Phase::Startup && isolated {
                Some(format!("{name}: start {partner}, or, if this cluster is new, run `standfast init`"))
            } else if pair.lost && pair.exchange.is_none() {
                Some(format!("{name}: if this cluster is new, run `standfast init`"))
            } else if pair.state.phase() == Phase::Startup && pair.must_hear_partner {
                Some(format!("{name}: silent until {partner} is heard; start it, or if it is off for good run `standfast failover --partner-down {partner} --yes`"))
            } else if pair.state.phase() == Phase::CommunicationsInterrupted && isolated {
                Some(format!("{name}: {partner} is not heard; bring it back, or if it is off run `standfast failover --partner-down {partner} --yes`"))
            } else {
                None
            }
        })
    }

    fn relationship_status(&self, pair: &Relationship) -> Option<RelationshipStatus> {
        let partner = pair.partner.clone()?;
        let peer = self.peers.get(&partner)?;
        let now = self.fx.instant();
        let left = |until: Option<Instant>| until.map(|until| until.since(now));
        let node_of = |slot: Slot| if slot == pair.slot { self.identity.node.clone() } else { partner.clone() };
        let active = pair.is_serving(&self.fx);
        let heard = peer.session.is_some();
        let partner_active = pair.partner_pulse.as_ref().is_some_and(|(_, pulse)| pulse.serving && pair.is_connected());
        Some(RelationshipStatus {
            name: pair.name.clone(),
            phase: pair.state.phase(),
            active,
            since: pair.since,
            active_node: if active {
                Some(self.identity.node.clone())
            } else {
                Some(partner.clone()).filter(|_| partner_active)
            },
            epoch: pair.epoch,
            epoch_node: node_of(pair.epoch.slot),
            proof: pair.partner_down().map(|(proof, _)| proof),
            must_hear_partner: pair.must_hear_partner,
            lost: pair.lost,
            embargo: left(pair.embargo_end()),
            paused: left(pair.paused_until.filter(|&until| until > now)),
            if_active_dies: self.if_active_dies(pair, &partner, heard),
            partner: PartnerStatus {
                node: partner.clone(),
                phase: pair.partner_pulse.as_ref().map(|(_, pulse)| pulse.phase),
                connected: heard,
                heartbeat_age: now.since(peer.detector.last_contact()),
                round_trip: peer.detector.seen.round_trip.map(Duration::from_micros),
                lag_records: pair.table.untaken_len(),
                lagging: pair.lag.is_lagging(),
                skew_ms: peer.detector.seen.skew,
                seen_serving: pair.partner_is_seen(&self.fx),
            },
        })
    }

    fn if_active_dies(&self, pair: &Relationship, partner: &NodeName, heard: bool) -> String {
        let me = &self.identity.node;
        let timeout = pair.settings.heartbeat_timeout.as_millis();
        let serves = pair.is_serving(&self.fx);
        let heir = if serves { partner } else { me };
        if !heard {
            return if serves {
                format!("nobody is left: {partner} is not heard")
            } else {
                format!("nobody is known to be active, and {partner} is not heard")
            };
        }
        if !pair.is_connected() || pair.state.phase() != Phase::Normal {
            return format!("{heir} may not take over: the two nodes are not in step");
        }
        if pair.paused_until.is_some_and(|until| until > self.fx.instant()) {
            return "nobody takes over: promotion is paused; `standfast resume` ends that".to_owned();
        }
        let lag = pair.table.untaken_len();
        let known = match (serves, lag) {
            (true, 1..) => format!("; it has yet to take {lag} records, whose clients it learns of when they renew"),
            (true, 0) | (false, _) => String::new(),
        };
        format!("{heir} takes over within {timeout} ms{known}")
    }

    fn scope_statuses(&self) -> Vec<ScopeStatus> {
        let counts: Vec<_> = self.relationships.iter().map(|pair| pair.table.counts(self.fx.instant())).collect();
        (0..self.configuration.scopes.len()).filter_map(|position| self.scope_status(position, &counts)).collect()
    }

    fn scope_status(&self, position: usize, counts: &[BTreeMap<usize, Counts>]) -> Option<ScopeStatus> {
        let scope = &self.configuration.scopes[position];
        let owner = self.owners[position]?;
        let pair = &self.relationships[owner];
        let pools = 0..scope.pools.len();
        let free = |home: Option<Slot>| -> u64 {
            pools.clone().map(|pool| pair.table.free_in(PoolIndex { scope: position, pool }, home)).sum()
        };
        let own = pair.partner.as_ref().map(|_| pair.slot);
        let Counts { bound, ended, declined } = counts[owner].get(&position).copied().unwrap_or_default();
        let state = if scope.disabled {
            ScopeState::Disabled
        } else if pair.is_serving(&self.fx) {
            ScopeState::Active
        } else {
            ScopeState::Deactivated
        };
        Some(ScopeStatus {
            name: scope.name.clone(),
            relationship: pair.partner.as_ref().map(|_| pair.name.clone()),
            subnet: format!("{}/{}", scope.subnet.network, scope.subnet.prefix),
            state,
            addresses: scope.pools.iter().map(|pool| pool.range.len()).sum(),
            bound,
            ended,
            declined,
            free_home: free(own),
            free_partner: own.map_or(0, |slot| free(Some(slot.other()))),
            reserved: scope.reservations.len() as u64,
        })
    }
}
