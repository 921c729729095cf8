//! The database under the journal. This is the only file that knows sled, because sled alone does not give what the
//! protocol needs and each gap is closed here (see docs/internals/storage.md):
//! - its `flush` survives a killed process and not a power cut, so every commit ends with our own `sync_data`, on a
//!   file handle of our own, which sees write-back errors that sled's handle may have swallowed;
//! - it opens damaged files without a word, and may bring old records back, so each commit writes along the sum of all
//!   records, which [`Base::scan`] compares with what it reads;
//! - after an error it stays broken for as long as it is open, so going on means closing and opening it again.

use super::block::{Block, locate};
use super::error::StoreError;
use super::folder::{self, DB};
use super::journal::Entries;
use super::mark::{LAYOUT, MARK, Mark};
use super::value::{OVERHEAD, Unsealed, seal, stored_checksum, unseal};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// Page cache of sled; its default of 1 GiB is not for a daemon whose data is in memory anyway.
const CACHE: u64 = 16 << 20;
/// How often sled flushes and syncs by itself, as a belt: a commit does not wait for it.
const FLUSH_EVERY_MS: u64 = 500;
/// How long a closed sled may keep its own lock before we believe that somebody else has the file.
const UNLOCK_TRIES: u32 = 100;
const UNLOCK_PAUSE: Duration = Duration::from_millis(50);

/// An open database.
#[derive(Debug)]
pub(super) struct Base {
    pub(super) dir: PathBuf,
    pub(super) db: sled::Db,
    /// For `sync_data`. A file handle of its own is told of every write-back error, whoever else was told.
    file: File,
    /// As of the last commit that is durable.
    pub(super) mark: Mark,
    pub(super) synced_blobs: i64,
    sealed: Vec<u8>,
}

impl Base {
    /// Opens the database in `dir`, without looking at what it holds.
    pub(super) fn open(dir: &Path) -> Result<Self, StoreError> {
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
        Ok(Self { dir: dir.into(), db, file, mark: Mark::default(), synced_blobs: -1, sealed: Vec::new() })
    }

    /// Writes the first mark into a new database.
    pub(super) fn begin(&mut self) -> Result<(), StoreError> {
        seal(MARK, &Mark::default().to_payload(), &mut self.sealed);
        guarded(&self.dir, || {
            self.db.insert(MARK, self.sealed.as_slice()).map_err(|error| from_sled(&self.dir, error))?;
            self.db.flush().map_err(|error| from_sled(&self.dir, error))
        })
        .map(|_| ())
    }

    /// Takes over the mark of a database that was just opened, and brings an older one to the layout of today.
    pub(super) fn read_mark(&mut self) -> Result<(), StoreError> {
        let value = guarded(&self.dir, || self.db.get(MARK).map_err(|error| from_sled(&self.dir, error)))?;
        let payload = value.as_deref().map(|value| unseal(MARK, value));
        let Some(Unsealed::Payload(payload)) = payload else { return Err(self.damaged("what it held is gone")) };
        let mark = Mark::from_payload(payload).ok_or_else(|| self.damaged("its mark has a strange length"))?;
        self.mark = mark.0;
        match mark.1 {
            LAYOUT => Ok(()),
            1 => self.put_into_blocks(),
            version => Err(StoreError::NewerFormat { dir: self.dir.clone(), version }),
        }
    }

