//! A whole Ethernet frame around a DHCP message: Ethernet, IPv4, UDP, with full checksums.

use std::net::Ipv4Addr;

/// Bytes before the payload: 14 of Ethernet, 20 of IPv4, 8 of UDP.
pub(super) const HEADERS: usize = ETHERNET + IP + UDP;
/// The hardware address that every machine on a link hears.
pub(super) const EVERYBODY: [u8; 6] = [0xff; 6];

const ETHERNET: usize = 14;
const IP: usize = 20;
const UDP: usize = 8;
/// RFC 2131 section 4.1: servers send from port 67 to port 68.
const SERVER_PORT: u16 = 67;
const CLIENT_PORT: u16 = 68;

/// Between whom a frame goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Addresses {
    pub(super) from_hardware: [u8; 6],
    pub(super) to_hardware: [u8; 6],
    pub(super) from: Ipv4Addr,
    pub(super) to: Ipv4Addr,
}

/// Appends a frame with `payload` to `out`, which keeps its memory from one batch to the next. The payload is at most
/// as long as the link's MTU allows, which the core has seen to.
pub(super) fn append(addresses: Addresses, payload: &[u8], out: &mut Vec<u8>) {
    let Addresses { from_hardware, to_hardware, from, to } = addresses;
    let udp_length = length(UDP + payload.len());
    let start = out.len();

    out.extend_from_slice(&to_hardware);
    out.extend_from_slice(&from_hardware);
    out.extend_from_slice(&0x0800_u16.to_be_bytes());

    let total = length(IP + UDP + payload.len()).to_be_bytes();
    // Version 4 with 5 words, no service class; length; identification 0, as nothing fragments it (DF is set, RFC
    // 6864); 64 hops; UDP; checksum below.
    out.extend_from_slice(&[0x45, 0, total[0], total[1], 0, 0, 0x40, 0, 64, 17, 0, 0]);
    out.extend_from_slice(&from.octets());
    out.extend_from_slice(&to.octets());
    let ip = start + ETHERNET;
    let checksum = finish(sum(0, &out[ip..]));
    out[ip + 10..ip + 12].copy_from_slice(&checksum.to_be_bytes());

    let udp = ip + IP;
    for word in [SERVER_PORT, CLIENT_PORT, udp_length, 0] {
        out.extend_from_slice(&word.to_be_bytes());
    }
    out.extend_from_slice(payload);
    let pseudo_header = sum(sum(17 + u64::from(udp_length), &from.octets()), &to.octets());
    let checksum = match finish(sum(pseudo_header, &out[udp..])) {
        // Zero would say that there is none (RFC 768).
        0 => 0xffff,
        checksum => checksum,
    };
    out[udp + 6..udp + 8].copy_from_slice(&checksum.to_be_bytes());
}

fn length(bytes: usize) -> u16 {
    u16::try_from(bytes).unwrap_or(u16::MAX)
}

/// Adds `bytes`, as big-endian words padded with a zero, to a running sum (RFC 1071).
pub(super) fn sum(so_far: u64, bytes: &[u8]) -> u64 {
    let words = bytes.chunks_exact(2);
    let last = words.remainder().first().map_or(0, |byte| u64::from(*byte) << 8);
    words.fold(so_far + last, |sum, word| sum + u64::from(u16::from_be_bytes([word[0], word[1]])))
}

pub(super) fn finish(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ADDRESSES: Addresses = Addresses {
        from_hardware: [2, 0, 0, 0, 0, 1],
        to_hardware: [2, 0, 0, 0, 0, 2],
        from: Ipv4Addr::new(10, 20, 0, 2),
        to: Ipv4Addr::new(10, 20, 0, 50),
    };

    fn frame(addresses: Addresses, payload: &[u8]) -> Vec<u8> {
        let mut out = b"what was there before".to_vec();
        append(addresses, payload, &mut out);
        out.split_off(21)
    }

    #[test]
    fn a_frame_as_on_the_wire() {
        // The checksums come from another implementation of RFC 1071, in Python.
        let expected = [
            &[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x08, 0x00][..],
            &[0x45, 0, 0, 0x1f, 0, 0, 0x40, 0, 64, 17, 0x26, 0x73, 10, 20, 0, 2, 10, 20, 0, 50],
            &[0, 67, 0, 68, 0, 11, 0x26, 0x93, b'a', b'b', b'c'],
        ];
        assert_eq!(frame(ADDRESSES, b"abc"), expected.concat());
    }

    proptest! {
        #[test]
        fn a_receiver_finds_both_checksums_right(payload in prop::collection::vec(any::<u8>(), 0..1_500), to: u32) {
            let frame = frame(Addresses { to: to.into(), ..ADDRESSES }, &payload);
            let (ip, udp) = (&frame[14..34], &frame[34..]);
            prop_assert_eq!(finish(sum(0, ip)), 0);
            prop_assert_eq!(usize::from(u16::from_be_bytes([ip[2], ip[3]])), frame.len() - 14);
            let pseudo_header = sum(17 + udp.len() as u64, &ip[12..20]);
            prop_assert_eq!(finish(sum(pseudo_header, udp)), 0);
            prop_assert_ne!(&udp[6..8], &[0, 0]);
            prop_assert_eq!(&udp[8..], payload);
        }
    }

    #[test]
    fn a_checksum_that_comes_out_as_zero_is_sent_as_all_ones() {
        let base = frame(ADDRESSES, &[0, 0]);
        let missing = u16::from_be_bytes([base[40], base[41]]);
        // Adding what the checksum lacks to 0xffff makes the sum all ones, whose complement is zero.
        let frame = frame(ADDRESSES, &missing.to_be_bytes());
        assert_eq!(frame[40..42], [0xff, 0xff]);
    }
}
