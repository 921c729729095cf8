//! The clients: who begins an exchange when, who sends again, and what they were told. Time and packets are arguments.

use super::report::Tally;
use crate::packet::{self, Ask, Request, Verdict};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

/// Times that a message is sent before its client gives up (RFC 2131 section 4.1).
const TRIES: u32 = 5;
/// The first wait for an answer; each is twice the one before, and up to a second more or less.
const FIRST_WAIT: Duration = Duration::from_secs(4);
/// Exchanges begun at a time: a load that has fallen behind must go on listening.
const BEGUN_AT_ONCE: u32 = 256;

/// When exchanges begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Pace {
    /// So many are under way at a time.
    Outstanding(u32),
    /// So many begin in a second.
    Rate(u32),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) relay: Ipv4Addr,
    pub(super) own_port: bool,
    pub(super) pace: Pace,
    pub(super) count: u32,
    pub(super) duration: Duration,
    /// `None`: messages are sent again as RFC 2131 says.
    pub(super) give_up: Option<Duration>,
    pub(super) first_client: u32,
}

pub(super) struct Load {
    plan: Plan,
    began: Instant,
    /// Exchanges begun so far.
    begun: u32,
    /// When no more were begun.
    ended: Option<Instant>,
    /// Clients with a lease that ask for nothing now; `None` if each exchange has a new client.
    idle: Option<VecDeque<Client>>,
    /// By the number that ties answers to their request.
    under_way: HashMap<u32, Exchange>,
    due: BTreeSet<(Instant, u32)>,
    last_xid: u32,
    outbox: Vec<Vec<u8>>,
    holders: Holders,
    tally: Tally,
    last_answer: Instant,
}

/// A client that has a lease.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Client {
    number: u32,
    address: Ipv4Addr,
}

struct Exchange {
    client: u32,
    ask: Ask,
    began: Instant,
    /// When this message of it was sent first.
    asked: Instant,
    tries: u32,
    due: Instant,
}

impl Load {
    /// Each exchange is that of a new client, which gets a lease.
    pub(super) fn new(plan: Plan, now: Instant) -> Self {
        Self {
            plan,
            began: now,
            begun: 0,
            ended: None,
            idle: None,
            under_way: HashMap::new(),
            due: BTreeSet::new(),
            last_xid: rand::random(),
            outbox: Vec::new(),
            holders: Holders::default(),
            tally: Tally::default(),
            last_answer: now,
        }
    }

    /// Each exchange is that of one of `clients`, which extends its lease.
    pub(super) fn renewing(plan: Plan, clients: Vec<Client>, now: Instant) -> Self {
        Self { idle: Some(clients.into()), ..Self::new(plan, now) }
    }

