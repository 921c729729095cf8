//! What is said in the log of those who knock: a few lines a minute of each kind, whatever is tried.

use crate::clock::Clock;
use standfast_core::time::Instant;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// One line of a kind in this time.
const EVERY: Duration = Duration::from_secs(5);

/// Remembers when something of a kind was said, and how often it was left unsaid since. Kinds must be few: names from
/// certificates of the cluster, or reasons that the program knows.
#[derive(Debug)]
pub(crate) struct Notices<K> {
    clock: Clock,
    said: Mutex<BTreeMap<K, Said>>,
}

#[derive(Debug)]
struct Said {
    at: Instant,
    /// So often it was not said since.
    unsaid: u64,
}

impl<K: Ord> Notices<K> {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, said: Mutex::default() }
    }

    /// Logs `what`, unless something of this kind was logged a moment ago. The next line says how often it was not.
    pub(crate) fn warn(&self, kind: K, what: impl Display) {
        match self.due(kind, self.clock.instant()) {
            Some(0) => tracing::warn!("{what}"),
            Some(unsaid) => tracing::warn!("{what} (and {unsaid} times before, since the last line like this)"),
            None => {}
        }
    }

    /// How often it was left unsaid before, if it is to be said now.
    fn due(&self, kind: K, now: Instant) -> Option<u64> {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        match said.get_mut(&kind) {
            Some(last) if now.since(last.at) < EVERY => {
                last.unsaid += 1;
                None
            }
            Some(last) => Some(std::mem::replace(last, Said { at: now, unsaid: 0 }).unsaid),
            None => {
                said.insert(kind, Said { at: now, unsaid: 0 });
                Some(0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_of_a_kind_in_five_seconds_which_tells_how_many_there_were() {
        let notices = Notices::new(Clock::start());
        let at = |ms: i64| Instant(ms * 1_000);
        assert_eq!(notices.due("a", at(0)), Some(0));
        assert_eq!(notices.due("a", at(1)), None);
        assert_eq!(notices.due("a", at(4_999)), None);
        assert_eq!(notices.due("b", at(4_999)), Some(0));
        assert_eq!(notices.due("a", at(5_000)), Some(2));
        assert_eq!(notices.due("a", at(9_999)), None);
        assert_eq!(notices.due("a", at(10_000)), Some(1));
    }
}
