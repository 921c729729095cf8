//! The services: who may ask what, and how answers become messages.

use super::access::{Who, may_change, may_look};
use super::doctor::{Facts, House};
use super::leases::{LeasePage, LeaseQuery, PlacedLease, page};
use crate::events::{EventLog, Happened};
use crate::handle::{NodeHandle, Unavailable};
use standfast_core::event::{Code, Event};
use standfast_core::failover::relationship::ConflictReport;
use standfast_core::id::{NodeName, RelationshipName};
use standfast_core::input::Command;
use standfast_core::node::{Explanation, Node, Subject};
use standfast_core::output::CommandResult;
use standfast_core::time::Now;
use standfast_rpc::convert::{self, DecodeError, MAX_TEXT};
use standfast_rpc::proto::admin_service_server::{AdminService, AdminServiceServer};
use standfast_rpc::proto::{self, DESCRIPTORS};
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{broadcast, mpsc};
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::Routes;
use tonic::{Request, Response, Status as Refusal};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// A watcher is sent no more than ten statuses a second.
const FASTEST_WATCH: Duration = Duration::from_millis(100);
/// How often the health of relationships is looked at.
const HEALTH_EVERY: Duration = Duration::from_millis(500);
/// A switchover takes a heartbeat timeout at most, everything else one turn of the serving loop.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);
/// Deeds that an explanation shows.
const DEEDS: usize = 20;
/// The longest reason or name in a request.
pub(super) const MAX_WORDS: usize = 1 << 10;
/// Requests are small, but for those that bring a cluster file.
const MAX_REQUEST: usize = MAX_TEXT + (64 << 10);

/// Admin, health and reflection, for a server.
///
/// Must be called within a runtime, which keeps the health of each relationship up to date.
#[must_use]
pub fn routes(node: NodeHandle, events: EventLog, house: House) -> Routes {
    let (reporter, health) = tonic_health::server::health_reporter();
    tokio::spawn(report_health(reporter, node.clone()));
    let service = AdminServiceServer::new(AdminServer { node, events, house: Arc::new(house) })
        .max_decoding_message_size(MAX_REQUEST);
    let routes = Routes::new(service).add_service(health);
    let reflection = tonic_reflection::server::Builder::configure().register_encoded_file_descriptor_set(DESCRIPTORS);
    match reflection.build_v1() {
        Ok(reflection) => routes.add_service(reflection),
        Err(error) => {
            tracing::warn!(%error, "gRPC reflection is off: the descriptors cannot be read");
            routes
        }
    }
}

/// Health goes by the name of a relationship: serving while this node answers its clients.
async fn report_health(reporter: HealthReporter, node: NodeHandle) {
    let serving = |node: &Node, _: Now| -> Vec<(RelationshipName, bool)> {
        node.serving().map(|(name, serves)| (name.clone(), serves)).collect()
    };
    loop {
        // A node that is too busy to say so is looked at again.
        for (relationship, serves) in node.look(serving).await.unwrap_or_default() {
            let status = if serves { ServingStatus::Serving } else { ServingStatus::NotServing };
            reporter.set_service_status(relationship.as_str(), status).await;
        }
        tokio::time::sleep(HEALTH_EVERY).await;
    }
}

/// Answers operators.
#[derive(Clone)]
pub struct AdminServer {
    node: NodeHandle,
    events: EventLog,
    house: Arc<House>,
}

impl AdminServer {
    pub(super) async fn command(
        &self,
        who: Who,
        command: Result<Command, DecodeError>,
    ) -> Result<proto::CommandResult, Refusal> {
        let command = command.map_err(|error| Refusal::invalid_argument(error.to_string()))?;
        let asked = in_words(&command);
        let result = in_time(self.node.command(command)).await?;
        self.events.add(Event {
            code: Code::OperatorActed,
            relationship: None,
            epoch: None,
            what: asked,
            evidence: match &result {
                CommandResult::Done(text) => format!("done: {text}"),
                CommandResult::Refused(text) => format!("refused: {text}"),
                CommandResult::Failed(text) => format!("failed: {text}"),
            },
            cause: who.to_string(),
        });
        Ok(convert::result_to_proto(result))
    }

    pub(super) async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Node, Now) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        in_time(self.node.look(look)).await
    }

    async fn status(&self) -> Result<proto::Status, Refusal> {
        Ok(convert::status_to_proto(self.look(|node, _| node.status()).await?))
    }
}

