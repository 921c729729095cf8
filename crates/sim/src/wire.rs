//! DHCP messages of the simulated clients, written and read byte by byte, so that an error of the core's codec is not
//! made twice.

use standfast_core::dhcp::query::Malformed;
use std::net::Ipv4Addr;

/// What a client says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Saying {
    pub(crate) kind: u8,
    pub(crate) xid: u32,
    pub(crate) client: usize,
    pub(crate) ciaddr: Option<Ipv4Addr>,
    pub(crate) relay: Option<Ipv4Addr>,
    pub(crate) requested: Option<Ipv4Addr>,
    pub(crate) server: Option<Ipv4Addr>,
    pub(crate) seconds: Option<u32>,
}

pub(crate) const DISCOVER: u8 = 1;
pub(crate) const OFFER: u8 = 2;
pub(crate) const REQUEST: u8 = 3;
pub(crate) const DECLINE: u8 = 4;
pub(crate) const ACK: u8 = 5;
pub(crate) const NAK: u8 = 6;
pub(crate) const RELEASE: u8 = 7;

const COOKIE: [u8; 4] = [99, 130, 83, 99];

/// The hardware address of a client.
pub(crate) fn hardware(client: usize) -> [u8; 6] {
    [2, 0, 0, 0, (client >> 8) as u8, client as u8]
}

/// Which client a client id of the core names: hardware type and address.
pub(crate) fn client_of(id: &[u8]) -> Option<usize> {
    match id {
        [1, 2, 0, 0, 0, high, low] => Some(usize::from(*high) << 8 | usize::from(*low)),
        _ => None,
    }
}

pub(crate) fn encode(saying: &Saying) -> Vec<u8> {
    let mut bytes = vec![0; 236];
    bytes[0] = 1;
    bytes[1] = 1;
    bytes[2] = 6;
    bytes[3] = u8::from(saying.relay.is_some());
    bytes[4..8].copy_from_slice(&saying.xid.to_be_bytes());
    let mut address = |at: usize, address: Option<Ipv4Addr>| {
        bytes[at..at + 4].copy_from_slice(&address.unwrap_or(Ipv4Addr::UNSPECIFIED).octets());
    };
    address(12, saying.ciaddr);
    address(24, saying.relay);
    bytes[28..34].copy_from_slice(&hardware(saying.client));
    bytes.extend_from_slice(&COOKIE);
    bytes.extend_from_slice(&[53, 1, saying.kind]);
    let mut option = |code: u8, value: &[u8]| {
        bytes.push(code);
        bytes.push(value.len() as u8);
        bytes.extend_from_slice(value);
    };
    if let Some(requested) = saying.requested {
        option(50, &requested.octets());
    }
    if let Some(server) = saying.server {
        option(54, &server.octets());
    }
    if let Some(seconds) = saying.seconds {
        option(51, &seconds.to_be_bytes());
    }
    option(55, &[1, 3, 51, 54, 58, 59]);
    bytes.push(255);
    bytes
}

/// Makes a message one that is dropped unread for this reason.
pub(crate) fn spoil(bytes: &mut Vec<u8>, how: Malformed) {
    bytes.pop();
    match how {
        Malformed::Short => bytes.truncate(200),
        Malformed::NotARequest => bytes[0] = 2,
        Malformed::HardwareLength => bytes[2] = 0,
        Malformed::Cookie => bytes[236] ^= 1,
        Malformed::Address => bytes[24..28].fill(255),
        Malformed::OptionOverrun => bytes.extend([12, 200, 1]),
        Malformed::OptionFlood => bytes.extend([12, 1, b'x'].repeat(300)),
        Malformed::OptionLength => bytes.extend([50, 3, 1, 2, 3]),
        Malformed::ClientIdLength => bytes.extend([[61, 200].as_slice(), &[7; 200]].concat().repeat(2)),
    }
    bytes.push(255);
}

/// Turns bits over, four of the bytes at most, but neither in the hardware address nor in the type of the message.
pub(crate) fn flip(bytes: &mut [u8], noise: u64, places: u64) {
    for turn in 0..4 {
        let at = (places >> (turn * 16)) as usize % 65_536 % bytes.len();
        if !(28..34).contains(&at) && !(240..243).contains(&at) {
            bytes[at] ^= (noise >> (turn * 8)) as u8;
        }
    }
}

/// What a server says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Heard {
    pub(crate) kind: u8,
    pub(crate) xid: u32,
    pub(crate) client: usize,
    pub(crate) address: Ipv4Addr,
    pub(crate) server: Ipv4Addr,
    pub(crate) lease: u32,
    pub(crate) renewal: u32,
    pub(crate) rebinding: u32,
}

pub(crate) fn decode(bytes: &[u8]) -> Option<Heard> {
    let address = |at: usize| Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes.get(at..at + 4)?).ok()?));
    let hardware: [u8; 6] = bytes.get(28..34)?.try_into().ok()?;
    let client = client_of(&[&[1], hardware.as_slice()].concat())?;
    let mut heard = Heard {
        kind: 0,
        xid: u32::from_be_bytes(bytes.get(4..8)?.try_into().ok()?),
        client,
        address: address(16)?,
        server: Ipv4Addr::UNSPECIFIED,
        lease: 0,
        renewal: 0,
        rebinding: 0,
    };
    let mut at = 240;
    while let Some(&code) = bytes.get(at) {
        if code == 255 {
            break;
        }
        if code == 0 {
            at += 1;
            continue;
        }
        let length = usize::from(*bytes.get(at + 1)?);
        let value = bytes.get(at + 2..at + 2 + length)?;
        let number = || value.try_into().map(u32::from_be_bytes).unwrap_or(0);
        match code {
            53 => heard.kind = *value.first()?,
            54 => heard.server = Ipv4Addr::from(number()),
            51 => heard.lease = number(),
            58 => heard.renewal = number(),
            59 => heard.rebinding = number(),
            _ => {}
        }
        at += 2 + length;
    }
    Some(heard)
}

/// Why a server refuses: option 56.
pub(crate) fn reason(bytes: &[u8]) -> String {
    let mut options = bytes.get(240..).unwrap_or_default();
    while let [code, length, rest @ ..] = options {
        let (value, next) = rest.split_at(usize::from(*length).min(rest.len()));
        if *code == 56 {
            return String::from_utf8_lossy(value).into_owned();
        }
        options = next;
    }
    "no reason".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_says_is_as_rfc_2131_figure_1_has_it() {
        let requested = Some(Ipv4Addr::new(10, 0, 0, 100));
        let bytes = encode(&Saying { kind: REQUEST, xid: 7, client: 258, requested, ..Saying::default() });
        assert_eq!(bytes[..4], [1, 1, 6, 0]);
        assert_eq!(bytes[28..34], [2, 0, 0, 0, 1, 2]);
        assert_eq!(bytes[236..249], [99, 130, 83, 99, 53, 1, 3, 50, 4, 10, 0, 0, 100]);
        assert_eq!(decode(&bytes).map(|heard| (heard.kind, heard.xid, heard.client)), Some((REQUEST, 7, 258)));
    }
}
