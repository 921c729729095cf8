//! Options of a cluster file, by name or number, and their bytes on the wire.
//!
//! An option with a name has a kind and its value must be of it; `hex:` goes round that. An option known by number
//! alone takes what its value looks like: an address, a list of addresses, or text.

mod names;
mod show;

pub(super) use show::show_option;

use super::fields::{Readable, kind};
use super::mistake::{Mistakes, Problem, suggest};
use super::value::{address, bytes, number, subnet, text};
use names::{ALIASES, KNOWN, reserved};
use serde_spanned::Spanned;
use standfast_core::configuration::OptionValues;
use std::net::Ipv4Addr;
use toml::de::DeValue;

/// What the value of an option is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Address,
    Addresses,
    AddressPairs,
    Text,
    Bytes,
    Flag,
    Number8,
    Number16,
    Number32,
    Signed32,
    Numbers16,
    Domains,
    Routes,
    SipServers,
}

/// The option called `name`, or of that number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Code(pub(super) u8);

impl Readable for Code {
    fn read(value: &DeValue<'_>) -> Result<Self, Problem> {
        match value.as_str() {
            Some(name) => code_of(name).map(Self),
            None => number(value, 1, 254).and_then(|code| allowed(u8::try_from(code).unwrap_or(0))).map(Self),
        }
    }
}

/// The option that `code` is, by its name where it has one.
#[must_use]
pub fn option_name(code: u8) -> String {
    known(code).map_or_else(|| code.to_string(), |(_, name, _)| (*name).to_owned())
}

/// Every option that has a name, in order of code.
pub fn option_names() -> impl Iterator<Item = (u8, &'static str)> {
    KNOWN.iter().map(|(code, name, _)| (*code, *name))
}

/// Reads a table of options; mistakes are reported and their options left out.
pub(super) fn read_options(value: &Spanned<DeValue<'_>>, mistakes: &mut Mistakes) -> OptionValues {
    let mut options = OptionValues::new();
    let Some(table) = value.get_ref().as_table() else {
        let message = format!("expected a table of options, found {}", kind(value.get_ref()));
        mistakes.error(value.span(), message, "write { routers = [\"10.20.0.1\"], domain-name = \"example.net\" }");
        return options;
    };
    for (key, value) in table {
        let code = match code_of(key.get_ref()) {
            Ok(code) => code,
            Err(problem) => {
                mistakes.problem(key.span(), problem);
                continue;
            }
        };
        let encoded = encode(code, value.get_ref()).and_then(|bytes| within_length(code, bytes));
        match encoded {
            Ok(bytes) => {
                if options.insert(code, bytes).is_some() {
                    let message =
                        format!("option {code} ({}) is given twice, by name and by number", option_name(code));
                    mistakes.error(key.span(), message, "keep one of the two");
                }
            }
            Err(problem) => {
                mistakes.problem(value.span(), problem);
            }
        }
    }
    options
}

fn known(code: u8) -> Option<&'static names::Known> {
    KNOWN.iter().find(|(known, _, _)| *known == code)
}

fn code_of(name: &str) -> Result<u8, Problem> {
    if let Ok(code) = name.parse::<u8>() {
        return allowed(code);
    }
    if let Some((code, _, _)) = KNOWN.iter().find(|(_, known, _)| *known == name) {
        return Ok(*code);
    }
    if let Some((_, code)) = ALIASES.iter().find(|(alias, _)| *alias == name) {
        return Ok(*code);
    }
    let names = KNOWN.iter().map(|(_, name, _)| *name).chain(ALIASES.iter().map(|(alias, _)| *alias));
    let help = match suggest(name, names) {
        nothing if nothing.is_empty() => "give the number of the option, as in \"150\" = \"hex:0a140009\"".to_owned(),
        suggestion => suggestion,
    };
    Err(Problem::new(format!("there is no option `{}`", name.escape_default()), help))
}

