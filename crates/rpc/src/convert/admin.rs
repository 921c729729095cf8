//! What operators ask, and what they are shown.

use super::vocabulary::{client_id, hardware, name, phase_to_proto, proof_to_proto, state_to_proto};
use super::{DecodeError, at_most, decode_all, required};
use crate::proto;
use standfast_core::event::{Event, Severity};
use standfast_core::failover::relationship::ConflictReport;
use standfast_core::id::{NodeName, ScopeName};
use standfast_core::input::{Command, ImportedLease};
use standfast_core::lease::record::{ClientId, Lease};
use standfast_core::node::{
    Deed, Explanation, PartnerStatus, RelationshipStatus, ScopeState, ScopeStatus, Status, Subject,
};
use standfast_core::output::CommandResult;
use standfast_core::time::{Now, Wall};
use std::net::Ipv4Addr;
use std::time::Duration;

/// The longest name of a node or relationship in a request.
const MAX_NAME: usize = 255;

/// Requests as the core's commands. Fields that are empty stand for what is left to the node.
pub mod command {
    use super::{
        Command, DecodeError, Duration, ImportedLease, Ipv4Addr, MAX_NAME, Wall, at_most, client_id, decode_all,
        hardware, name, proto,
    };

    /// How many leases one request may bring.
    pub const MAX_IMPORTED: usize = 500;

    fn optional<T: From<String>>(field: &'static str, text: String) -> Result<Option<T>, DecodeError> {
        at_most(field, text.len(), MAX_NAME)?;
        Ok(Some(text).filter(|text| !text.is_empty()).map(Into::into))
    }

    /// # Errors
    /// No relationship is named.
    pub fn switchover(request: proto::SwitchoverRequest) -> Result<Command, DecodeError> {
        let relationship = name("SwitchoverRequest.relationship", request.relationship)?;
        Ok(Command::Switchover { relationship, to: optional("SwitchoverRequest.to", request.to)? })
    }

    /// # Errors
    /// No node is named.
    pub fn partner_down(request: proto::DeclarePartnerDownRequest) -> Result<Command, DecodeError> {
        Ok(Command::PartnerDown {
            node: name("DeclarePartnerDownRequest.node", request.node)?,
            relationship: optional("DeclarePartnerDownRequest.relationship", request.relationship)?,
            off_since: request.off_since_ms.map(Wall),
            despite_evidence: request.despite_evidence,
        })
    }

    /// # Errors
    /// No relationship is named.
    pub fn accept_risk(request: proto::AcceptRiskRequest) -> Result<Command, DecodeError> {
        Ok(Command::AcceptRisk { relationship: name("AcceptRiskRequest.relationship", request.relationship)? })
    }

    /// # Errors
    /// The name is too long.
    pub fn pause(request: proto::PausePromotionRequest) -> Result<Command, DecodeError> {
        Ok(Command::Pause {
            relationship: optional("PausePromotionRequest.relationship", request.relationship)?,
            duration: Duration::from_millis(request.duration_ms),
        })
    }

    /// Any address is one.
    #[must_use]
    pub fn release(request: proto::ReleaseLeaseRequest) -> Command {
        Command::Release { address: Ipv4Addr::from_bits(request.address) }
    }

    /// # Errors
    /// There are more than [`MAX_IMPORTED`] leases, or one has no client or an impossible hardware address.
    pub fn import(request: proto::ImportLeasesRequest) -> Result<Command, DecodeError> {
        decode_all("ImportLeasesRequest.leases", request.leases, MAX_IMPORTED, imported).map(Command::Import)
    }

    fn imported(lease: proto::LeaseView) -> Result<ImportedLease, DecodeError> {
        at_most("LeaseView.hostname", lease.hostname.len(), MAX_NAME)?;
        Ok(ImportedLease {
            address: Ipv4Addr::from_bits(lease.address),
            client: client_id("LeaseView.client_id", lease.client_id)?,
            hardware: hardware("LeaseView.hardware", lease.hardware)?,
            hostname: lease.hostname.into(),
            expiry: Wall(lease.expiry_ms),
        })
    }
}

