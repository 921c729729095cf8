//! Somebody with a certificate of the cluster who is not who they say, or says what nobody should; and readers who do
//! not read.

use crate::siege::{STRANGER, Siege};
use prost::Message;
use standfast_rpc::proto::{self, heartbeat_request, replicate_request, replicate_response};
use standfast_rpc::tls::Role;
use standfast_tests::lab::enter;
use standfast_tests::puppet::{HEARTBEAT, Heard, Line, REPLICATE, call};
use standfast_tests::wait::{LONG, until_true};
use std::time::Duration;
use tokio::time::timeout;

const LIST_LEASES: &str = "/standfast.v1.AdminService/ListLeases";
const APPLY: &str = "/standfast.v1.AdminService/ApplyConfiguration";
/// `OUT_OF_RANGE` of gRPC, for a message that is too long.
const TOO_LONG: &str = "11";
/// More than any message may have.
const HUGE: usize = 9 << 20;
const PATIENCE: Duration = Duration::from_secs(30);

/// What the primary says when it opens a stream.
fn open(session: u64) -> proto::Open {
    proto::Open {
        cluster: "lab".into(),
        node: "dhcp-a".into(),
        protocol_major: 1,
        protocol_minor: 0,
        incarnation: 0x5eed,
        session,
        revision: Some(proto::Revision { number: 0, node: "dhcp-a".into() }),
    }
}

fn heartbeats(open: proto::Open) -> proto::HeartbeatRequest {
    proto::HeartbeatRequest { frame: Some(heartbeat_request::Frame::Open(open)) }
}

fn replication(frame: replicate_request::Frame) -> proto::ReplicateRequest {
    proto::ReplicateRequest { frame: Some(frame) }
}

/// A puppet that has the primary's place: both streams of a session are open.
struct Session {
    heartbeats: Line,
    replication: Line,
}

impl Siege {
    async fn line(&self, name: &str, path: &str, first: &impl Message) -> Line {
        call(self.secure(&self.tls_dir(), name).await.unwrap(), path, &first.encode_to_vec()).await.unwrap()
    }

    /// The primary leaves, and a puppet takes its place.
    fn replace_partner(&mut self) -> Session {
        self.dismiss_partner();
        let open = open(7);
        self.runtime.block_on(async {
            let heartbeats = self.line("dhcp-a", HEARTBEAT, &heartbeats(open.clone())).await;
            let first = replication(replicate_request::Frame::Open(open));
            let mut session = Session { heartbeats, replication: self.line("dhcp-a", REPLICATE, &first).await };
            for line in [&mut session.heartbeats, &mut session.replication] {
                let answer = timeout(PATIENCE, line.hear()).await.unwrap();
                assert!(matches!(answer, Heard::Message(_)), "{answer:?}");
            }
            session
        })
    }
}

/// What `doctor` found of this name.
fn checks_of<'a>(checks: &'a serde_json::Value, name: &str) -> Vec<&'a serde_json::Value> {
    checks.as_array().unwrap().iter().filter(|check| check["name"] == name).collect()
}

#[test]
fn who_is_not_who_they_say_is_refused_with_both_values() {
    if !enter("bad_peers::who_is_not_who_they_say_is_refused_with_both_values", &[]) {
        return;
    }
    let siege = Siege::start();
    // A certificate for each, as the log has a line for each name in some seconds.
    let claims = |node: &str, change: &dyn Fn(&mut proto::Open)| {
        let mut open = open(9);
        node.clone_into(&mut open.node);
        change(&mut open);
        open
    };
    let rows: [(&str, proto::Open, &[&str]); 7] = [
        (
            "cluster",
            claims("cluster", &|open| "branch".clone_into(&mut open.cluster)),
            &["you are of cluster `branch`, we of `lab`: one of us has the cluster file of another"],
        ),
        (
            "major",
            claims("major", &|open| open.protocol_major = 2),
            &["you speak major version 2 of the protocol, we 1: install"],
        ),
        (
            "wrong",
            claims("dhcp-a", &|_| {}),
            &["you say you are `dhcp-a`, your certificate says `wrong`: start that node as `wrong`"],
        ),
        ("unknown", claims("unknown", &|_| {}), &["`dhcp-b` knows no node `unknown`", "standfast config apply"]),
        ("dhcp-b", claims("dhcp-b", &|_| {}), &["two nodes are called `dhcp-b`: give each its own with --node"]),
        (
            "dhcp-a",
            claims("dhcp-a", &|_| {}),
            &["two processes are called `dhcp-a`, one at 10.0.0.11:", "stop one of them"],
        ),
        ("alice", claims("alice", &|_| {}), &["certificate `alice` has role viewer, not peer: issue one"]),
    ];
    for (name, open, said) in rows {
        siege.issue(name, if name == "alice" { Role::Viewer } else { Role::Peer });
        for replicates in [false, true] {
            let first = replication(replicate_request::Frame::Open(open.clone()));
            let heard = siege.runtime.block_on(async {
                let mut line = if replicates {
                    siege.line(name, REPLICATE, &first).await
                } else {
                    siege.line(name, HEARTBEAT, &heartbeats(open.clone())).await
                };
                timeout(PATIENCE, line.hear()).await.unwrap()
            });
            let Heard::End(_, told) = &heard else { panic!("{name}: {heard:?}") };
            assert!(said.iter().all(|part| told.contains(part)), "{name} was told: {told}");
        }
        let from = STRANGER.to_string();
        siege.wait_for_line(&[&["WARN", &format!("refused `{name}`"), &from], said].concat());
    }
    let checks = siege.target().ask(&["doctor"]).unwrap();
    let [refused] = checks_of(&checks, "refused")[..] else { panic!("{checks}") };
    assert!(refused["what"].as_str().unwrap().starts_with(&format!("alice at {STRANGER}:")), "{refused}");
    assert!(refused["what"].as_str().unwrap().ends_with("certificate `alice` has role viewer, not peer"), "{refused}");
    assert!(refused["todo"].as_str().unwrap().contains("standfast tls issue --node"), "{refused}");
    siege.end("seven who are not who they say");
}

