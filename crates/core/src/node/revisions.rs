//! Revisions between nodes: what a session begins with, taking a higher one, and knowing who uses which.

use super::Node;
use crate::configuration::{Configuration, RelationshipSettings, ScopeOwner};
use crate::dhcp::answer::Silence;
use crate::dhcp::reservation::Reservations;
use crate::dhcp::selection::Selector;
use crate::event::Code;
use crate::failover::allowance::Outlook;
use crate::failover::relationship::Relationship;
use crate::id::{NodeName, RelationshipName, Revision};
use crate::message::{ConfigurationMessage, Hello, PeerMessage, Reading, Unreadable};
use crate::output::StoredRecord;
use crate::peer::Peer;
use crate::revisions::{Revisions, Taking};
use crate::stored::{ConfigurationRecord, Stored};
use std::sync::Arc;

impl Node {
    /// The revision that a start begins with, and what is known of others; `file` is what the node was started with.
    ///
    /// A file is no revision before its cluster is declared new, or this node has nobody to share one with: a node that
    /// comes to a cluster takes what the cluster has.
    pub(super) fn first_revision(
        me: &NodeName,
        file: Arc<Configuration>,
        new_cluster: bool,
        stored: Option<&Stored>,
    ) -> (Arc<Configuration>, Revisions) {
        let record = stored.and_then(|stored| stored.configuration.as_ref());
        let mut revisions = Revisions::from(record);
        if let Some(record) = record {
            revisions.file_differs = record.current.text != file.text;
            return (Arc::clone(&record.current), revisions);
        }
        let mut configuration = Arc::unwrap_or_clone(file);
        let shares = configuration.relationships.iter().any(|pair| pair.primary == *me || pair.standby == *me);
        let number = u64::from(stored.is_some() || new_cluster || !shares);
        // Everybody's alike, so that nodes which start from one file do not differ.
        let node = configuration.nodes.first().unwrap_or(me).clone();
        configuration.revision = Revision { number, node };
        (Arc::new(configuration), revisions)
    }

    /// Says what a start found, and stores the first revision if there is one.
    pub(super) fn begin_revision(&mut self, is_first: bool) {
        let revision = &self.configuration.revision;
        if self.revisions.file_differs {
            let what = format!("the cluster file of this node differs from revision {revision}, which stays in use");
            self.fx.event(Code::ConfigurationDrift, None, what, "the file that this node was started with");
        }
        if is_first && revision.number > 0 {
            self.store_configuration();
        }
    }

    /// The file that this node was started with becomes the first revision: its cluster is new.
    pub(super) fn make_first_revision(&mut self) {
        if self.configuration.revision.number == 0 {
            let mut first = Configuration::clone(&self.configuration);
            first.revision.number = 1;
            self.configuration = Arc::new(first);
            self.store_configuration();
        }
    }

    pub(super) fn store_configuration(&mut self) {
        let record = self.configuration_record(&self.configuration);
        self.revisions.stored_at = self.fx.write(StoredRecord::Configuration(record));
    }

    fn configuration_record(&self, current: &Arc<Configuration>) -> ConfigurationRecord {
        ConfigurationRecord {
            current: Arc::clone(current),
            older: self.revisions.older.clone(),
            held: self.revisions.held.iter().map(|(node, held)| (node.clone(), held.clone())).collect(),
            sequence: crate::id::Sequence(0),
        }
    }

    /// A session begins: the lower of two revisions gives way.
    pub(super) fn compare_revisions(&mut self, name: &NodeName, hello: &Hello) {
        if let Some(peer) = self.peers.get_mut(name) {
            peer.revision = Some(hello.revision.clone());
        }
        let (ours, digest) = (self.configuration.revision.clone(), self.configuration.digest());
        let theirs = &hello.revision;
        let same_text = digest == hello.digest;
        if !same_text && (ours.number == theirs.number || ours.number == 0 || theirs.number == 0) {
            let what = format!("{name} and this node were given different configurations");
            let named = |revision: &Revision| match revision.number {
                0 => "a file that is no revision".to_owned(),
                _ => format!("revision {revision}"),
            };
            let evidence = format!("{} there, {} here; the higher revision is taken", named(theirs), named(&ours));
            self.fx.event(Code::ConfigurationDrift, None, what, evidence);
        }
        let wins = |one: &Revision, one_digest: u64, other: &Revision, other_digest: u64| {
            one.number > 0 && (one, one_digest) > (other, other_digest)
        };
        if wins(theirs, hello.digest, &ours, digest) {
            if same_text {
                let mut same = Configuration::clone(&self.configuration);
                same.revision.clone_from(theirs);
                self.take(Arc::new(same), format!("{name} has the same text"), None);
            }
        } else if wins(&ours, digest, theirs, hello.digest) && !same_text {
            self.send_revision(name, None);
        }
        self.compare_with_partners();
    }

