//! Checks of scopes, their pools and reservations, and classes.

use super::{names, report_same_names, report_twice};
use crate::cluster_file::mistake::Mistakes;
use crate::cluster_file::owner::owner;
use crate::cluster_file::section::{
    ClusterSection, LeaseTimeSection, PoolSection, ReservationSection, ScopeSection, unknown,
};
use serde_spanned::Spanned;
use standfast_core::configuration::{AddressRange, Subnet};
use std::net::Ipv4Addr;
use std::time::Duration;

const ROUTERS: u8 = 3;

pub(super) fn check(file: &ClusterSection, mistakes: &mut Mistakes) {
    report_same_names("scopes", &file.scopes, |scope| scope.name.as_ref(), mistakes);
    report_same_names("classes", &file.classes, |class| class.name.as_ref(), mistakes);
    check_overlap(file, mistakes);
    let classes: Vec<&str> = names(&file.classes, |class| class.name.as_ref()).collect();
    for scope in &file.scopes {
        if let Err((place, problem)) = owner(file, scope) {
            mistakes.problem(place, problem);
        }
        let section = scope.get_ref();
        for class in section.pools.iter().filter_map(|pool| pool.get_ref().class.as_ref()) {
            if !classes.contains(&class.get_ref().0.as_str()) {
                mistakes.problem(class.span(), unknown("class", &class.get_ref().0, classes.iter().copied()));
            }
        }
        if let Some(lease_time) = &section.lease_time {
            check_lease_time(lease_time, mistakes);
        }
        check_times(section, mistakes);
        check_pools(section, mistakes);
        check_reservations(section, mistakes);
        check_relays(section, mistakes);
        if section.pools.is_empty() && section.reservations.is_empty() {
            let message = "this scope has no address to give away";
            mistakes.warning(scope.span(), message, "add `pools`, or reservations");
        }
    }
}

fn check_overlap(file: &ClusterSection, mistakes: &mut Mistakes) {
    let subnets: Vec<_> = file.scopes.iter().filter_map(|scope| scope.get_ref().subnet.as_ref()).collect();
    for (index, later) in subnets.iter().enumerate() {
        let (network, own) = (later.get_ref().network, *later.get_ref());
        let overlapping = |earlier: &&&Spanned<Subnet>| {
            earlier.get_ref().contains(network) || own.contains(earlier.get_ref().network)
        };
        if let Some(earlier) = subnets[..index].iter().find(overlapping) {
            let message = format!("the subnets {} and {} overlap", show(*earlier.get_ref()), show(own));
            let help = "an address belongs to one scope; shrink one subnet or merge the two scopes";
            mistakes.error(later.span(), message, help).also(earlier.span(), "the other");
        }
    }
}

fn check_lease_time(lease_time: &LeaseTimeSection, mistakes: &mut Mistakes) {
    let times = [&lease_time.min, &lease_time.default, &lease_time.max];
    for time in times.into_iter().flatten().filter(|time| *time.get_ref() < Duration::from_secs(1)) {
        mistakes.error(time.span(), "a lease lasts at least one second", "usual is \"8h\"");
    }
    let show = |time: &Spanned<Duration>| humantime::format_duration(*time.get_ref()).to_string();
    let [Some(default), min, max] = [&lease_time.default, &lease_time.min, &lease_time.max] else { return };
    if let Some(min) = min.as_ref().filter(|min| min.get_ref() > default.get_ref()) {
        let message = format!("the shortest lease ({}) is longer than the default ({})", show(min), show(default));
        mistakes.error(min.span(), message, "lower `min` or raise `default`").also(default.span(), "the default");
    }
    if let Some(max) = max.as_ref().filter(|max| max.get_ref() < default.get_ref()) {
        let message = format!("the longest lease ({}) is shorter than the default ({})", show(max), show(default));
        mistakes.error(max.span(), message, "raise `max` or lower `default`").also(default.span(), "the default");
    }
}

fn check_times(scope: &ScopeSection, mistakes: &mut Mistakes) {
    let times = [("offer_hold", &scope.offer_hold, "30s"), ("decline_time", &scope.decline_time, "1h")];
    for (key, time, usual) in times {
        if let Some(time) = time.as_ref().filter(|time| time.get_ref().is_zero()) {
            mistakes.error(time.span(), format!("`{key}` must be more than zero"), format!("usual is \"{usual}\""));
        }
    }
    if let Some(wait) = scope.v6only_wait.as_ref().filter(|wait| *wait.get_ref() < Duration::from_secs(300)) {
        let message = "clients wait at least 300 seconds, whatever they are told (RFC 8925 section 3.4)";
        mistakes.error(wait.span(), message, "usual is \"30m\"");
    }
}

