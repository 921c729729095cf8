//! The demo's own judge: it sees what the clients see, and takes no node's word for anything.
//!
//! An address is *doubled* if a client is told that it may use it while another one still may. A lease is *lost* if
//! its client is refused, is given another address, or is not extended before it ends.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Instant;

/// Number of a client.
pub(super) type Client = usize;

#[derive(Default, Debug)]
pub(super) struct Judge {
    leases: BTreeMap<Client, Lease>,
    doubled: usize,
    lost: usize,
}

#[derive(Clone, Copy, Debug)]
struct Lease {
    address: Ipv4Addr,
    until: Instant,
}

impl Judge {
    /// A client was told that it may use `address` until `until`.
    pub(super) fn granted(&mut self, now: Instant, client: Client, address: Ipv4Addr, until: Instant) {
        let live = |lease: &Lease| lease.until > now;
        let others = self.leases.iter().filter(|(other, lease)| **other != client && live(lease));
        self.doubled += others.filter(|(_, lease)| lease.address == address).count();
        if let Some(before) = self.leases.insert(client, Lease { address, until }) {
            self.lost += usize::from(before.address != address || !live(&before));
        }
    }

    /// A client was told that it may not use its address.
    pub(super) fn refused(&mut self, client: Client) {
        self.lost += usize::from(self.leases.remove(&client).is_some());
    }

    /// Which client holds which address now.
    pub(super) fn holders(&self, now: Instant) -> BTreeMap<Client, Ipv4Addr> {
        let live = self.leases.iter().filter(|(_, lease)| lease.until > now);
        live.map(|(client, lease)| (*client, lease.address)).collect()
    }

    /// Addresses that two clients held at a time.
    pub(super) fn doubled(&self) -> usize {
        self.doubled
    }

    /// Leases that were refused or moved, and those that have ended by `now`.
    pub(super) fn lost(&self, now: Instant) -> usize {
        self.lost + self.leases.len() - self.holders(now).len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const A: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 10);
    const B: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 11);

    fn judged(story: impl FnOnce(&mut Judge, &dyn Fn(u64) -> Instant)) -> (usize, usize) {
        let start = Instant::now();
        let mut judge = Judge::default();
        story(&mut judge, &|seconds| start + Duration::from_secs(seconds));
        (judge.doubled(), judge.lost(start + Duration::from_secs(30)))
    }

    #[test]
    fn leases_that_are_extended_are_neither_doubled_nor_lost() {
        let verdict = judged(|judge, at| {
            judge.granted(at(0), 1, A, at(20));
            judge.granted(at(1), 2, B, at(40));
            judge.granted(at(10), 1, A, at(40));
        });
        assert_eq!(verdict, (0, 0));
    }

    #[test]
    fn an_address_of_a_live_lease_given_to_another_client_is_doubled() {
        let verdict = judged(|judge, at| {
            judge.granted(at(0), 1, A, at(60));
            judge.granted(at(10), 2, A, at(60));
        });
        assert_eq!(verdict, (1, 0));
    }

    #[test]
    fn refusals_moves_and_ends_are_losses() {
        let verdict = judged(|judge, at| {
            judge.granted(at(0), 1, A, at(60));
            judge.refused(1);
            judge.refused(1);
            judge.granted(at(0), 2, A, at(60));
            judge.granted(at(1), 2, B, at(60));
            judge.granted(at(0), 3, A, at(29));
        });
        assert_eq!(verdict, (0, 3));
    }
}