    /// The packets that are to be sent now, each to every server.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Vec<u8>> {
        while let Some(&(at, xid)) = self.due.first()
            && at <= now
        {
            self.due.pop_first();
            self.overdue(xid, now);
        }
        self.begin(now);
        std::mem::take(&mut self.outbox)
    }

    /// When `due` has something to do at the latest.
    pub(super) fn next_due(&self, now: Instant) -> Instant {
        let patience = now + Duration::from_millis(100);
        let again = self.due.first().map_or(patience, |&(at, _)| at);
        let begin = match self.plan.pace {
            Pace::Rate(_) if self.ended.is_none() => self.scheduled(self.begun),
            Pace::Rate(_) | Pace::Outstanding(_) => patience,
        };
        again.min(begin).min(patience)
    }

    /// A packet came from the server `from`.
    pub(super) fn hear(&mut self, now: Instant, from: Ipv4Addr, bytes: &[u8]) {
        let Some(answer) = packet::answer(bytes) else { return };
        let Some(exchange) = self.under_way.get(&answer.xid) else { return };
        let waits_for_offer = exchange.ask == Ask::Discover;
        match answer.verdict {
            Verdict::Offer { address, server } if waits_for_offer => self.take_up(answer.xid, address, server, now),
            Verdict::Ack { address, lease } if !waits_for_offer => {
                self.tally.by_server.entry(from).and_modify(|answers| *answers += 1).or_insert(1);
                self.complete(answer.xid, address, lease, now);
            }
            Verdict::Nak if !waits_for_offer => {
                self.end(answer.xid);
                self.tally.refused += 1;
            }
            Verdict::Offer { .. } | Verdict::Ack { .. } | Verdict::Nak => {}
        }
    }

    /// Whether nothing is begun any more and nothing is waited for, or not for longer than `left_over`.
    pub(super) fn is_over(&self, now: Instant, left_over: Duration) -> bool {
        let nobody_left = self.idle.as_ref().is_some_and(VecDeque::is_empty);
        let none = self.under_way.is_empty();
        self.ended.is_some_and(|ended| none || ended + left_over <= now) || (nobody_left && none)
    }

    /// The clients that have a lease.
    pub(super) fn bound(&self) -> Vec<Client> {
        let mut bound: Vec<Client> =
            self.holders.of_client.iter().map(|(&number, &address)| Client { number, address }).collect();
        bound.sort_by_key(|client| client.number);
        bound
    }

    pub(super) fn last_answer(&self) -> Instant {
        self.last_answer
    }

    /// What happened.
    pub(super) fn tally(&self) -> Tally {
        Tally { unanswered: self.under_way.len() as u64, doubled: self.holders.doubled, ..self.tally.clone() }
    }

    /// One line for whoever waits.
    pub(super) fn progress(&self, now: Instant) -> String {
        let completed = self.tally.exchange.len();
        let seconds = now.saturating_duration_since(self.began).as_secs_f64().max(0.001);
        format!(
            "{completed} exchanges, {:.0}/s, {} under way, {} given up",
            completed as f64 / seconds,
            self.under_way.len(),
            self.tally.given_up
        )
    }

    fn begin(&mut self, now: Instant) {
        for _ in 0..BEGUN_AT_ONCE {
            if self.begun >= self.plan.count || now >= self.began + self.plan.duration {
                self.ended.get_or_insert(now);
                return;
            }
            let at = match self.plan.pace {
                Pace::Outstanding(most) if self.under_way.len() < most as usize => now,
                Pace::Rate(_) if self.scheduled(self.begun) <= now => self.scheduled(self.begun),
                Pace::Outstanding(_) | Pace::Rate(_) => return,
            };
            let client = match &mut self.idle {
                None => (self.plan.first_client.wrapping_add(self.begun), Ask::Discover),
                Some(idle) => match idle.pop_front() {
                    Some(Client { number, address }) => (number, Ask::Rebind { address }),
                    // Everybody waits already.
                    None => return,
                },
            };
            self.begun += 1;
            self.last_xid = self.last_xid.wrapping_add(1);
            let (client, ask) = client;
            let exchange = Exchange { client, ask, began: at, asked: now, tries: 0, due: now };
            self.under_way.insert(self.last_xid, exchange);
            self.send(self.last_xid, now);
        }
    }

    /// When exchange number `number` begins in an open loop.
    fn scheduled(&self, number: u32) -> Instant {
        match self.plan.pace {
            Pace::Rate(rate) => self.began + Duration::from_secs_f64(f64::from(number) / f64::from(rate)),
            Pace::Outstanding(_) => self.began,
        }
    }

    /// Sends the message that an exchange is at, and sets when it is to be sent again or given up.
    fn send(&mut self, xid: u32, now: Instant) {
        let Some(exchange) = self.under_way.get_mut(&xid) else { return };
        exchange.tries += 1;
        let wait = self.plan.give_up.unwrap_or_else(|| {
            let wait = FIRST_WAIT * 2_u32.pow(exchange.tries - 1);
            wait + Duration::from_millis(rand::random_range(0..2_000)) - Duration::from_secs(1)
        });
        exchange.due = now + wait;
        self.due.insert((exchange.due, xid));
        let secs = now.saturating_duration_since(exchange.began).as_secs();
        let request = Request {
            xid,
            hardware: hardware(exchange.client),
            giaddr: self.plan.relay,
            own_port: self.plan.own_port,
            secs: u16::try_from(secs).unwrap_or(u16::MAX),
            ask: exchange.ask,
        };
        self.tally.sent += 1;
        self.tally.sent_again += u64::from(exchange.tries > 1);
        self.outbox.extend(packet::request(request));
    }

    fn overdue(&mut self, xid: u32, now: Instant) {
        let Some(exchange) = self.under_way.get(&xid) else { return };
        if self.plan.give_up.is_none() && exchange.tries < TRIES {
            self.send(xid, now);
        } else {
            self.end(xid);
            self.tally.given_up += 1;
        }
    }

    fn take_up(&mut self, xid: u32, address: Ipv4Addr, server: Ipv4Addr, now: Instant) {
        let Some(exchange) = self.under_way.get_mut(&xid) else { return };
        self.due.remove(&(exchange.due, xid));
        self.tally.offer.push(micros(exchange.asked.min(exchange.began), now));
        exchange.ask = Ask::Select { address, server };
        exchange.asked = now;
        exchange.tries = 0;
        self.send(xid, now);
    }

    fn complete(&mut self, xid: u32, address: Ipv4Addr, lease: Duration, now: Instant) {
        let Some(exchange) = self.end(xid) else { return };
        self.last_answer = now;
        let asked = if matches!(exchange.ask, Ask::Rebind { .. }) { exchange.began } else { exchange.asked };
        self.tally.ack.push(micros(asked, now));
        self.tally.exchange.push(micros(exchange.began, now));
        self.holders.granted(exchange.client, address, now, now + lease);
        if let Some(idle) = &mut self.idle {
            idle.push_back(Client { number: exchange.client, address });
        }
    }

    fn end(&mut self, xid: u32) -> Option<Exchange> {
        let exchange = self.under_way.remove(&xid)?;
        self.due.remove(&(exchange.due, xid));
        Some(exchange)
    }
}

