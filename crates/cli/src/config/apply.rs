//! `standfast config apply`: a cluster file becomes the next revision, on every node or on none.

use super::changes::{Changes, refuse_mistakes};
use super::load;
use crate::admin::{self, Server};
use crate::exit::{Exit, Failure, Outcome};
use crate::output;
use clap::Args;
use serde_json::json;
use standfast_rpc::proto;
use std::path::PathBuf;

#[derive(Args)]
pub(crate) struct Apply {
    /// The cluster file
    file: PathBuf,
    /// Only ask every node whether it would take it
    #[arg(long)]
    dry_run: bool,
    /// Do without a node that cannot be reached; it takes the revision when it comes back
    #[arg(long, value_name = "NODE")]
    without: Vec<String>,
    /// Apply it although leases are touched
    #[arg(long)]
    yes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

impl Apply {
    pub(crate) fn run(self) -> Outcome {
        let text = load(&self.file)?.configuration.text.to_string();
        admin::block_on(async {
            let mut client = self.server.connect().await?;
            let changes = Changes::fetch(&mut client, text.clone()).await?;
            if !self.json {
                output::line(&changes.text());
            }
            if changes.live() > 0 && !self.yes && !self.dry_run {
                return Err(Failure::new(Exit::Refused, unconfirmed(changes.live())));
            }
            let request = proto::ApplyConfigurationRequest {
                text,
                base: changes.revision(),
                without: self.without,
                dry_run: self.dry_run,
            };
            let response = client.apply_configuration(request).await.map_err(|status| admin::failed(&status))?;
            let proto::ApplyConfigurationResponse { mistakes, result } = response.into_inner();
            refuse_mistakes(&mistakes)?;
            if self.json { said_as_json(&changes, result) } else { admin::concluded(result) }
        })
    }
}

fn unconfirmed(live: u64) -> String {
    format!("refused: clients hold {live} of the leases that this touches; look at them, then say it again with --yes")
}

fn said_as_json(changes: &Changes, result: Option<proto::CommandResult>) -> Outcome {
    let result = result.unwrap_or_default();
    let (outcome, exit) = match result.outcome() {
        proto::Outcome::Done => ("done", Exit::Done),
        proto::Outcome::Refused => ("refused", Exit::Refused),
        proto::Outcome::Failed | proto::Outcome::Unspecified => ("failed", Exit::Failed),
    };
    output::line(&json!({ "outcome": outcome, "text": result.text, "diff": changes.json() }).to_string());
    Ok(exit)
}
