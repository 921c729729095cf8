//! The values that keys of a cluster file hold: names, durations, addresses, bytes.

use super::fields::{Readable, kind};
use super::mistake::Problem;
use standfast_core::configuration::{AddressRange, Pattern, Subnet};
use standfast_core::lease::record::HardwareAddress;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;
use toml::de::DeValue;

/// The name of a node, relationship, scope, class or cluster: it stands in certificates, metrics and commands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Name(pub(super) String);

impl Readable for Name {
    fn read(value: &DeValue<'_>) -> Result<Self, Problem> {
        let text = text(value, "a name", "\"office-lan\"")?;
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if text.is_empty() || text.len() > 63 || !text.chars().all(allowed) || !text.starts_with(char::is_alphanumeric)
        {
            return Err(Problem::new(
                format!("`{}` is not a name", text.escape_default()),
                "use 1 to 63 letters, digits, `-`, `_` or `.`, the first a letter or digit",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl Readable for String {
    fn read(value: &DeValue<'_>) -> Result<Self, Problem> {
        Ok(text(value, "a text", "\"...\"")?.to_owned())
    }
}

impl Readable for bool {
    fn read(value: &DeValue<'_>) -> Result<Self, Problem> {
        let problem =
            || Problem::new(format!("expected true or false, found {}", kind(value)), "write `true` or `false`");
        value.as_bool().ok_or_else(problem)
    }
}

impl Readable for u16 {
    fn read(value: &DeValue<'_>) -> Result<Self, Problem> {
        number(value, 0, i64::from(Self::MAX)).map(|number| Self::try_from(number).unwrap_or(Self::MAX))
    }
}

impl Readable for Duration {
    fn read(value: &DeValue<'_>) -> Result<Self, Problem> {
        if let Some(number) = value.as_integer() {
            return Err(Problem::new("a duration needs a unit", format!("write \"{number}s\" for seconds")));
        }
        let text = text(value, "a duration", "\"30s\"")?;
        let parsed = humantime::parse_duration(text).map_err(|error| {
            Problem::new(
                format!("`{}` is not a duration: {error}", text.escape_default()),
                "write a number and a unit, as in \"100ms\", \"30s\", \"10m\", \"8h\", \"7d\" or \"1h30m\"",
            )
        })?;
        // Every duration that reaches a client is a number of seconds in 32 bits, of which the highest means for ever.
        if parsed.as_secs() >= u64::from(u32::MAX) {
            return Err(Problem::new(format!("`{text}` is too long"), "at most 136 years"));
        }
        Ok(parsed)
    }
}

impl Readable for Ipv4Addr {
    fn read(value: &DeValue<'_>) -> Result<Self, Problem> {
        address(text(value, "an IPv4 address", "\"10.20.0.1\"")?)
    }
}

impl Readable for SocketAddr {
    fn read(value: &DeValue<'_>) -> Result<Self, Problem> {
        socket_address(value)
    }
}

impl Readable for SocketAddrV4 {
    fn read(value: &DeValue<'_>) -> Result<Self, Problem> {
        socket_address(value)
    }
}

impl Readable for Subnet {
    fn read(value: &DeValue<'_>) -> Result<Self, Problem> {
        subnet(text(value, "a subnet", "\"10.20.0.0/24\"")?)
    }
}

impl Readable for AddressRange {
    fn read(value: &DeValue<'_>) -> Result<Self, Problem> {
        const EXAMPLE: &str = "write the lowest and the highest address, as in \"10.20.0.50-10.20.0.249\"";
        let text = text(value, "a range of addresses", "\"10.20.0.50-10.20.0.249\"")?;
        if let Some((network, _)) = text.split_once('/')
            && network.parse::<Ipv4Addr>().is_ok()
        {
            let subnet = subnet(text).map_err(|problem| Problem::new(problem.message, EXAMPLE))?;
            let help = format!("write \"{}-{}\"", subnet.network, subnet.broadcast());
            return Err(Problem::new("a range has a lowest and a highest address, not a prefix length", help));
        }
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let first = address(first.trim()).map_err(|problem| Problem::new(problem.message, EXAMPLE))?;
        let last = address(last.trim()).map_err(|problem| Problem::new(problem.message, EXAMPLE))?;
        if first > last {
            let help = format!("write \"{last}-{first}\"");
            return Err(Problem::new(format!("the range ends ({last}) before it begins ({first})"), help));
        }
        Ok(Self { first, last })
    }
}

impl Readable for HardwareAddress {
    fn read(value: &DeValue<'_>) -> Result<Self, Problem> {
        const ETHERNET: u8 = 1;
        let text = text(value, "a hardware address", "\"02:00:5e:10:00:01\"")?;
        octets(text).filter(|bytes| bytes.len() == 6).and_then(|bytes| Self::new(ETHERNET, &bytes)).ok_or_else(|| {
            let message = format!("`{}` is not a hardware address", text.escape_default());
            Problem::new(message, "write six pairs of hexadecimal digits, as in \"02:00:5e:10:00:01\"")
        })
    }
}

/// Bytes given as text, or as `hex:` and hexadecimal digits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Bytes(pub(super) Vec<u8>);

impl Readable for Bytes {
    fn read(value: &DeValue<'_>) -> Result<Self, Problem> {
        let text = text(value, "a text or hex:", "\"hex:0004000a\"")?;
        let bytes = bytes(text)?;
        if bytes.is_empty() || bytes.len() > 255 {
            return Err(Problem::new(format!("{} bytes are given", bytes.len()), "give 1 to 255 bytes"));
        }
        Ok(Self(bytes))
    }
}

/// A pattern over text or `hex:`, which may end in `*`.
pub(super) struct TextPattern(pub(super) Pattern);

impl Readable for TextPattern {
    fn read(value: &DeValue<'_>) -> Result<Self, Problem> {
        let text = text(value, "a text that may end in *", "\"Cisco*\"")?;
        let (text, prefix) = text.strip_suffix('*').map_or((text, false), |rest| (rest, true));
        Ok(Self(Pattern { bytes: bytes(text)?, prefix }))
    }
}

/// A pattern over a hardware address, which may end in `*`.
pub(super) struct HardwarePattern(pub(super) Pattern);

impl Readable for HardwarePattern {
    fn read(value: &DeValue<'_>) -> Result<Self, Problem> {
        let text = text(value, "a hardware address that may end in *", "\"00:1b:d4:*\"")?;
        let (digits, prefix) = text.strip_suffix('*').map_or((text, false), |rest| (rest, true));
        let digits = if prefix { digits.trim_end_matches([':', '-']) } else { digits };
        octets(digits).filter(|bytes| bytes.len() <= 16).map(|bytes| Self(Pattern { bytes, prefix })).ok_or_else(|| {
            let message = format!("`{}` is not a pattern of hardware addresses", text.escape_default());
            Problem::new(message, "write pairs of hexadecimal digits, as in \"00:1b:d4:*\"")
        })
    }
}

/// The text of `value`, or that it is none; `what` and `example` say what is expected.
pub(super) fn text<'v>(value: &'v DeValue<'_>, what: &str, example: &str) -> Result<&'v str, Problem> {
    value.as_str().ok_or_else(|| {
        Problem::new(format!("expected {what}, found {}", kind(value)), format!("write it in quotes, as in {example}"))
    })
}

/// The number `value` between `low` and `high`, both included.
pub(super) fn number(value: &DeValue<'_>, low: i64, high: i64) -> Result<i64, Problem> {
    let help = format!("write a number from {low} to {high}, without quotes");
    let Some(integer) = value.as_integer() else {
        return Err(Problem::new(format!("expected a number, found {}", kind(value)), help));
    };
    i64::from_str_radix(integer.as_str(), integer.radix())
        .ok()
        .filter(|number| (low..=high).contains(number))
        .ok_or_else(|| Problem::new(format!("{integer} is out of range"), help))
}

pub(super) fn address(text: &str) -> Result<Ipv4Addr, Problem> {
    text.parse().map_err(|_| {
        let message = format!("`{}` is not an IPv4 address", text.escape_default());
        Problem::new(message, "write four numbers from 0 to 255, as in \"10.20.0.1\"")
    })
}

/// A network whose host bits are zero.
pub(super) fn subnet(text: &str) -> Result<Subnet, Problem> {
    let problem = || {
        let message = format!("`{}` is not a subnet", text.escape_default());
        Problem::new(message, "write a network and the length of its prefix, as in \"10.20.0.0/24\"")
    };
    let (network, prefix) = text.split_once('/').ok_or_else(problem)?;
    let network: Ipv4Addr = network.parse().map_err(|_| problem())?;
    let prefix = prefix.parse().ok().filter(|prefix| *prefix <= 32).ok_or_else(problem)?;
    let base = Ipv4Addr::from_bits(network.to_bits() & Subnet { network, prefix }.mask().to_bits());
    if base != network {
        let message = format!("`{text}` has bits set beyond its prefix of {prefix}");
        return Err(Problem::new(message, format!("the network that holds {network} is \"{base}/{prefix}\"")));
    }
    Ok(Subnet { network, prefix })
}

/// The bytes of `text`: of its digits if it begins with `hex:`, else its own.
pub(super) fn bytes(text: &str) -> Result<Vec<u8>, Problem> {
    let Some(digits) = text.strip_prefix("hex:") else { return Ok(text.as_bytes().to_vec()) };
    octets(digits).ok_or_else(|| {
        let message = format!("`{}` is not hexadecimal", text.escape_default());
        Problem::new(message, "after `hex:` write pairs of the digits 0-9 and a-f, as in \"hex:0004000a\"")
    })
}

/// Pairs of hexadecimal digits, which `:` or `-` may part.
fn octets(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = if text.contains([':', '-']) {
        let pairs: Vec<&str> = text.split([':', '-']).collect();
        pairs.iter().all(|pair| pair.len() == 2).then(|| pairs.concat().into_bytes())?
    } else {
        text.bytes().collect()
    };
    if !digits.len().is_multiple_of(2) || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

fn socket_address<T: std::str::FromStr>(value: &DeValue<'_>) -> Result<T, Problem> {
    let text = text(value, "an address and port", "\"10.0.0.11:6767\"")?;
    text.parse().map_err(|_| {
        let message = format!("`{}` is not an address and port", text.escape_default());
        Problem::new(message, "write a numeric address, `:` and a port, as in \"10.0.0.11:6767\"")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: Readable>(text: &str) -> Result<T, Problem> {
        T::read(DeValue::parse(text).unwrap().get_ref())
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(read::<Duration>("\"1h30m\"").unwrap(), Duration::from_secs(5_400));
        assert_eq!(read::<Duration>("\"100ms\"").unwrap(), Duration::from_millis(100));
        assert_eq!(read::<Duration>("30").unwrap_err().help, "write \"30s\" for seconds");
        assert!(read::<Duration>("\"soon\"").is_err());
        assert!(read::<Duration>("\"900years\"").is_err());
    }

    #[test]
    fn bytes_are_text_or_hexadecimal() {
        assert_eq!(bytes("hex:0a:ff").unwrap(), [10, 255]);
        assert_eq!(bytes("hex:0aff").unwrap(), [10, 255]);
        assert_eq!(bytes("0aff").unwrap(), *b"0aff");
        for wrong in ["hex:0", "hex:0g", "hex:+1", "hex:0:ff", "hex:é"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn patterns_end_in_a_star_or_are_whole() {
        let HardwarePattern(prefix) = read("\"00:1b:d4:*\"").unwrap();
        assert_eq!(prefix, Pattern { bytes: vec![0, 0x1b, 0xd4], prefix: true });
        let TextPattern(whole) = read("\"hex:0001\"").unwrap();
        assert_eq!(whole, Pattern { bytes: vec![0, 1], prefix: false });
        assert!(read::<HardwarePattern>("\"00:1*\"").is_err());
    }

    #[test]
    fn a_subnet_has_no_host_bits() {
        assert_eq!(subnet("0.0.0.0/0").unwrap().prefix, 0);
        assert_eq!(subnet("10.20.0.7/24").unwrap_err().help, "the network that holds 10.20.0.7 is \"10.20.0.0/24\"");
        assert!(subnet("10.0.0.0/33").is_err());
        assert!(subnet("10.0.0.0").is_err());
    }

    #[test]
    fn a_range_may_be_one_address() {
        let range: AddressRange = read("\"10.0.0.9\"").unwrap();
        assert_eq!((range.first, range.len()), (Ipv4Addr::new(10, 0, 0, 9), 1));
        assert_eq!(read::<AddressRange>("\"10.0.0.9-10.0.0.2\"").unwrap_err().help, "write \"10.0.0.2-10.0.0.9\"");
        assert_eq!(read::<AddressRange>("\"10.0.0.0/30\"").unwrap_err().help, "write \"10.0.0.0-10.0.0.3\"");
    }
}
