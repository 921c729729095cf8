//! The serving loop: waits, hands what happened to the core, and does what the core says. It holds no policy.
//!
//! It has a thread to itself, and queues in which other threads leave what they have for it, so that nothing that they
//! do can hold up a client. While the loop sleeps, the threads of the store and of peers deal with what they bring
//! themselves: see [`desk`].

mod desk;
mod listening;

pub(crate) use desk::Desk;

use crate::backlog::Backlog;
use crate::clock::{self, Clock};
use crate::events::EventLog;
use crate::fence;
use crate::handle::{Call, NodeHandle};
use crate::metrics::Commits;
use crate::peers::{PeerEvent, Peers};
use crate::store::{Batch, Refused, Report, StoreError, StoreThread};
use crate::udp::{Change, Inbox, Link, Outbox, Pinger, Poller};
use standfast_core::input::{Input, Packet, Request, StoreHealth};
use standfast_core::node::Node;
use standfast_core::output::{CommandResult, Outputs, Reply, Write};
use standfast_core::scale::WallOffset;
use standfast_core::time::Instant;
use standfast_rpc::convert::encode_record;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{self, TryRecvError};
use std::time::Duration;
use tokio::sync::{mpsc as tokio_mpsc, oneshot};

/// How often the interfaces and the clock are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long packets wait, once one was heard, while this node answers nobody: then it hears many at a time.
const LISTEN_EVERY: Duration = Duration::from_millis(10);

/// Packets that one turn answers, so that peers are not kept waiting by a flood of them.
const PACKETS_PER_TURN: usize = 256;

/// Batches of packets that one turn reads from a link.
const BATCHES_PER_TURN: usize = 8;

/// Messages of peers that one turn takes, so that clients are not kept waiting by them.
const MESSAGES_PER_TURN: usize = 256;

/// Batches that wait for a store that is behind; more than that and it counts as failing.
const BATCHES_WAITING: usize = 10_000;

/// Why the serving loop ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The node has left.
    Left,
    /// The process stood still for so long that it must start again.
    Restart,
    /// The store failed for good.
    StoreGone(StoreError),
}

thread_local! {
    /// Whoever works at the desk sends, and this memory cannot go from thread to thread.
    static OUTBOX: RefCell<Outbox> = RefCell::default();
}

/// The thread of the loop: waits, and reads the links.
pub(crate) struct Driver {
    pub(crate) poller: Poller,
    pub(crate) desk: Arc<Desk>,
    pub(crate) inbox: Inbox,
}

/// Everything that the loop works with.
pub(crate) struct Serving {
    pub(crate) node: Node,
    pub(crate) clock: Clock,
    /// As of the start: what is stored must not move when the wall clock is set.
    pub(crate) offset: WallOffset,
    /// Without leave to use raw sockets there is none.
    pub(crate) pinger: Option<Pinger>,
    pub(crate) links: Vec<Link>,
    pub(crate) store: StoreThread,
    pub(crate) reports: mpsc::Receiver<Report>,
    pub(crate) peers: Peers,
    pub(crate) peer_events: tokio_mpsc::Receiver<PeerEvent>,
    pub(crate) handle: NodeHandle,
    pub(crate) calls: mpsc::Receiver<Call>,
    pub(crate) events: EventLog,
    pub(crate) commits: Commits,
    pub(crate) work: Work,
}

/// What the loop keeps between turns.
#[derive(Default)]
pub(crate) struct Work {
    backlog: Backlog,
    /// Batches that the store has not taken yet.
    batches: VecDeque<Batch>,
    requests: BTreeMap<Request, oneshot::Sender<CommandResult>>,
    next_request: u64,
    next_look: Instant,
    /// Until when packets wait while this node answers nobody.
    deaf_until: Instant,
    /// Until when the loop's thread sleeps if nobody wakes it.
    sleeps_until: Instant,
    /// Messages of peers are left for the next turn, which must not wait.
    more_messages: bool,
    /// Found by another thread than the loop's, which is to end.
    ended: Option<Ended>,
}

impl Driver {
    /// Serves until the node has left or cannot go on.
    pub(crate) fn run(mut self, serving: Serving) -> Ended {
        self.desk.begin(serving);
        let ended = loop {
            if let Some(ended) = self.turn() {
                break ended;
            }
        };
        if let Some(serving) = self.desk.end()
            && let Err(error) = serving.store.close()
        {
            tracing::error!(%error, "the store was not closed cleanly");
        }
        ended
    }

    fn turn(&mut self) -> Option<Ended> {
        let rest = self.desk.work(Serving::rest)?;
        let ready = self.wait(&rest);
        let Self { poller, inbox, .. } = self;
        self.desk.work(|serving| serving.turn(&ready, poller, inbox))?
    }

    /// The links that have something to read.
    fn wait(&mut self, rest: &Rest) -> Vec<u32> {
        let timeout = Some(rest.timeout);
        let ready = if rest.deaf { self.poller.wait_for_call(timeout) } else { self.poller.wait(timeout) };
        match ready {
            Ok(ready) => ready.links().collect(),
            Err(error) => {
                tracing::error!(%error, "waiting for packets failed");
                Vec::new()
            }
        }
    }
}

