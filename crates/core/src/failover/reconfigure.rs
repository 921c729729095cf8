//! A relationship that goes on under another revision of the configuration: its leases, replies and offers stay, as far
//! as the revision lets them.

use super::granting::drop_reply;
use super::relationship::{Beginning, Relationship};
use crate::configuration::Configuration;
use crate::dhcp::answer::Silence;
use crate::effects::Effects;

impl Relationship {
    /// Uses other timers and ranks. Promises by the longer lead and lease times of before may still stand.
    pub(crate) fn use_settings(&mut self, beginning: Beginning) {
        self.is_primary = beginning.is_primary;
        self.longest_lease = self.longest_lease.max(beginning.longest_lease);
        self.longest_mclt = self.longest_mclt.max(beginning.settings.mclt);
        self.settings = beginning.settings;
    }

    /// Scopes have new positions in the configuration. Replies that wait for one that is gone are dropped.
    pub(crate) fn renumber_scopes(&mut self, position: impl Fn(usize) -> Option<usize>, fx: &mut Effects) {
        for (address, asked, pending) in self.held.renumber_scopes(position) {
            if asked {
                self.table.release_offered(address);
            }
            drop_reply(pending, Silence::Superseded, fx);
        }
        self.drop_probes(Silence::Superseded, fx);
    }

    /// Gives what the scopes at `positions` have, as far as its allowance goes. Offers of anything else lapse.
    pub(crate) fn use_scopes(&mut self, configuration: &Configuration, positions: &[usize]) {
        self.table.reconfigure(configuration, positions, &self.allowance.withheld());
        for (client, address) in self.offers.all() {
            let kept = self.table.reserved_for(address) == Some(&client);
            if self.table.pool_of(address).is_some() || kept {
                self.table.hold_offered(address);
            } else {
                self.offers.drop_client(&client);
            }
        }
    }
}
