//! A client is never refused an address that it validly holds.

use super::{Beliefs, Checker, Seen, Time};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// For so long a declined address is nobody's, even if its client gets it again from a node that has not heard of it.
const DECLINED_FOR: Time = 60_000_000;

#[derive(Debug, Default)]
pub(super) struct Check {
    beliefs: Beliefs,
    declined: BTreeMap<Ipv4Addr, Time>,
}

impl Checker for Check {
    fn name(&self) -> &'static str {
        "nak_on_evidence"
    }

    fn see(&mut self, now: Time, seen: &Seen) -> Result<(), String> {
        let mut verdict = Ok(());
        if let Seen::GaveBack { address, declined: true, .. } = seen {
            self.declined.insert(*address, now);
        }
        let declined = |address| self.declined.get(address).is_some_and(|at| now < at + DECLINED_FOR);
        if let Seen::Refused { host, client, address, .. } = seen
            && !declined(address)
            && self.beliefs.of_address(*address).any(|held| held.client == *client && held.until > now)
        {
            verdict = Err(format!("node {host} refused {address} to client {client}, whose it is"));
        }
        self.beliefs.see(now, seen);
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::super::test::{ADDRESS, acked, breaks, holds};
    use super::*;

    #[test]
    fn a_refused_owner_is_seen() {
        let refused = Seen::Refused { host: 1, client: 1, address: ADDRESS, until: 100 };
        breaks(Check::default(), &[(0, acked(0, 1, 100)), (50, refused.clone())]);
        holds(Check::default(), &[(0, acked(0, 1, 100)), (100, refused)]);
    }
}