fn check_pools(scope: &ScopeSection, mistakes: &mut Mistakes) {
    let ranges: Vec<&Spanned<AddressRange>> =
        scope.pools.iter().filter_map(|pool| pool.get_ref().range.as_ref()).collect();
    for (index, range) in ranges.iter().enumerate() {
        if let Some(earlier) = ranges[..index].iter().find(|earlier| overlap(*earlier.get_ref(), *range.get_ref())) {
            let message = "two pools share addresses";
            mistakes.error(range.span(), message, "shrink one of the two").also(earlier.span(), "the other");
        }
    }
    let Some(subnet) = scope.subnet.as_ref().map(|subnet| *subnet.get_ref()) else { return };
    for range in &ranges {
        if inside(subnet, *range.get_ref()) {
            check_ends(subnet, range, mistakes);
        } else {
            report_outside("pool", range, subnet, mistakes);
        }
    }
    for range in scope.exclude.iter().filter(|range| !inside(subnet, *range.get_ref())) {
        report_outside("exclusion", range, subnet, mistakes);
    }
    check_routers(scope, mistakes);
    for pool in &scope.pools {
        check_parity(pool.get_ref(), &scope.exclude, mistakes);
    }
}

fn report_outside(what: &str, range: &Spanned<AddressRange>, subnet: Subnet, mistakes: &mut Mistakes) {
    let AddressRange { first, last } = *range.get_ref();
    let outside = if subnet.contains(first) { last } else { first };
    let message = format!("this {what} leaves its subnet: {outside} is not in {}", show(subnet));
    let help = format!("addresses of {} are {} to {}", show(subnet), subnet.network, subnet.broadcast());
    mistakes.error(range.span(), message, help);
}

/// Networks of at most two addresses have neither a network nor a broadcast address (RFC 3021).
fn check_ends(subnet: Subnet, range: &Spanned<AddressRange>, mistakes: &mut Mistakes) {
    if subnet.prefix > 30 {
        return;
    }
    if range.get_ref().contains(subnet.network) {
        let message = format!("this pool holds {}, the address of the network itself", subnet.network);
        let help = format!("begin with {}", Ipv4Addr::from_bits(subnet.network.to_bits() + 1));
        mistakes.error(range.span(), message, help);
    }
    if range.get_ref().contains(subnet.broadcast()) {
        let message = format!("this pool holds {}, the broadcast address", subnet.broadcast());
        let help = format!("end with {}", Ipv4Addr::from_bits(subnet.broadcast().to_bits() - 1));
        mistakes.error(range.span(), message, help);
    }
}

/// A client that is given the router's address takes the link down.
fn check_routers(scope: &ScopeSection, mistakes: &mut Mistakes) {
    let routers = scope.options.get(&ROUTERS).map(Vec::as_slice).unwrap_or_default();
    for router in routers.as_chunks::<4>().0.iter().copied().map(Ipv4Addr::from_octets) {
        let excluded = scope.exclude.iter().any(|range| range.get_ref().contains(router));
        let reserved = scope.reservations.iter().filter_map(|reservation| reservation.get_ref().address.as_ref());
        if excluded || reserved.into_iter().any(|address| *address.get_ref() == router) {
            continue;
        }
        for range in scope.pools.iter().filter_map(|pool| pool.get_ref().range.as_ref()) {
            if range.get_ref().contains(router) {
                let message = format!("this pool gives away {router}, which is a router of the scope");
                mistakes.error(range.span(), message, format!("add `exclude = [\"{router}\"]`"));
            }
        }
    }
}

/// The last bit of an address is its home: with one parity only, one of the nodes could give away nothing alone.
fn check_parity(pool: &PoolSection, exclude: &[Spanned<AddressRange>], mistakes: &mut Mistakes) {
    const LOOKED_AT: u64 = 4_096;
    let Some(range) = &pool.range else { return };
    let AddressRange { first, last } = *range.get_ref();
    if range.get_ref().len() > LOOKED_AT {
        return;
    }
    let given = (first.to_bits()..=last.to_bits())
        .filter(|bits| !exclude.iter().any(|range| range.get_ref().contains(Ipv4Addr::from_bits(*bits))));
    let odd = given.clone().filter(|bits| bits % 2 == 1).count();
    let all = given.count();
    if all == 0 {
        mistakes.warning(range.span(), "every address of this pool is excluded", "remove the pool or shrink `exclude`");
    } else if odd == 0 || odd == all {
        let parity = if odd == 0 { "even" } else { "odd" };
        let message = format!("every address of this pool is {parity}, so only one node can give them away alone");
        let help = "the home of an address follows from its last bit; let the pool hold even and odd addresses";
        mistakes.warning(range.span(), message, help);
    }
}

