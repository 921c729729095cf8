//! The right to answer clients, as a value.
//!
//! A [`Serving`] exists only while the relationship is active on this node, its right is durable and the store works.
//! The functions that change a lease on a client's behalf are its methods and nobody else's: a standby cannot answer
//! by mistake, and there is no question to forget.

use super::granting::{Refusal, Right, Settled, Wish};
use super::partner_down::Giving;
use super::relationship::Relationship;
use super::state::Phase;
use crate::configuration::Probe;
use crate::dhcp::answer::Silence;
use crate::dhcp::offers::Origin;
use crate::dhcp::pending::Pending;
use crate::dhcp::probes::{self, Started};
use crate::effects::Effects;
use crate::id::Slot;
use crate::lease::record::{ClientId, HardwareAddress, Lease};
use crate::lease::table::{LeaseTable, PoolIndex};
use crate::mutant::{Rule, holds};
use crate::output::Probing;
use crate::time::Instant;
use std::net::Ipv4Addr;
use std::time::Duration;

/// How many times the free addresses of this node's own home the partner's may be before it is asked for one of them. An
/// ask costs as much as a grant, and a partner that has to serve alone needs a stock more than the node that serves now.
const STOCK: u64 = 2;

/// One relationship, active on this node now.
pub(crate) struct Serving<'a> {
    pair: &'a mut Relationship,
    fx: &'a mut Effects,
}

impl Relationship {
    /// The right to answer the clients of these scopes, if this node has it.
    pub(crate) fn serving<'a>(&'a mut self, fx: &'a mut Effects) -> Option<Serving<'a>> {
        if self.is_serving(fx) || !holds(Rule::SilenceGate) { Some(Serving { pair: self, fx }) } else { None }
    }
}

