//! `standfast leases`: who holds which address.

mod format;
mod transfer;

use crate::admin::{self, Client};
use crate::exit::{Exit, Failure, Outcome};
use crate::output;
use crate::question::Question;
use crate::status;
use crate::words;
use clap::{Args, Subcommand};
use comfy_table::Cell;
use serde::Serialize;
use standfast_rpc::proto;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

#[derive(Subcommand)]
pub(crate) enum Leases {
    /// List leases in the order of their addresses
    List(List),
    /// Show the lease of an address or a client
    Show(Show),
    /// End the lease of an address, as its client's RELEASE would
    Release(Release),
    /// Write every lease, for a backup or another server
    Export(transfer::Export),
    /// Record the leases that another server gave, or a backup holds
    Import(transfer::Import),
}

#[derive(Args)]
pub(crate) struct List {
    /// Only of this scope
    #[arg(long, value_name = "NAME")]
    scope: Option<String>,
    #[command(flatten)]
    question: Question,
}

#[derive(Args)]
pub(crate) struct Show {
    /// An address, or a client id or hardware address as 02:00:5e:10:00:01
    #[arg(value_parser = whose, value_name = "ADDRESS|CLIENT")]
    whose: Whose,
    #[command(flatten)]
    question: Question,
}

#[derive(Args)]
pub(crate) struct Release {
    /// The address
    address: Ipv4Addr,
    #[command(flatten)]
    question: Question,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Whose {
    Address(Ipv4Addr),
    Client(Vec<u8>),
}

impl Leases {
    pub(crate) fn run(self) -> Outcome {
        admin::block_on(async {
            match self {
                Self::List(list) => list.run().await,
                Self::Show(show) => show.run().await,
                Self::Release(release) => release.run().await,
                Self::Export(export) => export.run().await,
                Self::Import(import) => import.run().await,
            }
        })
    }
}

impl List {
    async fn run(self) -> Outcome {
        let scope = self.scope.clone().unwrap_or_default();
        let request = proto::ListLeasesRequest { scope, ..Default::default() };
        let leases = fetch(&mut self.question.connect().await?, request).await?;
        if let Some(scope) = self.scope.filter(|_| leases.is_empty()) {
            status::must_have_scope(&self.question.server, &scope).await?;
        }
        self.question.answer(&leases, || table(&leases))?;
        Ok(Exit::Done)
    }
}

impl Show {
    async fn run(self) -> Outcome {
        let (address, client) = match &self.whose {
            Whose::Address(address) => (Some(address.to_bits()), Vec::new()),
            Whose::Client(client) => (None, client.clone()),
        };
        let request = proto::ListLeasesRequest { scope: String::new(), address, client };
        let leases = fetch(&mut self.question.connect().await?, request).await?;
        if leases.is_empty() {
            return Err(Failure::new(Exit::Failed, format!("there is no lease of {}", self.whose)));
        }
        self.question.answer(&leases, || leases.iter().map(in_full).collect::<Vec<_>>().join("\n\n"))?;
        Ok(Exit::Done)
    }
}

impl Release {
    async fn run(self) -> Outcome {
        let mut client = self.question.connect().await?;
        let request = proto::ReleaseLeaseRequest { address: self.address.to_bits() };
        let response = client.release_lease(request).await.map_err(|status| admin::failed(&status))?;
        self.question.concluded(response.into_inner().result)
    }
}

/// A lease as `--json` prints it: an interface, to which fields are only added.
#[derive(Serialize, Clone, PartialEq, Eq, Debug)]
struct Lease {
    scope: String,
    address: Ipv4Addr,
    client_id: String,
    hardware: String,
    hostname: String,
    state: Option<&'static str>,
    expiry: String,
    remaining_seconds: i64,
    /// The node that may give the address away alone.
    home: Option<String>,
    /// Whether the partner is known to hold this record.
    taken: bool,
}

impl From<proto::LeaseView> for Lease {
    fn from(lease: proto::LeaseView) -> Self {
        Self {
            state: words::lease_state(lease.state()),
            scope: lease.scope,
            address: Ipv4Addr::from_bits(lease.address),
            client_id: words::client_id(&lease.client_id),
            hardware: words::hardware(lease.hardware.as_ref()),
            hostname: words::hostname(&lease.hostname),
            expiry: words::rfc3339(lease.expiry_ms),
            remaining_seconds: lease.remaining_seconds,
            home: Some(lease.home).filter(|home| !home.is_empty()),
            taken: lease.taken,
        }
    }
}

async fn fetch(client: &mut Client, request: proto::ListLeasesRequest) -> Result<Vec<Lease>, Failure> {
    let pages = client.list_leases(request).await.map_err(|status| admin::failed(&status))?;
    let mut pages = pages.into_inner();
    let mut leases = Vec::new();
    while let Some(page) = pages.message().await.map_err(|status| admin::failed(&status))? {
        leases.extend(page.leases.into_iter().map(Lease::from));
    }
    Ok(leases)
}

/// Of these addresses, those without a bound lease that the partner, if there is one, has taken.
fn left_to_take(held: &[Lease], addresses: impl Iterator<Item = Ipv4Addr>) -> Vec<Ipv4Addr> {
    let safe = |lease: &&Lease| lease.state == Some("bound") && (lease.taken || lease.home.is_none());
    let safe: BTreeSet<Ipv4Addr> = held.iter().filter(safe).map(|lease| lease.address).collect();
    addresses.filter(|address| !safe.contains(address)).collect()
}

fn table(leases: &[Lease]) -> String {
    if leases.is_empty() {
        return "No leases.".to_owned();
    }
    let header = ["ADDRESS", "STATE", "LEFT", "HARDWARE", "HOST NAME", "SCOPE", "HOME", "TAKEN"];
    let rows = leases.iter().map(|lease| {
        vec![
            Cell::new(lease.address),
            Cell::new(lease.state.unwrap_or("-")),
            Cell::new(left(lease)),
            Cell::new(&lease.hardware),
            Cell::new(&lease.hostname),
            Cell::new(&lease.scope),
            Cell::new(lease.home.as_deref().unwrap_or("-")),
            Cell::new(yes_or_no(lease.taken)),
        ]
    });
    output::table(header, rows).trim_fmt()
}

fn left(lease: &Lease) -> String {
    let milliseconds = u64::try_from(lease.remaining_seconds).unwrap_or(0).saturating_mul(1_000);
    if milliseconds == 0 { "over".to_owned() } else { words::roughly(milliseconds) }
}

fn in_full(lease: &Lease) -> String {
    let lines = [
        ("address", lease.address.to_string()),
        ("scope", lease.scope.clone()),
        ("state", lease.state.unwrap_or("-").to_owned()),
        ("expiry", format!("{} ({})", lease.expiry, left(lease))),
        ("client id", lease.client_id.clone()),
        ("hardware", lease.hardware.clone()),
        ("host name", lease.hostname.clone()),
        ("home", lease.home.clone().unwrap_or_else(|| "-".to_owned())),
        ("taken by the partner", yes_or_no(lease.taken).to_owned()),
    ];
    lines.map(|(name, value)| format!("{name:<22}{value}").trim_end().to_owned()).join("\n")
}

fn yes_or_no(taken: bool) -> &'static str {
    if taken { "yes" } else { "no" }
}