fn allowed(code: u8) -> Result<u8, Problem> {
    match reserved(code) {
        Some((why, help)) => Err(Problem::new(format!("option {code} {why}"), help)),
        None => Ok(code),
    }
}

/// 1 KiB is far more than any client takes, and the least that an answer may be is 576 bytes in all.
fn within_length(code: u8, bytes: Vec<u8>) -> Result<Vec<u8>, Problem> {
    if bytes.len() > 1_024 {
        let message = format!("the value of option {code} has {} bytes", bytes.len());
        return Err(Problem::new(message, "at most 1024 bytes"));
    }
    if bytes.is_empty() {
        return Err(Problem::new(format!("the value of option {code} is empty"), "give a value or remove the option"));
    }
    Ok(bytes)
}

fn encode(code: u8, value: &DeValue<'_>) -> Result<Vec<u8>, Problem> {
    if let Some(text) = value.as_str().filter(|text| text.starts_with("hex:")) {
        return bytes(text);
    }
    let Some((_, name, kind)) = known(code) else { return encode_unknown(code, value) };
    let named = |problem: Problem| Problem::new(format!("{name}: {}", problem.message), problem.help);
    encode_kind(*kind, value).map_err(named)
}

/// The value of an option that is known by its number only.
fn encode_unknown(code: u8, value: &DeValue<'_>) -> Result<Vec<u8>, Problem> {
    if let Some(text) = value.as_str() {
        return Ok(text.parse::<Ipv4Addr>().map_or_else(|_| text.as_bytes().to_vec(), |a| a.octets().to_vec()));
    }
    if value.is_array() {
        return addresses(value);
    }
    Err(Problem::new(
        format!("the width of option {code} is not known here, found {}", kind(value)),
        "write its bytes, as in \"hex:0000000a\"",
    ))
}

fn encode_kind(kind: Kind, value: &DeValue<'_>) -> Result<Vec<u8>, Problem> {
    match kind {
        Kind::Address => Ipv4Addr::read(value).map(|address| address.octets().to_vec()),
        Kind::Addresses => addresses(value),
        Kind::AddressPairs => each(value, "a list of two addresses in each text", "[\"10.9.0.1 10.20.0.254\"]", pair),
        Kind::Text => encode_text(value),
        Kind::Bytes => {
            let text = text(value, "bytes", "\"hex:0104c0a80001\"")?;
            Err(Problem::new(
                format!("`{}` is not bytes", text.escape_default()),
                "write \"hex:\" and hexadecimal digits",
            ))
        }
        Kind::Flag => bool::read(value).map(|flag| vec![u8::from(flag)]),
        Kind::Number8 => number(value, 0, 0xff).map(|n| n.to_be_bytes()[7..].to_vec()),
        Kind::Number16 => number(value, 0, 0xffff).map(|n| n.to_be_bytes()[6..].to_vec()),
        Kind::Number32 => number(value, 0, 0xffff_ffff).map(|n| n.to_be_bytes()[4..].to_vec()),
        Kind::Signed32 => number(value, i32::MIN.into(), i32::MAX.into()).map(|n| n.to_be_bytes()[4..].to_vec()),
        Kind::Numbers16 => {
            let array = list(value, "a list of numbers", "[576, 1500]")?;
            let numbers: Result<Vec<_>, _> = array.iter().map(|n| number(n.get_ref(), 0, 0xffff)).collect();
            Ok(numbers?.iter().flat_map(|n| n.to_be_bytes()[6..].to_vec()).collect())
        }
        Kind::Domains => each(value, "a list of domain names", "[\"hq.example.net\"]", domain),
        Kind::Routes => each(value, "a list of routes", "[\"10.9.0.0/16 via 10.20.0.254\"]", route),
        Kind::SipServers => sip_servers(value),
    }
}

fn encode_text(value: &DeValue<'_>) -> Result<Vec<u8>, Problem> {
    let text = text(value, "a text", "\"example.net\"")?;
    if text.contains('\0') {
        return Err(Problem::new("a text cannot hold the character NUL", "write \"hex:\" for bytes"));
    }
    Ok(text.as_bytes().to_vec())
}

