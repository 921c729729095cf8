//! The cluster file: one TOML text, the same on every node, that says what the cluster is.
//!
//! It is the first revision of the cluster's configuration and what `config apply` sends later. Read in three steps,
//! none of which stops at a mistake: the text into tables, each key into a value of its kind, the parts held against
//! each other. What comes out is consistent, or a list of everything that is wrong with the file.

mod check;
mod convert;
pub mod diff;
pub mod edit;
mod fields;
mod mistake;
mod options;
mod owner;
pub mod revision;
mod section;
mod value;

#[cfg(test)]
mod tests;

pub use fields::Section;
pub use mistake::Mistake;
pub use options::{option_name, option_names};
pub use owner::IMPLICIT_RELATIONSHIP;
pub use section::sections;

use mistake::Mistakes;
use section::ClusterSection;
use standfast_core::configuration::Configuration;
use standfast_core::id::NodeName;
use standfast_rpc::convert::MAX_TEXT;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use toml::de::DeTable;

/// Reads cluster files.
pub struct ClusterFile;

/// A cluster file without mistakes.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// What all nodes share, for the core.
    pub configuration: Configuration,
    /// What each node needs to know of itself and of the others, in the order of the file.
    pub nodes: Vec<NodeSettings>,
    /// What is allowed and probably not meant.
    pub warnings: Vec<Mistake>,
}

/// Where a node is and listens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeSettings {
    /// Its name, also in its certificate.
    pub name: NodeName,
    /// Where peers and operators connect.
    pub rpc: SocketAddr,
    /// Links to clients.
    pub interfaces: Vec<String>,
    /// Plain UDP sockets for relayed packets.
    pub dhcp_listen: Vec<SocketAddrV4>,
    /// Where metrics are read.
    pub http: Option<SocketAddr>,
    /// How it calls itself to clients, in place of the address of the interface.
    pub server_identifier: Option<Ipv4Addr>,
}

impl ClusterFile {
    /// Reads `text`, which messages call `name`.
    ///
    /// # Errors
    /// Everything that is wrong with the file, warnings included, in order of the file.
    pub fn parse(name: &str, text: &str) -> Result<Cluster, Vec<Mistake>> {
        let text: Arc<str> = text.into();
        let mut mistakes = Mistakes::of(name, text.clone());
        let (table, errors) = DeTable::parse_recoverable(&text);
        for error in errors {
            let help = "the file is TOML; see https://toml.io, or docs/reference/configuration.md for examples";
            mistakes.error(error.span().unwrap_or(0..0), error.message().trim(), help);
        }
        if text.len() > MAX_TEXT {
            let help = "nodes send each other the file whole; split the cluster";
            mistakes.error(0..0, format!("the file has {} bytes, and may have {MAX_TEXT}", text.len()), help);
        }
        // What a text that is not TOML says is a guess, and mistakes about a guess only mislead.
        if mistakes.any_error() {
            return Err(mistakes.into_all());
        }
        let file = ClusterSection::read(table.get_ref(), &mut mistakes);
        check::check(&file, &mut mistakes);
        let warnings = mistakes.into_warnings()?;
        let cluster =
            convert::cluster(&file, text.clone()).expect("a required value is missing only where that was reported");
        Ok(Cluster { warnings, ..cluster })
    }
}

impl Cluster {
    /// The settings of the node `name`.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&NodeSettings> {
        self.nodes.iter().find(|node| node.name.as_str() == name)
    }
}

/// Two nodes on one machine, for the tests of what is built from a cluster file.
#[cfg(test)]
pub(crate) const PAIR: &str = r#"
    cluster = "hq"
    [[node]]
    name = "dhcp-a"
    rpc = "127.0.0.1:6767"
    dhcp_listen = ["127.0.0.1:1067"]
    [[node]]
    name = "dhcp-b"
    rpc = "127.0.0.1:6768"
    dhcp_listen = ["127.0.0.1:1068"]
    [[relationship]]
    name = "office"
    primary = "dhcp-a"
    standby = "dhcp-b"
    [[scope]]
    name = "office-lan"
    subnet = "10.20.0.0/24"
    pools = ["10.20.0.50-10.20.0.249"]
"#;
