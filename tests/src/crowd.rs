//! A crowd of simulated clients behind a simulated relay, which speaks to both nodes: load, and a count of what came of it.
//!
//! Open loop: exchanges begin when they are due, whether or not earlier ones have ended, so that a server that stops
//! answering is not spared. A message without an answer is repeated as a client repeats it; an exchange that is still
//! without an end after all its tries is lost.

use crate::device::{lease_seconds_of, server_of};
use crate::frame::Mac;
use crate::lab::{Host, LAN, Lab, node_lan_address};
use dhcproto::v4::{DhcpOption, Message, MessageType, OptionCode};
use dhcproto::{Decodable, Decoder, Encodable};
use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The relay, in the scope of its clients.
const RELAY: Ipv4Addr = Ipv4Addr::new(10, 64, 0, 1);
/// The scope of the crowd, as the cluster file writes it.
pub const SUBNET: &str = "10.64.0.0/12";
const SERVER_PORT: u16 = 67;
/// A client that has asked the server of an offer so often in vain looks for another one.
const SAME_SERVER: u32 = 3;

/// What a crowd does.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Exchanges that begin in a second.
    pub per_second: u32,
    /// The crowd ends by itself after so many; `None`: when it is told.
    pub exchanges: Option<u64>,
    /// The number of the first client, so that two crowds in one laboratory are not the same people.
    pub first: u32,
    /// Clients that have come to hold a lease renew it in turn, once so many of them are there. Until then, each exchange
    /// is a new client's.
    pub clients: u32,
    /// A message is repeated after this long without an answer.
    pub repeat_after: Duration,
    /// How often a message is said in all.
    pub tries: u32,
}

impl Load {
    /// New clients all the time, who are less patient than RFC 2131 4.1 wants them, and give up as late.
    pub const fn new_clients(per_second: u32) -> Self {
        let (repeat_after, tries) = (Duration::from_secs(1), 20);
        Self { per_second, exchanges: None, first: 0, clients: u32::MAX, repeat_after, tries }
    }

    /// Some clients that get leases, and then renew them in turn by broadcast.
    pub const fn renewals(per_second: u32, clients: u32) -> Self {
        Self { clients, ..Self::new_clients(per_second) }
    }
}

/// A crowd at work, on a thread of its own.
pub struct Crowd {
    stop: Arc<AtomicBool>,
    completed: Arc<AtomicU64>,
    worker: Option<JoinHandle<Outcome>>,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Exchanges that ended with an ACK.
    pub completed: u64,
    /// Exchanges that never ended, each as its client and what it last said.
    pub lost: Vec<String>,
    /// Messages that had to be said again.
    pub repeated: u64,
    /// Those among them that were to renew a lease. Nothing that a renewal needs is the partner's to give, so it is answered
    /// however busy that is.
    pub repeated_renewals: u64,
    /// NAKs that followed an OFFER: the client has nothing yet and starts again.
    pub refused: u64,
    /// Renewals that were answered with a NAK, by client.
    pub denied: Vec<Mac>,
    /// When each answer came, and from whom.
    pub answers: Vec<(Instant, Ipv4Addr)>,
    /// Who holds what in the end.
    pub held: BTreeMap<Mac, Ipv4Addr>,
    /// From the first message of an exchange to its end.
    pub took: Vec<Duration>,
}

impl Outcome {
    /// The longest time without an answer, among those that came since a moment.
    pub fn longest_silence(&self, since: Instant) -> Duration {
        let times: Vec<Instant> = self.answers.iter().map(|it| it.0).filter(|at| *at >= since).collect();
        times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    }

    /// This share of all exchanges took no longer.
    pub fn percentile(&self, share: f64) -> Duration {
        let mut took = self.took.clone();
        took.sort();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let index = ((took.len() as f64) * share) as usize;
        took.get(index.min(took.len().saturating_sub(1))).copied().unwrap_or_default()
    }
}

impl Crowd {
    /// Makes this client host a relay's, and tells the nodes the way to it.
    pub fn prepare(lab: &Lab, host: usize) {
        let relay = &lab.clients[host].namespace;
        relay.ip(&["address", "add", "10.20.0.9/24", "dev", LAN]);
        relay.ip(&["address", "add", &format!("{RELAY}/12"), "dev", LAN]);
        for node in &lab.nodes {
            node.namespace.ip(&["route", "add", SUBNET, "via", "10.20.0.9"]);
        }
    }

