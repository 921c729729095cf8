//! Operators' commands against a node that says what it is told to say, and remembers what it was asked.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use standfast_rpc::proto::admin_service_server::{AdminService, AdminServiceServer};
use standfast_rpc::proto::{self, CommandResult, Outcome};
use std::os::unix::net::UnixListener as StdListener;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Request, Response, Status};

const CLUSTER: &str = r#"cluster = "hq"
[[node]]
name = "dhcp-a"
rpc = "127.0.0.1:6767"
dhcp_listen = ["127.0.0.1:1067"]
[[scope]]
name = "lan"
subnet = "10.20.0.0/24"
pools = ["10.20.0.50-10.20.0.249"]
"#;

/// What the node says, and what it was asked.
#[derive(Default)]
struct Script {
    status: proto::Status,
    result: CommandResult,
    leases: Vec<proto::LeaseView>,
    events: Vec<proto::EventView>,
    checks: Vec<proto::Check>,
    forbidden: bool,
    reason: Option<Vec<u8>>,
    diff: proto::DiffConfigurationResponse,
    asked: Vec<String>,
}

#[derive(Clone, Default)]
struct Node(Arc<Mutex<Script>>);

impl Node {
    fn asked<T: std::fmt::Debug>(&self, request: &Request<T>) -> Result<(), Status> {
        let mut script = self.0.lock().unwrap();
        script.asked.push(format!("{:?}", request.get_ref()));
        let reason = request.metadata().get_bin("standfast-reason-bin");
        script.reason = reason.map(|reason| reason.to_bytes().unwrap().to_vec());
        if script.forbidden { Err(Status::permission_denied("`bob` is a viewer, not an operator")) } else { Ok(()) }
    }

    fn result<T: std::fmt::Debug>(&self, request: &Request<T>) -> Result<Option<CommandResult>, Status> {
        self.asked(request)?;
        Ok(Some(self.0.lock().unwrap().result.clone()))
    }
}

type Answer<T> = Result<Response<T>, Status>;
type Many<T> = tokio_stream::Iter<std::vec::IntoIter<Result<T, Status>>>;

fn many<T>(answers: Vec<T>) -> Answer<Many<T>> {
    Ok(Response::new(tokio_stream::iter(answers.into_iter().map(Ok).collect::<Vec<_>>())))
}

#[tonic::async_trait]
impl AdminService for Node {
    type WatchStatusStream = Many<proto::WatchStatusResponse>;
    type ListLeasesStream = Many<proto::ListLeasesResponse>;
    type WatchEventsStream = Many<proto::WatchEventsResponse>;

