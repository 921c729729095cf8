//! Who has the database: the owner of the store, or a thread that writes into it what the journal held.
//!
//! A takeover of everything at once keeps a processor busy for a tenth of a second, and on both nodes of a pair at about
//! the same time, since both journals fill alike. So it goes on as the journal does: while half of one file fills, the
//! database takes over the other, a little with each commit. It never needs to catch up, and on a node where nothing is
//! committed, nothing is in a hurry.

use super::base::Base;
use super::error::StoreError;
use super::journal::Entries;
use super::not_open;
use std::mem;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

/// Records that are taken over together at the least, so that the thread is not woken for each commit.
const AT_LEAST: usize = 32;

/// Who has the database.
#[derive(Debug)]
pub(super) enum Keeper {
    /// Nobody.
    Idle(Base),
    /// A thread that writes what the journal held into it.
    Busy(TakeOver),
    /// Such a write failed.
    Failed,
}

/// A takeover under way.
#[derive(Debug)]
pub(super) struct TakeOver {
    thread: JoinHandle<(Base, Result<(), StoreError>)>,
    records: usize,
    /// How many of them may be in the database by now.
    due: Arc<AtomicUsize>,
}

impl Keeper {
    /// The database, once what is written into it is durable there.
    pub(super) fn base(&mut self, dir: &Path) -> Result<&mut Base, StoreError> {
        *self = match mem::replace(self, Self::Failed) {
            Self::Busy(takeover) => match takeover.finish() {
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
    pub(super) fn notice_failure(&mut self, dir: &Path) -> Result<(), StoreError> {
        match self {
            Self::Busy(takeover) if !takeover.thread.is_finished() => Ok(()),
            Self::Busy(_) | Self::Failed => self.base(dir).map(|_| ()),
            Self::Idle(_) => Ok(()),
        }
    }

    /// Writes `entries` into the database on a thread of its own, as everything up to the commit `number`: as fast as
    /// [`go_on`](Self::go_on) says.
    pub(super) fn start(&mut self, entries: Entries, number: u64) -> Result<(), StoreError> {
        let Self::Idle(mut base) = mem::replace(self, Self::Failed) else { return Ok(()) };
        let (dir, records) = (base.dir.clone(), entries.len());
        let due = Arc::new(AtomicUsize::new(0));
        let goal = Arc::clone(&due);
        let work = move || {
            let outcome = base.commit(&entries, number, |done| wait(&goal, done, entries.len()));
            (base, outcome)
        };
        let thread = thread::Builder::new().name("store-base".into()).spawn(work);
        let thread = thread.map_err(|source| StoreError::io(&dir, "start a thread for", &dir, source))?;
        *self = Self::Busy(TakeOver { thread, records, due });
        Ok(())
    }

    /// The file of the journal that is written now is full to this part of a thousand.
    pub(super) fn go_on(&self, filled: usize) {
        if let Self::Busy(takeover) = self {
            takeover.allow(takeover.records * filled / 500);
        }
    }

    pub(super) fn close(self) -> Result<(), StoreError> {
        match self {
            Self::Idle(base) => base.close(),
            Self::Busy(_) | Self::Failed => Ok(()),
        }
    }
}

impl TakeOver {
    fn allow(&self, records: usize) {
        let before = self.due.fetch_max(records, Ordering::AcqRel);
        if records / AT_LEAST > before / AT_LEAST || records >= self.records {
            self.thread.thread().unpark();
        }
    }

    fn finish(self) -> thread::Result<(Base, Result<(), StoreError>)> {
        self.allow(self.records);
        self.thread.join()
    }
}

/// Waits until more than `done` of `all` records may be in the database; how many.
fn wait(due: &AtomicUsize, done: usize, all: usize) -> usize {
    loop {
        let due = due.load(Ordering::Acquire).min(all);
        if due >= all.min(done + AT_LEAST) {
            return due;
        }
        thread::park();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_waited_for_until_it_is_worth_a_batch() {
        let due = |records| AtomicUsize::new(records);
        assert_eq!(wait(&due(40), 0, 100), 40);
        assert_eq!(wait(&due(72), 40, 100), 72);
        assert_eq!(wait(&due(500), 72, 100), 100, "the last part may be smaller");
        assert_eq!(wait(&due(0), 0, 0), 0);
        let due = Arc::new(due(31));
        let goal = Arc::clone(&due);
        let waiting = thread::spawn(move || wait(&goal, 0, 100));
        due.fetch_add(1, Ordering::AcqRel);
        waiting.thread().unpark();
        assert_eq!(waiting.join().unwrap(), 32);
    }

    #[test]
    fn half_a_file_is_enough_for_all_of_a_takeover() {
        let scratch = tempfile::tempdir().unwrap();
        let mut base = Base::open(scratch.path()).unwrap();
        base.begin().unwrap();
        let mut keeper = Keeper::Idle(base);
        let entries: Entries = (0..100_u8).map(|n| (vec![1, n], vec![n])).collect();
        keeper.start(entries, 3).unwrap();
        for filled in [0, 250, 499] {
            keeper.go_on(filled);
            assert!(matches!(&keeper, Keeper::Busy(takeover) if !takeover.thread.is_finished()));
        }
        keeper.go_on(500);
        while matches!(&keeper, Keeper::Busy(takeover) if !takeover.thread.is_finished()) {
            thread::yield_now();
        }
        assert_eq!(keeper.base(scratch.path()).unwrap().mark.commits, 3);
    }
}
