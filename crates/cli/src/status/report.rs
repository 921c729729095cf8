//! The status as `--json` prints it: an interface, to which fields are only added.

use crate::words;
use serde::Serialize;
use standfast_rpc::proto;

#[derive(Serialize, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Report {
    pub(crate) cluster: String,
    pub(crate) node: String,
    pub(crate) revision: Numbered,
    /// The one thing to do, if there is one.
    pub(crate) todo: Option<String>,
    pub(crate) relationships: Vec<Relationship>,
    pub(crate) scopes: Vec<Scope>,
    /// What people must know about the configuration.
    pub(crate) configuration_notes: Vec<String>,
}

/// An epoch, with the node that took it, or a revision, with the node where it was applied.
#[derive(Serialize, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Numbered {
    pub(crate) number: u64,
    pub(crate) node: String,
}

#[derive(Serialize, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Relationship {
    pub(crate) name: String,
    pub(crate) state: Option<&'static str>,
    /// Of the node that says this.
    pub(crate) role: Option<&'static str>,
    pub(crate) active_node: Option<String>,
    pub(crate) epoch: Numbered,
    pub(crate) since: Option<String>,
    pub(crate) proof: Option<&'static str>,
    pub(crate) partner: Partner,
    /// What would happen if the active node died now; a sentence.
    pub(crate) if_active_dies: Option<String>,
    /// Whether an isolated start is silent.
    pub(crate) must_hear_partner: bool,
    /// Whether this node lost its store, or never was in step.
    pub(crate) lost: bool,
    /// For how long addresses are held back after a loss.
    pub(crate) embargo_ms: Option<u64>,
    /// For how long automatic promotion is held back.
    pub(crate) paused_ms: Option<u64>,
    #[serde(skip)]
    pub(crate) since_ms: Option<i64>,
}

#[derive(Serialize, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Partner {
    pub(crate) node: String,
    pub(crate) state: Option<&'static str>,
    pub(crate) heartbeat_age_ms: Option<u64>,
    pub(crate) rtt_ms: Option<Millis>,
    pub(crate) lag_records: u64,
    pub(crate) skew_ms: Option<i64>,
    pub(crate) evidence: Option<String>,
    pub(crate) connected: bool,
    /// Whether it keeps missing the replication deadline, so that nobody waits for it.
    pub(crate) lagging: bool,
}

/// Microseconds, written as milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Millis(pub(crate) u64);

impl Serialize for Millis {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.as_millis())
    }
}

impl Millis {
    #[expect(clippy::cast_precision_loss, reason = "a round trip of 2^53 microseconds will not be measured")]
    pub(crate) fn as_millis(self) -> f64 {
        self.0 as f64 / 1_000.0
    }
}

#[derive(Serialize, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Scope {
    pub(crate) name: String,
    pub(crate) relationship: Option<String>,
    pub(crate) subnet: String,
    pub(crate) state: Option<&'static str>,
    pub(crate) addresses: u64,
    pub(crate) bound: u64,
    /// Over and not yet agreed free.
    pub(crate) ended: u64,
    pub(crate) free_home: u64,
    pub(crate) free_partner: u64,
    pub(crate) declined: u64,
    pub(crate) reserved: u64,
}

impl Report {
    /// Whether somebody should look: something is to be done, or a pair is not in step.
    pub(crate) fn is_degraded(&self) -> bool {
        self.todo.is_some() || self.relationships.iter().any(|relationship| relationship.state != Some("normal"))
    }
}

impl Relationship {
    /// What is out of the ordinary, a sentence each.
    pub(crate) fn notes(&self) -> Vec<String> {
        let partner = &self.partner.node;
        let roughly = |ms: Option<u64>, what: &str| ms.map(|ms| format!("{what} for {}", words::roughly(ms)));
        let notes = [
            self.if_active_dies.as_ref().map(|what| format!("if the active node dies now: {what}")),
            self.partner.evidence.clone(),
            self.lost.then(|| "this node lost its store, or never was in step".to_owned()),
            self.must_hear_partner.then(|| format!("if this node starts alone, it is silent until {partner} is heard")),
            self.partner.lagging.then(|| format!("{partner} takes leases too slowly; nobody waits for it")),
            roughly(self.embargo_ms, "after a loss, addresses are held back"),
            roughly(self.paused_ms, "automatic promotion is paused"),
        ];
        notes.into_iter().flatten().collect()
    }
}

