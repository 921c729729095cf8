//! The journal: what is committed and not in the database yet, in two files that are filled in turn.
//!
//! A commit of the database costs a quarter of a millisecond of processor time, however small it is, and a commit of the
//! file system too, since its file grows. A commit here is one write into a file that has its length already, and one
//! sync. While one file fills, the database takes over what the other one holds, thousands of records at a time.
//!
//! ```text
//!     frame:   checksum (4)  length (4)  version (1)  number (8)  entries
//!     entry:   length of the key (4)  length of the payload (4)  key  payload
//! ```
//!
//! Numbers rise by one from frame to frame and never come back, so what a file held before it was written anew is told
//! from what it holds: the first frame that does not follow on the one before is the end. A power cut can only tear the
//! last frame, which nobody was told of.

use super::error::StoreError;
use super::folder;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Keys and payloads; of two with the same key the later one stays.
pub(super) type Entries = BTreeMap<Vec<u8>, Vec<u8>>;

/// Names of the two files.
pub(super) const NAMES: [&str; 2] = ["journal.0", "journal.1"];
/// Length of each file: some 5,000 leases, which the database takes over within a tenth of a second.
const LENGTH: usize = 1 << 20;
/// Raised when a reader of the old version could not understand a frame.
const VERSION: u8 = 1;
/// Checksum and length.
const HEAD: usize = 8;
/// Version and number.
const ABOUT: usize = 9;

/// Both files, open for writing.
#[derive(Debug)]
pub(super) struct Journal {
    dir: PathBuf,
    files: [Half; 2],
    current: usize,
    frame: Vec<u8>,
}

#[derive(Debug)]
struct Half {
    file: File,
    path: PathBuf,
    /// Where the next frame goes.
    end: usize,
    /// The number of the last frame; 0 without one.
    last: u64,
}

/// What the journal knows and the database does not.
#[derive(Debug, Default)]
pub(super) struct Replayed {
    pub(super) entries: Entries,
    /// The number of the last commit, of both.
    pub(super) commits: u64,
}

impl Journal {
    /// Opens the journal of the store `dir`, whose database has the commits up to `settled`, and creates what is missing.
    pub(super) fn open(dir: &Path, settled: u64) -> Result<(Self, Replayed), StoreError> {
        let mut frames = BTreeMap::new();
        let mut open = |name| -> Result<Half, StoreError> {
            let (half, held) = Half::open(dir, dir.join(name))?;
            frames.extend(held.into_iter().filter(|&(number, _)| number > settled));
            Ok(half)
        };
        let files = [open(NAMES[0])?, open(NAMES[1])?];
        let mut replayed = Replayed { entries: Entries::new(), commits: settled };
        for (number, entries) in frames {
            if number != replayed.commits + 1 {
                let what = format!("its journal goes from commit {} to commit {number}", replayed.commits);
                return Err(StoreError::Damaged { dir: dir.into(), what });
            }
            replayed.entries.extend(entries);
            replayed.commits = number;
        }
        let current = usize::from(files[1].last > files[0].last);
        Ok((Self { dir: dir.into(), files, current, frame: Vec::new() }, replayed))
    }

    /// Makes the frame of a commit, to be appended next. False if no file is long enough for it.
    pub(super) fn prepare<'a>(&mut self, number: u64, entries: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> bool {
        let frame = &mut self.frame;
        frame.clear();
        frame.extend_from_slice(&[0; HEAD]);
        frame.push(VERSION);
        frame.extend_from_slice(&number.to_le_bytes());
        for (key, payload) in entries {
            for bytes in [key, payload] {
                // Longer than 4 GiB fits into no file anyway.
                frame.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
            }
            frame.extend_from_slice(key);
            frame.extend_from_slice(payload);
        }
        let length = u32::try_from(frame.len() - HEAD).unwrap_or(u32::MAX);
        frame[4..HEAD].copy_from_slice(&length.to_le_bytes());
        let checksum = crc32c::crc32c(&frame[4..]);
        frame[..4].copy_from_slice(&checksum.to_le_bytes());
        frame.len() <= LENGTH
    }

    /// Whether the prepared frame fits behind the last one.
    pub(super) fn has_room(&self) -> bool {
        self.files[self.current].end + self.frame.len() <= LENGTH
    }

    /// Whether everything in the file that is not written now is among the commits up to `settled`.
    pub(super) fn other_is_settled(&self, settled: u64) -> bool {
        self.files[1 - self.current].last <= settled
    }

    /// Goes over to the other file, from its beginning: what it holds must be settled.
    pub(super) fn turn_over(&mut self) {
        self.current = 1 - self.current;
        self.files[self.current].end = 0;
    }

    /// Writes the prepared frame, and returns when it survives a power cut.
    pub(super) fn append(&mut self, number: u64) -> Result<(), StoreError> {
        let Half { file, path, end, last } = &mut self.files[self.current];
        let written = file.write_all_at(&self.frame, *end as u64).map_err(|error| ("write", error));
        let synced = written.and_then(|()| file.sync_data().map_err(|error| ("sync", error)));
        synced.map_err(|(action, source)| StoreError::io(&self.dir, action, &*path, source))?;
        *end += self.frame.len();
        *last = number;
        Ok(())
    }
}

