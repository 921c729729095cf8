//! Another node, as far as this one is in touch with it.

use crate::configuration::{FailoverSettings, RelationshipSettings};
use crate::failover::detector::Detector;
use crate::id::{Incarnation, Revision, Session};
use crate::message::{HeardClock, Heartbeat, Remembered};
use crate::time::{Instant, Now};
use std::net::Ipv4Addr;
use std::time::Duration;

/// Another node of the cluster, whether or not this one shares a relationship with it.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) detector: Detector,
    pub(crate) session: Option<Session>,
    /// Its incarnation, once it said hello in this session.
    pub(crate) greeted: Option<Incarnation>,
    /// The last that was seen of it, to tell it when it comes back.
    pub(crate) remembered: Option<Remembered>,
    /// What its clock read when it last proved contact, and when that was.
    pub(crate) clock: Option<(Incarnation, Instant, Instant)>,
    /// What it calls itself towards clients.
    pub(crate) server_identifiers: Vec<Ipv4Addr>,
    /// The configuration that it uses, as this session has told.
    pub(crate) revision: Option<Revision>,
    /// The revision that it was told this node uses, in this session.
    pub(crate) told_held: Option<Revision>,
}

impl Peer {
    /// One that has not been met. Where relationships differ in their timers, the quickest count.
    pub(crate) fn new<'a>(
        relationships: impl Iterator<Item = &'a RelationshipSettings> + Clone,
        remembered: Option<Remembered>,
        now: Instant,
    ) -> Self {
        let (interval, timeout) = timers(relationships);
        Self {
            detector: Detector::new(interval, timeout, now),
            session: None,
            greeted: None,
            remembered,
            clock: None,
            server_identifiers: Vec::new(),
            revision: None,
            told_held: None,
        }
    }

    /// Uses other timers.
    pub(crate) fn use_timers<'a>(&mut self, relationships: impl Iterator<Item = &'a RelationshipSettings> + Clone) {
        let (interval, timeout) = timers(relationships);
        self.detector.use_timers(interval, timeout);
    }

    pub(crate) fn session_up(&mut self, session: Session, now: Instant) {
        self.session = Some(session);
        self.greeted = None;
        self.told_held = None;
        self.detector.session_up(session, now);
    }

    pub(crate) fn session_down(&mut self) {
        self.session = None;
        self.greeted = None;
        self.revision = None;
        self.detector.session_down();
    }

    pub(crate) fn heard(&mut self, now: Now, heartbeat: &Heartbeat) {
        if self.detector.heard(now, heartbeat)
            && let Some(incarnation) = self.greeted
            // Before it has answered our hello it may not know when it was heard last.
            && self.remembered.is_some_and(|remembered| remembered.incarnation == incarnation)
        {
            self.clock = Some((incarnation, heartbeat.clock, now.instant));
        }
        if let Some(remembered) = self.remembered.as_mut()
            && Some(remembered.incarnation) == self.greeted
        {
            remembered.persisted = remembered.persisted.max(heartbeat.persisted);
        }
    }

    /// When it was last heard, to tell it how long it was away.
    pub(crate) fn last_heard(&self, now: Instant) -> Option<HeardClock> {
        let (incarnation, clock, at) = self.clock?;
        Some(HeardClock { incarnation, clock, ago: now.since(at) })
    }

    /// It has answered our hello, so it knows whether its store went back in time: from now on this is what we
    /// remember of it. True if that is new.
    pub(crate) fn remember(&mut self) -> bool {
        let Some(incarnation) = self.greeted else { return false };
        if self.remembered.is_some_and(|remembered| remembered.incarnation == incarnation) {
            return false;
        }
        let persisted = self.detector.seen.persisted.unwrap_or_default();
        self.remembered = Some(Remembered { incarnation, persisted });
        true
    }
}

/// Interval and timeout of heartbeats; the quickest of the relationships with a peer, and the usual ones without any.
fn timers<'a>(relationships: impl Iterator<Item = &'a RelationshipSettings> + Clone) -> (Duration, Duration) {
    let usual = FailoverSettings::default();
    let failover = || relationships.clone().map(|relationship| &relationship.failover);
    let interval = failover().map(|settings| settings.heartbeat_interval).min();
    let timeout = failover().map(|settings| settings.heartbeat_timeout).min();
    (interval.unwrap_or(usual.heartbeat_interval), timeout.unwrap_or(usual.heartbeat_timeout))
}