/// What became of a command.
#[must_use]
pub fn result_to_proto(result: CommandResult) -> proto::CommandResult {
    let (outcome, text) = match result {
        CommandResult::Done(text) => (proto::Outcome::Done, text),
        CommandResult::Refused(text) => (proto::Outcome::Refused, text),
        CommandResult::Failed(text) => (proto::Outcome::Failed, text),
    };
    proto::CommandResult { outcome: outcome.into(), text }
}

/// What a node says of itself.
#[must_use]
pub fn status_to_proto(status: Status) -> proto::Status {
    proto::Status {
        cluster: status.cluster,
        node: status.node.to_string(),
        revision: Some(status.revision.into()),
        todo: status.todo.unwrap_or_default(),
        configuration_notes: status.configuration_notes,
        relationships: status.relationships.into_iter().map(relationship_status).collect(),
        scopes: status.scopes.into_iter().map(scope_status).collect(),
    }
}

fn relationship_status(status: RelationshipStatus) -> proto::RelationshipStatus {
    let role = if status.active { proto::Role::Active } else { proto::Role::Deactivated };
    proto::RelationshipStatus {
        name: status.name.to_string(),
        state: phase_to_proto(status.phase).into(),
        role: role.into(),
        active_node: status.active_node.map(|node| node.to_string()).unwrap_or_default(),
        epoch: Some(proto::NamedEpoch { number: status.epoch.number, node: status.epoch_node.to_string() }),
        since_ms: Some(status.since.0),
        proof: status.proof.map_or(proto::Proof::Unspecified, proof_to_proto).into(),
        partner: Some(partner_status(status.partner)),
        must_hear_partner: status.must_hear_partner,
        lost: status.lost,
        embargo_ms: status.embargo.map(milliseconds),
        paused_ms: status.paused.map(milliseconds),
        if_active_dies: status.if_active_dies,
    }
}

fn partner_status(status: PartnerStatus) -> proto::PartnerStatus {
    let evidence = if status.seen_serving { "a client has just named it as its server" } else { "" };
    proto::PartnerStatus {
        node: status.node.to_string(),
        state: status.phase.map_or(proto::Phase::Unspecified, phase_to_proto).into(),
        heartbeat_age_ms: Some(milliseconds(status.heartbeat_age)),
        rtt_us: status.round_trip.map(|time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX)),
        lag_records: status.lag_records as u64,
        skew_ms: status.skew_ms,
        evidence: evidence.to_owned(),
        connected: status.connected,
        lagging: status.lagging,
    }
}

fn scope_state(state: ScopeState) -> proto::ScopeState {
    match state {
        ScopeState::Active => proto::ScopeState::Active,
        ScopeState::Deactivated => proto::ScopeState::Deactivated,
        ScopeState::Disabled => proto::ScopeState::Disabled,
    }
}

fn scope_status(status: ScopeStatus) -> proto::ScopeStatus {
    let state = scope_state(status.state);
    proto::ScopeStatus {
        name: status.name.to_string(),
        relationship: status.relationship.map(|name| name.to_string()).unwrap_or_default(),
        subnet: status.subnet,
        state: state.into(),
        addresses: status.addresses,
        bound: status.bound,
        free_home: status.free_home,
        free_partner: status.free_partner,
        declined: status.declined,
        reserved: status.reserved,
        ended: status.ended,
    }
}

/// A lease in `scope` whose address `home` may give away alone, as it is `now`.
#[must_use]
pub fn lease_view(lease: &Lease, scope: Option<&ScopeName>, home: Option<&NodeName>, now: Now) -> proto::LeaseView {
    let remaining = lease.expiry.remaining(now.instant).0;
    proto::LeaseView {
        scope: scope.map(ToString::to_string).unwrap_or_default(),
        address: lease.address.to_bits(),
        client_id: lease.client.as_bytes().to_vec(),
        hardware: Some(lease.hardware.into()),
        hostname: lease.hostname.to_vec(),
        state: state_to_proto(lease.state_at(now.instant)).into(),
        expiry_ms: now.wall.0.saturating_add(remaining),
        remaining_seconds: remaining.div_euclid(1_000),
        home: home.map(ToString::to_string).unwrap_or_default(),
        taken: lease.taken,
    }
}

