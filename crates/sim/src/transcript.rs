//! What a run tells: one line an event, and how often each kind of thing occurred.

use crate::checker::Time;
use std::collections::BTreeMap;

/// Collects what is to be told.
#[derive(Debug, Default)]
pub struct Transcript {
    lines: Option<Vec<String>>,
    /// How often each kind of thing occurred.
    pub coverage: BTreeMap<String, u64>,
}

impl Transcript {
    /// With or without the lines.
    #[must_use]
    pub fn new(lines: bool) -> Self {
        Self { lines: lines.then(Vec::new), coverage: BTreeMap::new() }
    }

    pub(crate) fn line(&mut self, now: Time, who: &str, what: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            lines.push(format!("{:>5}.{:03} {who:8} {}", now / 1_000_000, now / 1_000 % 1_000, what()));
        }
    }

    pub(crate) fn count(&mut self, what: &str) {
        match self.coverage.get_mut(what) {
            Some(count) => *count += 1,
            None => {
                self.coverage.insert(what.to_owned(), 1);
            }
        }
    }

    /// The lines so far.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        self.lines.as_deref().unwrap_or_default()
    }
}
