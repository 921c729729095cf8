//! The thread that owns the store: takes whatever has queued up while the last commit ran, commits it as one group.
//!
//! It never waits for more to come; the commit before is the wait, so a busy node gets large groups and an idle one an
//! answer after one sync.
//!
//! An error is told at once, since a node that cannot persist must not serve, and nothing of the failed group counts
//! as written. Then:
//! - no space left: the store is opened again, as often as it takes, once there is space; the group is committed anew;
//! - anything else: it is opened again and verified, once in the life of the process, and the group is committed anew.
//!   A second error means that the disk cannot be trusted, and the thread ends. A failed sync is never tried again on
//!   the same pages: the kernel may have thrown them away, and the second try would succeed over nothing.

use super::folder::Space;
use super::{SPACE_PAUSE, Store, StoreError};
use crate::clock::Clock;
use standfast_core::id::Sequence;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{io, mem};

/// At most so many records make a group, so that the first of them need not wait long for the last.
const GROUP: usize = 512;
/// At most so many batches wait; after that the sender is told.
const QUEUE: usize = 1_024;
/// With less than this the store is not tried again: it takes space by segments of half a MiB.
const SPACE_NEEDED: u64 = 8 << 20;

/// Records to write together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Batch {
    /// The number of the last of them; rises from batch to batch.
    pub sequence: Sequence,
    /// Keys and payloads. Of two with the same key the later one stays.
    pub entries: Vec<(Vec<u8>, Vec<u8>)>,
}

/// What the thread has to say.
#[derive(Debug)]
pub enum Report {
    /// Everything up to this number survives a power cut.
    Persisted {
        /// The number of the last batch of the group.
        sequence: Sequence,
        /// How many records the group had.
        records: usize,
        /// How long the commit took.
        took: Duration,
        /// Whether nothing waits to be committed next.
        idle: bool,
    },
    /// Nothing can be written just now: stop serving. The thread tries to go on by itself.
    Failing(StoreError),
    /// Writing works again; what was under way is reported as persisted next.
    Recovered,
    /// The store failed for good and the thread has ended: the process must end too.
    Gone(StoreError),
    /// The space around the store became low, or enough again.
    Space(Space),
}

/// Why a batch was not taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refused {
    /// The queue is full; try again after the next report.
    Full(Batch),
    /// The store is gone.
    Stopped(Batch),
}

/// The owner of a store, on a thread of its own.
#[derive(Debug)]
pub struct StoreThread {
    queue: SyncSender<Batch>,
    /// Ends the wait for space.
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<(), StoreError>>,
}

impl StoreThread {
    /// Starts the thread. It calls `report`, which must not block.
    pub fn start(store: Store, clock: Clock, report: impl FnMut(Report) + Send + 'static) -> io::Result<Self> {
        Self::start_on(store, clock, report)
    }

    fn start_on(disk: impl Disk, clock: Clock, report: impl FnMut(Report) + Send + 'static) -> io::Result<Self> {
        let (queue, batches) = sync_channel(QUEUE);
        let stop = Arc::new(AtomicBool::new(false));
        let writer = Writer {
            disk,
            clock,
            report,
            batches,
            stop: Arc::clone(&stop),
            group: Vec::new(),
            next: None,
            low: false,
            reopened: false,
        };
        let thread = thread::Builder::new().name("store".into()).spawn(move || writer.run())?;
        Ok(Self { queue, stop, thread })
    }

    /// Queues a batch, never blocking.
    pub fn submit(&self, batch: Batch) -> Result<(), Refused> {
        self.queue.try_send(batch).map_err(|error| match error {
            TrySendError::Full(batch) => Refused::Full(batch),
            TrySendError::Disconnected(batch) => Refused::Stopped(batch),
        })
    }

