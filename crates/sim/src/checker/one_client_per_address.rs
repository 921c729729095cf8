//! Two clients never believe in one address at the same time: from the ACK until expiry, RELEASE, DECLINE or NAK.

use super::{Beliefs, Checker, Seen, Time};

#[derive(Debug, Default)]
pub(super) struct Check(Beliefs);

impl Checker for Check {
    fn name(&self) -> &'static str {
        "one_client_per_address"
    }

    fn see(&mut self, now: Time, seen: &Seen) -> Result<(), String> {
        let mut verdict = Ok(());
        if let Seen::Acked(acked) = seen {
            let other = self.0.of_address(acked.address).find(|held| held.client != acked.client && held.until > now);
            if let Some(held) = other {
                verdict = Err(format!(
                    "{} is client {}'s for {} ms more, by node {}, and client {}'s by node {}",
                    acked.address,
                    held.client,
                    (held.until - now) / 1_000,
                    held.host,
                    acked.client,
                    acked.host
                ));
            }
        }
        self.0.see(now, seen);
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::super::test::{ADDRESS, acked, breaks, holds};
    use super::*;

    #[test]
    fn two_clients_with_one_address_are_seen() {
        breaks(Check::default(), &[(0, acked(0, 1, 100)), (99, acked(1, 2, 200))]);
    }

    #[test]
    fn an_address_may_pass_on_when_its_lease_is_over_or_given_back() {
        let given_back = Seen::GaveBack { client: 2, address: ADDRESS, declined: false };
        holds(
            Check::default(),
            &[(0, acked(0, 1, 100)), (100, acked(1, 2, 200)), (150, given_back), (151, acked(1, 3, 300))],
        );
    }
}