impl Half {
    /// Opens one file, creates it at its full length if it is missing or short, and reads its frames.
    fn open(dir: &Path, path: PathBuf) -> Result<(Self, Vec<Numbered>), StoreError> {
        let failed = |action, source| StoreError::io(dir, action, &path, source);
        let file = File::options().read(true).write(true).create(true).truncate(false).mode(0o640).open(&path);
        let file = file.map_err(|source| failed("open", source))?;
        let length = file.metadata().map_err(|source| failed("read", source))?.len();
        if length < LENGTH as u64 {
            lengthen(&file, length).map_err(|source| failed("write", source))?;
            folder::sync_path(dir).map_err(|source| failed("sync", source))?;
        }
        let mut bytes = vec![0; LENGTH];
        file.read_exact_at(&mut bytes, 0).map_err(|source| failed("read", source))?;
        let (frames, end) = read_frames(dir, &bytes)?;
        let last = frames.last().map_or(0, |&(number, _)| number);
        Ok((Self { file, path, end, last }, frames))
    }
}

/// Fills a file up with zeros: space that is only reserved costs a commit of the file system when it is written.
fn lengthen(mut file: &File, from: u64) -> io::Result<()> {
    use io::{Seek, SeekFrom};
    file.seek(SeekFrom::Start(from))?;
    let missing = LENGTH - usize::try_from(from).unwrap_or(LENGTH);
    file.write_all(&vec![0; missing])?;
    file.sync_all()
}

/// A frame: its number and what it holds.
type Numbered = (u64, Vec<(Vec<u8>, Vec<u8>)>);

/// The frames at the beginning of `bytes`, and where they end.
fn read_frames(dir: &Path, bytes: &[u8]) -> Result<(Vec<Numbered>, usize), StoreError> {
    let mut frames: Vec<Numbered> = Vec::new();
    let mut rest = bytes;
    while let Some((about, entries, behind)) = read_frame(rest) {
        let (&[version], number) = about.split_first_chunk().unwrap_or((&[0], &[]));
        if version != VERSION {
            return Err(StoreError::NewerFormat { dir: dir.into(), version });
        }
        let number = number.try_into().map_or(0, u64::from_le_bytes);
        let follows = frames.last().is_none_or(|&(before, _)| number == before + 1);
        let Some(entries) = read_entries(entries).filter(|_| follows) else { break };
        frames.push((number, entries));
        rest = behind;
    }
    Ok((frames, bytes.len() - rest.len()))
}

/// Version and number, entries, and what lies behind; `None` if there is no whole frame.
fn read_frame(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (checksum, rest) = bytes.split_first_chunk()?;
    let (length, body) = rest.split_first_chunk()?;
    let (body, behind) = body.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    let checked = &rest[..length.len() + body.len()];
    let whole = u32::from_le_bytes(*checksum) == crc32c::crc32c(checked);
    let (about, entries) = body.split_at_checked(ABOUT).filter(|_| whole)?;
    Some((about, entries, behind))
}

