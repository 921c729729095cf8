//! The configuration as operators see and change it. Texts are read here, off the serving loop.

use super::access::Who;
use super::service::{AdminServer, MAX_WORDS};
use crate::clock;
use crate::cluster_file::diff::{Change, Touched, What, diff};
use crate::cluster_file::edit::set_scope_disabled;
use crate::cluster_file::revision::{read, told};
use crate::cluster_file::{Cluster, ClusterFile};
use standfast_core::configuration::{Act, Configuration};
use standfast_core::id::{NodeName, Revision};
use standfast_core::input::{Apply, Command};
use standfast_core::node::Node;
use standfast_core::output::CommandResult;
use standfast_core::time::Now;
use standfast_rpc::convert::{self, DecodeError, Text};
use standfast_rpc::proto;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;
use tonic::Status as Refusal;

/// Leased addresses that are named for one change.
const EXAMPLES: usize = 8;
/// Leases that are looked at for one change.
const LOOKED_AT: usize = 100_000;

impl AdminServer {
    pub(super) async fn configuration(&self) -> Result<Arc<Configuration>, Refusal> {
        self.look(|node, _| Arc::clone(node.configuration())).await
    }

    pub(super) async fn compare(&self, text: String) -> Result<proto::DiffConfigurationResponse, Refusal> {
        let current = self.configuration().await?;
        let revision = Some(current.revision.clone().into());
        let compared = elsewhere(move || {
            let new = ClusterFile::parse("the file", &text).map_err(|mistakes| told(&mistakes))?;
            Ok::<_, String>(diff(&again(&current)?, &new))
        });
        let changes = match compared.await? {
            Ok(changes) => changes,
            Err(mistakes) => {
                return Ok(proto::DiffConfigurationResponse {
                    revision,
                    mistakes: vec![mistakes],
                    changes: Vec::new(),
                });
            }
        };
        let mut views = Vec::new();
        for change in &changes {
            let mut view = change_view(change);
            for touched in &change.touched {
                view.touched.push(self.touched(touched).await?);
            }
            views.push(view);
        }
        Ok(proto::DiffConfigurationResponse { revision, mistakes: Vec::new(), changes: views })
    }

    async fn touched(&self, touched: &Touched) -> Result<proto::TouchedLeases, Refusal> {
        let range = touched.addresses;
        let live = move |node: &Node, now: Now| -> Vec<Ipv4Addr> {
            let leases = node.leases_between(range.first, range.last).take(LOOKED_AT);
            leases.filter(|lease| lease.is_live(now.instant)).map(|lease| lease.address).collect()
        };
        let live = self.look(live).await?;
        Ok(proto::TouchedLeases {
            first: range.first.to_bits(),
            last: range.last.to_bits(),
            effect: touched.effect.to_string(),
            live: live.len() as u64,
            examples: live.iter().take(EXAMPLES).map(|address| address.to_bits()).collect(),
        })
    }

    pub(super) async fn apply(
        &self,
        who: Who,
        request: proto::ApplyConfigurationRequest,
    ) -> Result<proto::ApplyConfigurationResponse, Refusal> {
        let base = request.base.map(Revision::try_from).transpose().map_err(bad)?;
        let without = names(request.without)?;
        let act = act(&who);
        let text = request.text;
        let read = elsewhere(move || ClusterFile::parse("the file", &text).map_err(|mistakes| told(&mistakes)));
        let cluster = match read.await? {
            Ok(cluster) => cluster,
            Err(mistakes) => {
                return Ok(proto::ApplyConfigurationResponse { mistakes: vec![mistakes], result: None });
            }
        };
        let configuration = Arc::new(Configuration { act, ..cluster.configuration });
        let apply = Apply { configuration, base, without, dry_run: request.dry_run };
        let result = Some(self.command(who, Ok(Command::Apply(apply))).await?);
        Ok(proto::ApplyConfigurationResponse { mistakes: Vec::new(), result })
    }

    /// Disables or enables a scope, by a change of the text in use.
    pub(super) async fn disable_scope(
        &self,
        who: Who,
        request: proto::SetScopeDisabledRequest,
    ) -> Result<proto::CommandResult, Refusal> {
        let current = self.configuration().await?;
        let refused = |why: String| Ok(convert::result_to_proto(CommandResult::Refused(why)));
        let scope = current.scopes.iter().find(|scope| scope.name.as_str() == request.scope);
        let Some(scope) = scope else {
            let name = &request.scope;
            return refused(format!("there is no scope {name}; `standfast scope list` shows them"));
        };
        if scope.disabled == request.disabled {
            let is = if scope.disabled { "disabled" } else { "enabled" };
            return Ok(convert::result_to_proto(CommandResult::Done(format!("{} is {is} already", scope.name))));
        }
        let without = names(request.without)?;
        let mut act = act(&who);
        let verb = if request.disabled { "disable" } else { "enable" };
        let deed = format!("scope {verb} {}", scope.name);
        act.why = if act.why.is_empty() { deed } else { format!("{deed}: {}", act.why) };
        let base = Some(current.revision.clone());
        let edited = elsewhere(move || {
            let text = set_scope_disabled(&current.text, &request.scope, request.disabled);
            let text = text.map_err(|error| error.to_string())?;
            ClusterFile::parse("the configuration in use", &text).map_err(|mistakes| told(&mistakes))
        });
        match edited.await? {
            Ok(cluster) => {
                let configuration = Arc::new(Configuration { act, ..cluster.configuration });
                self.command(who, Ok(Command::Apply(Apply { configuration, base, without, dry_run: false }))).await
            }
            Err(why) => refused(why),
        }
    }
}

/// Reads what takes long where it holds up nobody.
async fn elsewhere<T: Send + 'static>(read: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(read).await.map_err(|error| Refusal::internal(error.to_string()))
}

/// The cluster of a configuration in use, whose text was read before.
fn again(configuration: &Configuration) -> Result<Cluster, String> {
    let (revision, act) = (configuration.revision.clone(), configuration.act.clone());
    read(&Text { revision, act, text: configuration.text.to_string() })
}

fn act(who: &Who) -> Act {
    Act { who: who.name(), why: who.reason().to_owned(), when: clock::wall() }
}

fn names(names: Vec<String>) -> Result<BTreeSet<NodeName>, Refusal> {
    match names.iter().find(|name| name.is_empty() || name.len() > MAX_WORDS) {
        Some(_) => Err(Refusal::invalid_argument("a node in `without` has no name that could be one")),
        None => Ok(names.into_iter().map(NodeName::from).collect()),
    }
}

fn bad(error: DecodeError) -> Refusal {
    Refusal::invalid_argument(error.to_string())
}

fn change_view(change: &Change) -> proto::ConfigurationChange {
    let (kind, keys) = match &change.what {
        What::Added => (proto::ChangeKind::Added, Vec::new()),
        What::Removed => (proto::ChangeKind::Removed, Vec::new()),
        What::Changed(keys) => (proto::ChangeKind::Changed, keys.clone()),
    };
    let key = |change: crate::cluster_file::diff::KeyChange| proto::KeyChange {
        key: change.key.to_owned(),
        before: change.before,
        after: change.after,
    };
    proto::ConfigurationChange {
        part: change.kind.to_string(),
        name: change.name.clone(),
        kind: kind.into(),
        keys: keys.into_iter().map(key).collect(),
        touched: Vec::new(),
        refused: change.refused.clone(),
        afterwards: change.afterwards.clone(),
    }
}
