//! Every metric: its name, its labels, what it says, and where that is read.

use super::Reading;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use standfast_core::failover::state::Phase;
use standfast_core::id::ScopeName;
use standfast_core::node::{Durations, PartnerStatus, ScopeState, ScopeStatus};
use std::collections::BTreeMap;

/// What kind of number a metric is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// It goes up and down.
    Gauge,
    /// It only rises; its name ends in `_total`.
    Counter,
    /// How long something took, in buckets.
    Histogram,
}

/// Kinds by the ending that they give a name.
pub const KINDS: [(Kind, &str); 3] = [(Kind::Gauge, ""), (Kind::Counter, "_total"), (Kind::Histogram, "")];

/// A metric; its name begins with `standfast_`.
#[derive(Debug)]
pub struct Metric {
    /// Without the prefix, the unit and the ending of its kind.
    name: &'static str,
    unit: &'static str,
    /// What kind of number it is.
    pub kind: Kind,
    /// Names of its labels.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
    samples: fn(&Reading) -> Vec<Sample>,
}

/// One number, or one row of buckets, and the values of its labels.
struct Sample {
    labels: Vec<String>,
    value: Value,
}

enum Value {
    Number(f64),
    Count(u64),
    Durations(Durations),
}

impl Metric {
    /// As it is called in full.
    #[must_use]
    pub fn full_name(&self) -> String {
        let unit = if self.unit.is_empty() { String::new() } else { format!("_{}", self.unit) };
        let ending = KINDS.iter().find(|(kind, _)| *kind == self.kind).map_or("", |(_, ending)| ending);
        format!("standfast_{}{unit}{ending}", self.name)
    }

