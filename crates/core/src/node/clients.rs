//! What a node hears from clients and relays, and what it says to them.

use super::Node;
use super::counters::Counters;
use super::explain::Deed;
use crate::dhcp::answer::{Decision, Floor, Silence};
use crate::dhcp::encode::AnswerKind;
use crate::dhcp::identifier::Identifiers;
use crate::dhcp::pending::Pending;
use crate::dhcp::query::{Delivery, Malformed, Query};
use crate::dhcp::reply::{Desk, Saying, Unsaid};
use crate::dhcp::selection::{Sign, Unselected};
use crate::failover::granting::Settled;
use crate::input::{Link, Packet};
use crate::lease::record::HardwareAddress;
use crate::time::Instant;
use std::net::{Ipv4Addr, SocketAddrV4};

/// How a message came in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub(super) link: u32,
    pub(super) source: SocketAddrV4,
    pub(super) destination: Ipv4Addr,
    pub(super) received: Instant,
}

impl Arrival {
    fn of(packet: &Packet) -> Self {
        Self { link: packet.link, source: packet.source, destination: packet.destination, received: packet.received }
    }
}

impl Node {
    /// Counts packets that the driver dropped because more came than could be answered.
    pub fn pass_over(&mut self, packets: u64) {
        *self.counters.received.entry("unread").or_default() += packets;
        *self.counters.silent.entry(Silence::Overload.as_str()).or_default() += packets;
    }

    pub(super) fn packet(&mut self, packet: Packet) {
        let answered = match self.read(&packet) {
            Ok(query) => {
                let (hardware, message) = (query.hardware, query.kind.as_str());
                let answered = self.answer_query(query, Arrival::of(&packet), 0);
                self.note_deed(hardware, message, answered.err());
                answered
            }
            Err(reason) => Err(reason),
        };
        if let Err(reason) = answered {
            Counters::count(&mut self.counters.silent, reason);
        }
    }

    pub(super) fn note_deed(
        &mut self,
        hardware: HardwareAddress,
        message: &'static str,
        silence: Option<&'static str>,
    ) {
        self.deeds.note(Deed { hardware, at: self.fx.instant(), message, silence });
    }

