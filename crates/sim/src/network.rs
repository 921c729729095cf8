//! The link between the two nodes: sessions, which are ordered and reliable until they end, and what ends them.

use crate::checker::Time;
use crate::random::Random;
use standfast_core::id::Session;
use standfast_core::message::PeerMessage;
use std::collections::VecDeque;

/// A message on its way, to be delivered at its time.
#[derive(Clone, Debug)]
pub(crate) struct InFlight {
    pub(crate) to: usize,
    pub(crate) session: Session,
    pub(crate) message: PeerMessage,
}

#[derive(Debug)]
pub(crate) struct Network {
    /// Which session each node believes in.
    pub(crate) open: [Option<Session>; 2],
    /// Whether nothing that a node sends arrives.
    pub(crate) cut: [bool; 2],
    /// Longest time that a message takes.
    pub(crate) delay: Time,
    next: u64,
    /// When the last message from each node arrives, by stream.
    last: [[Time; 2]; 2],
    /// What a cut holds back, until it heals or the session ends.
    held: [Vec<InFlight>; 2],
    /// What was sent last in a session, which may come again in the next one.
    recent: VecDeque<InFlight>,
}

/// Messages that may come again.
const RECENT: usize = 24;

impl Network {
    pub(crate) fn new() -> Self {
        Self {
            open: [None; 2],
            cut: [false; 2],
            delay: 2_000,
            next: 0,
            last: [[0; 2]; 2],
            held: [Vec::new(), Vec::new()],
            recent: VecDeque::new(),
        }
    }

    pub(crate) fn travel(&self, random: &mut Random) -> Time {
        random.between(100, self.delay)
    }

    /// Both ways work, and one of the nodes looks for the other.
    pub(crate) fn may_connect(&self) -> bool {
        let in_touch = self.open[0].is_some() && self.open[0] == self.open[1];
        !in_touch && self.cut == [false; 2]
    }

    /// Whether a session is up on both nodes, and both ways work.
    pub(crate) fn is_whole(&self) -> bool {
        self.open[0].is_some() && self.open[0] == self.open[1] && self.cut == [false; 2]
    }

    /// What of the sessions before comes once more, and when.
    pub(crate) fn late(&mut self, now: Time, random: &mut Random) -> Vec<(Time, InFlight)> {
        self.recent.drain(..).map(|message| (now + random.between(1_000, 3_000_000), message)).collect()
    }

    /// A new session begins; when each node hears of it.
    pub(crate) fn connect(&mut self, now: Time, random: &mut Random) -> (Session, [Time; 2]) {
        self.next += 1;
        let session = Session(self.next);
        let times = [now + self.travel(random), now + self.travel(random)];
        self.open = [Some(session); 2];
        self.held = [Vec::new(), Vec::new()];
        self.last = [[times[1]; 2], [times[0]; 2]];
        (session, times)
    }

    /// A node sends; when the message arrives, unless a cut holds it back or the session is over.
    pub(crate) fn send(
        &mut self,
        now: Time,
        from: usize,
        message: InFlight,
        random: &mut Random,
    ) -> Option<(Time, InFlight)> {
        if self.open[from] != Some(message.session) {
            return None;
        }
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(message.clone());
        if self.cut[from] {
            self.held[from].push(message);
            return None;
        }
        Some((self.arrival(now, from, &message, random), message))
    }

    fn arrival(&mut self, now: Time, from: usize, message: &InFlight, random: &mut Random) -> Time {
        let stream = usize::from(matches!(message.message, PeerMessage::Heartbeat(_)));
        let at = (now + self.travel(random)).max(self.last[from][stream] + 1);
        self.last[from][stream] = at;
        at
    }

    /// What a cut had held back goes on.
    pub(crate) fn heal(&mut self, now: Time, from: usize, random: &mut Random) -> Vec<(Time, InFlight)> {
        self.cut[from] = false;
        let held = std::mem::take(&mut self.held[from]);
        let open = self.open[from];
        held.into_iter()
            .filter(|message| Some(message.session) == open)
            .map(|message| (self.arrival(now, from, &message, random), message))
            .collect()
    }

    /// A node closes its end of a session. True if the other end was open still, and can be told.
    pub(crate) fn close(&mut self, host: usize, session: Session) -> bool {
        if self.open[host] != Some(session) {
            return false;
        }
        self.open[host] = None;
        self.held[host].clear();
        self.open[1 - host] == Some(session) && !self.cut[host]
    }
}