fn check_reservations(scope: &ScopeSection, mistakes: &mut Mistakes) {
    let sections = || scope.reservations.iter().map(Spanned::get_ref);
    let addresses = sections().filter_map(|reservation| reservation.address.as_ref()).map(|a| (*a.get_ref(), a.span()));
    report_twice(
        addresses,
        mistakes,
        |address| format!("{address} is reserved twice"),
        "remove one of the two reservations",
    );
    let holders = sections().filter_map(holder_and_place);
    report_twice(
        holders,
        mistakes,
        |_| "two reservations have this holder".to_owned(),
        "give each holder one address of the scope",
    );
    for reservation in &scope.reservations {
        check_holder(reservation, mistakes);
        if let (Some(address), Some(subnet)) = (&reservation.get_ref().address, &scope.subnet) {
            check_reserved_address(address, *subnet.get_ref(), mistakes);
        }
        if let Some(hostname) = &reservation.get_ref().hostname
            && (hostname.get_ref().is_empty() || hostname.get_ref().len() > 255 || hostname.get_ref().contains('\0'))
        {
            mistakes.error(
                hostname.span(),
                "this cannot be sent as a host name",
                "give 1 to 255 bytes, none of them NUL",
            );
        }
    }
}

/// The holder in a form that tells equal ones, where there is exactly one.
fn holder_and_place(reservation: &ReservationSection) -> Option<((&'static str, Vec<u8>), super::Place)> {
    let [(key, place)] = &reservation.holder_keys[..] else { return None };
    let hardware = reservation.hardware.as_ref().map(|hardware| hardware.get_ref().as_bytes().to_vec());
    let bytes = [&reservation.client_id, &reservation.circuit_id, &reservation.remote_id].into_iter().flatten().next();
    let holder = hardware.or_else(|| bytes.map(|bytes| bytes.get_ref().0.clone()))?;
    Some(((*key, holder), place.clone()))
}

fn check_holder(reservation: &Spanned<ReservationSection>, mistakes: &mut Mistakes) {
    let help = "say who the address is for by one of `hardware`, `client_id`, `circuit_id`, `remote_id`";
    match &reservation.get_ref().holder_keys[..] {
        [_] => {}
        [] => {
            mistakes.error(reservation.span(), "this reservation has no holder", help);
        }
        [(_, first), others @ ..] => {
            let message = format!("this reservation has {} holders", others.len() + 1);
            let mistake = mistakes.error(first.clone(), message, help);
            for (_, place) in others {
                mistake.also(place.clone(), "and here");
            }
        }
    }
}

fn check_reserved_address(address: &Spanned<Ipv4Addr>, subnet: Subnet, mistakes: &mut Mistakes) {
    let reserved = *address.get_ref();
    let what = if !subnet.contains(reserved) {
        format!("{reserved} is not in {}", show(subnet))
    } else if subnet.prefix <= 30 && reserved == subnet.network {
        format!("{reserved} is the address of the network itself")
    } else if subnet.prefix <= 30 && reserved == subnet.broadcast() {
        format!("{reserved} is the broadcast address")
    } else {
        return;
    };
    let help = format!("reserve an address of {} that a client can have", show(subnet));
    mistakes.error(address.span(), what, help);
}

fn check_relays(scope: &ScopeSection, mistakes: &mut Mistakes) {
    for relay in &scope.relays {
        let address = relay.get_ref();
        if address.is_unspecified() || address.is_multicast() || address.is_broadcast() {
            mistakes.error(
                relay.span(),
                format!("no relay has the address {address}"),
                "give the address that the relay puts into giaddr",
            );
        }
    }
}

fn inside(subnet: Subnet, range: AddressRange) -> bool {
    subnet.contains(range.first) && subnet.contains(range.last)
}

fn overlap(one: AddressRange, other: AddressRange) -> bool {
    one.first <= other.last && other.first <= one.last
}

fn show(subnet: Subnet) -> String {
    format!("{}/{}", subnet.network, subnet.prefix)
}