    /// What the client asks, or the reason of silence.
    fn read(&mut self, packet: &Packet) -> Result<Query, &'static str> {
        if packet.received < self.stale_before {
            Counters::count(&mut self.counters.received, "unread");
            return Err(Silence::Stale.as_str());
        }
        let query = Query::parse(&packet.bytes);
        let label = query.as_ref().map_or("malformed", |query| query.kind.as_str());
        Counters::count(&mut self.counters.received, label);
        query.map_err(Malformed::as_str)
    }

    /// The reason of silence, if there is one. `tries` counts the addresses that were looked for on its behalf already.
    pub(super) fn answer_query(&mut self, query: Query, arrival: Arrival, tries: u8) -> Result<(), &'static str> {
        let Some(link) = self.links.get(&arrival.link) else { return Err(Silence::NoAddress.as_str()) };
        let delivery = Delivery::of(arrival.destination, link);
        let source = *arrival.source.ip();
        let selection = self.selector.select(&self.configuration, &query, source, delivery, link);
        let selection = selection.map_err(Unselected::as_str)?;
        let scopes = selection.scopes.to_vec();
        let pending = Pending {
            query,
            link: arrival.link,
            source: arrival.source,
            destination: arrival.destination,
            received: arrival.received,
            delivery,
            relay: selection.relay,
            subnet_selected: selection.sign == Sign::SubnetSelection,
            scope: scopes[0],
            rapid_commit: false,
        };
        if pending.destination.is_broadcast() || pending.query.relayed() {
            self.note_client(&scopes);
        }
        let named = self.whom_it_names(&pending, &scopes);
        let decision = self.floor(&scopes, named, tries).answer(&pending);
        self.act(decision, pending)
    }

    /// Where answers are decided, for the clients of these scopes; `named` says whether option 54 names this node, and
    /// whether it names its partner.
    pub(super) fn floor<'a>(&'a mut self, scopes: &'a [usize], named: (bool, bool), tries: u8) -> Floor<'a> {
        Floor {
            configuration: &self.configuration,
            reservations: &self.reservations,
            owners: &self.owners,
            relationships: &mut self.relationships,
            fx: &mut self.fx,
            scopes,
            names_us: named.0,
            names_partner: named.1,
            limits: &mut self.limits,
            tries,
        }
    }

    fn note_client(&mut self, scopes: &[usize]) {
        let owner = scopes.first().and_then(|&scope| *self.owners.get(scope)?);
        if let Some(relationship) = owner.and_then(|owner| self.relationships.get_mut(owner)) {
            relationship.client_heard = Some(self.fx.now.instant);
        }
    }

    /// Whether option 54 names this node, and whether it names its partner.
    fn whom_it_names(&self, pending: &Pending, scopes: &[usize]) -> (bool, bool) {
        let Some(named) = pending.query.server_identifier else { return (false, false) };
        let Some(link) = self.links.get(&pending.link) else { return (false, false) };
        let identifiers =
            Identifiers { configured: self.configured_identifier(), link, destination: pending.destination };
        let owner = scopes.first().and_then(|&scope| *self.owners.get(scope)?);
        let partner = owner.and_then(|owner| self.relationships[owner].partner.as_ref());
        let of_partner = partner
            .and_then(|partner| self.peers.get(partner))
            .is_some_and(|peer| peer.server_identifiers.contains(&named));
        (identifiers.name_us(&pending.credentials(), named), of_partner)
    }

    fn configured_identifier(&self) -> Option<Ipv4Addr> {
        self.configuration.server_identifiers.get(&self.identity.node).copied()
    }

    fn act(&mut self, decision: Decision, pending: Pending) -> Result<(), &'static str> {
        match decision {
            Decision::Offer { scope, address, lease } => {
                let saying = Saying { kind: AnswerKind::Offer, address, lease: Some(lease), why: "" };
                self.say(&Pending { scope, ..pending }, saying)
            }
            Decision::Nak { scope, why } => self.refuse(&Pending { scope, ..pending }, why),
            Decision::Bootp { scope, address } => {
                let saying = Saying { kind: AnswerKind::BootReply, address, lease: None, why: "" };
                self.say(&Pending { scope, ..pending }, saying)
            }
            Decision::Inform { scope } => {
                let saying = Saying { kind: AnswerKind::Ack, address: Ipv4Addr::UNSPECIFIED, lease: None, why: "" };
                self.say(&Pending { scope, ..pending }, saying)
            }
            Decision::Granting | Decision::Probing => Ok(()),
            Decision::Done => {
                Counters::count(&mut self.counters.answered, "none_needed");
                Ok(())
            }
            Decision::Silence(silence) => Err(silence.as_str()),
        }
    }

    /// Replies that waited and may leave now, and those that never will.
    pub(super) fn reply_settled(&mut self) {
        while !self.fx.settled.is_empty() {
            for settled in std::mem::take(&mut self.fx.settled) {
                let (hardware, message) = settled.from();
                if let Err(reason) = self.conclude(settled) {
                    Counters::count(&mut self.counters.silent, reason);
                    self.note_deed(hardware, message, Some(reason));
                }
            }
        }
    }

    fn conclude(&mut self, settled: Settled) -> Result<(), &'static str> {
        match settled {
            Settled::Granted { address, lease, pending } => {
                self.say(&pending, Saying { kind: AnswerKind::Ack, address, lease: Some(lease), why: "" })
            }
            // That the home does not give an address is no evidence against a client that says it has it.
            Settled::Refused { pending, .. } if pending.query.server_identifier.is_none() => {
                Err(Silence::UnknownClient.as_str())
            }
            Settled::Refused { pending, why } => self.refuse(&pending, why),
            Settled::Quiet(probing) => self.nobody_answered(probing),
            Settled::Dropped { why, .. } => Err(why.as_str()),
        }
    }

    fn refuse(&mut self, pending: &Pending, why: &'static str) -> Result<(), &'static str> {
        if !self.limits.allow_nak(&pending.query.client, self.fx.instant()) {
            return Err(Silence::Limited.as_str());
        }
        self.say(pending, Saying { kind: AnswerKind::Nak, address: Ipv4Addr::UNSPECIFIED, lease: None, why })
    }

    fn say(&mut self, pending: &Pending, saying: Saying) -> Result<(), &'static str> {
        let link = self.links.get(&pending.link).ok_or(Silence::NoAddress.as_str())?;
        let desk = Desk {
            configuration: &self.configuration,
            reservations: &self.reservations,
            link,
            configured: self.configured_identifier(),
            deadline: self.fx.instant() + self.standstill(),
        };
        let reply = desk.reply(pending, saying).map_err(|unsaid| match unsaid {
            Unsaid::NoAddress => Silence::NoAddress.as_str(),
            Unsaid::Oversized => Silence::Oversized.as_str(),
        })?;
        self.fx.outputs.replies.push(reply);
        Counters::count(&mut self.counters.answered, saying.kind.as_str());
        let took = self.fx.instant().since(pending.received);
        self.counters.exchanges.entry(pending.query.kind.as_str()).or_default().add(took);
        Ok(())
    }

    pub(super) fn links_changed(&mut self, links: Vec<Link>) {
        self.links = links.into_iter().map(|link| (link.index, link)).collect();
        let carrier = self.links.values().any(|link| link.carrier);
        for relationship in &mut self.relationships {
            relationship.carrier = carrier;
        }
    }
}
