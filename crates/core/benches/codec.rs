//! What a packet costs before and after anyone thinks about leases: reading a query, writing an answer.

use criterion::{Criterion, criterion_group, criterion_main};
use standfast_core::configuration::{Boot, OptionValues};
use standfast_core::dhcp::encode::{Answer, AnswerKind, LeaseTimes, encode};
use standfast_core::dhcp::option::OptionLayers;
use standfast_core::dhcp::query::Query;
use std::hint::black_box;
use std::net::Ipv4Addr;
use std::time::Duration;

/// A DISCOVER as systemd-networkd sends it, through a relay.
fn discover() -> Vec<u8> {
    let mut bytes = vec![1, 1, 6, 1, 0xde, 0xad, 0xbe, 0xef];
    bytes.resize(24, 0);
    bytes.extend([10, 20, 0, 2, 2, 0, 0x5e, 0x10, 0, 1]);
    bytes.resize(236, 0);
    bytes.extend([99, 130, 83, 99, 53, 1, 1, 61, 19, 0xff]);
    bytes.extend([7; 18]);
    bytes.extend([55, 8, 1, 3, 6, 12, 15, 26, 42, 121, 57, 2, 5, 0xdc, 12, 6]);
    bytes.extend(b"host-1");
    bytes.extend([82, 14, 1, 6, 0, 4, 0, 10, 1, 5, 2, 4, 1, 2, 3, 4, 255]);
    bytes
}

fn codec(criterion: &mut Criterion) {
    let packet = discover();
    let query = Query::parse(&packet).expect("a sound packet");
    let values = OptionValues::from([
        (3, vec![10, 20, 0, 1]),
        (6, vec![10, 0, 0, 53, 10, 0, 1, 53]),
        (15, b"hq.example.net".to_vec()),
        (42, vec![10, 0, 0, 123]),
    ]);
    let answer = Answer {
        kind: AnswerKind::Offer,
        yiaddr: Ipv4Addr::new(10, 20, 0, 50),
        server_identifier: Ipv4Addr::new(10, 20, 0, 1),
        times: Some(LeaseTimes::of(Duration::from_secs(28_800))),
        boot: Boot::default(),
        options: OptionLayers::new(vec![&values]).mask(Ipv4Addr::new(255, 255, 255, 0)),
        forced: &[],
        rapid_commit: false,
        subnet_selected: false,
        message: "",
    };
    criterion.bench_function("read a query", |bencher| bencher.iter(|| Query::parse(black_box(&packet))));
    criterion.bench_function("write an answer", |bencher| {
        let mut out = Vec::with_capacity(576);
        bencher.iter(|| encode(black_box(&answer), black_box(&query), 1_500, &mut out));
    });
}

criterion_group!(benches, codec);
criterion_main!(benches);