fn addresses(value: &DeValue<'_>) -> Result<Vec<u8>, Problem> {
    each(value, "a list of addresses", "[\"10.20.0.1\"]", |text| address(text).map(|a| a.octets().to_vec()))
}

/// A destination and a router (option 33), or an address and a mask (option 21).
fn pair(text: &str) -> Result<Vec<u8>, Problem> {
    let parts: Vec<&str> = text.split_whitespace().collect();
    match parts[..] {
        [first, second] => Ok([address(first)?.octets(), address(second)?.octets()].concat()),
        _ => Err(Problem::new(format!("`{text}` is not two addresses"), "write \"10.9.0.1 10.20.0.254\"")),
    }
}

/// RFC 3442: the length of the prefix, its significant bytes, the router.
fn route(text: &str) -> Result<Vec<u8>, Problem> {
    let parts: Vec<&str> = text.split_whitespace().collect();
    let [network, "via", router] = parts[..] else {
        let message = format!("`{}` is not a route", text.escape_default());
        return Err(Problem::new(message, "write \"10.9.0.0/16 via 10.20.0.254\"; the default route is 0.0.0.0/0"));
    };
    let network = subnet(network)?;
    let router = address(router)?;
    let significant = usize::from(network.prefix.div_ceil(8));
    let mut encoded = vec![network.prefix];
    encoded.extend_from_slice(&network.network.octets()[..significant]);
    encoded.extend_from_slice(&router.octets());
    Ok(encoded)
}

/// RFC 1035 section 3.1, without compression, which RFC 3397 allows and does not ask for.
fn domain(text: &str) -> Result<Vec<u8>, Problem> {
    let mut encoded = Vec::new();
    for label in text.strip_suffix('.').unwrap_or(text).split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..=63).contains(length) && label.is_ascii());
        let length = length.ok_or_else(|| {
            let message = format!("`{}` is not a domain name", text.escape_default());
            Problem::new(message, "write labels of 1 to 63 characters parted by dots, as in \"hq.example.net\"")
        })?;
        encoded.push(length);
        encoded.extend_from_slice(label.as_bytes());
    }
    encoded.push(0);
    if encoded.len() > 255 {
        return Err(Problem::new(format!("the domain name has {} bytes", encoded.len()), "at most 255 bytes"));
    }
    Ok(encoded)
}

/// RFC 3361: names after a 0, or addresses after a 1.
fn sip_servers(value: &DeValue<'_>) -> Result<Vec<u8>, Problem> {
    let (kind, encoded) = match addresses(value) {
        Ok(encoded) => (1, encoded),
        Err(_) => (0, each(value, "a list of addresses, or one of domain names", "[\"sip.example.net\"]", domain)?),
    };
    Ok([vec![kind], encoded].concat())
}

/// Encodes each text of a list; a single text is a list of one.
fn each(
    value: &DeValue<'_>,
    what: &str,
    example: &str,
    encode: impl Fn(&str) -> Result<Vec<u8>, Problem>,
) -> Result<Vec<u8>, Problem> {
    if let Some(text) = value.as_str() {
        return encode(text);
    }
    let parts: Result<Vec<_>, _> = list(value, what, example)?
        .iter()
        .map(|element| text(element.get_ref(), "a text", example).and_then(&encode))
        .collect();
    Ok(parts?.concat())
}

