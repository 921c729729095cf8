//! An operator at the admin socket of a node that runs in this process.

use super::*;
use crate::clock::Clock;
use crate::cluster_file::{ClusterFile, PAIR};
use crate::events::EventLog;
use crate::handle::{Call, NodeHandle};
use crate::refused::Who;
use crate::udp::Poller;
use hyper_util::rt::TokioIo;
use standfast_core::event::{Code, Event};
use standfast_core::id::Incarnation;
use standfast_core::input::{Identity, Input, Request};
use standfast_core::node::Node;
use standfast_core::output::CommandResult;
use standfast_core::stored::Stored;
use standfast_rpc::proto;
use standfast_rpc::proto::admin_service_client::AdminServiceClient;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use tokio::net::UnixStream;
use tokio::sync::oneshot;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};

/// A serving loop without a network: it takes calls until nobody can make any, and writes are durable at once.
fn run_node() -> NodeHandle {
    let poller = Poller::new().unwrap();
    let (handle, calls) = NodeHandle::new(poller.waker());
    thread::spawn(move || {
        let clock = Clock::start();
        let configuration = ClusterFile::parse("cluster.toml", PAIR).unwrap().configuration;
        let identity = Identity { node: "dhcp-a".into(), incarnation: Incarnation(1), new_cluster: false };
        let mut node = Node::new(identity, Arc::new(configuration), Stored::default(), clock.now());
        let mut waiting: BTreeMap<Request, oneshot::Sender<CommandResult>> = BTreeMap::new();
        for (number, call) in (0..).zip(calls) {
            match call {
                Call::Look(look) => look(&node, clock.now()),
                Call::Input(input) => node.handle(clock.now(), input),
                Call::Command(command, answer) => {
                    waiting.insert(Request(number), answer);
                    node.handle(clock.now(), Input::Operator(Request(number), command));
                }
            }
            let mut outputs = node.outputs();
            if let Some(write) = outputs.writes.last() {
                node.handle(clock.now(), Input::Persisted(write.sequence));
                outputs.answers.extend(node.outputs().answers);
            }
            for (request, result) in outputs.answers {
                waiting.remove(&request).unwrap().send(result).unwrap();
            }
        }
    });
    handle
}

async fn connect(path: &Path) -> Channel {
    let path = path.to_owned();
    let connector = tower::service_fn(move |_: Uri| {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(TokioIo::new) }
    });
    Endpoint::from_static("http://admin").connect_with_connector(connector).await.unwrap()
}

