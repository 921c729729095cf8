//! What the operators want, checked: the cluster's configuration as the core uses it.
//!
//! Built from the cluster file by the node crate, which reports every mistake with its place in the file; a value of
//! this type is consistent (pools lie in their subnets, names resolve, scopes do not overlap).

mod addresses;
mod change;

pub use addresses::AddressSet;
pub use change::{Objection, objections};

use crate::id::{NodeName, RelationshipName, Revision, ScopeName};
use crate::lease::record::{ClientId, HardwareAddress};
use crate::time::Wall;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

/// The whole configuration of one revision.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Configuration {
    /// Name of the cluster; nodes of another cluster are refused.
    pub cluster: String,
    /// Which revision this is.
    pub revision: Revision,
    /// In the order of the cluster file.
    pub nodes: Vec<NodeName>,
    /// Pairs of nodes.
    pub relationships: Vec<RelationshipSettings>,
    /// In the order of the cluster file; subnets do not overlap.
    pub scopes: Vec<Scope>,
    /// Client classes, in the order of the cluster file.
    pub classes: Vec<Class>,
    /// Server identifier of a node that configures one.
    pub server_identifiers: BTreeMap<NodeName, Ipv4Addr>,
    /// What all this was read from: what nodes send each other, and people are shown.
    pub text: Arc<str>,
    /// Whose act made it a revision.
    pub act: Act,
}

impl Configuration {
    /// Stands for the text where two are compared from afar. Peers are trusted; it only has to tell mistakes apart.
    #[must_use]
    pub fn digest(&self) -> u64 {
        // FNV-1a.
        self.text
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
    }

    /// The nodes that may give an address of `scope` to a client.
    pub fn members<'a>(&'a self, scope: &'a Scope) -> impl Iterator<Item = &'a NodeName> {
        let (pair, alone) = match &scope.owner {
            ScopeOwner::Relationship(name) => (self.relationships.iter().find(|pair| pair.name == *name), None),
            ScopeOwner::Node(node) => (None, Some(node)),
        };
        pair.into_iter().flat_map(|pair| [&pair.primary, &pair.standby]).chain(alone)
    }
}

/// An operator's act: who wants something, and why.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Act {
    /// Empty for the file that a cluster starts with.
    pub who: String,
    /// In the operator's words; may be empty.
    pub why: String,
    /// By the clock of the node that was told.
    pub when: Wall,
}

/// Two nodes paired for a set of scopes, and how they fail over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RelationshipSettings {
    /// Unique.
    pub name: RelationshipName,
    /// Active when both nodes are well.
    pub primary: NodeName,
    /// The other one.
    pub standby: NodeName,
    /// Timers and policies.
    pub failover: FailoverSettings,
}

/// Timers and policies of failover.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FailoverSettings {
    /// Time between heartbeats.
    pub heartbeat_interval: Duration,
    /// Contact is lost after this long without a heartbeat that answers one of ours.
    pub heartbeat_timeout: Duration,
    /// How long an ACK waits for the partner.
    pub replication_deadline: Duration,
    /// Maximum client lead time: how far a promise may run ahead of what the partner has taken.
    pub mclt: Duration,
    /// How long a starting node waits for its partner before it resumes alone.
    pub startup_timeout: Duration,
    /// How a primary becomes active again.
    pub failback: Failback,
    /// What a node that starts without its partner does.
    pub isolated_start: IsolatedStart,
    /// Enter partner-down by itself after this long without contact: a guess, not a proof.
    pub auto_partner_down: Option<Duration>,
    /// Run before partner-down; must leave the partner's machine off. Empty: none.
    pub fence_command: Vec<String>,
}

impl Default for FailoverSettings {
    fn default() -> Self {
        Self {
            heartbeat_interval: Duration::from_millis(100),
            heartbeat_timeout: Duration::from_secs(1),
            replication_deadline: Duration::from_millis(200),
            mclt: Duration::from_secs(3_600),
            startup_timeout: Duration::from_secs(10),
            failback: Failback::Automatic { delay: Duration::from_secs(30) },
            isolated_start: IsolatedStart::Serve,
            auto_partner_down: None,
            fence_command: Vec::new(),
        }
    }
}

