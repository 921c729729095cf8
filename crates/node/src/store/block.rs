//! Records with neighbouring keys lie in one value of the database, a *block*.
//!
//! The database charges by the value: to find it, and to put a new one into its page, which is copied for that, takes
//! longer than to seal ten records. Leases are given in runs, so what is taken over at once shares few blocks, and the
//! rest of a block costs no more than the bytes that are written again.
//!
//! A block has the keys that differ in the lowest four bits of their last byte only: of leases, 16 addresses. A key of a
//! single byte has a block of its own.
//!
//! ```text
//!     block:      directory (sealed as a record, under the key of the block)  records (each sealed under its own key)
//!     directory:  which of the 16 there are, one bit each (2)  length of each of those (4)
//! ```
//!
//! A record that is not what was written does not touch its neighbours. Without a whole directory nobody can say which
//! records there were, and a record that is silently missing is an address for somebody else: then the store as a whole
//! counts as damaged.

use super::error::StoreError;
use super::value::{OVERHEAD, Unsealed, seal, unseal};
use std::borrow::Cow;
use std::path::Path;

/// Bits of the last byte of a key that say where in its block a record is.
const BITS: u8 = 0x0f;
const PLACES: usize = BITS as usize + 1;
/// Bytes of the directory before the lengths.
const PRESENT: usize = 2;
/// Bytes of a length.
const LENGTH: usize = 4;

/// Some records, as they are sealed, each at its place.
#[derive(Debug, Default)]
pub(super) struct Block<'a> {
    records: [Option<Cow<'a, [u8]>>; PLACES],
}

/// Where a record is: the key of its block, and the place in there.
pub(super) fn locate(key: &[u8]) -> (Vec<u8>, usize) {
    let mut block = key.to_vec();
    let place = match block.as_mut_slice() {
        [_, .., last] => {
            let place = *last & BITS;
            *last &= !BITS;
            place
        }
        [] | [_] => 0,
    };
    (block, place.into())
}

/// The key of the record at `place` in the block `block`.
fn key_at(block: &[u8], place: usize) -> Vec<u8> {
    let mut key = block.to_vec();
    if let Some(last) = key.last_mut() {
        *last |= u8::try_from(place).unwrap_or(0);
    }
    key
}

impl<'a> Block<'a> {
    /// The block in `value`, which was read from under `key` in the store `dir`. Whether its records are what was written
    /// is not looked at.
    pub(super) fn read(dir: &Path, key: &[u8], value: &'a [u8]) -> Result<Self, StoreError> {
        let damaged = || StoreError::damaged(dir, "which records it has cannot be read");
        let (directory, mut rest) = split_directory(value).ok_or_else(damaged)?;
        let directory = match unseal(key, directory) {
            Unsealed::Payload(directory) => directory,
            Unsealed::Newer(version) => return Err(StoreError::NewerFormat { dir: dir.into(), version }),
            Unsealed::Damaged => return Err(damaged()),
        };
        let (present, lengths) = directory.split_first_chunk().ok_or_else(damaged)?;
        let mut block = Self::default();
        let (lengths, _) = lengths.as_chunks::<LENGTH>();
        for (place, length) in places(u16::from_le_bytes(*present)).zip(lengths) {
            let (record, behind) = rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or_else(damaged)?;
            block.records[place] = Some(Cow::Borrowed(record));
            rest = behind;
        }
        if rest.is_empty() { Ok(block) } else { Err(damaged()) }
    }

    /// Puts a sealed record at its place; returns the one that was there.
    pub(super) fn put(&mut self, place: usize, record: Vec<u8>) -> Option<Cow<'a, [u8]>> {
        self.records[place].replace(Cow::Owned(record))
    }

    /// Makes `out` the value of this block, whose key is `key`.
    pub(super) fn write(&self, key: &[u8], out: &mut Vec<u8>) {
        let mut present = 0_u16;
        let mut directory = Vec::with_capacity(PRESENT + LENGTH * PLACES);
        directory.extend_from_slice(&present.to_le_bytes());
        for (place, record) in self.records.iter().enumerate() {
            let Some(record) = record else { continue };
            present |= 1 << place;
            // What is longer than 4 GiB fits into no database anyway.
            directory.extend_from_slice(&u32::try_from(record.len()).unwrap_or(u32::MAX).to_le_bytes());
        }
        directory[..PRESENT].copy_from_slice(&present.to_le_bytes());
        seal(key, &directory, out);
        self.records.iter().flatten().for_each(|record| out.extend_from_slice(record));
    }

    /// The records as they are sealed, with their keys and in the order of those; the key of the block is `key`.
    pub(super) fn records(&self, key: &[u8]) -> impl Iterator<Item = (Vec<u8>, &[u8])> {
        let records = self.records.iter().enumerate();
        records.filter_map(move |(place, record)| Some((key_at(key, place), record.as_deref()?)))
    }
}