    /// Commits what is queued, unless the file system is full, closes the store and ends the thread.
    pub fn close(self) -> Result<(), StoreError> {
        drop(self.queue);
        self.stop.store(true, Ordering::Release);
        self.thread.thread().unpark();
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// What the thread needs of a store; tests put a failing one in its place.
trait Disk: Send + 'static {
    /// Returns the space there is.
    fn commit(&mut self, group: &[Batch]) -> Result<Space, StoreError>;
    fn reopen(&mut self) -> Result<(), StoreError>;
    fn space(&mut self) -> Result<Space, StoreError>;
    fn close(self) -> Result<(), StoreError>;
}

impl Disk for Store {
    fn commit(&mut self, group: &[Batch]) -> Result<Space, StoreError> {
        let entries = group.iter().flat_map(|batch| &batch.entries);
        Self::commit(self, entries.map(|(key, payload)| (key.as_slice(), payload.as_slice())))
    }

    fn reopen(&mut self) -> Result<(), StoreError> {
        Self::reopen(self)
    }

    fn space(&mut self) -> Result<Space, StoreError> {
        Self::space(self)
    }

    fn close(self) -> Result<(), StoreError> {
        Self::close(self)
    }
}

struct Writer<D, R> {
    disk: D,
    clock: Clock,
    /// Before `report`, so that nothing can be submitted any more once the last report is out.
    batches: Receiver<Batch>,
    report: R,
    stop: Arc<AtomicBool>,
    /// Being committed.
    group: Vec<Batch>,
    /// The first of the group after it, if that has come.
    next: Option<Batch>,
    low: bool,
    /// Whether the one reopening after an error has been used up.
    reopened: bool,
}

impl<D: Disk, R: FnMut(Report)> Writer<D, R> {
    fn run(mut self) -> Result<(), StoreError> {
        while self.take_group() {
            let started = self.clock.instant();
            let committed = self.disk.commit(&self.group);
            let Some(space) = committed.map_or_else(|error| self.recover(error), Some) else { break };
            let took = self.clock.instant().since(started);
            let records = self.group.iter().map(|batch| batch.entries.len()).sum();
            self.next = self.batches.try_recv().ok();
            let idle = self.next.is_none();
            if let Some(batch) = self.group.last() {
                (self.report)(Report::Persisted { sequence: batch.sequence, records, took, idle });
            }
            self.watch_space(space);
        }
        self.disk.close()
    }

    /// Waits for a batch and takes those that wait behind it. False when there will be none.
    fn take_group(&mut self) -> bool {
        self.group.clear();
        let Some(first) = self.next.take().or_else(|| self.batches.recv().ok()) else { return false };
        let mut records = first.entries.len();
        self.group.push(first);
        while records < GROUP
            && let Ok(batch) = self.batches.try_recv()
        {
            records += batch.entries.len();
            self.group.push(batch);
        }
        true
    }

    /// The space there is once the group is committed after all; none if it never will be.
    fn recover(&mut self, mut error: StoreError) -> Option<Space> {
        let mut told = false;
        loop {
            let full = error.is_no_space();
            if !full && mem::replace(&mut self.reopened, true) {
                (self.report)(Report::Gone(error));
                return None;
            }
            if !mem::replace(&mut told, true) {
                (self.report)(Report::Failing(error));
            }
            if full && !self.wait_for_space() {
                return None;
            }
            match self.disk.reopen().and_then(|()| self.disk.commit(&self.group)) {
                Ok(space) => {
                    (self.report)(Report::Recovered);
                    return Some(space);
                }
                Err(again) => error = again,
            }
        }
    }

    /// False if the process wants to end first.
    fn wait_for_space(&mut self) -> bool {
        loop {
            if self.stop.load(Ordering::Acquire) {
                return false;
            }
            // Also when there seems to be space: a quota does not show, and must not be run against without a pause.
            thread::park_timeout(SPACE_PAUSE);
            if self.disk.space().is_ok_and(|space| space.free >= SPACE_NEEDED) {
                return true;
            }
        }
    }

