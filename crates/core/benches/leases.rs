//! What a decision costs beside reading and writing the packet, by how many leases there are: it must not depend on them.
//!
//! `cargo bench -p standfast-core --bench leases`. The pool is 99 % full: what is left is found by the free list.

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use standfast_core::configuration::{
    Act, AddressRange, Boot, Configuration, LeaseTime, Pool, Probe, Scope, ScopeOwner, Subnet,
};
use standfast_core::id::{Epoch, Incarnation, RelationshipName, Revision, Sequence, Slot};
use standfast_core::input::{Identity, Input, Link, Packet};
use standfast_core::lease::merge::{Merging, merge};
use standfast_core::lease::record::{ClientId, HardwareAddress, Lease, LeaseState, Version};
use standfast_core::lease::table::{LeaseTable, PoolIndex};
use standfast_core::node::Node;
use standfast_core::stored::{NodeRecord, Stored};
use standfast_core::time::{Instant, Now, Wall};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

const SIZES: [u32; 3] = [1 << 12, 1 << 16, 1 << 20];
const FIRST: Ipv4Addr = Ipv4Addr::new(10, 64, 1, 0);
const RELAY: Ipv4Addr = Ipv4Addr::new(10, 64, 0, 1);
const HOUR: Duration = Duration::from_secs(3_600);
const POOL: PoolIndex = PoolIndex { scope: 0, pool: 0 };

/// One scope of the node `a`, with a pool of so many addresses.
fn configuration(addresses: u32) -> Configuration {
    let last = Ipv4Addr::from_bits(FIRST.to_bits() + addresses - 1);
    Configuration {
        cluster: "bench".into(),
        revision: Revision { number: 1, node: "a".into() },
        nodes: vec!["a".into()],
        relationships: Vec::new(),
        scopes: vec![Scope {
            name: "lan".into(),
            owner: ScopeOwner::Node("a".into()),
            disabled: false,
            subnet: Subnet { network: Ipv4Addr::new(10, 64, 0, 0), prefix: 10 },
            pools: vec![Pool { range: AddressRange { first: FIRST, last }, class: None, options: BTreeMap::new() }],
            exclude: Vec::new(),
            lease_time: LeaseTime { default: HOUR, min: HOUR, max: HOUR },
            options: BTreeMap::new(),
            reservations: Vec::new(),
            authoritative: true,
            nak_unknown_clients: false,
            shared_network: None,
            relays: vec![RELAY],
            subnet_selection: false,
            rapid_commit: false,
            bootp: false,
            decline_time: HOUR,
            offer_hold: Duration::from_secs(30),
            probe: Probe::Off,
            v6only_wait: None,
            boot: Boot::default(),
            forced_options: Vec::new(),
        }],
        classes: Vec::new(),
        server_identifiers: BTreeMap::new(),
        text: "".into(),
        act: Act::default(),
    }
}

fn hardware(client: u32) -> HardwareAddress {
    let [a, b, c, d] = client.to_be_bytes();
    HardwareAddress::new(1, &[2, 0, a, b, c, d]).expect("six bytes")
}

/// The lease of client `number`, which has the address of that number.
fn lease(number: u32) -> Lease {
    let expiry = Instant(0) + HOUR;
    Lease {
        address: Ipv4Addr::from_bits(FIRST.to_bits() + number),
        state: LeaseState::Bound,
        client: ClientId::of_hardware(hardware(number)),
        hardware: hardware(number),
        hostname: Box::default(),
        expiry,
        potential_expiry: expiry,
        acked_expiry: Instant::NEVER,
        version: Version([1, 0]),
        epoch: Epoch::INITIAL,
        taken: true,
        sequence: Sequence(u64::from(number) + 1),
    }
}

/// Leases of 99 % of the addresses.
fn leases(addresses: u32) -> impl Iterator<Item = Lease> {
    (0..addresses / 100 * 99).map(lease)
}

fn node(addresses: u32) -> Node {
    let now = now(0);
    let record = NodeRecord {
        node: "a".into(),
        incarnations: vec![Incarnation(1)],
        peers: Vec::new(),
        last_running: now.wall,
        last_running_at: now.instant,
        clock_zero: Instant(0),
        clock_confirmed: false,
        doubt: None,
        revision: None,
        sequence: Sequence(0),
    };
    let stored = Stored {
        node: Some(record),
        leases: leases(addresses).map(|lease| (RelationshipName::from("node:a"), lease)).collect(),
        sequence: Sequence(u64::from(addresses)),
        ..Stored::default()
    };
    let identity = Identity { node: "a".into(), incarnation: Incarnation(2), new_cluster: false };
    let mut node = Node::new(identity, Arc::new(configuration(addresses)), stored, now);
    let address = Ipv4Addr::new(10, 10, 0, 1);
    let link = Link { index: 0, name: "lan0".into(), addresses: vec![(address, 24)], mtu: 1_500, carrier: true };
    node.handle(now, Input::Links(vec![link]));
    finish(&mut node, now);
    node
}

