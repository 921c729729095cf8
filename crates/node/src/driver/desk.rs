//! Where the loop's work lies: whoever brings something while nobody is at it deals with it there and then.
//!
//! To wake a thread takes as long as the work that it is woken for. A lease goes through the store of one node, over a
//! stream and through the store of the other before its client hears of it, and with the loop's thread between any two of
//! them four in ten of all wake-ups were for that thread. So the thread that has persisted a record, or read a message,
//! takes its turn itself if the loop's thread sleeps. If it does not sleep, it is told as ever, and finds what there is
//! when it is done: nobody waits here but the loop's thread, and it no longer than for one such turn.
//!
//! Clients' packets and operators' calls are taken by the loop's own thread alone.

use super::Serving;
use crate::udp::Waker;
use std::sync::{Arc, Mutex, TryLockError};

/// The work of the loop, and the bell by which its thread is called to it.
pub(crate) struct Desk {
    /// None before the loop begins and after it has ended.
    serving: Mutex<Option<Serving>>,
    bell: Waker,
}

impl Desk {
    pub(crate) fn new(bell: Waker) -> Arc<Self> {
        Arc::new(Self { serving: Mutex::new(None), bell })
    }

    /// Has what lies in the queues dealt with: here and now if nobody is at it, or else by the loop's thread.
    pub(crate) fn attend(&self) {
        let must_wake = match self.serving.try_lock() {
            Ok(mut serving) => serving.as_mut().is_none_or(Serving::attend_elsewhere),
            // The loop's thread finds out in the same way.
            Err(TryLockError::WouldBlock | TryLockError::Poisoned(_)) => true,
        };
        if must_wake {
            self.bell.wake();
        }
    }

    /// Has the loop's thread deal with what lies in the queues.
    pub(crate) fn ring(&self) {
        self.bell.wake();
    }

    /// The loop begins.
    pub(super) fn begin(&self, serving: Serving) {
        *self.lock() = Some(serving);
    }

    /// The loop has ended: nobody works here any more.
    pub(super) fn end(&self) -> Option<Serving> {
        self.lock().take()
    }

    /// Work of the loop's own thread; none once the loop has ended.
    pub(super) fn work<T>(&self, work: impl FnOnce(&mut Serving) -> T) -> Option<T> {
        self.lock().as_mut().map(work)
    }

    #[expect(
        clippy::panic,
        reason = "another thread has panicked in the middle of a turn, and nobody knows how far it came"
    )]
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Serving>> {
        self.serving.lock().unwrap_or_else(|_| panic!("a turn of the serving loop has panicked"))
    }
}
