//! `standfast config diff`: what a cluster file would change, and whose leases that touches, before it is done.

use super::{count, load};
use crate::admin::{self, Client};
use crate::exit::{Exit, Failure, Outcome};
use crate::question::Question;
use crate::words;
use clap::Args;
use serde_json::{Value, json};
use standfast_rpc::proto;
use std::net::Ipv4Addr;
use std::path::PathBuf;

#[derive(Args)]
pub(crate) struct Diff {
    /// The cluster file
    file: PathBuf,
    #[command(flatten)]
    question: Question,
}

impl Diff {
    pub(crate) fn run(self) -> Outcome {
        let text = load(&self.file)?.configuration.text.to_string();
        admin::block_on(async {
            let mut client = self.question.connect().await?;
            let changes = Changes::fetch(&mut client, text).await?;
            self.question.answer(&changes.json(), || changes.text())?;
            Ok(if changes.refused() == 0 { Exit::Done } else { Exit::Refused })
        })
    }
}

/// What the node says of a file.
pub(super) struct Changes(proto::DiffConfigurationResponse);

impl Changes {
    pub(super) async fn fetch(client: &mut Client, text: String) -> Result<Self, Failure> {
        let response = client.diff_configuration(proto::DiffConfigurationRequest { text }).await;
        let response = response.map_err(|status| admin::failed(&status))?.into_inner();
        refuse_mistakes(&response.mistakes)?;
        Ok(Self(response))
    }

    /// What it is compared with.
    pub(super) fn revision(&self) -> Option<proto::Revision> {
        self.0.revision.clone()
    }

    /// Whether nothing would change.
    pub(super) fn is_empty(&self) -> bool {
        self.0.changes.is_empty()
    }

    /// How many changes cannot be applied.
    pub(super) fn refused(&self) -> usize {
        self.0.changes.iter().filter(|change| !change.refused.is_empty()).count()
    }

    /// How many leases it touches.
    pub(super) fn live(&self) -> u64 {
        self.0.changes.iter().flat_map(|change| &change.touched).map(|touched| touched.live).sum()
    }

    /// For people: what to do first, then every change.
    pub(super) fn text(&self) -> String {
        let revision = words::revision(self.0.revision.as_ref());
        if self.0.changes.is_empty() {
            return format!("Nothing would change: revision {revision} says the same.");
        }
        let mut lines = Vec::new();
        if self.refused() > 0 {
            lines.push("TO DO  This would be refused: do first what REFUSED says below.\n".to_owned());
        } else if self.live() > 0 {
            let leases = count(usize::try_from(self.live()).unwrap_or(usize::MAX), "lease");
            lines.push(format!("TO DO  Look at the {leases} that this touches.\n"));
        }
        lines.push(format!("Against revision {revision}:"));
        lines.extend(self.0.changes.iter().flat_map(change_lines));
        lines.join("\n")
    }

    pub(super) fn json(&self) -> Value {
        let revision = self.revision().unwrap_or_default();
        json!({
            "revision": { "number": revision.number, "node": revision.node },
            "refused": self.refused() > 0,
            "live_leases_touched": self.live(),
            "changes": self.0.changes.iter().map(change_json).collect::<Vec<_>>(),
        })
    }
}

/// A file that this program takes and the node does not: it is of another version.
pub(super) fn refuse_mistakes(mistakes: &[String]) -> Result<(), Failure> {
    if mistakes.is_empty() {
        return Ok(());
    }
    let mistakes = mistakes.join("\n");
    Err(Failure::new(Exit::BadConfiguration, format!("the node cannot use this file: {mistakes}")))
}

