//! Strangers on the clients' link who mean no good: they speak in the name of others, flood, take what they can, and
//! send what is no message at all.
//!
//! A forged RELEASE or DECLINE cannot be told from its client's own, so what it ends is not held against the nodes; and
//! only that, from the moment at which it does, is forgiven. Whatever strangers are given counts as given.

use crate::checker::{Acked, STRANGERS as FIRST, Seen, Time};
use crate::client::SECOND;
use crate::settings::{self, NODES, RELAY};
use crate::wire::{self, DECLINE, DISCOVER, Heard, RELEASE, REQUEST, Saying};
use crate::world::{Event, World};
use standfast_core::dhcp::query::Malformed;
use standfast_core::lease::record::LeaseState;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};

/// What a stranger is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Attack {
    /// RELEASEs and DECLINEs of the leases of others, in their name or in its own.
    Ending,
    /// REQUESTs for the addresses of others, in their name or in its own.
    Asking,
    /// REQUESTs that name the partner as the server that was chosen.
    Evidence,
    /// DISCOVERs from ever new hardware addresses.
    Flood,
    /// As a flood, and what is offered is taken.
    Starving,
    /// One client that sends more than any needs.
    Chattering,
    /// What is no message, or makes no sense.
    Garbage,
    /// Messages that claim to come by relays.
    Relays,
}

impl Attack {
    pub(crate) const ALL: [Self; 8] = [
        Self::Ending,
        Self::Asking,
        Self::Evidence,
        Self::Flood,
        Self::Starving,
        Self::Chattering,
        Self::Garbage,
        Self::Relays,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ending => "hostile forged endings",
            Self::Asking => "hostile forged requests",
            Self::Evidence => "hostile forged evidence",
            Self::Flood => "hostile flood",
            Self::Starving => "hostile starving",
            Self::Chattering => "hostile chattering",
            Self::Garbage => "hostile garbage",
            Self::Relays => "hostile relays",
        }
    }

    /// How many messages at the most, and the longest time between two.
    fn pace(self) -> (i64, Time) {
        match self {
            Self::Ending | Self::Asking | Self::Evidence | Self::Relays => (6, 5 * SECOND),
            Self::Flood | Self::Starving => (150, SECOND / 10),
            Self::Chattering => (150, SECOND / 200),
            Self::Garbage => (30, SECOND),
        }
    }
}

/// The lease that a forged message would end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Forged {
    pub(crate) client: usize,
    pub(crate) address: Ipv4Addr,
}

/// What strangers have asked for, and what they have brought about.
#[derive(Debug, Default)]
pub(crate) struct Strangers {
    /// When each asked last, and as what.
    asked: BTreeMap<usize, (u32, Time)>,
    /// When a forged message last ended somebody's lease.
    ended: BTreeMap<(usize, Ipv4Addr), Time>,
    xid: u32,
}

impl World {
    pub(crate) fn begin_attack(&mut self, attack: Attack) {
        let (most, _) = attack.pace();
        let left = self.troubles.random.between(1, most);
        self.after(0, Event::Attack(attack, left));
    }

    /// The next message of an attack.
    pub(crate) fn attack(&mut self, attack: Attack, left: i64) {
        if left == 0 || self.faults.is_calm() {
            return;
        }
        match attack {
            Attack::Ending => self.forge_ending(),
            Attack::Asking => self.forge_request(),
            Attack::Evidence => self.forge_evidence(),
            Attack::Flood | Attack::Starving => self.stranger_discovers(attack),
            Attack::Chattering => self.stranger_says(FIRST - 1, Saying { kind: DISCOVER, ..Saying::default() }),
            Attack::Garbage => self.send_garbage(),
            Attack::Relays => self.forge_relay(),
        }
        let (_, longest) = attack.pace();
        let next = self.troubles.random.between(100, longest);
        self.after(next, Event::Attack(attack, left - 1));
    }

    /// A client that believes in a lease, and the lease.
    pub(crate) fn victim(&mut self) -> Option<(usize, Ipv4Addr, Ipv4Addr)> {
        let now = self.now;
        let held = |client: &crate::client::Client| client.held.filter(|held| held.until > now);
        let victims: Vec<_> =
            self.clients.iter().filter_map(|it| held(it).map(|held| (it.index, held.address, held.server))).collect();
        (!victims.is_empty()).then(|| victims[self.troubles.random.index(victims.len())])
    }

