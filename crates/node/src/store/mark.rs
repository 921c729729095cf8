//! How the store knows that nothing is missing and nothing is old.
//!
//! A damaged page need not show: the database skips a log segment whose header does not match and comes up with what the pages
//! held before. One flipped bit thereby brought back a third of the records as they had been a while ago, every one of
//! them with the right checksum. An old lease must never replace a newer one, so each commit also writes a *mark*: the
//! number of commits and the sum of all records' checksums, which opening compares with what it reads.
//!
//! That leaves a log that lost its end, mark and all. So after each commit its number is put into a small file, the
//! *tip*. That file is not synced: after a power cut it may be behind, and it is never ahead, so there is no false
//! alarm and the file costs a microsecond.

use super::error::StoreError;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// Where the mark is kept. Keys that start with a zero byte are the store's own.
pub(super) const MARK: &[u8] = b"\0mark";
/// Name of the file with the number of the last commit.
pub(super) const TIP: &str = "tip";

/// How the records lie in the database; raised when a reader of the old one could not find them. In the first, whose
/// mark did not say so, each had a value of its own.
pub(super) const LAYOUT: u8 = 2;

/// What a store holds, in two numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Mark {
    /// How many commits there have been, as far as the database goes.
    pub(super) commits: u64,
    /// Over all records but the mark itself; the order does not matter.
    sum: u64,
}

impl Mark {
    /// Where the mark of everything up to the commit `number` starts from.
    pub(super) fn up_to(self, number: u64) -> Self {
        Self { commits: number, ..self }
    }

    /// Counts a record that has this checksum.
    pub(super) fn add(&mut self, checksum: u32) {
        self.sum = self.sum.wrapping_add(spread(checksum));
    }

    /// No longer counts a record that had this checksum.
    pub(super) fn subtract(&mut self, checksum: u32) {
        self.sum = self.sum.wrapping_sub(spread(checksum));
    }

    /// Whether the records are those of the mark.
    pub(super) fn same_records(self, other: Self) -> bool {
        self.sum == other.sum
    }

    pub(super) fn to_payload(self) -> [u8; 17] {
        let mut payload = [LAYOUT; 17];
        payload[..8].copy_from_slice(&self.commits.to_le_bytes());
        payload[8..16].copy_from_slice(&self.sum.to_le_bytes());
        payload
    }

    /// The mark, and the layout of the records.
    pub(super) fn from_payload(payload: &[u8]) -> Option<(Self, u8)> {
        let (commits, rest) = payload.split_first_chunk()?;
        let (sum, layout) = rest.split_first_chunk()?;
        let layout = match layout {
            [] => 1,
            [layout] => *layout,
            [..] => return None,
        };
        Some((Self { commits: u64::from_le_bytes(*commits), sum: u64::from_le_bytes(*sum) }, layout))
    }
}

/// Spreads 32 bits over 64 (splitmix64), so that sums of checksums do not cancel out.
fn spread(checksum: u32) -> u64 {
    let mut x = u64::from(checksum).wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// The file with the number of the last commit.
#[derive(Debug)]
pub(super) struct Tip {
    file: File,
    /// The number in it when it was opened, 0 if there was none that can be believed.
    pub(super) found: u64,
}

impl Tip {
    /// Opens the tip of the store `dir`, creates it if it is missing.
    pub(super) fn open(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join(TIP);
        let file = File::options().read(true).write(true).create(true).truncate(false).mode(0o640).open(&path);
        let file = file.map_err(|source| StoreError::io(dir, "open", &path, source))?;
        let mut bytes = [0; 12];
        let found = match file.read_exact_at(&mut bytes, 0) {
            Ok(()) => decode(bytes),
            // Torn, or not written yet.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => 0,
            Err(source) => return Err(StoreError::io(dir, "read", &path, source)),
        };
        Ok(Self { file, found })
    }

    /// Notes that `commits` commits are durable.
    pub(super) fn note(&self, commits: u64) -> io::Result<()> {
        let number = commits.to_le_bytes();
        let mut bytes = [0; 12];
        bytes[..8].copy_from_slice(&number);
        bytes[8..].copy_from_slice(&crc32c::crc32c(&number).to_le_bytes());
        self.file.write_all_at(&bytes, 0)
    }
}

fn decode(bytes: [u8; 12]) -> u64 {
    let (number, checksum) = (&bytes[..8], &bytes[8..]);
    if crc32c::crc32c(number).to_le_bytes() == checksum {
        number.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_sum_depends_on_what_is_there_and_not_on_the_way(mut added: Vec<u32>, passing: Vec<u32>) {
            let mut one = Mark::default();
            added.iter().for_each(|checksum| one.add(*checksum));
            let mut other = Mark::default();
            passing.iter().for_each(|checksum| other.add(*checksum));
            added.reverse();
            added.iter().for_each(|checksum| other.add(*checksum));
            prop_assert_eq!(one.same_records(other), passing.is_empty());
            passing.iter().for_each(|checksum| other.subtract(*checksum));
            prop_assert!(one.same_records(other));
        }

        #[test]
        fn a_mark_survives_the_way_through_the_store(commits: u64, checksum: u32) {
            let mut mark = Mark { commits, sum: 0 };
            mark.add(checksum);
            prop_assert_eq!(Mark::from_payload(&mark.to_payload()), Some((mark, LAYOUT)));
            prop_assert_eq!(Mark::from_payload(&mark.to_payload()[..16]), Some((mark, 1)));
        }
    }

    #[test]
    fn a_tip_is_believed_only_whole() {
        let dir = tempfile::tempdir().unwrap();
        let tip = Tip::open(dir.path()).unwrap();
        assert_eq!(tip.found, 0);
        tip.note(7_000_000_000).unwrap();
        assert_eq!(Tip::open(dir.path()).unwrap().found, 7_000_000_000);
        tip.file.write_all_at(&[1], 2).unwrap();
        assert_eq!(Tip::open(dir.path()).unwrap().found, 0);
        tip.file.set_len(5).unwrap();
        assert_eq!(Tip::open(dir.path()).unwrap().found, 0);
    }
}
