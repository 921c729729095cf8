//! Simulated clients: each gets an address, and then asks all servers again and again to extend it.
//!
//! Time and packets are arguments, so that a test can play the servers.

use super::judge::{Client, Judge};
use crate::packet::{self, Ask, Request, Verdict};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

/// Clients at the beginning.
const AT_FIRST: usize = 32;
/// Clients at the end, at most.
const AT_MOST: usize = 72;
/// A new one comes this often.
const NEWCOMER: Duration = Duration::from_millis(600);
/// How often a client asks for its lease to be extended; real ones wait for hours.
const RENEWAL: Duration = Duration::from_secs(1);
/// How long a client waits for an answer; real ones wait for seconds.
const RETRY: Duration = Duration::from_millis(150);
/// A client whose offer leads nowhere starts again.
const PATIENCE: u8 = 4;

/// Which of the two nodes.
pub(super) type Node = usize;

pub(super) struct Crowd {
    relay: Ipv4Addr,
    clients: Vec<Person>,
    next_comer: Instant,
    last_xid: u32,
    waiting_for: BTreeMap<u32, Client>,
    judge: Judge,
    answers: [u64; 2],
}

/// One client.
struct Person {
    hardware: [u8; 6],
    ask: Ask,
    xid: u32,
    due: Instant,
    tries: u8,
    /// Who answered last.
    served_by: Option<Node>,
}

/// How a client fares, for the view.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fares {
    Served(Node),
    /// It has asked more than once, and nobody has answered yet.
    Waiting,
    New,
}

impl Crowd {
    pub(super) fn new(now: Instant, relay: Ipv4Addr, first_xid: u32) -> Self {
        let mut crowd = Self {
            relay,
            clients: Vec::new(),
            next_comer: now,
            last_xid: first_xid,
            waiting_for: BTreeMap::new(),
            judge: Judge::default(),
            answers: [0; 2],
        };
        for client in 0..AT_FIRST {
            // Spread over a renewal, so that there is always somebody who asks.
            let spread = RENEWAL * u32::try_from(client).unwrap_or(0) / u32::try_from(AT_FIRST).unwrap_or(1);
            crowd.join(now + spread);
        }
        crowd
    }

