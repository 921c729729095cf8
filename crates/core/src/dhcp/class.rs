//! Which classes a client belongs to.

use super::credentials::Credentials;
use crate::configuration::{Class, ClassMatch, Configuration, Pattern, Pool};

/// The classes of one client, in order of configuration.
#[derive(Clone, Debug, Default)]
pub struct Classes<'a>(Vec<&'a Class>);

impl<'a> Classes<'a> {
    /// The classes that the client belongs to by what it shows.
    #[must_use]
    pub fn of(configuration: &'a Configuration, client: &Credentials<'_>) -> Self {
        Self(configuration.classes.iter().filter(|class| belongs(class, client)).collect())
    }

    /// The classes, in order of configuration.
    pub fn iter(&self) -> impl Iterator<Item = &'a Class> {
        self.0.iter().copied()
    }

    /// Whether the client may have an address of `pool`.
    #[must_use]
    pub fn allow(&self, pool: &Pool) -> bool {
        pool.class.as_ref().is_none_or(|wanted| self.0.iter().any(|class| class.name == *wanted))
    }
}

fn belongs(class: &Class, client: &Credentials<'_>) -> bool {
    let shows = |wanted: &ClassMatch| holds(wanted, client);
    class.matches.iter().any(shows) && !class.unless.as_ref().is_some_and(shows)
}

/// All that is wanted must hold. What the client does not show, or is not believed, does not hold.
fn holds(wanted: &ClassMatch, client: &Credentials<'_>) -> bool {
    let ClassMatch { vendor_class, user_class, hardware, client_id, circuit_id, remote_id, architecture } = wanted;
    let equals = |pattern: &Option<Pattern>, shown: Option<&[u8]>| {
        pattern.as_ref().is_none_or(|pattern| shown.is_some_and(|shown| pattern.matches(shown)))
    };
    equals(vendor_class, Some(client.vendor_class()).filter(|shown| !shown.is_empty()))
        && user_class.as_ref().is_none_or(|pattern| user_class_matches(pattern, client.user_class()))
        && equals(hardware, Some(client.hardware().as_bytes()))
        && equals(client_id, client.client_id())
        && equals(circuit_id, client.circuit_id())
        && equals(remote_id, client.remote_id())
        && architecture.is_none_or(|wanted| client.architectures().contains(&wanted))
}

/// RFC 3004 makes option 77 a list of instances, each with its length before it. Many clients, iPXE among them, send
/// one plain text instead.
fn user_class_matches(pattern: &Pattern, option: &[u8]) -> bool {
    if option.is_empty() {
        return false;
    }
    pattern.matches(option)
        || instances(option).is_some_and(|instances| instances.iter().any(|instance| pattern.matches(instance)))
}

