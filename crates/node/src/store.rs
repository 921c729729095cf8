//! The durable copy of what the node knows: keys and payloads on a disk that may fail, fill up or lose power.
//!
//! This is the only file that knows sled, because sled alone does not give what the protocol needs and each gap is
//! closed here (see docs/internals/storage.md):
//! - its `flush` survives a killed process and not a power cut, so every commit ends with our own `sync_data`, on a
//!   file handle of our own, which sees write-back errors that sled's handle may have swallowed;
//! - it opens damaged files without a word, and may bring old records back, so opening means reading every record once,
//!   and comparing their sum with one that each commit writes along;
//! - a snapshot that a crash left half-written makes every later open fail, so it is deleted first;
//! - after an error it stays broken for as long as it is open, so going on means closing and opening it again.
//!
//! What a record means is not known here. Records are written whole and replace each other by key.

mod error;
mod folder;
mod mark;
mod records;
mod value;
mod writer;

pub use error::StoreError;
pub use folder::Space;
pub use records::Records;
pub use writer::{Batch, Refused, Report, StoreThread};

use crate::clock;
use folder::{DB, Found, Lock};
use mark::{MARK, Mark, Tip};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;
use value::{Unsealed, seal, stored_checksum, unseal};

/// Page cache of sled; its default of 1 GiB is not for a daemon whose data is in memory anyway.
const CACHE: u64 = 64 << 20;
/// How often sled flushes and syncs by itself, as a belt: a commit does not wait for it.
const FLUSH_EVERY_MS: u64 = 500;
/// How long a closed sled may keep its own lock before we believe that somebody else has the file.
const UNLOCK_TRIES: u32 = 100;
const UNLOCK_PAUSE: Duration = Duration::from_millis(50);
/// How often a full file system is looked at.
const SPACE_PAUSE: Duration = Duration::from_secs(1);

/// An open store. The folder stays locked while it exists.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
    /// `None` only after a `reopen` that failed.
    open: Option<Open>,
    sealed: Vec<u8>,
    synced_blobs: i64,
    _lock: Lock,
}

#[derive(Debug)]
struct Open {
    db: sled::Db,
    /// For `sync_data`. A file handle of its own is told of every write-back error, whoever else was told.
    file: File,
    tip: Tip,
    /// As of the last commit that is durable.
    mark: Mark,
}

/// A store as it was found.
#[derive(Debug)]
pub struct Opened {
    /// The store, ready for commits.
    pub store: Store,
    /// Every record in it.
    pub records: Records,
    /// Keys of records that are not what was written; their content is gone.
    pub set_aside: Vec<Vec<u8>>,
    /// Whether it is what the last process left.
    pub condition: Condition,
}

/// What became of a store at opening.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Condition {
    /// There was none; it was created empty.
    Fresh,
    /// It is the one that the last process wrote.
    Kept,
    /// It was damaged beyond use. A new and empty one stands in its place.
    Replaced {
        /// Where the damaged one lies.
        moved_to: PathBuf,
    },
}

impl Store {
    /// Opens the store in the folder `dir`, creates it if there is none, and replaces it if it cannot be used.
    ///
    /// Reads everything once: a successful open proves nothing about pages that were not read.
    pub fn open(dir: &Path) -> Result<Opened, StoreError> {
        // Without a trailing slash, so that names beside the folder can be made from it.
        let dir: &Path = &dir.components().collect::<PathBuf>();
        folder::create(folder::parent(dir))?;
        let lock = Lock::take(dir)?;
        let fresh = match folder::inspect(dir)? {
            Found::Other => return Err(StoreError::NotAStore { dir: dir.into() }),
            Found::Nothing => create(dir).map(|()| true)?,
            Found::Store | Found::Remains => false,
        };
        let (loaded, condition) = match load(dir) {
            Ok(loaded) => (loaded, if fresh { Condition::Fresh } else { Condition::Kept }),
            Err(StoreError::Damaged { what, .. }) => replace(dir, &what)?,
            Err(error) => return Err(error),
        };
        let Loaded { open, records, set_aside } = loaded;
        let store = Self { dir: dir.into(), open: Some(open), sealed: Vec::new(), synced_blobs: -1, _lock: lock };
        Ok(Opened { store, records, set_aside, condition })
    }