impl std::fmt::Display for Whose {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Client(client) => f.write_str(&words::client_id(client)),
        }
    }
}

fn whose(text: &str) -> Result<Whose, String> {
    if let Ok(address) = text.parse() {
        return Ok(Whose::Address(address));
    }
    let bytes = words::bytes(text).ok_or("neither an address nor bytes as 02:00:5e:10:00:01")?;
    Ok(Whose::Client(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::question::assert_documented;

    fn example() -> Lease {
        Lease::from(proto::LeaseView {
            scope: "office-lan".into(),
            address: Ipv4Addr::new(10, 20, 0, 50).to_bits(),
            client_id: vec![1, 2, 0, 0x5e, 0x10, 0, 1],
            hardware: Some(proto::HardwareAddress { kind: 1, address: vec![2, 0, 0x5e, 0x10, 0, 1] }),
            hostname: b"a-host-name-that-goes-on-and-on-and-on-and-on-and-on.example.net".to_vec(),
            state: proto::LeaseState::Bound.into(),
            expiry_ms: 1_700_000_000_000,
            remaining_seconds: 28_700,
            home: "dhcp-a".into(),
            taken: true,
        })
    }

    #[test]
    fn json_has_the_documented_fields() {
        assert_documented("leases list, show and export", &[example()]);
        insta::assert_snapshot!(serde_json::to_string_pretty(&example()).unwrap());
    }

    #[test]
    fn people_see_a_table_that_fits_and_a_lease_in_full() {
        let table = table(&[example()]);
        assert!(table.lines().all(|line| line.chars().count() <= 100), "{table}");
        insta::assert_snapshot!(format!("{table}\n\n{}", in_full(&example())));
    }

    #[test]
    fn a_lease_is_named_by_its_address_or_its_client() {
        assert_eq!(whose("10.20.0.50"), Ok(Whose::Address(Ipv4Addr::new(10, 20, 0, 50))));
        assert_eq!(whose("02:00:5e:10:00:01"), Ok(Whose::Client(vec![2, 0, 0x5e, 0x10, 0, 1])));
        assert_eq!(whose("ff-00"), Ok(Whose::Client(vec![0xff, 0])));
        assert!(["10.20.0", "printer", "2:0", ""].into_iter().all(|text| whose(text).is_err()));
    }
}
