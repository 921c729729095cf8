//! The reference pages say what the program does: every key, every option, every example.

#![expect(clippy::unwrap_used, reason = "a page that cannot be taken apart fails the test")]

#[path = "reference/containers.rs"]
mod containers;
#[path = "reference/monitoring.rs"]
mod monitoring;
#[path = "reference/observing.rs"]
mod observing;

use standfast_core::configuration::{Configuration, FailoverSettings};
use standfast_node::cluster_file::{Cluster, ClusterFile, option_names, sections};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const CONFIGURATION: &str = include_str!("../../docs/reference/configuration.md");

/// A file of the repository.
fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A part of a page: its heading, and the text up to the next heading.
struct Part<'p> {
    heading: &'p str,
    text: &'p str,
}

/// An example of a page: what it is an example of, and its text.
struct Example<'p> {
    of: &'p str,
    text: &'p str,
}

fn parts(page: &str) -> Vec<Part<'_>> {
    let split = page.split("\n## ").skip(1);
    split.map(|part| part.split_once('\n').unwrap()).map(|(heading, text)| Part { heading, text }).collect()
}

fn examples(text: &str) -> Vec<Example<'_>> {
    text.split("```toml")
        .skip(1)
        .map(|rest| {
            let (of, rest) = rest.split_once('\n').unwrap();
            Example { of: of.trim(), text: rest.split_once("```").unwrap().0 }
        })
        .collect()
}

/// The first column of the tables of a part, without backticks.
fn first_column(text: &str) -> BTreeSet<String> {
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    rows.map(|(key, _)| key.to_owned()).collect()
}

/// The file that an example stands for: the example with what it leaves out.
fn completed(example: &Example<'_>) -> String {
    const NODES: &str = "[[node]]\nname = 'dhcp-a'\nrpc = '10.0.0.11:67'\ninterfaces = ['eth1']\n\
                         [[node]]\nname = 'dhcp-b'\nrpc = '10.0.0.12:67'\ninterfaces = ['eth1']\n";
    const OFFICE: &str = "[[relationship]]\nname = 'office'\nprimary = 'dhcp-a'\nstandby = 'dhcp-b'\n";
    const VOIP: &str = "[[class]]\nname = 'voip'\nmatch = { vendor_class = 'Cisco*' }\n";
    let text = example.text;
    let around = match example.of {
        "" => return text.to_owned(),
        "failover" => format!("[failover]\n{text}\n{NODES}{OFFICE}"),
        "node" => format!("[[node]]\n{text}"),
        "relationship" => format!("{NODES}[[relationship]]\n{text}"),
        "scope" => format!("{NODES}{OFFICE}{VOIP}[[scope]]\n{text}"),
        "reservation" => {
            let scope = "[[scope]]\nname = 's'\nsubnet = '10.20.0.0/24'\npools = ['10.20.0.50-10.20.0.60']\n";
            format!("{NODES}{scope}[[scope.reservation]]\n{text}")
        }
        "class" => format!("{NODES}[[class]]\n{text}"),
        other => panic!("an example of `{other}`"),
    };
    format!("cluster = 'c'\n{around}")
}

fn parse(name: &str, text: &str) -> Cluster {
    let cluster = ClusterFile::parse(name, text).unwrap_or_else(|mistakes| panic!("{mistakes:#?}\nin\n{text}"));
    assert!(cluster.warnings.is_empty(), "{:#?}\nin\n{text}", cluster.warnings);
    cluster
}

fn configuration_of(example: &Example<'_>) -> Configuration {
    parse("docs/reference/configuration.md", &completed(example)).configuration
}

#[test]
fn every_example_of_the_cluster_file_is_one() {
    let all = examples(CONFIGURATION);
    assert!(all.len() >= sections().len(), "{} examples", all.len());
    for example in &all {
        configuration_of(example);
    }
}

#[test]
fn every_key_of_the_cluster_file_is_described_and_shown() {
    let parts = parts(CONFIGURATION);
    for section in sections() {
        let titles = match section.path {
            "" => ["Top of the file".to_owned(), String::new()],
            path => [format!("`[{path}]`"), format!("`[[{path}]]`")],
        };
        let part = parts.iter().find(|part| titles.contains(&part.heading.to_owned()));
        let part = part.unwrap_or_else(|| panic!("the page has no part `[{}]`", section.path));
        let keys: BTreeSet<String> = section.keys.iter().map(|key| (*key).to_owned()).collect();
        assert_eq!(first_column(part.text), keys, "the keys of [{}]: on the page, and read", section.path);
        let shown: String = examples(part.text).iter().map(|example| example.text).collect();
        for key in section.keys {
            let as_value = shown.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(|word| word == *key);
            assert!(as_value, "no example of `{key}` in the part `[{}]`", section.path);
        }
    }
}

#[test]
fn every_option_is_listed_with_its_number() {
    let part = parts(CONFIGURATION).into_iter().find(|part| part.heading == "Options").unwrap();
    let listed: Vec<(u8, &str)> = part
        .text
        .lines()
        .filter_map(|line| {
            let mut cells = line.split('|').map(str::trim).skip(1);
            Some((cells.next()?.parse().ok()?, cells.next()?.trim_matches('`')))
        })
        .collect();
    assert_eq!(listed, option_names().collect::<Vec<_>>());
}

#[test]
fn the_defaults_of_failover_are_the_documented_ones() {
    let example = examples(CONFIGURATION).into_iter().find(|example| example.of == "failover").unwrap();
    assert_eq!(configuration_of(&example).relationships[0].failover, FailoverSettings::default());
}

#[test]
fn the_configurations_that_are_shipped_are_good() {
    let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/config");
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        parse(&name, &std::fs::read_to_string(&path).unwrap());
        names.insert(name);
    }
    assert_eq!(names, ["pair.toml", "pxe.toml", "relay.toml", "single.toml"].map(str::to_owned).into());
}