    /// As [`open`](Self::open), but waits while the file system is full, having told `full` once.
    pub fn open_when_there_is_space(dir: &Path, full: impl FnOnce(&StoreError)) -> Result<Opened, StoreError> {
        let mut full = Some(full);
        loop {
            match Self::open(dir) {
                Err(error) if error.is_no_space() => {
                    if let Some(full) = full.take() {
                        full(&error);
                    }
                    thread::sleep(SPACE_PAUSE);
                }
                outcome => return outcome,
            }
        }
    }

    /// Writes all of `entries` or none, and returns when they survive a power cut. Of two with the same key the later
    /// one stays. Keys must not start with a zero byte.
    ///
    /// After an error nothing is known about them, and only [`reopen`](Self::reopen) makes the store take commits again.
    pub fn commit<'a>(&mut self, entries: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Result<(), StoreError> {
        let Self { dir, open, sealed, synced_blobs, .. } = self;
        let Some(Open { db, file, tip, mark }) = open else { return Err(not_open(dir)) };
        let entries: BTreeMap<_, _> = entries.collect();
        let mut next = mark.next();
        guarded(dir, || {
            let mut batch = sled::Batch::default();
            for (key, payload) in entries {
                if let Some(old) = db.get(key).map_err(|error| from_sled(dir, error))? {
                    next.subtract(stored_checksum(&old));
                }
                seal(key, payload, sealed);
                next.add(stored_checksum(sealed));
                batch.insert(key, sealed.as_slice());
            }
            seal(MARK, &next.to_payload(), sealed);
            batch.insert(MARK, sealed.as_slice());
            db.apply_batch(batch).map_err(|error| from_sled(dir, error))?;
            db.flush().map_err(|error| from_sled(dir, error))
        })?;
        *synced_blobs = sync_blobs(dir, *synced_blobs)?;
        file.sync_data().map_err(|source| StoreError::io(&*dir, "sync", dir.join(DB), source))?;
        *mark = next;
        tip.note(next.commits).map_err(|source| StoreError::io(&*dir, "write", dir.join(mark::TIP), source))
    }

    /// Reads everything back. Returns how many records there are, and the keys of those that are not what was written.
    pub fn verify(&self) -> Result<(usize, Vec<Vec<u8>>), StoreError> {
        let Some(open) = &self.open else { return Err(not_open(&self.dir)) };
        let mut count = 0;
        let set_aside = scan(&self.dir, open, |_, _| count += 1)?;
        Ok((count, set_aside))
    }

    /// Closes the store after an error and opens it again, from the disk and not from the kernel's memory of it: after
    /// a failed sync the two may differ. Fails unless every record is whole and no commit is missing.
    pub fn reopen(&mut self) -> Result<(), StoreError> {
        let mut durable = 0;
        if let Some(open) = self.open.take() {
            durable = open.mark.commits;
            // What it has to say about the error is known already.
            let _ = close(&self.dir, open);
        }
        folder::drop_cache(&self.dir)?;
        folder::remove_unfinished_snapshots(&self.dir)?;
        let mut open = open_files(&self.dir)?;
        let set_aside = scan_and_check(&self.dir, &mut open, |_, _| {})?;
        if !set_aside.is_empty() {
            return Err(damaged(&self.dir, &format!("{} records do not match their checksum", set_aside.len())));
        }
        if open.mark.commits < durable {
            return Err(rolled_back(&self.dir, open.mark.commits, durable));
        }
        self.open = Some(open);
        Ok(())
    }

    /// The space around the store.
    pub fn space(&self) -> Result<Space, StoreError> {
        folder::space(&self.dir)
    }

    /// Where the store is.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Closes the store and says whether that went well. Nothing that was committed depends on it.
    pub fn close(self) -> Result<(), StoreError> {
        match self.open {
            Some(open) => close(&self.dir, open),
            None => Ok(()),
        }
    }
}