#[test]
fn an_older_epoch_is_told_the_newer_one() {
    if !enter("bad_peers::an_older_epoch_is_told_the_newer_one", &[]) {
        return;
    }
    let mut siege = Siege::start();
    let epoch = || siege.target().ask(&["status"]).unwrap()["relationships"][0]["epoch"]["number"].as_u64().unwrap();
    let newer = epoch();
    assert!(newer > 1, "there was a switchover");
    let mut session = siege.replace_partner();
    let pair = proto::PairHello {
        relationship: "pair".into(),
        slot: proto::Slot::Zero.into(),
        phase: proto::Phase::CommunicationsInterrupted.into(),
        epoch: Some(proto::Epoch { number: 1, slot: proto::Slot::Zero.into() }),
        served: true,
        ..Default::default()
    };
    let hello = proto::Hello { incarnation: 0x5eed, pairs: vec![pair], ..Default::default() };
    // What it says changes the state of the relationship, as a partner's word does; clients come before and after.
    siege.let_clients_go();
    let told = siege.runtime.block_on(async {
        session.replication.say(&replication(replicate_request::Frame::Hello(hello)).encode_to_vec());
        loop {
            let heard = timeout(PATIENCE, session.replication.hear()).await.unwrap();
            let Heard::Message(bytes) = heard else { panic!("{heard:?}") };
            let message = proto::ReplicateResponse::decode(bytes.as_slice()).unwrap();
            if let Some(replicate_response::Frame::Hello(hello)) = message.frame {
                return hello.pairs[0].epoch.unwrap().number;
            }
        }
    });
    assert_eq!(told, newer, "the node says which epoch it is");
    assert!(siege.target().relationship().unwrap().active);
    siege.let_clients_come();
    assert!(siege.target().ask(&["status"]).unwrap()["relationships"][0]["epoch"]["number"].as_u64().unwrap() >= newer);
    drop(session);
    siege.restore_partner();
    siege.end("a partner of an older epoch");
}

#[test]
fn messages_that_are_too_long_end_their_call_alone() {
    if !enter("bad_peers::messages_that_are_too_long_end_their_call_alone", &[]) {
        return;
    }
    let mut siege = Siege::start();
    siege.issue("bob", Role::Operator);
    let request = proto::ApplyConfigurationRequest { text: "#".repeat(HUGE), ..Default::default() };
    let ended = siege.runtime.block_on(async {
        let mut line = siege.line("bob", APPLY, &request).await;
        timeout(PATIENCE, line.hear()).await.unwrap()
    });
    assert!(matches!(&ended, Heard::End(status, _) if status == TOO_LONG), "an operator: {ended:?}");

    let mut session = siege.replace_partner();
    let ended = siege.runtime.block_on(async {
        session.replication.say(&vec![0; HUGE]);
        loop {
            match timeout(PATIENCE, session.replication.hear()).await.unwrap() {
                Heard::Message(_) => {}
                end @ (Heard::End(..) | Heard::Broken(_)) => return end,
            }
        }
    });
    assert!(!matches!(ended, Heard::Message(_)), "{ended:?}");
    siege.wait_for_line(&["WARN", "the session with `dhcp-a`", &STRANGER.to_string(), "because of what it sent"]);
    assert!(siege.target().relationship().unwrap().active);
    drop(session);
    siege.restore_partner();
    siege.end("messages that are too long");
}

#[test]
fn who_does_not_read_is_let_go() {
    if !enter("bad_peers::who_does_not_read_is_let_go", &[]) {
        return;
    }
    let mut siege = Siege::start();
    siege.issue("bob", Role::Viewer);
    let before = siege.target().open_files();
    for _ in 0..10 {
        let line = siege.runtime.block_on(siege.line("bob", LIST_LEASES, &proto::ListLeasesRequest::default()));
        line.stop();
    }
    let Session { heartbeats, replication } = siege.replace_partner();
    heartbeats.stop();
    replication.stop();
    siege.wait_for_progress();
    assert!(siege.target().relationship().unwrap().active);
    until_true("those who do not read to be let go", LONG, || siege.target().open_files() <= before);
    siege.restore_partner();
    siege.end("eleven who do not read");
}