/// What an operator asks for, for the event log.
fn in_words(command: &Command) -> String {
    let of = |relationship: &Option<RelationshipName>| {
        relationship.as_ref().map_or_else(|| "all relationships".to_owned(), ToString::to_string)
    };
    match command {
        Command::Switchover { relationship, to: Some(node) } => format!("switchover of {relationship} to {node}"),
        Command::Switchover { relationship, to: None } => format!("switchover of {relationship}"),
        Command::PartnerDown { node, relationship, off_since, despite_evidence } => {
            let since = off_since.map(|since| format!(", off since {} ms after 1970", since.0)).unwrap_or_default();
            let despite = if *despite_evidence { ", against evidence" } else { "" };
            format!("partner-down of {node} in {}{since}{despite}", of(relationship))
        }
        Command::AcceptRisk { relationship } => format!("end of the embargo of {relationship}, at the operator's risk"),
        Command::Init => "declaration that the cluster is new".to_owned(),
        Command::Pause { relationship, duration } if duration.is_zero() => {
            format!("end of the pause of {}", of(relationship))
        }
        Command::Pause { relationship, duration } => {
            format!("pause of promotion in {} for {} s", of(relationship), duration.as_secs())
        }
        Command::Release { address } => format!("release of the lease of {address}"),
        Command::Apply(apply) => {
            let rehearsal = if apply.dry_run { "rehearsal of a revision" } else { "a revision" };
            let without: Vec<&str> = apply.without.iter().map(NodeName::as_str).collect();
            let without = if without.is_empty() { String::new() } else { format!(" without {}", without.join(", ")) };
            let why = &apply.configuration.act.why;
            let why = if why.is_empty() { String::new() } else { format!(": {why}") };
            format!("{rehearsal} of the configuration{without}{why}")
        }
        Command::Import(leases) => format!("import of {} leases", leases.len()),
        Command::Leave => "clean stop".to_owned(),
    }
}

async fn in_time<T>(answer: impl Future<Output = Result<T, Unavailable>>) -> Result<T, Refusal> {
    match tokio::time::timeout(ANSWER_DEADLINE, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(unavailable)) => Err(Refusal::unavailable(unavailable.to_string())),
        Err(_) => Err(Refusal::deadline_exceeded("the node did not answer in time")),
    }
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Refusal>> + Send>>;

#[tonic::async_trait]
impl AdminService for AdminServer {
    type WatchStatusStream = Answers<proto::WatchStatusResponse>;
    type ListLeasesStream = Answers<proto::ListLeasesResponse>;
    type WatchEventsStream = Answers<proto::WatchEventsResponse>;

    async fn get_status(
        &self,
        request: Request<proto::GetStatusRequest>,
    ) -> Result<Response<proto::GetStatusResponse>, Refusal> {
        may_look(&request)?;
        Ok(Response::new(proto::GetStatusResponse { status: Some(self.status().await?) }))
    }

    async fn watch_status(
        &self,
        request: Request<proto::WatchStatusRequest>,
    ) -> Result<Response<Self::WatchStatusStream>, Refusal> {
        may_look(&request)?;
        let interval = Duration::from_millis(request.into_inner().interval_ms.into()).max(FASTEST_WATCH);
        let server = self.clone();
        Ok(streaming(|sender| async move {
            loop {
                let status = server.status().await.map(|status| proto::WatchStatusResponse { status: Some(status) });
                let ended = status.is_err();
                if sender.send(status).await.is_err() || ended {
                    return;
                }
                tokio::time::sleep(interval).await;
            }
        }))
    }

    async fn list_leases(
        &self,
        request: Request<proto::ListLeasesRequest>,
    ) -> Result<Response<Self::ListLeasesStream>, Refusal> {
        may_look(&request)?;
        let mut query = lease_query(request.into_inner());
        let server = self.clone();
        Ok(streaming(|sender| async move {
            loop {
                let asked = query.clone();
                let page = server.look(move |node, now| page(node, now, &asked)).await;
                let next = page.as_ref().ok().and_then(|page| page.next.clone());
                if sender.send(page.map(|page| lease_views(&page))).await.is_err() || next.is_none() {
                    return;
                }
                query.after = next;
            }
        }))
    }

