//! Each part of a configuration as keys and values in the words of the cluster file.
//!
//! Structures are taken apart without `..`, so that a field which is added to one of them must be described here too.

use super::Described;
use crate::cluster_file::NodeSettings;
use crate::cluster_file::options::{option_name, show_option};
use standfast_core::configuration::{
    AddressRange, Boot, Class, ClassMatch, Failback, FailoverSettings, IsolatedStart, LeaseTime, OptionValues, Pattern,
    Pool, Probe, RelationshipSettings, Reservation, ReservationHolder, Scope, ScopeOwner,
};
use std::time::Duration;

/// A key and the elements of its value; none if the key is absent.
pub(super) struct Key {
    pub(super) key: &'static str,
    pub(super) items: Vec<String>,
}

pub(super) fn describe_node(node: &NodeSettings) -> Described {
    let NodeSettings { name, rpc, interfaces, dhcp_listen, http, server_identifier } = node;
    let keys = vec![
        one("rpc", rpc),
        many("interfaces", interfaces),
        many("dhcp_listen", dhcp_listen),
        many("http", http),
        many("server_identifier", server_identifier),
    ];
    (name.to_string(), keys)
}

pub(super) fn describe_relationship(relationship: &RelationshipSettings) -> Described {
    let RelationshipSettings { name, primary, standby, failover } = relationship;
    let FailoverSettings {
        heartbeat_interval,
        heartbeat_timeout,
        replication_deadline,
        mclt,
        startup_timeout,
        failback,
        isolated_start,
        auto_partner_down,
        fence_command,
    } = failover;
    let (failback, delay) = match failback {
        Failback::Automatic { delay } => ("auto", Some(show_duration(*delay))),
        Failback::Manual => ("manual", None),
    };
    let isolated_start = match isolated_start {
        IsolatedStart::Serve => "serve",
        IsolatedStart::Silent => "silent",
    };
    let keys = vec![
        one("primary", primary),
        one("standby", standby),
        one("heartbeat_interval", show_duration(*heartbeat_interval)),
        one("heartbeat_timeout", show_duration(*heartbeat_timeout)),
        one("replication_deadline", show_duration(*replication_deadline)),
        one("mclt", show_duration(*mclt)),
        one("startup_timeout", show_duration(*startup_timeout)),
        one("failback", failback),
        many("failback_delay", delay),
        one("isolated_start", isolated_start),
        one("auto_partner_down", auto_partner_down.map_or("off".to_owned(), show_duration)),
        many("fence_command", (!fence_command.is_empty()).then(|| format!("{fence_command:?}"))),
    ];
    (name.to_string(), keys)
}

pub(super) fn describe_scope(scope: &Scope) -> Described {
    let Scope {
        name,
        owner,
        disabled,
        subnet,
        pools,
        exclude,
        lease_time,
        options,
        reservations,
        authoritative,
        nak_unknown_clients,
        shared_network,
        relays,
        subnet_selection,
        rapid_commit,
        bootp,
        decline_time,
        offer_hold,
        probe,
        v6only_wait,
        boot,
        forced_options,
    } = scope;
    let (relationship, node) = match owner {
        ScopeOwner::Relationship(name) => (Some(name), None),
        ScopeOwner::Node(name) => (None, Some(name)),
    };
    let probe = match probe {
        Probe::Off => "off",
        Probe::Arp => "arp",
        Probe::Icmp => "icmp",
    };
    let mut keys = vec![
        many("relationship", relationship),
        many("node", node),
        one("disabled", disabled),
        one("subnet", format!("{}/{}", subnet.network, subnet.prefix)),
        many("pools", pools.iter().map(show_pool)),
        many("exclude", exclude.iter().copied().map(show_range)),
        one("lease_time", show_lease_time(*lease_time)),
        options_key(options),
        many("reservation", reservations.iter().map(show_reservation)),
        one("authoritative", authoritative),
        one("nak_unknown_clients", nak_unknown_clients),
        many("shared_network", shared_network),
        many("relays", relays),
        one("subnet_selection", subnet_selection),
        one("rapid_commit", rapid_commit),
        one("bootp", bootp),
        one("decline_time", show_duration(*decline_time)),
        one("offer_hold", show_duration(*offer_hold)),
        one("probe", probe),
        many("v6only_wait", v6only_wait.map(show_duration)),
        many("forced_options", forced_options.iter().copied().map(option_name)),
    ];
    keys.extend(boot_keys(boot));
    (name.to_string(), keys)
}

