//! The clients' side of a world: what they and the nodes say to each other, and what is lost on the way.

use super::{Event, Sent, World};
use crate::checker::{Acked, Seen, Time};
use crate::client::{Act, SECOND, To};
use crate::settings::{self, LINK, NODES, PAIRS};
use crate::wire::{self, Heard, Saying};
use standfast_core::input::{Input, Packet};
use standfast_core::output::Reply;
use standfast_core::time::Instant;
use std::net::{Ipv4Addr, SocketAddrV4};

/// The longest time that a client packet takes.
pub(crate) const LAN_DELAY: Time = 3_000;

/// The link between clients and nodes.
#[derive(Debug)]
pub(crate) struct Lan {
    /// Clients and a node cannot hear each other.
    pub(crate) cut: [bool; 2],
    /// Clients do not hear a node.
    pub(crate) mute: [bool; 2],
    /// A node does not hear clients.
    pub(crate) deaf: [bool; 2],
    /// Percent of client packets that are lost.
    pub(crate) loss: u64,
    /// The longest time that a packet takes.
    pub(crate) delay: Time,
}

impl Lan {
    pub(crate) fn new(loss: u64) -> Self {
        Self { cut: [false; 2], mute: [false; 2], deaf: [false; 2], loss, delay: LAN_DELAY }
    }
}

impl World {
    pub(super) fn packet(&mut self, host: usize, sent: Sent) {
        let received = self.hosts[host].clock.read(sent.arrived).instant;
        let Sent { source, destination, bytes, forged, .. } = sent;
        let forged = forged.filter(|&forged| self.stands(host, forged));
        let silent = self.silences(host);
        self.feed(host, Input::Packet(Packet { link: LINK, source, destination, received, bytes }));
        self.tell_silence(host, &silent);
        if let Some(forged) = forged.filter(|&forged| !self.stands(host, forged)) {
            self.has_ended(host, forged);
        }
    }

    pub(super) fn emit(&mut self, host: usize, reply: Reply) {
        let Some(heard) = wire::decode(&reply.bytes) else { return };
        if self.is_to_stranger(&heard) {
            return self.emit_to_stranger(host, heard, reply.deadline);
        }
        let pair = usize::from(self.clients[heard.client].relay.is_some());
        self.see_served(host, pair, self.may_finish(host, pair));
        self.tell_answer(host, &heard, &reply.bytes);
        if !self.carries(host, heard.client)
            || self.lan.mute[host]
            || self.hosts[host].clock.read(self.now).instant > reply.deadline
        {
            return;
        }
        if heard.kind == wire::NAK && !self.transcript.is_story() {
            self.say(NODES[host], || format!("refuses client {}: {}", heard.client, wire::reason(&reply.bytes)));
        }
        // A promise of partner-down is given back as one: its record must be taken before the nodes are in step.
        let bounded = self.hosts[host].alone_until[pair] < self.now;
        for _ in 0..self.copies() {
            let delay = self.random.between(100, self.lan.delay);
            let (client, bytes, left) = (heard.client, reply.bytes.clone(), self.now);
            self.after(delay, Event::Reply { client, host, bytes, left, bounded });
        }
    }

    fn emit_to_stranger(&mut self, host: usize, heard: Heard, deadline: Instant) {
        let pair = usize::from(heard.address.octets()[1]);
        let told = matches!(heard.kind, wire::OFFER | wire::ACK) && pair < PAIRS.len();
        if told {
            self.see_served(host, pair, self.may_finish(host, pair));
        }
        if told
            && !self.lan.cut[host]
            && !self.lan.mute[host]
            && self.hosts[host].clock.read(self.now).instant <= deadline
        {
            let bounded = self.hosts[host].alone_until[pair] < self.now;
            let delay = self.troubles.random.between(100, 3_000);
            self.after(delay, Event::Stranger { host, heard, left: self.now, bounded });
        }
    }

