//! What this node would answer to a client now, and why, without answering it; and what it last did.

use super::{Node, ScopeState};
use crate::dhcp::reservation::identity;
use crate::failover::granting::{Refusal, Right};
use crate::failover::relationship::Relationship;
use crate::id::ScopeName;
use crate::lease::record::{ClientId, HardwareAddress, Lease, LeaseState};
use crate::time::Instant;
use std::collections::VecDeque;
use std::net::Ipv4Addr;

/// Deeds that are remembered at the most.
const REMEMBERED: usize = 4_096;

/// Whom or what to explain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Subject {
    /// A client that shows this hardware address and no client id.
    Hardware(HardwareAddress),
    /// A client that sends this as option 61.
    ClientId(ClientId),
    /// An address, and the client that holds it or that it is kept for.
    Address(Ipv4Addr),
}

/// What a DISCOVER of a client would meet in one scope.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Explanation {
    /// Which.
    pub scope: ScopeName,
    /// Whether this node answers there.
    pub state: ScopeState,
    /// The address that is kept for the client.
    pub reserved: Option<Ipv4Addr>,
    /// Its lease, or the record of the address asked about.
    pub lease: Option<Lease>,
    /// What this node would do, and why; a sentence.
    pub would: String,
}

/// What this node did about one packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Deed {
    /// Who sent it.
    pub hardware: HardwareAddress,
    /// When.
    pub at: Instant,
    /// Its type, as counted.
    pub message: &'static str,
    /// Why nothing was said; `None` if it was answered, or needed no answer.
    pub silence: Option<&'static str>,
}

/// The latest deeds, the last one first.
#[derive(Debug, Default)]
pub(super) struct Deeds(VecDeque<Deed>);

impl Deeds {
    pub(super) fn note(&mut self, deed: Deed) {
        self.0.truncate(REMEMBERED - 1);
        self.0.push_front(deed);
    }
}

impl Node {
    /// What the latest packets of a client met here, the last one first. Bounded over all clients.
    pub fn deeds(&self, hardware: HardwareAddress) -> impl Iterator<Item = &Deed> {
        self.deeds.0.iter().filter(move |deed| deed.hardware == hardware)
    }

    /// What a DISCOVER would meet now: in the scopes where the subject has a lease or a reservation, or, if it has
    /// none, in all of them.
    #[must_use]
    pub fn explain(&self, subject: &Subject) -> Vec<Explanation> {
        let scopes = 0..self.configuration.scopes.len();
        match subject {
            Subject::Address(address) => self
                .selector
                .scope_of(*address)
                .map(|scope| self.explain_address(scope, *address))
                .into_iter()
                .collect(),
            Subject::Hardware(hardware) => self.explain_client(scopes, &ClientId::of_hardware(*hardware)),
            Subject::ClientId(client) => self.explain_client(scopes, client),
        }
    }

    fn explain_client(&self, scopes: std::ops::Range<usize>, client: &ClientId) -> Vec<Explanation> {
        let all: Vec<Explanation> = scopes.map(|scope| self.explain_in(scope, client)).collect();
        let known = |explanation: &&Explanation| explanation.reserved.is_some() || explanation.lease.is_some();
        if all.iter().any(|explanation| known(&explanation)) {
            all.iter().filter(known).cloned().collect()
        } else {
            all
        }
    }

    fn explain_in(&self, scope: usize, client: &ClientId) -> Explanation {
        let settings = &self.configuration.scopes[scope];
        let kept = settings.reservations.iter().find(|kept| identity(&kept.holder) == *client);
        let reserved = kept.map(|kept| kept.address);
        let pair = self.owner_of(scope);
        let leases = pair.into_iter().flat_map(|pair| pair.table.of_client(client));
        let lease = leases.filter(|lease| settings.subnet.contains(lease.address)).max_by_key(|lease| lease.expiry);
        let would = match pair.filter(|pair| pair.is_serving(&self.fx) && !settings.disabled) {
            Some(pair) => self.would_offer(pair, scope, client, reserved, lease),
            None => self.silent_because(scope),
        };
        Explanation {
            scope: settings.name.clone(),
            state: self.state_of(scope),
            reserved,
            lease: lease.cloned(),
            would,
        }
    }

