//! What applying another cluster file would change, told before it is done.
//!
//! Changes are told by the part that they change, in the words of the file, with the addresses whose leases they touch:
//! an operator must see that a smaller pool takes addresses from clients, or that a scope cannot move while it is
//! served. Addresses are compared over the whole file, so that a renamed scope or a pool that moves from one scope to
//! another loses nothing.

mod describe;

#[cfg(test)]
mod tests;

use super::Cluster;
use describe::{Key, describe_class, describe_node, describe_relationship, describe_scope, show_holder};
use standfast_core::configuration::{
    AddressRange, AddressSet, Configuration, Objection, Reservation, Scope, ScopeOwner, objections,
};
use std::collections::BTreeMap;
use std::fmt;

/// Keys of a node that it reads only when it starts.
const OPENED_AT_START: [&str; 4] = ["rpc", "interfaces", "dhcp_listen", "http"];

/// What changes in one part of the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// What kind of part it is.
    pub kind: PartKind,
    /// Its name.
    pub name: String,
    /// Whether it comes, goes or changes.
    pub what: What,
    /// Addresses whose leases it touches.
    pub touched: Vec<Touched>,
    /// Why it cannot be applied, and what to do first; empty if it can.
    pub refused: Vec<String>,
    /// What is to be done once it is applied.
    pub afterwards: Vec<String>,
}

/// The kinds of parts of a cluster file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PartKind {
    /// The file itself.
    Cluster,
    /// A node.
    Node,
    /// A relationship.
    Relationship,
    /// A scope.
    Scope,
    /// A class.
    Class,
}

/// What happens to a part.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum What {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// Some of its keys differ.
    Changed(Vec<KeyChange>),
}

/// A key whose value differs, each element of the value as the file has it; no element if the key is absent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyChange {
    /// The key.
    pub key: &'static str,
    /// What is no longer there.
    pub before: Vec<String>,
    /// What is there instead.
    pub after: Vec<String>,
}

/// Addresses whose leases a change touches.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Touched {
    /// Which.
    pub addresses: AddressRange,
    /// How.
    pub effect: Effect,
}

/// What becomes of leases at addresses that a change touches.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Effect {
    /// Nobody gives the address any more: its client is refused when it renews.
    Lost,
    /// It is kept for this client: another one is refused when it renews.
    Reserved(String),
    /// It is for clients of this class: others are refused when they renew.
    ForClass(String),
    /// Nobody serves it while the scope is disabled: clients keep their leases until they end.
    Unserved,
}

/// What would change if `new` took the place of `old`, in the order of the file.
#[must_use]
pub fn diff(old: &Cluster, new: &Cluster) -> Vec<Change> {
    let (before, after) = (&old.configuration, &new.configuration);
    let mut changes = Vec::new();
    changes.extend(cluster_change(before, after));
    let no_more = |_: &str, _: &mut Change| {};
    let restart = |name: &str, change: &mut Change| {
        if let What::Changed(keys) = &change.what
            && keys.iter().any(|key| OPENED_AT_START.contains(&key.key))
        {
            change.afterwards.push(format!("restart {name}: it opens these when it starts"));
        }
    };
    let nodes = (describe(&old.nodes, describe_node), describe(&new.nodes, describe_node));
    changes.extend(part_changes(PartKind::Node, nodes, restart));
    let relationships =
        (describe(&before.relationships, describe_relationship), describe(&after.relationships, describe_relationship));
    let objections = objections(before, after);
    changes.extend(part_changes(PartKind::Relationship, relationships, |name, change| {
        let of_this = |o: &&Objection| matches!(o, Objection::OtherNodes(pair) if pair.as_str() == name);
        change.refused.extend(objections.iter().filter(of_this).map(ToString::to_string));
    }));
    let scopes = (describe(&before.scopes, describe_scope), describe(&after.scopes, describe_scope));
    let still_given = given_by_owner(after);
    changes.extend(part_changes(PartKind::Scope, scopes, |name, change| {
        complete_scope(before, after, &still_given, name, change);
        let of_this = |o: &&Objection| matches!(o, Objection::OtherOwner { to, .. } if to.as_str() == name);
        change.refused.extend(objections.iter().filter(of_this).map(ToString::to_string));
    }));
    let classes = (describe(&before.classes, describe_class), describe(&after.classes, describe_class));
    changes.extend(part_changes(PartKind::Class, classes, no_more));
    changes
}

