//! What a node hears from other nodes.

use super::Node;
use crate::dhcp::answer::Silence;
use crate::event::Code;
use crate::failover::state::Phase;
use crate::id::{NodeName, Session};
use crate::message::{Heartbeat, Hello, PairHello, PairMessage, PeerMessage, Remembered};
use crate::mutant::{Rule, holds};
use std::time::Duration;

/// How long after the beginning of its session a hello is fresh.
const FRESH: Duration = Duration::from_secs(1);

impl Node {
    pub(super) fn peer_up(&mut self, name: &NodeName, session: Session) {
        let now = self.fx.instant();
        if self.peers.get(name).is_none_or(|peer| peer.session == Some(session)) {
            return;
        }
        self.end_session(name);
        let Some(peer) = self.peers.get_mut(name) else { return };
        peer.session_up(session, now);
        self.greet(name, session);
        self.send_heartbeats();
    }

    /// Says how this node knows the relationships with a peer of which it has said nothing in this session: all of
    /// them when it begins, and those that a revision makes later.
    pub(super) fn greet(&mut self, name: &NodeName, session: Session) {
        let mut pairs = Vec::new();
        for pair in self.relationships.iter_mut().filter(|pair| pair.partner.as_ref() == Some(name)) {
            if pair.greeted_in.replace(session) != Some(session) {
                pairs.push(pair.hello(&self.fx));
            }
        }
        let hello = self.hello(name, pairs);
        self.fx.send(name, session, PeerMessage::Hello(hello));
    }

    fn hello(&self, name: &NodeName, pairs: Vec<PairHello>) -> Hello {
        let shares = self.relationships.iter().any(|pair| pair.partner.as_ref() == Some(name));
        Hello {
            incarnation: self.identity.incarnation,
            wall: self.fx.now.wall,
            remembered: self.peers.get(name).and_then(|peer| peer.remembered).filter(|_| shares),
            heard: self.peers.get(name).and_then(|peer| peer.last_heard(self.fx.instant())),
            server_identifiers: self.server_identifiers(),
            pairs,
            revision: self.configuration.revision.clone(),
            digest: self.configuration.digest(),
        }
    }

    fn server_identifiers(&self) -> Vec<std::net::Ipv4Addr> {
        let configured = self.configuration.server_identifiers.get(&self.identity.node).copied();
        let of_links = self.links.values().flat_map(|link| link.addresses.iter().map(|&(address, _)| address));
        configured.into_iter().chain(of_links).collect()
    }

    pub(super) fn peer_message(&mut self, name: &NodeName, session: Session, message: PeerMessage) {
        let Some(peer) = self.peers.get_mut(name).filter(|peer| peer.session == Some(session)) else { return };
        match message {
            PeerMessage::Heartbeat(heartbeat) => self.heartbeat(name, heartbeat),
            PeerMessage::Hello(hello) => self.greeted(name, session, &hello),
            PeerMessage::Configuration(message) => self.configuration_message(name, message),
            PeerMessage::Pair(relationship, message) => {
                if peer.greeted.is_none() {
                    return;
                }
                if peer.remember() {
                    self.store_record();
                }
                let pair = |r: &&mut crate::failover::relationship::Relationship| {
                    r.name == relationship && r.partner.as_ref() == Some(name)
                };
                if let Some(relationship) = self.relationships.iter_mut().find(pair)
                    && relationship.exchange.as_ref().is_some_and(|exchange| exchange.session == session)
                {
                    relationship.heard(message, &mut self.fx);
                }
                self.end_if_left();
            }
        }
    }

    fn heartbeat(&mut self, name: &NodeName, heartbeat: Heartbeat) {
        let Some(peer) = self.peers.get_mut(name) else { return };
        let before = peer.remembered;
        peer.heard(self.fx.now, &heartbeat);
        self.record_changed |= before != peer.remembered;
        for pulse in heartbeat.pulses {
            let pair = self
                .relationships
                .iter_mut()
                .find(|r| r.name == pulse.relationship && r.partner.as_ref() == Some(name));
            if let Some(relationship) = pair {
                relationship.heard_pulse(pulse, &mut self.fx);
            }
        }
    }