    /// Sends the revision in use, behind those that others may still use.
    pub(super) fn send_revision(&mut self, name: &NodeName, proposal: Option<u64>) {
        let Some(session) = self.peers.get(name).and_then(|peer| peer.session) else { return };
        let older = self.revisions.older.iter().map(|older| ConfigurationMessage::Older(Ok(Arc::clone(older))));
        let reading = Ok(Arc::clone(&self.configuration));
        let messages: Vec<_> = older.chain([ConfigurationMessage::Revision { reading, proposal }]).collect();
        for message in messages {
            self.fx.send(name, session, PeerMessage::Configuration(message));
        }
    }

    pub(super) fn configuration_message(&mut self, name: &NodeName, message: ConfigurationMessage) {
        if self.peers.get(name).is_none_or(|peer| peer.greeted.is_none()) {
            return;
        }
        match message {
            ConfigurationMessage::Proposal { number, reading } => self.consider(name, number, reading),
            ConfigurationMessage::Verdict { number, refusal, down } => self.verdict(name, number, refusal, down),
            ConfigurationMessage::Older(Ok(older)) => self.revisions.keep(&older),
            // What cannot be read here cannot be kept to; the revision that follows cannot be read either.
            ConfigurationMessage::Older(Err(_)) => {}
            ConfigurationMessage::Revision { reading, proposal } => self.offered_revision(name, reading, proposal),
            ConfigurationMessage::Held(revision) => self.heard_held(name, revision),
        }
    }

    fn offered_revision(&mut self, name: &NodeName, reading: Reading, proposal: Option<u64>) {
        let configuration = match reading {
            Ok(configuration) => configuration,
            Err(unreadable) => return self.cannot_read(name, unreadable),
        };
        if let Some(peer) = self.peers.get_mut(name) {
            peer.revision = Some(configuration.revision.clone());
        }
        let accepted = self.revisions.accepted.take_if(|(from, number)| from == name && Some(*number) == proposal);
        let next = self.revisions.taking.as_ref().map_or(&self.configuration, |taking| &taking.configuration);
        let rank = |c: &Configuration| (c.revision.clone(), c.digest());
        if rank(&configuration) > rank(next) {
            self.take(configuration, format!("{name} has it"), accepted.map(|(_, number)| number));
        }
    }

    fn cannot_read(&mut self, name: &NodeName, unreadable: Unreadable) {
        let what = format!(
            "revision {} of {name} cannot be used here; this node does not come into step",
            unreadable.revision
        );
        self.fx.event(Code::ConfigurationUnreadable, None, what, unreadable.why.clone());
        self.revisions.unreadable = Some(unreadable);
    }

    /// Makes a higher revision durable; it is used once it is.
    pub(super) fn take(&mut self, configuration: Arc<Configuration>, evidence: String, proposal: Option<u64>) {
        let next = self.revisions.taking.take().map(|taking| taking.configuration);
        for superseded in [Some(Arc::clone(&self.configuration)), next].into_iter().flatten() {
            if superseded.text != configuration.text {
                self.revisions.keep(&superseded);
            }
        }
        self.revisions.prune(&self.identity.node, &configuration);
        let record = self.configuration_record(&configuration);
        let at = self.fx.write(StoredRecord::Configuration(record));
        self.revisions.stored_at = at;
        self.revisions.taking = Some(Taking { at, configuration, evidence, proposal });
    }

    /// Uses the revision that was being made durable, if it is by now. No lease is lost by it.
    pub(super) fn use_durable_revision(&mut self) {
        let Some(taking) = self.revisions.taking.take_if(|taking| self.fx.is_persisted(taking.at)) else { return };
        let Taking { configuration, evidence, proposal, .. } = taking;
        let before = std::mem::replace(&mut self.configuration, Arc::clone(&configuration));
        self.revisions.unreadable = None;
        let made_apart = [0, configuration.revision.number].contains(&before.revision.number);
        self.revisions.file_differs |= made_apart && before.text != configuration.text;
        self.selector = Selector::new(&configuration);
        self.reservations = configuration.scopes.iter().map(Reservations::new).collect();
        self.replace_relationships(proposal.is_some());
        self.replace_peers();
        self.index_owners();
        let position = |old: usize| {
            let name = &before.scopes.get(old)?.name;
            configuration.scopes.iter().position(|scope| scope.name == *name)
        };
        for pair in &mut self.relationships {
            pair.renumber_scopes(position, &mut self.fx);
            pair.revised(&self.fx);
        }
        self.refresh_allowances();
        self.record.revision = Some(configuration.revision.clone());
        self.store_record();
        self.fx.outputs.configured = Some(Arc::clone(&configuration));
        let what = format!("revision {} is in use{}", configuration.revision, by_whom(&configuration));
        self.fx.event(Code::ConfigurationChanged, None, what, evidence);
        for name in self.peers.keys().cloned().collect::<Vec<_>>() {
            let lower = |peer: &Peer| peer.revision.as_ref().is_some_and(|theirs| *theirs < configuration.revision);
            if self.peers.get(&name).is_some_and(lower) {
                self.send_revision(&name, proposal);
            }
        }
        self.compare_with_partners();
    }

