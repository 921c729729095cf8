//! The leases of one relationship, with every index that is needed to decide in constant time.
//!
//! A lease changes in one place, [`LeaseTable::put`], which keeps the indexes in step.

use super::free::FreeList;
use super::record::{ClientId, HardwareAddress, Lease, LeaseState, Version};
use crate::configuration::{AddressRange, AddressSet, Configuration, Scope};
use crate::dhcp::reservation::identity;
use crate::id::{Epoch, Sequence, Slot};
use crate::mutant::{Rule, holds};
use crate::time::Instant;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::ops::RangeBounds;

/// Which pool of which scope, by their positions in the configuration.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct PoolIndex {
    /// Position of the scope in the configuration.
    pub scope: usize,
    /// Position of the pool in the scope.
    pub pool: usize,
}

/// A place in the order of expiries.
pub type Over = (Instant, Ipv4Addr);

/// Leases by address, by client, by expiry, and those that the partner has yet to take.
#[derive(Debug)]
pub struct LeaseTable {
    /// This node's slot; `None` where it serves alone and every address is at home.
    slot: Option<Slot>,
    /// Boxed, since a tree that grows in order leaves half of each of its nodes empty.
    leases: BTreeMap<Ipv4Addr, Box<Lease>>,
    by_client: BTreeSet<(ClientId, Ipv4Addr)>,
    /// Leases that are not free, by expiry: those at home, and those elsewhere.
    by_expiry: [BTreeSet<(Instant, Ipv4Addr)>; 2],
    untaken: BTreeMap<Sequence, Ipv4Addr>,
    pools: BTreeMap<PoolIndex, PoolState>,
    /// First address of each scope's subnet, to find the pool of an address.
    scopes: BTreeMap<Ipv4Addr, ScopeIndex>,
    /// Whether an address of this node's home that is free but not agreed so may be given away (partner-down).
    free_without_agreement: bool,
    /// Addresses whose record could not be read, and until when nobody gets them.
    unreadable: BTreeMap<Ipv4Addr, Instant>,
    /// How many records each scope has, by their state as recorded.
    counts: BTreeMap<usize, Counts>,
}

/// Records by state.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Held by their clients.
    pub bound: u64,
    /// Over, and not agreed free.
    pub ended: u64,
    /// Found in use by others.
    pub declined: u64,
}

impl Counts {
    fn of(&mut self, state: LeaseState) -> Option<&mut u64> {
        match state {
            LeaseState::Bound => Some(&mut self.bound),
            LeaseState::Ended => Some(&mut self.ended),
            LeaseState::Declined => Some(&mut self.declined),
            LeaseState::Free => None,
        }
    }

    fn add(&mut self, state: LeaseState) {
        self.of(state).into_iter().for_each(|count| *count += 1);
    }

    fn subtract(&mut self, state: LeaseState) {
        self.of(state).into_iter().for_each(|count| *count -= 1);
    }
}

#[derive(Debug)]
struct PoolState {
    range: AddressRange,
    lists: BTreeMap<Option<Slot>, FreeList>,
}

#[derive(Debug)]
struct ScopeIndex {
    position: usize,
    last: Ipv4Addr,
    ranges: Vec<AddressRange>,
    /// Not given to just anyone: excluded, reserved, or not given by an older revision.
    withheld: AddressSet,
    reserved: BTreeMap<Ipv4Addr, ClientId>,
}

impl LeaseTable {
    /// An empty table for the scopes at `positions` of the configuration.
    #[must_use]
    pub fn new(slot: Option<Slot>, configuration: &Configuration, positions: &[usize]) -> Self {
        let mut table = Self {
            slot,
            leases: BTreeMap::new(),
            by_client: BTreeSet::new(),
            by_expiry: [BTreeSet::new(), BTreeSet::new()],
            untaken: BTreeMap::new(),
            pools: BTreeMap::new(),
            scopes: BTreeMap::new(),
            free_without_agreement: false,
            unreadable: BTreeMap::new(),
            counts: BTreeMap::new(),
        };
        table.index_scopes(configuration, positions, &AddressSet::default());
        table
    }

    /// The node has been given its slot.
    pub fn set_slot(&mut self, slot: Slot) {
        self.slot = Some(slot);
        self.index_expiries();
    }

