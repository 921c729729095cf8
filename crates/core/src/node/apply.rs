//! An operator's change of the configuration: every node that can be reached is asked before any takes it.

use super::Node;
use crate::configuration::{AddressSet, Configuration, Scope, ScopeOwner, objections};
use crate::failover::relationship::Relationship;
use crate::id::{NodeName, Revision};
use crate::input::{Apply, Request};
use crate::lease::record::LeaseState;
use crate::message::{ConfigurationMessage, PeerMessage, Reading};
use crate::output::CommandResult;
use crate::revisions::{Applying, OLDER_KEPT};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// A node that has not said by then whether it would take a change refuses it.
const VERDICT_DEADLINE: Duration = Duration::from_secs(10);

impl Node {
    /// Starts to ask the other nodes; `None` if the answer comes later.
    pub(super) fn apply(&mut self, request: Request, apply: Apply) -> Option<CommandResult> {
        let revision = self.configuration.revision.clone();
        if let Some(result) = self.needless_or_too_early(&apply) {
            return Some(result);
        }
        let mut configuration = Arc::unwrap_or_clone(apply.configuration);
        configuration.revision = Revision { number: revision.number + 1, node: self.identity.node.clone() };
        let own = self.objections(&configuration);
        let nodes: BTreeSet<NodeName> =
            self.configuration.nodes.iter().filter(|node| **node != self.identity.node).cloned().collect();
        let (waiting, unreachable): (BTreeSet<_>, BTreeSet<_>) =
            nodes.into_iter().partition(|node| self.peers.get(node).is_some_and(|peer| peer.greeted.is_some()));
        if let Some(connected) = apply.without.intersection(&waiting).next() {
            return Some(CommandResult::Refused(format!("{connected} is connected: leave out --without {connected}")));
        }
        if let Some(unknown) = apply.without.difference(&unreachable).next() {
            return Some(CommandResult::Refused(format!("--without {unknown}: there is no other node of that name")));
        }
        let number = self.revisions.next_proposal;
        self.revisions.next_proposal += 1;
        let applying = Applying {
            request,
            number,
            configuration: Arc::new(configuration),
            dry_run: apply.dry_run,
            without: apply.without,
            down: self.proven_down(),
            refusals: own.into_iter().map(|why| (self.identity.node.clone(), why)).collect(),
            waiting,
            unreachable,
            until: self.fx.instant() + VERDICT_DEADLINE,
        };
        for node in &applying.waiting {
            if let Some(session) = self.peers.get(node).and_then(|peer| peer.session) {
                let reading = Ok(Arc::clone(&applying.configuration));
                let proposal = ConfigurationMessage::Proposal { number, reading };
                self.fx.send(node, session, PeerMessage::Configuration(proposal));
            }
        }
        self.revisions.applying = Some(applying);
        self.conclude_apply();
        None
    }

    fn needless_or_too_early(&self, apply: &Apply) -> Option<CommandResult> {
        let revision = &self.configuration.revision;
        if self.revisions.applying.is_some() || self.revisions.taking.is_some() {
            return Some(CommandResult::Refused("another change is under way; try again in a moment".into()));
        }
        let alone = |pair: &Relationship| pair.partner.is_none() || pair.partner_down().is_some();
        if revision.number == 0 && !self.relationships.iter().all(alone) {
            let why = "this node has not met its cluster yet; if the cluster is new, run `standfast init` first";
            return Some(CommandResult::Refused(why.into()));
        }
        if apply.base.as_ref().is_some_and(|base| base != revision) {
            let why = format!("revision {revision} has come into use meanwhile: look at it and try again");
            return Some(CommandResult::Refused(why));
        }
        if apply.configuration.text == self.configuration.text {
            return Some(CommandResult::Done(format!("revision {revision} says exactly this: nothing to do")));
        }
        (self.revisions.older.len() >= OLDER_KEPT).then(|| {
            let behind: Vec<&str> = self.behind().iter().map(|node| node.as_str()).collect();
            let behind = behind.join(", ");
            CommandResult::Refused(format!("{OLDER_KEPT} revisions wait for {behind}: bring it back, or remove it"))
        })
    }

    fn behind(&self) -> Vec<&NodeName> {
        self.revisions.behind(&self.identity.node, &self.configuration)
    }

    /// Another node asks whether this one would take a configuration.
    pub(super) fn consider(&mut self, name: &NodeName, number: u64, reading: Reading) {
        let refusal = match &reading {
            Err(unreadable) => Some(unreadable.why.clone()),
            Ok(_) if self.revisions.applying.is_some() || self.revisions.taking.is_some() => {
                Some("another change is under way here; try again in a moment".into())
            }
            Ok(configuration) if configuration.revision <= self.configuration.revision => {
                Some(format!("revision {} is in use here already", self.configuration.revision))
            }
            Ok(configuration) => Some(self.objections(configuration).join("; ")).filter(|why| !why.is_empty()),
        };
        self.revisions.accepted = refusal.is_none().then(|| (name.clone(), number));
        let down = self.proven_down().into_iter().collect();
        if let Some(session) = self.peers.get(name).and_then(|peer| peer.session) {
            let verdict = ConfigurationMessage::Verdict { number, refusal, down };
            self.fx.send(name, session, PeerMessage::Configuration(verdict));
        }
    }

