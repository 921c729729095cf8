//! `standfast config`: the cluster file, and the configuration that the cluster uses.

mod apply;
mod changes;
mod show;

use crate::exit::{Exit, Failure, Outcome};
use crate::output;
use clap::{Args, Subcommand};
use miette::{GraphicalReportHandler, GraphicalTheme};
use serde_json::json;
use standfast_node::cluster_file::{Cluster, ClusterFile, Mistake};
use std::path::{Path, PathBuf};

/// Where a node finds its cluster file unless told otherwise.
pub(crate) const DEFAULT_FILE: &str = "/etc/standfast/cluster.toml";

#[derive(Subcommand)]
pub(crate) enum Config {
    /// Report every mistake in a cluster file, without touching a node or a network
    Check(Check),
    /// Print the configuration that the cluster uses
    Show(show::Show),
    /// Say what a cluster file would change, and whose leases that touches
    Diff(changes::Diff),
    /// Make a cluster file the next revision of the cluster, on every node
    Apply(apply::Apply),
}

#[derive(Args)]
pub(crate) struct Check {
    /// The cluster file
    file: PathBuf,
    /// Print the mistakes as JSON
    #[arg(long)]
    json: bool,
}

impl Config {
    pub(crate) fn run(self) -> Outcome {
        match self {
            Self::Check(check) => check.run(),
            Self::Show(show) => show.run(),
            Self::Diff(diff) => diff.run(),
            Self::Apply(apply) => apply.run(),
        }
    }
}

impl Check {
    fn run(self) -> Outcome {
        let (cluster, mistakes) = match ClusterFile::parse(&self.file.display().to_string(), &read(&self.file)?) {
            Ok(cluster) => {
                let warnings = cluster.warnings.clone();
                (Some(cluster), warnings)
            }
            Err(mistakes) => (None, mistakes),
        };
        if self.json {
            output::line(&as_json(&self.file, cluster.is_some(), &mistakes).to_string());
        } else {
            output::error(shown(&mistakes).trim_end());
            output::line(&summary(&self.file, cluster.as_ref(), &mistakes));
        }
        Ok(if cluster.is_some() { Exit::Done } else { Exit::BadConfiguration })
    }
}

/// The cluster in `file`, which has no mistake.
pub(crate) fn load(file: &Path) -> Result<Cluster, Failure> {
    ClusterFile::parse(&file.display().to_string(), &read(file)?).map_err(|mistakes| {
        output::error(shown(&mistakes).trim_end());
        Failure::new(Exit::BadConfiguration, summary(file, None, &mistakes))
    })
}

fn read(file: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(file).map_err(|error| {
        Failure::new(Exit::BadConfiguration, format!("the cluster file {} cannot be read: {error}", file.display()))
    })
}

/// Each mistake with the offending text underlined.
fn shown(mistakes: &[Mistake]) -> String {
    let theme =
        if output::errors_may_have_colour() { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    let handler = GraphicalReportHandler::new_themed(theme).with_width(100);
    let mut text = String::new();
    // Writing to a text cannot fail.
    for mistake in mistakes {
        let _ = handler.render_report(&mut text, mistake);
        text.push('\n');
    }
    text
}

fn summary(file: &Path, cluster: Option<&Cluster>, mistakes: &[Mistake]) -> String {
    let warnings = mistakes.iter().filter(|mistake| mistake.is_warning()).count();
    let with_warnings = if warnings == 0 { String::new() } else { format!(", {}", count(warnings, "warning")) };
    let file = file.display();
    let Some(cluster) = cluster else {
        return format!("{file} has {}{with_warnings}", count(mistakes.len() - warnings, "mistake"));
    };
    let configuration = &cluster.configuration;
    let addresses: u64 = configuration.scopes.iter().flat_map(|scope| &scope.pools).map(|pool| pool.range.len()).sum();
    format!(
        "{file} is good: cluster {}, {}, {}, {} with {addresses} addresses in pools{with_warnings}",
        configuration.cluster,
        count(configuration.nodes.len(), "node"),
        count(configuration.relationships.len(), "relationship"),
        count(configuration.scopes.len(), "scope"),
    )
}

pub(crate) fn count(number: usize, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{plural}")
}

fn as_json(file: &Path, good: bool, mistakes: &[Mistake]) -> serde_json::Value {
    let mistakes: Vec<_> = mistakes
        .iter()
        .map(|mistake| {
            let (line, column) = mistake.line_and_column();
            let severity = if mistake.is_warning() { "warning" } else { "error" };
            let (message, help) = (mistake.message(), mistake.help_line());
            json!({ "line": line, "column": column, "severity": severity, "message": message, "help": help })
        })
        .collect();
    json!({ "file": file.display().to_string(), "good": good, "mistakes": mistakes })
}
