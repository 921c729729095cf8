//! How a record lies on disk: version byte, payload, crc32c (little-endian).
//!
//! The store's own checksums cover whole pages as they were written; ours covers a record from the moment it was
//! handed over, and its key, so that neither a stale page nor a mixed-up one can pass for the right record.

/// Written before each payload. Raised when a reader of the old version could not understand the payload.
pub(super) const VERSION: u8 = 1;

const CHECKSUM: usize = 4;
/// Bytes of a value beside its payload.
pub(super) const OVERHEAD: usize = 1 + CHECKSUM;

/// What a stored value turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unsealed<'a> {
    /// Whole; the payload.
    Payload(&'a [u8]),
    /// Not what was written.
    Damaged,
    /// Whole, but of a later version.
    Newer(u8),
}

/// Makes `out` the value for `payload` under `key`.
pub(super) fn seal(key: &[u8], payload: &[u8], out: &mut Vec<u8>) {
    out.clear();
    out.push(VERSION);
    out.extend_from_slice(payload);
    let checksum = checksum(key, out);
    out.extend_from_slice(&checksum.to_le_bytes());
}

/// The checksum that `value` carries, right or not; zero if it is too short for one.
pub(super) fn stored_checksum(value: &[u8]) -> u32 {
    value.last_chunk::<CHECKSUM>().map_or(0, |stored| u32::from_le_bytes(*stored))
}

/// The payload in `value`, which was read from under `key`.
pub(super) fn unseal<'a>(key: &[u8], value: &'a [u8]) -> Unsealed<'a> {
    let Some((body, stored)) = value.split_last_chunk::<CHECKSUM>() else { return Unsealed::Damaged };
    if u32::from_le_bytes(*stored) != checksum(key, body) {
        return Unsealed::Damaged;
    }
    match body.split_first() {
        None => Unsealed::Damaged,
        Some((&VERSION, payload)) => Unsealed::Payload(payload),
        Some((&version, _)) => Unsealed::Newer(version),
    }
}

fn checksum(key: &[u8], body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(key), body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sealed(key: &[u8], payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        seal(key, payload, &mut out);
        out
    }

    proptest! {
        #[test]
        fn what_is_sealed_is_unsealed(key: Vec<u8>, payload: Vec<u8>) {
            let value = sealed(&key, &payload);
            prop_assert_eq!(unseal(&key, &value), Unsealed::Payload(&payload));
        }

        #[test]
        fn any_flipped_bit_is_found(payload: Vec<u8>, at: prop::sample::Index, bit in 0..8_u8) {
            let mut value = sealed(b"key", &payload);
            let at = at.index(value.len());
            value[at] ^= 1 << bit;
            prop_assert_eq!(unseal(b"key", &value), Unsealed::Damaged);
        }

        #[test]
        fn no_bytes_make_it_panic(key: Vec<u8>, value: Vec<u8>) {
            let _ = unseal(&key, &value);
        }
    }

    #[test]
    fn a_torn_value_is_damaged() {
        let value = sealed(b"key", b"payload");
        for length in 0..value.len() {
            assert_eq!(unseal(b"key", &value[..length]), Unsealed::Damaged, "cut to {length}");
        }
    }

    #[test]
    fn a_value_under_another_key_is_damaged() {
        let value = sealed(b"key", b"payload");
        assert_eq!(unseal(b"other", &value), Unsealed::Damaged);
    }

    #[test]
    fn a_whole_value_of_a_later_version_is_told_apart() {
        let mut value = vec![VERSION + 1, b'x'];
        let checksum = checksum(b"key", &value);
        value.extend_from_slice(&checksum.to_le_bytes());
        assert_eq!(unseal(b"key", &value), Unsealed::Newer(VERSION + 1));
    }
}
