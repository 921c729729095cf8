//! The durable copy of what the node knows: keys and payloads on a disk that may fail, fill up or lose power.
//!
//! A commit goes into the journal and is durable there; the database takes over what the journal holds in the
//! background, thousands of records at a time. Opening reads the database once, whole, since a successful open proves
//! nothing about pages that were not read, and then what the journal has on top of it.
//!
//! ```text
//!     commit ─► journal, synced ─► reported as persisted
//!                  │ full: the other file is written from now on
//!                  └─► database, in the background, synced ─► this file may be written anew
//! ```
//!
//! What a record means is not known here. Records are written whole and replace each other by key.

mod base;
mod block;
mod error;
mod folder;
mod journal;
mod mark;
mod records;
mod value;
mod writer;

pub use error::StoreError;
pub use folder::{Space, space as space_around};
pub use records::Records;
pub use writer::{Batch, Refused, Report, StoreThread};

use crate::clock;
use base::Base;
use folder::{DB, Found, Lock};
use journal::{Entries, Journal};
use mark::Tip;
use std::mem;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How often a full file system is looked at.
const SPACE_PAUSE: Duration = Duration::from_secs(1);

/// With less than this free no commit is taken: the journal has its space already and would go on, up to where the
/// database has none to take it over, and a node whose disk is full should hand over before that.
const ROOM: u64 = 2 << 20;

/// An open store. The folder stays locked while it exists.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
    /// `None` only after a `reopen` that failed.
    open: Option<Open>,
    _lock: Lock,
}

#[derive(Debug)]
struct Open {
    keeper: Keeper,
    journal: Journal,
    /// What is in the journal only: neither in the database nor on the way there.
    since: Entries,
    tip: Tip,
    /// How many commits are durable.
    commits: u64,
}

