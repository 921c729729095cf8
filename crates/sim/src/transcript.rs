//! What a run tells: one line an event, and how often each kind of thing occurred.

use crate::checker::Time;
use std::collections::BTreeMap;

/// Collects what is to be told.
#[derive(Debug, Default)]
pub struct Transcript {
    lines: Option<Vec<String>>,
    /// When the story begins that is told, if it is one.
    story: Option<Time>,
    /// How often each kind of thing occurred.
    pub coverage: BTreeMap<String, u64>,
}

impl Transcript {
    /// With or without the lines.
    #[must_use]
    pub fn new(lines: bool) -> Self {
        Self { lines: lines.then(Vec::new), story: None, coverage: BTreeMap::new() }
    }

    /// A story begins: what led to it is left out.
    pub(crate) fn begin_story(&mut self, now: Time) {
        self.story = Some(now);
        self.lines = Some(Vec::new());
    }

    /// Whether this is a story, for which everything that can be seen is told in words.
    pub(crate) fn is_story(&self) -> bool {
        self.story.is_some()
    }

    pub(crate) fn line(&mut self, now: Time, who: &str, what: impl FnOnce() -> String) {
        let since = self.story.unwrap_or(0);
        if let Some(lines) = &mut self.lines {
            let at = now - since;
            lines.push(format!("{:>5}.{:03} {who:8} {}", at / 1_000_000, at / 1_000 % 1_000, what()));
        }
    }

    pub(crate) fn count(&mut self, what: &str) {
        self.add(what, 1);
    }

    /// Something occurred so often more.
    pub(crate) fn add(&mut self, what: &str, times: u64) {
        match self.coverage.get_mut(what) {
            Some(count) => *count += times,
            None => {
                self.coverage.insert(what.to_owned(), times);
            }
        }
    }

    /// The lines so far.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        self.lines.as_deref().unwrap_or_default()
    }
}

/// What a story calls a client.
pub(crate) fn client_name(client: usize) -> &'static str {
    ["x", "y", "z", "w"].get(client).copied().unwrap_or("somebody")
}