/// How a primary becomes active again after its standby was promoted automatically.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failback {
    /// By a switchover, once both have been in step for `delay`.
    Automatic {
        /// Time in the normal state before the switchover.
        delay: Duration,
    },
    /// Only when an operator says so.
    Manual,
}

/// What a node that starts without its partner does once `startup_timeout` has passed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IsolatedStart {
    /// Resume in the state it was in.
    Serve,
    /// Say nothing until the partner is heard.
    Silent,
}

/// An IPv4 network.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Subnet {
    /// First address of the network.
    pub network: Ipv4Addr,
    /// Length of the prefix, 0 to 32.
    pub prefix: u8,
}

impl Subnet {
    /// The netmask.
    #[must_use]
    pub fn mask(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0))
    }

    /// Whether `address` belongs to this network.
    #[must_use]
    pub fn contains(self, address: Ipv4Addr) -> bool {
        address.to_bits() & self.mask().to_bits() == self.network.to_bits()
    }

    /// The highest address of the network, to which it broadcasts.
    #[must_use]
    pub fn broadcast(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.network.to_bits() | !self.mask().to_bits())
    }
}

/// Addresses from `first` to `last`, both included.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AddressRange {
    /// Lowest.
    pub first: Ipv4Addr,
    /// Highest, not below `first`.
    pub last: Ipv4Addr,
}

impl AddressRange {
    /// Whether `address` lies in the range.
    #[must_use]
    pub fn contains(self, address: Ipv4Addr) -> bool {
        self.first <= address && address <= self.last
    }

    /// How many addresses there are.
    #[must_use]
    pub fn len(self) -> u64 {
        u64::from(self.last.to_bits()) - u64::from(self.first.to_bits()) + 1
    }

    /// Never: a range has at least one address.
    #[must_use]
    pub fn is_empty(self) -> bool {
        false
    }
}

/// Options to send, by code, each value encoded as on the wire. Codes 0 and 255 never occur.
pub type OptionValues = BTreeMap<u8, Vec<u8>>;

/// One IPv4 subnet with its pools, exclusions, reservations, options and lease times; the unit that is active or
/// deactivated.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scope {
    /// Unique.
    pub name: ScopeName,
    /// Who serves it.
    pub owner: ScopeOwner,
    /// An operator's will, on all nodes: nobody serves it.
    pub disabled: bool,
    /// The network; pools and reservations lie in it.
    pub subnet: Subnet,
    /// Addresses to give away, disjoint, in order of configuration.
    pub pools: Vec<Pool>,
    /// Addresses of the pools that are never given away.
    pub exclude: Vec<AddressRange>,
    /// How long leases are.
    pub lease_time: LeaseTime,
    /// Options of every client of the scope. Code 1 is derived from the subnet where it is absent.
    pub options: OptionValues,
    /// Addresses kept for a client.
    pub reservations: Vec<Reservation>,
    /// NAK requests for addresses of foreign networks.
    pub authoritative: bool,
    /// NAK INIT-REBOOT of clients without a record, against RFC 2131 section 4.3.2.
    pub nak_unknown_clients: bool,
    /// Scopes of the same name are on one link.
    pub shared_network: Option<String>,
    /// Relays that may speak for this scope. Empty: any whose address lies in the scope or its shared network.
    pub relays: Vec<Ipv4Addr>,
    /// Honour option 118 (RFC 3011).
    pub subnet_selection: bool,
    /// Honour option 80 (RFC 4039).
    pub rapid_commit: bool,
    /// Answer BOOTP clients that have a reservation.
    pub bootp: bool,
    /// How long a declined address is kept from everyone.
    pub decline_time: Duration,
    /// How long an offered address is held for its client.
    pub offer_hold: Duration,
    /// Look for a user of an address before offering it.
    pub probe: Probe,
    /// Seconds of option 108 (RFC 8925), sent to clients that ask for it.
    pub v6only_wait: Option<Duration>,
    /// Boot parameters of the fixed header.
    pub boot: Boot,
    /// Options sent even when not asked for.
    pub forced_options: Vec<u8>,
}

