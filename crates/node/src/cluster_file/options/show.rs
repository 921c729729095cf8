//! The bytes of an option as the cluster file would have them.

use super::{Kind, known};
use std::net::Ipv4Addr;

/// The value of option `code`, as it could be written in the file; `hex:` where its kind does not say how to read it.
pub(in crate::cluster_file) fn show_option(code: u8, bytes: &[u8]) -> String {
    known(code)
        .and_then(|(_, _, kind)| show_kind(*kind, bytes))
        .unwrap_or_else(|| format!("hex:{}", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()))
}

fn show_kind(kind: Kind, bytes: &[u8]) -> Option<String> {
    match kind {
        Kind::Address | Kind::Addresses => show_addresses(bytes),
        Kind::Text => show_text(bytes),
        Kind::Flag => match bytes {
            [0] => Some("false".to_owned()),
            [1] => Some("true".to_owned()),
            _ => None,
        },
        Kind::Number8 => bytes.try_into().ok().map(|bytes| u8::from_be_bytes(bytes).to_string()),
        Kind::Number16 => bytes.try_into().ok().map(|bytes| u16::from_be_bytes(bytes).to_string()),
        Kind::Number32 => bytes.try_into().ok().map(|bytes| u32::from_be_bytes(bytes).to_string()),
        Kind::Signed32 => bytes.try_into().ok().map(|bytes| i32::from_be_bytes(bytes).to_string()),
        Kind::Routes => show_routes(bytes),
        Kind::Domains => show_domains(bytes),
        Kind::AddressPairs | Kind::Bytes | Kind::Numbers16 | Kind::SipServers => None,
    }
}

fn show_addresses(bytes: &[u8]) -> Option<String> {
    let (addresses, []) = bytes.as_chunks::<4>() else { return None };
    let shown: Vec<String> = addresses.iter().map(|octets| Ipv4Addr::from_octets(*octets).to_string()).collect();
    Some(shown.join(", "))
}

fn show_text(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    (!text.chars().any(char::is_control)).then(|| text.to_owned())
}

fn show_routes(mut bytes: &[u8]) -> Option<String> {
    let mut routes = Vec::new();
    while let [prefix, rest @ ..] = bytes {
        let significant = usize::from(prefix.div_ceil(8));
        let mut network = [0; 4];
        network.get_mut(..significant)?.copy_from_slice(rest.get(..significant)?);
        let (router, rest) = rest.get(significant..)?.split_first_chunk::<4>()?;
        let (network, router) = (Ipv4Addr::from_octets(network), Ipv4Addr::from_octets(*router));
        routes.push(format!("{network}/{prefix} via {router}"));
        bytes = rest;
    }
    Some(routes.join(", "))
}

fn show_domains(mut bytes: &[u8]) -> Option<String> {
    let mut domains = Vec::new();
    let mut labels = Vec::new();
    while let [length, rest @ ..] = bytes {
        let length = usize::from(*length);
        if length == 0 {
            domains.push(std::mem::take(&mut labels).join("."));
        } else {
            labels.push(show_text(rest.get(..length)?)?);
        }
        bytes = rest.get(length..)?;
    }
    labels.is_empty().then(|| domains.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_as_the_file_has_them() {
        let cases: &[(u8, &[u8], &str)] = &[
            (3, &[10, 0, 0, 1, 10, 0, 0, 2], "10.0.0.1, 10.0.0.2"),
            (3, &[10, 0, 0], "hex:0a0000"),
            (15, b"a.net", "a.net"),
            (15, b"a\x1b[31m", "hex:611b5b33316d"),
            (19, &[1], "true"),
            (26, &[5, 220], "1500"),
            (26, &[5], "hex:05"),
            (2, &[0xff, 0xff, 0xf1, 0xf0], "-3600"),
            (119, b"\x01a\x03net\0\x01b\0", "a.net, b"),
            (119, b"\x01a\x03ne", "hex:0161036e65"),
            (121, &[16, 10, 9, 10, 0, 0, 254, 0, 10, 0, 0, 1], "10.9.0.0/16 via 10.0.0.254, 0.0.0.0/0 via 10.0.0.1"),
            (121, &[200, 10], "hex:c80a"),
            (43, &[1], "hex:01"),
            (224, b"words", "hex:776f726473"),
        ];
        for (code, bytes, expected) in cases {
            assert_eq!(show_option(*code, bytes), *expected, "{code}");
        }
    }
}
