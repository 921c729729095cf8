//! Which free address comes next: constant time, also in a full pool and in a /8.
//!
//! One list per pool and home. Addresses that nobody ever had come first, in order, by a cursor that needs no memory
//! per address; then those that were freed, the longest free first.

use crate::configuration::AddressRange;
use crate::id::{Sequence, Slot};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

/// How many candidates are looked at before a list counts as having none that is usable now.
const LOOK_AT: usize = 32;

/// The free addresses of one pool that have one home.
#[derive(Clone, Debug)]
pub struct FreeList {
    range: AddressRange,
    /// `None`: both parities, for a scope that one node serves alone.
    home: Option<Slot>,
    /// The next address that may never have been used, if the range has one left.
    cursor: Option<u32>,
    /// How many addresses were never used, offered or withheld.
    unused: u64,
    /// Never used, and offered to someone now.
    offered: BTreeSet<Ipv4Addr>,
    freed: BTreeSet<(Sequence, Ipv4Addr)>,
    since: BTreeMap<Ipv4Addr, Sequence>,
}

impl FreeList {
    /// A list in which every address of `home` in `range` was never used, but for those that `withheld` names: they
    /// are excluded or reserved.
    #[must_use]
    pub fn new(range: AddressRange, home: Option<Slot>, withheld: u64) -> Self {
        let first = range.first.to_bits();
        let cursor = match home {
            Some(slot) if first % 2 != slot.index() as u32 => first.checked_add(1),
            Some(_) | None => Some(first),
        }
        .filter(|&address| address <= range.last.to_bits());
        let all = cursor.map_or(0, |start| u64::from(range.last.to_bits() - start) / u64::from(step(home)) + 1);
        Self {
            range,
            home,
            cursor,
            unused: all.saturating_sub(withheld),
            offered: BTreeSet::new(),
            freed: BTreeSet::new(),
            since: BTreeMap::new(),
        }
    }

    /// How many addresses could be given away.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.unused + self.freed.len() as u64
    }

    /// Whether none could.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The address became free with the write `at`.
    pub fn insert(&mut self, address: Ipv4Addr, at: Sequence) {
        self.offered.remove(&address);
        if let Some(before) = self.since.insert(address, at) {
            self.freed.remove(&(before, address));
        }
        self.freed.insert((at, address));
    }

    /// The address is offered or leased; `recorded` says whether it had a lease record before.
    pub fn take(&mut self, address: Ipv4Addr, recorded: bool) {
        if let Some(at) = self.since.remove(&address) {
            self.freed.remove(&(at, address));
        } else if !recorded && !self.offered.contains(&address) {
            self.unused = self.unused.saturating_sub(1);
        }
        if recorded {
            self.offered.remove(&address);
        } else {
            self.offered.insert(address);
        }
    }

    /// The first address for which `usable` holds. `candidate` says whether an address may be given away and has no
    /// lease record. Only a few candidates are looked at, so that the time stays constant.
    pub fn first(
        &mut self,
        candidate: impl Fn(Ipv4Addr) -> bool,
        usable: impl Fn(Ipv4Addr) -> bool,
    ) -> Option<Ipv4Addr> {
        let untouched =
            |address| candidate(address) && !self.offered.contains(&address) && !self.since.contains_key(&address);
        let last = self.range.last.to_bits();
        // The cursor moves over what was touched; each address is passed once in the life of the list.
        while let Some(address) = self.cursor {
            if untouched(Ipv4Addr::from_bits(address)) {
                break;
            }
            self.cursor = address.checked_add(step(self.home)).filter(|&next| next <= last);
        }
        let unused = self.cursor.into_iter().flat_map(|start| (start..=last).step_by(step(self.home) as usize));
        unused
            .map(Ipv4Addr::from_bits)
            .take(LOOK_AT)
            .filter(|&address| untouched(address))
            .chain(self.freed.iter().map(|&(_, address)| address).take(LOOK_AT))
            .find(|&address| usable(address))
    }
}

fn step(home: Option<Slot>) -> u32 {
    if home.is_some() { 2 } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: u8, last: u8) -> AddressRange {
        AddressRange { first: Ipv4Addr::new(10, 0, 0, first), last: Ipv4Addr::new(10, 0, 0, last) }
    }

    #[test]
    fn never_used_addresses_come_first_then_the_longest_free() {
        let mut list = FreeList::new(range(1, 6), Some(Slot::Zero), 0);
        let address = |last| Ipv4Addr::new(10, 0, 0, last);
        assert_eq!(list.len(), 3);
        for expected in [2, 4] {
            assert_eq!(list.first(|_| true, |_| true), Some(address(expected)));
            list.take(address(expected), false);
        }
        list.insert(address(4), Sequence(7));
        list.insert(address(2), Sequence(9));
        assert_eq!(list.first(|_| true, |_| true), Some(address(6)));
        list.take(address(6), false);
        assert_eq!(list.first(|_| true, |_| true), Some(address(4)));
        assert_eq!(list.len(), 2);
    }

    #[test]
    fn what_is_withheld_is_neither_counted_nor_found() {
        let mut list = FreeList::new(range(1, 3), None, 1);
        let free = |address: Ipv4Addr| address.octets()[3] != 1;
        assert_eq!(list.len(), 2);
        assert_eq!(list.first(free, |_| true), Some(Ipv4Addr::new(10, 0, 0, 2)));
        assert_eq!(list.first(free, |_| false), None);
    }
}
