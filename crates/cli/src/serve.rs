//! `standfast serve`: the daemon.

use crate::exit::{Exit, Failure, Outcome};
use clap::Args;
use miette::Report;
use standfast_node::daemon::{self, DaemonError, Options};
use std::io::IsTerminal;
use std::path::PathBuf;

/// Answers DHCP clients and follows the partner
#[derive(Args)]
pub(crate) struct Serve {
    /// Which node of the cluster file this is
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// The cluster file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Where the store and the admin socket are
    #[arg(long, value_name = "DIR", default_value = "/var/lib/standfast")]
    data_dir: PathBuf,
    /// Where the certificates are
    #[arg(long, value_name = "DIR", default_value = "/etc/standfast/tls")]
    tls_dir: PathBuf,
    /// An empty store is right: this cluster is new
    #[arg(long)]
    new_cluster: bool,
}

impl Serve {
    pub(crate) fn run(self) -> Outcome {
        log_to_standard_error();
        let node = match self.node {
            Some(node) => node,
            None => host_name()?,
        };
        let options = Options {
            config: self.config,
            node,
            data_dir: self.data_dir,
            tls_dir: self.tls_dir,
            new_cluster: self.new_cluster,
        };
        match daemon::serve(&options) {
            Ok(()) => Ok(Exit::Done),
            Err(DaemonError::Mistakes(mistakes)) => {
                let reports: Vec<String> =
                    mistakes.into_iter().map(|mistake| format!("{:?}", Report::new(mistake))).collect();
                Err(Failure::new(Exit::BadConfiguration, format!("the cluster file is wrong\n{}", reports.join("\n"))))
            }
            Err(
                error @ (DaemonError::NoSuchNode { .. } | DaemonError::Unreadable { .. } | DaemonError::Revision(_)),
            ) => Err(Failure::new(Exit::BadConfiguration, error)),
            Err(
                error @ (DaemonError::Tls(_)
                | DaemonError::Store(_)
                | DaemonError::Udp(_)
                | DaemonError::Listen { .. }
                | DaemonError::Socket(_)
                | DaemonError::Http(_)
                | DaemonError::Os { .. }
                | DaemonError::StoodStill),
            ) => Err(Failure::new(Exit::Failed, error)),
        }
    }
}

fn host_name() -> Result<String, Failure> {
    match std::fs::read_to_string("/proc/sys/kernel/hostname") {
        Ok(name) if !name.trim().is_empty() => Ok(name.trim().to_owned()),
        Ok(_) | Err(_) => Err(Failure::new(Exit::Usage, "this machine has no host name: name the node with --node")),
    }
}

fn log_to_standard_error() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("STANDFAST_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .with_target(false)
        .init();
}