    fn watch_space(&mut self, space: Space) {
        let changed = if self.low { space.is_ample() } else { space.is_low() };
        if changed {
            self.low = !self.low;
            (self.report)(Report::Space(space));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;
    use std::io::ErrorKind;
    use std::sync::mpsc::{Sender, channel};

    /// Does what its script says, one entry a call, and tells what it was asked to do.
    struct Scripted {
        commits: VecDeque<Option<ErrorKind>>,
        reopens: VecDeque<Option<ErrorKind>>,
        /// MiB of 100, and 50 when the script has ended.
        free: VecDeque<u64>,
        calls: Sender<String>,
        gate: Option<Receiver<()>>,
    }

    fn next(script: &mut VecDeque<Option<ErrorKind>>) -> Result<(), StoreError> {
        match script.pop_front().flatten() {
            Some(kind) => Err(StoreError::io("/store", "sync", "/store/db", kind.into())),
            None => Ok(()),
        }
    }

    impl Disk for Scripted {
        fn commit(&mut self, group: &[Batch]) -> Result<Space, StoreError> {
            let sequences: Vec<_> = group.iter().map(|batch| batch.sequence.0).collect();
            self.calls.send(format!("commit {sequences:?}")).unwrap();
            if let Some(gate) = &self.gate {
                gate.recv().unwrap();
            }
            next(&mut self.commits)?;
            self.space()
        }

        fn reopen(&mut self) -> Result<(), StoreError> {
            self.calls.send("reopen".into()).unwrap();
            next(&mut self.reopens)
        }

        fn space(&mut self) -> Result<Space, StoreError> {
            Ok(Space { free: self.free.pop_front().unwrap_or(50) << 20, total: 100 << 20 })
        }

        fn close(self) -> Result<(), StoreError> {
            self.calls.send("close".into()).unwrap();
            Ok(())
        }
    }

    struct Bench {
        thread: StoreThread,
        calls: Receiver<String>,
        reports: Receiver<String>,
    }

    #[derive(Default)]
    struct Script<'a> {
        commits: &'a [Option<ErrorKind>],
        reopens: &'a [Option<ErrorKind>],
        free: &'a [u64],
        gate: Option<Receiver<()>>,
    }

    fn start(script: Script<'_>) -> Bench {
        let (calls, calls_out) = channel();
        let (reports, reports_out) = channel();
        let disk = Scripted {
            commits: script.commits.iter().copied().collect(),
            reopens: script.reopens.iter().copied().collect(),
            free: script.free.iter().copied().collect(),
            calls,
            gate: script.gate,
        };
        let report = move |report| reports.send(describe(&report)).unwrap();
        let thread = StoreThread::start_on(disk, Clock::start(), report).unwrap();
        Bench { thread, calls: calls_out, reports: reports_out }
    }

    fn describe(report: &Report) -> String {
        match report {
            Report::Persisted { sequence, records, .. } => format!("persisted {} with {records}", sequence.0),
            Report::Failing(error) if error.is_no_space() => "failing, full".into(),
            Report::Failing(_) => "failing".into(),
            Report::Recovered => "recovered".into(),
            Report::Gone(_) => "gone".into(),
            Report::Space(space) => format!("space {}", if space.is_low() { "low" } else { "enough" }),
        }
    }

    fn batch(sequence: u64) -> Batch {
        Batch { sequence: Sequence(sequence), entries: vec![(b"key".to_vec(), b"payload".to_vec())] }
    }

    fn rest(receiver: Receiver<String>) -> Vec<String> {
        receiver.into_iter().collect()
    }

    #[test]
    fn what_queues_up_behind_a_commit_becomes_one_group() {
        let (open, gate) = channel();
        let bench = start(Script { gate: Some(gate), ..Script::default() });
        bench.thread.submit(batch(1)).unwrap();
        assert_eq!(bench.calls.recv().unwrap(), "commit [1]");
        for sequence in 2..5 {
            bench.thread.submit(batch(sequence)).unwrap();
        }
        open.send(()).unwrap();
        open.send(()).unwrap();
        bench.thread.close().unwrap();
        assert_eq!(rest(bench.calls), ["commit [2, 3, 4]", "close"]);
        assert_eq!(rest(bench.reports), ["persisted 1 with 1", "persisted 4 with 3"]);
    }

    #[test]
    fn a_group_is_bounded() {
        let (open, gate) = channel();
        let bench = start(Script { gate: Some(gate), ..Script::default() });
        bench.thread.submit(batch(0)).unwrap();
        assert_eq!(bench.calls.recv().unwrap(), "commit [0]");
        for sequence in 1..=u64::try_from(QUEUE).unwrap() {
            bench.thread.submit(batch(sequence)).unwrap();
        }
        assert_eq!(bench.thread.submit(batch(9_999)), Err(Refused::Full(batch(9_999))));
        for _ in 0..3 {
            open.send(()).unwrap();
        }
        bench.thread.close().unwrap();
        assert_eq!(rest(bench.reports), ["persisted 0 with 1", "persisted 512 with 512", "persisted 1024 with 512"]);
    }

    #[test]
    fn after_an_error_it_reopens_and_commits_anew() {
        let bench = start(Script { commits: &[None, Some(ErrorKind::Other)], ..Script::default() });
        bench.thread.submit(batch(1)).unwrap();
        assert_eq!(bench.reports.recv().unwrap(), "persisted 1 with 1");
        bench.thread.submit(batch(2)).unwrap();
        bench.thread.close().unwrap();
        assert_eq!(rest(bench.reports), ["failing", "recovered", "persisted 2 with 1"]);
        let calls = rest(bench.calls);
        assert_eq!(calls, ["commit [1]", "commit [2]", "reopen", "commit [2]", "close"]);
    }

    #[test]
    fn a_second_error_ends_it() {
        for (commits, reopens) in [
            ([Some(ErrorKind::Other), Some(ErrorKind::Other)].as_slice(), [].as_slice()),
            (&[Some(ErrorKind::Other)], &[Some(ErrorKind::Other)]),
        ] {
            let bench = start(Script { commits, reopens, ..Script::default() });
            bench.thread.submit(batch(1)).unwrap();
            assert_eq!(bench.reports.recv().unwrap(), "failing");
            assert_eq!(bench.reports.recv().unwrap(), "gone");
            assert!(bench.reports.recv().is_err(), "the thread has ended");
            assert_eq!(bench.thread.submit(batch(2)), Err(Refused::Stopped(batch(2))));
        }
    }

    #[test]
    fn an_error_much_later_ends_it_too() {
        let commits = &[Some(ErrorKind::Other), None, None, Some(ErrorKind::Other)];
        let bench = start(Script { commits, ..Script::default() });
        for sequence in 1..=2 {
            bench.thread.submit(batch(sequence)).unwrap();
            while bench.reports.recv().unwrap() != format!("persisted {sequence} with 1") {}
        }
        bench.thread.submit(batch(3)).unwrap();
        assert_eq!(bench.reports.recv().unwrap(), "gone");
    }

    #[test]
    fn a_full_disk_is_tried_until_there_is_space_and_told_once() {
        let full = Some(ErrorKind::StorageFull);
        let bench = start(Script { commits: &[full, full], reopens: &[full], ..Script::default() });
        bench.thread.submit(batch(1)).unwrap();
        let reports: Vec<_> = bench.reports.iter().take(3).collect();
        assert_eq!(reports, ["failing, full", "recovered", "persisted 1 with 1"]);
        bench.thread.close().unwrap();
    }

    #[test]
    fn a_full_disk_does_not_hold_up_the_end() {
        let bench = start(Script { commits: &[Some(ErrorKind::StorageFull); 100], ..Script::default() });
        bench.thread.submit(batch(1)).unwrap();
        assert_eq!(bench.reports.recv().unwrap(), "failing, full");
        bench.thread.close().unwrap();
        assert_eq!(rest(bench.reports), Vec::<String>::new());
    }

    #[test]
    fn low_space_is_told_once_each_way() {
        let bench = start(Script { free: &[50, 9, 9, 11, 13, 9], ..Script::default() });
        let mut reports = Vec::new();
        for sequence in 1..=6 {
            bench.thread.submit(batch(sequence)).unwrap();
            while reports.last() != Some(&format!("persisted {sequence} with 1")) {
                reports.push(bench.reports.recv().unwrap());
            }
        }
        bench.thread.close().unwrap();
        reports.extend(bench.reports);
        reports.retain(|report| !report.starts_with("persisted"));
        assert_eq!(reports, ["space low", "space enough", "space low"]);
    }
}
