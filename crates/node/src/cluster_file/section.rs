//! The cluster file as it is written: every key where it stands, absent ones absent.
//!
//! These types are the file's and change with its format; the program's own type is
//! [`Configuration`](standfast_core::configuration::Configuration), and `convert` goes from one to the other once.

use super::fields::{Fields, Section, read_table, read_value};
use super::mistake::{Mistakes, Place, Problem, suggest};
use super::options::{Code, read_options};
use super::value::{Bytes, HardwarePattern, Name, TextPattern};
use serde_spanned::Spanned;
use standfast_core::configuration::{AddressRange, OptionValues, Probe, Subnet};
use standfast_core::lease::record::HardwareAddress;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;
use toml::de::{DeTable, DeValue};

macro_rules! section {
    ($name:ident = $path:literal: $($key:literal)*) => {
        pub(super) static $name: Section = Section { path: $path, keys: &[$($key),*] };
    };
}

section!(TOP = "": "cluster" "failover" "node" "relationship" "scope" "class");
section!(FAILOVER = "failover": "heartbeat_interval" "heartbeat_timeout" "replication_deadline" "mclt" "startup_timeout"
    "failback" "failback_delay" "isolated_start" "auto_partner_down" "fence_command");
section!(NODE = "node": "name" "rpc" "interfaces" "dhcp_listen" "http" "server_identifier");
section!(RELATIONSHIP = "relationship": "name" "primary" "standby" "failover");
section!(SCOPE = "scope": "name" "relationship" "node" "disabled" "subnet" "pools" "exclude" "lease_time" "options"
    "reservation" "authoritative" "nak_unknown_clients" "shared_network" "relays" "subnet_selection" "rapid_commit"
    "bootp" "decline_time" "offer_hold" "probe" "v6only_wait" "next_server" "boot_file" "server_name" "forced_options");
section!(LEASE_TIME = "scope.lease_time": "default" "min" "max");
section!(POOL = "scope.pools": "range" "class" "options");
section!(RESERVATION = "scope.reservation": "hardware" "client_id" "circuit_id" "remote_id" "address" "hostname"
    "options" "next_server" "boot_file" "server_name");
section!(CLASS = "class": "name" "match" "match_any" "unless" "options" "next_server" "boot_file" "server_name");
section!(MATCH = "class.match": "vendor_class" "user_class" "hardware" "client_id" "circuit_id" "remote_id"
    "architecture");

/// Every kind of table that a cluster file may have, and its keys.
pub fn sections() -> [&'static Section; 10] {
    [&TOP, &FAILOVER, &NODE, &RELATIONSHIP, &SCOPE, &LEASE_TIME, &POOL, &RESERVATION, &CLASS, &MATCH]
}

pub(super) struct ClusterSection {
    pub(super) cluster: Option<Spanned<Name>>,
    pub(super) failover: FailoverSection,
    pub(super) nodes: Vec<Spanned<NodeSection>>,
    pub(super) relationships: Vec<Spanned<RelationshipSection>>,
    pub(super) scopes: Vec<Spanned<ScopeSection>>,
    pub(super) classes: Vec<Spanned<ClassSection>>,
}

#[derive(Default)]
pub(super) struct FailoverSection {
    pub(super) heartbeat_interval: Option<Spanned<Duration>>,
    pub(super) heartbeat_timeout: Option<Spanned<Duration>>,
    pub(super) replication_deadline: Option<Spanned<Duration>>,
    pub(super) mclt: Option<Spanned<Duration>>,
    pub(super) startup_timeout: Option<Spanned<Duration>>,
    pub(super) failback_is_automatic: Option<Spanned<bool>>,
    pub(super) failback_delay: Option<Spanned<Duration>>,
    pub(super) isolated_start_serves: Option<Spanned<bool>>,
    /// `Some(None)` is "off", said in so many words.
    pub(super) auto_partner_down: Option<Spanned<Option<Duration>>>,
    pub(super) fence_command: Option<Vec<Spanned<String>>>,
}

pub(super) struct NodeSection {
    pub(super) name: Option<Spanned<Name>>,
    pub(super) rpc: Option<Spanned<SocketAddr>>,
    pub(super) interfaces: Vec<Spanned<String>>,
    pub(super) dhcp_listen: Vec<Spanned<SocketAddrV4>>,
    /// Whether there is a list of either, read or not.
    pub(super) says_where_it_listens: bool,
    pub(super) http: Option<Spanned<SocketAddr>>,
    pub(super) server_identifier: Option<Spanned<Ipv4Addr>>,
}

