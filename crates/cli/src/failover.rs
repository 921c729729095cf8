//! `standfast failover`: which node is active, by an operator's will.
//!
//! Three different things, so that nobody does one and means another: a *planned* switchover between two nodes that
//! are well; a *promise* that a node is off, given to the survivor; and a *risk* taken with open eyes.

use crate::admin::{self, Client};
use crate::exit::{Exit, Failure, Outcome};
use crate::question::{Question, refusal};
use crate::status::report::{Relationship, Report};
use clap::{ArgGroup, Args};
use serde_json::{Value, json};
use standfast_rpc::proto;

/// A partner that has more records to take than this would make a switchover long.
const MUCH_LAG: u64 = 1_000;

#[derive(Args)]
#[command(group = ArgGroup::new("what").required(true).multiple(true).args(["relationship", "partner_down"]))]
#[command(after_help = "\
Planned, while both nodes run:  standfast failover --relationship office
A node is off and stays off:    standfast failover --partner-down dhcp-a --yes
Give out addresses in spite of an embargo:  standfast failover --relationship office --accept-risk")]
pub(crate) struct Failover {
    /// The relationship
    #[arg(long, value_name = "NAME")]
    relationship: Option<String>,
    /// The node to become active; by default the one that is deactivated
    #[arg(long, value_name = "NODE", requires = "relationship", conflicts_with_all = ["partner_down", "accept_risk"])]
    to: Option<String>,
    /// Only say what would be done, and whether it would be
    #[arg(long, conflicts_with_all = ["partner_down", "accept_risk"])]
    dry_run: bool,
    /// Promise that this node is off, and stays off until it has synced again
    #[arg(long, value_name = "NODE", conflicts_with = "accept_risk")]
    partner_down: Option<String>,
    /// Since when it is off, as 2026-01-31T08:00:00Z; by default since it was last heard
    #[arg(long, value_name = "TIME", requires = "partner_down")]
    off_since: Option<jiff::Timestamp>,
    /// Promise it although there is evidence that the node serves
    #[arg(long, requires = "partner_down")]
    despite_evidence: bool,
    /// Give the promise
    #[arg(long, requires = "partner_down")]
    yes: bool,
    /// End an embargo early: an address may be given to a client while another still holds it
    #[arg(long, requires = "relationship")]
    accept_risk: bool,
    #[command(flatten)]
    question: Question,
}

impl Failover {
    pub(crate) fn run(self) -> Outcome {
        if let Some(node) = self.partner_down.as_ref().filter(|_| !self.yes) {
            return self.question.concluded(unpromised(node));
        }
        admin::block_on(async {
            let mut client = self.question.connect().await?;
            if self.partner_down.is_some() {
                self.declare_partner_down(&mut client).await
            } else if self.accept_risk {
                self.take_the_risk(&mut client).await
            } else if self.dry_run {
                self.rehearse(&mut client).await
            } else {
                self.switch_over(&mut client).await
            }
        })
    }

    async fn switch_over(self, client: &mut Client) -> Outcome {
        let request = proto::SwitchoverRequest {
            relationship: self.relationship.unwrap_or_default(),
            to: self.to.unwrap_or_default(),
        };
        let response = client.switchover(request).await.map_err(|status| admin::failed(&status))?;
        self.question.concluded(response.into_inner().result)
    }

    async fn declare_partner_down(self, client: &mut Client) -> Outcome {
        let request = proto::DeclarePartnerDownRequest {
            node: self.partner_down.unwrap_or_default(),
            relationship: self.relationship.unwrap_or_default(),
            off_since_ms: self.off_since.map(|time| time.as_millisecond()),
            despite_evidence: self.despite_evidence,
        };
        let response = client.declare_partner_down(request).await.map_err(|status| admin::failed(&status))?;
        self.question.concluded(response.into_inner().result)
    }

    async fn take_the_risk(self, client: &mut Client) -> Outcome {
        let request = proto::AcceptRiskRequest { relationship: self.relationship.unwrap_or_default() };
        let response = client.accept_risk(request).await.map_err(|status| admin::failed(&status))?;
        self.question.concluded(response.into_inner().result)
    }

