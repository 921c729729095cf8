//! From the file as written to the configuration that the program uses, once, with the defaults filled in.
//!
//! Called on a file without mistakes. The conversion yields `None` where a required value is missing, which is always a
//! mistake that has been reported.

use super::owner::{IMPLICIT_RELATIONSHIP, implicit_pair, owner};
use super::section::{
    BootSection, ClassSection, ClusterSection, FailoverSection, LeaseTimeSection, MatchSection, NodeSection,
    PoolSection, RelationshipSection, ReservationSection, ScopeSection,
};
use super::value::{Bytes, Name, TextPattern};
use super::{Cluster, NodeSettings};
use serde_spanned::Spanned;
use standfast_core::configuration::{
    Act, Boot, Class, ClassMatch, Configuration, Failback, FailoverSettings, IsolatedStart, LeaseTime, Pattern, Pool,
    Probe, RelationshipSettings, Reservation, ReservationHolder, Scope,
};
use standfast_core::id::Revision;
use standfast_core::lease::record::ClientId;
use std::sync::Arc;
use std::time::Duration;

/// Leases where the scope says nothing of their length.
const LEASE_TIME: Duration = Duration::from_secs(8 * 3_600);
/// RFC 2131 leaves how long a declined or an offered address is kept to the server.
const DECLINE_TIME: Duration = Duration::from_secs(3_600);
const OFFER_HOLD: Duration = Duration::from_secs(30);
/// For a failback that is automatic without saying when.
const FAILBACK_DELAY: Duration = Duration::from_secs(30);

pub(super) fn cluster(file: &ClusterSection, text: Arc<str>) -> Option<Cluster> {
    let nodes: Vec<NodeSettings> = each(&file.nodes, node)?;
    let mut relationships: Vec<_> = each(&file.relationships, |section| relationship(section, &file.failover))?;
    if let Some((first, second)) = implicit_pair(file) {
        relationships.push(RelationshipSettings {
            name: IMPLICIT_RELATIONSHIP.into(),
            primary: name(&first.name)?.into(),
            standby: name(&second.name)?.into(),
            failover: failover(&file.failover, &FailoverSection::default()),
        });
    }
    let scopes = file.scopes.iter().map(|section| scope(file, section)).collect::<Option<_>>()?;
    let configuration = Configuration {
        cluster: name(&file.cluster)?.to_owned(),
        // A file is no revision yet: the cluster makes it one.
        revision: Revision { number: 0, node: nodes.first()?.name.clone() },
        nodes: nodes.iter().map(|node| node.name.clone()).collect(),
        relationships,
        scopes,
        classes: each(&file.classes, class)?,
        server_identifiers: nodes
            .iter()
            .filter_map(|node| Some((node.name.clone(), node.server_identifier?)))
            .collect(),
        text,
        act: Act::default(),
    };
    Some(Cluster { configuration, nodes, warnings: Vec::new() })
}

/// The timers and policies of a relationship: its own, else the file's defaults, else the usual ones.
pub(super) fn failover(own: &FailoverSection, defaults: &FailoverSection) -> FailoverSettings {
    let usual = FailoverSettings::default();
    let duration = |field: fn(&FailoverSection) -> &Option<Spanned<Duration>>, usual| {
        value(field(own)).or(value(field(defaults))).unwrap_or(usual)
    };
    let automatic = value(&own.failback_is_automatic).or(value(&defaults.failback_is_automatic)).unwrap_or(true);
    let delay = duration(|f| &f.failback_delay, FAILBACK_DELAY);
    let serves = value(&own.isolated_start_serves).or(value(&defaults.isolated_start_serves)).unwrap_or(true);
    let fence_command = own.fence_command.as_ref().or(defaults.fence_command.as_ref());
    FailoverSettings {
        heartbeat_interval: duration(|f| &f.heartbeat_interval, usual.heartbeat_interval),
        heartbeat_timeout: duration(|f| &f.heartbeat_timeout, usual.heartbeat_timeout),
        replication_deadline: duration(|f| &f.replication_deadline, usual.replication_deadline),
        mclt: duration(|f| &f.mclt, usual.mclt),
        startup_timeout: duration(|f| &f.startup_timeout, usual.startup_timeout),
        failback: if automatic { Failback::Automatic { delay } } else { Failback::Manual },
        isolated_start: if serves { IsolatedStart::Serve } else { IsolatedStart::Silent },
        auto_partner_down: value(&own.auto_partner_down).or(value(&defaults.auto_partner_down)).flatten(),
        fence_command: fence_command
            .map(|words| words.iter().map(|word| word.get_ref().clone()).collect())
            .unwrap_or_default(),
    }
}

fn node(section: &NodeSection) -> Option<NodeSettings> {
    Some(NodeSettings {
        name: name(&section.name)?.into(),
        rpc: value(&section.rpc)?,
        interfaces: section.interfaces.iter().map(|interface| interface.get_ref().clone()).collect(),
        dhcp_listen: values(&section.dhcp_listen),
        http: value(&section.http),
        server_identifier: value(&section.server_identifier),
    })
}