#[tokio::test]
async fn an_operator_looks_commands_and_listens() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("admin.sock");
    let events = EventLog::default();
    let listener = bind(&path).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    let routes = routes(run_node(), events.clone(), House::empty(dir.path()));
    tokio::spawn(serve(listener, routes, std::future::pending()));
    let channel = connect(&path).await;
    let mut operator = AdminServiceClient::new(channel.clone());

    let status = operator.get_status(proto::GetStatusRequest {}).await.unwrap().into_inner().status.unwrap();
    assert_eq!((status.cluster.as_str(), status.node.as_str()), ("hq", "dhcp-a"));
    let office = &status.relationships[0];
    assert_eq!(
        (office.name.as_str(), office.state(), office.role()),
        ("office", proto::Phase::Startup, proto::Role::Deactivated)
    );
    assert!(office.lost);
    assert_eq!(status.scopes[0].addresses, 200);
    assert!(status.todo.contains("standfast init"), "{}", status.todo);

    let result = operator.initialise(proto::InitialiseRequest {}).await.unwrap().into_inner().result.unwrap();
    assert_eq!((result.outcome(), result.text.as_str()), (proto::Outcome::Done, "declared new: office"));
    let again = operator.initialise(proto::InitialiseRequest {}).await.unwrap().into_inner().result.unwrap();
    assert_eq!(again.outcome(), proto::Outcome::Refused);
    let nameless = operator.switchover(proto::SwitchoverRequest::default()).await.unwrap_err();
    assert_eq!(nameless.message(), "SwitchoverRequest.relationship: missing");

    let mut leases = operator.list_leases(proto::ListLeasesRequest::default()).await.unwrap().into_inner();
    assert_eq!(leases.message().await.unwrap(), Some(proto::ListLeasesResponse::default()));
    assert_eq!(leases.message().await.unwrap(), None);

    let event = |what: &str| Event {
        code: Code::Promoted,
        relationship: Some("office".into()),
        epoch: None,
        what: what.to_owned(),
        evidence: String::new(),
        cause: String::new(),
    };
    events.add(event("first"));
    let mut heard = operator.watch_events(proto::WatchEventsRequest { follow: true }).await.unwrap().into_inner();
    events.add(event("second"));
    let heard: Vec<_> = {
        let mut all = Vec::new();
        while all.len() < 4 {
            all.push(heard.message().await.unwrap().unwrap().event.unwrap());
        }
        all
    };
    let user = format!("user {} at the admin socket", nix::unistd::Uid::current());
    assert_eq!((heard[0].what.as_str(), &heard[0].cause), ("declaration that the cluster is new", &user));
    assert!(heard[0].evidence.starts_with("done") && heard[1].evidence.starts_with("refused"));
    assert_eq!([heard[2].what.as_str(), heard[3].what.as_str()], ["first", "second"]);

    // Health is looked at by a task of its own: until it has, the relationship is not known.
    let mut health = HealthClient::new(channel);
    let serving = loop {
        let request = HealthCheckRequest { service: "office".to_owned() };
        match health.check(request).await {
            Ok(answer) => break answer.into_inner().status(),
            Err(status) => assert_eq!(status.code(), tonic::Code::NotFound),
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(serving, ServingStatus::NotServing);
}

#[tokio::test]
async fn an_operator_has_the_node_explain_itself_and_looks_it_over() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("admin.sock");
    let listener = bind(&path).unwrap();
    let house = House::empty(dir.path());
    let refused = house.refused.clone();
    let routes = routes(run_node(), EventLog::default(), house);
    tokio::spawn(serve(listener, routes, std::future::pending()));
    let mut operator = AdminServiceClient::new(connect(&path).await);
    let of_address = proto::explain_request::Subject::Address(0x0a14_0032);
    let request = proto::ExplainRequest { subject: Some(of_address), scope: String::new() };
    let explained = operator.explain(request).await.unwrap().into_inner();
    assert_eq!(explained.explanations[0].would, "silence: the scope is deactivated here (startup)");
    assert!(operator.explain(proto::ExplainRequest::default()).await.is_err());
    refused.called_in_vain(&"dhcp-b".into(), ([127, 0, 0, 1], 6_768).into(), "no answer within 3 s: see the link");
    let stranger = Who::Stranger(([10, 0, 0, 99], 4_242).into());
    refused.refused(stranger, "the other side does not speak TLS");
    let named = Who::Named("dhcp-b".into(), ([10, 0, 0, 12], 4_242).into());
    refused.refused(named, "two nodes are called `dhcp-b`: give each its own with --node");
    let checks = operator.diagnose(proto::DiagnoseRequest {}).await.unwrap().into_inner().checks;
    let found = |name: &str| -> Vec<_> { checks.iter().filter(|check| check.name == name).collect() };
    let [partner] = found("partner")[..] else { panic!("{checks:?}") };
    assert_eq!((partner.verdict(), partner.todo.as_str()), (proto::Verdict::Fail, "see the link"));
    assert!(partner.what.ends_with("called in vain 0 s ago: no answer within 3 s"), "{}", partner.what);
    let [node, stranger] = found("refused")[..] else { panic!("{checks:?}") };
    assert_eq!((node.verdict(), stranger.verdict()), (proto::Verdict::Fail, proto::Verdict::Warn));
    assert_eq!(node.what, "dhcp-b at 10.0.0.12:4242 was refused 0 s ago: two nodes are called `dhcp-b`");
    assert_eq!(node.todo, "give each its own with --node");
    assert_eq!(stranger.todo, "find out what connects from there");
}

#[tokio::test]
async fn only_a_socket_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("admin.sock");
    drop(bind(&path).unwrap());
    // As a process that was killed leaves it.
    assert!(path.exists());
    bind(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "precious").unwrap();
    assert!(matches!(bind(&path), Err(SocketError::InTheWay(_))));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
}
