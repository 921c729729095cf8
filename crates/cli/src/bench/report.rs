//! What a run comes to: for people, and for programs.

use crate::output;
use comfy_table::Cell;
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

/// What happened. Times are in microseconds, in the order in which they were taken.
#[derive(Clone, Default, Debug)]
pub(super) struct Tally {
    /// From when an exchange was to begin to its OFFER.
    pub(super) offer: Vec<u32>,
    /// From the REQUEST to its ACK.
    pub(super) ack: Vec<u32>,
    /// The whole exchange.
    pub(super) exchange: Vec<u32>,
    /// Messages, each counted once however many servers it went to.
    pub(super) sent: u64,
    pub(super) sent_again: u64,
    /// Exchanges whose client gave up.
    pub(super) given_up: u64,
    /// NAKs.
    pub(super) refused: u64,
    /// Exchanges under way when the run ended.
    pub(super) unanswered: u64,
    pub(super) doubled: u64,
    /// ACKs.
    pub(super) by_server: BTreeMap<Ipv4Addr, u64>,
}

/// As `--json` prints it: an interface, to which fields are only added. Times are in milliseconds.
#[derive(Serialize, Debug)]
pub(super) struct Report {
    pub(super) completed: u64,
    per_second: f64,
    seconds: f64,
    offer: Option<Times>,
    ack: Option<Times>,
    exchange: Option<Times>,
    sent: u64,
    sent_again: u64,
    given_up: u64,
    refused: u64,
    unanswered: u64,
    /// ACKs for an address that another client might use at that time.
    pub(super) doubled: u64,
    by_server: BTreeMap<Ipv4Addr, u64>,
}

#[derive(Serialize, PartialEq, Debug)]
struct Times {
    p50: f64,
    p90: f64,
    p99: f64,
    max: f64,
}

impl Times {
    /// `None` of nothing.
    fn of(mut micros: Vec<u32>) -> Option<Self> {
        micros.sort_unstable();
        let last = *micros.last()?;
        // The smallest time that so many in a hundred do not exceed.
        let percentile = |percent: usize| micros[(micros.len() * percent).div_ceil(100).max(1) - 1];
        let [p50, p90, p99, max] =
            [percentile(50), percentile(90), percentile(99), last].map(|micros| f64::from(micros) / 1_000.0);
        Some(Self { p50, p90, p99, max })
    }
}

impl Report {
    /// Of a run whose last answer came after `took`.
    pub(super) fn of(tally: Tally, took: Duration) -> Self {
        let completed = tally.exchange.len() as u64;
        let seconds = took.as_secs_f64();
        let per_second = if seconds > 0.0 { completed as f64 / seconds } else { 0.0 };
        Self {
            completed,
            per_second: (per_second * 10.0).round() / 10.0,
            seconds: (seconds * 1_000.0).round() / 1_000.0,
            offer: Times::of(tally.offer),
            ack: Times::of(tally.ack),
            exchange: Times::of(tally.exchange),
            sent: tally.sent,
            sent_again: tally.sent_again,
            given_up: tally.given_up,
            refused: tally.refused,
            unanswered: tally.unanswered,
            doubled: tally.doubled,
            by_server: tally.by_server,
        }
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let Self { completed, per_second, seconds, .. } = self;
        let mut lines = vec![format!("{completed} exchanges in {seconds:.1} s: {per_second:.0} a second")];
        let rows = [("OFFER", &self.offer), ("ACK", &self.ack), ("whole exchange", &self.exchange)];
        let rows = rows.into_iter().filter_map(|(name, times)| {
            let Times { p50, p90, p99, max } = times.as_ref()?;
            let milliseconds = [p50, p90, p99, max].map(|time| Cell::new(format!("{time:.2}")));
            Some([Cell::new(name)].into_iter().chain(milliseconds).collect())
        });
        lines.push(output::table(["milliseconds", "p50", "p90", "p99", "max"], rows).to_string());
        let Self { given_up, refused, unanswered, sent_again, doubled, .. } = self;
        lines.push(format!(
            "{given_up} given up, {unanswered} unanswered at the end, {refused} refused, {sent_again} messages sent again"
        ));
        lines.push(format!("{doubled} addresses given to two clients at a time"));
        lines.extend(self.by_server.iter().map(|(server, acks)| format!("{acks} leases from {server}")));
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::question::assert_documented;

    #[test]
    fn percentiles_are_times_that_were_taken() {
        let times = Times::of((1..=200).rev().map(|n| n * 1_000).collect());
        assert_eq!(times, Some(Times { p50: 100.0, p90: 180.0, p99: 198.0, max: 200.0 }));
        assert_eq!(Times::of(vec![7]), Some(Times { p50: 0.007, p90: 0.007, p99: 0.007, max: 0.007 }));
        assert_eq!(Times::of(vec![]), None);
    }

    #[test]
    fn people_are_told_what_matters() {
        let tally = Tally {
            offer: vec![300, 400],
            ack: vec![500, 700],
            exchange: vec![900, 1_000],
            sent: 5,
            sent_again: 1,
            given_up: 1,
            by_server: [(Ipv4Addr::new(10, 0, 0, 1), 2)].into(),
            ..Tally::default()
        };
        let mut report = Report::of(tally, Duration::from_secs(2));
        insta::assert_snapshot!(report.text());
        // Its keys are addresses.
        report.by_server.clear();
        assert_documented("bench", &report);
    }
}