    async fn get_status(&self, request: Request<proto::GetStatusRequest>) -> Answer<proto::GetStatusResponse> {
        self.asked(&request)?;
        Ok(Response::new(proto::GetStatusResponse { status: Some(self.0.lock().unwrap().status.clone()) }))
    }
    async fn watch_status(&self, _: Request<proto::WatchStatusRequest>) -> Answer<Self::WatchStatusStream> {
        many(Vec::new())
    }
    async fn list_leases(&self, request: Request<proto::ListLeasesRequest>) -> Answer<Self::ListLeasesStream> {
        self.asked(&request)?;
        let leases = self.0.lock().unwrap().leases.clone();
        many(leases.into_iter().map(|lease| proto::ListLeasesResponse { leases: vec![lease] }).collect())
    }
    async fn list_conflicts(&self, _: Request<proto::ListConflictsRequest>) -> Answer<proto::ListConflictsResponse> {
        Ok(Response::new(proto::ListConflictsResponse::default()))
    }
    async fn watch_events(&self, _: Request<proto::WatchEventsRequest>) -> Answer<Self::WatchEventsStream> {
        let events = self.0.lock().unwrap().events.clone();
        many(events.into_iter().map(|event| proto::WatchEventsResponse { event: Some(event) }).collect())
    }
    async fn switchover(&self, request: Request<proto::SwitchoverRequest>) -> Answer<proto::SwitchoverResponse> {
        Ok(Response::new(proto::SwitchoverResponse { result: self.result(&request)? }))
    }
    async fn declare_partner_down(
        &self,
        request: Request<proto::DeclarePartnerDownRequest>,
    ) -> Answer<proto::DeclarePartnerDownResponse> {
        Ok(Response::new(proto::DeclarePartnerDownResponse { result: self.result(&request)? }))
    }
    async fn accept_risk(&self, request: Request<proto::AcceptRiskRequest>) -> Answer<proto::AcceptRiskResponse> {
        Ok(Response::new(proto::AcceptRiskResponse { result: self.result(&request)? }))
    }
    async fn initialise(&self, request: Request<proto::InitialiseRequest>) -> Answer<proto::InitialiseResponse> {
        Ok(Response::new(proto::InitialiseResponse { result: self.result(&request)? }))
    }
    async fn pause_promotion(
        &self,
        request: Request<proto::PausePromotionRequest>,
    ) -> Answer<proto::PausePromotionResponse> {
        Ok(Response::new(proto::PausePromotionResponse { result: self.result(&request)? }))
    }
    async fn release_lease(&self, request: Request<proto::ReleaseLeaseRequest>) -> Answer<proto::ReleaseLeaseResponse> {
        Ok(Response::new(proto::ReleaseLeaseResponse { result: self.result(&request)? }))
    }
    async fn import_leases(&self, request: Request<proto::ImportLeasesRequest>) -> Answer<proto::ImportLeasesResponse> {
        Ok(Response::new(proto::ImportLeasesResponse { result: self.result(&request)? }))
    }
    async fn explain(&self, request: Request<proto::ExplainRequest>) -> Answer<proto::ExplainResponse> {
        self.asked(&request)?;
        Ok(Response::new(explanation()))
    }
    async fn diagnose(&self, request: Request<proto::DiagnoseRequest>) -> Answer<proto::DiagnoseResponse> {
        self.asked(&request)?;
        Ok(Response::new(proto::DiagnoseResponse {
            node: "dhcp-b".into(),
            checks: self.0.lock().unwrap().checks.clone(),
        }))
    }
    async fn get_configuration(
        &self,
        request: Request<proto::GetConfigurationRequest>,
    ) -> Answer<proto::GetConfigurationResponse> {
        self.asked(&request)?;
        let configuration = proto::ConfigurationText {
            revision: Some(proto::Revision { number: 3, node: "dhcp-b".into() }),
            act: None,
            text: CLUSTER.into(),
        };
        let notes = vec!["dhcp-a uses revision 2 of dhcp-a".into()];
        Ok(Response::new(proto::GetConfigurationResponse { configuration: Some(configuration), notes }))
    }
    async fn diff_configuration(
        &self,
        request: Request<proto::DiffConfigurationRequest>,
    ) -> Answer<proto::DiffConfigurationResponse> {
        self.asked(&request)?;
        Ok(Response::new(self.0.lock().unwrap().diff.clone()))
    }
    async fn apply_configuration(
        &self,
        request: Request<proto::ApplyConfigurationRequest>,
    ) -> Answer<proto::ApplyConfigurationResponse> {
        Ok(Response::new(proto::ApplyConfigurationResponse { mistakes: Vec::new(), result: self.result(&request)? }))
    }
    async fn set_scope_disabled(
        &self,
        request: Request<proto::SetScopeDisabledRequest>,
    ) -> Answer<proto::SetScopeDisabledResponse> {
        Ok(Response::new(proto::SetScopeDisabledResponse { result: self.result(&request)? }))
    }
}

/// What the node says of client 02:00:5e:10:00:01.
fn explanation() -> proto::ExplainResponse {
    proto::ExplainResponse {
        node: "dhcp-b".into(),
        explanations: vec![proto::Explanation {
            scope: "office-lan".into(),
            state: proto::ScopeState::Deactivated.into(),
            would: "silence: the scope is deactivated here (normal)".into(),
            ..Default::default()
        }],
        deeds: vec![proto::Deed { message: "request".into(), silence: "deactivated".into(), ..Default::default() }],
    }
}

/// A node with its data folder.
struct Stand {
    node: Node,
    dir: TempDir,
    _runtime: tokio::runtime::Runtime,
}

impl Stand {
    fn new(script: Script) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let node = Node(Arc::new(Mutex::new(script)));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (service, path) = (AdminServiceServer::new(node.clone()), dir.path().join("admin.sock"));
        let listener = runtime.block_on(async { UnixListener::bind(path) }).unwrap();
        let server = tonic::transport::Server::builder().add_service(service);
        runtime.spawn(server.serve_with_incoming(UnixListenerStream::new(listener)));
        Self { node, dir, _runtime: runtime }
    }

    /// A node that answers each command with `outcome`.
    fn answering(outcome: Outcome, text: &str) -> Self {
        let status = proto::Status { node: "dhcp-b".into(), relationships: vec![normal()], ..Default::default() };
        let result = CommandResult { outcome: outcome.into(), text: text.into() };
        Self::new(Script { status, result, ..Script::default() })
    }

    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        ended(&standfast(arguments, self.dir.path()))
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.node.0.lock().unwrap().asked)
    }
}