    fn forge_ending(&mut self) {
        let Some((client, address, server)) = self.victim() else { return };
        let random = &mut self.troubles.random;
        let (kind, in_its_name) = ([RELEASE, DECLINE][random.index(2)], random.percent(70));
        let named = if in_its_name { client } else { FIRST + random.index(16) };
        let saying = match kind {
            RELEASE => Saying { kind, ciaddr: Some(address), server: Some(server), ..Saying::default() },
            _ => Saying { kind, requested: Some(address), server: Some(server), ..Saying::default() },
        };
        self.strangely_says(named, saying, in_its_name.then_some(Forged { client, address }));
    }

    fn forge_request(&mut self) {
        let Some((client, address, server)) = self.victim() else { return };
        let random = &mut self.troubles.random;
        let stranger = FIRST + random.index(16);
        let elsewhere = Ipv4Addr::from(address.to_bits() ^ 1);
        let reboot = |address| Saying { kind: REQUEST, requested: Some(address), ..Saying::default() };
        let renew = Saying { kind: REQUEST, ciaddr: Some(address), ..Saying::default() };
        let (named, saying) = match random.below(5) {
            0 => (stranger, reboot(address)),
            1 => (stranger, Saying { server: Some(server), ..reboot(address) }),
            2 => (stranger, renew),
            3 => (client, renew),
            _ => (client, reboot(elsewhere)),
        };
        self.stranger_says(named, saying);
    }

    /// A client that was heard, and then takes up what the partner is said to have offered.
    fn forge_evidence(&mut self) {
        let random = &mut self.troubles.random;
        let (stranger, host) = (FIRST + random.index(16), random.index(2));
        let requested = Some(Ipv4Addr::new(10, 0, 0, 100 + random.below(6) as u8));
        self.stranger_says(stranger, Saying { kind: DISCOVER, ..Saying::default() });
        let server = Some(settings::server(host));
        self.stranger_says(stranger, Saying { kind: REQUEST, requested, server, ..Saying::default() });
    }

    fn stranger_discovers(&mut self, attack: Attack) {
        let wide = if attack == Attack::Flood { 0x4000 } else { 64 };
        let first = if attack == Attack::Flood { 0x8000 } else { 2 * FIRST };
        let stranger = first + self.troubles.random.index(wide);
        self.stranger_says(stranger, Saying { kind: DISCOVER, ..Saying::default() });
    }

    fn forge_relay(&mut self) {
        let random = &mut self.troubles.random;
        let stranger = FIRST + random.index(16);
        let host = random.index(2);
        let relays = [RELAY, Ipv4Addr::new(10, 1, 0, 9), Ipv4Addr::new(10, 9, 0, 1), settings::server(host)];
        let relay = relays[random.index(relays.len())];
        let saying = Saying { kind: DISCOVER, relay: Some(relay), ..Saying::default() };
        let bytes = self.named(stranger, saying);
        self.throw(host, SocketAddrV4::new(relay, 67), settings::server(host), bytes, None);
    }

