//! Alerts and the board speak of metrics that there are, and each alert leads to a page.

use super::read;
use serde_json::Value;
use std::collections::BTreeSet;

fn alerts() -> Vec<Value> {
    let rules: Value = serde_yaml_ng::from_str(&read("deploy/monitoring/alerts.yaml")).expect("the alerts are YAML");
    let groups = rules["groups"].as_array().expect("there are groups").clone();
    groups.iter().flat_map(|group| group["rules"].as_array().expect("a group has rules").clone()).collect()
}

fn board_expressions() -> Vec<String> {
    let board: Value = serde_json::from_str(&read("deploy/monitoring/grafana.json")).expect("the board is JSON");
    let panels = board["panels"].as_array().expect("a board has panels").clone();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().expect("a panel shows something").clone());
    targets.map(|target| target["expr"].as_str().expect("a query is text").to_owned()).collect()
}

/// Names of our metrics in a query; the parts of a histogram stand for it.
fn metrics(expression: &str) -> BTreeSet<String> {
    let words = expression.split(|char: char| !char.is_ascii_alphanumeric() && char != '_');
    words
        .filter(|word| word.starts_with("standfast_"))
        .map(|word| word.trim_end_matches("_bucket").to_owned())
        .collect()
}

#[test]
fn alerts_and_board_ask_for_metrics_that_are_documented() {
    let page = read("docs/reference/metrics.md");
    let of_alerts = alerts().into_iter().map(|alert| alert["expr"].as_str().expect("a rule has a query").to_owned());
    let asked: BTreeSet<String> =
        of_alerts.chain(board_expressions()).flat_map(|expression| metrics(&expression)).collect();
    assert!(asked.len() > 10, "the queries name metrics: {asked:?}");
    let unknown: Vec<_> = asked
        .iter()
        .filter(|name| !page.contains(&format!("`{name}`")) && !page.contains(&format!("`{name}{{")))
        .collect();
    assert!(unknown.is_empty(), "docs/reference/metrics.md does not have {unknown:?}");
}

#[test]
fn every_alert_says_how_much_it_matters_and_which_page_helps() {
    for alert in alerts() {
        let name = alert["alert"].as_str().expect("a rule is an alert");
        assert!(["warning", "critical"].contains(&alert["labels"]["severity"].as_str().unwrap_or("")), "{name}");
        assert!(alert["annotations"]["summary"].is_string(), "{name} has no summary");
        let runbook = alert["annotations"]["runbook"].as_str().unwrap_or_else(|| panic!("{name} has no runbook"));
        assert!(!read(runbook).is_empty(), "{name}");
    }
}