    /// Puts records that have a value each into blocks, as they are sealed. One batch, so that they are in either layout
    /// whenever the power goes.
    fn put_into_blocks(&mut self) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        let mut blocks = BTreeMap::<_, Block<'_>>::new();
        let mut found = Mark::default();
        guarded(&self.dir, || {
            for record in self.db.iter() {
                let (key, value) = record.map_err(|error| from_sled(&self.dir, error))?;
                if !is_own(&key) {
                    found.add(stored_checksum(&value));
                    let (block, place) = locate(&key);
                    blocks.entry(block).or_default().put(place, value.to_vec());
                    batch.remove(key);
                }
            }
            self.compare(found)
        })?;
        for (key, block) in blocks {
            block.write(&key, &mut self.sealed);
            batch.insert(key, self.sealed.as_slice());
        }
        self.write(batch, self.mark)
    }

    /// Writes all of `entries` or none, as everything up to the commit `number`, and returns when they survive a power
    /// cut. After an error nothing is known about them, and only opening it again makes it take commits.
    ///
    /// One batch, however many they are: of several that are not synced yet a power cut may keep a later one without an
    /// earlier one, sled does not notice, and the sum of the records says that the store is damaged.
    pub(super) fn commit(&mut self, entries: &Entries, number: u64) -> Result<(), StoreError> {
        let Self { dir, db, mark, sealed, .. } = self;
        let mut next = mark.up_to(number);
        let mut batch = sled::Batch::default();
        guarded(dir, || {
            for (block_key, changes) in by_block(entries) {
                let old = db.get(&block_key).map_err(|error| from_sled(dir, error))?;
                let mut block = match &old {
                    Some(value) => Block::read(dir, &block_key, value)?,
                    None => Block::default(),
                };
                for Change { place, key, payload } in changes {
                    let mut record = Vec::with_capacity(payload.len() + OVERHEAD);
                    seal(key, payload, &mut record);
                    next.add(stored_checksum(&record));
                    if let Some(old) = block.put(place, record) {
                        next.subtract(stored_checksum(&old));
                    }
                }
                block.write(&block_key, sealed);
                batch.insert(block_key, sealed.as_slice());
            }
            Ok(())
        })?;
        self.write(batch, next)
    }

    /// Writes a batch and the mark of the store as it is then, durably.
    fn write(&mut self, mut batch: sled::Batch, next: Mark) -> Result<(), StoreError> {
        let Self { dir, db, file, mark, synced_blobs, sealed } = self;
        seal(MARK, &next.to_payload(), sealed);
        batch.insert(MARK, sealed.as_slice());
        guarded(dir, || {
            db.apply_batch(batch).map_err(|error| from_sled(dir, error))?;
            db.flush().map_err(|error| from_sled(dir, error))
        })?;
        *synced_blobs = sync_blobs(dir, *synced_blobs)?;
        file.sync_data().map_err(|source| StoreError::io(&*dir, "sync", dir.join(DB), source))?;
        *mark = next;
        Ok(())
    }

    /// Hands the key and payload of every record to `each`; without a payload if it is not what was written. Fails if any
    /// is missing or old.
    pub(super) fn scan(&self, mut each: impl FnMut(&[u8], Option<&[u8]>)) -> Result<(), StoreError> {
        guarded(&self.dir, || {
            let mut found = Mark::default();
            for block in self.db.iter() {
                let (block_key, value) = block.map_err(|error| from_sled(&self.dir, error))?;
                if is_own(&block_key) {
                    continue;
                }
                for (key, record) in Block::read(&self.dir, &block_key, &value)?.records(&block_key) {
                    found.add(stored_checksum(record));
                    match unseal(&key, record) {
                        Unsealed::Payload(payload) => each(&key, Some(payload)),
                        Unsealed::Damaged => each(&key, None),
                        Unsealed::Newer(version) => {
                            return Err(StoreError::NewerFormat { dir: self.dir.clone(), version });
                        }
                    }
                }
            }
            self.compare(found)
        })
    }

    fn compare(&self, found: Mark) -> Result<(), StoreError> {
        if self.mark.same_records(found) { Ok(()) } else { Err(self.damaged("some of its records are old or missing")) }
    }

    /// Closes it and says whether that went well. Nothing that was committed depends on it.
    pub(super) fn close(self) -> Result<(), StoreError> {
        let Self { dir, db, file, .. } = self;
        let flushed = guarded(&dir, || {
            let flushed = db.flush();
            drop(db);
            flushed.map_err(|error| from_sled(&dir, error))
        });
        flushed.and(file.sync_data().map_err(|source| StoreError::io(&dir, "sync", dir.join(DB), source)))
    }

    fn damaged(&self, what: &str) -> StoreError {
        StoreError::damaged(&self.dir, what)
    }
}

/// A record that is written at its place in a block.
struct Change<'a> {
    place: usize,
    key: &'a [u8],
    payload: &'a [u8],
}

/// What changes in which block.
fn by_block(entries: &Entries) -> BTreeMap<Vec<u8>, Vec<Change<'_>>> {
    let mut blocks = BTreeMap::<_, Vec<_>>::new();
    for (key, payload) in entries {
        let (block, place) = locate(key);
        blocks.entry(block).or_default().push(Change { place, key, payload });
    }
    blocks
}

/// Keys that start with a zero byte are the store's own.
fn is_own(key: &[u8]) -> bool {
    key.first() == Some(&0)
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
        Err(StoreError::damaged(dir, what.unwrap_or("an assertion failed")))
    })
}

fn is_lock_clash(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(error) if error.to_string().contains("could not acquire lock"))
}

fn from_sled(dir: &Path, error: sled::Error) -> StoreError {
    match error {
        sled::Error::Io(source) if !says_damaged(&source) => StoreError::io(dir, "use the store", dir, source),
        sled::Error::Io(source) => StoreError::damaged(dir, &source.to_string()),
        sled::Error::Corruption { at, .. } => StoreError::damaged(dir, &format!("corruption at {at:?}")),
        sled::Error::CollectionNotFound(_) => StoreError::damaged(dir, "its tree is missing"),
        sled::Error::Unsupported(what) | sled::Error::ReportableBug(what) => StoreError::damaged(dir, &what),
    }
}

/// Errors that come from the content of the files and not from the disk.
fn says_damaged(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{InvalidData, InvalidInput, NotFound, Other, UnexpectedEof};
    matches!(error.kind(), InvalidData | InvalidInput | NotFound | Other | UnexpectedEof)
}
