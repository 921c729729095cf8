//! Somebody at the port of peers and operators who is no peer: scanners, floods, certificates that are not right.

use crate::siege::{STRANGER, Siege, wall};
use standfast_rpc::tls::{Authority, Role};
use standfast_tests::lab::enter;
use std::fs;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longer than a node grants to a handshake, on any machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// A flood: more than a node gives places to.
const FLOOD: usize = 300;
/// Descriptors of a node under a flood are at most so many more than before: its places, and some of its own.
const PLACES: usize = 64 + 16;

/// Waits until the other side closes; what it said before.
async fn closed(mut stream: TcpStream) -> Vec<u8> {
    let mut said = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut said)).await;
    // One that is reset has been closed as well.
    let _ = read.expect("the node closes the connection");
    said
}

async fn flood(siege: &Siege) -> Vec<TcpStream> {
    let mut streams = Vec::new();
    for _ in 0..FLOOD {
        streams.push(siege.reach().await);
    }
    streams
}

#[test]
fn plain_tcp_and_port_scans_cost_nothing() {
    if !enter("strangers::plain_tcp_and_port_scans_cost_nothing", &[]) {
        return;
    }
    let siege = Siege::start();
    siege.runtime.block_on(async {
        for _ in 0..50 {
            // A scan: open, and closed at once.
            drop(siege.reach().await);
            for nonsense in [&b"GET / HTTP/1.1\r\nHost: dhcp-b\r\n\r\n"[..], b"\0\0\0\0\0\0", &[0xff; 4_096]] {
                let mut stream = siege.reach().await;
                stream.write_all(nonsense).await.unwrap();
                let said = closed(stream).await;
                assert!(said.len() < 64, "an alert of TLS at most: {said:?}");
            }
        }
    });
    siege.wait_for_line(&["WARN", &STRANGER.to_string(), "does not speak TLS"]);
    let lines = siege.target().site.lines_with(&["does not speak TLS"]).len();
    assert!(lines <= 10, "a line in some seconds, whatever comes: {lines}");
    siege.end("plain TCP");
}

#[test]
fn half_a_handshake_is_given_up() {
    if !enter("strangers::half_a_handshake_is_given_up", &[]) {
        return;
    }
    let siege = Siege::start();
    let start = Instant::now();
    siege.runtime.block_on(async {
        // The beginning of a ClientHello that says it has 512 bytes.
        let mut streams = Vec::new();
        for _ in 0..20 {
            let mut stream = siege.reach().await;
            stream.write_all(&[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3]).await.unwrap();
            streams.push(stream);
        }
        for stream in streams {
            closed(stream).await;
        }
    });
    assert!(start.elapsed() >= Duration::from_secs(3), "the node waits for a side that is slow");
    siege.wait_for_line(&["WARN", &STRANGER.to_string(), "handshake was not done within 3 s"]);
    siege.end("half a handshake");
}

#[test]
fn a_flood_of_connections_keeps_no_partner_out() {
    if !enter("strangers::a_flood_of_connections_keeps_no_partner_out", &[]) {
        return;
    }
    let mut siege = Siege::start();
    let before = siege.target().open_files();
    let held = siege.runtime.block_on(flood(&siege));
    siege.wait_for_line(&["WARN", &STRANGER.to_string(), "too many at a time"]);
    let open = siege.target().open_files();
    assert!(open <= before + PLACES, "{open} descriptors, {before} before the flood");
    siege.wait_for_progress();
    // The partner leaves and comes back while every place for strangers is taken, and taken again when it is given up.
    siege.dismiss_partner();
    let more = siege.runtime.block_on(flood(&siege));
    siege.restore_partner();
    drop((held, more));
    siege.end("a flood of connections");
}

#[test]
fn certificates_that_are_not_right_are_refused() {
    if !enter("strangers::certificates_that_are_not_right_are_refused", &[]) {
        return;
    }
    let siege = Siege::start();
    let other = siege.pair.path().join("elsewhere");
    let authority = Authority::create(&other, "lab", wall(Duration::ZERO)).unwrap();
    authority.issue("dhcp-a", Role::Peer, wall(Duration::ZERO)).unwrap();
    let expired = siege.pair.path().join("expired");
    fs::create_dir(&expired).unwrap();
    for file in ["ca.pem", "ca.key"] {
        fs::copy(siege.tls_dir().join(file), expired.join(file)).unwrap();
    }
    let long_ago = wall(Duration::from_secs(20 * 365 * 86_400));
    Authority::open(&expired).unwrap().issue("dhcp-a", Role::Peer, long_ago).unwrap();
    for (dir, said) in [(other, "issued by another authority"), (expired, "certificate expired: issue a new one")] {
        siege.runtime.block_on(async {
            // With TLS 1.3 whoever connects learns of it when it reads.
            let mut stream = siege.secure(&dir, "dhcp-a").await.unwrap();
            let refused = timeout(PATIENCE, stream.read_u8()).await.unwrap();
            assert!(refused.is_err(), "{said}");
        });
        siege.wait_for_line(&["WARN", &STRANGER.to_string(), said]);
        let checks = siege.target().ask(&["doctor"]).unwrap();
        let refused = checks.as_array().unwrap().iter().find(|check| check["name"] == "refused").unwrap();
        let (what, todo) = (refused["what"].as_str().unwrap(), refused["todo"].as_str().unwrap());
        assert!(what.starts_with(&format!("somebody at {STRANGER}:")), "{what}");
        assert!(format!("{what}: {todo}").contains(said), "{refused}");
    }
    siege.end("certificates that are not right");
}
