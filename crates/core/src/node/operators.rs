//! What operators ask of a node.

use super::Node;
use crate::event::Code;
use crate::failover::relationship::Relationship;
use crate::id::{NodeName, RelationshipName};
use crate::input::{Command, Request};
use crate::output::CommandResult;
use crate::time::Wall;
use std::net::Ipv4Addr;
use std::time::Duration;

impl Node {
    pub(super) fn operator(&mut self, request: Request, command: Command) {
        let result = match command {
            Command::Switchover { relationship, to } => {
                let me = self.identity.node.clone();
                match self.relationships.iter_mut().find(|r| r.name == relationship && r.partner.is_some()) {
                    Some(pair) => return pair.switch_over(to.as_ref(), &me, request, &mut self.fx),
                    None => self.no_such_relationship(&relationship),
                }
            }
            Command::PartnerDown { node, relationship, off_since, despite_evidence } => {
                self.partner_down(&node, relationship.as_ref(), off_since, despite_evidence)
            }
            Command::AcceptRisk { relationship } => {
                match self.relationships.iter_mut().find(|r| r.name == relationship && r.partner.is_some()) {
                    Some(pair) => pair.accept_risk(&mut self.fx),
                    None => self.no_such_relationship(&relationship),
                }
            }
            Command::Init => self.init(),
            Command::Pause { relationship, duration } => self.pause(relationship.as_ref(), duration),
            Command::Release { address } => self.release(address),
            Command::Import(leases) => return self.import(request, leases),
            Command::Apply(apply) => match self.apply(request, apply) {
                Some(result) => result,
                None => return,
            },
            Command::Leave => self.leave(),
        };
        self.fx.answer(request, result);
        self.end_if_left();
    }

    fn no_such_relationship(&self, name: &RelationshipName) -> CommandResult {
        let known: Vec<&str> =
            self.relationships.iter().filter(|r| r.partner.is_some()).map(|r| r.name.as_str()).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        CommandResult::Failed(format!("there is no relationship {name} on this node; there is: {known}"))
    }

    fn partner_down(
        &mut self,
        node: &NodeName,
        relationship: Option<&RelationshipName>,
        off_since: Option<Wall>,
        despite_evidence: bool,
    ) -> CommandResult {
        let Some(peer) = self.peers.get(node) else {
            return CommandResult::Failed(format!("this node shares no relationship with {node}"));
        };
        let last_contact = peer.detector.last_contact();
        let concerned =
            |r: &&mut Relationship| r.partner.as_ref() == Some(node) && relationship.is_none_or(|name| r.name == *name);
        let results: Vec<CommandResult> = self
            .relationships
            .iter_mut()
            .filter(concerned)
            .map(|pair| pair.force_partner_down(off_since, despite_evidence, last_contact, &mut self.fx))
            .collect();
        joined(results)
    }

    /// The cluster is new: empty stores are right.
    fn init(&mut self) -> CommandResult {
        let mut names = Vec::new();
        let mut partners = Vec::new();
        for pair in self.relationships.iter_mut().filter(|r| r.partner.is_some() && r.lost) {
            if !pair.table.is_empty() || pair.last_normal.is_some() {
                continue;
            }
            pair.lost = false;
            pair.slot_known = true;
            pair.embargo = None;
            pair.persist(&mut self.fx);
            pair.event(Code::Initialised, "the cluster is new", "an operator said so", &mut self.fx);
            names.push(pair.name.to_string());
            partners.extend(pair.partner.clone());
        }
        for partner in partners {
            // The next session begins with the news.
            self.lose(&partner, "the cluster was declared new");
        }
        if !names.is_empty() {
            self.make_first_revision();
        }
        if names.is_empty() {
            return CommandResult::Refused("nothing to do: this node knows its cluster already".into());
        }
        CommandResult::Done(format!("declared new: {}", names.join(", ")))
    }

    fn pause(&mut self, relationship: Option<&RelationshipName>, duration: Duration) -> CommandResult {
        let concerned = |r: &&mut Relationship| r.partner.is_some() && relationship.is_none_or(|name| r.name == *name);
        let results: Vec<CommandResult> =
            self.relationships.iter_mut().filter(concerned).map(|pair| pair.pause(duration, &mut self.fx)).collect();
        joined(results)
    }

    fn release(&mut self, address: Ipv4Addr) -> CommandResult {
        let owner = self.selector.scope_of(address).and_then(|scope| self.owners[scope]);
        let Some(pair) = owner.and_then(|owner| self.relationships.get_mut(owner)) else {
            return CommandResult::Failed(format!("{address} is in no scope of this node"));
        };
        if pair.table.get(address).is_none_or(|lease| !lease.is_live(self.fx.now.instant)) {
            return CommandResult::Refused(format!("{address} is not leased"));
        }
        let Some(mut serving) = pair.serving(&mut self.fx) else {
            return CommandResult::Refused(format!("{address}: its scope is deactivated here; ask the active node"));
        };
        serving.end_lease(address);
        serving.event(Code::LeaseReleased, format!("the lease of {address} is ended"), "an operator said so");
        CommandResult::Done(format!("the lease of {address} is ended"))
    }

    fn leave(&mut self) -> CommandResult {
        self.leaving = true;
        // What is remembered of the partner must be durable before it is told: its store may go back in time meanwhile.
        self.store_record();
        for pair in &mut self.relationships {
            pair.leave(&mut self.fx);
        }
        CommandResult::Done("leaving".into())
    }

    /// Says that the process may end, once every relationship lets it.
    pub(super) fn end_if_left(&mut self) {
        if self.leaving && self.relationships.iter().all(Relationship::has_left) {
            self.fx.outputs.left = true;
        }
    }
}

/// One result of many: the worst, with every word.
fn joined(results: Vec<CommandResult>) -> CommandResult {
    let words = |results: &[CommandResult]| {
        let text = |result: &CommandResult| match result {
            CommandResult::Done(text) | CommandResult::Refused(text) | CommandResult::Failed(text) => text.clone(),
        };
        results.iter().map(text).collect::<Vec<_>>().join("; ")
    };
    if results.is_empty() {
        CommandResult::Failed("this node has no such relationship".into())
    } else if results.iter().any(|result| matches!(result, CommandResult::Failed(_))) {
        CommandResult::Failed(words(&results))
    } else if results.iter().any(|result| matches!(result, CommandResult::Refused(_))) {
        CommandResult::Refused(words(&results))
    } else {
        CommandResult::Done(words(&results))
    }
}
