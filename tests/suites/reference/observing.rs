//! Metrics and events: the pages and the code name the same ones, in the same order.

use standfast_core::dhcp::reason;
use standfast_core::event::{Code, Severity};
use standfast_node::metrics::{METRICS, Metric};

const METRICS_PAGE: &str = include_str!("../../../docs/reference/metrics.md");
const EVENTS_PAGE: &str = include_str!("../../../docs/reference/events.md");

/// The cells of the rows of the tables of a page that begin with `prefix`.
fn rows<'p>(page: &'p str, prefix: &str) -> Vec<Vec<&'p str>> {
    let rows = page.lines().filter(|line| line.starts_with(prefix));
    rows.map(|row| row.trim_matches('|').split(" | ").map(|cell| cell.trim_matches([' ', '`'])).collect()).collect()
}

#[test]
fn every_metric_has_its_row() {
    let row = |metric: &Metric| {
        let labels = metric.labels.join(",");
        let labels = if labels.is_empty() { labels } else { format!("{{{labels}}}") };
        let kind = format!("{:?}", metric.kind).to_lowercase();
        vec![format!("{}{labels}", metric.full_name()), kind, metric.help.to_owned()]
    };
    assert_eq!(rows(METRICS_PAGE, "| `standfast_"), METRICS.iter().map(row).collect::<Vec<_>>());
}

#[test]
fn every_reason_of_silence_has_its_row() {
    let (_, part) = METRICS_PAGE.split_once("## Reasons of silence").unwrap();
    let expected: Vec<Vec<&str>> = reason::all().map(|(label, sentence)| vec![label, sentence]).collect();
    let joined = expected.iter().map(|row| row.join(" ").replace('`', ""));
    assert_eq!(
        rows(part, "| `").iter().map(|row| row.join(" ").replace('`', "")).collect::<Vec<_>>(),
        joined.collect::<Vec<_>>()
    );
}

#[test]
fn every_event_has_its_row_which_says_what_to_do() {
    let severity = |code: Code| match code.severity() {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Alarm => "alarm",
    };
    let rows = rows(EVENTS_PAGE, "| SF");
    let expected = Code::ALL.iter().map(|&code| vec![code.code(), code.name().to_owned(), severity(code).to_owned()]);
    let found = rows.iter().map(|row| row[..3].iter().map(|&cell| cell.to_owned()).collect::<Vec<_>>());
    assert!(found.eq(expected), "{rows:#?}");
    for row in rows {
        assert!(row.len() == 5 && row[4].ends_with('.'), "{row:?}");
    }
}