    async fn rehearse(self, client: &mut Client) -> Outcome {
        let response = client.get_status(proto::GetStatusRequest {}).await.map_err(|status| admin::failed(&status))?;
        let report = Report::from(response.into_inner().status.unwrap_or_default());
        let name = self.relationship.unwrap_or_default();
        let relationship = report.relationships.iter().find(|relationship| relationship.name == name);
        let relationship = relationship.ok_or_else(|| no_such_relationship(&name, &report))?;
        let plan = Plan::new(&report.node, relationship, self.to.as_deref());
        self.question.answer(&plan.json(), || plan.text())?;
        Ok(if plan.would_be_done() { Exit::Done } else { Exit::Refused })
    }
}

fn unpromised(node: &str) -> Option<proto::CommandResult> {
    refusal(format!(
        "this promises that {node} is off and stays off until it has synced again. If it serves all the same, two \
         clients can be given one address. Look at the machine; then say it again with --yes"
    ))
}

fn no_such_relationship(name: &str, report: &Report) -> Failure {
    let known: Vec<_> = report.relationships.iter().map(|relationship| relationship.name.as_str()).collect();
    Failure::new(
        Exit::Refused,
        format!("refused: {} has no relationship `{name}`, but: {}", report.node, known.join(", ")),
    )
}

/// What a switchover would check and do.
struct Plan {
    checks: Vec<(bool, String)>,
    steps: Vec<String>,
}

impl Plan {
    fn new(node: &str, relationship: &Relationship, to: Option<&str>) -> Self {
        let partner = &relationship.partner;
        let from = relationship.active_node.as_deref();
        let other = if from == Some(node) { partner.node.as_str() } else { node };
        let to = to.unwrap_or(other);
        let name = &relationship.name;
        let both_normal = relationship.state == Some("normal") && partner.state == Some("normal");
        let state = relationship.state.unwrap_or("unknown");
        let partner_state = partner.state.unwrap_or("not heard");
        let checks = vec![
            (both_normal, format!("both nodes are normal ({node}: {state}, {}: {partner_state})", partner.node)),
            (from.is_some(), format!("somebody is active ({})", from.unwrap_or("nobody known"))),
            (from != Some(to), format!("{to} is not active yet")),
            (to == node || to == partner.node, format!("{to} is a node of {name}")),
            (partner.lag_records <= MUCH_LAG, format!("the partner follows closely ({} records)", partner.lag_records)),
        ];
        let from = from.unwrap_or("the active node");
        let steps = vec![
            format!("{from} answers no new exchange, and waits until {to} has taken every lease"),
            format!("{to} takes epoch {} and answers", relationship.epoch.number + 1),
            format!("{from} is silent; every client keeps its address"),
        ];
        Self { checks, steps }
    }

    fn would_be_done(&self) -> bool {
        self.checks.iter().all(|(holds, _)| *holds)
    }

    fn json(&self) -> Value {
        let checks: Vec<_> = self.checks.iter().map(|(holds, what)| json!({ "holds": holds, "what": what })).collect();
        json!({ "would_be_done": self.would_be_done(), "checks": checks, "steps": self.steps })
    }

    fn text(&self) -> String {
        let checks = self.checks.iter().map(|(holds, what)| format!("{}  {what}", if *holds { "yes" } else { "NO " }));
        let steps = self.steps.iter().zip(1..).map(|(step, number)| format!(" {number}.  {step}"));
        let conclusion = if self.would_be_done() { "This would be done:" } else { "This would be refused:" };
        let lines: Vec<_> = checks.chain([String::new(), conclusion.to_owned()]).chain(steps).collect();
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::question::assert_documented;
    use crate::status::report;

    fn plan(change: impl FnOnce(&mut Relationship), to: Option<&str>) -> Plan {
        let mut report = Report::from(report::example());
        change(&mut report.relationships[0]);
        Plan::new(&report.node, &report.relationships[0], to)
    }

    #[test]
    fn a_switchover_between_two_nodes_that_are_well() {
        let plan = plan(|_| {}, None);
        assert!(plan.would_be_done(), "{}", plan.text());
        assert_documented("failover --dry-run", &plan.json());
        insta::assert_snapshot!(plan.text());
    }

    #[test]
    fn a_switchover_that_would_be_refused_says_why() {
        let interrupted = |relationship: &mut Relationship| relationship.state = Some("communications-interrupted");
        for plan in [plan(interrupted, None), plan(|_| {}, Some("dhcp-a")), plan(|_| {}, Some("dhcp-c"))] {
            assert!(!plan.would_be_done() && plan.text().contains("NO "), "{}", plan.text());
        }
    }
}