    pub(crate) fn carries(&self, host: usize, client: usize) -> bool {
        self.clients[client].reach[host] && !self.lan.cut[host]
    }

    /// How often a client packet arrives.
    fn copies(&mut self) -> usize {
        match self.random.below(100) {
            lost if lost < self.lan.loss => 0,
            99 => 2,
            _ => 1,
        }
    }

    pub(super) fn reply(&mut self, client: usize, host: usize, bytes: &[u8], left: Time, bounded: bool) {
        let Some(heard) = wire::decode(bytes) else { return };
        let acts = self.clients[client].hear(self.now, &heard, &mut self.random);
        self.act(client, acts, Some((host, left, bounded)));
    }

    pub(crate) fn act(&mut self, client: usize, acts: Vec<Act>, answer: Option<(usize, Time, bool)>) {
        let (host, left, bounded) = answer.unwrap_or((0, self.now, true));
        for act in acts {
            match act {
                Act::Say(to, saying) => self.client_says(client, to, saying),
                Act::Acked(held) => {
                    let acked = Acked { host, client, address: held.address, until: held.until, left, bounded };
                    self.transcript.count("client acked");
                    if !self.transcript.is_story() {
                        self.say("client", || {
                            let seconds = (held.until - left) / SECOND;
                            format!("{client} has {} for {seconds} s, by {}", held.address, NODES[host])
                        });
                    }
                    self.judge.see(self.now, &Seen::Acked(acked));
                    if self.is_overtaken(client, held.address, left) {
                        let address = held.address;
                        self.judge.see(self.now, &Seen::GaveBack { client, address, declined: false });
                    }
                }
                Act::GaveBack { address, declined } => {
                    self.transcript.count("client gave back");
                    let who = self.client_name(client);
                    self.say(&who, || format!("gives {address} back"));
                    self.judge.see(self.now, &Seen::GaveBack { client, address, declined });
                }
                Act::Refused(address, until) => {
                    self.transcript.count("client refused");
                    let who = self.client_name(client);
                    self.say(&who, || format!("is refused {address} by {}", NODES[host]));
                    self.judge.see(self.now, &Seen::Refused { host, client, address, until });
                }
            }
        }
        self.wake_client(client);
    }

    pub(super) fn wake_client(&mut self, client: usize) {
        if self.clients[client].told {
            return;
        }
        let at = self.clients[client].wake_at.max(self.now + 1);
        self.clients[client].wake_at = at;
        self.at(at, Event::Client { client, at });
    }

    fn client_says(&mut self, client: usize, to: To, saying: Saying) {
        self.tell_saying(client, to, &saying);
        let from = saying.ciaddr.unwrap_or(Ipv4Addr::UNSPECIFIED);
        match (to, saying.relay) {
            (To::Server(address), _) => {
                if let Some(host) = settings::host_of(address) {
                    let bytes = wire::encode(&Saying { relay: None, ..saying });
                    self.carry(client, host, SocketAddrV4::new(from, 68), address, &bytes);
                }
            }
            (To::Everyone, Some(relay)) => {
                let bytes = wire::encode(&saying);
                for host in 0..2 {
                    self.carry(client, host, SocketAddrV4::new(relay, 67), settings::server(host), &bytes);
                }
            }
            (To::Everyone, None) => {
                let bytes = wire::encode(&saying);
                for host in 0..2 {
                    self.carry(client, host, SocketAddrV4::new(from, 68), Ipv4Addr::BROADCAST, &bytes);
                }
            }
        }
    }

    fn carry(&mut self, client: usize, host: usize, source: SocketAddrV4, destination: Ipv4Addr, bytes: &[u8]) {
        if !self.carries(host, client) || self.lan.deaf[host] {
            return;
        }
        for _ in 0..self.copies() {
            let arrived = self.now + self.random.between(100, self.lan.delay);
            let packet = Sent { source, destination, arrived, bytes: bytes.to_vec(), forged: None };
            self.at(arrived, Event::Packet { host, packet });
        }
    }
}
