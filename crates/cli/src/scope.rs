//! `standfast scope`: what scopes there are, and whether anybody serves them.

use crate::admin;
use crate::exit::{Exit, Outcome};
use crate::question::Question;
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
    #[command(flatten)]
    question: Question,
}

#[derive(Args)]
pub(crate) struct Set {
    /// The scope
    name: String,
    /// Do without a node that cannot be reached; it takes the change when it comes back
    #[arg(long, value_name = "NODE")]
    without: Vec<String>,
    #[command(flatten)]
    question: Question,
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
            let scopes = status::fetch(&self.question.server).await?.scopes;
            self.question.answer(&scopes, || text(&scopes))?;
            Ok(Exit::Done)
        })
    }
}

fn text(scopes: &[status::report::Scope]) -> String {
    if scopes.is_empty() { "This node has no scopes.".to_owned() } else { status::scopes(scopes).trim_fmt() }
}

impl Set {
    fn run(self, disabled: bool) -> Outcome {
        admin::block_on(async {
            let mut client = self.question.connect().await?;
            let (scope, without) = (self.name, self.without);
            let request = proto::SetScopeDisabledRequest { scope, disabled, without };
            let response = client.set_scope_disabled(request).await.map_err(|status| admin::failed(&status))?;
            self.question.concluded(response.into_inner().result)
        })
    }
}
