//! Whether a peer is alive and in contact.
//!
//! A heartbeat counts only if it echoes one of ours that was sent within the timeout: then the way there and the way
//! back both work, and neither side lives in the past. Silence for a whole timeout is a loss. So is a host that
//! refuses connections twice: the process is gone. Being wrong costs lead time and a second answer, never an address
//! with two clients, which is why the timeout may be short.

use crate::id::{Sequence, Session};
use crate::message::{Echo, Heartbeat};
use crate::time::{Instant, Now};
use std::collections::VecDeque;
use std::time::Duration;

/// The watch over one peer.
#[derive(Debug)]
pub(crate) struct Detector {
    interval: Duration,
    timeout: Duration,
    /// When a heartbeat of the peer last proved both ways; the start before any did.
    last_contact: Instant,
    watch: Option<Watch>,
    /// What the last heartbeat told.
    pub(crate) seen: Seen,
}

/// The heartbeats of one session.
#[derive(Debug)]
struct Watch {
    session: Session,
    began: Instant,
    next_due: Instant,
    next_number: u64,
    sent: VecDeque<(u64, Instant)>,
    heard: Option<(u64, Instant)>,
}

/// What is known of a peer from its heartbeats.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Seen {
    /// Round trip, in microseconds.
    pub(crate) round_trip: Option<u64>,
    /// The peer's wall clock minus ours, in milliseconds.
    pub(crate) skew: Option<i64>,
    /// The peer's last persisted write.
    pub(crate) persisted: Option<Sequence>,
}

impl Detector {
    pub(crate) fn new(interval: Duration, timeout: Duration, now: Instant) -> Self {
        Self { interval, timeout, last_contact: now, watch: None, seen: Seen::default() }
    }

    /// Uses other timers from now on.
    pub(crate) fn use_timers(&mut self, interval: Duration, timeout: Duration) {
        (self.interval, self.timeout) = (interval, timeout);
    }

    /// A session began: the first heartbeat is due at once.
    pub(crate) fn session_up(&mut self, session: Session, now: Instant) {
        self.last_contact = now;
        self.watch =
            Some(Watch { session, began: now, next_due: now, next_number: 0, sent: VecDeque::new(), heard: None });
    }

    /// The session ended.
    pub(crate) fn session_down(&mut self) {
        self.watch = None;
    }

    /// This node was silent for a while and speaks again: at once, and the peer has a whole timeout to answer.
    pub(crate) fn speak_again(&mut self, now: Instant) {
        if let Some(watch) = self.watch.as_mut() {
            watch.next_due = now;
            self.last_contact = now;
        }
    }

    /// When the session began.
    pub(crate) fn began(&self) -> Option<Instant> {
        self.watch.as_ref().map(|watch| watch.began)
    }

    /// When contact was last proved.
    pub(crate) fn last_contact(&self) -> Instant {
        self.last_contact
    }

    /// When contact counts as lost unless it is proved before.
    pub(crate) fn lost_at(&self) -> Instant {
        self.last_contact + self.timeout
    }

    /// Whether the session has been without contact for the timeout.
    pub(crate) fn is_lost(&self, now: Instant) -> bool {
        self.watch.is_some() && self.lost_at() <= now
    }

    /// The next heartbeat to send, if one is due: its number and echo.
    pub(crate) fn due(&mut self, now: Instant) -> Option<(Session, u64, Option<Echo>)> {
        let watch = self.watch.as_mut().filter(|watch| watch.next_due <= now)?;
        watch.next_due = now + self.interval;
        let number = watch.next_number;
        watch.next_number += 1;
        watch.sent.push_back((number, now));
        while watch.sent.front().is_some_and(|&(_, at)| at + self.timeout < now) {
            watch.sent.pop_front();
        }
        let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let echo = watch.heard.map(|(number, at)| Echo { number, held: micros(now.since(at)) });
        Some((watch.session, number, echo))
    }

    /// A heartbeat of this session arrived. Whether it proves contact.
    pub(crate) fn heard(&mut self, now: Now, heartbeat: &Heartbeat) -> bool {
        let Some(watch) = self.watch.as_mut() else { return false };
        watch.heard = Some((heartbeat.number, now.instant));
        self.seen.skew = Some(heartbeat.wall.0 - now.wall.0);
        self.seen.persisted = Some(heartbeat.persisted);
        let Some(echo) = heartbeat.echo else { return false };
        let Some(&(_, sent)) = watch.sent.iter().find(|(number, _)| *number == echo.number) else { return false };
        let proven = sent + self.timeout >= now.instant;
        if proven {
            self.last_contact = now.instant;
            let whole = now.instant.since(sent).as_micros();
            self.seen.round_trip = u64::try_from(whole).ok().map(|whole| whole.saturating_sub(echo.held));
        }
        proven
    }

    /// When to look again: a heartbeat to send, or contact to lose.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.watch.as_ref().map(|watch| watch.next_due.min(self.lost_at()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Wall;

    const INTERVAL: Duration = Duration::from_millis(100);
    const TIMEOUT: Duration = Duration::from_secs(1);

    fn at(millis: i64) -> Now {
        Now { instant: Instant(millis * 1_000), wall: Wall(millis) }
    }

    fn heartbeat(number: u64, echo: Option<u64>) -> Heartbeat {
        Heartbeat {
            number,
            echo: echo.map(|number| Echo { number, held: 0 }),
            wall: Wall(0),
            clock: Instant(0),
            persisted: Sequence(0),
            pulses: Vec::new(),
        }
    }

    #[test]
    fn only_an_echo_of_a_recent_heartbeat_proves_contact() {
        let mut detector = Detector::new(INTERVAL, TIMEOUT, at(0).instant);
        detector.session_up(Session(1), at(0).instant);
        assert_eq!(detector.due(at(0).instant), Some((Session(1), 0, None)));
        detector.heard(at(500), &heartbeat(0, Some(0)));
        assert!(!detector.is_lost(at(1_499).instant));
        detector.heard(at(1_400), &heartbeat(1, None));
        detector.heard(at(1_450), &heartbeat(2, Some(0)));
        assert!(detector.is_lost(at(1_500).instant), "no echo, and an echo of what was sent too long ago");
    }

    #[test]
    fn heartbeats_are_due_at_the_interval_and_echo_what_was_heard() {
        let mut detector = Detector::new(INTERVAL, TIMEOUT, at(0).instant);
        detector.session_up(Session(1), at(0).instant);
        assert!(detector.due(at(0).instant).is_some());
        assert_eq!(detector.due(at(99).instant), None);
        detector.heard(at(99), &heartbeat(7, None));
        assert_eq!(detector.due(at(100).instant), Some((Session(1), 1, Some(Echo { number: 7, held: 1_000 }))));
        assert_eq!(detector.deadline(), Some(at(200).instant));
    }
}