    /// Starts a crowd behind a host that was prepared.
    pub fn start(host: &Host, load: Load) -> Self {
        let socket = host.namespace.inside(|| UdpSocket::bind((RELAY, SERVER_PORT)).expect("a port for the relay"));
        let stop = Arc::new(AtomicBool::new(false));
        let completed = Arc::new(AtomicU64::new(0));
        let worker = std::thread::spawn({
            let (stop, completed) = (Arc::clone(&stop), Arc::clone(&completed));
            move || Relay::new(socket, load, completed).run(&stop)
        });
        Self { stop, completed, worker: Some(worker) }
    }

    /// How many exchanges have ended with an ACK.
    pub fn completed(&self) -> u64 {
        self.completed.load(Ordering::Relaxed)
    }

    /// Whether it has done all that it was asked for.
    pub fn is_done(&self) -> bool {
        self.worker.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Begins nothing any more, waits for what is under way, and says what came of it all.
    pub fn finish(mut self) -> Outcome {
        self.stop.store(true, Ordering::Relaxed);
        let worker = self.worker.take().expect("a crowd is finished once");
        worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// An exchange under way.
struct Exchange {
    mac: Mac,
    began: Instant,
    said: Message,
    tries: u32,
    /// When to say it again. A timer that was set for an earlier message finds another time here.
    again_at: Instant,
}

struct Relay {
    socket: UdpSocket,
    load: Load,
    completed: Arc<AtomicU64>,
    under_way: BTreeMap<u32, Exchange>,
    timers: VecDeque<(Instant, u32)>,
    started: u64,
    people: u32,
    renewing: VecDeque<(Mac, Ipv4Addr)>,
    outcome: Outcome,
}

impl Relay {
    fn new(socket: UdpSocket, load: Load, completed: Arc<AtomicU64>) -> Self {
        socket.set_read_timeout(Some(Duration::from_millis(1))).expect("a timeout for the relay");
        Self {
            socket,
            load,
            completed,
            under_way: BTreeMap::new(),
            timers: VecDeque::new(),
            started: 0,
            people: 0,
            renewing: VecDeque::new(),
            outcome: Outcome::default(),
        }
    }

    fn run(mut self, stop: &AtomicBool) -> Outcome {
        let begin = Instant::now();
        let mut buffer = [0; 2_048];
        loop {
            let told = stop.load(Ordering::Relaxed);
            let more = !told && self.load.exchanges.is_none_or(|exchanges| self.started < exchanges);
            if !more && self.under_way.is_empty() {
                return self.outcome;
            }
            let due = begin.elapsed().as_micros() * u128::from(self.load.per_second) / 1_000_000;
            while more && u128::from(self.started) < due && self.load.exchanges.is_none_or(|it| self.started < it) {
                self.begin();
            }
            self.repeat();
            if let Ok((length, _)) = self.socket.recv_from(&mut buffer) {
                self.hear(&buffer[..length]);
            }
        }
    }

    fn begin(&mut self) {
        self.started += 1;
        let renews = self.people >= self.load.clients;
        if let Some((mac, address)) = renews.then(|| self.renewing.pop_front()).flatten() {
            let mut message = self.message(mac, MessageType::Request);
            message.set_ciaddr(address);
            return self.say(mac, Instant::now(), message);
        }
        if renews {
            return;
        }
        let [_, a, b, c] = (self.load.first + self.people).to_be_bytes();
        let mac = Mac([2, 0, 2, a, b, c]);
        self.people += 1;
        let message = self.message(mac, MessageType::Discover);
        self.say(mac, Instant::now(), message);
    }

    fn message(&self, mac: Mac, kind: MessageType) -> Message {
        let none = Ipv4Addr::UNSPECIFIED;
        // Numbers of transactions are this crowd's own, and so are answers.
        let xid = self.load.first.rotate_left(16) ^ u32::try_from(self.started).expect("crowds are bounded");
        let mut message = Message::new_with_id(xid, none, none, none, RELAY, &mac.0);
        message.set_hops(1).opts_mut().insert(DhcpOption::MessageType(kind));
        message
    }

    fn say(&mut self, mac: Mac, began: Instant, said: Message) {
        let again_at = Instant::now() + self.load.repeat_after;
        let xid = said.xid();
        self.send(&said);
        self.timers.push_back((again_at, xid));
        self.under_way.insert(xid, Exchange { mac, began, said, tries: 1, again_at });
    }

    /// To both, as relays are configured at a site with two servers. One that is unreachable says so, now and then, and
    /// that is nothing to a relay.
    fn send(&self, message: &Message) {
        let bytes = message.to_vec().expect("a message to send");
        for node in [0, 1] {
            let _ = self.socket.send_to(&bytes, (node_lan_address(node), SERVER_PORT));
        }
    }

    fn repeat(&mut self) {
        let now = Instant::now();
        while let Some(&(at, xid)) = self.timers.front()
            && at <= now
        {
            self.timers.pop_front();
            let Some(exchange) = self.under_way.get_mut(&xid).filter(|it| it.again_at == at) else { continue };
            if exchange.tries == self.load.tries {
                let last = exchange.said.opts().msg_type();
                self.outcome.lost.push(format!("{} said {last:?} {} times", exchange.mac, exchange.tries));
                self.under_way.remove(&xid);
                continue;
            }
            exchange.tries += 1;
            if exchange.tries % SAME_SERVER == 0 {
                discover_again(&mut exchange.said);
            }
            exchange.again_at = now + self.load.repeat_after;
            self.timers.push_back((exchange.again_at, xid));
            self.outcome.repeated += 1;
            self.outcome.repeated_renewals += u64::from(exchange.said.ciaddr() != Ipv4Addr::UNSPECIFIED);
            let said = exchange.said.clone();
            self.send(&said);
        }
    }

    fn hear(&mut self, bytes: &[u8]) {
        let Ok(message) = Message::decode(&mut Decoder::new(bytes)) else { return };
        let Some(server) = server_of(&message) else { return };
        self.outcome.answers.push((Instant::now(), server));
        let xid = message.xid();
        let Some(exchange) = self.under_way.get(&xid).filter(|it| it.mac.0 == message.chaddr()) else { return };
        let (mac, began, said) = (exchange.mac, exchange.began, exchange.said.opts().msg_type());
        match (said, message.opts().msg_type()) {
            (Some(MessageType::Discover), Some(MessageType::Offer)) => {
                let mut request = exchange.said.clone();
                let options = request.opts_mut();
                options.insert(DhcpOption::MessageType(MessageType::Request));
                options.insert(DhcpOption::ServerIdentifier(server));
                options.insert(DhcpOption::RequestedIpAddress(message.yiaddr()));
                self.say(mac, began, request);
            }
            (Some(MessageType::Request), Some(MessageType::Ack)) if lease_seconds_of(&message).is_some() => {
                self.under_way.remove(&xid);
                self.outcome.completed += 1;
                self.completed.store(self.outcome.completed, Ordering::Relaxed);
                self.outcome.took.push(began.elapsed());
                self.outcome.held.insert(mac, message.yiaddr());
                if self.load.clients < u32::MAX {
                    self.renewing.push_back((mac, message.yiaddr()));
                }
            }
            (Some(MessageType::Request), Some(MessageType::Nak)) => {
                let mut said = exchange.said.clone();
                self.under_way.remove(&xid);
                if said.ciaddr() != Ipv4Addr::UNSPECIFIED {
                    self.outcome.denied.push(mac);
                    return;
                }
                self.outcome.refused += 1;
                if began.elapsed() < self.load.repeat_after * self.load.tries {
                    discover_again(&mut said);
                    self.say(mac, began, said);
                } else {
                    self.outcome.lost.push(format!("{mac} was told NAK again and again"));
                }
            }
            _ => {}
        }
    }
}

/// Turns the REQUEST that follows an OFFER into a DISCOVER. Other messages stay as they are.
fn discover_again(said: &mut Message) {
    if server_of(said).is_some() {
        let options = said.opts_mut();
        options.remove(OptionCode::ServerIdentifier);
        options.remove(OptionCode::RequestedIpAddress);
        options.insert(DhcpOption::MessageType(MessageType::Discover));
    }
}