    fn send_garbage(&mut self) {
        let random = &mut self.troubles.random;
        let kinds = Malformed::ALL.len();
        let pick = random.index(kinds + 3);
        let (stranger, noise, at) = (FIRST + random.index(16), random.bits(), random.bits());
        let kind = if pick == kinds + 1 { [9, 13, 200][random.index(3)] } else { DISCOVER };
        let mut bytes = self.named(stranger, Saying { kind, ..Saying::default() });
        match Malformed::ALL.get(pick) {
            Some(&how) => wire::spoil(&mut bytes, how),
            // Neither ciaddr nor a requested address.
            None if pick == kinds => bytes = self.named(stranger, Saying { kind: REQUEST, ..Saying::default() }),
            None if pick == kinds + 1 => {}
            None => wire::flip(&mut bytes, noise, at),
        }
        for host in 0..2 {
            self.throw(host, SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 68), Ipv4Addr::BROADCAST, bytes.clone(), None);
        }
    }

    fn stranger_says(&mut self, named: usize, saying: Saying) {
        self.strangely_says(named, saying, None);
    }

    /// To the server that it names, where a client would say it to that one alone, and else to everyone on the link.
    fn strangely_says(&mut self, named: usize, saying: Saying, forged: Option<Forged>) {
        let to_one = saying.server.filter(|_| saying.kind == RELEASE).and_then(settings::host_of);
        let relay = self.clients.get(named).and_then(|client| client.relay).filter(|_| to_one.is_none());
        let client = SocketAddrV4::new(saying.ciaddr.unwrap_or(Ipv4Addr::UNSPECIFIED), 68);
        let source = relay.map_or(client, |relay| SocketAddrV4::new(relay, 67));
        let bytes = self.named(named, Saying { relay, ..saying });
        for host in 0..2 {
            let everyone = relay.map_or(Ipv4Addr::BROADCAST, |_| settings::server(host));
            let destination = to_one.map_or(everyone, settings::server);
            if to_one.is_none_or(|one| one == host) {
                self.throw(host, source, destination, bytes.clone(), forged);
            }
        }
    }

    /// In the name of a client, with a number that nobody has used.
    fn named(&mut self, client: usize, saying: Saying) -> Vec<u8> {
        let strangers = &mut self.strangers;
        strangers.xid = strangers.xid.wrapping_sub(1);
        strangers.asked.insert(client, (strangers.xid, self.now));
        wire::encode(&Saying { client, xid: strangers.xid, ..saying })
    }

    fn throw(&mut self, host: usize, source: SocketAddrV4, to: Ipv4Addr, bytes: Vec<u8>, forged: Option<Forged>) {
        if self.lan.cut[host] {
            return;
        }
        let arrives = self.now + self.troubles.random.between(100, 3_000);
        self.at(arrives, Event::packet(host, source, to, arrives, bytes, forged));
    }

    /// Whether an answer is to something that a stranger said, in whoever's name.
    pub(crate) fn is_to_stranger(&self, heard: &Heard) -> bool {
        let by_stranger = self.strangers.asked.get(&heard.client).is_some_and(|&(xid, _)| xid == heard.xid);
        heard.client >= self.clients.len() || by_stranger
    }

    /// What a node says to a stranger, who takes what it can.
    pub(crate) fn answer_to_stranger(&mut self, host: usize, heard: &Heard, left: Time, bounded: bool) {
        let Some(&(_, asked)) = self.strangers.asked.get(&heard.client) else { return };
        match heard.kind {
            wire::OFFER if (2 * FIRST..3 * FIRST).contains(&heard.client) => {
                let (requested, server) = (Some(heard.address), Some(heard.server));
                self.stranger_says(heard.client, Saying { kind: REQUEST, requested, server, ..Saying::default() });
            }
            wire::ACK if heard.client >= self.clients.len() => {
                let until = asked + Time::from(heard.lease) * SECOND;
                let (client, address) = (heard.client, heard.address);
                self.transcript.count("stranger acked");
                self.say("stranger", || format!("{client} has {address}, by {}", NODES[host]));
                self.judge.see(self.now, &Seen::Acked(Acked { host, client, address, until, left, bounded }));
            }
            _ => {}
        }
    }

    /// Whether a node holds the lease that a forged message would end.
    pub(crate) fn stands(&self, host: usize, forged: Forged) -> bool {
        let Some(node) = &self.hosts[host].process else { return false };
        let bound = |lease: &standfast_core::lease::record::Lease| {
            lease.state == LeaseState::Bound && wire::client_of(lease.client.as_bytes()) == Some(forged.client)
        };
        node.leases_between(forged.address, forged.address).any(bound)
    }

    /// A forged message has ended a lease: its client believes in it by its own error now.
    pub(crate) fn has_ended(&mut self, host: usize, forged: Forged) {
        let Forged { client, address } = forged;
        let now = self.now;
        let Some(node) = &self.hosts[host].process else { return };
        let declined = node.leases_between(address, address).any(|lease| lease.state == LeaseState::Declined);
        self.strangers.ended.insert((client, address), now);
        self.transcript.count("lease ended by forgery");
        self.say("stranger", || format!("has ended client {client}'s lease of {address}"));
        self.judge.see(now, &Seen::GaveBack { client, address, declined });
    }

    /// An answer that had left before a forged message ended the lease promises nothing any more.
    pub(crate) fn is_overtaken(&self, client: usize, address: Ipv4Addr, left: Time) -> bool {
        self.strangers.ended.get(&(client, address)).is_some_and(|&ended| left <= ended)
    }
}