struct Loaded {
    open: Open,
    records: Records,
    set_aside: Vec<Vec<u8>>,
}

/// Opens and reads what is there, without the snapshots if they are in the way.
fn load(dir: &Path) -> Result<Loaded, StoreError> {
    folder::remove_unfinished_snapshots(dir)?;
    match load_as_is(dir) {
        Err(StoreError::Damaged { what, dir: damaged }) => {
            if !folder::set_snapshots_aside(dir)? {
                return Err(StoreError::Damaged { what, dir: damaged });
            }
            tracing::warn!(store = %dir.display(), what, "the store does not open as it is; trying without its snapshot");
            load_as_is(dir)
        }
        outcome => outcome,
    }
}

fn load_as_is(dir: &Path) -> Result<Loaded, StoreError> {
    if !dir.join(DB).exists() {
        return Err(damaged(dir, "its main file is missing"));
    }
    let mut open = open_files(dir)?;
    let mut records = Records::default();
    let set_aside = scan_and_check(dir, &mut open, |key, payload| records.push(key, payload))?;
    Ok(Loaded { open, records, set_aside })
}

/// Moves a damaged store aside and makes a new one.
fn replace(dir: &Path, what: &str) -> Result<(Loaded, Condition), StoreError> {
    let moved_to = folder::beside(dir, &format!(".corrupt-{}", clock::wall().0));
    tracing::error!(store = %dir.display(), what, moved_to = %moved_to.display(), "the store is damaged; starting an empty one");
    folder::rename(dir, &moved_to)?;
    create(dir)?;
    Ok((load(dir)?, Condition::Replaced { moved_to }))
}

/// Makes an empty store: beside its place first, so that a store which lies there is complete.
fn create(dir: &Path) -> Result<(), StoreError> {
    let scratch = folder::beside(dir, ".creating");
    folder::remove(&scratch)?;
    folder::create(&scratch)?;
    let open = open_files(&scratch)?;
    let mut sealed = Vec::new();
    seal(MARK, &Mark::default().to_payload(), &mut sealed);
    guarded(dir, || {
        open.db.insert(MARK, sealed).map_err(|error| from_sled(dir, error))?;
        open.db.flush().map_err(|error| from_sled(dir, error))
    })?;
    close(&scratch, open)?;
    folder::sync(&scratch)?;
    folder::rename(&scratch, dir)
}

fn open_files(dir: &Path) -> Result<Open, StoreError> {
    let config = sled::Config::new().path(dir).cache_capacity(CACHE).flush_every_ms(Some(FLUSH_EVERY_MS));
    let mut tries = 0;
    let db = loop {
        match guarded(dir, || Ok(config.open())) {
            Ok(Ok(db)) => break db,
            // We hold the folder's lock, so this is a sled of our own that has been dropped and is not gone yet.
            Ok(Err(error)) if is_lock_clash(&error) => {
                tries += 1;
                if tries > UNLOCK_TRIES {
                    return Err(StoreError::Held { dir: dir.into(), pid: None });
                }
                thread::sleep(UNLOCK_PAUSE);
            }
            Ok(Err(error)) => return Err(from_sled(dir, error)),
            Err(error) => return Err(error),
        }
    };
    let path = dir.join(DB);
    let file = File::options().read(true).write(true).open(&path);
    let file = file.map_err(|source| StoreError::io(dir, "open", &path, source))?;
    Ok(Open { db, file, tip: Tip::open(dir)?, mark: Mark::default() })
}

fn close(dir: &Path, open: Open) -> Result<(), StoreError> {
    let Open { db, file, .. } = open;
    let flushed = guarded(dir, || {
        let flushed = db.flush();
        drop(db);
        flushed.map_err(|error| from_sled(dir, error))
    });
    flushed.and(file.sync_data().map_err(|source| StoreError::io(dir, "sync", dir.join(DB), source)))
}