pub(super) struct RelationshipSection {
    pub(super) name: Option<Spanned<Name>>,
    pub(super) primary: Option<Spanned<Name>>,
    pub(super) standby: Option<Spanned<Name>>,
    pub(super) failover: FailoverSection,
}

pub(super) struct ScopeSection {
    pub(super) name: Option<Spanned<Name>>,
    pub(super) relationship: Option<Spanned<Name>>,
    pub(super) node: Option<Spanned<Name>>,
    pub(super) disabled: bool,
    pub(super) subnet: Option<Spanned<Subnet>>,
    pub(super) pools: Vec<Spanned<PoolSection>>,
    pub(super) exclude: Vec<Spanned<AddressRange>>,
    pub(super) lease_time: Option<LeaseTimeSection>,
    pub(super) options: OptionValues,
    pub(super) reservations: Vec<Spanned<ReservationSection>>,
    pub(super) authoritative: bool,
    pub(super) nak_unknown_clients: bool,
    pub(super) shared_network: Option<Spanned<Name>>,
    pub(super) relays: Vec<Spanned<Ipv4Addr>>,
    pub(super) subnet_selection: bool,
    pub(super) rapid_commit: bool,
    pub(super) bootp: bool,
    pub(super) decline_time: Option<Spanned<Duration>>,
    pub(super) offer_hold: Option<Spanned<Duration>>,
    pub(super) probe: Option<Spanned<Probe>>,
    pub(super) v6only_wait: Option<Spanned<Duration>>,
    pub(super) boot: BootSection,
    pub(super) forced_options: Vec<Spanned<Code>>,
}

#[derive(Default)]
pub(super) struct LeaseTimeSection {
    pub(super) default: Option<Spanned<Duration>>,
    pub(super) min: Option<Spanned<Duration>>,
    pub(super) max: Option<Spanned<Duration>>,
}

#[derive(Default)]
pub(super) struct PoolSection {
    pub(super) range: Option<Spanned<AddressRange>>,
    pub(super) class: Option<Spanned<Name>>,
    pub(super) options: OptionValues,
}