    async fn list_conflicts(
        &self,
        request: Request<proto::ListConflictsRequest>,
    ) -> Result<Response<proto::ListConflictsResponse>, Refusal> {
        may_look(&request)?;
        let conflicts = |node: &Node, _: Now| node.conflicts().cloned().collect::<Vec<ConflictReport>>();
        let conflicts = self.look(conflicts).await?;
        let conflicts = conflicts.iter().map(convert::conflict_view).collect();
        Ok(Response::new(proto::ListConflictsResponse { conflicts }))
    }

    async fn watch_events(
        &self,
        request: Request<proto::WatchEventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Refusal> {
        may_look(&request)?;
        let follow = request.into_inner().follow;
        let (past, mut present) = self.events.listen();
        let view = |happened: &Happened| {
            Ok(proto::WatchEventsResponse { event: Some(convert::event_view(&happened.event, happened.at)) })
        };
        Ok(streaming(move |sender| async move {
            for happened in past {
                if sender.send(view(&happened)).await.is_err() {
                    return;
                }
            }
            if !follow {
                return;
            }
            loop {
                let event = match present.recv().await {
                    Ok(happened) => view(&happened),
                    Err(broadcast::error::RecvError::Closed) => return,
                    Err(broadcast::error::RecvError::Lagged(missed)) => {
                        Err(Refusal::data_loss(format!("{missed} events were missed; they are in the node's log")))
                    }
                };
                let ended = event.is_err();
                if sender.send(event).await.is_err() || ended {
                    return;
                }
            }
        }))
    }

    async fn switchover(
        &self,
        request: Request<proto::SwitchoverRequest>,
    ) -> Result<Response<proto::SwitchoverResponse>, Refusal> {
        let who = may_change(&request)?;
        let result = self.command(who, convert::command::switchover(request.into_inner())).await?;
        Ok(Response::new(proto::SwitchoverResponse { result: Some(result) }))
    }

    async fn declare_partner_down(
        &self,
        request: Request<proto::DeclarePartnerDownRequest>,
    ) -> Result<Response<proto::DeclarePartnerDownResponse>, Refusal> {
        let who = may_change(&request)?;
        let result = self.command(who, convert::command::partner_down(request.into_inner())).await?;
        Ok(Response::new(proto::DeclarePartnerDownResponse { result: Some(result) }))
    }

    async fn accept_risk(
        &self,
        request: Request<proto::AcceptRiskRequest>,
    ) -> Result<Response<proto::AcceptRiskResponse>, Refusal> {
        let who = may_change(&request)?;
        let result = self.command(who, convert::command::accept_risk(request.into_inner())).await?;
        Ok(Response::new(proto::AcceptRiskResponse { result: Some(result) }))
    }

    async fn initialise(
        &self,
        request: Request<proto::InitialiseRequest>,
    ) -> Result<Response<proto::InitialiseResponse>, Refusal> {
        let who = may_change(&request)?;
        let result = self.command(who, Ok(Command::Init)).await?;
        Ok(Response::new(proto::InitialiseResponse { result: Some(result) }))
    }

    async fn pause_promotion(
        &self,
        request: Request<proto::PausePromotionRequest>,
    ) -> Result<Response<proto::PausePromotionResponse>, Refusal> {
        let who = may_change(&request)?;
        let result = self.command(who, convert::command::pause(request.into_inner())).await?;
        Ok(Response::new(proto::PausePromotionResponse { result: Some(result) }))
    }

    async fn release_lease(
        &self,
        request: Request<proto::ReleaseLeaseRequest>,
    ) -> Result<Response<proto::ReleaseLeaseResponse>, Refusal> {
        let who = may_change(&request)?;
        let result = self.command(who, Ok(convert::command::release(request.into_inner()))).await?;
        Ok(Response::new(proto::ReleaseLeaseResponse { result: Some(result) }))
    }

    async fn import_leases(
        &self,
        request: Request<proto::ImportLeasesRequest>,
    ) -> Result<Response<proto::ImportLeasesResponse>, Refusal> {
        let who = may_change(&request)?;
        let result = self.command(who, convert::command::import(request.into_inner())).await?;
        Ok(Response::new(proto::ImportLeasesResponse { result: Some(result) }))
    }

    async fn explain(
        &self,
        request: Request<proto::ExplainRequest>,
    ) -> Result<Response<proto::ExplainResponse>, Refusal> {
        may_look(&request)?;
        let proto::ExplainRequest { subject, scope } = request.into_inner();
        let subject = convert::subject(subject).map_err(|error| Refusal::invalid_argument(error.to_string()))?;
        Ok(Response::new(self.look(move |node, now| explain(node, now, &subject, &scope)).await?))
    }

    async fn diagnose(
        &self,
        request: Request<proto::DiagnoseRequest>,
    ) -> Result<Response<proto::DiagnoseResponse>, Refusal> {
        may_look(&request)?;
        let (node, facts) = self.look(|node, now| (node.name().to_string(), Facts::of(node, now))).await?;
        Ok(Response::new(proto::DiagnoseResponse { node, checks: self.house.examine(&facts) }))
    }

    async fn get_configuration(
        &self,
        request: Request<proto::GetConfigurationRequest>,
    ) -> Result<Response<proto::GetConfigurationResponse>, Refusal> {
        may_look(&request)?;
        let configuration = Some((&*self.configuration().await?).into());
        let notes = self.look(|node, _| node.configuration_notes()).await?;
        Ok(Response::new(proto::GetConfigurationResponse { configuration, notes }))
    }

    async fn diff_configuration(
        &self,
        request: Request<proto::DiffConfigurationRequest>,
    ) -> Result<Response<proto::DiffConfigurationResponse>, Refusal> {
        may_look(&request)?;
        Ok(Response::new(self.compare(request.into_inner().text).await?))
    }

    async fn apply_configuration(
        &self,
        request: Request<proto::ApplyConfigurationRequest>,
    ) -> Result<Response<proto::ApplyConfigurationResponse>, Refusal> {
        let who = may_change(&request)?;
        Ok(Response::new(self.apply(who, request.into_inner()).await?))
    }

    async fn set_scope_disabled(
        &self,
        request: Request<proto::SetScopeDisabledRequest>,
    ) -> Result<Response<proto::SetScopeDisabledResponse>, Refusal> {
        let who = may_change(&request)?;
        let result = self.disable_scope(who, request.into_inner()).await?;
        Ok(Response::new(proto::SetScopeDisabledResponse { result: Some(result) }))
    }
}

/// What would be answered and why, and what was done last.
fn explain(node: &Node, now: Now, subject: &Subject, scope: &str) -> proto::ExplainResponse {
    let mut explanations = node.explain(subject);
    explanations.retain(|explanation| scope.is_empty() || explanation.scope.as_str() == scope);
    let shown = match subject {
        Subject::Hardware(hardware) => Some(*hardware),
        Subject::Address(_) | Subject::ClientId(_) => {
            explanations.iter().find_map(|explanation| Some(explanation.lease.as_ref()?.hardware))
        }
    };
    let deeds = shown.into_iter().flat_map(|hardware| node.deeds(hardware)).take(DEEDS);
    let view = |explanation: &Explanation| {
        let lease = explanation.lease.as_ref();
        let home = lease.and_then(|lease| node.home_of(lease.address));
        convert::explanation_view(explanation, home, now)
    };
    proto::ExplainResponse {
        node: node.name().to_string(),
        explanations: explanations.iter().map(view).collect(),
        deeds: deeds.map(|deed| convert::deed_view(deed, now)).collect(),
    }
}

/// A stream that a task fills as fast as it is read.
fn streaming<T, F>(fill: impl FnOnce(mpsc::Sender<Result<T, Refusal>>) -> F) -> Response<Answers<T>>
where
    T: Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(2);
    tokio::spawn(fill(sender));
    Response::new(Box::pin(ReceiverStream::new(receiver)))
}

fn lease_query(request: proto::ListLeasesRequest) -> LeaseQuery {
    LeaseQuery {
        scope: Some(request.scope).filter(|scope| !scope.is_empty()),
        address: request.address.map(Ipv4Addr::from_bits),
        client: Some(request.client).filter(|client| !client.is_empty()),
        after: None,
    }
}

fn lease_views(page: &LeasePage) -> proto::ListLeasesResponse {
    let view = |placed: &PlacedLease| {
        convert::lease_view(&placed.lease, placed.scope.as_ref(), placed.home.as_ref(), page.now)
    };
    proto::ListLeasesResponse { leases: page.leases.iter().map(view).collect() }
}
