//! Sets of addresses as ranges: a /8 is compared as quickly as a single address.

use super::{AddressRange, Scope};
use std::net::Ipv4Addr;

/// Addresses as disjoint ranges, in order, none touching the next; the bounds are wider than an address so that one past
/// the last has a number.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AddressSet {
    /// First, and one past the last.
    ranges: Vec<(u64, u64)>,
}

impl AddressSet {
    /// All addresses of `ranges`, which may overlap.
    #[must_use]
    pub fn of(ranges: impl IntoIterator<Item = AddressRange>) -> Self {
        let bounds = |range: AddressRange| (u64::from(range.first.to_bits()), u64::from(range.last.to_bits()) + 1);
        Self::joined(ranges.into_iter().map(bounds).collect())
    }

    /// The addresses that a scope gives to any client that its pools are for: neither excluded nor reserved.
    #[must_use]
    pub fn given_to_anyone(scope: &Scope) -> Self {
        let pools = Self::of(scope.pools.iter().map(|pool| pool.range));
        pools.without(&Self::of(scope.exclude.iter().copied())).without(&Self::reserved(scope))
    }

    /// The addresses that a scope keeps for one client each.
    #[must_use]
    pub fn reserved(scope: &Scope) -> Self {
        Self::of(scope.reservations.iter().map(|kept| AddressRange { first: kept.address, last: kept.address }))
    }

    /// The addresses that a scope gives to clients.
    #[must_use]
    pub fn given(scope: &Scope) -> Self {
        Self::given_to_anyone(scope).union(&Self::reserved(scope))
    }

    /// Its parts, in order.
    pub fn ranges(&self) -> impl Iterator<Item = AddressRange> {
        let address = |bits| Ipv4Addr::from_bits(u32::try_from(bits).unwrap_or(u32::MAX));
        self.ranges.iter().map(move |(first, end)| AddressRange { first: address(*first), last: address(*end - 1) })
    }

    /// Whether it has no address.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Whether `address` is one of them.
    #[must_use]
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        let bits = u64::from(address.to_bits());
        let behind = self.ranges.partition_point(|(first, _)| *first <= bits);
        behind.checked_sub(1).is_some_and(|at| bits < self.ranges[at].1)
    }

    /// The addresses of either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self::joined([self.ranges.as_slice(), &other.ranges].concat())
    }

    /// The addresses of both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        self.without(&self.without(other))
    }

    /// The addresses that `other` does not have.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let mut left = Vec::new();
        for &(mut first, end) in &self.ranges {
            let from = other.ranges.partition_point(|(_, hole_end)| *hole_end <= first);
            for &(hole, hole_end) in other.ranges[from..].iter().take_while(|(hole, _)| *hole < end) {
                if first < hole {
                    left.push((first, hole));
                }
                first = first.max(hole_end);
            }
            if first < end {
                left.push((first, end));
            }
        }
        Self { ranges: left }
    }

    fn joined(mut ranges: Vec<(u64, u64)>) -> Self {
        ranges.sort_unstable();
        let mut joined: Vec<(u64, u64)> = Vec::with_capacity(ranges.len());
        for (first, end) in ranges {
            match joined.last_mut() {
                Some(last) if first <= last.1 => last.1 = last.1.max(end),
                Some(_) | None => joined.push((first, end)),
            }
        }
        Self { ranges: joined }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn ranges() -> impl Strategy<Value = Vec<AddressRange>> {
        let address = |bits: u32| Ipv4Addr::from_bits(bits);
        let range = (0..60_u32, 0..8_u32)
            .prop_map(move |(first, length)| AddressRange { first: address(first), last: address(first + length) });
        proptest::collection::vec(range, 0..6)
    }

    fn one_by_one(set: &AddressSet) -> BTreeSet<Ipv4Addr> {
        (0..70).map(Ipv4Addr::from_bits).filter(|address| set.contains(*address)).collect()
    }

    proptest! {
        #[test]
        fn sets_are_what_their_addresses_say(one in ranges(), other in ranges()) {
            let (one, other) = (AddressSet::of(one), AddressSet::of(other));
            let (by_one, by_other) = (one_by_one(&one), one_by_one(&other));
            prop_assert_eq!(one_by_one(&one.union(&other)), &by_one | &by_other);
            prop_assert_eq!(one_by_one(&one.without(&other)), &by_one - &by_other);
            prop_assert_eq!(one_by_one(&one.intersection(&other)), &by_one & &by_other);
            prop_assert_eq!(AddressSet::of(one.ranges()), one);
        }
    }

    #[test]
    fn the_whole_space_is_a_set() {
        let all = AddressSet::of([AddressRange { first: Ipv4Addr::UNSPECIFIED, last: Ipv4Addr::BROADCAST }]);
        assert!(all.without(&all).is_empty());
        assert_eq!(all.ranges().next().unwrap().last, Ipv4Addr::BROADCAST);
    }
}