/// Splits a value behind its directory, which says itself how long it is.
fn split_directory(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let present = value.get(1..)?.first_chunk()?;
    let records = u16::from_le_bytes(*present).count_ones() as usize;
    value.split_at_checked(PRESENT + LENGTH * records + OVERHEAD)
}

fn places(present: u16) -> impl Iterator<Item = usize> {
    (0..PLACES).filter(move |place| present & 1 << place != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    type Pairs = BTreeMap<Vec<u8>, Vec<u8>>;

    /// Puts records into what `blocks` has, as the database does.
    fn put(blocks: &mut Pairs, records: &[(Vec<u8>, Vec<u8>)]) {
        for (key, payload) in records {
            let (block_key, place) = locate(key);
            let old = blocks.remove(&block_key).unwrap_or_else(|| written(&Block::default(), &block_key));
            let mut block = read(&block_key, &old).unwrap();
            let mut record = Vec::new();
            seal(key, payload, &mut record);
            block.put(place, record);
            let value = written(&block, &block_key);
            blocks.insert(block_key, value);
        }
    }

    fn read<'a>(key: &[u8], value: &'a [u8]) -> Result<Block<'a>, StoreError> {
        Block::read(Path::new("/store"), key, value)
    }

    fn written(block: &Block<'_>, key: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        block.write(key, &mut out);
        out
    }

    /// Keys as leases have them, and others: short, of different lengths, with and without neighbours.
    fn record() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
        let lease = (0..3_u8, any::<u8>()).prop_map(|(third, last)| vec![b'l', third, last]);
        let other = prop::collection::vec(0x60..0x70_u8, 0..4);
        (prop_oneof![lease, other], prop::collection::vec(any::<u8>(), 0..40))
    }

    proptest! {
        #[test]
        fn what_is_put_is_there_and_the_later_one_stays(records in prop::collection::vec(record(), 0..60)) {
            let mut blocks = Pairs::new();
            put(&mut blocks, &records);
            let mut found = Pairs::new();
            for (block_key, value) in &blocks {
                for (key, sealed) in read(block_key, value).unwrap().records(block_key) {
                    let Unsealed::Payload(payload) = unseal(&key, sealed) else { panic!("{key:x?} is not whole") };
                    prop_assert!(found.insert(key, payload.to_vec()).is_none());
                }
            }
            prop_assert_eq!(found, records.into_iter().collect::<Pairs>());
        }

        #[test]
        fn a_flipped_bit_is_told_and_touches_one_record_at_most(
            records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..PLACES),
            at: prop::sample::Index,
            bit in 0..8_u8,
        ) {
            let records: Vec<_> = (0..).map(|last| vec![b'l', last]).zip(records).collect();
            let mut blocks = Pairs::new();
            put(&mut blocks, &records);
            let (block_key, mut value) = blocks.pop_first().unwrap();
            let directory = split_directory(&value).unwrap().0.len();
            let at = at.index(value.len());
            value[at] ^= 1 << bit;
            match read(&block_key, &value) {
                Err(_) => prop_assert!(at < directory, "the flip at {at} is in a record"),
                Ok(block) => {
                    prop_assert!(at >= directory, "the flip at {at} is in the directory");
                    let damaged = block.records(&block_key).filter(|(key, sealed)| unseal(key, sealed) == Unsealed::Damaged);
                    prop_assert_eq!(damaged.count(), 1);
                    prop_assert_eq!(block.records(&block_key).count(), records.len());
                }
            }
        }

        #[test]
        fn no_bytes_make_it_panic(key: Vec<u8>, value: Vec<u8>) {
            let _ = read(&key, &value);
        }
    }

    #[test]
    fn a_torn_block_and_one_under_another_key_are_damaged() {
        let mut blocks = Pairs::new();
        put(&mut blocks, &[(b"la".to_vec(), b"1".to_vec()), (b"lb".to_vec(), b"2".to_vec())]);
        let (key, value) = blocks.pop_first().unwrap();
        for length in 0..value.len() {
            assert!(read(&key, &value[..length]).is_err(), "cut to {length}");
        }
        assert!(read(b"other", &value).is_err());
    }

    #[test]
    fn neighbours_share_a_block_and_a_key_of_one_byte_has_its_own() {
        assert_eq!(locate(&[b'l', 10, 0, 0, 0x2f]), (vec![b'l', 10, 0, 0, 0x20], 15));
        assert_eq!(locate(&[b'l', 10, 0, 0, 0x20]), (vec![b'l', 10, 0, 0, 0x20], 0));
        assert_eq!(locate(b"n"), (b"n".to_vec(), 0));
        assert_eq!(locate(b""), (vec![], 0));
    }
}