pub(super) struct ReservationSection {
    pub(super) hardware: Option<Spanned<HardwareAddress>>,
    pub(super) client_id: Option<Spanned<Bytes>>,
    pub(super) circuit_id: Option<Spanned<Bytes>>,
    pub(super) remote_id: Option<Spanned<Bytes>>,
    /// The holders given, read or not: exactly one is right.
    pub(super) holder_keys: Vec<(&'static str, Place)>,
    pub(super) address: Option<Spanned<Ipv4Addr>>,
    pub(super) hostname: Option<Spanned<String>>,
    pub(super) options: OptionValues,
    pub(super) boot: BootSection,
}

pub(super) struct ClassSection {
    pub(super) name: Option<Spanned<Name>>,
    pub(super) matches: Vec<MatchSection>,
    pub(super) unless: Option<MatchSection>,
    pub(super) options: OptionValues,
    pub(super) boot: BootSection,
}

pub(super) struct MatchSection {
    pub(super) vendor_class: Option<Spanned<TextPattern>>,
    pub(super) user_class: Option<Spanned<TextPattern>>,
    pub(super) hardware: Option<Spanned<HardwarePattern>>,
    pub(super) client_id: Option<Spanned<TextPattern>>,
    pub(super) circuit_id: Option<Spanned<TextPattern>>,
    pub(super) remote_id: Option<Spanned<TextPattern>>,
    pub(super) architecture: Option<Spanned<u16>>,
}

pub(super) struct BootSection {
    pub(super) next_server: Option<Spanned<Ipv4Addr>>,
    pub(super) boot_file: Option<Spanned<String>>,
    pub(super) server_name: Option<Spanned<String>>,
}

impl ClusterSection {
    pub(super) fn read(table: &DeTable<'_>, mistakes: &mut Mistakes) -> Self {
        let fields = &mut Fields::of(&TOP, table, 0..0, mistakes);
        Self {
            cluster: fields.required("cluster", "\"hq-dhcp\""),
            failover: fields
                .table("failover", &FAILOVER, FailoverSection::read)
                .map(Spanned::into_inner)
                .unwrap_or_default(),
            nodes: fields.tables("node", &NODE, NodeSection::read),
            relationships: fields.tables("relationship", &RELATIONSHIP, RelationshipSection::read),
            scopes: fields.tables("scope", &SCOPE, ScopeSection::read),
            classes: fields.tables("class", &CLASS, ClassSection::read),
        }
    }
}

impl FailoverSection {
    fn read(fields: &mut Fields<'_, '_>) -> Self {
        let fence_command = fields.list("fence_command");
        Self {
            heartbeat_interval: fields.optional("heartbeat_interval"),
            heartbeat_timeout: fields.optional("heartbeat_timeout"),
            replication_deadline: fields.optional("replication_deadline"),
            mclt: fields.optional("mclt"),
            startup_timeout: fields.optional("startup_timeout"),
            failback_is_automatic: choice(fields, "failback", &[("auto", true), ("manual", false)]),
            failback_delay: fields.optional("failback_delay"),
            isolated_start_serves: choice(fields, "isolated_start", &[("serve", true), ("silent", false)]),
            auto_partner_down: off_or_duration(fields, "auto_partner_down"),
            fence_command: fields.raw("fence_command").map(|_| fence_command),
        }
    }
}

impl NodeSection {
    fn read(fields: &mut Fields<'_, '_>) -> Self {
        Self {
            name: fields.required("name", "\"dhcp-a\""),
            rpc: fields.required("rpc", "\"10.0.0.11:6767\""),
            interfaces: fields.list("interfaces"),
            dhcp_listen: fields.list("dhcp_listen"),
            says_where_it_listens: ["interfaces", "dhcp_listen"].iter().any(|key| fields.raw(key).is_some()),
            http: fields.optional("http"),
            server_identifier: fields.optional("server_identifier"),
        }
    }
}

impl RelationshipSection {
    fn read(fields: &mut Fields<'_, '_>) -> Self {
        Self {
            name: fields.required("name", "\"office\""),
            primary: fields.required("primary", "\"dhcp-a\""),
            standby: fields.required("standby", "\"dhcp-b\""),
            failover: fields
                .table("failover", &FAILOVER, FailoverSection::read)
                .map(Spanned::into_inner)
                .unwrap_or_default(),
        }
    }
}

impl ScopeSection {
    fn read(fields: &mut Fields<'_, '_>) -> Self {
        let flag =
            |fields: &mut Fields<'_, '_>, key, absent| fields.optional::<bool>(key).map_or(absent, Spanned::into_inner);
        Self {
            name: fields.required("name", "\"office-lan\""),
            relationship: fields.optional("relationship"),
            node: fields.optional("node"),
            disabled: flag(fields, "disabled", false),
            subnet: fields.required("subnet", "\"10.20.0.0/24\""),
            pools: fields.list_by("pools", PoolSection::read),
            exclude: fields.list("exclude"),
            lease_time: LeaseTimeSection::read(fields),
            options: options(fields),
            reservations: fields.tables("reservation", &RESERVATION, ReservationSection::read),
            authoritative: flag(fields, "authoritative", true),
            nak_unknown_clients: flag(fields, "nak_unknown_clients", false),
            shared_network: fields.optional("shared_network"),
            relays: fields.list("relays"),
            subnet_selection: flag(fields, "subnet_selection", false),
            rapid_commit: flag(fields, "rapid_commit", false),
            bootp: flag(fields, "bootp", false),
            decline_time: fields.optional("decline_time"),
            offer_hold: fields.optional("offer_hold"),
            probe: choice(fields, "probe", &[("off", Probe::Off), ("arp", Probe::Arp), ("icmp", Probe::Icmp)]),
            v6only_wait: fields.optional("v6only_wait"),
            boot: BootSection::read(fields),
            forced_options: fields.list("forced_options"),
        }
    }
}

impl LeaseTimeSection {
    /// One duration for all three, or a table.
    fn read(scope: &mut Fields<'_, '_>) -> Option<Self> {
        let value = scope.raw("lease_time")?;
        if value.get_ref().is_table() {
            let table = scope.table("lease_time", &LEASE_TIME, |fields| Self {
                default: fields.required("default", "\"8h\""),
                min: fields.optional("min"),
                max: fields.optional("max"),
            });
            return table.map(Spanned::into_inner);
        }
        let default = scope.optional("lease_time")?;
        Some(Self { default: Some(default), min: None, max: None })
    }
}

impl PoolSection {
    /// A range alone, or a table.
    fn read(value: &Spanned<DeValue<'_>>, mistakes: &mut Mistakes) -> Option<Spanned<Self>> {
        if value.get_ref().is_table() {
            return read_table(value, &POOL, mistakes, &mut |fields| Self {
                range: fields.required("range", "\"10.20.0.50-10.20.0.249\""),
                class: fields.optional("class"),
                options: options(fields),
            });
        }
        let range = Some(read_value(value, mistakes)?);
        Some(Spanned::new(value.span(), Self { range, class: None, options: OptionValues::new() }))
    }
}

impl ReservationSection {
    fn read(fields: &mut Fields<'_, '_>) -> Self {
        let holders = ["hardware", "client_id", "circuit_id", "remote_id"];
        let holder_keys = holders.iter().filter_map(|key| Some((*key, fields.raw(key)?.span()))).collect();
        Self {
            hardware: fields.optional("hardware"),
            client_id: fields.optional("client_id"),
            circuit_id: fields.optional("circuit_id"),
            remote_id: fields.optional("remote_id"),
            holder_keys,
            address: fields.required("address", "\"10.20.0.20\""),
            hostname: fields.optional("hostname"),
            options: options(fields),
            boot: BootSection::read(fields),
        }
    }
}

impl ClassSection {
    fn read(fields: &mut Fields<'_, '_>) -> Self {
        let one = fields.table("match", &MATCH, MatchSection::read);
        let any = fields.tables("match_any", &MATCH, MatchSection::read);
        match (fields.raw("match"), fields.raw("match_any")) {
            (Some(first), Some(second)) => {
                let help = "move what `match` says into the list of `match_any`, or remove one of the two";
                fields
                    .mistakes
                    .error(second.span(), "a class has `match` or `match_any`, not both", help)
                    .also(first.span(), "and here");
            }
            (None, None) => {
                let place = fields.place();
                let help = "add `match = { vendor_class = \"Cisco*\" }`";
                fields.mistakes.error(place, "this [class] has no `match`", help);
            }
            (Some(_), None) | (None, Some(_)) => {}
        }
        Self {
            name: fields.required("name", "\"voip\""),
            matches: one.into_iter().chain(any).map(Spanned::into_inner).collect(),
            unless: fields.table("unless", &MATCH, MatchSection::read).map(Spanned::into_inner),
            options: options(fields),
            boot: BootSection::read(fields),
        }
    }
}

impl MatchSection {
    fn read(fields: &mut Fields<'_, '_>) -> Self {
        if MATCH.keys.iter().all(|key| fields.raw(key).is_none()) {
            let place = fields.place();
            fields.mistakes.error(place, "this matches every client", format!("give one of {}", MATCH.keys.join(", ")));
        }
        Self {
            vendor_class: fields.optional("vendor_class"),
            user_class: fields.optional("user_class"),
            hardware: fields.optional("hardware"),
            client_id: fields.optional("client_id"),
            circuit_id: fields.optional("circuit_id"),
            remote_id: fields.optional("remote_id"),
            architecture: fields.optional("architecture"),
        }
    }
}

impl BootSection {
    fn read(fields: &mut Fields<'_, '_>) -> Self {
        Self {
            next_server: fields.optional("next_server"),
            boot_file: field_of_header(fields, "boot_file", 127),
            server_name: field_of_header(fields, "server_name", 63),
        }
    }
}

/// A text that ends in NUL in a field of the fixed header.
fn field_of_header(fields: &mut Fields<'_, '_>, key: &str, longest: usize) -> Option<Spanned<String>> {
    let text = fields.optional::<String>(key)?;
    let length = text.get_ref().len();
    if length > longest || text.get_ref().contains('\0') {
        let help = format!("give at most {longest} bytes, none of them NUL");
        fields.mistakes.error(text.span(), format!("`{key}` has {length} bytes and does not fit"), help);
    }
    Some(text)
}

fn options(fields: &mut Fields<'_, '_>) -> OptionValues {
    fields.raw("options").map(|value| read_options(value, fields.mistakes)).unwrap_or_default()
}

/// One of a few words.
fn choice<T: Copy>(fields: &mut Fields<'_, '_>, key: &str, words: &[(&str, T)]) -> Option<Spanned<T>> {
    let word = fields.optional::<String>(key)?;
    let found = words.iter().find(|(known, _)| known == word.get_ref());
    if found.is_none() {
        let known: Vec<String> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        let help = format!("write {}", known.join(" or "));
        fields.mistakes.error(word.span(), format!("`{key}` cannot be `{}`", word.get_ref().escape_default()), help);
    }
    found.map(|(_, meaning)| Spanned::new(word.span(), *meaning))
}

fn off_or_duration(fields: &mut Fields<'_, '_>, key: &str) -> Option<Spanned<Option<Duration>>> {
    let value = fields.raw(key)?;
    if value.get_ref().as_str() == Some("off") {
        return Some(Spanned::new(value.span(), None));
    }
    let duration = fields.optional::<Duration>(key)?;
    Some(Spanned::new(duration.span(), Some(duration.into_inner())))
}

/// That `name` is none of `known`.
pub(super) fn unknown<'a>(what: &str, name: &str, known: impl IntoIterator<Item = &'a str>) -> Problem {
    let help = match suggest(name, known) {
        nothing if nothing.is_empty() || nothing == "known here: " => format!("add a [[{what}]] of this name"),
        suggestion => suggestion,
    };
    Problem::new(format!("there is no {what} `{name}`"), help)
}