    /// The packets that are due, each for every server.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Vec<u8>> {
        if now >= self.next_comer && self.clients.len() < AT_MOST {
            self.join(now);
            self.next_comer = now + NEWCOMER;
        }
        let due: Vec<Client> = (0..self.clients.len()).filter(|client| self.clients[*client].due <= now).collect();
        due.into_iter().filter_map(|client| self.send(now, client)).collect()
    }

    /// Takes a packet that came from `node`; whether it was an answer to a client that waits.
    pub(super) fn hear(&mut self, now: Instant, node: Node, bytes: &[u8]) -> bool {
        let Some(answer) = packet::answer(bytes) else { return false };
        self.answers[node] += 1;
        let Some(&client) = self.waiting_for.get(&answer.xid) else { return false };
        let offered = matches!(answer.verdict, Verdict::Offer { .. });
        if offered != (self.clients[client].ask == Ask::Discover) {
            return false;
        }
        self.waiting_for.remove(&answer.xid);
        self.clients[client].served_by = Some(node);
        match answer.verdict {
            Verdict::Offer { address, server } => self.ask(client, Ask::Select { address, server }, now),
            Verdict::Ack { address, lease } => {
                self.judge.granted(now, client, address, now + lease);
                self.ask(client, Ask::Rebind { address }, now + RENEWAL);
            }
            Verdict::Nak => {
                self.judge.refused(client);
                self.ask(client, Ask::Discover, now);
            }
        }
        true
    }

    /// What the clients were told.
    pub(super) fn judge(&self) -> &Judge {
        &self.judge
    }

    /// Answers of each node.
    pub(super) fn answers(&self) -> [u64; 2] {
        self.answers
    }

    pub(super) fn fares(&self) -> impl Iterator<Item = Fares> {
        self.clients.iter().map(|client| match client.served_by {
            _ if client.tries > 1 => Fares::Waiting,
            Some(node) => Fares::Served(node),
            None => Fares::New,
        })
    }

    fn join(&mut self, due: Instant) {
        let number = u16::try_from(self.clients.len()).unwrap_or(u16::MAX);
        let [high, low] = number.to_be_bytes();
        let hardware = [2, 0, 0x5e, 0, high, low];
        self.clients.push(Person { hardware, ask: Ask::Discover, xid: 0, due, tries: 0, served_by: None });
        self.ask(self.clients.len() - 1, Ask::Discover, due);
    }

    /// Begins an exchange.
    fn ask(&mut self, client: Client, ask: Ask, due: Instant) {
        self.last_xid = self.last_xid.wrapping_add(1);
        self.waiting_for.insert(self.last_xid, client);
        let person = &mut self.clients[client];
        person.ask = ask;
        person.xid = self.last_xid;
        person.due = due;
        person.tries = 0;
    }

    fn send(&mut self, now: Instant, client: Client) -> Option<Vec<u8>> {
        let person = &self.clients[client];
        if person.tries >= PATIENCE && matches!(person.ask, Ask::Select { .. }) {
            self.waiting_for.remove(&person.xid);
            self.ask(client, Ask::Discover, now);
        }
        let person = &mut self.clients[client];
        person.due = now + RETRY;
        person.tries = person.tries.saturating_add(1);
        let Person { xid, hardware, ask, .. } = *person;
        packet::request(Request { xid, hardware, giaddr: self.relay, own_port: true, secs: 0, ask })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dhcproto::v4::{DhcpOption, Message, MessageType, OptionCode};
    use dhcproto::{Decodable, Decoder, Encodable, Encoder};

    /// A server that gives each client the address that ends as its hardware address does.
    fn reply(request: &[u8]) -> Vec<u8> {
        let mut message = Message::decode(&mut Decoder::new(request)).unwrap();
        let address = Ipv4Addr::new(198, 51, 100, 10 + message.chaddr()[5]);
        let kind = match message.opts().msg_type() {
            Some(MessageType::Discover) => MessageType::Offer,
            _ => MessageType::Ack,
        };
        message.set_yiaddr(address);
        message.opts_mut().remove(OptionCode::RelayAgentInformation);
        message.opts_mut().insert(DhcpOption::MessageType(kind));
        message.opts_mut().insert(DhcpOption::ServerIdentifier(Ipv4Addr::LOCALHOST));
        message.opts_mut().insert(DhcpOption::AddressLeaseTime(60));
        let mut bytes = Vec::new();
        message.encode(&mut Encoder::new(&mut bytes)).unwrap();
        bytes
    }

    #[test]
    fn clients_get_addresses_keep_them_and_move_from_one_server_to_the_other() {
        let start = Instant::now();
        let mut crowd = Crowd::new(start, Ipv4Addr::new(127, 0, 0, 3), 0);
        let mut now = start;
        for step in 0..1_200_usize {
            now = start + Duration::from_millis(10) * u32::try_from(step).unwrap();
            // Nobody answers for a while, and then the other one does.
            let silent = (400..500).contains(&step);
            for request in crowd.due(now).into_iter().filter(|_| !silent) {
                assert!(crowd.hear(now, usize::from(step >= 500), &reply(&request)));
            }
        }
        let holders = crowd.judge().holders(now);
        assert!(holders.len() > AT_FIRST, "newcomers too: {}", holders.len());
        assert_eq!((crowd.judge().doubled(), crowd.judge().lost(now)), (0, 0));
        assert!(crowd.answers().into_iter().all(|answers| answers > 100), "{:?}", crowd.answers());
        assert!(crowd.fares().take(AT_FIRST).all(|fares| fares == Fares::Served(1)));
    }

    #[test]
    fn a_client_without_an_answer_asks_again_and_is_seen_to_wait() {
        let start = Instant::now();
        let mut crowd = Crowd::new(start, Ipv4Addr::new(127, 0, 0, 3), 0);
        let first = crowd.due(start + RENEWAL).len();
        assert_eq!(crowd.due(start + RENEWAL).len(), 0);
        assert!(crowd.due(start + RENEWAL + RETRY).len() >= first);
        assert!(crowd.fares().take(AT_FIRST).all(|fares| fares == Fares::Waiting));
        assert!(!crowd.hear(start, 0, b"not an answer"));
    }
}
