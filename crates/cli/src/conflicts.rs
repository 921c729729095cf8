//! `standfast conflicts`: addresses that two clients were told of.

use crate::admin;
use crate::exit::{Exit, Outcome};
use crate::output;
use crate::question::Question;
use crate::words;
use clap::Args;
use comfy_table::Cell;
use serde::Serialize;
use standfast_node::clock;
use standfast_rpc::proto;
use std::net::Ipv4Addr;

#[derive(Args)]
pub(crate) struct Conflicts {
    #[command(flatten)]
    question: Question,
}

/// A conflict as `--json` prints it: an interface, to which fields are only added.
#[derive(Serialize)]
struct Conflict {
    address: Ipv4Addr,
    kept: String,
    lost: String,
    when: String,
    why: String,
    #[serde(skip)]
    when_ms: i64,
}

impl Conflicts {
    pub(crate) fn run(self) -> Outcome {
        admin::block_on(async {
            let mut client = self.question.connect().await?;
            let response =
                client.list_conflicts(proto::ListConflictsRequest {}).await.map_err(|status| admin::failed(&status))?;
            let conflicts: Vec<_> = response.into_inner().conflicts.into_iter().map(Conflict::from).collect();
            self.question.answer(&conflicts, || text(&conflicts, clock::wall().0))?;
            Ok(Exit::Done)
        })
    }
}

impl From<proto::ConflictView> for Conflict {
    fn from(conflict: proto::ConflictView) -> Self {
        Self {
            address: Ipv4Addr::from_bits(conflict.address),
            kept: words::client_id(&conflict.kept_client_id),
            lost: words::client_id(&conflict.lost_client_id),
            when: words::rfc3339(conflict.when_ms),
            why: conflict.why,
            when_ms: conflict.when_ms,
        }
    }
}

/// For people, at `now`, in milliseconds since 1970.
fn text(conflicts: &[Conflict], now: i64) -> String {
    if conflicts.is_empty() {
        return "No conflicts.".to_owned();
    }
    let rows = conflicts.iter().map(|conflict| {
        let when = words::local(conflict.when_ms, now);
        [&conflict.address.to_string(), &conflict.kept, &conflict.lost, &when, &conflict.why].map(Cell::new).into()
    });
    let table = output::table(["ADDRESS", "KEPT BY", "LOST BY", "WHEN", "WHY"], rows).trim_fmt();
    format!("TO DO  Make the clients that lost their address ask for a new one: restart their network.\n\n{table}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::question::assert_documented;

    #[test]
    fn what_to_do_comes_first() {
        let conflict = Conflict::from(proto::ConflictView {
            address: Ipv4Addr::new(10, 20, 0, 50).to_bits(),
            kept_client_id: vec![1, 2, 0, 0x5e, 0x10, 0, 1],
            lost_client_id: vec![1, 2, 0, 0x5e, 0x10, 0, 2],
            when_ms: 1_700_000_000_000,
            why: "dhcp-a was said to be off, and served".into(),
        });
        let json = serde_json::to_string(&conflict).unwrap();
        assert_documented("conflicts", &[&conflict]);
        // The time of day depends on where the test runs.
        let when = words::local(conflict.when_ms, conflict.when_ms);
        let text = text(&[conflict], 1_700_000_000_000).replace(&when, "22:13:20");
        insta::assert_snapshot!(format!("{json}\n\n{text}"));
    }
}
