//! A rolling upgrade: nodes of two versions are partners, and clients notice nothing while both are replaced in turn.

use crate::pair::{A, B, Pair, Plan, address};
use standfast_tests::crowd::{Crowd, Load};
use standfast_tests::daemon::{Daemon, binary};
use standfast_tests::device::{Device, Patience};
use standfast_tests::lab::{Door, enter};
use standfast_tests::puppet::{self, Called, Ear, Mouth, Pass, REPLICATE, accept, answer, call, reach, secure};
use standfast_tests::say;
use standfast_tests::wait::{LONG, until_true};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::net::TcpListener;

/// The node that is dialled.
const DIALLED: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 12));

/// Stands between the nodes and makes each of them seem to be of a later minor version, to the other: a higher number,
/// fields that nobody knows in every message, and messages that nobody knows after each.
#[derive(Clone)]
struct Interpreter {
    tls_dir: PathBuf,
    /// Into the namespace of the node that is dialled.
    there: Door,
    added: Arc<AtomicU64>,
}

impl Interpreter {
    async fn serve(self, listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            let this = self.clone();
            tokio::spawn(async move {
                // A node that only looks whether the port is open says nothing.
                let Ok(stream) = accept(stream, &this.tls_dir, "dhcp-b").await else { return };
                answer(stream, |called| {
                    tokio::spawn(this.clone().interpret(called));
                })
                .await;
            });
        }
    }

    async fn interpret(self, called: Called) {
        let replicates = called.path == REPLICATE;
        let path = called.path.clone();
        let (mut from_a, to_a) = called.split();
        let Some(first) = from_a.hear().await else { return };
        // A partner that is gone answers nobody, and then neither does this.
        let Ok(stream) = reach(&self.there, DIALLED, SocketAddr::new(DIALLED, 6767)).await else { return };
        let pass = Pass { dir: &self.tls_dir, name: "dhcp-a" };
        let Ok(stream) = secure(stream, pass, &self.tls_dir, "dhcp-b").await else { return };
        let Ok(line) = call(stream, &path, &with_later_fields(first)).await else { return };
        let Ok((from_b, to_b)) = line.split().await else { return };
        tokio::join!(self.pump(from_a, to_b, replicates), self.pump(from_b, to_a, replicates));
    }

    async fn pump(&self, mut from: Ear, mut to: Mouth, replicates: bool) {
        while let Some(message) = from.hear().await {
            let mut messages = vec![with_later_fields(message), LATER.to_vec()];
            if replicates {
                // Of a relationship.
                messages.push(within(0x1a, &LATER));
            }
            for message in messages {
                if to.say(&message).await.is_err() {
                    return;
                }
                self.added.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// Field 8191, which no version has yet.
const LATER: [u8; 6] = [0xfa, 0xff, 0x03, 2, 1, 2];
/// The first field of every stream, an Open.
const OPEN: u8 = 0x0a;

/// A message within a field, by the tag of the field.
fn within(tag: u8, message: &[u8]) -> Vec<u8> {
    [&[tag, u8::try_from(message.len()).unwrap()][..], message].concat()
}

/// Parts of a message that follow one another are one message (protobuf's merging), so what is new is put at its end.
fn with_later_fields(mut message: Vec<u8>) -> Vec<u8> {
    let Some(&tag) = message.first() else { return message };
    if tag == OPEN {
        let minor = [0x20, 9];
        message.extend(within(tag, &minor));
    }
    message.extend(within(tag, &LATER));
    message.extend(LATER);
    message
}

#[test]
fn a_node_of_a_later_minor_version_is_a_partner_like_any_other() {
    if !enter("upgrade::a_node_of_a_later_minor_version_is_a_partner_like_any_other", &[]) {
        return;
    }
    let mut pair = Pair::prepare(Plan::new(1, "8h"));
    // The address of the partner is here as well, so that whoever dials it reaches the interpreter.
    pair.lab.nodes[A].namespace.ip(&["address", "add", &format!("{DIALLED}/32"), "dev", "lo"]);
    let runtime = puppet::runtime();
    let listener = puppet::listen(&pair.lab.nodes[A].namespace.door(), SocketAddr::new(DIALLED, 6767), &runtime);
    let interpreter = Interpreter {
        tls_dir: pair.path().join("tls"),
        there: pair.lab.nodes[B].namespace.door(),
        added: Arc::default(),
    };
    let added = Arc::clone(&interpreter.added);
    runtime.spawn(interpreter.serve(listener));
    pair.boot(A, true);
    pair.boot(B, true);
    pair.wait_until_in_step(A);

    let mut device = Device::new(&pair.lab.clients[0], 1);
    let grant = device.obtain(None, Patience::USUAL).unwrap();
    assert_eq!(pair.leases().len(), 1, "the lease is at both");
    for node in [B, A, B] {
        pair.switch_over_to(node);
        let kept = device.rebind(grant.address, None, Patience::USUAL).unwrap();
        assert_eq!((kept.address, kept.server), (grant.address, address(node)));
    }
    assert_eq!(pair.leases().len(), 1);
    for node in [A, B] {
        let site = pair.site(node);
        assert_eq!(site.lines_with(&["disconnected"]), Vec::<String>::new(), "the first session goes on");
        assert_eq!(site.lines_with(&["because of what it sent"]), Vec::<String>::new());
    }
    let added = added.load(Ordering::Relaxed);
    // Two streams in two directions, each with an Open and at least one message more, and two or three of each.
    assert!(added >= 16, "{added} messages with what nobody knows");
    pair.judge();
}

#[test]
fn a_rolling_upgrade_leaves_no_client_without_an_answer() {
    if !enter("upgrade::a_rolling_upgrade_leaves_no_client_without_an_answer", &[]) {
        return;
    }
    let mut pair = Pair::start_with(Plan::new(1, "8h"));
    Crowd::prepare(&pair.lab, 0);
    let crowd = Crowd::start(&pair.lab.clients[0], Load::new_clients(100));
    let progress = || {
        let before = crowd.completed();
        until_true("the crowd to be served", LONG, || crowd.completed() > before + 50);
    };
    let new = pair.path().join("standfast-new");
    fs::copy(binary(), &new).unwrap();
    progress();
    // The deactivated node first, as docs/operating/upgrade.md says.
    upgrade(&mut pair, B, &new);
    progress();
    pair.switch_over_to(B);
    progress();
    upgrade(&mut pair, A, &new);
    progress();
    pair.wait_until_in_step(B);
    let outcome = crowd.finish();
    say(&format!(
        "rolling upgrade of both nodes at 100 exchanges/s: {} exchanges, {} messages repeated, {} refused, {} lost, \
         longest {:.1?}",
        outcome.completed,
        outcome.repeated,
        outcome.refused,
        outcome.lost.len(),
        outcome.percentile(1.0),
    ));
    assert!(outcome.lost.is_empty(), "{:#?}", outcome.lost);
    assert!(outcome.denied.is_empty(), "who renews is not told NAK: {:?}", outcome.denied);
    assert_eq!(pair.leases().len(), outcome.held.len());
    pair.judge();
}

/// A node stops and starts again from another copy of the binary, and is in step again.
fn upgrade(pair: &mut Pair, node: usize, program: &Path) {
    let site = pair.daemons[node].take().unwrap().leave();
    pair.daemons[node] = Some(Daemon::start_copy(site, &pair.lab.nodes[node].namespace, program));
    pair.daemon(node).wait_for("normal", false);
}
