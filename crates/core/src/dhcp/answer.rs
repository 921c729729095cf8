//! Which answer: a query and the leases to a decision.
//!
//! Nothing here asks whether this node is active. A lease can be promised, ended or declined only through a
//! [`Serving`], which [`Floor::serving`] hands out only for scopes that are active on this node; without one there is
//! nothing that a decision could be made with but silence.

use super::class::Classes;
use super::limits::Limits;
use super::parameters::lease_time;
use super::pending::Pending;
use super::query::{Kind, RequestKind};
use super::reservation::{Reservations, identity};
use crate::configuration::{Configuration, Pool, Probe, Reservation, ReservationHolder, Scope};
use crate::effects::Effects;
use crate::event::Code;
use crate::failover::granting::{Refusal, Right, Wish};
use crate::failover::relationship::Relationship;
use crate::failover::serving::Serving;
use crate::labelled::labelled;
use crate::lease::record::{ClientId, Lease, LeaseState};
use crate::lease::table::PoolIndex;
use std::net::Ipv4Addr;
use std::time::Duration;

/// What is to be done about a query.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Decision {
    /// Offer this address for so long; the scope is that of the address.
    Offer { scope: usize, address: Ipv4Addr, lease: Duration },
    /// A lease was promised; the reply leaves when it may.
    Granting,
    /// The address is looked for first; the reply follows.
    Probing,
    /// Refuse: the client must start again. For people: why.
    Nak { scope: usize, why: &'static str },
    /// Answer an INFORM.
    Inform { scope: usize },
    /// Tell a BOOTP client of the address that is kept for it; no lease is made.
    Bootp { scope: usize, address: Ipv4Addr },
    /// It was done, and needs no reply.
    Done,
    /// Nothing, and why.
    Silence(Silence),
}

labelled! {
    /// Why nothing is said.
    Silence {
        /// The scope is active on another node, or on none yet.
        Deactivated = "deactivated",
        /// An operator disabled the scope on all nodes.
        Disabled = "disabled",
        /// Another server was chosen.
        OtherServer = "other_server",
        /// No address is left for this client.
        Exhausted = "exhausted",
        /// There is no record of this client.
        UnknownClient = "unknown_client",
        /// The address is not this node's to give or to refuse.
        NotOurs = "not_ours",
        /// Someone who does not hold the lease tried to end it.
        NotOwner = "not_owner",
        /// The message makes no sense in this place.
        Senseless = "senseless",
        /// The message is of a kind that is not answered here.
        Unsupported = "unsupported",
        /// The datagram waited too long to be answered safely.
        Stale = "stale",
        /// More packets came than could be answered.
        Overload = "overload",
        /// The client makes too much trouble.
        Limited = "limited",
        /// The link has no address to answer from.
        NoAddress = "no_address",
        /// The answer does not fit.
        Oversized = "oversized",
        /// The client asked again, or for something else, before it was answered: its later message gets the answer.
        Superseded = "superseded",
        /// The lease changed hands before the reply could leave.
        Changed = "changed",
        /// The home of the address did not answer in time.
        PartnerSlow = "partner_slow",
        /// The addresses that the client could have been offered are in use by others.
        InUse = "in_use",
    }
}

/// Everything an answer may look at, and the relationships that may let it act.
pub(crate) struct Floor<'a> {
    pub(crate) configuration: &'a Configuration,
    pub(crate) reservations: &'a [Reservations],
    /// The relationship of each scope, by position in the configuration.
    pub(crate) owners: &'a [Option<usize>],
    pub(crate) relationships: &'a mut [Relationship],
    pub(crate) fx: &'a mut Effects,
    /// The scopes of the client's link, the selected one first.
    pub(crate) scopes: &'a [usize],
    /// Whether option 54 names this node.
    pub(crate) names_us: bool,
    /// Whether option 54 names the partner of the selected scope.
    pub(crate) names_partner: bool,
    pub(crate) limits: &'a mut Limits,
    /// Addresses that were looked for on behalf of this message already.
    pub(crate) tries: u8,
}

