//! What is said in the log of a peer: a few lines a minute, whatever it does.

use crate::clock::Clock;
use standfast_core::id::NodeName;
use standfast_core::time::Instant;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// One line per peer in this time.
const EVERY: Duration = Duration::from_secs(5);

/// Remembers when something was said of whom. Names come from certificates of the cluster, so there are few.
#[derive(Debug)]
pub(super) struct Notices {
    clock: Clock,
    last: Mutex<BTreeMap<NodeName, Instant>>,
}

impl Notices {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, last: Mutex::default() }
    }

    /// Logs `what`, unless something was logged of `peer` a moment ago.
    pub(super) fn warn(&self, peer: &NodeName, what: impl Display) {
        if self.is_due(peer, self.clock.instant()) {
            tracing::warn!(%peer, "{what}");
        }
    }

    fn is_due(&self, peer: &NodeName, now: Instant) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last.get(peer).is_none_or(|&last| now.since(last) >= EVERY);
        if due {
            last.insert(peer.clone(), now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_per_peer_in_five_seconds() {
        let notices = Notices::new(Clock::start());
        let (a, b) = (NodeName::from("dhcp-a"), NodeName::from("dhcp-b"));
        let at = |ms: i64| Instant(ms * 1_000);
        assert!(notices.is_due(&a, at(0)));
        assert!(!notices.is_due(&a, at(4_999)));
        assert!(notices.is_due(&b, at(4_999)));
        assert!(notices.is_due(&a, at(5_000)));
        assert!(!notices.is_due(&a, at(9_999)));
    }
}
