//! The serving loop: waits, hands what happened to the core, and does what the core says. It holds no policy.
//!
//! It has a thread to itself and shares nothing with the threads of peers and operators but queues, so that
//! nothing that they do can hold up a client.

mod listening;

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
use std::collections::{BTreeMap, VecDeque};
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

/// Everything that the loop uses.
pub(crate) struct Driver {
    pub(crate) node: Node,
    pub(crate) clock: Clock,
    /// As of the start: what is stored must not move when the wall clock is set.
    pub(crate) offset: WallOffset,
    pub(crate) poller: Poller,
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
    inbox: Inbox,
    backlog: Backlog,
    outbox: Outbox,
    /// Batches that the store has not taken yet.
    batches: VecDeque<Batch>,
    requests: BTreeMap<Request, oneshot::Sender<CommandResult>>,
    next_request: u64,
    next_look: Instant,
    /// Until when packets wait while this node answers nobody.
    deaf_until: Instant,
    /// Messages of peers are left for the next turn, which must not wait.
    more_messages: bool,
}

impl Driver {
    /// Serves until the node has left or cannot go on.
    pub(crate) fn run(mut self) -> Ended {
        let ended = loop {
            if let Some(ended) = self.turn() {
                break ended;
            }
        };
        if let Err(error) = self.store.close() {
            tracing::error!(%error, "the store was not closed cleanly");
        }
        ended
    }

    fn turn(&mut self) -> Option<Ended> {
        let ready = self.wait();
        for index in ready {
            self.take(index);
        }
        self.answer();
        self.take_peer_events();
        self.take_calls();
        if let Some(ended) = self.take_reports() {
            return Some(ended);
        }
        self.look_around();
        let now = self.clock.now();
        if self.node.deadline().is_some_and(|(at, _)| at <= now.instant) {
            self.node.handle(now, Input::Tick);
        }
        let outputs = self.node.outputs();
        self.perform(outputs)
    }

    /// The links that have something to read.
    fn wait(&mut self) -> Vec<u32> {
        let deadline = self.node.deadline().map_or(self.work.next_look, |(at, _)| at.min(self.work.next_look));
        let now = self.clock.instant();
        let deaf = now < self.work.deaf_until && !self.node.serves();
        let until = if deaf { deadline.min(self.work.deaf_until) } else { deadline };
        let more = self.work.more_messages || !self.work.backlog.is_empty();
        let timeout = if more { Duration::ZERO } else { until.since(now) };
        let ready = if deaf { self.poller.wait_for_call(Some(timeout)) } else { self.poller.wait(Some(timeout)) };
        match ready {
            Ok(ready) => ready.links().collect(),
            Err(error) => {
                tracing::error!(%error, "waiting for packets failed");
                Vec::new()
            }
        }
    }

    /// Takes what the poller tells of.
    fn take(&mut self, number: u32) {
        if Pinger::is(number) {
            self.take_echoes();
        } else if let Some(index) = Link::overheard(number) {
            self.overhear(index);
        } else {
            self.receive(number);
        }
    }

    /// Reads what has arrived on a link.
    fn receive(&mut self, index: u32) {
        let now = self.clock.now();
        self.work.deaf_until = now.instant + LISTEN_EVERY;
        let Some(link) = self.links.get(index as usize) else { return };
        let Work { inbox, backlog, .. } = &mut self.work;
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

    /// Answers what waits, as much as fits a turn.
    fn answer(&mut self) {
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
    fn look_around(&mut self) {
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
                    if let Err(error) = link.watch(&self.poller, index) {
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
            let sent = link.send_where(&mut self.work.outbox, replies, wanted);
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
