//! Which server identifier answers bear, and which ones name this node.

use super::credentials::Credentials;
use super::query::Delivery;
use crate::input::Link;
use std::net::Ipv4Addr;

/// The identifiers of this node towards one client.
#[derive(Clone, Copy, Debug)]
pub struct Identifiers<'a> {
    /// The one that the node configures.
    pub configured: Option<Ipv4Addr>,
    /// The link that the packet came in by.
    pub link: &'a Link,
    /// The address that it was sent to.
    pub destination: Ipv4Addr,
}

impl Identifiers<'_> {
    /// Option 54 of the answer: what a trusted relay wants it to be (RFC 5107), else the configured one, else the
    /// address that the client or relay wrote to, else the first of the link.
    ///
    /// `None` on a link without an address, from which nothing can be answered.
    #[must_use]
    pub fn of_answer(&self, client: &Credentials<'_>) -> Option<Ipv4Addr> {
        client.server_id_override().or_else(|| self.own())
    }

    /// Whether a client that wrote `identifier` in option 54 means this node.
    ///
    /// Any address of the link will do: an offer that was made before the addresses changed order is still ours.
    #[must_use]
    pub fn name_us(&self, client: &Credentials<'_>, identifier: Ipv4Addr) -> bool {
        client.server_id_override() == Some(identifier)
            || self.own() == Some(identifier)
            || self.link.addresses.iter().any(|(address, _)| *address == identifier)
    }

    /// The address to send from, and to be found at: without what a relay wants to be called.
    #[must_use]
    pub fn own(&self) -> Option<Ipv4Addr> {
        let written_to = match Delivery::of(self.destination, self.link) {
            Delivery::Unicast => Some(self.destination).filter(|address| !address.is_unspecified()),
            Delivery::Broadcast => None,
        };
        let first = self.link.addresses.first().map(|(address, _)| *address);
        self.configured.or(written_to).or(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dhcp::credentials::RelayTrust;
    use crate::dhcp::fixture::link;
    use crate::dhcp::packet::Packet;

    const FIRST: Ipv4Addr = Ipv4Addr::new(10, 20, 0, 1);
    const SECOND: Ipv4Addr = Ipv4Addr::new(10, 20, 0, 2);
    const OTHER: Ipv4Addr = Ipv4Addr::new(10, 20, 0, 9);

    #[test]
    fn answers_bear_the_address_written_to() {
        let link = link(&[(FIRST.octets(), 24), (SECOND.octets(), 24)]);
        let query = Packet::of_type(1).query();
        let client = Credentials::new(&query, RelayTrust::Untrusted);
        let identifiers = |destination, configured| Identifiers { configured, link: &link, destination };
        assert_eq!(identifiers(Ipv4Addr::BROADCAST, None).of_answer(&client), Some(FIRST));
        assert_eq!(identifiers(SECOND, None).of_answer(&client), Some(SECOND));
        assert_eq!(identifiers(SECOND, Some(OTHER)).of_answer(&client), Some(OTHER));
        assert!(identifiers(Ipv4Addr::BROADCAST, None).name_us(&client, SECOND));
        assert!(!identifiers(Ipv4Addr::BROADCAST, None).name_us(&client, OTHER));
    }

    #[test]
    fn rfc5107_section_4_a_relay_chooses_the_identifier_but_not_the_source() {
        let link = link(&[(FIRST.octets(), 24)]);
        let query = Packet::of_type(1).giaddr([10, 30, 0, 1]).option(82, &[11, 4, 10, 30, 0, 1]).query();
        let relay = Ipv4Addr::new(10, 30, 0, 1);
        let identifiers = Identifiers { configured: None, link: &link, destination: FIRST };
        let trusted = Credentials::new(&query, RelayTrust::Trusted);
        assert_eq!(identifiers.of_answer(&trusted), Some(relay));
        assert_eq!(identifiers.own(), Some(FIRST));
        assert!(identifiers.name_us(&trusted, relay));
        let untrusted = Credentials::new(&query, RelayTrust::Untrusted);
        assert_eq!(identifiers.of_answer(&untrusted), Some(FIRST));
        assert!(!identifiers.name_us(&untrusted, relay));
    }
}