/// Scans a store that was just opened, and takes over its mark if the records are those of the mark.
fn scan_and_check(dir: &Path, open: &mut Open, each: impl FnMut(&[u8], &[u8])) -> Result<Vec<Vec<u8>>, StoreError> {
    let value = guarded(dir, || open.db.get(MARK).map_err(|error| from_sled(dir, error)))?;
    let payload = value.as_deref().map(|value| unseal(MARK, value));
    let Some(Unsealed::Payload(payload)) = payload else { return Err(damaged(dir, "what it held is gone")) };
    open.mark = Mark::from_payload(payload).ok_or_else(|| damaged(dir, "its mark has a strange length"))?;
    if open.mark.commits < open.tip.found {
        return Err(rolled_back(dir, open.mark.commits, open.tip.found));
    }
    scan(dir, open, each)
}

/// Hands every whole record to `each`; returns the keys of those that are not. Fails if any is missing or old.
fn scan(dir: &Path, open: &Open, mut each: impl FnMut(&[u8], &[u8])) -> Result<Vec<Vec<u8>>, StoreError> {
    guarded(dir, || {
        let mut found = Mark::default();
        let mut set_aside = Vec::new();
        for record in open.db.iter() {
            let (key, value) = record.map_err(|error| from_sled(dir, error))?;
            if key.first() == Some(&0) {
                continue;
            }
            found.add(stored_checksum(&value));
            match unseal(&key, &value) {
                Unsealed::Payload(payload) => each(&key, payload),
                Unsealed::Damaged => set_aside.push(key.to_vec()),
                Unsealed::Newer(version) => return Err(StoreError::NewerFormat { dir: dir.into(), version }),
            }
        }
        if open.mark.same_records(found) {
            Ok(set_aside)
        } else {
            Err(damaged(dir, "some of its records are old or missing"))
        }
    })
}

/// Syncs the files into which sled puts pages too large for its log, from the number `after` on; returns the highest
/// number seen. Sled never syncs them, and a large value (the cluster's configuration) makes them.
fn sync_blobs(dir: &Path, after: i64) -> Result<i64, StoreError> {
    let blobs = dir.join("blobs");
    let failed = |source| StoreError::io(dir, "sync", &blobs, source);
    let mut highest = after;
    for entry in fs::read_dir(&blobs).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let number = entry.file_name().to_str().and_then(|name| name.parse().ok()).unwrap_or(i64::MIN);
        if number > after {
            folder::sync_path(&entry.path()).map_err(failed)?;
            highest = highest.max(number);
        }
    }
    if highest > after {
        folder::sync_path(&blobs).map_err(failed)?;
    }
    Ok(highest)
}

/// Runs sled code, which asserts where a damaged or full disk should be an error.
fn guarded<T>(dir: &Path, run: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let what = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        Err(damaged(dir, what.unwrap_or("an assertion failed")))
    })
}

fn is_lock_clash(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(error) if error.to_string().contains("could not acquire lock"))
}

fn from_sled(dir: &Path, error: sled::Error) -> StoreError {
    match error {
        sled::Error::Io(source) if !says_damaged(&source) => StoreError::io(dir, "use the store", dir, source),
        sled::Error::Io(source) => damaged(dir, &source.to_string()),
        sled::Error::Corruption { at, .. } => damaged(dir, &format!("corruption at {at:?}")),
        sled::Error::CollectionNotFound(_) => damaged(dir, "its tree is missing"),
        sled::Error::Unsupported(what) | sled::Error::ReportableBug(what) => damaged(dir, &what),
    }
}

/// Errors that come from the content of the files and not from the disk.
fn says_damaged(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{InvalidData, InvalidInput, NotFound, Other, UnexpectedEof};
    matches!(error.kind(), InvalidData | InvalidInput | NotFound | Other | UnexpectedEof)
}

fn not_open(dir: &Path) -> StoreError {
    damaged(dir, "it could not be opened again after an error")
}

fn rolled_back(dir: &Path, found: u64, expected: u64) -> StoreError {
    damaged(dir, &format!("it went back in time, from commit {expected} to commit {found}"))
}

fn damaged(dir: &Path, what: &str) -> StoreError {
    StoreError::Damaged { dir: dir.into(), what: what.into() }
}

#[cfg(test)]
mod tests;
