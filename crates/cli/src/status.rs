//! `standfast status`: what a node says of itself and of its partners, the one thing to do first.

pub(crate) mod follow;
pub(crate) mod report;
pub(crate) mod timeline;
mod watch;

use crate::admin::{self, Server};
use crate::exit::{Exit, Failure, Outcome};
use crate::output;
use crate::question::Question;
use crate::words;
use clap::Args;
use comfy_table::{Cell, Color, Table};
use report::{Partner, Relationship, Report, Scope};
use standfast_node::clock;
use standfast_rpc::proto;

#[derive(Args)]
pub(crate) struct Status {
    #[command(flatten)]
    question: Question,
    /// Stay, and show how it changes
    #[arg(long)]
    watch: bool,
}

impl Status {
    pub(crate) fn run(self) -> Outcome {
        admin::block_on(async {
            if self.watch {
                return watch::run(&self.question).await;
            }
            let report = fetch(&self.question.server).await?;
            self.question.answer(&report, || text(&report, clock::wall().0))?;
            Ok(if report.is_degraded() { Exit::Degraded } else { Exit::Done })
        })
    }
}

pub(crate) async fn fetch(server: &Server) -> Result<Report, Failure> {
    let mut client = server.connect().await?;
    let response = client.get_status(proto::GetStatusRequest {}).await.map_err(|status| admin::failed(&status))?;
    Ok(response.into_inner().status.unwrap_or_default().into())
}

/// Tells a scope without leases from one that does not exist.
pub(crate) async fn must_have_scope(server: &Server, name: &str) -> Result<(), Failure> {
    let scopes = fetch(server).await?.scopes;
    if scopes.iter().any(|scope| scope.name == name) {
        return Ok(());
    }
    Err(Failure::new(Exit::Failed, format!("this node has no scope {name}; `standfast scope list` shows them")))
}

/// For people, at `now`, in milliseconds since 1970.
fn text(report: &Report, now: i64) -> String {
    let mut parts = Vec::new();
    if let Some(todo) = &report.todo {
        parts.push(format!("TO DO  {todo}\n"));
    }
    parts.push(headline(report));
    if !report.relationships.is_empty() {
        parts.push(format!("\n{}", relationships(&report.relationships, now).trim_fmt()));
    }
    if !report.scopes.is_empty() {
        parts.push(format!("\n{}", scopes(&report.scopes).trim_fmt()));
    }
    let notes = report.relationships.iter().flat_map(notes);
    let notes: Vec<_> = notes.chain(report.configuration_notes.iter().map(|note| words::wrapped(note))).collect();
    parts.extend((!notes.is_empty()).then(|| format!("\n{}", notes.join("\n"))));
    parts.join("\n")
}

fn headline(report: &Report) -> String {
    let well = if report.is_degraded() { "degraded" } else { "well" };
    format!("{}: the cluster {} is {well}; revision {}", report.node, report.cluster, report.revision.number)
}

fn relationships(relationships: &[Relationship], now: i64) -> Table {
    let header = ["RELATIONSHIP", "STATE", "THIS NODE", "ACTIVE", "EPOCH", "SINCE", "PARTNER"];
    let rows = relationships.iter().map(|relationship| {
        let active_node = relationship.active_node.as_deref().unwrap_or("nobody known");
        vec![
            Cell::new(&relationship.name),
            coloured(state_of(relationship)),
            coloured(relationship.role.unwrap_or("-").to_owned()),
            Cell::new(active_node),
            Cell::new(relationship.epoch.number),
            Cell::new(relationship.since_ms.map_or_else(|| "-".to_owned(), |since| words::local(since, now))),
            Cell::new(partner(&relationship.partner)),
        ]
    });
    output::unbroken(output::table(header, rows), [1, 2])
}

/// The state, with what it stands on.
fn state_of(relationship: &Relationship) -> String {
    let state = relationship.state.unwrap_or("unknown");
    relationship.proof.map_or_else(|| state.to_owned(), |proof| format!("{state} ({proof})"))
}

fn partner(partner: &Partner) -> String {
    let Some(state) = partner.state else { return format!("{}: not heard yet", partner.node) };
    let said = if partner.connected { "" } else { "last said " };
    let mut parts = vec![format!("{}: {said}{state}", partner.node)];
    parts.extend(partner.heartbeat_age_ms.map(|age| format!("heard {} ago", words::roughly(age))));
    parts.extend(
        partner.rtt_ms.filter(|_| partner.connected).map(|rtt| format!("round trip {:.1} ms", rtt.as_millis())),
    );
    parts.extend((partner.lag_records > 0).then(|| format!("{} records behind", partner.lag_records)));
    // Less than a second is what clocks without a common source do.
    parts.extend(partner.skew_ms.filter(|skew| skew.abs() >= 1_000).map(|skew| format!("clock off by {skew} ms")));
    parts.join("\n")
}

fn notes(relationship: &Relationship) -> impl Iterator<Item = String> {
    relationship.notes().into_iter().map(|note| format!("{}: {note}", relationship.name))
}

/// Declined addresses are rare, and have a column only if there are any.
pub(crate) fn scopes(scopes: &[Scope]) -> Table {
    let any_declined = scopes.iter().any(|scope| scope.declined > 0);
    let declined = any_declined.then_some("DECLINED");
    let header = ["SCOPE", "SUBNET", "HERE", "SIZE", "BOUND", "FREE HERE", "FREE THERE", "RESERVED"];
    let rows = scopes.iter().map(|scope| {
        let numbers = [scope.addresses, scope.bound, scope.free_home, scope.free_partner, scope.reserved];
        let numbers = numbers.into_iter().chain(any_declined.then_some(scope.declined));
        let words = [Cell::new(&scope.name), Cell::new(&scope.subnet), coloured(scope.state.unwrap_or("-").to_owned())];
        words.into_iter().chain(numbers.map(output::number)).collect()
    });
    output::unbroken(output::table(header.into_iter().chain(declined), rows), [1, 2])
}

/// Colour repeats what the word says; the table drops it where it is not wanted.
fn coloured(word: String) -> Cell {
    let colour = match word.as_str() {
        "normal" | "active" => Color::Green,
        "deactivated" | "disabled" => Color::DarkGrey,
        _ => Color::Yellow,
    };
    Cell::new(word).fg(colour)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(status: proto::Status) -> String {
        let text = text(&status.into(), 1_700_000_000_000 + 86_400_000);
        let widest = text.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(100), "{widest:?} columns:\n{text}");
        text
    }

    #[test]
    fn a_pair_that_is_well() {
        // The time of day depends on where the test runs.
        let since = words::local(1_700_000_000_000, 1_700_000_000_000 + 86_400_000);
        insta::assert_snapshot!(shown(report::example()).replace(&since, "2023-11-14 22:13"));
    }

    #[test]
    fn what_to_do_comes_first_and_the_longest_words_fit() {
        let mut status = report::example();
        status.todo = "office: dhcp-a is not heard; bring it back".into();
        let relationship = &mut status.relationships[0];
        relationship.set_state(proto::Phase::CommunicationsInterrupted);
        relationship.active_node = "a-node-with-a-long-name.example.net".into();
        let partner = relationship.partner.as_mut().unwrap();
        partner.heartbeat_age_ms = Some(3_600_000);
        partner.skew_ms = Some(-90_000);
        partner.evidence = "partner seen serving: the link is cut, the node is not dead".into();
        let text = shown(status);
        assert!(text.starts_with("TO DO  office: dhcp-a is not heard; bring it back\n"), "{text}");
        assert!(text.ends_with("office: partner seen serving: the link is cut, the node is not dead"), "{text}");
    }
}