fn relationship(section: &RelationshipSection, defaults: &FailoverSection) -> Option<RelationshipSettings> {
    Some(RelationshipSettings {
        name: name(&section.name)?.into(),
        primary: name(&section.primary)?.into(),
        standby: name(&section.standby)?.into(),
        failover: failover(&section.failover, defaults),
    })
}

fn scope(file: &ClusterSection, spanned: &Spanned<ScopeSection>) -> Option<Scope> {
    let section = spanned.get_ref();
    Some(Scope {
        name: name(&section.name)?.into(),
        owner: owner(file, spanned).ok()?,
        disabled: section.disabled,
        subnet: value(&section.subnet)?,
        pools: each(&section.pools, pool)?,
        exclude: values(&section.exclude),
        lease_time: lease_time(section.lease_time.as_ref())?,
        options: section.options.clone(),
        reservations: each(&section.reservations, reservation)?,
        authoritative: section.authoritative,
        nak_unknown_clients: section.nak_unknown_clients,
        shared_network: section.shared_network.as_ref().map(|name| name.get_ref().0.clone()),
        relays: values(&section.relays),
        subnet_selection: section.subnet_selection,
        rapid_commit: section.rapid_commit,
        bootp: section.bootp,
        decline_time: value(&section.decline_time).unwrap_or(DECLINE_TIME),
        offer_hold: value(&section.offer_hold).unwrap_or(OFFER_HOLD),
        probe: value(&section.probe).unwrap_or(Probe::Off),
        v6only_wait: value(&section.v6only_wait),
        boot: boot(&section.boot),
        forced_options: section.forced_options.iter().map(|code| code.get_ref().0).collect(),
    })
}

fn pool(section: &PoolSection) -> Option<Pool> {
    Some(Pool {
        range: value(&section.range)?,
        class: section.class.as_ref().map(|name| name.get_ref().0.clone()),
        options: section.options.clone(),
    })
}

/// A scope that says only one duration gives every client that; `min` and `max` widen it.
fn lease_time(section: Option<&LeaseTimeSection>) -> Option<LeaseTime> {
    let Some(section) = section else {
        return Some(LeaseTime { default: LEASE_TIME, min: LEASE_TIME, max: LEASE_TIME });
    };
    let default = value(&section.default)?;
    Some(LeaseTime {
        default,
        min: value(&section.min).unwrap_or(default),
        max: value(&section.max).unwrap_or(default),
    })
}

fn reservation(section: &ReservationSection) -> Option<Reservation> {
    let bytes = |bytes: &Option<Spanned<Bytes>>| bytes.as_ref().map(|bytes| bytes.get_ref().0.clone());
    let holder = value(&section.hardware)
        .map(ReservationHolder::Hardware)
        .or_else(|| bytes(&section.client_id).map(|id| ReservationHolder::ClientId(ClientId::new(&id))))
        .or_else(|| bytes(&section.circuit_id).map(ReservationHolder::CircuitId))
        .or_else(|| bytes(&section.remote_id).map(ReservationHolder::RemoteId))?;
    Some(Reservation {
        holder,
        address: value(&section.address)?,
        hostname: section.hostname.as_ref().map(|hostname| hostname.get_ref().clone()),
        options: section.options.clone(),
        boot: boot(&section.boot),
    })
}

fn class(section: &ClassSection) -> Option<Class> {
    Some(Class {
        name: name(&section.name)?.to_owned(),
        matches: section.matches.iter().map(class_match).collect(),
        unless: section.unless.as_ref().map(class_match),
        options: section.options.clone(),
        boot: boot(&section.boot),
    })
}

fn class_match(section: &MatchSection) -> ClassMatch {
    let pattern = |text: &Option<Spanned<TextPattern>>| -> Option<Pattern> { Some(text.as_ref()?.get_ref().0.clone()) };
    ClassMatch {
        vendor_class: pattern(&section.vendor_class),
        user_class: pattern(&section.user_class),
        hardware: section.hardware.as_ref().map(|hardware| hardware.get_ref().0.clone()),
        client_id: pattern(&section.client_id),
        circuit_id: pattern(&section.circuit_id),
        remote_id: pattern(&section.remote_id),
        architecture: value(&section.architecture),
    }
}

fn boot(section: &BootSection) -> Boot {
    let text = |text: &Option<Spanned<String>>| text.as_ref().map(|text| text.get_ref().clone());
    Boot {
        next_server: value(&section.next_server),
        file: text(&section.boot_file),
        server_name: text(&section.server_name),
    }
}

fn value<T: Copy>(spanned: &Option<Spanned<T>>) -> Option<T> {
    spanned.as_ref().map(|spanned| *spanned.get_ref())
}

fn values<T: Copy>(spanned: &[Spanned<T>]) -> Vec<T> {
    spanned.iter().map(|spanned| *spanned.get_ref()).collect()
}

fn name(spanned: &Option<Spanned<Name>>) -> Option<&str> {
    spanned.as_ref().map(|spanned| spanned.get_ref().0.as_str())
}

fn each<S, T>(sections: &[Spanned<S>], convert: impl Fn(&S) -> Option<T>) -> Option<Vec<T>> {
    sections.iter().map(|section| convert(section.get_ref())).collect()
}