pub(super) fn describe_class(class: &Class) -> Described {
    let Class { name, matches, unless, options, boot } = class;
    let mut keys = vec![
        many("match", matches.iter().map(show_match)),
        many("unless", unless.as_ref().map(show_match)),
        options_key(options),
    ];
    keys.extend(boot_keys(boot));
    (name.clone(), keys)
}

pub(super) fn show_range(AddressRange { first, last }: AddressRange) -> String {
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}

pub(super) fn show_holder(holder: &ReservationHolder) -> String {
    match holder {
        ReservationHolder::Hardware(hardware) => format!("hardware {hardware}"),
        ReservationHolder::ClientId(id) => format!("client_id {}", show_bytes(id.as_bytes())),
        ReservationHolder::CircuitId(id) => format!("circuit_id {}", show_bytes(id)),
        ReservationHolder::RemoteId(id) => format!("remote_id {}", show_bytes(id)),
    }
}

fn show_pool(pool: &Pool) -> String {
    let Pool { range, class, options } = pool;
    let class = class.as_ref().map(|class| format!(" class {class}")).unwrap_or_default();
    format!("{}{class}{}", show_range(*range), show_more(options, &Boot::default()))
}

fn show_reservation(reservation: &Reservation) -> String {
    let Reservation { holder, address, hostname, options, boot } = reservation;
    let hostname =
        hostname.as_ref().map(|hostname| format!(" hostname {}", hostname.escape_debug())).unwrap_or_default();
    format!("{address} for {}{hostname}{}", show_holder(holder), show_more(options, boot))
}

fn show_more(options: &OptionValues, boot: &Boot) -> String {
    let keys = boot_keys(boot);
    let boot = keys.iter().flat_map(|key| key.items.iter().map(|item| format!("{} {item}", key.key)));
    let all: Vec<String> = options_key(options).items.into_iter().chain(boot).collect();
    if all.is_empty() { String::new() } else { format!(" with {}", all.join(", ")) }
}

fn show_lease_time(time: LeaseTime) -> String {
    let LeaseTime { default, min, max } = time;
    if min == default && default == max {
        return show_duration(default);
    }
    format!("{} ({} to {})", show_duration(default), show_duration(min), show_duration(max))
}

fn show_match(class_match: &ClassMatch) -> String {
    let ClassMatch { vendor_class, user_class, hardware, client_id, circuit_id, remote_id, architecture } = class_match;
    let pattern = |key: &str, pattern: &Option<Pattern>, show: fn(&[u8]) -> String| {
        let Pattern { bytes, prefix } = pattern.as_ref()?;
        let star = if *prefix { "*" } else { "" };
        Some(format!("{key} {}{star}", show(bytes)))
    };
    let parts = [
        pattern("vendor_class", vendor_class, show_bytes),
        pattern("user_class", user_class, show_bytes),
        pattern("hardware", hardware, show_octets),
        pattern("client_id", client_id, show_bytes),
        pattern("circuit_id", circuit_id, show_bytes),
        pattern("remote_id", remote_id, show_bytes),
        architecture.map(|number| format!("architecture {number}")),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" and ")
}

fn options_key(options: &OptionValues) -> Key {
    let show = |(code, bytes): (&u8, &Vec<u8>)| format!("{} = {}", option_name(*code), show_option(*code, bytes));
    many("options", options.iter().map(show))
}

fn boot_keys(boot: &Boot) -> [Key; 3] {
    let Boot { next_server, file, server_name } = boot;
    [
        many("next_server", next_server),
        many("boot_file", file.as_ref().map(|text| text.escape_debug())),
        many("server_name", server_name.as_ref().map(|text| text.escape_debug())),
    ]
}

/// A text if it is plainly one, else `hex:`; either way it can stand in the file.
fn show_bytes(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()) => text.to_owned(),
        Ok(_) | Err(_) => format!("hex:{}", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()),
    }
}

fn show_octets(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

fn show_duration(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

fn one(key: &'static str, value: impl ToString) -> Key {
    Key { key, items: vec![value.to_string()] }
}

fn many<T: ToString>(key: &'static str, values: impl IntoIterator<Item = T>) -> Key {
    Key { key, items: values.into_iter().map(|value| value.to_string()).collect() }
}