fn list<'v, 'text>(
    value: &'v DeValue<'text>,
    what: &str,
    example: &str,
) -> Result<&'v [Spanned<DeValue<'text>>], Problem> {
    let problem = || Problem::new(format!("expected {what}, found {}", kind(value)), format!("write {example}"));
    value.as_array().map(|array| &**array).ok_or_else(problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(name: &str, value: &str) -> Result<Vec<u8>, Problem> {
        encode(code_of(name)?, DeValue::parse(value).unwrap().get_ref())
    }

    #[test]
    fn values_are_encoded_as_on_the_wire() {
        let cases: &[(&str, &str, &[u8])] = &[
            ("routers", "['10.0.0.1', '10.0.0.2']", &[10, 0, 0, 1, 10, 0, 0, 2]),
            ("routers", "'10.0.0.1'", &[10, 0, 0, 1]),
            ("3", "['10.0.0.1']", &[10, 0, 0, 1]),
            ("domain-name", "'a.net'", b"a.net"),
            ("ip-forwarding", "true", &[1]),
            ("default-ip-ttl", "64", &[64]),
            ("interface-mtu", "1500", &[5, 220]),
            ("v6-only-preferred", "1800", &[0, 0, 7, 8]),
            ("time-offset", "-3600", &[0xff, 0xff, 0xf1, 0xf0]),
            ("path-mtu-plateau-table", "[576, 0x5dc]", &[2, 64, 5, 220]),
            ("static-routes", "['10.9.0.1 10.0.0.254']", &[10, 9, 0, 1, 10, 0, 0, 254]),
            ("domain-search", "['a.net', 'b.']", b"\x01a\x03net\0\x01b\0"),
            ("sip-servers", "['10.0.0.1']", &[1, 10, 0, 0, 1]),
            ("sip-servers", "['a.net']", b"\0\x01a\x03net\0"),
            ("vendor-encapsulated-options", "'hex:0104c0a80001'", &[1, 4, 192, 168, 0, 1]),
            ("interface-mtu", "'hex:05dc'", &[5, 220]),
            ("bootfile-name", "'x.0'", b"x.0"),
            ("224", "'hex:00'", &[0]),
            ("224", "'10.0.0.1'", &[10, 0, 0, 1]),
            ("224", "['10.0.0.1', '10.0.0.2']", &[10, 0, 0, 1, 10, 0, 0, 2]),
            ("224", "'words'", b"words"),
        ];
        for (name, value, expected) in cases {
            assert_eq!(encoded(name, value).unwrap(), *expected, "{name} = {value}");
        }
    }

    #[test]
    fn a_route_carries_the_significant_bytes_of_its_prefix() {
        let routes = "['10.9.0.0/16 via 10.0.0.254', '0.0.0.0/0 via 10.0.0.1', '10.17.5.128/25 via 10.0.0.2']";
        let expected = [16, 10, 9, 10, 0, 0, 254, 0, 10, 0, 0, 1, 25, 10, 17, 5, 128, 10, 0, 0, 2];
        assert_eq!(encoded("classless-static-routes", routes).unwrap(), expected);
    }

    #[test]
    fn a_value_of_another_kind_is_refused_with_an_example() {
        let cases = [
            ("routers", "7", "write [\"10.20.0.1\"]"),
            ("interface-mtu", "70000", "write a number from 0 to 65535, without quotes"),
            ("domain-name", "['a']", "write it in quotes, as in \"example.net\""),
            ("vendor-encapsulated-options", "'x'", "write \"hex:\" and hexadecimal digits"),
            (
                "classless-static-routes",
                "['10.9.0.1/16 via 10.0.0.1']",
                "the network that holds 10.9.0.1 is \"10.9.0.0/16\"",
            ),
            ("224", "5", "write its bytes, as in \"hex:0000000a\""),
            ("lease-time", "5", "give the number of the option, as in \"150\" = \"hex:0a140009\""),
            ("51", "5", "set `lease_time` of the scope"),
            ("domain-name-server", "'10.0.0.1'", "did you mean `domain-name-servers`?"),
        ];
        for (name, value, help) in cases {
            assert_eq!(encoded(name, value).unwrap_err().help, help, "{name} = {value}");
        }
    }

    #[test]
    fn the_list_of_names_is_in_order_and_without_reserved_codes() {
        assert!(KNOWN.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(KNOWN.iter().all(|(code, name, _)| reserved(*code).is_none() && code_of(name).unwrap() == *code));
        assert!(ALIASES.iter().all(|(alias, code)| known(*code).is_some() && code_of(alias).unwrap() == *code));
    }
}