/// A part by its name, and its keys.
type Described = (String, Vec<Key>);

fn describe<T>(parts: &[T], describe: impl Fn(&T) -> Described) -> Vec<Described> {
    parts.iter().map(describe).collect()
}

/// The name of the cluster, and the order of classes, in which they are looked at.
fn cluster_change(before: &Configuration, after: &Configuration) -> Option<Change> {
    let mut keys = Vec::new();
    let mut refused = Vec::new();
    if before.cluster != after.cluster {
        let (before, after) = (vec![before.cluster.clone()], vec![after.cluster.clone()]);
        keys.push(KeyChange { key: "cluster", before, after });
        refused.push(Objection::OtherCluster.to_string());
    }
    let order = |configuration: &Configuration, other: &Configuration| -> Vec<String> {
        let in_other = |name: &String| other.classes.iter().any(|class| class.name == *name);
        configuration.classes.iter().map(|class| class.name.clone()).filter(in_other).collect()
    };
    let (old_order, new_order) = (order(before, after), order(after, before));
    if old_order != new_order {
        keys.push(KeyChange { key: "class", before: vec![old_order.join(", ")], after: vec![new_order.join(", ")] });
    }
    let what = What::Changed(keys);
    let change = Change {
        kind: PartKind::Cluster,
        name: after.cluster.clone(),
        what,
        touched: Vec::new(),
        refused,
        afterwards: Vec::new(),
    };
    (change.what != What::Changed(Vec::new())).then_some(change)
}

/// Compares the parts of one kind by name; `complete` adds what only that kind has.
fn part_changes(
    kind: PartKind,
    (before, after): (Vec<Described>, Vec<Described>),
    complete: impl Fn(&str, &mut Change),
) -> Vec<Change> {
    let old: BTreeMap<&str, &Vec<Key>> = before.iter().map(|(name, keys)| (name.as_str(), keys)).collect();
    let new: BTreeMap<&str, &Vec<Key>> = after.iter().map(|(name, keys)| (name.as_str(), keys)).collect();
    let removed =
        before.iter().filter(|(name, _)| !new.contains_key(name.as_str())).map(|(name, _)| (name, What::Removed));
    let others = after.iter().map(|(name, keys)| match old.get(name.as_str()) {
        None => (name, What::Added),
        Some(old_keys) => (name, What::Changed(key_changes(old_keys, keys))),
    });
    removed
        .chain(others)
        .filter(|(_, what)| *what != What::Changed(Vec::new()))
        .map(|(name, what)| {
            let mut change = Change {
                kind,
                name: name.clone(),
                what,
                touched: Vec::new(),
                refused: Vec::new(),
                afterwards: Vec::new(),
            };
            complete(name, &mut change);
            change
        })
        .collect()
}

/// Both lists have the same keys in the same order.
fn key_changes(before: &[Key], after: &[Key]) -> Vec<KeyChange> {
    let without = |items: &[String], others: &[String]| -> Vec<String> {
        items.iter().filter(|item| !others.contains(item)).cloned().collect()
    };
    before
        .iter()
        .zip(after)
        .filter(|(old, new)| old.items != new.items)
        .map(|(old, new)| {
            let (gone, come) = (without(&old.items, &new.items), without(&new.items, &old.items));
            // The same elements in another order.
            let reordered = gone.is_empty() && come.is_empty();
            let (before, after) = if reordered { (old.items.clone(), new.items.clone()) } else { (gone, come) };
            KeyChange { key: old.key, before, after }
        })
        .collect()
}

/// Adds what a change of the scope `name` does to leases, and why it may have to wait.
fn complete_scope(
    before: &Configuration,
    after: &Configuration,
    still_given: &[(&ScopeOwner, AddressSet)],
    name: &str,
    change: &mut Change,
) {
    let old = before.scopes.iter().find(|scope| scope.name.as_str() == name);
    let new = after.scopes.iter().find(|scope| scope.name.as_str() == name);
    if let Some(old) = old {
        change.touched.extend(lost(old, still_given));
    }
    if let Some(new) = new {
        let enabled_before = old.is_some_and(|old| !old.disabled);
        if enabled_before && new.disabled {
            change.touched.extend(touched(&AddressSet::given(new), &Effect::Unserved));
        }
    }
    if let (Some(old), Some(new)) = (old, new) {
        change.touched.extend(newly_reserved(old, new));
        change.touched.extend(newly_classed(old, new));
    }
}