/// How the loop's thread is to wait.
struct Rest {
    timeout: Duration,
    /// Not for packets.
    deaf: bool,
}

impl Serving {
    /// All that a turn of the loop's own thread does.
    fn turn(&mut self, ready: &[u32], poller: &Poller, inbox: &mut Inbox) -> Option<Ended> {
        if let Some(ended) = self.work.ended.take() {
            return Some(ended);
        }
        for &number in ready {
            self.take(number, inbox);
        }
        self.answer();
        self.take_calls();
        self.look_around(poller);
        self.attend()
    }

    /// What has come up from other threads, and the time that has passed: the part of a turn that any thread may do.
    fn attend(&mut self) -> Option<Ended> {
        self.take_peer_events();
        if let Some(ended) = self.take_reports() {
            return Some(ended);
        }
        let now = self.clock.now();
        if self.node.deadline().is_some_and(|(at, _)| at <= now.instant) {
            self.node.handle(now, Input::Tick);
        }
        let outputs = self.node.outputs();
        self.perform(outputs)
    }

    /// [`attend`](Self::attend) on another thread. Whether the loop's own must wake up now.
    fn attend_elsewhere(&mut self) -> bool {
        if self.work.ended.is_none() {
            self.work.ended = self.attend();
        }
        let more = self.work.more_messages || self.may_answer();
        self.work.ended.is_some() || more || self.next_turn() < self.work.sleeps_until
    }

    /// Until when there is nothing to do, unless something comes up.
    fn next_turn(&self) -> Instant {
        self.node.deadline().map_or(self.work.next_look, |(at, _)| at.min(self.work.next_look))
    }

    /// How to wait for the next turn.
    fn rest(&mut self) -> Rest {
        let deadline = self.next_turn();
        let now = self.clock.instant();
        let deaf = now < self.work.deaf_until && !self.node.serves();
        let until = if deaf { deadline.min(self.work.deaf_until) } else { deadline };
        let more = self.work.more_messages || self.may_answer();
        self.work.sleeps_until = if more { now } else { until };
        Rest { timeout: self.work.sleeps_until.since(now), deaf }
    }

    /// Takes what the poller tells of.
    fn take(&mut self, number: u32, inbox: &mut Inbox) {
        if Pinger::is(number) {
            self.take_echoes();
        } else if let Some(index) = Link::overheard(number) {
            self.overhear(index);
        } else {
            self.receive(number, inbox);
        }
    }

