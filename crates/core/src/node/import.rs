//! Leases that an operator brings from another server.
//!
//! Their clients go on believing in them, so each is recorded as it stands, by the rules that hold for a client which
//! asked for it here: from a node that serves, for an address that this node may give to that client.

use super::Node;
use crate::configuration::ReservationHolder;
use crate::dhcp::reservation;
use crate::event::Code;
use crate::failover::granting::{Refusal, Wish};
use crate::failover::relationship::Relationship;
use crate::input::{ImportedLease, Request};
use crate::lease::record::ClientId;
use crate::output::CommandResult;
use std::time::Duration;

impl Node {
    /// Records what may be recorded, and says of the rest why not, once the homes that had to be asked have answered: whoever
    /// imports a million leases must not ask faster than that.
    pub(super) fn import(&mut self, request: Request, leases: Vec<ImportedLease>) {
        let result = self.import_all(leases);
        self.importing.push((request, result));
    }

    /// Answers whoever imports, if nothing is being asked for.
    pub(super) fn tell_imported(&mut self) {
        if !self.importing.is_empty() && !self.relationships.iter().any(Relationship::is_importing) {
            for (request, result) in std::mem::take(&mut self.importing) {
                self.fx.answer(request, result);
            }
        }
    }

    fn import_all(&mut self, leases: Vec<ImportedLease>) -> CommandResult {
        let all = leases.len();
        let mut refused = Vec::new();
        for lease in leases {
            let address = lease.address;
            if let Err(why) = self.import_one(lease) {
                refused.push(format!("{address}: {why}"));
            }
        }
        let imported = all - refused.len();
        if imported > 0 {
            let what = format!("{imported} leases were imported");
            self.fx.event(Code::LeasesImported, None, what, "an operator brought them from another server");
        }
        if refused.is_empty() {
            return CommandResult::Done(format!("{imported} imported"));
        }
        CommandResult::Refused(refused.join("\n"))
    }

    fn import_one(&mut self, lease: ImportedLease) -> Result<(), &'static str> {
        let remaining = u64::try_from(lease.expiry.0.saturating_sub(self.fx.now.wall.0)).unwrap_or(0);
        if remaining == 0 {
            return Err("it is over");
        }
        let address = lease.address;
        let scope = self.selector.scope_of(address).ok_or("it is in no scope")?;
        let client = self.client_at(scope, &lease)?;
        let owner = self.owners[scope].and_then(|owner| self.relationships.get_mut(owner));
        let pair = owner.ok_or("another node serves its scope")?;
        let mut serving = pair.serving(&mut self.fx).ok_or("its scope is deactivated here: ask the active node")?;
        let right = serving.right_to(address, &client).map_err(|refusal| match refusal {
            Refusal::HeldByAnother => "another client holds it",
            Refusal::Offered => "it is being offered to another client: try again in a minute",
            Refusal::Declined => "someone else was found to use it",
            Refusal::NotYetFree => "another client's lease of it is over and not yet agreed free",
            Refusal::HomeElsewhere => "its home is the partner, which is not in contact",
            Refusal::HeldBack => "this node lost its store and holds back",
            Refusal::OtherRevision => {
                "a node with an older revision may give it to another client: bring that back first"
            }
        })?;
        let duration = Duration::from_millis(remaining);
        let wish = Wish { address, client, hardware: lease.hardware, hostname: lease.hostname, duration };
        serving.import(right, &wish);
        Ok(())
    }

    /// The client that the lease will bear, if the configuration lets it have the address.
    fn client_at(&self, scope: usize, lease: &ImportedLease) -> Result<ClientId, &'static str> {
        let settings = &self.configuration.scopes[scope];
        if settings.disabled {
            return Err("its scope is disabled");
        }
        if let Some(kept) = self.reservations[scope].of_address(settings, lease.address) {
            let is_its = match &kept.holder {
                ReservationHolder::Hardware(hardware) => *hardware == lease.hardware,
                ReservationHolder::ClientId(client) => *client == lease.client,
                // Which circuit a client is behind shows only when it asks.
                ReservationHolder::CircuitId(_) | ReservationHolder::RemoteId(_) => false,
            };
            return if is_its {
                Ok(reservation::identity(&kept.holder))
            } else {
                Err("it is reserved for another client")
            };
        }
        let excluded = settings.exclude.iter().any(|range| range.contains(lease.address));
        let pooled = settings.pools.iter().any(|pool| pool.range.contains(lease.address));
        if pooled && !excluded { Ok(lease.client.clone()) } else { Err("it is in no pool") }
    }
}