fn change_lines(change: &proto::ConfigurationChange) -> Vec<String> {
    let sign = match change.kind() {
        proto::ChangeKind::Added => '+',
        proto::ChangeKind::Removed => '-',
        proto::ChangeKind::Changed | proto::ChangeKind::Unspecified => '~',
    };
    let mut lines = vec![format!("{sign} {} {}", change.part, change.name)];
    for key in &change.keys {
        match (key.before.as_slice(), key.after.as_slice()) {
            ([before], [after]) => lines.push(format!("    {}: {before} -> {after}", key.key)),
            (before, after) => {
                lines.extend(before.iter().map(|item| format!("    {}: - {item}", key.key)));
                lines.extend(after.iter().map(|item| format!("    {}: + {item}", key.key)));
            }
        }
    }
    lines.extend(change.touched.iter().flat_map(touched_lines));
    lines.extend(change.afterwards.iter().map(|what| format!("    afterwards: {what}")));
    lines.extend(change.refused.iter().map(|why| format!("    REFUSED: {why}")));
    lines
}

fn touched_lines(touched: &proto::TouchedLeases) -> Vec<String> {
    let (first, last) = (Ipv4Addr::from_bits(touched.first), Ipv4Addr::from_bits(touched.last));
    let range = if first == last { first.to_string() } else { format!("{first}-{last}") };
    let mut lines = vec![format!("    {range}: {}", touched.effect)];
    if touched.live > 0 {
        let examples: Vec<String> = examples(touched).iter().map(ToString::to_string).collect();
        let more = if touched.live > touched.examples.len() as u64 { ", .." } else { "" };
        lines.push(format!("      {} leased now: {}{more}", touched.live, examples.join(", ")));
    }
    lines
}

fn examples(touched: &proto::TouchedLeases) -> Vec<Ipv4Addr> {
    touched.examples.iter().map(|&address| Ipv4Addr::from_bits(address)).collect()
}

fn change_json(change: &proto::ConfigurationChange) -> Value {
    let kind = match change.kind() {
        proto::ChangeKind::Added => "added",
        proto::ChangeKind::Removed => "removed",
        proto::ChangeKind::Changed | proto::ChangeKind::Unspecified => "changed",
    };
    let key = |key: &proto::KeyChange| json!({ "key": key.key, "before": key.before, "after": key.after });
    let touched = |touched: &proto::TouchedLeases| {
        json!({
            "first": Ipv4Addr::from_bits(touched.first),
            "last": Ipv4Addr::from_bits(touched.last),
            "effect": touched.effect,
            "live": touched.live,
            "examples": examples(touched),
        })
    };
    json!({
        "part": change.part,
        "name": change.name,
        "kind": kind,
        "keys": change.keys.iter().map(key).collect::<Vec<_>>(),
        "touched": change.touched.iter().map(touched).collect::<Vec<_>>(),
        "refused": change.refused,
        "afterwards": change.afterwards,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::question::assert_documented;

    #[test]
    fn what_to_do_comes_first_then_every_change_with_its_leases() {
        let address = |last: u32| 0x0a14_0000 + last;
        let change = proto::ConfigurationChange {
            part: "scope".into(),
            name: "lan".into(),
            kind: proto::ChangeKind::Changed.into(),
            keys: vec![proto::KeyChange {
                key: "lease_time".into(),
                before: vec!["8h".into()],
                after: vec!["1h".into()],
            }],
            touched: vec![proto::TouchedLeases {
                first: address(50),
                last: address(59),
                effect: "no longer given away".into(),
                live: 9,
                examples: (50..58).map(address).collect(),
            }],
            refused: Vec::new(),
            afterwards: Vec::new(),
        };
        let revision = Some(proto::Revision { number: 3, node: "dhcp-a".into() });
        let mut response = proto::DiffConfigurationResponse { revision, mistakes: Vec::new(), changes: vec![change] };
        insta::assert_snapshot!(Changes(response.clone()).text());
        assert_documented("config", &Changes(response.clone()).json());
        assert_eq!(Changes(response.clone()).json()["changes"][0]["touched"][0]["first"], "10.20.0.50");
        response.changes[0].refused = vec!["the addresses of lan go to other nodes".into()];
        let text = Changes(response.clone()).text();
        assert!(text.starts_with("TO DO  This would be refused"), "{text}");
        response.changes.clear();
        assert_eq!(Changes(response).text(), "Nothing would change: revision 3 of dhcp-a says the same.");
    }
}
