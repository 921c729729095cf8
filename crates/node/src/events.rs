//! What happened, kept for those who ask later and passed on to those who listen.

mod file;

pub use file::{EVENTS, keep};

use crate::clock;
use standfast_core::event::{Event, Severity};
use standfast_core::time::Wall;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::broadcast;

/// Events that are remembered.
const REMEMBERED: usize = 1_000;

/// Events that a slow listener may be behind before it misses some.
const BEHIND: usize = 256;

/// An event and when it happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Happened {
    /// By the wall clock.
    pub at: Wall,
    /// What.
    pub event: Event,
}

/// The events of one process.
#[derive(Clone, Debug)]
pub struct EventLog {
    remembered: Arc<Mutex<VecDeque<Happened>>>,
    listeners: broadcast::Sender<Happened>,
}

impl Default for EventLog {
    fn default() -> Self {
        Self { remembered: Arc::default(), listeners: broadcast::Sender::new(BEHIND) }
    }
}

impl EventLog {
    /// Remembers an event, prints it, and tells those who listen.
    pub fn add(&self, event: Event) {
        print(&event);
        let happened = Happened { at: clock::wall(), event };
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() == REMEMBERED {
            remembered.pop_front();
        }
        remembered.push_back(happened.clone());
        // Fails only where nobody listens.
        let _ = self.listeners.send(happened);
    }

    /// What is remembered, and what comes from now on; nothing is missed between the two.
    #[must_use]
    pub fn listen(&self) -> (Vec<Happened>, broadcast::Receiver<Happened>) {
        let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        (remembered.iter().cloned().collect(), self.listeners.subscribe())
    }
}

fn print(event: &Event) {
    let code = format!("SF{:04}", event.code.number());
    let name = event.code.name();
    let relationship = event.relationship.as_ref().map(tracing::field::display);
    let epoch = event.epoch.map(|epoch| epoch.number);
    let (what, evidence) = (&event.what, &event.evidence);
    let cause = Some(event.cause.as_str()).filter(|cause| !cause.is_empty());
    match event.code.severity() {
        Severity::Info => tracing::info!(code, name, relationship, epoch, evidence, cause, "{what}"),
        Severity::Warning => tracing::warn!(code, name, relationship, epoch, evidence, cause, "{what}"),
        Severity::Alarm => tracing::error!(code, name, relationship, epoch, evidence, cause, "{what}"),
    }
}