/// A client as a scope knows it.
struct Client {
    id: ClientId,
    /// The scope and address that are kept for it.
    reserved: Option<(usize, Ipv4Addr)>,
}

impl Floor<'_> {
    /// Decides, and does what the decision says to the leases.
    pub(crate) fn answer(&mut self, pending: &Pending) -> Decision {
        if let Some(silence) = self.silence() {
            return Decision::Silence(silence);
        }
        // What has waited was counted when it came.
        if self.tries == 0 && !self.limits.allow_packet(pending.query.hardware, self.fx.instant()) {
            return Decision::Silence(Silence::Limited);
        }
        match pending.query.kind {
            Kind::Discover => self.discover(pending),
            Kind::Request => match pending.query.request_kind(pending.delivery) {
                Some(request) => self.request(pending, request),
                None => Decision::Silence(Silence::Senseless),
            },
            Kind::Decline => self.decline(pending),
            Kind::Release => self.release(pending),
            Kind::Inform => self.inform(pending),
            Kind::Bootp => self.bootp(pending),
            Kind::Other(_) => Decision::Silence(Silence::Unsupported),
        }
    }

    /// Why no scope of the link is served here, if none is.
    fn silence(&mut self) -> Option<Silence> {
        let scopes = self.scopes;
        if scopes.iter().any(|&scope| self.serving(scope).is_some()) {
            return None;
        }
        let disabled = |&scope: &usize| self.configuration.scopes.get(scope).is_some_and(|scope| scope.disabled);
        Some(if scopes.iter().all(disabled) { Silence::Disabled } else { Silence::Deactivated })
    }

    /// The right to answer clients of a scope, if the scope is active on this node.
    fn serving(&mut self, scope: usize) -> Option<Serving<'_>> {
        let enabled = self.configuration.scopes.get(scope).is_some_and(|scope| !scope.disabled);
        let owner = (*self.owners.get(scope)?).filter(|_| enabled)?;
        self.relationships.get_mut(owner)?.serving(self.fx)
    }

    fn scope(&self, position: usize) -> &Scope {
        &self.configuration.scopes[position]
    }

    /// The scopes of the link that are served here.
    fn served(&mut self) -> Vec<usize> {
        let scopes = self.scopes;
        scopes.iter().copied().filter(|&scope| self.serving(scope).is_some()).collect()
    }

    /// Who the client is: its reservation, where it has one, or what it says.
    fn client(&self, pending: &Pending) -> Client {
        let shown = pending.credentials();
        let reserved = self.scopes.iter().find_map(|&scope| {
            let reservation = self.reservations.get(scope)?.of_client(self.scope(scope), &shown)?;
            Some((scope, reservation))
        });
        match reserved {
            Some((scope, reservation)) => Client {
                id: self.holder_of(scope, reservation, pending).unwrap_or_else(|| identity(&reservation.holder)),
                reserved: Some((scope, reservation.address)),
            },
            None => Client { id: pending.query.client.clone(), reserved: None },
        }
    }

    /// The client that a lease of a reserved address bears, if it is the reservation's under another name: the lease
    /// is older than the reservation, and goes on.
    fn holder_of(&self, scope: usize, reservation: &Reservation, pending: &Pending) -> Option<ClientId> {
        let owner = (*self.owners.get(scope)?)?;
        let lease = self.relationships.get(owner)?.table.get(reservation.address)?;
        let same =
            lease.client == pending.query.client || reservation.holder == ReservationHolder::Hardware(lease.hardware);
        (lease.state != LeaseState::Free && same).then(|| lease.client.clone())
    }

    fn discover(&mut self, pending: &Pending) -> Decision {
        let client = self.client(pending);
        let served = self.served();
        let Some((scope, address, right)) = self.choose(pending, &client, &served) else {
            self.exhausted(&served);
            return Decision::Silence(Silence::Exhausted);
        };
        let settings = self.scope(scope);
        let hold = settings.offer_hold;
        let duration = lease_time(&settings.lease_time, pending.query.lease_time);
        let rapid = settings.rapid_commit && pending.query.rapid_commit;
        let probe = settings.probe;
        let tries = self.tries;
        let Some(mut serving) = self.serving(scope) else { return Decision::Silence(Silence::Deactivated) };
        let rapid = rapid && serving.may_commit_rapidly();
        let probed = can_probe(probe, pending) && serving.must_probe(address, &client.id);
        if rapid && !probed {
            let wish = wish(pending, &client.id, address, duration);
            serving.grant(right, &wish, Pending { scope, rapid_commit: true, ..pending.clone() });
            return Decision::Granting;
        }
        let known = client.reserved.is_some() || serving.leases().of_client(&client.id).next().is_some();
        let origin = (!known).then(|| pending.origin());
        if origin.as_ref().is_some_and(|origin| !serving.may_offer_unknown(&client.id, origin)) {
            return Decision::Silence(Silence::Limited);
        }
        serving.hold_offer(&client.id, address, hold, origin);
        if probed {
            let waits = serving.probe(probe, address, &client.id, tries + 1, Pending { scope, ..pending.clone() });
            return if waits { Decision::Probing } else { Decision::Silence(Silence::Limited) };
        }
        let lease = serving.lease_to_offer(address, &client.id, duration);
        Decision::Offer { scope, address, lease }
    }

    /// Nobody answered for the address that is held for `client`. False if it is held no longer.
    pub(crate) fn note_quiet(&mut self, scope: usize, client: &ClientId, address: Ipv4Addr) -> bool {
        let Some(mut serving) = self.serving(scope) else { return false };
        let held = serving.offered_to(client) == Some(address);
        serving.note_quiet(client);
        held
    }

    /// Somebody answered for an address that was about to be offered to `client`: nobody gets it for a while, as if its
    /// client had declined it, and within the same limit. The reason of silence if it is not set aside.
    pub(crate) fn found_in_use(
        &mut self,
        pending: &Pending,
        client: &ClientId,
        address: Ipv4Addr,
        by: &str,
    ) -> Option<Silence> {
        let scope = pending.scope;
        let time = self.scope(scope).decline_time;
        if !self.limits.allow_decline(client, scope, self.fx.instant()) {
            return Some(Silence::Limited);
        }
        let Some(mut serving) = self.serving(scope) else { return Some(Silence::Deactivated) };
        serving.drop_offer(client);
        serving.decline_lease(address, client, pending.query.hardware, time);
        serving.event(Code::AddressInUse, format!("{address} is used by someone else"), by);
        None
    }

    /// What to offer: the address kept for the client, else its lease, else what it was offered, else the address it
    /// had, else the one it asks for, else the next free one.
    fn choose(&mut self, pending: &Pending, client: &Client, served: &[usize]) -> Option<(usize, Ipv4Addr, Right)> {
        let mut candidates: Vec<(usize, Ipv4Addr)> = client.reserved.into_iter().collect();
        let mut leases: Vec<(usize, Lease)> = Vec::new();
        for &scope in served {
            let Some(serving) = self.serving(scope) else { continue };
            let in_scope = |lease: &Lease| serving.leases().scope_position(lease.address) == Some(scope);
            leases.extend(serving.leases_of(&client.id).into_iter().filter(in_scope).map(|lease| (scope, lease)));
        }
        let current = |lease: &Lease| lease.state != LeaseState::Free;
        candidates.extend(leases.iter().filter(|(_, l)| current(l)).map(|(scope, l)| (*scope, l.address)));
        for &scope in served {
            candidates.extend(self.serving(scope)?.offered_to(&client.id).map(|address| (scope, address)));
        }
        candidates.extend(leases.iter().filter(|(_, l)| !current(l)).map(|(scope, l)| (*scope, l.address)));
        let contains = |scope: usize, address| self.scope(scope).subnet.contains(address);
        candidates.extend(
            pending.query.requested_address.and_then(|address| {
                served.iter().find(|&&scope| contains(scope, address)).map(|&scope| (scope, address))
            }),
        );
        let usable = candidates.into_iter().find_map(|(scope, address)| {
            let allowed = served.contains(&scope) && self.allows(pending, client, scope, address);
            let right = self.serving(scope).filter(|_| allowed)?.right_to(address, &client.id).ok()?;
            Some((scope, address, right))
        });
        usable.or_else(|| self.next_free(pending, client, served))
    }

    fn next_free(&mut self, pending: &Pending, client: &Client, served: &[usize]) -> Option<(usize, Ipv4Addr, Right)> {
        for &scope in served {
            for pool in self.pools_for(pending, scope) {
                let Some(mut serving) = self.serving(scope) else { continue };
                let found = serving.next_free(PoolIndex { scope, pool });
                let right = found.and_then(|address| serving.right_to(address, &client.id).ok());
                if let (Some(address), Some(right)) = (found, right) {
                    return Some((scope, address, right));
                }
            }
        }
        None
    }

    /// The pools of a scope that a client may have an address of: those of its classes first.
    fn pools_for(&self, pending: &Pending, scope: usize) -> Vec<usize> {
        let classes = Classes::of(self.configuration, &pending.credentials());
        let pools = &self.scope(scope).pools;
        let mut allowed: Vec<usize> = (0..pools.len()).filter(|&pool| classes.allow(&pools[pool])).collect();
        allowed.sort_by_key(|&pool| pools[pool].class.is_none());
        allowed
    }

    /// Whether the configuration lets this client have this address.
    fn allows(&self, pending: &Pending, client: &Client, scope: usize, address: Ipv4Addr) -> bool {
        let settings = self.scope(scope);
        if self.reservations.get(scope).is_some_and(|kept| kept.of_address(settings, address).is_some()) {
            return client.reserved == Some((scope, address));
        }
        if settings.exclude.iter().any(|range| range.contains(address)) {
            return false;
        }
        let pool: Option<&Pool> = settings.pools.iter().find(|pool| pool.range.contains(address));
        pool.is_some_and(|pool| Classes::of(self.configuration, &pending.credentials()).allow(pool))
    }

    fn exhausted(&mut self, served: &[usize]) {
        let Some(&scope) = served.first() else { return };
        let what = format!("no address is left in {}", self.scope(scope).name);
        self.event(scope, Code::PoolExhausted, what, "a client got no offer");
    }

    /// Tells operators what clients brought about.
    fn event(&mut self, scope: usize, code: Code, what: String, evidence: &str) {
        if let Some(mut serving) = self.serving(scope) {
            serving.event(code, what, evidence);
        }
    }

    fn request(&mut self, pending: &Pending, request: RequestKind) -> Decision {
        if let RequestKind::Selecting { .. } = request
            && !self.names_us
        {
            return self.chose_another(pending);
        }
        let address = request.address();
        let client = self.client(pending);
        let within = self.scopes.iter().copied().find(|&scope| self.scope(scope).subnet.contains(address));
        let Some(scope) = within else { return self.foreign(request) };
        if self.serving(scope).is_none() {
            return Decision::Silence(Silence::Deactivated);
        }
        if !self.allows(pending, &client, scope, address) {
            return self.not_configured(request, &client, scope);
        }
        let Some(serving) = self.serving(scope) else { return Decision::Silence(Silence::Deactivated) };
        match serving.right_to(address, &client.id) {
            Ok(right) => self.request_granted(pending, request, &client, scope, right),
            Err(refusal) => self.request_refused(request, &client, scope, refusal),
        }
    }

    fn request_granted(
        &mut self,
        pending: &Pending,
        request: RequestKind,
        client: &Client,
        scope: usize,
        right: Right,
    ) -> Decision {
        let address = request.address();
        let known = right == Right::Extend;
        if matches!(request, RequestKind::InitReboot { .. }) && !known {
            return self.unknown_client(scope, client, address);
        }
        let duration = lease_time(&self.scope(scope).lease_time, pending.query.lease_time);
        let Some(mut serving) = self.serving(scope) else { return Decision::Silence(Silence::Deactivated) };
        serving.grant(right, &wish(pending, &client.id, address, duration), Pending { scope, ..pending.clone() });
        Decision::Granting
    }

    /// The configuration does not let this client have this address, or no longer. That alone is no reason to refuse
    /// a client that comes back and that nothing is known of.
    fn not_configured(&mut self, request: RequestKind, client: &Client, scope: usize) -> Decision {
        let address = request.address();
        let Some(serving) = self.serving(scope) else { return Decision::Silence(Silence::Deactivated) };
        let now = serving.now();
        let known = serving.leases().get(address).is_some_and(|lease| lease.client == client.id || lease.is_live(now));
        if matches!(request, RequestKind::InitReboot { .. }) && !known {
            return self.unknown_client(scope, client, address);
        }
        self.refuse(scope, request, address, "the address is not configured for this client")
    }

    /// A client that comes back and of whose address nothing is known. A missing record is never evidence.
    fn unknown_client(&mut self, scope: usize, client: &Client, address: Ipv4Addr) -> Decision {
        let opted_in = self.scope(scope).nak_unknown_clients;
        let Some(serving) = self.serving(scope) else { return Decision::Silence(Silence::Deactivated) };
        let now = serving.now();
        let elsewhere = serving
            .leases_of(&client.id)
            .into_iter()
            .find(|lease| lease.address != address && lease.state == LeaseState::Bound && lease.is_live(now));
        // The partner may have given the client what it asks for since, and its reservation it may have from either node.
        let may_have_it = !serving.is_nobodys(address) || client.reserved == Some((scope, address));
        if !may_have_it && elsewhere.is_some_and(|lease| serving.is_evidence(lease.address)) {
            return Decision::Nak { scope, why: "your lease is for another address" };
        }
        if opted_in {
            return Decision::Nak { scope, why: "no lease is known" };
        }
        Decision::Silence(Silence::UnknownClient)
    }

    fn request_refused(&mut self, request: RequestKind, client: &Client, scope: usize, refusal: Refusal) -> Decision {
        let address = request.address();
        if matches!(request, RequestKind::Selecting { .. }) {
            return Decision::Nak { scope, why: "the address is no longer free" };
        }
        match refusal {
            Refusal::HeldByAnother => self.refuse(scope, request, address, "the address is another client's"),
            Refusal::Declined => self.refuse(scope, request, address, "the address is in use by someone else"),
            // A node that does not know what was promised has no evidence against anyone.
            Refusal::HeldBack => Decision::Silence(Silence::NotOurs),
            Refusal::Offered | Refusal::NotYetFree | Refusal::HomeElsewhere | Refusal::OtherRevision => match request {
                RequestKind::InitReboot { .. } => self.unknown_client(scope, client, address),
                RequestKind::Selecting { .. } | RequestKind::Renewing { .. } | RequestKind::Rebinding { .. } => {
                    Decision::Silence(Silence::NotOurs)
                }
            },
        }
    }

    /// A NAK where there is evidence for one.
    fn refuse(&mut self, scope: usize, request: RequestKind, address: Ipv4Addr, why: &'static str) -> Decision {
        let Some(serving) = self.serving(scope) else { return Decision::Silence(Silence::Deactivated) };
        match request {
            RequestKind::Selecting { .. } => Decision::Nak { scope, why },
            RequestKind::InitReboot { .. } | RequestKind::Renewing { .. } | RequestKind::Rebinding { .. } => {
                if !serving.is_evidence(address) {
                    return Decision::Silence(Silence::NotOurs);
                }
                if !matches!(request, RequestKind::InitReboot { .. }) {
                    self.event(scope, Code::RenewalRefused, format!("{address} was not extended"), why);
                }
                Decision::Nak { scope, why }
            }
        }
    }

    /// An address outside of every scope of the link: refused if the whole link is ours to speak for.
    fn foreign(&mut self, request: RequestKind) -> Decision {
        let scopes = self.scopes;
        let ours = scopes.iter().all(|&scope| self.scope(scope).authoritative && self.serving(scope).is_some());
        match (ours, scopes.first()) {
            (true, Some(&scope)) => Decision::Nak { scope, why: "the address is not of this network" },
            (_, Some(&scope)) if matches!(request, RequestKind::Selecting { .. }) && self.serving(scope).is_some() => {
                Decision::Nak { scope, why: "the address is not of this network" }
            }
            (_, _) => Decision::Silence(Silence::NotOurs),
        }
    }

    fn chose_another(&mut self, pending: &Pending) -> Decision {
        let client = self.client(pending);
        let names_partner = self.names_partner;
        for scope in self.served() {
            if let Some(mut serving) = self.serving(scope)
                && serving.drop_offer(&client.id)
                && names_partner
            {
                serving.saw_partner_serving();
            }
        }
        Decision::Silence(Silence::OtherServer)
    }

    /// The lease of `address` on this link, if this client holds it.
    fn own_lease(&mut self, pending: &Pending, address: Ipv4Addr) -> Option<(usize, Lease)> {
        let client = self.client(pending);
        let scope = self.scopes.iter().copied().find(|&scope| self.scope(scope).subnet.contains(address))?;
        let lease = self.serving(scope)?.leases().get(address).cloned()?;
        (lease.client == client.id && lease.state == LeaseState::Bound).then_some((scope, lease))
    }

    fn decline(&mut self, pending: &Pending) -> Decision {
        let address = pending.query.requested_address.filter(|_| self.names_us);
        let Some((scope, lease)) = address.and_then(|address| self.own_lease(pending, address)) else {
            return Decision::Silence(Silence::NotOwner);
        };
        if !self.limits.allow_decline(&lease.client, scope, self.fx.instant()) {
            return Decision::Silence(Silence::Limited);
        }
        let time = self.scope(scope).decline_time;
        if let Some(mut serving) = self.serving(scope) {
            serving.decline_lease(lease.address, &lease.client, lease.hardware, time);
        }
        let what = format!("{} is used by someone else", lease.address);
        self.event(scope, Code::Declined, what, "its client declined it");
        Decision::Done
    }

    fn release(&mut self, pending: &Pending) -> Decision {
        let address = pending.query.ciaddr;
        let spoofed = !pending.query.relayed() && *pending.source.ip() != address;
        match self.own_lease(pending, address).filter(|_| !spoofed) {
            Some((scope, _)) => {
                if let Some(mut serving) = self.serving(scope) {
                    serving.end_lease(address);
                }
                Decision::Done
            }
            None => Decision::Silence(Silence::NotOwner),
        }
    }

    /// Only a reservation answers a BOOTP client, which never gives its address back: there is no lease to keep.
    fn bootp(&mut self, pending: &Pending) -> Decision {
        let client = self.client(pending);
        let enabled = self.served().into_iter().any(|scope| self.scope(scope).bootp);
        if !enabled {
            return Decision::Silence(Silence::Unsupported);
        }
        let kept = client.reserved.filter(|&(scope, _)| self.scope(scope).bootp);
        let Some((scope, address)) = kept else { return Decision::Silence(Silence::UnknownClient) };
        let Some(serving) = self.serving(scope) else { return Decision::Silence(Silence::Deactivated) };
        match serving.right_to(address, &client.id) {
            Ok(_) => Decision::Bootp { scope, address },
            Err(_) => Decision::Silence(Silence::NotOurs),
        }
    }

    fn inform(&mut self, pending: &Pending) -> Decision {
        let address = pending.query.ciaddr;
        let within = self.served().into_iter().find(|&scope| self.scope(scope).subnet.contains(address));
        match within {
            Some(scope) => Decision::Inform { scope },
            None => Decision::Silence(Silence::Senseless),
        }
    }
}

/// Whether an address can be looked for on behalf of this client: ARP does not pass a relay.
fn can_probe(probe: Probe, pending: &Pending) -> bool {
    match probe {
        Probe::Off => false,
        Probe::Arp => !pending.query.relayed(),
        Probe::Icmp => true,
    }
}

fn wish(pending: &Pending, client: &ClientId, address: Ipv4Addr, duration: Duration) -> Wish {
    Wish {
        address,
        client: client.clone(),
        hardware: pending.query.hardware,
        hostname: pending.query.hostname.as_slice().into(),
        duration,
    }
}