    fn greeted(&mut self, name: &NodeName, session: Session, hello: &Hello) {
        self.count_absence(name, hello);
        if let Some(remembered) = hello.remembered
            && self.went_back(name, hello)
        {
            let news = self.mark_lost();
            self.count_on_from(remembered);
            if news {
                // Every session begins anew with that.
                for peer in self.peers.keys().cloned().collect::<Vec<_>>() {
                    if self.peers.get(&peer).is_some_and(|peer| peer.session.is_some()) {
                        self.fx.disconnect(&peer);
                    }
                    self.end_session(&peer);
                }
                return;
            }
        }
        let Some(peer) = self.peers.get_mut(name) else { return };
        peer.greeted = Some(hello.incarnation);
        peer.server_identifiers.clone_from(&hello.server_identifiers);
        self.compare_revisions(name, hello);
        for pair in &hello.pairs {
            let ours =
                self.relationships.iter_mut().find(|r| r.name == pair.relationship && r.partner.as_ref() == Some(name));
            if let Some(relationship) = ours {
                relationship.heard_hello(session, pair, &mut self.fx);
            }
        }
    }

    /// The partner tells how long this node was away. What it says is a duration that grows old on its way, so it must
    /// be fresh: the session has just begun.
    fn count_absence(&mut self, name: &NodeName, hello: &Hello) {
        let Some(peer) = self.peers.get(name) else { return };
        let (now, began) = (self.fx.instant(), peer.detector.began());
        let fresh = began.is_some_and(|began| now.since(began) < FRESH);
        if let Some(heard) = hello.heard.filter(|_| fresh)
            && let Some(shift) = self.fx.absence.heard_by_partner(heard, now)
        {
            self.mend_clock(shift, "the partner remembers when it last heard this node");
        }
    }

    /// The peer remembers what this store does not know: the store has gone back in time, or is another one.
    ///
    /// Unless the peer is the one that has gone back, to before this node's own loss: then its epochs are older too.
    fn went_back(&self, name: &NodeName, hello: &Hello) -> bool {
        let Some(remembered) = hello.remembered.filter(|_| holds(Rule::RollBackNoticed)) else { return false };
        if remembered.incarnation == self.identity.incarnation {
            return remembered.persisted > self.fx.last();
        }
        // What this process has written since it started says nothing of what its store had.
        if self.record.incarnations.contains(&remembered.incarnation) {
            return remembered.persisted > self.found;
        }
        let mut ours = self.relationships.iter().filter(|r| r.partner.as_ref() == Some(name));
        !ours.all(|r| hello.pairs.iter().any(|pair| pair.relationship == r.name && pair.epoch < r.epoch))
    }

    /// What the peer remembers of this node's past is part of it again, so that a peer whose own store goes back to
    /// that memory does not find another loss here.
    fn count_on_from(&mut self, remembered: Remembered) {
        let latest = self.record.incarnations.len().saturating_sub(1);
        self.record.incarnations.insert(latest, remembered.incarnation);
        self.fx.skip_to(remembered.persisted);
        self.found = self.found.max(remembered.persisted);
        self.store_record();
    }

    /// Notes that nothing in the store is to be relied on: whoever finds it old, it is old for every partner. True if
    /// that is new.
    fn mark_lost(&mut self) -> bool {
        let mut new = false;
        for relationship in self.relationships.iter_mut().filter(|r| r.partner.is_some() && !r.lost) {
            new = true;
            relationship.lost = true;
            relationship.must_hear_partner = true;
            relationship.persist(&mut self.fx);
            let what = "the store has gone back in time; everything is fetched from the partner";
            relationship.event(Code::StoreLost, what, "the partner remembers more", &mut self.fx);
        }
        new
    }