fn standfast(arguments: &[&str], data_dir: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_standfast"));
    command.args(arguments).arg("--data-dir").arg(data_dir).arg("--tls-dir").arg(data_dir).output().unwrap()
}

fn ended(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

fn normal() -> proto::RelationshipStatus {
    proto::RelationshipStatus {
        name: "office".into(),
        state: proto::Phase::Normal.into(),
        role: proto::Role::Deactivated.into(),
        active_node: "dhcp-a".into(),
        epoch: Some(proto::NamedEpoch { number: 3, node: "dhcp-a".into() }),
        partner: Some(proto::PartnerStatus {
            node: "dhcp-a".into(),
            state: proto::Phase::Normal.into(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

#[test]
fn status_says_how_the_pair_is_and_ends_accordingly() {
    let stand = Stand::answering(Outcome::Done, "");
    let (exit, text, _) = stand.run(&["status"]);
    assert_eq!((exit, text.contains("office"), text.contains("normal")), (0, true, true), "{text}");

    stand.node.0.lock().unwrap().status.todo = "office: dhcp-a is not heard".into();
    let (exit, text, _) = stand.run(&["status"]);
    assert_eq!((exit, text.starts_with("TO DO  office: dhcp-a is not heard\n")), (40, true), "{text}");
    let (exit, json, _) = stand.run(&["status", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((exit, json["todo"].as_str()), (40, Some("office: dhcp-a is not heard")));
    assert_eq!(json["relationships"][0]["epoch"]["number"].as_u64(), Some(3));
}

#[test]
fn what_a_node_answers_is_how_a_command_ends() {
    for (outcome, exit) in [(Outcome::Done, 0), (Outcome::Refused, 20), (Outcome::Failed, 1), (Outcome::Unspecified, 1)]
    {
        let stand = Stand::answering(outcome, "because of the moon");
        for command in [
            ["failover", "--relationship", "office"].as_slice(),
            &["failover", "--relationship", "office", "--accept-risk"],
            &["init"],
            &["pause", "30min"],
            &["resume"],
            &["leases", "release", "10.20.0.50"],
            &["scope", "disable", "lan", "--reason", "the floor is closed"],
            &["scope", "enable", "lan"],
        ] {
            let (status, out, err) = stand.run(command);
            assert_eq!(status, exit, "{command:?} {out}{err}");
            assert!(outcome == Outcome::Unspecified || format!("{out}{err}").contains("because of the moon"));
        }
        assert_eq!(stand.asked().len(), 8);
    }
}

#[test]
fn a_rehearsal_and_an_unsaid_promise_change_nothing() {
    let stand = Stand::answering(Outcome::Done, "");
    let (exit, text, _) = stand.run(&["failover", "--relationship", "office", "--dry-run"]);
    assert_eq!((exit, text.contains("This would be done")), (0, true), "{text}");
    assert_eq!(stand.run(&["failover", "--relationship", "lab", "--dry-run"]).0, 20);
    assert!(stand.asked().iter().all(|request| request == "GetStatusRequest"));

    let (exit, _, text) = stand.run(&["failover", "--partner-down", "dhcp-a"]);
    assert_eq!((exit, text.contains("say it again with --yes")), (20, true), "{text}");
    assert_eq!(stand.asked(), Vec::<String>::new());
    let promise = ["failover", "--partner-down", "dhcp-a", "--off-since", "1970-01-01T00:00:01Z", "--yes"];
    assert_eq!(stand.run(&promise).0, 0);
    let [asked] = stand.asked().try_into().unwrap();
    for part in ["\"dhcp-a\"", "off_since_ms: Some(1000)", "despite_evidence: false"] {
        assert!(asked.contains(part), "{part} is missing in {asked}");
    }
}

#[test]
fn commands_that_mix_two_intentions_are_wrong() {
    let dir = tempfile::tempdir().unwrap();
    for arguments in [
        ["failover"].as_slice(),
        &["failover", "--to", "dhcp-b"],
        &["failover", "--partner-down", "dhcp-a", "--to", "dhcp-b", "--yes"],
        &["failover", "--relationship", "office", "--accept-risk", "--dry-run"],
        &["pause", "0s"],
        &["leases", "show", "printer"],
    ] {
        assert_eq!(ended(&standfast(arguments, dir.path())).0, 2, "{arguments:?}");
    }
}

#[test]
fn leases_come_in_pages_and_are_found_by_client() {
    let lease = |last: u32| proto::LeaseView { address: 0x0a14_0000 + last, ..Default::default() };
    let stand = Stand::new(Script { leases: vec![lease(50), lease(51)], ..Script::default() });
    let (exit, json, _) = stand.run(&["leases", "list", "--json", "--scope", "office-lan"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((exit, json[1]["address"].as_str()), (0, Some("10.20.0.51")));
    assert!(stand.asked()[0].contains("office-lan"));
    assert_eq!(stand.run(&["leases", "show", "02:00:5e:10:00:01"]).0, 0);
    assert!(stand.asked()[0].contains("[2, 0, 94, 16, 0, 1]"));
    stand.node.0.lock().unwrap().leases.clear();
    assert_eq!(stand.run(&["leases", "show", "10.20.0.50"]).0, 1);
    assert_eq!(stand.run(&["leases", "list"]).1, "No leases.\n");
}

#[test]
fn events_and_conflicts_are_listed() {
    let event = proto::EventView { code: 1002, what: "dhcp-b is active".into(), ..Default::default() };
    let stand = Stand::new(Script { events: vec![event.clone(), event], ..Script::default() });
    let (exit, text, _) = stand.run(&["events"]);
    assert_eq!((exit, text.matches("SF1002").count()), (0, 2), "{text}");
    assert_eq!(stand.run(&["events", "--json"]).1.lines().count(), 2);
    assert_eq!(stand.run(&["conflicts"]), (0, "No conflicts.\n".into(), String::new()));
    assert_eq!(stand.run(&["conflicts", "--json"]).1, "[]\n");
}

#[test]
fn a_node_explains_itself_and_is_looked_over() {
    let stand = Stand::new(Script::default());
    let (exit, text, _) = stand.run(&["explain", "02:00:5e:10:00:01", "--scope", "office-lan"]);
    assert_eq!(exit, 0);
    assert!(text.contains("silence (deactivated): The scope is active on another node"), "{text}");
    let [asked] = stand.asked().try_into().unwrap();
    assert!(asked.contains("Hardware") && asked.contains("office-lan"), "{asked}");
    let (_, json, _) = stand.run(&["explain", "10.20.0.50", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["scopes"][0]["state"], "deactivated");
    assert_eq!(json["last"][0]["silence"], "deactivated");
    assert_eq!(stand.run(&["explain", "printer"]).0, 2);

    let check = |verdict: proto::Verdict, name: &str| proto::Check {
        name: name.into(),
        verdict: verdict.into(),
        what: "found".into(),
        todo: "do it".into(),
    };
    stand.node.0.lock().unwrap().checks = vec![check(proto::Verdict::Ok, "clock"), check(proto::Verdict::Warn, "disk")];
    assert_eq!(stand.run(&["doctor"]).0, 0);
    stand.node.0.lock().unwrap().checks.push(check(proto::Verdict::Fail, "partner"));
    let (exit, text, _) = stand.run(&["doctor"]);
    assert_eq!((exit, text.starts_with("TO DO  do it (partner: found)\n")), (40, true), "{text}");
    let json: serde_json::Value = serde_json::from_str(&stand.run(&["doctor", "--json"]).1).unwrap();
    assert_eq!((json[2]["name"].as_str(), json[2]["verdict"].as_str()), (Some("partner"), Some("fail")));

    let nowhere = tempfile::tempdir().unwrap();
    let (exit, text, _) = ended(&standfast(&["doctor"], nowhere.path()));
    assert_eq!((exit, text.contains("no node has run")), (40, true), "{text}");
}

#[test]
fn a_reason_goes_with_what_an_operator_does() {
    let stand = Stand::answering(Outcome::Done, "");
    assert_eq!(stand.run(&["pause", "30min", "--reason", "new switch"]).0, 0);
    let reason = stand.node.0.lock().unwrap().reason.take();
    assert_eq!(reason.as_deref(), Some(&b"new switch"[..]));
}

#[test]
fn a_configuration_is_shown_as_it_is_stored() {
    let stand = Stand::answering(Outcome::Done, "");
    let (exit, text, said) = stand.run(&["config", "show"]);
    assert_eq!((exit, text.as_str()), (0, CLUSTER), "nothing but the text, to be edited and applied again");
    assert!(said.contains("Revision 3 of dhcp-b") && said.contains("dhcp-a uses revision 2"), "{said}");
    let (exit, json, _) = stand.run(&["config", "show", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((exit, json["revision"]["number"].as_u64(), json["text"].as_str()), (0, Some(3), Some(CLUSTER)));
}

#[test]
fn a_change_that_touches_leases_is_confirmed_and_a_refused_one_ends_with_20() {
    let stand = Stand::answering(Outcome::Done, "revision 4 is in use");
    let file = stand.dir.path().join("cluster.toml");
    std::fs::write(&file, CLUSTER).unwrap();
    let file = file.to_str().unwrap();
    let asked = |stand: &Stand, what: &str| stand.asked().iter().filter(|asked| asked.starts_with(what)).count();

    let (exit, text, _) = stand.run(&["config", "apply", file, "--reason", "a printer"]);
    assert_eq!((exit, text.contains("revision 4 is in use")), (0, true), "{text}");
    assert_eq!(asked(&stand, "ApplyConfigurationRequest"), 1);

    let touched = proto::TouchedLeases { live: 2, effect: "no longer given away".into(), ..Default::default() };
    let change = proto::ConfigurationChange { name: "lan".into(), touched: vec![touched], ..Default::default() };
    stand.node.0.lock().unwrap().diff.changes = vec![change];
    let (exit, text, said) = stand.run(&["config", "apply", file]);
    assert_eq!((exit, text.starts_with("TO DO  Look at the 2 leases")), (20, true), "{text}");
    assert!(said.contains("--yes"), "{said}");
    assert_eq!(asked(&stand, "ApplyConfigurationRequest"), 0, "nothing was applied");
    assert_eq!(stand.run(&["config", "apply", file, "--dry-run"]).0, 0);
    assert_eq!(stand.run(&["config", "apply", file, "--yes", "--without", "dhcp-a"]).0, 0);
    assert!(stand.asked().pop().unwrap().contains("without: [\"dhcp-a\"]"));
    assert_eq!(stand.run(&["config", "diff", file]).0, 0);

    stand.node.0.lock().unwrap().diff.changes[0].refused = vec!["first disable it".into()];
    let (exit, text, _) = stand.run(&["config", "diff", file]);
    assert_eq!((exit, text.contains("REFUSED: first disable it")), (20, true), "{text}");
    stand.node.0.lock().unwrap().diff.mistakes = vec!["line 3: what is this?".into()];
    let (exit, _, text) = stand.run(&["config", "apply", file, "--yes"]);
    assert_eq!((exit, text.contains("line 3: what is this?")), (10, true), "a node of another version: {text}");
    std::fs::write(file, "cluster = 7").unwrap();
    assert_eq!(stand.run(&["config", "apply", file]).0, 10);
    assert_eq!(stand.run(&["config", "diff", file]).0, 10);
}

#[test]
fn what_bars_the_way_is_told_apart() {
    let stand = Stand::new(Script { forbidden: true, ..Script::default() });
    let (exit, _, text) = stand.run(&["status"]);
    assert_eq!((exit, text.contains("`bob` is a viewer")), (31, true), "{text}");

    let dir = tempfile::tempdir().unwrap();
    let (exit, _, text) = ended(&standfast(&["status"], dir.path()));
    assert_eq!((exit, text.contains("`standfast serve`")), (30, true), "{text}");
    // A socket that a process left behind when it died.
    drop(StdListener::bind(dir.path().join("admin.sock")).unwrap());
    let (exit, _, text) = ended(&standfast(&["status"], dir.path()));
    assert_eq!((exit, text.contains("does not run")), (30, true), "{text}");

    let (exit, _, text) = ended(&standfast(&["status", "--server", "127.0.0.1:1"], dir.path()));
    assert_eq!((exit, text.contains("`standfast tls issue --operator NAME`")), (31, true), "{text}");
    for arguments in [["init", "--cluster", "hq"], ["issue", "--operator", "alice"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_standfast"));
        assert!(command.arg("tls").args(arguments).arg("--tls-dir").arg(dir.path()).status().unwrap().success());
    }
    let (exit, _, text) = ended(&standfast(&["status", "--server", "127.0.0.1:1"], dir.path()));
    assert_eq!((exit, text.contains("no connection to 127.0.0.1:1")), (30, true), "{text}");
}