    /// Reads what has arrived on a link.
    fn receive(&mut self, index: u32, inbox: &mut Inbox) {
        let now = self.clock.now();
        self.work.deaf_until = now.instant + LISTEN_EVERY;
        let Some(link) = self.links.get(index as usize) else { return };
        let backlog = &mut self.work.backlog;
        for _ in 0..BATCHES_PER_TURN {
            let received = link.receive(inbox, |datagram| {
                backlog.push(Packet {
                    link: index,
                    source: datagram.source,
                    destination: datagram.destination,
                    received: clock::instant_of_stamp(now, datagram.stamp),
                    bytes: datagram.bytes.to_vec(),
                });
            });
            match received {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    tracing::warn!(%error, link = link.name(), "reading failed");
                    return;
                }
            }
        }
    }

    /// Whether packets wait for nothing but an answer.
    fn may_answer(&self) -> bool {
        !self.work.backlog.is_empty() && !self.node.is_about_to_serve()
    }

    /// Answers what waits, as much as fits a turn.
    fn answer(&mut self) {
        if !self.may_answer() {
            return;
        }
        for _ in 0..PACKETS_PER_TURN {
            let Some(packet) = self.work.backlog.pop() else { return };
            self.node.handle(self.clock.now(), Input::Packet(packet));
        }
    }

    fn take_peer_events(&mut self) {
        self.work.more_messages = false;
        for _ in 0..MESSAGES_PER_TURN {
            let Ok(event) = self.peer_events.try_recv() else { return };
            let input = match event {
                PeerEvent::Up { peer, session } => Input::PeerUp { peer, session },
                PeerEvent::Message { peer, session, message } => Input::Peer { peer, session, message },
                PeerEvent::Down { peer, session } => Input::PeerDown { peer, session },
                PeerEvent::Gone { peer } => Input::PeerGone { peer },
            };
            self.node.handle(self.clock.now(), input);
        }
        self.work.more_messages = true;
    }

    fn take_calls(&mut self) {
        while let Ok(call) = self.calls.try_recv() {
            let now = self.clock.now();
            match call {
                Call::Input(input) => self.node.handle(now, input),
                Call::Look(look) => look(&self.node, now),
                Call::Command(command, answer) => {
                    let request = Request(self.work.next_request);
                    self.work.next_request += 1;
                    self.work.requests.insert(request, answer);
                    self.node.handle(now, Input::Operator(request, command));
                }
            }
        }
    }

    fn take_reports(&mut self) -> Option<Ended> {
        loop {
            let report = match self.reports.try_recv() {
                Ok(report) => report,
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return None,
            };
            let now = self.clock.now();
            match report {
                Report::Persisted { sequence, took, .. } => {
                    self.commits.add(took);
                    self.submit();
                    self.node.handle(now, Input::Persisted(sequence));
                }
                Report::Failing(error) => {
                    tracing::error!(%error, "the store fails");
                    self.node.handle(now, Input::StoreHealth(StoreHealth::Failing));
                }
                Report::Recovered => self.node.handle(now, Input::StoreHealth(StoreHealth::Working)),
                Report::Gone(error) => return Some(Ended::StoreGone(error)),
                Report::Space(space) => tracing::warn!(?space, "space around the store"),
            }
        }
    }

    /// Once a second: have the interfaces changed, is the clock right? And a sign of life for the service manager.
    fn look_around(&mut self, poller: &Poller) {
        let now = self.clock.now();
        if now.instant < self.work.next_look {
            return;
        }
        self.work.next_look = now.instant + LOOK_EVERY;
        self.tell_dropped();
        let mut changed = false;
        for (index, link) in (0..).zip(&mut self.links) {
            match link.refresh() {
                Ok(Change::None) => {}
                Ok(Change::State) => changed = true,
                Ok(Change::Reopened) => {
                    changed = true;
                    if let Err(error) = link.watch(poller, index) {
                        tracing::error!(%error, link = link.name(), "the link cannot be watched");
                    }
                }
                Err(error) => {
                    let had_carrier = link.describe(index).carrier;
                    link.mark_gone();
                    if had_carrier {
                        tracing::error!(%error, "a client link is gone");
                        changed = true;
                    }
                }
            }
        }
        if changed {
            let links = describe(&self.links);
            self.node.handle(now, Input::Links(links));
        }
        // Fails where there is no service manager to tell.
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
        if self.clock.is_synchronised() {
            self.node.handle(now, Input::ClockConfirmed);
        }
    }

    /// Once a second at the most, however many there are.
    fn tell_dropped(&mut self) {
        let dropped = self.work.backlog.take_dropped();
        if dropped > 0 {
            self.node.pass_over(dropped);
            tracing::warn!(dropped, "more packets arrive than can be answered; the oldest DISCOVERs were dropped");
        }
    }

    /// Does everything that the core said.
    fn perform(&mut self, outputs: Outputs) -> Option<Ended> {
        let Outputs {
            writes,
            messages,
            replies,
            probes,
            events,
            disconnects,
            fences,
            configured,
            answers,
            left,
            restart,
        } = outputs;
        self.write(writes);
        self.emit(&replies);
        self.probe(&probes);
        for message in messages {
            self.peers.send(&message.to, message.session, message.message);
        }
        for peer in disconnects {
            self.peers.disconnect(&peer);
        }
        for event in events {
            self.events.add(event);
        }
        for relationship in fences {
            let settings = self.node.configuration();
            fence::run(settings, relationship, self.handle.clone());
        }
        if let Some(configuration) = configured {
            self.peers.reconfigure(configuration);
        }
        for (request, result) in answers {
            if let Some(answer) = self.work.requests.remove(&request) {
                // Whoever asked may have gone.
                let _ = answer.send(result);
            }
        }
        match (left, restart) {
            (true, _) => Some(Ended::Left),
            (false, true) => Some(Ended::Restart),
            (false, false) => None,
        }
    }

    fn write(&mut self, writes: Vec<Write>) {
        let Some(last) = writes.last().map(|write| write.sequence) else { return };
        let entries = writes.iter().map(|write| encode_record(&write.record, self.offset)).collect();
        self.work.batches.push_back(Batch { sequence: last, entries });
        self.submit();
        if self.work.batches.len() > BATCHES_WAITING {
            self.node.handle(self.clock.now(), Input::StoreHealth(StoreHealth::Failing));
        }
    }

    /// Hands the store what it has room for.
    fn submit(&mut self) {
        while let Some(batch) = self.work.batches.pop_front() {
            match self.store.submit(batch) {
                Ok(()) => {}
                Err(Refused::Full(batch) | Refused::Stopped(batch)) => {
                    self.work.batches.push_front(batch);
                    return;
                }
            }
        }
    }

    /// The only place where anything leaves for clients: what was built under a right that may have passed is dropped.
    fn emit(&mut self, replies: &[Reply]) {
        if replies.is_empty() {
            return;
        }
        let now = self.clock.instant();
        for (index, link) in (0_u32..).zip(&self.links) {
            let wanted = |reply: &Reply| reply.link == index && now <= reply.deadline;
            if !replies.iter().any(wanted) {
                continue;
            }
            let sent = OUTBOX.with_borrow_mut(|outbox| link.send_where(outbox, replies, wanted));
            if let Some(error) = sent.error {
                tracing::warn!(%error, link = link.name(), failed = sent.failed, "replies could not be sent");
            }
        }
    }
}

/// The links as the core knows them: by their position.
pub(crate) fn describe(links: &[Link]) -> Vec<standfast_core::input::Link> {
    (0..).zip(links).map(|(index, link)| link.describe(index)).collect()
}