/// Who has the database.
#[derive(Debug)]
enum Keeper {
    /// Nobody.
    Idle(Base),
    /// A thread that writes what the journal held into it.
    Busy(JoinHandle<(Base, Result<(), StoreError>)>),
    /// Such a write failed.
    Failed,
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
        let store = Self { dir: dir.into(), open: Some(open), _lock: lock };
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
    /// The error may be one of an earlier commit that the database could not take over. Returns the space that there was
    /// around the store.
    pub fn commit<'a>(
        &mut self,
        entries: impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone,
    ) -> Result<Space, StoreError> {
        let Self { dir, open, .. } = self;
        let Some(open) = open else { return Err(not_open(dir)) };
        open.keeper.notice_failure(dir)?;
        let space = folder::space(dir)?;
        if space.free < ROOM {
            return Err(StoreError::NoSpace { dir: dir.clone() });
        }
        let number = open.commits + 1;
        let owned = entries.clone().map(|(key, payload)| (key.to_vec(), payload.to_vec()));
        if open.journal.prepare(number, entries) {
            if !open.journal.has_room() {
                open.turn_over(dir)?;
            }
            open.journal.append(number)?;
            open.since.extend(owned);
        } else {
            open.since.extend(owned);
            open.settle(dir, number)?;
        }
        open.commits = number;
        open.tip.note(number).map_err(|source| StoreError::io(&*dir, "write", dir.join(mark::TIP), source))?;
        Ok(space)
    }

    /// Has the database take over everything and reads it back. Returns how many records there are, and the keys of
    /// those that are not what was written.
    pub fn verify(&mut self) -> Result<(usize, Vec<Vec<u8>>), StoreError> {
        let Some(open) = &mut self.open else { return Err(not_open(&self.dir)) };
        let base = open.settle(&self.dir, open.commits)?;
        let mut count = 0;
        let set_aside = read(base, &Entries::new(), |_, _| count += 1)?;
        Ok((count, set_aside))
    }

    /// Closes the store after an error and opens it again, from the disk and not from the kernel's memory of it: after
    /// a failed sync the two may differ. Fails unless every record is whole and no commit is missing.
    pub fn reopen(&mut self) -> Result<(), StoreError> {
        let mut durable = 0;
        if let Some(mut open) = self.open.take() {
            durable = open.commits;
            // What either has to say about the error is known already.
            let _ = open.keeper.base(&self.dir);
            let _ = open.keeper.close();
        }
        folder::drop_cache(&self.dir)?;
        folder::remove_unfinished_snapshots(&self.dir)?;
        let (open, set_aside) = open_and_read(&self.dir, |_, _| {})?;
        if !set_aside.is_empty() {
            let what = format!("{} records do not match their checksum", set_aside.len());
            return Err(StoreError::damaged(&self.dir, &what));
        }
        if open.commits < durable {
            return Err(rolled_back(&self.dir, open.commits, durable));
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
    pub fn close(mut self) -> Result<(), StoreError> {
        let Some(mut open) = self.open.take() else { return Ok(()) };
        let settled = open.settle(&self.dir, open.commits).map(|_| ());
        settled.and(open.keeper.close())
    }
}

impl Open {
    /// Makes room in the journal: its other file is written from now on, and the database takes over what there is.
    fn turn_over(&mut self, dir: &Path) -> Result<(), StoreError> {
        let settled = self.keeper.base(dir)?.mark.commits;
        if self.journal.other_is_settled(settled) {
            self.keeper.start(mem::take(&mut self.since), self.commits)?;
        } else {
            // As it was found: both files hold what the database lacks.
            self.settle(dir, self.commits)?;
        }
        self.journal.turn_over();
        Ok(())
    }

    /// Has the database take over everything up to the commit `number`, and waits for it.
    fn settle(&mut self, dir: &Path, number: u64) -> Result<&Base, StoreError> {
        let base = self.keeper.base(dir)?;
        if number > base.mark.commits {
            base.commit(&self.since, number)?;
        }
        self.since.clear();
        Ok(base)
    }
}

impl Keeper {
    /// The database, once what is written into it is durable there.
    fn base(&mut self, dir: &Path) -> Result<&mut Base, StoreError> {
        *self = match mem::replace(self, Self::Failed) {
            Self::Busy(thread) => match thread.join() {
                Ok((base, Ok(()))) => Self::Idle(base),
                Ok((_, Err(error))) => return Err(error),
                Err(panic) => std::panic::resume_unwind(panic),
            },
            keeper @ (Self::Idle(_) | Self::Failed) => keeper,
        };
        match self {
            Self::Idle(base) => Ok(base),
            Self::Busy(_) | Self::Failed => Err(not_open(dir)),
        }
    }

    /// What went wrong in the background is told to whoever comes next.
    fn notice_failure(&mut self, dir: &Path) -> Result<(), StoreError> {
        match self {
            Self::Busy(thread) if !thread.is_finished() => Ok(()),
            Self::Busy(_) | Self::Failed => self.base(dir).map(|_| ()),
            Self::Idle(_) => Ok(()),
        }
    }

    /// Writes `entries` into the database on a thread of its own, as everything up to the commit `number`.
    fn start(&mut self, entries: Entries, number: u64) -> Result<(), StoreError> {
        let Self::Idle(mut base) = mem::replace(self, Self::Failed) else { return Ok(()) };
        let dir = base.dir.clone();
        let work = move || {
            let outcome = base.commit(&entries, number);
            (base, outcome)
        };
        let thread = thread::Builder::new().name("store-base".into()).spawn(work);
        *self = Self::Busy(thread.map_err(|source| StoreError::io(&dir, "start a thread for", &dir, source))?);
        Ok(())
    }

    fn close(self) -> Result<(), StoreError> {
        match self {
            Self::Idle(base) => base.close(),
            Self::Busy(_) | Self::Failed => Ok(()),
        }
    }
}

/// Nothing writes into a store that is gone: another one may be opened in its place.
impl Drop for Store {
    fn drop(&mut self) {
        if let Some(open) = &mut self.open {
            // Nobody is left to tell.
            let _ = open.keeper.base(&self.dir);
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
        return Err(StoreError::damaged(dir, "its main file is missing"));
    }
    let mut records = Records::default();
    let (open, set_aside) = open_and_read(dir, |key, payload| records.push(key, payload))?;
    Ok(Loaded { open, records, set_aside })
}

/// Opens database and journal and hands every whole record to `each`; also returns the keys of those that are not.
/// Fails if any is missing or old.
fn open_and_read(dir: &Path, each: impl FnMut(&[u8], &[u8])) -> Result<(Open, Vec<Vec<u8>>), StoreError> {
    let mut base = Base::open(dir)?;
    base.read_mark()?;
    let (journal, replayed) = Journal::open(dir, base.mark.commits)?;
    let (since, commits) = (replayed.entries, replayed.commits);
    let tip = Tip::open(dir)?;
    if commits < tip.found {
        return Err(rolled_back(dir, commits, tip.found));
    }
    let set_aside = read(&base, &since, each)?;
    Ok((Open { keeper: Keeper::Idle(base), journal, since, tip, commits }, set_aside))
}

/// Hands every whole record to `each`, those of the database first; returns the keys of those that are not.
fn read(base: &Base, newer: &Entries, mut each: impl FnMut(&[u8], &[u8])) -> Result<Vec<Vec<u8>>, StoreError> {
    let mut set_aside = Vec::new();
    base.scan(|key, payload| match payload {
        _ if newer.contains_key(key) => {}
        Some(payload) => each(key, payload),
        None => set_aside.push(key.to_vec()),
    })?;
    newer.iter().for_each(|(key, payload)| each(key, payload));
    Ok(set_aside)
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
    let mut base = Base::open(&scratch)?;
    base.begin()?;
    Journal::open(&scratch, 0)?;
    Tip::open(&scratch)?;
    base.close()?;
    folder::sync(&scratch)?;
    folder::rename(&scratch, dir)
}

fn not_open(dir: &Path) -> StoreError {
    StoreError::damaged(dir, "it could not be opened again after an error")
}

fn rolled_back(dir: &Path, found: u64, expected: u64) -> StoreError {
    StoreError::damaged(dir, &format!("it went back in time, from commit {expected} to commit {found}"))
}

#[cfg(test)]
mod tests;