    pub(super) fn encode(&self, reading: &Reading, encoder: &mut DescriptorEncoder<'_>) -> std::fmt::Result {
        let samples = (self.samples)(reading);
        if samples.is_empty() {
            return Ok(());
        }
        let unit = match self.unit {
            "seconds" => Some(Unit::Seconds),
            "bytes" => Some(Unit::Bytes),
            _ => None,
        };
        let kind = match self.kind {
            Kind::Gauge => MetricType::Gauge,
            Kind::Counter => MetricType::Counter,
            Kind::Histogram => MetricType::Histogram,
        };
        let mut family = encoder.encode_descriptor(self.name, self.help, unit.as_ref(), kind)?;
        for sample in samples {
            let labels: Vec<(&str, &str)> =
                self.labels.iter().copied().zip(sample.labels.iter().map(String::as_str)).collect();
            if labels.is_empty() {
                return sample.value.encode(family);
            }
            sample.value.encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

impl Value {
    fn encode(self, mut encoder: MetricEncoder<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => ConstGauge::new(number).encode(encoder),
            Self::Count(count) => ConstCounter::new(count).encode(encoder),
            Self::Durations(durations) => {
                let seconds = |micros: u64| micros as f64 / 1e6;
                let bounds = Durations::BOUNDS.iter().map(|&bound| seconds(bound)).chain([f64::INFINITY]);
                let buckets: Vec<(f64, u64)> = bounds.zip(durations.counts).collect();
                let count = durations.counts.iter().sum();
                encoder.encode_histogram::<NoLabelSet>(durations.sum.as_secs_f64(), count, &buckets, None)
            }
        }
    }
}

/// Every metric there is.
pub const METRICS: &[Metric] = &[
    Metric {
        name: "relationship_state",
        unit: "",
        kind: Kind::Gauge,
        labels: &["relationship", "state"],
        help: "1 for the state that this node is in, 0 for the others",
        samples: relationship_states,
    },
    Metric {
        name: "epoch",
        unit: "",
        kind: Kind::Gauge,
        labels: &["relationship"],
        help: "Rises with each change of the active node",
        samples: |reading| {
            let of = |it: &standfast_core::node::RelationshipStatus| (it.name.to_string(), it.epoch.number);
            reading.status.relationships.iter().map(of).map(|(name, epoch)| number([name], epoch as f64)).collect()
        },
    },
    Metric {
        name: "scope_active",
        unit: "",
        kind: Kind::Gauge,
        labels: &["scope"],
        help: "1 if this node answers the clients of the scope",
        samples: |reading| {
            let active = |it: &ScopeStatus| if it.state == ScopeState::Active { 1.0 } else { 0.0 };
            reading.status.scopes.iter().map(|it| number([it.name.to_string()], active(it))).collect()
        },
    },
    Metric {
        name: "heartbeat_age",
        unit: "seconds",
        kind: Kind::Gauge,
        labels: &["peer"],
        help: "Since the peer was last heard",
        samples: |reading| of_peers(reading, |peer| Some(peer.heartbeat_age.as_secs_f64())),
    },
    Metric {
        name: "heartbeat_rtt",
        unit: "seconds",
        kind: Kind::Gauge,
        labels: &["peer"],
        help: "Round trip of the last heartbeat that came back",
        samples: |reading| of_peers(reading, |peer| peer.round_trip.map(|time| time.as_secs_f64())),
    },
    Metric {
        name: "promotions",
        unit: "",
        kind: Kind::Counter,
        labels: &["relationship", "reason"],
        help: "How often this node became active",
        samples: |reading| {
            let of = |(name, reason, count): &(standfast_core::id::RelationshipName, &str, u64)| Sample {
                labels: vec![name.to_string(), (*reason).to_owned()],
                value: Value::Count(*count),
            };
            reading.promotions.iter().map(of).collect()
        },
    },
    Metric {
        name: "replication_lag_records",
        unit: "",
        kind: Kind::Gauge,
        labels: &["peer"],
        help: "Records that the peer has yet to take",
        samples: |reading| of_peers(reading, |peer| Some(peer.lag_records as f64)),
    },
    Metric {
        name: "packets_received",
        unit: "",
        kind: Kind::Counter,
        labels: &["type"],
        help: "Packets of clients and relays, by type of message",
        samples: |reading| counts(&reading.counters.received),
    },
    Metric {
        name: "answers",
        unit: "",
        kind: Kind::Counter,
        labels: &["type"],
        help: "Packets that were answered or done with, by type of answer",
        samples: |reading| counts(&reading.counters.answered),
    },
    Metric {
        name: "silent",
        unit: "",
        kind: Kind::Counter,
        labels: &["reason"],
        help: "Packets that got no answer, by reason",
        samples: |reading| counts(&reading.counters.silent),
    },
    Metric {
        name: "packets_waiting",
        unit: "",
        kind: Kind::Gauge,
        labels: &[],
        help: "Packets received whose answer waits for a write, for the partner or for a probe",
        samples: |reading| vec![number([], reading.waiting as f64)],
    },
    Metric {
        name: "exchange",
        unit: "seconds",
        kind: Kind::Histogram,
        labels: &["type"],
        help: "From the arrival of a packet to its answer, by type of message",
        samples: |reading| {
            let of = |(kind, durations): (&&str, &Durations)| Sample {
                labels: vec![(*kind).to_owned()],
                value: Value::Durations(durations.clone()),
            };
            reading.counters.exchanges.iter().map(of).collect()
        },
    },
    Metric {
        name: "leases",
        unit: "",
        kind: Kind::Gauge,
        labels: &["scope", "state"],
        help: "Leases that are not free",
        samples: |reading| {
            of_scopes(reading, |it| vec![("bound", it.bound), ("ended", it.ended), ("declined", it.declined)])
        },
    },
    Metric {
        name: "pool_free",
        unit: "",
        kind: Kind::Gauge,
        labels: &["scope", "home"],
        help: "Free addresses, by the node that may give them away alone",
        samples: |reading| of_scopes(reading, |it| vec![("here", it.free_home), ("partner", it.free_partner)]),
    },
    Metric {
        name: "store_commit",
        unit: "seconds",
        kind: Kind::Histogram,
        labels: &[],
        help: "How long commits of the store took",
        samples: |reading| vec![Sample { labels: Vec::new(), value: Value::Durations(reading.commits.clone()) }],
    },
    Metric {
        name: "store",
        unit: "bytes",
        kind: Kind::Gauge,
        labels: &[],
        help: "What the store takes of the disk",
        samples: |reading| vec![number([], reading.store_bytes as f64)],
    },
    Metric {
        name: "clock_skew",
        unit: "seconds",
        kind: Kind::Gauge,
        labels: &["peer"],
        help: "How far the peer's clock is ahead of this node's",
        samples: |reading| of_peers(reading, |peer| peer.skew_ms.map(|skew| skew as f64 / 1e3)),
    },
    Metric {
        name: "certificate_expiry",
        unit: "seconds",
        kind: Kind::Gauge,
        labels: &[],
        help: "Until this node's certificate ends",
        samples: |reading| {
            let left = reading.certificate_ends.0.saturating_sub(reading.wall.0);
            vec![number([], left as f64 / 1e3)]
        },
    },
    Metric {
        name: "foreign_servers",
        unit: "",
        kind: Kind::Gauge,
        labels: &[],
        help: "DHCP servers of others that were heard on the client links since the start",
        samples: |reading| vec![number([], reading.foreign_servers as f64)],
    },
];

fn number<const N: usize>(labels: [String; N], number: f64) -> Sample {
    Sample { labels: labels.into(), value: Value::Number(number) }
}

fn counts(counted: &BTreeMap<&'static str, u64>) -> Vec<Sample> {
    let sample =
        |(label, count): (&&str, &u64)| Sample { labels: vec![(*label).to_owned()], value: Value::Count(*count) };
    counted.iter().map(sample).collect()
}

/// Of each peer once, in however many relationships it is the partner: what lags adds up, the rest is the same.
fn of_peers(reading: &Reading, value: impl Fn(&PartnerStatus) -> Option<f64>) -> Vec<Sample> {
    let mut peers: BTreeMap<String, PartnerStatus> = BTreeMap::new();
    for partner in reading.status.relationships.iter().map(|it| &it.partner) {
        let lag = |known: &mut PartnerStatus| known.lag_records += partner.lag_records;
        peers.entry(partner.node.to_string()).and_modify(lag).or_insert_with(|| partner.clone());
    }
    peers.into_iter().filter_map(|(name, peer)| Some(number([name], value(&peer)?))).collect()
}

fn of_scopes(reading: &Reading, values: impl Fn(&ScopeStatus) -> Vec<(&'static str, u64)>) -> Vec<Sample> {
    let of = |name: &ScopeName, (label, count): (&str, u64)| number([name.to_string(), label.to_owned()], count as f64);
    let scopes = reading.status.scopes.iter();
    scopes.flat_map(|scope| values(scope).into_iter().map(|value| of(&scope.name, value)).collect::<Vec<_>>()).collect()
}

fn relationship_states(reading: &Reading) -> Vec<Sample> {
    let mut samples = Vec::new();
    for relationship in &reading.status.relationships {
        for phase in Phase::ALL {
            let is = if relationship.phase == phase { 1.0 } else { 0.0 };
            samples.push(number([relationship.name.to_string(), phase.as_str().to_owned()], is));
        }
    }
    samples
}
