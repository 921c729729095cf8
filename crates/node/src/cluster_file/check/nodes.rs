//! Checks of nodes, relationships and the timers of failover.

use super::{names, report_same_names, report_twice};
use crate::cluster_file::convert::failover;
use crate::cluster_file::mistake::{Mistakes, Place};
use crate::cluster_file::section::{ClusterSection, FailoverSection, NodeSection, unknown};
use serde_spanned::Spanned;
use std::collections::BTreeSet;
use std::time::Duration;

/// Longest name of a network interface that Linux takes.
const LONGEST_INTERFACE_NAME: usize = 15;

pub(super) fn check(file: &ClusterSection, mistakes: &mut Mistakes) {
    if file.nodes.is_empty() {
        mistakes.error(0..0, "there is no node", "add a [[node]] with `name`, `rpc` and `interfaces`");
    }
    report_same_names("nodes", &file.nodes, |node| node.name.as_ref(), mistakes);
    report_same_names("relationships", &file.relationships, |relationship| relationship.name.as_ref(), mistakes);
    for node in &file.nodes {
        check_node(node, mistakes);
    }
    check_addresses(file, mistakes);
    check_relationships(file, mistakes);
    check_failover(file, mistakes);
}

fn check_node(node: &Spanned<NodeSection>, mistakes: &mut Mistakes) {
    let section = node.get_ref();
    if let Some(name) = section.name.as_ref().filter(|name| name.get_ref().0.contains('_')) {
        let message = format!("the node's name `{}` cannot stand in its certificate", name.get_ref().0);
        mistakes.error(name.span(), message, "use letters, digits, `-` and `.` for nodes");
    }
    if let Some(rpc) =
        section.rpc.as_ref().filter(|rpc| rpc.get_ref().ip().is_unspecified() || rpc.get_ref().port() == 0)
    {
        let message = format!("the other nodes cannot connect to {}", rpc.get_ref());
        mistakes.error(rpc.span(), message, "give the address and port at which the other nodes reach this one");
    }
    for interface in &section.interfaces {
        let name = interface.get_ref();
        if name.is_empty() || name.len() > LONGEST_INTERFACE_NAME || name.contains(['/', ' ']) {
            let message = format!("`{}` cannot be the name of an interface", name.escape_default());
            mistakes.error(interface.span(), message, "`ip -brief link` lists the interfaces of a machine");
        }
    }
    let interfaces = section.interfaces.iter().map(|interface| (interface.get_ref(), interface.span()));
    report_twice(
        interfaces,
        mistakes,
        |name| format!("the interface `{name}` is listed twice"),
        "remove one of the two",
    );
    if !section.says_where_it_listens {
        let message = "this node listens nowhere for clients";
        mistakes.error(
            node.span(),
            message,
            "add `interfaces = [\"eth1\"]`, or `dhcp_listen` if all clients come through relays",
        );
    }
    if let Some(identifier) = &section.server_identifier {
        let address = identifier.get_ref();
        if address.is_unspecified() || address.is_multicast() || address.is_broadcast() {
            let message = format!("clients cannot send to {address}");
            mistakes.error(identifier.span(), message, "give an address of this node that clients can reach");
        }
    }
}

fn check_addresses(file: &ClusterSection, mistakes: &mut Mistakes) {
    let sections = || file.nodes.iter().map(Spanned::get_ref);
    let rpc = sections().filter_map(|node| node.rpc.as_ref()).map(|rpc| (rpc.get_ref(), rpc.span()));
    report_twice(
        rpc,
        mistakes,
        |rpc| format!("two nodes have the address {rpc}"),
        "give each node its own address or port",
    );
    let identifiers = sections().filter_map(|node| node.server_identifier.as_ref()).map(|id| (id.get_ref(), id.span()));
    let help = "with one identifier a client could not tell the nodes apart; give each node an address of its own";
    report_twice(identifiers, mistakes, |id| format!("two nodes have the server identifier {id}"), help);
}

fn check_relationships(file: &ClusterSection, mistakes: &mut Mistakes) {
    let known: Vec<&str> = names(&file.nodes, |node| node.name.as_ref()).collect();
    for relationship in file.relationships.iter().map(Spanned::get_ref) {
        for name in [&relationship.primary, &relationship.standby].into_iter().flatten() {
            if !known.contains(&name.get_ref().0.as_str()) {
                mistakes.problem(name.span(), unknown("node", &name.get_ref().0, known.iter().copied()));
            }
        }
        if let (Some(primary), Some(standby)) = (&relationship.primary, &relationship.standby)
            && primary == standby
        {
            let message = format!("`{}` is its own standby", primary.get_ref().0);
            let help = "name another node; a scope that one node serves alone names it with `node`";
            mistakes.error(standby.span(), message, help).also(primary.span(), "the primary");
        }
    }
}

/// Checks the timers as each relationship has them, and reports each place once.
fn check_failover(file: &ClusterSection, mistakes: &mut Mistakes) {
    let mut reported = BTreeSet::new();
    let own = file.relationships.iter().map(|relationship| &relationship.get_ref().failover);
    let nothing = FailoverSection::default();
    for section in std::iter::once(&nothing).chain(own) {
        for (place, message, help) in wrong_timers(section, &file.failover) {
            if reported.insert((place.start, message.clone())) {
                mistakes.error(place, message, help);
            }
        }
    }
}

fn wrong_timers(own: &FailoverSection, defaults: &FailoverSection) -> Vec<(Place, String, String)> {
    let settings = failover(own, defaults);
    type Field = fn(&FailoverSection) -> &Option<Spanned<Duration>>;
    let place = |field: Field| field(own).as_ref().or(field(defaults).as_ref()).map_or(0..0, Spanned::span);
    let mut wrong = Vec::new();
    let positive: [(&str, Duration, Field, &str); 4] = [
        ("heartbeat_interval", settings.heartbeat_interval, |f| &f.heartbeat_interval, "100ms"),
        ("replication_deadline", settings.replication_deadline, |f| &f.replication_deadline, "200ms"),
        ("mclt", settings.mclt, |f| &f.mclt, "1h"),
        ("startup_timeout", settings.startup_timeout, |f| &f.startup_timeout, "10s"),
    ];
    for (key, duration, field, usual) in positive {
        if duration.is_zero() {
            wrong.push((place(field), format!("`{key}` must be more than zero"), format!("usual is \"{usual}\"")));
        }
    }
    let (interval, timeout) = (settings.heartbeat_interval, settings.heartbeat_timeout);
    if timeout < interval * 2 {
        let (interval, timeout) = (humantime::format_duration(interval), humantime::format_duration(timeout));
        let at_fault = if own.heartbeat_timeout.is_some() || own.heartbeat_interval.is_none() {
            place(|f| &f.heartbeat_timeout)
        } else {
            place(|f| &f.heartbeat_interval)
        };
        let at_fault = if at_fault.is_empty() { place(|f| &f.heartbeat_interval) } else { at_fault };
        let message = format!(
            "a heartbeat_timeout of {timeout} is less than two heartbeat intervals of {interval}: one lost heartbeat \
             would be a failure"
        );
        let help = "raise `heartbeat_timeout` or lower `heartbeat_interval`; ten intervals are usual";
        wrong.push((at_fault, message, help.to_owned()));
    }
    wrong
}