fn now(micros: i64) -> Now {
    Now { instant: Instant(micros), wall: Wall(1_800_000_000_000 + micros / 1_000) }
}

/// Everything that was written is durable. Returns how many replies and writes there were.
fn finish(node: &mut Node, now: Now) -> (usize, usize) {
    let outputs = node.outputs();
    if let Some(last) = outputs.writes.last() {
        node.handle(now, Input::Persisted(last.sequence));
    }
    (outputs.replies.len() + node.outputs().replies.len(), outputs.writes.len())
}

/// What a relay passes on: message type, the address that the client has, options.
fn packet(client: u32, kind: u8, ciaddr: Ipv4Addr) -> Packet {
    let mut bytes = vec![1, 1, 6, 1];
    bytes.extend(client.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(ciaddr.octets());
    bytes.extend([0; 8]);
    bytes.extend(RELAY.octets());
    bytes.extend(hardware(client).as_bytes());
    bytes.resize(236, 0);
    bytes.extend([99, 130, 83, 99, 53, 1, kind, 55, 4, 1, 3, 6, 51, 255]);
    let server = Ipv4Addr::new(10, 10, 0, 1);
    Packet { link: 0, source: SocketAddrV4::new(RELAY, 67), destination: server, received: Instant(i64::MAX), bytes }
}

/// A client that has a lease looks for servers; another extends its lease, which writes.
fn packets(criterion: &mut Criterion) {
    let mut discover = criterion.benchmark_group("packet to offer");
    for size in SIZES {
        let mut node = node(size);
        let clock = Cell::new(0_u32);
        discover.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            bencher.iter_batched(
                || {
                    clock.set(clock.get() + 25);
                    packet(clock.get() * 7_919 % (size / 100 * 99), 1, Ipv4Addr::UNSPECIFIED)
                },
                |packet| {
                    let now = now(i64::from(clock.get()));
                    node.handle(now, Input::Packet(packet));
                    assert_eq!(black_box(finish(&mut node, now)), (1, 0));
                },
                BatchSize::PerIteration,
            );
        });
    }
    discover.finish();
    let mut renew = criterion.benchmark_group("packet to renewal");
    for size in SIZES {
        let mut node = node(size);
        let clock = Cell::new(0_u32);
        renew.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            bencher.iter_batched(
                || {
                    clock.set(clock.get() + 25);
                    let client = clock.get() * 7_919 % (size / 100 * 99);
                    packet(client, 3, lease(client).address)
                },
                |packet| {
                    let now = now(i64::from(clock.get()));
                    node.handle(now, Input::Packet(packet));
                    assert_eq!(black_box(finish(&mut node, now)), (1, 1));
                },
                BatchSize::PerIteration,
            );
        });
    }
    renew.finish();
}

/// The next free address is found, given away, and becomes free again.
fn allocation(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("allocate in a full pool");
    for size in SIZES {
        let mut table = LeaseTable::new(None, &configuration(size), &[0]);
        leases(size).for_each(|lease| table.put(lease));
        let mut sequence = Sequence(u64::from(size));
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            bencher.iter(|| {
                let address = table.next_free(POOL, None, Instant(0), |_, _| true).expect("one in a hundred is free");
                for state in [LeaseState::Bound, LeaseState::Free] {
                    sequence.0 += 1;
                    table.put(Lease { state, sequence, ..lease(address.to_bits() - FIRST.to_bits()) });
                }
            });
        });
    }
    group.finish();
}

/// An extension that the partner made, and two nodes that have not seen each other.
fn merging(criterion: &mut Criterion) {
    let merging = Merging {
        now: Instant(0),
        slot: Slot::Zero,
        home: true,
        we_were_partner_down: false,
        they_were_partner_down: false,
        learns_times: false,
        mine_may_run: false,
        lost: false,
    };
    let mine = lease(8);
    let newer = Lease { version: Version([1, 1]), expiry: mine.expiry + HOUR, ..mine.clone() };
    let apart = Lease { version: Version([0, 1]), expiry: mine.expiry + HOUR, ..mine.clone() };
    criterion
        .bench_function("merge what is newer", |bencher| bencher.iter(|| merge(merging, black_box(&mine), &newer)));
    criterion
        .bench_function("merge what was apart", |bencher| bencher.iter(|| merge(merging, black_box(&mine), &apart)));
}

criterion_group!(benches, packets, allocation, merging);
criterion_main!(benches);