fn read_entries(mut bytes: &[u8]) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut entries = Vec::new();
    while !bytes.is_empty() {
        let (key, rest) = bytes.split_first_chunk()?;
        let (payload, rest) = rest.split_first_chunk()?;
        let (key, rest) = rest.split_at_checked(u32::from_le_bytes(*key) as usize)?;
        let (payload, rest) = rest.split_at_checked(u32::from_le_bytes(*payload) as usize)?;
        entries.push((key.to_vec(), payload.to_vec()));
        bytes = rest;
    }
    Some(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn scratch() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    fn append(journal: &mut Journal, number: u64, key: &[u8], payload: &[u8]) {
        assert!(journal.prepare(number, [(key, payload)].into_iter()));
        assert!(journal.has_room());
        journal.append(number).unwrap();
    }

    fn entries(pairs: &[(&[u8], &[u8])]) -> Entries {
        pairs.iter().map(|(key, payload)| (key.to_vec(), payload.to_vec())).collect()
    }

    #[test]
    fn what_was_appended_is_replayed_from_where_the_database_is() {
        let dir = scratch();
        let (mut journal, empty) = Journal::open(dir.path(), 7).unwrap();
        assert_eq!((empty.commits, empty.entries), (7, Entries::new()));
        append(&mut journal, 8, b"a", b"1");
        append(&mut journal, 9, b"b", b"2");
        append(&mut journal, 10, b"a", b"3");
        let replayed = |settled| Journal::open(dir.path(), settled).unwrap().1;
        assert_eq!(replayed(7).entries, entries(&[(b"a", b"3"), (b"b", b"2")]));
        assert_eq!(replayed(9).entries, entries(&[(b"a", b"3")]));
        assert_eq!((replayed(10).commits, replayed(10).entries), (10, Entries::new()));
    }

    #[test]
    fn a_file_that_is_written_anew_no_longer_holds_what_it_did() {
        let dir = scratch();
        let (mut journal, _) = Journal::open(dir.path(), 0).unwrap();
        append(&mut journal, 1, b"a", b"1");
        append(&mut journal, 2, b"b", b"2");
        journal.turn_over();
        append(&mut journal, 3, b"c", b"3");
        assert!(journal.other_is_settled(2));
        assert!(!journal.other_is_settled(1));
        journal.turn_over();
        // As long as the first frame that was here: the second one follows it in the file, and in no other sense.
        append(&mut journal, 4, b"d", b"4");
        let (journal, replayed) = Journal::open(dir.path(), 2).unwrap();
        assert_eq!((replayed.commits, replayed.entries), (4, entries(&[(b"c", b"3"), (b"d", b"4")])));
        assert_eq!(journal.current, 0);
    }

    #[test]
    fn a_missing_commit_is_damage() {
        let dir = scratch();
        let (mut journal, _) = Journal::open(dir.path(), 0).unwrap();
        append(&mut journal, 5, b"a", b"1");
        let error = Journal::open(dir.path(), 3).unwrap_err();
        assert!(error.to_string().contains("goes from commit 3 to commit 5"), "{error}");
    }

    #[test]
    fn a_frame_of_a_later_version_stops_the_start() {
        let dir = scratch();
        let (mut journal, _) = Journal::open(dir.path(), 0).unwrap();
        journal.prepare(1, std::iter::empty());
        journal.frame[HEAD] = VERSION + 1;
        let checksum = crc32c::crc32c(&journal.frame[4..]);
        journal.frame[..4].copy_from_slice(&checksum.to_le_bytes());
        journal.append(1).unwrap();
        let error = Journal::open(dir.path(), 0).unwrap_err();
        assert!(matches!(error, StoreError::NewerFormat { version: 2, .. }), "{error}");
    }

    #[test]
    fn what_is_longer_than_a_file_is_refused_before_it_is_written() {
        let (mut journal, _) = Journal::open(scratch().path(), 0).unwrap();
        assert!(!journal.prepare(1, [(b"k".as_slice(), vec![0; LENGTH].as_slice())].into_iter()));
        assert!(journal.prepare(1, [(b"k".as_slice(), vec![0; LENGTH - 64].as_slice())].into_iter()));
    }

    proptest! {
        #[test]
        fn a_torn_or_flipped_frame_is_the_end(cut in 0..40_usize, bit in 0..8_u8) {
            let dir = scratch();
            let (mut journal, _) = Journal::open(dir.path(), 0).unwrap();
            append(&mut journal, 1, b"a", b"1");
            let end = journal.files[0].end;
            append(&mut journal, 2, b"b", b"2");
            let length = journal.files[0].end - end;
            let file = &journal.files[0].file;
            let mut bytes = vec![0; length];
            file.read_exact_at(&mut bytes, end as u64).unwrap();
            let at = cut % length;
            bytes[at] ^= 1 << bit;
            file.write_all_at(&bytes, end as u64).unwrap();
            let replayed = Journal::open(dir.path(), 0).unwrap().1;
            prop_assert_eq!(replayed.entries, entries(&[(b"a", b"1")]));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = read_frames(Path::new("/store"), &bytes);
        }
    }
}
