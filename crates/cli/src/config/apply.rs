//! `standfast config apply`: a cluster file becomes the next revision, on every node or on none.

use super::changes::{Changes, refuse_mistakes};
use super::load;
use crate::admin;
use crate::exit::Outcome;
use crate::output;
use crate::question::{Question, refusal};
use clap::Args;
use serde_json::Value;
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
    #[command(flatten)]
    question: Question,
}

impl Apply {
    pub(crate) fn run(self) -> Outcome {
        let text = load(&self.file)?.configuration.text.to_string();
        admin::block_on(async {
            let mut client = self.question.connect().await?;
            let changes = Changes::fetch(&mut client, text.clone()).await?;
            // What a node says of a file that changes nothing says it all.
            if !self.question.json && !changes.is_empty() {
                output::line(&changes.text());
            }
            let with_diff = |mut act: Value| {
                act["diff"] = changes.json();
                act
            };
            if changes.live() > 0 && !self.yes && !self.dry_run {
                return self.question.concluded_with(unconfirmed(changes.live()), with_diff);
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
            self.question.concluded_with(result, with_diff)
        })
    }
}

fn unconfirmed(live: u64) -> Option<proto::CommandResult> {
    refusal(format!("clients hold {live} of the leases that this touches; look at them, then say it again with --yes"))
}
