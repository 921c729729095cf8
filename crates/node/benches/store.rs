//! What a commit costs, by size of the group and by how much the store holds; and what opening costs.
//!
//! `cargo bench -p standfast-node --bench store`. The disk is the one that TMPDIR is on: a tmpfs there flatters.

#![allow(missing_docs, reason = "criterion's macros")]

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use standfast_node::store::Store;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// What a lease takes.
const PAYLOAD: usize = 120;

fn key(number: u64) -> [u8; 9] {
    let mut key = [b'L'; 9];
    key[1..].copy_from_slice(&number.to_be_bytes());
    key
}

fn commit(store: &mut Store, numbers: impl Iterator<Item = u64>, fill: u64) {
    let payload = [fill.to_le_bytes(); PAYLOAD / 8].concat();
    let keys: Vec<_> = numbers.map(key).collect();
    store.commit(keys.iter().map(|key| (key.as_slice(), payload.as_slice()))).expect("commit");
}

fn filled(records: u64) -> (TempDir, PathBuf) {
    let scratch = tempfile::tempdir().expect("make a folder");
    let dir = scratch.path().join("store");
    let mut store = Store::open(&dir).expect("open").store;
    for start in (0..records).step_by(512) {
        commit(&mut store, start..records.min(start + 512), start);
    }
    store.close().expect("close");
    (scratch, dir)
}

fn open(dir: &Path) -> (Store, usize) {
    let opened = Store::open(dir).expect("open");
    let bytes = opened.records.iter().map(|(_, payload)| payload.len()).sum();
    (opened.store, bytes)
}

/// Renewals: records that exist are replaced, far apart from each other.
fn commits(criterion: &mut Criterion) {
    for records in [10_000, 1_000_000] {
        let (_scratch, dir) = filled(records);
        let (mut store, _) = open(&dir);
        let mut group = criterion.benchmark_group(format!("commit_into_{records}"));
        let mut next = 0_u64;
        for size in [1, 8, 32, 128, 512] {
            group.throughput(Throughput::Elements(size));
            group.bench_function(BenchmarkId::from_parameter(size), |bench| {
                bench.iter(|| {
                    next += 1;
                    commit(&mut store, (0..size).map(|n| (next * size + n) * 7_919 % records), next);
                });
            });
        }
        group.finish();
    }
}

fn opening(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("open");
    group.sample_size(10);
    for records in [10_000, 100_000] {
        let (_scratch, dir) = filled(records);
        group.throughput(Throughput::Elements(records));
        group.bench_function(BenchmarkId::from_parameter(records), |bench| {
            bench.iter_batched(|| (), |()| black_box(open(&dir)).0.close().expect("close"), BatchSize::PerIteration);
        });
    }
    group.finish();
}

criterion_group!(benches, commits, opening);
criterion_main!(benches);
