//! What a client gets besides an address.
//!
//! The nearest to the client wins, value by value: its reservation, the pool of its address, its classes in order of
//! configuration, the scope.

use super::class::Classes;
use super::option::OptionLayers;
use crate::configuration::{Boot, LeaseTime, Pool, Reservation, Scope};
use std::time::Duration;

/// Where the parameters of one client come from.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    /// The scope of its address.
    pub scope: &'a Scope,
    /// The pool of its address, if it lies in one.
    pub pool: Option<&'a Pool>,
    /// Its classes.
    pub classes: &'a Classes<'a>,
    /// Its reservation, if it has one in this scope.
    pub reservation: Option<&'a Reservation>,
}

impl<'a> Sources<'a> {
    /// For a client that has `reservation` and is given an address in `scope`.
    #[must_use]
    pub fn new(
        scope: &'a Scope,
        address: std::net::Ipv4Addr,
        classes: &'a Classes<'a>,
        reservation: Option<&'a Reservation>,
    ) -> Self {
        let pool = scope.pools.iter().find(|pool| pool.range.contains(address));
        Self { scope, pool, classes, reservation }
    }

    /// The values of options.
    #[must_use]
    pub fn options(&self) -> OptionLayers<'a> {
        let reservation = self.reservation.map(|reservation| &reservation.options);
        let pool = self.pool.map(|pool| &pool.options);
        let classes = self.classes.iter().map(|class| &class.options);
        let layers = reservation.into_iter().chain(pool).chain(classes).chain([&self.scope.options]);
        OptionLayers::new(layers.filter(|layer| !layer.is_empty()).collect())
            .hostname(self.reservation.and_then(|reservation| reservation.hostname.as_deref()))
            .mask(self.scope.subnet.mask())
            .v6only_wait(self.scope.v6only_wait)
    }

    /// The boot parameters of the fixed header.
    #[must_use]
    pub fn boot(&self) -> Boot {
        let reservation = self.reservation.map(|reservation| &reservation.boot);
        let classes = self.classes.iter().map(|class| &class.boot);
        let layers: Vec<_> = reservation.into_iter().chain(classes).chain([&self.scope.boot]).collect();
        Boot {
            next_server: layers.iter().find_map(|boot| boot.next_server),
            file: layers.iter().find_map(|boot| boot.file.clone()),
            server_name: layers.iter().find_map(|boot| boot.server_name.clone()),
        }
    }
}

/// How long a client may have its address that asked for `asked`.
#[must_use]
pub fn lease_time(times: &LeaseTime, asked: Option<Duration>) -> Duration {
    asked.map_or(times.default, |asked| asked.max(times.min).min(times.max))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::configuration::{AddressRange, Class, ClassMatch, OptionValues, ReservationHolder};
    use crate::dhcp::credentials::{Credentials, RelayTrust};
    use crate::dhcp::fixture::{configuration, scope};
    use crate::dhcp::packet::Packet;
    use std::net::Ipv4Addr;

    const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 20, 0, 50);

    /// Codes from 201 on, each layer with one more than the layer that goes before it.
    fn values(layer: u8) -> OptionValues {
        (201..=200 + layer).map(|code| (code, vec![layer])).collect()
    }

    fn boot(file: &str) -> Boot {
        Boot { file: Some(file.into()), ..Boot::default() }
    }

    #[test]
    fn the_nearest_to_the_client_wins() {
        let range = AddressRange { first: ADDRESS, last: ADDRESS };
        let scope = Scope {
            pools: vec![Pool { range, class: None, options: values(2) }],
            options: values(4),
            boot: Boot { server_name: Some("scope".into()), ..boot("scope") },
            ..scope(20)
        };
        let mut configuration = configuration(Vec::new());
        configuration.classes.push(Class {
            name: "all".into(),
            matches: vec![ClassMatch::default()],
            unless: None,
            options: values(3),
            boot: boot("class"),
        });
        let reservation = Reservation {
            holder: ReservationHolder::CircuitId(Vec::new()),
            address: ADDRESS,
            hostname: Some("printer".into()),
            options: values(1),
            boot: Boot { next_server: Some(ADDRESS), ..Boot::default() },
        };
        let query = Packet::of_type(1).query();
        let classes = Classes::of(&configuration, &Credentials::new(&query, RelayTrust::Untrusted));
        let sources = Sources::new(&scope, ADDRESS, &classes, Some(&reservation));
        let options = sources.options();
        assert_eq!([201, 202, 203, 204].map(|code| options.get(code).unwrap()[0]), [1, 2, 3, 4]);
        assert_eq!(options.get(12), Some(&b"printer"[..]));
        assert_eq!(options.get(1), Some(&[255, 255, 255, 0][..]));
        let expected =
            Boot { next_server: Some(ADDRESS), file: Some("class".into()), server_name: Some("scope".into()) };
        assert_eq!(sources.boot(), expected);
    }

    #[test]
    fn a_configured_netmask_stays() {
        let scope = Scope { options: OptionValues::from([(1, vec![255, 255, 0, 0])]), ..scope(20) };
        let classes = Classes::default();
        let sources = Sources::new(&scope, ADDRESS, &classes, None);
        assert_eq!(sources.options().get(1), Some(&[255, 255, 0, 0][..]));
    }

    #[test]
    fn wishes_are_granted_within_bounds() {
        let times = scope(20).lease_time;
        let seconds = |asked: Option<u64>| lease_time(&times, asked.map(Duration::from_secs)).as_secs();
        assert_eq!(seconds(None), 3600);
        assert_eq!(seconds(Some(5)), 600);
        assert_eq!(seconds(Some(7200)), 7200);
        assert_eq!(seconds(Some(0xffff_ffff)), 86400);
    }
}