    pub(super) fn peer_down(&mut self, name: &NodeName, session: Session) {
        if self.peers.get(name).is_some_and(|peer| peer.session == Some(session)) {
            self.end_session(name);
        }
    }

    pub(super) fn peer_gone(&mut self, name: &NodeName) {
        if self.peers.contains_key(name) {
            self.lose(name, "its host refuses connections: the process is gone");
        }
    }

    /// Ends the session, if there is one, and takes contact for lost.
    pub(super) fn lose(&mut self, name: &NodeName, evidence: &str) {
        if self.peers.get(name).is_some_and(|peer| peer.session.is_some()) {
            self.fx.disconnect(name);
        }
        self.end_session(name);
        for relationship in self.relationships.iter_mut().filter(|r| r.partner.as_ref() == Some(name)) {
            relationship.contact_lost(evidence, &mut self.fx);
        }
    }

    fn end_session(&mut self, name: &NodeName) {
        let Some(peer) = self.peers.get_mut(name).filter(|peer| peer.session.is_some()) else { return };
        peer.session_down();
        let lost_at = peer.detector.lost_at();
        for relationship in self.relationships.iter_mut().filter(|r| r.partner.as_ref() == Some(name)) {
            relationship.session_down(lost_at, &mut self.fx);
        }
        if self.record_changed {
            self.store_record();
        }
        self.compare_with_partners();
        self.no_verdict_from(name);
    }

    /// Sends heartbeats that are due and notices those that do not come.
    pub(super) fn watch_peers(&mut self) {
        let now = self.fx.instant();
        let lost: Vec<NodeName> =
            self.peers.iter().filter(|(_, peer)| peer.detector.is_lost(now)).map(|(name, _)| name.clone()).collect();
        for name in lost {
            self.lose(&name, "no heartbeat within the timeout");
        }
        self.send_heartbeats();
    }

    /// A node whose store stands still or fails is not alive.
    fn send_heartbeats(&mut self) {
        let now = self.fx.instant();
        let patience = self.standstill() / 2;
        let hangs = self.write_waits_since.is_some_and(|since| since + patience < now) || !self.fx.store_works;
        let speaks_again = std::mem::replace(&mut self.muted, hangs) && !hangs;
        for (name, peer) in &mut self.peers {
            if speaks_again {
                peer.detector.speak_again(now);
            }
            let Some((session, number, echo)) = peer.detector.due(now) else { continue };
            if hangs {
                continue;
            }
            let pairs = self.relationships.iter().filter(|r| r.partner.as_ref() == Some(name));
            let heartbeat = Heartbeat {
                number,
                echo,
                wall: self.fx.now.wall,
                clock: now,
                persisted: self.fx.persisted,
                pulses: pairs.map(|relationship| relationship.pulse(&self.fx)).collect(),
            };
            self.fx.send_now(name, session, PeerMessage::Heartbeat(heartbeat));
        }
    }

    /// If this node said nothing because it could not write, and can again: partners hear that it is alive before they
    /// give it up, so that what is agreed with them from now on is not undone by a heartbeat that comes too late.
    pub(super) fn speak_again(&mut self) {
        if self.muted {
            self.send_heartbeats();
        }
    }

    /// Nothing can be made durable any more: partners take over at once, without a record of it here.
    pub(super) fn hand_over_without_store(&mut self) {
        for relationship in &mut self.relationships {
            relationship.unbroken = false;
            let (Some(partner), Some(exchange)) = (relationship.partner.clone(), &relationship.exchange) else {
                continue;
            };
            let left = PairMessage::Left(Phase::CommunicationsInterrupted);
            self.fx.send_now(&partner, exchange.session, PeerMessage::Pair(relationship.name.clone(), left));
            relationship.drop_held(Silence::Deactivated, &mut self.fx);
        }
    }
}