impl Serving<'_> {
    /// Its leases, to look at.
    pub(crate) fn leases(&self) -> &LeaseTable {
        &self.pair.table
    }

    /// This turn's instant.
    pub(crate) fn now(&self) -> Instant {
        self.fx.instant()
    }

    /// Whether a lease that is known here is evidence against a client: not of an address whose home is the partner's,
    /// while the partner may be changing it unheard, nor where this node does not know what was promised.
    pub(crate) fn is_evidence(&self, address: Ipv4Addr) -> bool {
        let in_touch = self.pair.table.is_home(address) || self.pair.state.phase() != Phase::CommunicationsInterrupted;
        (in_touch && !self.pair.is_held_back(address, self.fx)) || !holds(Rule::NakEvidence)
    }

    /// Whether an address of which nothing is known here is nobody's: the partner may have promised it unheard, before
    /// it died or lost its store.
    pub(crate) fn is_nobodys(&self, address: Ipv4Addr) -> bool {
        self.pair.knows_promises_of(address, self.fx)
    }

    /// Whether both nodes are in step, so that an answer to a DISCOVER may bind.
    pub(crate) fn may_commit_rapidly(&self) -> bool {
        self.pair.is_normal() || self.pair.partner.is_none()
    }

    /// By what right a client may have an address now. What is offered to another is not free.
    pub(crate) fn right_to(&self, address: Ipv4Addr, client: &ClientId) -> Result<Right, Refusal> {
        if self.pair.offers.is_held_for_another(address, client) {
            return Err(Refusal::Offered);
        }
        self.pair.right_to(address, client, self.fx)
    }

    /// The next free address of a pool, of a home that gives them: of this node's own, which nobody need be asked for, unless
    /// the partner's has more than [`STOCK`] times as many.
    pub(crate) fn next_free(&mut self, pool: PoolIndex) -> Option<Ipv4Addr> {
        let giving = Giving::of(self.pair, self.fx);
        let own = self.pair.partner.as_ref().map(|_| self.pair.slot);
        let partners = own.map(Slot::other).filter(|_| self.pair.may_draw_on_partner()).map(Some);
        let table = &mut self.pair.table;
        let mut homes = [Some(own), partners];
        if partners.is_some_and(|home| table.free_in(pool, home) > STOCK * table.free_in(pool, own)) {
            homes.reverse();
        }
        homes.into_iter().flatten().find_map(|home| {
            let at_home = home == own;
            table.next_free(pool, home, giving.certain, |_, lease| giving.may_offer(at_home, lease))
        })
    }

    /// How long a client would be promised an address.
    pub(crate) fn lease_to_offer(&self, address: Ipv4Addr, client: &ClientId, duration: Duration) -> Duration {
        self.pair.lease_to_offer(address, client, duration, self.fx)
    }

    /// What a client was offered.
    pub(crate) fn offered_to(&self, client: &ClientId) -> Option<Ipv4Addr> {
        self.pair.offers.of_client(client)
    }

    /// Whether a client of which nothing is known may be offered an address: not if its origin holds too many offers.
    pub(crate) fn may_offer_unknown(&self, client: &ClientId, origin: &Origin) -> bool {
        self.offered_to(client).is_some() || !self.pair.offers.is_full(origin)
    }

    /// Holds an address for a client; `origin` is where it asked from, if nothing is known of it.
    pub(crate) fn hold_offer(&mut self, client: &ClientId, address: Ipv4Addr, hold: Duration, origin: Option<Origin>) {
        let freed = self.pair.offers.hold(client, address, self.fx.instant() + hold, origin);
        freed.into_iter().for_each(|address| self.pair.table.release_offered(address));
        self.pair.table.hold_offered(address);
    }

    /// Whether an address is looked for before this client is offered it: not if it is the client's own lease, as the
    /// client itself might answer, and not a second time.
    pub(crate) fn must_probe(&self, address: Ipv4Addr, client: &ClientId) -> bool {
        let holds = |lease: &Lease| lease.client == *client && lease.is_live(self.fx.instant());
        !self.pair.table.get(address).is_some_and(holds) && !self.pair.offers.is_quiet(client, address)
    }

    /// Has an address looked for, which is held for the client meanwhile. False if too many are.
    pub(crate) fn probe(
        &mut self,
        how: Probe,
        address: Ipv4Addr,
        client: &ClientId,
        tries: u8,
        pending: Pending,
    ) -> bool {
        let now = self.fx.instant();
        let link = pending.link;
        match self.pair.probes.start(address, client, tries, pending, now) {
            Started::New => {
                self.fx.outputs.probes.push(Probing { link, address, how, deadline: now + probes::WAIT });
                true
            }
            Started::Joined { instead_of } => {
                self.fx.settled.push(Settled::Dropped { pending: instead_of, why: Silence::Superseded });
                true
            }
            Started::Full => false,
        }
    }

    /// Nobody answered for the address that is held for this client.
    pub(crate) fn note_quiet(&mut self, client: &ClientId) {
        self.pair.offers.note_quiet(client);
    }

    /// A client chose another server.
    pub(crate) fn drop_offer(&mut self, client: &ClientId) -> bool {
        let dropped = self.pair.offers.drop_client(client);
        dropped.into_iter().for_each(|address| self.pair.table.release_offered(address));
        dropped.is_some()
    }

    /// A client that was offered an address here chose the partner: the partner serves.
    pub(crate) fn saw_partner_serving(&mut self) {
        self.pair.saw_partner_serving(self.fx);
    }

    /// Promises an address to a client; the reply leaves when it may.
    pub(crate) fn grant(&mut self, right: Right, wish: &Wish, pending: Pending) {
        if let Some(offered) = self.pair.offers.drop_client(&wish.client)
            && offered != wish.address
        {
            self.pair.table.release_offered(offered);
        }
        self.pair.grant(right, wish, Box::new(pending), self.fx);
    }

    /// Records a lease that another server gave to a client, by a right that the client has.
    pub(crate) fn import(&mut self, right: Right, wish: &Wish) {
        self.pair.import(right, wish, self.fx);
    }

    /// Ends a lease that its client gave up.
    pub(crate) fn end_lease(&mut self, address: Ipv4Addr) {
        self.pair.end_lease(address, self.fx);
    }

    /// An address was found in use by its client, or on behalf of one: nobody gets it for `time`.
    pub(crate) fn decline_lease(
        &mut self,
        address: Ipv4Addr,
        client: &ClientId,
        hardware: HardwareAddress,
        time: Duration,
    ) {
        self.pair.decline_lease(address, client, hardware, time, self.fx);
    }

    /// The leases of a client, those that end last first.
    pub(crate) fn leases_of(&self, client: &ClientId) -> Vec<Lease> {
        let mut leases: Vec<Lease> = self.pair.table.of_client(client).cloned().collect();
        leases.sort_by_key(|lease| std::cmp::Reverse(lease.expiry));
        leases
    }

    /// Tells operators.
    pub(crate) fn event(&mut self, code: crate::event::Code, what: String, evidence: &str) {
        self.pair.event(code, what, evidence, self.fx);
    }
}