    /// Relationships that the configuration has no more rest with their leases; those that it has again go on.
    fn replace_relationships(&mut self, live: bool) {
        let configuration = Arc::clone(&self.configuration);
        let mut before = std::mem::take(&mut self.relationships);
        let me = self.identity.node.clone();
        let ours = |settings: &&RelationshipSettings| settings.primary == me || settings.standby == me;
        let named =
            configuration.relationships.iter().filter(ours).map(|settings| (settings.name.clone(), Some(settings)));
        for (name, settings) in named.chain([(super::alone(&me), None)]) {
            let kept = before.iter().position(|pair| pair.name == name).map(|at| before.swap_remove(at));
            let pair = match kept {
                Some(mut pair) => {
                    pair.use_settings(self.beginning(settings, None, false));
                    pair
                }
                None => self.begin_relationship(settings, live),
            };
            self.relationships.push(pair);
        }
        for mut pair in before {
            pair.drop_held(Silence::Superseded, &mut self.fx);
            let leases = pair.table.iter().cloned().collect();
            self.dormant.push((pair.record(&self.fx), leases));
        }
        self.relationships.iter_mut().for_each(|pair| pair.persist(&mut self.fx));
    }

    fn begin_relationship(&mut self, settings: Option<&RelationshipSettings>, live: bool) -> Relationship {
        let name = settings.map(|settings| &settings.name);
        let at = self.dormant.iter().position(|(record, _)| Some(&record.relationship) == name);
        let (record, leases) = at.map(|at| self.dormant.swap_remove(at)).unzip();
        let beginning = self.beginning(settings, record, live);
        let mut pair = self.relationship(beginning);
        leases.into_iter().flatten().for_each(|lease| pair.table.put(lease));
        pair
    }

    /// Nodes come and go; those that stay keep their sessions.
    fn replace_peers(&mut self) {
        let gone: Vec<NodeName> =
            self.peers.keys().filter(|name| !self.configuration.nodes.contains(name)).cloned().collect();
        for name in gone {
            self.lose(&name, "it is no node of the cluster any more");
            self.peers.remove(&name);
        }
        self.make_peers();
    }

    /// What each relationship may give, now that something is known of revisions or of partners.
    pub(super) fn refresh_allowances(&mut self) {
        let (revisions, me) = (&self.revisions, &self.identity.node);
        let current = &*self.configuration;
        for pair in &mut self.relationships {
            let owner = match pair.partner {
                Some(_) => ScopeOwner::Relationship(pair.name.clone()),
                None => ScopeOwner::Node(me.clone()),
            };
            let is_down = pair.partner_down().is_some();
            let serves = |node: &&NodeName| *node != me && !(is_down && pair.partner.as_ref() == Some(node));
            let users = |older: &Configuration| {
                current.nodes.iter().filter(serves).filter(|node| revisions.may_use(node, older, current)).collect()
            };
            let outlook = Outlook {
                current,
                older: revisions.older.iter().map(|older| (&**older, users(older))).collect(),
                partner: pair.partner.as_ref().filter(|_| !is_down),
                partner_known: pair.partner.as_ref().is_some_and(|partner| revisions.held.contains_key(partner)),
                owner,
            };
            pair.allowance = outlook.allowance();
            pair.allowance_is_stale = false;
            let positions = positions_of(current, &pair.name, me);
            pair.use_scopes(current, &positions);
        }
    }

