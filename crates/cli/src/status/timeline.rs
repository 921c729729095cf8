//! Heartbeats as a line that grows to the right: one mark a sample, so that a loss is a wall one can see.

use ratatui::style::{Color, Style};
use ratatui::text::{Line, Span};
use std::collections::VecDeque;

/// More than any terminal is wide.
const REMEMBERED: usize = 500;
/// Older than this is late: two and a half of the usual intervals.
const LATE_MS: u64 = 250;
/// Older than this is a loss, by the usual timeout.
const LOST_MS: u64 = 1_000;

#[derive(Default, Clone, Debug)]
pub(crate) struct Timeline {
    beats: VecDeque<Beat>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Beat {
    Heard,
    Late,
    Lost,
    /// The node that would hear does not run.
    Nobody,
}

impl Timeline {
    /// Adds how long ago the partner was heard; `None` if it was not, ever.
    pub(crate) fn heard(&mut self, age_ms: Option<u64>) {
        self.add(match age_ms {
            Some(0..LATE_MS) => Beat::Heard,
            Some(LATE_MS..LOST_MS) => Beat::Late,
            Some(LOST_MS..) | None => Beat::Lost,
        });
    }

    /// Adds that nobody was there to hear.
    pub(crate) fn nobody(&mut self) {
        self.add(Beat::Nobody);
    }

    fn add(&mut self, beat: Beat) {
        self.beats.push_back(beat);
        if self.beats.len() > REMEMBERED {
            self.beats.pop_front();
        }
    }

    /// The latest that fit `width`, the last one rightmost.
    pub(crate) fn line(&self, width: u16) -> Line<'static> {
        let skipped = self.beats.len().saturating_sub(usize::from(width));
        self.beats.iter().skip(skipped).map(|beat| beat.span()).collect::<Vec<_>>().into()
    }
}

impl Beat {
    /// By shape as well as colour.
    fn span(self) -> Span<'static> {
        let (mark, colour) = match self {
            Self::Heard => ("▁", Color::Green),
            Self::Late => ("▄", Color::Yellow),
            Self::Lost => ("█", Color::Red),
            Self::Nobody => ("·", Color::DarkGray),
        };
        Span::styled(mark, Style::new().fg(colour))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_heartbeats_stay_in_sight() {
        let mut timeline = Timeline::default();
        [Some(20), Some(300), Some(2_000), None].into_iter().for_each(|age| timeline.heard(age));
        timeline.nobody();
        assert_eq!(timeline.line(10).to_string(), "▁▄██·");
        assert_eq!(timeline.line(2).to_string(), "█·");
        (0..2 * REMEMBERED).for_each(|_| timeline.nobody());
        assert_eq!(timeline.beats.len(), REMEMBERED);
    }
}