    pub(super) fn verdict(&mut self, name: &NodeName, number: u64, refusal: Option<String>, down: Vec<NodeName>) {
        let Some(applying) = self.revisions.applying.as_mut().filter(|applying| applying.number == number) else {
            return;
        };
        if applying.waiting.remove(name) {
            applying.down.extend(down);
            applying.refusals.extend(refusal.map(|why| (name.clone(), why)));
        }
        self.conclude_apply();
    }

    /// A node that was asked will not answer.
    pub(super) fn no_verdict_from(&mut self, name: &NodeName) {
        if let Some(applying) = self.revisions.applying.as_mut()
            && applying.waiting.remove(name)
        {
            applying.refusals.push((name.clone(), "the connection was lost before it answered".into()));
            self.conclude_apply();
        }
    }

    /// Gives up on verdicts that do not come.
    pub(super) fn watch_apply(&mut self) {
        let now = self.fx.instant();
        if let Some(applying) = self.revisions.applying.as_mut().filter(|applying| applying.until <= now) {
            for name in std::mem::take(&mut applying.waiting) {
                applying.refusals.push((name, format!("it did not answer within {} s", VERDICT_DEADLINE.as_secs())));
            }
            self.conclude_apply();
        }
    }

    /// Every verdict is in: takes the revision, or tells why not.
    fn conclude_apply(&mut self) {
        let Some(applying) = self.revisions.applying.take_if(|applying| applying.waiting.is_empty()) else { return };
        let Applying { request, number, configuration, dry_run, without, unreachable, down, mut refusals, .. } =
            applying;
        let missing = unreachable.iter().filter(|node| !without.contains(*node) && !down.contains(*node));
        refusals.extend(missing.map(|node| {
            let why = format!(
                "it cannot be reached, and may serve by what it has: bring it back, or say --without {node} if it is off"
            );
            (node.clone(), why)
        }));
        if !refusals.is_empty() {
            let reasons: Vec<String> = refusals.iter().map(|(node, why)| format!("\n  {node}: {why}")).collect();
            let refused = format!("nothing has changed;{}", reasons.concat());
            return self.fx.answer(request, CommandResult::Refused(refused));
        }
        let later: Vec<&str> = unreachable.iter().map(NodeName::as_str).collect();
        let later = match later.join(", ") {
            nodes if nodes.is_empty() => String::new(),
            nodes => format!("; {nodes} takes it on coming back, before serving"),
        };
        let revision = &configuration.revision;
        if dry_run {
            let would = format!("every node that can be reached would take revision {revision}{later}");
            return self.fx.answer(request, CommandResult::Done(would));
        }
        let done = format!("revision {revision} is in use{later}");
        self.take(configuration, "an operator's change".into(), Some(number));
        self.fx.answer(request, CommandResult::Done(done));
    }

    /// What keeps this node from taking a configuration in the place of its own, for people.
    fn objections(&self, new: &Configuration) -> Vec<String> {
        let mut reasons: Vec<String> = objections(&self.configuration, new).iter().map(ToString::to_string).collect();
        for scope in &new.scopes {
            let elsewhere = self.leases_elsewhere(scope);
            if elsewhere > 0 {
                let name = &scope.name;
                reasons.push(format!(
                    "{elsewhere} leases at addresses of {name} have not ended at the nodes that gave them: wait for that"
                ));
            }
        }
        reasons
    }

    /// How many addresses that come to the owner of `scope` are leased by another relationship of this node.
    fn leases_elsewhere(&self, scope: &Scope) -> usize {
        let before = self.configuration.scopes.iter().filter(|before| before.owner == scope.owner);
        let before = AddressSet::of(before.flat_map(|before| AddressSet::given(before).ranges().collect::<Vec<_>>()));
        let coming = AddressSet::given(scope).without(&before);
        if coming.is_empty() {
            return 0;
        }
        let owner = match &scope.owner {
            ScopeOwner::Relationship(name) => name.clone(),
            ScopeOwner::Node(node) => super::alone(node),
        };
        let (first, last) = (scope.subnet.network, scope.subnet.broadcast());
        let others = self.relationships.iter().filter(|pair| pair.name != owner);
        let resting = self.dormant.iter().filter(|(record, _)| record.relationship != owner);
        let leases = others.flat_map(|pair| pair.table.range(first..=last));
        let leases = leases.chain(resting.flat_map(|(_, leases)| leases));
        leases.filter(|lease| lease.state != LeaseState::Free && coming.contains(lease.address)).count()
    }

    /// Partners of which there is proof that they do not serve, in every relationship with them.
    fn proven_down(&self) -> BTreeSet<NodeName> {
        let with_partner = || self.relationships.iter().filter_map(|pair| Some((pair.partner.as_ref()?, pair)));
        let serves = |name: &NodeName| with_partner().any(|(p, pair)| p == name && pair.partner_down().is_none());
        with_partner().map(|(partner, _)| partner).filter(|name| !serves(name)).cloned().collect()
    }
}