/// The instances of an option 77 that is exactly a list of them.
fn instances(mut rest: &[u8]) -> Option<Vec<&[u8]>> {
    let mut instances = Vec::new();
    while let [length, tail @ ..] = rest {
        let (instance, after) = tail.split_at_checked(usize::from(*length))?;
        instances.push(instance);
        rest = after;
    }
    Some(instances)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::configuration::{AddressRange, Boot, OptionValues};
    use crate::dhcp::credentials::RelayTrust;
    use crate::dhcp::fixture::configuration;
    use crate::dhcp::packet::Packet;
    use std::net::Ipv4Addr;

    fn exactly(bytes: &[u8]) -> Option<Pattern> {
        Some(Pattern { bytes: bytes.to_vec(), prefix: false })
    }

    fn beginning(bytes: &[u8]) -> Option<Pattern> {
        Some(Pattern { bytes: bytes.to_vec(), prefix: true })
    }

    fn class(matches: Vec<ClassMatch>, unless: Option<ClassMatch>) -> Class {
        Class { name: "voip".into(), matches, unless, options: OptionValues::new(), boot: Boot::default() }
    }

    fn belongs_to(class: &Class, packet: Packet, relay: RelayTrust) -> bool {
        belongs(class, &Credentials::new(&packet.query(), relay))
    }

    fn matches(wanted: ClassMatch, packet: Packet) -> bool {
        belongs_to(&class(vec![wanted], None), packet, RelayTrust::Trusted)
    }

    fn discover() -> Packet {
        Packet::of_type(1)
    }

    #[test]
    fn every_sign_can_be_asked_for() {
        let nothing = ClassMatch::default;
        let cisco = || ClassMatch { vendor_class: beginning(b"Cisco"), ..nothing() };
        assert!(matches(cisco(), discover().option(60, b"Cisco Systems")));
        assert!(!matches(cisco(), discover().option(60, b"cisco")));
        assert!(!matches(cisco(), discover()));
        let hardware = ClassMatch { hardware: beginning(&[2, 0, 0x5e]), ..nothing() };
        assert!(matches(hardware, discover()));
        let client_id = || ClassMatch { client_id: exactly(&[0, 1]), ..nothing() };
        assert!(matches(client_id(), discover().option(61, &[0, 1])));
        assert!(!matches(client_id(), discover().option(61, &[0, 1, 2])));
        let uefi = || ClassMatch { architecture: Some(7), ..nothing() };
        assert!(matches(uefi(), discover().option(93, &[0, 0, 0, 7])));
        assert!(!matches(uefi(), discover().option(93, &[0, 0])));
        let remote = ClassMatch { remote_id: exactly(b"r"), ..nothing() };
        assert!(matches(remote, discover().option(82, &[2, 1, b'r'])));
    }

    #[test]
    fn rfc3004_section_4_user_classes_are_plain_or_instances() {
        let wanted = || ClassMatch { user_class: exactly(b"iPXE"), ..ClassMatch::default() };
        assert!(matches(wanted(), discover().option(77, b"iPXE")));
        assert!(matches(wanted(), discover().option(77, b"\x03abc\x04iPXE")));
        assert!(!matches(wanted(), discover().option(77, b"\x03abc\x05iPXE")));
        assert!(!matches(wanted(), discover()));
    }

    #[test]
    fn a_circuit_counts_only_from_a_trusted_relay() {
        let wanted = ClassMatch { circuit_id: exactly(&[7]), ..ClassMatch::default() };
        let class = class(vec![wanted], None);
        let packet = || discover().option(82, &[1, 1, 7]);
        assert!(belongs_to(&class, packet(), RelayTrust::Trusted));
        assert!(!belongs_to(&class, packet(), RelayTrust::Untrusted));
    }

    #[test]
    fn all_keys_of_a_match_any_match_and_no_exception() {
        let phone = || ClassMatch { vendor_class: exactly(b"phone"), architecture: Some(7), ..ClassMatch::default() };
        let box_ = || ClassMatch { vendor_class: exactly(b"box"), ..ClassMatch::default() };
        let mine = ClassMatch { client_id: exactly(b"mine"), ..ClassMatch::default() };
        let class = class(vec![phone(), box_()], Some(mine));
        let belongs = |packet| belongs_to(&class, packet, RelayTrust::Untrusted);
        assert!(!belongs(discover().option(60, b"phone")));
        assert!(belongs(discover().option(60, b"phone").option(93, &[0, 7])));
        assert!(belongs(discover().option(60, b"box")));
        assert!(!belongs(discover().option(60, b"box").option(61, b"mine")));
    }

    #[test]
    fn a_class_opens_its_pools() {
        let address = Ipv4Addr::new(10, 20, 0, 50);
        let pool = |class: Option<&str>| Pool {
            range: AddressRange { first: address, last: address },
            class: class.map(Into::into),
            options: OptionValues::new(),
        };
        let phone = ClassMatch { vendor_class: exactly(b"phone"), ..ClassMatch::default() };
        let mut configuration = configuration(Vec::new());
        configuration.classes.push(class(vec![phone], None));
        let allowed = |packet: Packet, wanted| {
            let query = packet.query();
            Classes::of(&configuration, &Credentials::new(&query, RelayTrust::Untrusted)).allow(&pool(wanted))
        };
        assert!(allowed(discover(), None));
        assert!(!allowed(discover(), Some("voip")));
        assert!(allowed(discover().option(60, b"phone"), Some("voip")));
        assert!(!allowed(discover().option(60, b"phone"), Some("other")));
    }
}
