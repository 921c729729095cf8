//! `standfast tls`: the cluster's private authority and the certificates it issues.

use crate::config;
use crate::exit::{Exit, Failure, Outcome};
use crate::output;
use clap::{Args, Subcommand};
use standfast_core::time::Wall;
use standfast_node::clock;
use standfast_rpc::tls::{Authority, Issued, Role, TlsError};
use std::path::{Path, PathBuf};

/// Where keys and certificates are unless told otherwise.
pub(crate) const DEFAULT_DIR: &str = "/etc/standfast/tls";

#[derive(Subcommand)]
pub(crate) enum Tls {
    /// Make the private authority of a cluster, once, on the machine where certificates will be issued
    Init(Init),
    /// Issue a certificate for a node or a person, or renew it
    Issue(Issue),
}

#[derive(Args)]
pub(crate) struct Init {
    /// The cluster's name; by default the one in the cluster file
    #[arg(long, value_name = "NAME", conflicts_with = "config")]
    cluster: Option<String>,
    /// The cluster file
    #[arg(long, value_name = "FILE", default_value = config::DEFAULT_FILE)]
    config: PathBuf,
    /// The folder of keys and certificates
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DIR)]
    tls_dir: PathBuf,
}

#[derive(Args)]
pub(crate) struct Issue {
    #[command(flatten)]
    holder: Holder,
    /// The folder with the authority, to which the files are written
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DIR)]
    tls_dir: PathBuf,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct Holder {
    /// For this node of the cluster file
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// For a person or program that may change what the cluster does
    #[arg(long, value_name = "NAME")]
    operator: Option<String>,
    /// For a person or program that may only look
    #[arg(long, value_name = "NAME")]
    viewer: Option<String>,
}

impl Tls {
    pub(crate) fn run(self) -> Outcome {
        match self {
            Self::Init(init) => init.run(),
            Self::Issue(issue) => issue.run(),
        }
    }
}

impl Init {
    fn run(self) -> Outcome {
        let cluster = match self.cluster {
            Some(cluster) => cluster,
            None => config::load(&self.config)?.configuration.cluster,
        };
        Authority::create(&self.tls_dir, &cluster, clock::wall()).map_err(failed)?;
        let dir = self.tls_dir.display();
        output::line(&format!("Made the authority of the cluster {cluster} in {dir}."));
        output::line(&format!("Keep {dir}/ca.key here and nowhere else; who has it can join the cluster."));
        output::line("Next: `standfast tls issue --node NAME` for each node.");
        Ok(Exit::Done)
    }
}

impl Issue {
    fn run(self) -> Outcome {
        let (name, role) = self.holder.name_and_role();
        let authority = Authority::open(&self.tls_dir).map_err(failed)?;
        let issued = authority.issue(&name, role, clock::wall()).map_err(failed)?;
        let cluster = authority.cluster();
        output::line(&format!(
            "Issued a certificate of the cluster {cluster} for the {role} {name}, until {}.",
            day(issued.not_after)
        ));
        output::line(&next_step(&self.tls_dir, &issued, role));
        Ok(Exit::Done)
    }
}

impl Holder {
    /// The one that is given; the command line demands exactly one.
    fn name_and_role(self) -> (String, Role) {
        let node = self.node.map(|name| (name, Role::Peer));
        let operator = self.operator.map(|name| (name, Role::Operator));
        let viewer = self.viewer.map(|name| (name, Role::Viewer));
        node.or(operator).or(viewer).expect("the command line demands one of the three")
    }
}

fn next_step(dir: &Path, issued: &Issued, role: Role) -> String {
    let files =
        format!("{}, {} and {}", dir.join("ca.pem").display(), issued.certificate.display(), issued.key.display());
    match role {
        Role::Peer => format!("Next: copy {files} to {DEFAULT_DIR} on that node."),
        Role::Operator | Role::Viewer => format!("Next: give {files} to them; they name the folder with --tls-dir."),
    }
}

fn failed(error: TlsError) -> Failure {
    let exit = match error {
        TlsError::Exists { .. } | TlsError::OtherRole { .. } | TlsError::Exposed { .. } => Exit::Refused,
        TlsError::BadName { .. } => Exit::Usage,
        TlsError::Missing { .. }
        | TlsError::Io { .. }
        | TlsError::Malformed { .. }
        | TlsError::NotOurs { .. }
        | TlsError::OtherName { .. }
        | TlsError::OtherKey { .. }
        | TlsError::OtherAuthority { .. }
        | TlsError::OtherCluster { .. }
        | TlsError::Expired { .. }
        | TlsError::Unusable { .. } => Exit::Failed,
    };
    Failure::new(exit, error)
}

fn day(wall: Wall) -> String {
    jiff::Timestamp::from_millisecond(wall.0)
        .map_or_else(|_| "an unknown day".to_owned(), |time| time.strftime("%Y-%m-%d").to_string())
}
