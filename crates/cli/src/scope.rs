//! `standfast scope`: what scopes there are, and whether anybody serves them.

use crate::admin::{self, Server};
use crate::exit::{Exit, Failure, Outcome};
use crate::output;
use crate::status;
use clap::{Args, Subcommand};
use standfast_rpc::proto;

#[derive(Subcommand)]
pub(crate) enum Scope {
    /// List the scopes of a node
    List(List),
    /// Have a scope served by nobody, on all nodes; its clients keep their leases until they end
    Disable(Set),
    /// Have a disabled scope served again
    Enable(Set),
}

#[derive(Args)]
pub(crate) struct List {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

#[derive(Args)]
pub(crate) struct Set {
    /// The scope
    name: String,
    /// Do without a node that cannot be reached; it takes the change when it comes back
    #[arg(long, value_name = "NODE")]
    without: Vec<String>,
    #[command(flatten)]
    server: Server,
}

impl Scope {
    pub(crate) fn run(self) -> Outcome {
        match self {
            Self::List(list) => list.run(),
            Self::Disable(set) => set.run(true),
            Self::Enable(set) => set.run(false),
        }
    }
}

impl List {
    fn run(self) -> Outcome {
        admin::block_on(async {
            let scopes = status::fetch(&self.server).await?.scopes;
            if self.json {
                output::line(&serde_json::to_string(&scopes).map_err(|error| Failure::new(Exit::Failed, error))?);
            } else if scopes.is_empty() {
                output::line("This node has no scopes.");
            } else {
                output::line(&status::scopes(&scopes).trim_fmt());
            }
            Ok(Exit::Done)
        })
    }
}

impl Set {
    fn run(self, disabled: bool) -> Outcome {
        admin::block_on(async {
            let mut client = self.server.connect().await?;
            let (scope, without) = (self.name, self.without);
            let request = proto::SetScopeDisabledRequest { scope, disabled, without };
            let response = client.set_scope_disabled(request).await.map_err(|status| admin::failed(&status))?;
            admin::concluded(response.into_inner().result)
        })
    }
}
