//! How often clients may make this node do what costs others something.
//!
//! Each limit is a burst and a rate, kept as one instant per key: the one at which the whole burst is there again.
//! A map of them is bounded; when it is full, the key that is nearest to its full burst is forgotten, which loses the
//! least. Nothing here is replicated or stored: a failover grants everyone a new burst.

use crate::lease::record::{ClientId, HardwareAddress};
use crate::time::Instant;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Keys that one limit remembers at the most.
const MOST: usize = 8_192;

/// Packets of one client that are answered in a second. No client needs two; one that is broken sends thousands, each
/// of which may cost a durable write on two nodes.
const PACKETS_PER_SECOND: u32 = 50;

/// Every limit of a node.
#[derive(Debug)]
pub(crate) struct Limits {
    packets: Window,
    naks: Limit<ClientId>,
    declines_of_client: Limit<ClientId>,
    declines_in_scope: Limit<usize>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            packets: Window::default(),
            // A client in trouble starts again at once after a NAK: five tries are more than any needs.
            naks: Limit::new(5, Duration::from_secs(2)),
            // Each declined address is lost to everyone for a while. A client that finds ten squatters in an hour has
            // found enough to be looked at.
            declines_of_client: Limit::new(10, Duration::from_secs(360)),
            declines_in_scope: Limit::new(32, Duration::from_secs(60)),
        }
    }
}

impl Limits {
    /// Whether a client's packet is dealt with: not if it sends too many.
    pub(crate) fn allow_packet(&mut self, hardware: HardwareAddress, now: Instant) -> bool {
        self.packets.count(hardware, now) <= PACKETS_PER_SECOND
    }

    /// Whether a client may be sent a NAK now.
    pub(crate) fn allow_nak(&mut self, client: &ClientId, now: Instant) -> bool {
        self.naks.allow(client, now)
    }

    /// Whether a client's DECLINE of an address in a scope may take that address from everyone.
    pub(crate) fn allow_decline(&mut self, client: &ClientId, scope: usize, now: Instant) -> bool {
        self.declines_of_client.allow(client, now) && self.declines_in_scope.allow(&scope, now)
    }
}

/// Packets by client in the current second. Each packet passes here, so it is one look-up; the memory is that of the
/// clients which one second brings.
#[derive(Debug)]
struct Window {
    since: Instant,
    counts: BTreeMap<HardwareAddress, u32>,
}

impl Default for Window {
    fn default() -> Self {
        Self { since: Instant::NEVER, counts: BTreeMap::new() }
    }
}

impl Window {
    fn count(&mut self, hardware: HardwareAddress, now: Instant) -> u32 {
        if self.since + Duration::from_secs(1) <= now {
            self.since = now;
            self.counts.clear();
        }
        let count = self.counts.entry(hardware).or_default();
        *count += 1;
        *count
    }
}

/// So many at once, and then one each interval, per key.
#[derive(Debug)]
struct Limit<K> {
    /// How far ahead of now the burst may be used up.
    ahead: Duration,
    interval: Duration,
    full_at: BTreeMap<K, Instant>,
    by_time: BTreeSet<(Instant, K)>,
}

impl<K: Ord + Clone> Limit<K> {
    fn new(burst: u32, interval: Duration) -> Self {
        Self { ahead: interval * (burst - 1), interval, full_at: BTreeMap::new(), by_time: BTreeSet::new() }
    }

    fn allow(&mut self, key: &K, now: Instant) -> bool {
        let before = self.full_at.get(key).copied();
        let full_at = before.unwrap_or(now).max(now);
        if full_at > now + self.ahead {
            return false;
        }
        if let Some(before) = before {
            self.by_time.remove(&(before, key.clone()));
        } else if self.full_at.len() >= MOST
            && let Some((_, forgotten)) = self.by_time.pop_first()
        {
            self.full_at.remove(&forgotten);
        }
        self.full_at.insert(key.clone(), full_at + self.interval);
        self.by_time.insert((full_at + self.interval, key.clone()));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_burst_and_then_one_each_interval() {
        let mut limit = Limit::new(3, SECOND);
        let start = Instant(0);
        assert_eq!([1, 2, 3, 4].map(|_| limit.allow(&1, start)), [true, true, true, false]);
        assert!(limit.allow(&2, start));
        let later = start + SECOND;
        assert_eq!([1, 2].map(|_| limit.allow(&1, later)), [true, false]);
        let much_later = start + SECOND * 100;
        assert_eq!([1, 2, 3, 4].map(|_| limit.allow(&1, much_later)), [true, true, true, false]);
    }

    #[test]
    fn memory_is_bounded_and_the_one_in_need_of_it_is_remembered() {
        let mut limit = Limit::new(2, SECOND);
        let start = Instant(0);
        assert_eq!([1, 2, 3].map(|_| limit.allow(&0, start)), [true, true, false]);
        for key in 1..20_000 {
            assert!(limit.allow(&key, start));
        }
        assert_eq!((limit.full_at.len(), limit.by_time.len()), (MOST, MOST));
        assert!(!limit.allow(&0, start));
    }
}