    /// Uses other scopes, or the same ones with other pools, and withholds some of their addresses. No lease is lost by
    /// it; what is offered must be held again. Takes time only for scopes in which something changed.
    pub fn reconfigure(&mut self, configuration: &Configuration, positions: &[usize], withheld: &AddressSet) {
        for (first, last) in self.index_scopes(configuration, positions, withheld) {
            let leases = self.leases.range(first..=last).map(|(_, lease)| &**lease);
            let records =
                leases.map(|lease| (lease.address, self.is_listed(lease).then_some(lease.sequence))).collect();
            self.fill_lists(records, false);
        }
    }

    /// The node of `slot` is the home of the address (its last bit says which).
    #[must_use]
    pub fn home(address: Ipv4Addr) -> Slot {
        if address.to_bits() & 1 == 0 { Slot::Zero } else { Slot::One }
    }

    /// Whether this node may give the address away alone, as far as homes go.
    #[must_use]
    pub fn is_home(&self, address: Ipv4Addr) -> bool {
        self.slot.is_none_or(|slot| slot == Self::home(address))
    }

    /// The record of an address that was never used, as it is before `client` has it.
    #[must_use]
    pub fn never_used(address: Ipv4Addr, client: &ClientId, hardware: HardwareAddress) -> Lease {
        Lease {
            address,
            state: LeaseState::Free,
            client: client.clone(),
            hardware,
            hostname: Box::default(),
            expiry: Instant::NEVER,
            potential_expiry: Instant::NEVER,
            acked_expiry: Instant::NEVER,
            version: Version::default(),
            epoch: Epoch { number: 0, slot: Self::home(address) },
            taken: true,
            sequence: Sequence(0),
        }
    }

