//! What may be given away while another node may still use an older revision of the configuration.
//!
//! A node that is away gives addresses by the revision that it has. An address that a later one changes (its pool, its
//! reservation, its relationship) is therefore given only where both allow it, until the node is known to use the later
//! one and everything that it did before is known here. A lease that runs is extended all the same: nobody else can
//! have its address meanwhile.
//!
//! A reserved address keeps its home. Its client may also have it from the other node once both keep it for that client
//! and have agreed that it is free: whichever of the two gives it then, gives it to the same client.

use crate::configuration::{AddressRange, AddressSet, Configuration, Scope, ScopeOwner};
use crate::dhcp::reservation::identity;
use crate::id::{NodeName, RelationshipName};
use crate::lease::record::ClientId;
use crate::mutant::{Rule, holds};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

/// What one relationship may give, beside what its own revision says.
#[derive(Debug, Default)]
pub(crate) struct Allowance {
    limits: Vec<Limit>,
    /// Reservations that the partner keeps too, whatever revision it uses.
    agreed: BTreeMap<Ipv4Addr, ClientId>,
    /// The shortest lead time of a revision that the partner may use.
    pub(crate) lead_time: Option<Duration>,
}

/// What one older revision does not allow.
#[derive(Debug, Default)]
struct Limit {
    withheld: AddressSet,
    /// Withheld from everyone but this client.
    except: BTreeMap<Ipv4Addr, ClientId>,
}

impl Allowance {
    /// Whether every revision that may be in use lets this client have this address.
    pub(crate) fn allows(&self, address: Ipv4Addr, client: &ClientId) -> bool {
        self.limits.iter().all(|limit| !limit.withheld.contains(address) || limit.except.get(&address) == Some(client))
    }

    /// What may not be given to just anyone.
    pub(crate) fn withheld(&self) -> AddressSet {
        let limits = self.limits.iter().filter(|_| holds(Rule::BothRevisions));
        AddressSet::of(limits.flat_map(|limit| limit.withheld.ranges()))
    }

    /// Whether the partner keeps the address for this client too.
    pub(crate) fn is_agreed(&self, address: Ipv4Addr, client: &ClientId) -> bool {
        self.agreed.get(&address) == Some(client)
    }
}

/// One relationship, and who may use which older revision.
pub(crate) struct Outlook<'a> {
    pub(crate) owner: ScopeOwner,
    pub(crate) current: &'a Configuration,
    /// Each with the nodes that may still use it and may serve.
    pub(crate) older: Vec<(&'a Configuration, Vec<&'a NodeName>)>,
    /// The partner, if it may serve.
    pub(crate) partner: Option<&'a NodeName>,
    /// Whether it is known of some revision that the partner uses it or a later one.
    pub(crate) partner_known: bool,
}

impl Outlook<'_> {
    pub(crate) fn allowance(&self) -> Allowance {
        let mut allowance = Allowance::default();
        if self.partner_known {
            allowance.agreed = self.reservations(self.current);
        }
        for (older, users) in &self.older {
            let with_partner = self.partner.is_some_and(|partner| users.contains(&partner));
            let limit = self.limit(older, users, with_partner);
            if !limit.withheld.is_empty() {
                allowance.limits.push(limit);
            }
            if with_partner {
                let kept = self.reservations(older);
                allowance.agreed.retain(|address, client| kept.get(address) == Some(client));
                let lead_times = older.relationships.iter().filter(|pair| self.is_ours(&pair.name));
                allowance.lead_time = lead_times.map(|pair| pair.failover.mclt).chain(allowance.lead_time).min();
            }
        }
        allowance
    }

    fn limit(&self, older: &Configuration, users: &[&NodeName], with_partner: bool) -> Limit {
        let used_by_others =
            |scope: &&Scope| scope.owner != self.owner && older.members(scope).any(|member| users.contains(&member));
        let foreign = given(older.scopes.iter().filter(used_by_others), AddressSet::given);
        let mut limit = Limit { withheld: foreign.clone(), except: BTreeMap::new() };
        if !with_partner {
            return limit;
        }
        let anyone = |configuration| given(self.scopes(configuration), AddressSet::given_to_anyone);
        let (before, now) = (anyone(older), anyone(self.current));
        let kept_before = self.reservations(older);
        let kept_anew: Vec<_> = self
            .reservations(self.current)
            .into_iter()
            .filter(|(address, client)| !before.contains(*address) && kept_before.get(address) != Some(client))
            .map(|(address, _)| AddressRange { first: address, last: address })
            .collect();
        limit.withheld = foreign.union(&now.without(&before)).union(&AddressSet::of(kept_anew));
        limit.except = kept_before.into_iter().filter(|(at, _)| now.contains(*at) && !foreign.contains(*at)).collect();
        limit
    }

    fn scopes<'c>(&self, configuration: &'c Configuration) -> impl Iterator<Item = &'c Scope> {
        configuration.scopes.iter().filter(|scope| scope.owner == self.owner)
    }

    fn reservations(&self, configuration: &Configuration) -> BTreeMap<Ipv4Addr, ClientId> {
        let kept = self.scopes(configuration).flat_map(|scope| &scope.reservations);
        kept.map(|kept| (kept.address, identity(&kept.holder))).collect()
    }

    fn is_ours(&self, name: &RelationshipName) -> bool {
        matches!(&self.owner, ScopeOwner::Relationship(owner) if owner == name)
    }
}

fn given<'c>(scopes: impl Iterator<Item = &'c Scope>, of: impl Fn(&Scope) -> AddressSet) -> AddressSet {
    AddressSet::of(scopes.flat_map(|scope| of(scope).ranges().collect::<Vec<_>>()))
}