/// What the scopes of each owner give together; there are few owners and may be thousands of scopes.
fn given_by_owner(configuration: &Configuration) -> Vec<(&ScopeOwner, AddressSet)> {
    let mut owners: Vec<&ScopeOwner> = Vec::new();
    for scope in &configuration.scopes {
        if !owners.contains(&&scope.owner) {
            owners.push(&scope.owner);
        }
    }
    let all_of = |owner: &ScopeOwner| {
        let scopes = configuration.scopes.iter().filter(|scope| scope.owner == *owner);
        AddressSet::of(scopes.flat_map(|scope| AddressSet::given(scope).ranges().collect::<Vec<_>>()))
    };
    owners.into_iter().map(|owner| (owner, all_of(owner))).collect()
}

/// Addresses that `old` gave and that nothing of the same owner gives any more.
fn lost(old: &Scope, still_given: &[(&ScopeOwner, AddressSet)]) -> Vec<Touched> {
    let still = still_given.iter().find(|(owner, _)| **owner == old.owner);
    let lost = still.map_or_else(|| AddressSet::given(old), |(_, still)| AddressSet::given(old).without(still));
    touched(&lost, &Effect::Lost)
}

fn newly_reserved(old: &Scope, new: &Scope) -> Vec<Touched> {
    let could_be_anybodys = AddressSet::given(old);
    let is_new = |reservation: &&Reservation| {
        let same = |other: &Reservation| other.address == reservation.address && other.holder == reservation.holder;
        !old.reservations.iter().any(same)
    };
    let fresh =
        new.reservations.iter().filter(|reservation| could_be_anybodys.contains(reservation.address)).filter(is_new);
    fresh
        .map(|reservation| Touched {
            addresses: AddressRange { first: reservation.address, last: reservation.address },
            effect: Effect::Reserved(show_holder(&reservation.holder)),
        })
        .collect()
}

/// Addresses that more clients could have than now.
fn newly_classed(old: &Scope, new: &Scope) -> Vec<Touched> {
    let classed = new.pools.iter().filter_map(|pool| Some((pool, pool.class.as_ref()?)));
    classed
        .flat_map(|(pool, class)| {
            let others = old.pools.iter().filter(|other| other.class.as_ref() != Some(class)).map(|other| other.range);
            let moved = AddressSet::of(others).intersection(&AddressSet::of([pool.range]));
            touched(&moved.intersection(&AddressSet::given(new)), &Effect::ForClass(class.clone()))
        })
        .collect()
}

fn touched(addresses: &AddressSet, effect: &Effect) -> Vec<Touched> {
    addresses.ranges().map(|addresses| Touched { addresses, effect: effect.clone() }).collect()
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, keys): (_, &[KeyChange]) = match &self.what {
            What::Added => ('+', &[]),
            What::Removed => ('-', &[]),
            What::Changed(keys) => ('~', keys),
        };
        writeln!(f, "{sign} {} {}", self.kind, self.name)?;
        for change in keys {
            write!(f, "{change}")?;
        }
        for Touched { addresses, effect } in &self.touched {
            writeln!(f, "    leases of {}: {effect}", describe::show_range(*addresses))?;
        }
        for what in &self.afterwards {
            writeln!(f, "    afterwards: {what}")?;
        }
        for why in &self.refused {
            writeln!(f, "    REFUSED: {why}")?;
        }
        Ok(())
    }
}

impl fmt::Display for KeyChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let ([before], [after]) = (&self.before[..], &self.after[..]) {
            return writeln!(f, "    {}: {before} -> {after}", self.key);
        }
        for item in &self.before {
            writeln!(f, "    {}: - {item}", self.key)?;
        }
        for item in &self.after {
            writeln!(f, "    {}: + {item}", self.key)?;
        }
        Ok(())
    }
}

impl fmt::Display for PartKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cluster => "cluster",
            Self::Node => "node",
            Self::Relationship => "relationship",
            Self::Scope => "scope",
            Self::Class => "class",
        })
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost => f.write_str("no longer given away; clients there are refused when they renew"),
            Self::Reserved(holder) => write!(f, "kept for {holder}; another client there is refused when it renews"),
            Self::ForClass(class) => write!(f, "for class {class}; other clients there are refused when they renew"),
            Self::Unserved => f.write_str("not served while disabled; clients keep them until they end"),
        }
    }
}