    /// The record of an address; without one it is free and was never used.
    #[must_use]
    pub fn get(&self, address: Ipv4Addr) -> Option<&Lease> {
        self.leases.get(&address).map(Box::as_ref)
    }

    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.leases.len()
    }

    /// Whether there is no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.leases.is_empty()
    }

    /// Every record, by address.
    pub fn iter(&self) -> impl Iterator<Item = &Lease> {
        self.leases.values().map(Box::as_ref)
    }

    /// The records of these addresses, by address.
    pub fn range(&self, addresses: impl RangeBounds<Ipv4Addr>) -> impl Iterator<Item = &Lease> {
        self.leases.range(addresses).map(|(_, lease)| &**lease)
    }

    /// The records that name `client`, by address; after an interruption there may be two in a scope.
    pub fn of_client<'a>(&'a self, client: &ClientId) -> impl Iterator<Item = &'a Lease> {
        let first = (client.clone(), Ipv4Addr::UNSPECIFIED);
        let last = (client.clone(), Ipv4Addr::BROADCAST);
        self.by_client.range(first..=last).filter_map(|(_, address)| self.get(*address))
    }

    /// Puts a record in, in the place of the one that the address had. Unless the partner holds this very version,
    /// it will be sent.
    pub fn put(&mut self, lease: Lease) {
        let address = lease.address;
        self.unreadable.remove(&address);
        let by_expiry = usize::from(!self.is_home(address));
        let before = self.leases.get(&address);
        if let Some(before) = before {
            self.untaken.remove(&before.sequence);
            self.by_expiry[by_expiry].remove(&(before.expiry, address));
            if before.client != lease.client {
                self.by_client.remove(&(before.client.clone(), address));
            }
        }
        let recorded = before.is_some();
        if let Some(position) = self.scope_position(address) {
            let before = self.leases.get(&address).map(|lease| lease.state);
            let counts = self.counts.entry(position).or_default();
            before.into_iter().for_each(|state| counts.subtract(state));
            counts.add(lease.state);
        }
        self.by_client.insert((lease.client.clone(), address));
        if lease.state != LeaseState::Free {
            self.by_expiry[by_expiry].insert((lease.expiry, address));
        }
        if self.slot.is_some() && !lease.taken {
            self.untaken.insert(lease.sequence, address);
        }
        let listed = self.is_listed(&lease);
        if let Some(list) = self.list_of(address) {
            list.take(address, recorded);
            list.take(address, true);
            if listed {
                list.insert(address, lease.sequence);
            }
        }
        self.leases.insert(address, Box::new(lease));
    }

    /// The partner holds the version that this node has of `address`; `expiry` is what it knows of the client's.
    pub fn mark_taken(&mut self, address: Ipv4Addr) {
        let Some(lease) = self.leases.get_mut(&address) else { return };
        self.untaken.remove(&lease.sequence);
        lease.taken = true;
        let sequence = lease.sequence;
        if self.leases.get(&address).is_some_and(|lease| self.is_listed(lease))
            && let Some(list) = self.list_of(address)
        {
            list.insert(address, sequence);
        }
    }

    /// The partner knows that `client` may hold the address until `expiry`.
    pub fn raise_acked(&mut self, address: Ipv4Addr, client: &ClientId, expiry: Instant) {
        if let Some(lease) = self.leases.get_mut(&address)
            && lease.client == *client
        {
            lease.acked_expiry = lease.acked_expiry.max(expiry);
        }
    }

    /// Writes that the partner has yet to take, from the first one after `after`.
    pub fn untaken_after(&self, after: Sequence) -> impl Iterator<Item = (Sequence, &Lease)> {
        self.untaken
            .range(Sequence(after.0 + 1)..)
            .filter_map(|(&sequence, address)| Some((sequence, self.get(*address)?)))
    }

    /// The first write that the partner has yet to take.
    #[must_use]
    pub fn first_untaken(&self) -> Option<Sequence> {
        self.untaken.first_key_value().map(|(&sequence, _)| sequence)
    }

    /// How many records the partner has yet to take.
    #[must_use]
    pub fn untaken_len(&self) -> usize {
        self.untaken.len()
    }

    /// The partner is known to hold nothing: every record must be sent.
    pub fn untake_all(&mut self) {
        if self.slot.is_none() {
            return;
        }
        for lease in self.leases.values_mut() {
            lease.taken = false;
            self.untaken.insert(lease.sequence, lease.address);
        }
        self.refill_lists();
    }

    /// Leases that are not free and whose expiry is at or before `until`, the earliest first, from the first one
    /// after `from`; those at home, or those elsewhere.
    pub fn over_by(&self, home: bool, from: Over, until: Instant) -> impl Iterator<Item = &Lease> {
        let first = std::ops::Bound::Excluded(from);
        let last = std::ops::Bound::Included((until, Ipv4Addr::BROADCAST));
        let range = (from < (until, Ipv4Addr::BROADCAST)).then_some((first, last));
        let index = &self.by_expiry[usize::from(!home)];
        range.into_iter().flat_map(|range| index.range(range)).filter_map(|(_, address)| self.get(*address))
    }

    /// The earliest expiry of a lease that is not free; of those at home, or those elsewhere.
    #[must_use]
    pub fn first_expiry(&self, home: bool) -> Option<Instant> {
        self.by_expiry[usize::from(!home)].first().map(|&(expiry, _)| expiry)
    }

    /// Whether addresses that are free here, and not agreed so, may be given away.
    pub fn set_free_without_agreement(&mut self, allowed: bool) {
        if self.free_without_agreement != allowed {
            self.free_without_agreement = allowed;
            self.refill_lists();
        }
    }

    /// Nobody gets `address` before `until`, unless the partner sends its record.
    pub fn hold_unreadable(&mut self, address: Ipv4Addr, until: Instant) {
        self.unreadable.insert(address, until);
    }

    /// Whether the address is held because its record could not be read.
    #[must_use]
    pub fn is_unreadable(&self, address: Ipv4Addr, certain: Instant) -> bool {
        self.unreadable.get(&address).is_some_and(|&until| certain < until)
    }

    /// Whether there was a record of this address that could not be read, and none has been put in its place.
    #[must_use]
    pub fn lacks(&self, address: Ipv4Addr) -> bool {
        self.unreadable.contains_key(&address)
    }

    /// Whether some record could not be read.
    #[must_use]
    pub fn has_unreadable(&self) -> bool {
        !self.unreadable.is_empty()
    }

    /// The address is offered: nobody else is offered it.
    pub fn hold_offered(&mut self, address: Ipv4Addr) {
        let recorded = self.leases.contains_key(&address);
        if let Some(list) = self.list_of(address) {
            list.take(address, recorded);
        }
    }

    /// The offer was not taken up.
    pub fn release_offered(&mut self, address: Ipv4Addr) {
        let listed = match self.leases.get(&address) {
            None => Some(Sequence(0)),
            Some(lease) if self.is_listed(lease) => Some(lease.sequence),
            Some(_) => None,
        };
        if let Some(at) = listed
            && let Some(list) = self.list_of(address)
        {
            list.insert(address, at);
        }
    }

    /// The next free address of a pool with that home for which `usable` holds.
    pub fn next_free(
        &mut self,
        pool: PoolIndex,
        home: Option<Slot>,
        certain: Instant,
        usable: impl Fn(Ipv4Addr, Option<&Lease>) -> bool,
    ) -> Option<Ipv4Addr> {
        let (leases, scopes, unreadable) = (&self.leases, &self.scopes, &self.unreadable);
        let readable = |address: &Ipv4Addr| unreadable.get(address).is_none_or(|&until| until <= certain);
        let list = self.pools.get_mut(&pool)?.lists.get_mut(&home)?;
        list.first(
            |address| {
                !leases.contains_key(&address) && scope_of(scopes, address).is_some_and(|s| !s.withholds(address))
            },
            |address| readable(&address) && usable(address, leases.get(&address).map(Box::as_ref)),
        )
    }

    /// How many addresses of a pool with that home are free.
    #[must_use]
    pub fn free_in(&self, pool: PoolIndex, home: Option<Slot>) -> u64 {
        self.pools.get(&pool).and_then(|p| p.lists.get(&home)).map_or(0, FreeList::len)
    }

    /// The pool that an address is given away from, if it is in one and neither excluded nor reserved.
    #[must_use]
    pub fn pool_of(&self, address: Ipv4Addr) -> Option<PoolIndex> {
        let scope = scope_of(&self.scopes, address).filter(|scope| !scope.withholds(address))?;
        let first = PoolIndex { scope: scope.position, pool: 0 };
        let last = PoolIndex { scope: scope.position, pool: usize::MAX };
        self.pools.range(first..=last).find(|(_, pool)| pool.range.contains(address)).map(|(&index, _)| index)
    }

    /// How many records each scope has, by what they are at this instant. Looks only at those that are over and not free.
    #[must_use]
    pub fn counts(&self, now: Instant) -> BTreeMap<usize, Counts> {
        let mut counts = self.counts.clone();
        let start = (Instant(i64::MIN), Ipv4Addr::UNSPECIFIED);
        for lease in [true, false].into_iter().flat_map(|home| self.over_by(home, start, now)) {
            if let Some(counts) = self.scope_position(lease.address).and_then(|position| counts.get_mut(&position)) {
                counts.subtract(lease.state);
                counts.add(lease.state_at(now));
            }
        }
        counts
    }

    /// The position of the scope that an address belongs to.
    #[must_use]
    pub fn scope_position(&self, address: Ipv4Addr) -> Option<usize> {
        scope_of(&self.scopes, address).map(|scope| scope.position)
    }

    /// For whom an address is reserved.
    #[must_use]
    pub fn reserved_for(&self, address: Ipv4Addr) -> Option<&ClientId> {
        scope_of(&self.scopes, address)?.reserved.get(&address)
    }

    fn list_of(&mut self, address: Ipv4Addr) -> Option<&mut FreeList> {
        let pool = self.pool_of(address)?;
        let home = self.slot.map(|_| Self::home(address));
        self.pools.get_mut(&pool)?.lists.get_mut(&home)
    }

    /// At home only what both agree is free may be given away; elsewhere the home is asked and decides.
    fn is_listed(&self, lease: &Lease) -> bool {
        lease.state == LeaseState::Free
            && (self.slot.is_none()
                || lease.taken
                || self.free_without_agreement
                || !self.is_home(lease.address)
                || !holds(Rule::Relinquish))
    }

    /// Returns the scopes whose lists are new, by their first and last address.
    fn index_scopes(
        &mut self,
        configuration: &Configuration,
        positions: &[usize],
        withheld: &AddressSet,
    ) -> Vec<(Ipv4Addr, Ipv4Addr)> {
        let (mut scopes, mut pools) = (std::mem::take(&mut self.scopes), std::mem::take(&mut self.pools));
        let mut fresh = Vec::new();
        let mut same = true;
        for &position in positions {
            let Some(scope) = configuration.scopes.get(position) else { continue };
            let index = ScopeIndex::new(position, scope, withheld);
            let before = scopes.remove(&scope.subnet.network).filter(|before| before.lists_the_same(&index));
            for (pool, &range) in index.ranges.iter().enumerate() {
                let kept = before.as_ref().and_then(|before| pools.remove(&PoolIndex { scope: before.position, pool }));
                let state = kept.unwrap_or_else(|| PoolState {
                    range,
                    lists: self.homes().map(|home| (home, index.fresh_list(range, home))).collect(),
                });
                self.pools.insert(PoolIndex { scope: position, pool }, state);
            }
            same &= before.as_ref().is_some_and(|before| before.position == position);
            if before.is_none() {
                fresh.push((scope.subnet.network, index.last));
            }
            self.scopes.insert(scope.subnet.network, index);
        }
        if !same || !scopes.is_empty() {
            self.count();
        }
        fresh
    }

    fn count(&mut self) {
        let mut counts: BTreeMap<usize, Counts> = BTreeMap::new();
        for lease in self.leases.values() {
            if let Some(position) = self.scope_position(lease.address) {
                counts.entry(position).or_default().add(lease.state);
            }
        }
        self.counts = counts;
    }

    fn index_expiries(&mut self) {
        self.by_expiry = [BTreeSet::new(), BTreeSet::new()];
        for lease in self.leases.values().filter(|lease| lease.state != LeaseState::Free) {
            self.by_expiry[usize::from(!self.is_home(lease.address))].insert((lease.expiry, lease.address));
        }
    }

    fn homes(&self) -> impl Iterator<Item = Option<Slot>> + use<> {
        let homes: &[Option<Slot>] = if self.slot.is_some() { &[Some(Slot::Zero), Some(Slot::One)] } else { &[None] };
        homes.iter().copied()
    }

    fn refill_lists(&mut self) {
        let listed = |lease: &Lease| (lease.address, self.is_listed(lease).then_some(lease.sequence));
        let records = self.iter().map(listed).collect();
        self.fill_lists(records, true);
    }

    /// Brings the free lists in line with records; `known` says whether the lists have seen them before.
    fn fill_lists(&mut self, records: Vec<(Ipv4Addr, Option<Sequence>)>, known: bool) {
        for (address, listed) in records {
            let Some(list) = self.list_of(address) else { continue };
            list.take(address, known);
            list.take(address, true);
            if let Some(at) = listed {
                list.insert(address, at);
            }
        }
    }
}