impl From<proto::Status> for Report {
    fn from(status: proto::Status) -> Self {
        let revision = status.revision.unwrap_or_default();
        Self {
            cluster: status.cluster,
            node: status.node,
            revision: Numbered { number: revision.number, node: revision.node },
            todo: said(status.todo),
            relationships: status.relationships.into_iter().map(Relationship::from).collect(),
            scopes: status.scopes.into_iter().map(Scope::from).collect(),
            configuration_notes: status.configuration_notes,
        }
    }
}

impl From<proto::RelationshipStatus> for Relationship {
    fn from(status: proto::RelationshipStatus) -> Self {
        let epoch = status.epoch.clone().unwrap_or_default();
        Self {
            state: words::phase(status.state()),
            role: words::role(status.role()),
            proof: words::proof(status.proof()),
            name: status.name,
            active_node: said(status.active_node),
            epoch: Numbered { number: epoch.number, node: epoch.node },
            since: status.since_ms.map(words::rfc3339),
            since_ms: status.since_ms,
            partner: status.partner.unwrap_or_default().into(),
            if_active_dies: said(status.if_active_dies),
            must_hear_partner: status.must_hear_partner,
            lost: status.lost,
            embargo_ms: status.embargo_ms,
            paused_ms: status.paused_ms,
        }
    }
}

impl From<proto::PartnerStatus> for Partner {
    fn from(status: proto::PartnerStatus) -> Self {
        Self {
            state: words::phase(status.state()),
            node: status.node,
            heartbeat_age_ms: status.heartbeat_age_ms,
            rtt_ms: status.rtt_us.map(Millis),
            lag_records: status.lag_records,
            skew_ms: status.skew_ms,
            evidence: said(status.evidence),
            connected: status.connected,
            lagging: status.lagging,
        }
    }
}

impl From<proto::ScopeStatus> for Scope {
    fn from(status: proto::ScopeStatus) -> Self {
        Self {
            state: words::scope_state(status.state()),
            name: status.name,
            relationship: said(status.relationship),
            subnet: status.subnet,
            addresses: status.addresses,
            bound: status.bound,
            ended: status.ended,
            free_home: status.free_home,
            free_partner: status.free_partner,
            declined: status.declined,
            reserved: status.reserved,
        }
    }
}

/// Protobuf has no absent text.
fn said(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

/// One node of a pair, as it says itself.
#[cfg(test)]
pub(crate) fn example() -> proto::Status {
    proto::Status {
        cluster: "hq".into(),
        node: "dhcp-b".into(),
        revision: Some(proto::Revision { number: 1, node: "dhcp-a".into() }),
        todo: String::new(),
        configuration_notes: Vec::new(),
        relationships: vec![proto::RelationshipStatus {
            name: "office".into(),
            state: proto::Phase::Normal.into(),
            role: proto::Role::Deactivated.into(),
            active_node: "dhcp-a".into(),
            epoch: Some(proto::NamedEpoch { number: 3, node: "dhcp-a".into() }),
            since_ms: Some(1_700_000_000_000),
            proof: proto::Proof::Unspecified.into(),
            partner: Some(proto::PartnerStatus {
                node: "dhcp-a".into(),
                state: proto::Phase::Normal.into(),
                heartbeat_age_ms: Some(34),
                rtt_us: Some(412),
                lag_records: 2,
                skew_ms: Some(-1),
                evidence: String::new(),
                connected: true,
                lagging: false,
            }),
            must_hear_partner: false,
            lost: false,
            embargo_ms: None,
            paused_ms: None,
            if_active_dies: "dhcp-b takes over within 1000 ms".into(),
        }],
        scopes: vec![proto::ScopeStatus {
            name: "office-lan".into(),
            relationship: "office".into(),
            subnet: "10.20.0.0/24".into(),
            state: proto::ScopeState::Deactivated.into(),
            addresses: 200,
            bound: 31,
            ended: 0,
            free_home: 85,
            free_partner: 84,
            declined: 0,
            reserved: 1,
        }],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::question::assert_documented;

    #[test]
    fn json_has_the_documented_fields() {
        assert_documented("status", &Report::from(example()));
        assert_documented("scope list", &Report::from(example()).scopes);
        insta::assert_snapshot!(serde_json::to_string_pretty(&Report::from(example())).unwrap());
    }

    #[test]
    fn a_pair_that_is_not_in_step_is_degraded() {
        let mut status = example();
        assert!(!Report::from(status.clone()).is_degraded());
        status.relationships[0].state = proto::Phase::PartnerDown.into();
        assert!(Report::from(status).is_degraded());
        assert!(Report::from(proto::Status { todo: "free its disk".into(), ..example() }).is_degraded());
    }
}