fn micros(from: Instant, to: Instant) -> u32 {
    u32::try_from(to.saturating_duration_since(from).as_micros()).unwrap_or(u32::MAX)
}

/// Locally administered, and the client's number.
fn hardware(client: u32) -> [u8; 6] {
    let [a, b, c, d] = client.to_be_bytes();
    [2, 0x5f, a, b, c, d]
}

/// Who was told that it may use which address, and until when.
#[derive(Default)]
struct Holders {
    of_address: HashMap<Ipv4Addr, (u32, Instant)>,
    of_client: HashMap<u32, Ipv4Addr>,
    /// Addresses that a client was told of while another one might use it.
    doubled: u64,
}

impl Holders {
    fn granted(&mut self, client: u32, address: Ipv4Addr, now: Instant, until: Instant) {
        if let Some(before) = self.of_client.insert(client, address).filter(|before| *before != address) {
            self.of_address.remove(&before);
        }
        let before = self.of_address.insert(address, (client, until));
        self.doubled += u64::from(before.is_some_and(|(other, until)| other != client && until > now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dhcproto::v4::{DhcpOption, Message, MessageType};
    use dhcproto::{Decodable, Decoder, Encodable, Encoder};

    const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

    fn plan(pace: Pace) -> Plan {
        let (relay, duration) = (Ipv4Addr::new(10, 64, 0, 1), Duration::from_secs(10));
        Plan { relay, own_port: false, pace, count: 1_000, duration, give_up: None, first_client: 5 }
    }

    /// A server that gives each client the address that `address` makes of its number.
    fn reply(request: &[u8], address: impl Fn(u32) -> u32) -> Vec<u8> {
        let mut message = Message::decode(&mut Decoder::new(request)).unwrap();
        let number = u32::from_be_bytes(message.chaddr()[2..6].try_into().unwrap());
        let kind = match message.opts().msg_type() {
            Some(MessageType::Discover) => MessageType::Offer,
            _ => MessageType::Ack,
        };
        message.set_yiaddr(address(number));
        message.opts_mut().insert(DhcpOption::MessageType(kind));
        message.opts_mut().insert(DhcpOption::ServerIdentifier(SERVER));
        message.opts_mut().insert(DhcpOption::AddressLeaseTime(60));
        let mut bytes = Vec::new();
        message.encode(&mut Encoder::new(&mut bytes)).unwrap();
        bytes
    }

    /// Lets the load run against such a server that answers at once, a millisecond a step.
    fn run(load: &mut Load, start: Instant, address: impl Fn(u32) -> u32) {
        let mut now = start;
        while !load.is_over(now, Duration::from_secs(2)) {
            for request in load.due(now) {
                load.hear(now, SERVER, &reply(&request, &address));
            }
            now += Duration::from_millis(1);
        }
    }

    #[test]
    fn a_closed_loop_keeps_so_many_under_way_and_ends_at_its_count() {
        let start = Instant::now();
        let mut load = Load::new(plan(Pace::Outstanding(16)), start);
        assert_eq!(load.due(start).len(), 16);
        assert_eq!(load.due(start).len(), 0);
        let mut load = Load::new(plan(Pace::Outstanding(16)), start);
        run(&mut load, start, |number| number);
        let tally = load.tally();
        assert_eq!((tally.exchange.len(), tally.offer.len(), tally.sent), (1_000, 1_000, 2_000));
        assert_eq!((tally.doubled, tally.given_up, tally.unanswered), (0, 0, 0));
        assert_eq!(tally.by_server.into_iter().collect::<Vec<_>>(), [(SERVER, 1_000)]);
        let bound = load.bound();
        assert_eq!((bound.len(), bound[0]), (1_000, Client { number: 5, address: 5.into() }));
    }

    #[test]
    fn an_open_loop_begins_on_time_and_charges_for_what_waited() {
        let start = Instant::now();
        let mut load = Load::new(plan(Pace::Rate(100)), start);
        assert_eq!(load.due(start).len(), 1);
        let late = start + Duration::from_millis(95);
        let requests = load.due(late);
        assert_eq!(requests.len(), 9);
        for request in &requests {
            load.hear(late, SERVER, &reply(request, |number| number));
        }
        assert_eq!(load.tally().offer, [85_000, 75_000, 65_000, 55_000, 45_000, 35_000, 25_000, 15_000, 5_000]);
    }

    #[test]
    fn renewals_go_round_and_a_client_that_waits_does_not_begin_again() {
        let start = Instant::now();
        let clients: Vec<Client> = (0..3).map(|number| Client { number, address: number.into() }).collect();
        let mut load = Load::renewing(plan(Pace::Outstanding(16)), clients, start);
        let requests = load.due(start);
        assert_eq!((requests.len(), load.due(start).len()), (3, 0));
        load.hear(start, SERVER, &reply(&requests[1], |number| number));
        assert_eq!(load.due(start).len(), 1);
    }

    #[test]
    fn messages_are_sent_again_as_the_rfc_says_and_given_up() {
        let start = Instant::now();
        let mut load = Load::new(Plan { count: 1, ..plan(Pace::Outstanding(1)) }, start);
        let sent: Vec<u64> =
            (0..200).filter(|second| !load.due(start + Duration::from_secs(*second)).is_empty()).collect();
        assert_eq!(sent.len(), 5, "{sent:?}");
        for (gap, expected) in sent.windows(2).map(|pair| pair[1] - pair[0]).zip([4_u64, 8, 16, 32]) {
            assert!(gap.abs_diff(expected) <= 2, "{sent:?}");
        }
        assert_eq!((load.tally().given_up, load.tally().sent_again), (1, 4));
    }

    #[test]
    fn an_address_that_two_clients_may_use_is_counted() {
        let start = Instant::now();
        let mut load = Load::new(plan(Pace::Outstanding(16)), start);
        run(&mut load, start, |number| number / 2);
        assert_eq!(load.tally().doubled, 499);
    }
}