impl ScopeIndex {
    fn new(position: usize, scope: &Scope, withheld: &AddressSet) -> Self {
        let own = AddressSet::of(scope.exclude.iter().copied()).union(&AddressSet::reserved(scope));
        let pools = AddressSet::of(scope.pools.iter().map(|pool| pool.range));
        Self {
            position,
            last: scope.subnet.broadcast(),
            ranges: scope.pools.iter().map(|pool| pool.range).collect(),
            withheld: own.union(&withheld.intersection(&pools)),
            reserved: scope.reservations.iter().map(|kept| (kept.address, identity(&kept.holder))).collect(),
        }
    }

    fn withholds(&self, address: Ipv4Addr) -> bool {
        self.withheld.contains(address)
    }

    fn lists_the_same(&self, other: &Self) -> bool {
        (&self.ranges, &self.withheld, self.last) == (&other.ranges, &other.withheld, other.last)
    }

    fn fresh_list(&self, range: AddressRange, home: Option<Slot>) -> FreeList {
        let withheld = self.withheld.ranges().map(|hole| count_in(range, hole, home)).sum();
        FreeList::new(range, home, withheld)
    }
}

fn scope_of(scopes: &BTreeMap<Ipv4Addr, ScopeIndex>, address: Ipv4Addr) -> Option<&ScopeIndex> {
    scopes.range(..=address).next_back().map(|(_, scope)| scope).filter(|scope| address <= scope.last)
}

/// How many addresses of `home` lie in both ranges.
fn count_in(a: AddressRange, b: AddressRange, home: Option<Slot>) -> u64 {
    let (first, last) = (a.first.max(b.first), a.last.min(b.last));
    if first > last {
        return 0;
    }
    FreeList::new(AddressRange { first, last }, home, 0).len()
}
