//! What a node tells a monitoring system: `/metrics` in the OpenMetrics format and `/health`, over plain HTTP.
//!
//! A reading is taken on the serving loop, for as long as it takes to copy some counters, and at most a few times a
//! second however often somebody asks. Everything else is done here, on other threads.

mod http;
mod places;
mod table;

pub use http::HttpError;
pub(crate) use http::{open, serve};
pub use table::{KINDS, Kind, METRICS, Metric};

use crate::clock::Clock;
use crate::handle::{NodeHandle, Unavailable};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::Registry;
use standfast_core::id::RelationshipName;
use standfast_core::node::{Counters, Durations, Node, Status};
use standfast_core::time::{Instant, Now, Wall};
use standfast_rpc::tls::ReloadableTls;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A reading that is younger than this is not taken again.
const FRESH: Duration = Duration::from_millis(250);

/// How long commits of the store took; shared with the serving loop, which is told of each.
#[derive(Clone, Debug, Default)]
pub(crate) struct Commits(Arc<Mutex<Durations>>);

impl Commits {
    pub(crate) fn add(&self, took: Duration) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).add(took);
    }

    fn read(&self) -> Durations {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Where readings come from.
pub(crate) struct Sources {
    pub(crate) node: NodeHandle,
    pub(crate) clock: Clock,
    pub(crate) tls: Arc<ReloadableTls>,
    pub(crate) commits: Commits,
    pub(crate) store_dir: PathBuf,
}

/// Everything that metrics say, as of one moment.
#[derive(Clone, Debug)]
struct Reading {
    status: Status,
    counters: Counters,
    waiting: u64,
    promotions: Vec<(RelationshipName, &'static str, u64)>,
    foreign_servers: u64,
    commits: Durations,
    store_bytes: u64,
    certificate_ends: Wall,
    wall: Wall,
}

impl Sources {
    async fn read(&self) -> Result<Reading, Unavailable> {
        let look = |node: &Node, now: Now| {
            let promotions = node.promotions().map(|(name, reason, count)| (name.clone(), reason, count)).collect();
            let foreign = node.foreign_servers().count() as u64;
            (node.status(), node.counters().clone(), node.waiting() as u64, promotions, foreign, now.wall)
        };
        let (status, counters, waiting, promotions, foreign_servers, wall) = self.node.look(look).await?;
        Ok(Reading {
            status,
            counters,
            waiting,
            promotions,
            foreign_servers,
            commits: self.commits.read(),
            store_bytes: size(&self.store_dir),
            certificate_ends: self.tls.current().identity().not_after,
            wall,
        })
    }
}

/// Bytes of the files in a folder, which has no folders in it that matter.
fn size(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    let length = |entry: std::fs::DirEntry| {
        let path = entry.path();
        if path.is_dir() { size(&path) } else { entry.metadata().map_or(0, |metadata| metadata.len()) }
    };
    entries.flatten().map(length).sum()
}

/// The latest reading, and who may take another one.
pub(crate) struct Readings {
    sources: Sources,
    latest: tokio::sync::Mutex<Option<(Instant, Arc<Reading>)>>,
}

impl Readings {
    pub(crate) fn new(sources: Sources) -> Self {
        Self { sources, latest: tokio::sync::Mutex::new(None) }
    }

    async fn get(&self) -> Result<Arc<Reading>, Unavailable> {
        // Held while a reading is taken: whoever asks meanwhile gets that one.
        let mut latest = self.latest.lock().await;
        if let Some((taken, reading)) = latest.as_ref()
            && self.sources.clock.instant().since(*taken) < FRESH
        {
            return Ok(Arc::clone(reading));
        }
        let reading = Arc::new(self.sources.read().await?);
        *latest = Some((self.sources.clock.instant(), Arc::clone(&reading)));
        Ok(reading)
    }
}

/// A reading as text.
fn encode(reading: &Reading) -> String {
    let mut registry = Registry::with_prefix("standfast");
    registry.register_collector(Box::new(reading.clone()));
    let mut text = String::new();
    if let Err(error) = prometheus_client::encoding::text::encode(&mut text, &registry) {
        tracing::warn!(%error, "metrics could not be written");
    }
    text
}

impl Collector for Reading {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        METRICS.iter().try_for_each(|metric| metric.encode(self, &mut encoder))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster_file::{ClusterFile, PAIR};
    use standfast_core::id::Incarnation;
    use standfast_core::input::Identity;
    use standfast_core::stored::Stored;

    fn reading() -> Reading {
        let configuration = ClusterFile::parse("cluster.toml", PAIR).unwrap().configuration;
        let identity = Identity { node: "dhcp-a".into(), incarnation: Incarnation(1), new_cluster: true };
        let now = Now { instant: Instant(0), wall: Wall(1_000) };
        let node = Node::new(identity, Arc::new(configuration), Stored::default(), now);
        let mut counters = Counters::default();
        counters.received.insert("discover", 3);
        counters.answered.insert("offer", 2);
        counters.silent.insert("deactivated", 1);
        counters.exchanges.entry("discover").or_default().add(Duration::from_micros(120));
        let mut commits = Durations::default();
        commits.add(Duration::from_secs(9));
        Reading {
            status: node.status(),
            counters,
            waiting: 0,
            promotions: vec![("office".into(), "switchover", 1)],
            foreign_servers: 0,
            commits,
            store_bytes: 4_096,
            certificate_ends: Wall(61_000),
            wall: Wall(1_000),
        }
    }

    #[test]
    fn metrics_are_as_documented() {
        insta::assert_snapshot!(encode(&reading()));
    }
}
