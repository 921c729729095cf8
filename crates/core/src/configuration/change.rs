//! What a configuration may not change while nodes serve.
//!
//! Two relationships hold different leases for one address, and homes and versions belong to the two nodes of a
//! relationship. So an address changes its owner only while nobody gives it, and a relationship keeps its nodes.

use super::{AddressSet, Configuration, Scope};
use crate::id::{RelationshipName, ScopeName};
use std::fmt;

/// Why one configuration cannot take the place of another, and what to do first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Objection {
    /// Its certificates carry the name.
    OtherCluster,
    /// A relationship would have other nodes.
    OtherNodes(RelationshipName),
    /// The addresses of this scope, in the old configuration, would be given away by other nodes.
    OtherOwner {
        /// Whose addresses.
        from: ScopeName,
        /// The scope that would have them.
        to: ScopeName,
    },
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherCluster => {
                f.write_str("a cluster keeps its name: its certificates carry it; make a new cluster instead")
            }
            Self::OtherNodes(name) => write!(
                f,
                "relationship {name} keeps its two nodes: make another relationship and move the scopes there"
            ),
            Self::OtherOwner { from, .. } => write!(
                f,
                "the addresses of {from} go to other nodes: `standfast scope disable {from}` first, then move it disabled"
            ),
        }
    }
}

/// Everything that keeps `new` from taking the place of `old`, as far as the two texts tell.
#[must_use]
pub fn objections(old: &Configuration, new: &Configuration) -> Vec<Objection> {
    let mut objections = Vec::new();
    if old.cluster != new.cluster {
        objections.push(Objection::OtherCluster);
    }
    for pair in &new.relationships {
        let nodes = |primary, standby| if primary < standby { [primary, standby] } else { [standby, primary] };
        let before = old.relationships.iter().find(|before| before.name == pair.name);
        if before.is_some_and(|b| nodes(&b.primary, &b.standby) != nodes(&pair.primary, &pair.standby)) {
            objections.push(Objection::OtherNodes(pair.name.clone()));
        }
    }
    for scope in &new.scopes {
        let moved = old.scopes.iter().filter(|before| moves_while_served(before, scope));
        objections.extend(moved.map(|from| Objection::OtherOwner { from: from.name.clone(), to: scope.name.clone() }));
    }
    objections
}

fn moves_while_served(before: &Scope, after: &Scope) -> bool {
    let nobody_serves = before.disabled && after.disabled;
    before.owner != after.owner && !nobody_serves && (before.name == after.name || shares_addresses(before, after))
}

fn shares_addresses(one: &Scope, other: &Scope) -> bool {
    let subnets_meet = one.subnet.contains(other.subnet.network) || other.subnet.contains(one.subnet.network);
    subnets_meet && !AddressSet::given(one).intersection(&AddressSet::given(other)).is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::configuration::{AddressRange, OptionValues, Pool, ScopeOwner};
    use crate::dhcp::fixture::{configuration, scope};

    #[test]
    fn an_address_changes_its_owner_only_while_nobody_gives_it() {
        let network = scope(20).subnet;
        let range = AddressRange { first: network.network, last: network.broadcast() };
        let pools = vec![Pool { range, class: None, options: OptionValues::new() }];
        let owned = |owner: &str| Scope { owner: ScopeOwner::Node(owner.into()), pools: pools.clone(), ..scope(20) };
        let lan = |owner: &str, disabled| configuration(vec![Scope { disabled, ..owned(owner) }]);
        let told = |old: &Configuration, new: &Configuration| objections(old, new).len();
        assert_eq!(told(&lan("a", false), &lan("a", true)), 0);
        assert_eq!(told(&lan("a", false), &lan("b", false)), 1);
        assert_eq!(told(&lan("a", false), &lan("b", true)), 1, "the old one still serves");
        assert_eq!(told(&lan("a", true), &lan("b", false)), 1, "the new one serves at once");
        assert_eq!(told(&lan("a", true), &lan("b", true)), 0);
        let renamed = configuration(vec![Scope { name: "other".into(), ..owned("b") }]);
        assert_eq!(told(&lan("a", false), &renamed), 1, "addresses count, not names");
    }

    #[test]
    fn a_cluster_keeps_its_name() {
        let other = Configuration { cluster: "other".into(), ..configuration(vec![]) };
        assert_eq!(objections(&configuration(vec![]), &other), [Objection::OtherCluster]);
    }
}