    /// A peer uses a revision, and everything that it did before is known here.
    fn heard_held(&mut self, name: &NodeName, revision: Revision) {
        if let Some(peer) = self.peers.get_mut(name) {
            peer.revision = Some(revision.clone());
        }
        let is_news = self.revisions.held.get(name).is_none_or(|held| *held < revision);
        if is_news {
            self.revisions.held.insert(name.clone(), revision);
            self.revisions.prune(&self.identity.node, &self.configuration);
            self.refresh_allowances();
            let current = self.revisions.taking.as_ref().map_or(&self.configuration, |taking| &taking.configuration);
            let record = self.configuration_record(current);
            self.fx.write(StoredRecord::Configuration(record));
        }
        self.compare_with_partners();
    }

    /// Tells each peer once a session that this node uses its revision, when that peer has taken what was done before.
    pub(super) fn tell_held(&mut self) {
        let revision = &self.configuration.revision;
        if revision.number == 0 || !self.fx.is_persisted(self.revisions.stored_at) || self.revisions.taking.is_some() {
            return;
        }
        for (name, peer) in &mut self.peers {
            let (Some(session), Some(_)) = (peer.session, peer.greeted) else { continue };
            if peer.told_held.as_ref() == Some(revision) {
                continue;
            }
            let mut shared = self.relationships.iter().filter(|pair| pair.partner.as_ref() == Some(name));
            if shared.all(|pair| pair.has_settled(self.revisions.stored_at)) {
                peer.told_held = Some(revision.clone());
                let held = ConfigurationMessage::Held(revision.clone());
                self.fx.send(name, session, PeerMessage::Configuration(held));
            }
        }
    }

    /// Two nodes come into step only in one revision.
    pub(super) fn compare_with_partners(&mut self) {
        let ours = &self.configuration.revision;
        let settled = self.revisions.taking.is_none();
        for pair in &mut self.relationships {
            let theirs = pair.partner.as_ref().and_then(|partner| self.peers.get(partner)?.revision.as_ref());
            let same = settled && theirs == Some(ours);
            if std::mem::replace(&mut pair.same_revision, same) != same && same {
                pair.advance(&mut self.fx);
            }
        }
        self.greet_in_new_relationships();
    }

    /// A relationship that a revision has made begins in the session that is up, once both nodes use the revision.
    fn greet_in_new_relationships(&mut self) {
        let silent: Vec<_> = self
            .relationships
            .iter()
            .filter(|pair| pair.same_revision)
            .filter_map(|pair| {
                let partner = pair.partner.as_ref()?;
                let peer = self.peers.get(partner).filter(|peer| peer.greeted.is_some())?;
                let session = peer.session.filter(|session| pair.greeted_in != Some(*session))?;
                Some((partner.clone(), session))
            })
            .collect();
        for (partner, session) in silent {
            self.greet(&partner, session);
        }
    }

    /// What people must know about the configuration, beside its revision.
    #[must_use]
    pub fn configuration_notes(&self) -> Vec<String> {
        let revision = &self.configuration.revision;
        let mut notes = Vec::new();
        if let Some(Unreadable { revision, why }) = &self.revisions.unreadable {
            notes.push(format!("revision {revision} cannot be used by this node: {why}"));
        }
        let differs = self.peers.iter().filter_map(|(name, peer)| Some((name, peer.revision.as_ref()?)));
        for (name, theirs) in differs.filter(|(_, theirs)| *theirs != revision) {
            notes.push(match theirs.number {
                0 => format!("{name} has another configuration, which is not a revision yet"),
                _ => format!("{name} uses revision {theirs}"),
            });
        }
        for name in self.revisions.behind(&self.identity.node, &self.configuration) {
            notes.push(format!(
                "{name} may still use an older revision: what has changed since is given only where both allow it"
            ));
        }
        if self.revisions.file_differs {
            notes.push(format!(
                "the cluster file of this node differs from revision {revision}, which is in use: \
                 `standfast config diff FILE` shows how"
            ));
        }
        notes
    }
}

/// Positions of the scopes of a relationship.
pub(super) fn positions_of(configuration: &Configuration, name: &RelationshipName, me: &NodeName) -> Vec<usize> {
    let of = |owner: &ScopeOwner| match owner {
        ScopeOwner::Relationship(relationship) => relationship == name,
        ScopeOwner::Node(node) => node == me && super::alone(node) == *name,
    };
    let scopes = configuration.scopes.iter().enumerate();
    scopes.filter(|(_, scope)| of(&scope.owner)).map(|(position, _)| position).collect()
}

/// Who made a revision, and why, as events end.
fn by_whom(configuration: &Configuration) -> String {
    let act = &configuration.act;
    match (act.who.as_str(), act.why.as_str()) {
        ("", _) => String::new(),
        (who, "") => format!(", by {who}"),
        (who, why) => format!(", by {who}: {why}"),
    }
}