    fn explain_address(&self, scope: usize, address: Ipv4Addr) -> Explanation {
        let settings = &self.configuration.scopes[scope];
        let kept = self.reservations.get(scope).and_then(|kept| kept.of_address(settings, address));
        let pair = self.owner_of(scope);
        let lease = pair.and_then(|pair| pair.table.get(address)).cloned();
        let client = kept.map(|kept| identity(&kept.holder)).or_else(|| lease.as_ref().map(|l| l.client.clone()));
        let would = match (pair.filter(|pair| pair.is_serving(&self.fx) && !settings.disabled), client) {
            (None, _) => self.silent_because(scope),
            (Some(pair), Some(client)) => format!("client {client}: {}", self.right_in_words(pair, address, &client)),
            (Some(pair), None) if pair.table.pool_of(address).is_some() => "it is free: whoever asks may get it".into(),
            (Some(_), None) => "it is in no pool and not reserved: nobody gets it".into(),
        };
        Explanation {
            scope: settings.name.clone(),
            state: self.state_of(scope),
            reserved: kept.map(|kept| kept.address),
            lease,
            would,
        }
    }

    fn would_offer(
        &self,
        pair: &Relationship,
        scope: usize,
        client: &ClientId,
        reserved: Option<Ipv4Addr>,
        lease: Option<&Lease>,
    ) -> String {
        let candidates = reserved.into_iter().chain(lease.map(|lease| lease.address));
        let found = candidates.map(|address| (address, self.right_in_words(pair, address, client))).next();
        if let Some((address, words)) = found {
            return format!("{address}: {words}");
        }
        let pools = self.configuration.scopes[scope].pools.len();
        let homes: &[_] = if pair.partner.is_some() { &[Some(pair.slot), Some(pair.slot.other())] } else { &[None] };
        let free = |home: &Option<crate::id::Slot>| -> u64 {
            let in_pool = |pool| pair.table.free_in(crate::lease::table::PoolIndex { scope, pool }, *home);
            (0..pools).map(in_pool).sum()
        };
        match homes.iter().map(free).sum::<u64>() {
            0 => "silence: no address is free".into(),
            free => format!("an offer of the next free address, of {free}"),
        }
    }

    fn right_in_words(&self, pair: &Relationship, address: Ipv4Addr, client: &ClientId) -> String {
        let lead = "for as long as the configuration says";
        match pair.right_to(address, client, &self.fx) {
            Ok(Right::Extend) => match pair.table.get(address).map(|lease| lease.state_at(self.fx.instant())) {
                Some(LeaseState::Bound) => format!("an offer of it {lead}: it is the client's lease"),
                Some(LeaseState::Free | LeaseState::Ended | LeaseState::Declined) | None => {
                    format!("an offer of it {lead}: the client had it last")
                }
            },
            Ok(Right::Allocate) => "an offer of it: it is free, and this node's to give".into(),
            Ok(Right::Ask) => "an offer of it: it is free, and the partner will be asked for it".into(),
            Err(refusal) => format!("not offered: {}", refusal_in_words(refusal)),
        }
    }

    fn silent_because(&self, scope: usize) -> String {
        match self.state_of(scope) {
            ScopeState::Disabled => "silence: an operator disabled the scope".into(),
            ScopeState::Deactivated | ScopeState::Active => match self.owner_of(scope) {
                Some(pair) => format!("silence: the scope is deactivated here ({})", pair.state.phase().as_str()),
                None => "silence: the scope is served by other nodes".into(),
            },
        }
    }

    fn state_of(&self, scope: usize) -> ScopeState {
        if self.configuration.scopes[scope].disabled {
            ScopeState::Disabled
        } else if self.owner_of(scope).is_some_and(|pair| pair.is_serving(&self.fx)) {
            ScopeState::Active
        } else {
            ScopeState::Deactivated
        }
    }

    fn owner_of(&self, scope: usize) -> Option<&Relationship> {
        self.relationships.get((*self.owners.get(scope)?)?)
    }
}

fn refusal_in_words(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::HeldByAnother => "another client may be using it",
        Refusal::Offered => "it is held for another client",
        Refusal::Declined => "someone else was found to use it",
        Refusal::NotYetFree => "the lease on it is over, and the two nodes have not agreed that it is free",
        Refusal::HomeElsewhere => "its home is the partner, which cannot be asked",
        Refusal::HeldBack => "this node lost what it knew and holds back",
        Refusal::OtherRevision => {
            "a node that may use an older revision of the configuration may give it to another client"
        }
    }
}