/// Who serves a scope.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ScopeOwner {
    /// The active node of a relationship.
    Relationship(RelationshipName),
    /// One node alone.
    Node(NodeName),
}

/// Addresses of a scope that are given away together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pool {
    /// Which addresses.
    pub range: AddressRange,
    /// Only for clients of this class; `None`: for every client.
    pub class: Option<String>,
    /// Options that go before those of the scope.
    pub options: OptionValues,
}

/// How long leases are: what is given to a client that asks for no time, and the bounds on what it may ask for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LeaseTime {
    /// For clients that ask for none.
    pub default: Duration,
    /// At least this.
    pub min: Duration,
    /// At most this.
    pub max: Duration,
}

/// An address kept for one client, in or outside of the pools.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reservation {
    /// Whose.
    pub holder: ReservationHolder,
    /// Which address; unique.
    pub address: Ipv4Addr,
    /// Option 12 in answers.
    pub hostname: Option<String>,
    /// Options that go before those of pool, class and scope.
    pub options: OptionValues,
    /// Boot parameters that go before those of class and scope.
    pub boot: Boot,
}

/// What a reservation knows its client by.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ReservationHolder {
    /// Hardware type and address.
    Hardware(HardwareAddress),
    /// Option 61, byte for byte.
    ClientId(ClientId),
    /// Sub-option 1 of option 82.
    CircuitId(Vec<u8>),
    /// Sub-option 2 of option 82.
    RemoteId(Vec<u8>),
}

/// Look for a user of an address before offering it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Probe {
    /// Do not.
    Off,
    /// By an ARP request on the link.
    Arp,
    /// By an ICMP echo request.
    Icmp,
}

/// Fields of the fixed header that tell a client what to boot (RFC 2131 section 2).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Boot {
    /// `siaddr`.
    pub next_server: Option<Ipv4Addr>,
    /// `file`, at most 127 bytes.
    pub file: Option<String>,
    /// `sname`, at most 63 bytes.
    pub server_name: Option<String>,
}

/// A class of clients, which chooses pools and options.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Class {
    /// Unique.
    pub name: String,
    /// Clients that match any of these (a single `match` is a list of one).
    pub matches: Vec<ClassMatch>,
    /// Clients that match this do not belong, whatever `matches` says.
    pub unless: Option<ClassMatch>,
    /// Options that go before those of the scope.
    pub options: OptionValues,
    /// Boot parameters that go before those of the scope.
    pub boot: Boot,
}

/// What a client must show; all that is given must hold.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ClassMatch {
    /// Option 60.
    pub vendor_class: Option<Pattern>,
    /// Option 77, plain or as one of the instances of RFC 3004.
    pub user_class: Option<Pattern>,
    /// Hardware address.
    pub hardware: Option<Pattern>,
    /// Option 61.
    pub client_id: Option<Pattern>,
    /// Sub-option 1 of option 82.
    pub circuit_id: Option<Pattern>,
    /// Sub-option 2 of option 82.
    pub remote_id: Option<Pattern>,
    /// Option 93, any of its values (RFC 4578).
    pub architecture: Option<u16>,
}

/// Bytes to compare with: all of them, or as a prefix where the configured text ends in `*`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pattern {
    /// What to find.
    pub bytes: Vec<u8>,
    /// Whether more may follow.
    pub prefix: bool,
}

impl Pattern {
    /// Whether `value` is what is looked for.
    #[must_use]
    pub fn matches(&self, value: &[u8]) -> bool {
        if self.prefix { value.starts_with(&self.bytes) } else { value == self.bytes }
    }
}