/// One address that two clients were told of.
#[must_use]
pub fn conflict_view(report: &ConflictReport) -> proto::ConflictView {
    proto::ConflictView {
        address: report.kept.address.to_bits(),
        kept_client_id: report.kept.client.as_bytes().to_vec(),
        lost_client_id: report.lost.client.as_bytes().to_vec(),
        when_ms: report.when.0,
        why: report.why.clone(),
    }
}

/// An event of the time `at`.
#[must_use]
pub fn event_view(event: &Event, at: Wall) -> proto::EventView {
    let severity = match event.code.severity() {
        Severity::Info => proto::Severity::Info,
        Severity::Warning => proto::Severity::Warning,
        Severity::Alarm => proto::Severity::Alarm,
    };
    proto::EventView {
        time_ms: at.0,
        code: event.code.number().into(),
        name: event.code.name().to_owned(),
        severity: severity.into(),
        relationship: event.relationship.as_ref().map(ToString::to_string).unwrap_or_default(),
        epoch: event.epoch.map(|epoch| epoch.number),
        what: event.what.clone(),
        evidence: event.evidence.clone(),
        cause: event.cause.clone(),
    }
}

/// Whom or what to explain.
///
/// # Errors
/// Nothing is named, or a hardware address that is none.
pub fn subject(subject: Option<proto::explain_request::Subject>) -> Result<Subject, DecodeError> {
    use proto::explain_request::Subject as Wanted;
    match required("ExplainRequest.subject", subject)? {
        Wanted::Address(address) => Ok(Subject::Address(Ipv4Addr::from_bits(address))),
        Wanted::Hardware(address) => Ok(Subject::Hardware(hardware("ExplainRequest.hardware", Some(address))?)),
        Wanted::ClientId(id) => {
            at_most("ExplainRequest.client_id", id.len(), MAX_NAME)?;
            Ok(Subject::ClientId(ClientId::new(&id)))
        }
    }
}

/// What a client would meet in a scope, as it is `now`; `home` may give the address of its lease away alone.
#[must_use]
pub fn explanation_view(explanation: &Explanation, home: Option<&NodeName>, now: Now) -> proto::Explanation {
    let scope = Some(&explanation.scope);
    proto::Explanation {
        scope: explanation.scope.to_string(),
        state: scope_state(explanation.state).into(),
        reserved: explanation.reserved.map(Ipv4Addr::to_bits),
        lease: explanation.lease.as_ref().map(|lease| lease_view(lease, scope, home, now)),
        would: explanation.would.clone(),
    }
}

/// What was done about one message, as told `now`.
#[must_use]
pub fn deed_view(deed: &Deed, now: Now) -> proto::Deed {
    proto::Deed {
        time_ms: now.wall.0.saturating_add(deed.at.remaining(now.instant).0),
        message: deed.message.to_owned(),
        hardware: Some(deed.hardware.into()),
        silence: deed.silence.unwrap_or_default().to_owned(),
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_needs_its_names() {
        let request =
            |relationship: &str| proto::SwitchoverRequest { relationship: relationship.to_owned(), to: String::new() };
        let command = command::switchover(request("office")).unwrap();
        assert!(matches!(command, Command::Switchover { relationship, to: None } if relationship.as_str() == "office"));
        let missing = command::switchover(request("")).unwrap_err();
        assert_eq!(missing.to_string(), "SwitchoverRequest.relationship: missing");
        let long = proto::PausePromotionRequest { relationship: "x".repeat(256), duration_ms: 0 };
        assert!(command::pause(long).is_err());
    }
}
