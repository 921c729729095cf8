//! Mistakes of a cluster file, shown with the offending text underlined.
//!
//! Whoever edits a file by hand wants to hear of everything that is wrong with it at once, so nothing here stops at the
//! first mistake: readers and checks hand what they find to [`Mistakes`] and go on with what they could read.

use miette::{Diagnostic, LabeledSpan, NamedSource, Severity, SourceCode};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// Bytes of the file, as offsets from its beginning.
pub(super) type Place = Range<usize>;

/// Places further apart than this many lines are not shown in one excerpt, which shows every line between them.
const FAR_LINES: usize = 5;

/// Something wrong with a cluster file: what, where, and what to do about it.
#[derive(Clone, Debug)]
pub struct Mistake {
    source: NamedSource<Arc<str>>,
    message: String,
    help: String,
    place: Place,
    labels: Vec<LabeledSpan>,
    severity: Severity,
}

impl Mistake {
    /// Whether the file is good in spite of it.
    #[must_use]
    pub fn is_warning(&self) -> bool {
        self.severity != Severity::Error
    }

    /// What is wrong, in one line.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do about it.
    #[must_use]
    pub fn help_line(&self) -> &str {
        &self.help
    }

    /// Line and column of the offending text, from 1.
    #[must_use]
    pub fn line_and_column(&self) -> (usize, usize) {
        self.line_and_column_of(self.place.start)
    }

    /// Underlines a second place, such as the first of two things that should differ. One that is too far away to be
    /// shown together with the first is named by its line.
    pub(super) fn also(&mut self, place: Place, label: &str) -> &mut Self {
        let line = self.line_and_column_of(place.start).0;
        if line.abs_diff(self.line_and_column().0) <= FAR_LINES {
            self.labels.push(LabeledSpan::new(Some(label.to_owned()), place.start, place.len()));
        } else {
            self.help = format!("{} ({label}: line {line})", self.help);
        }
        self
    }

    fn line_and_column_of(&self, offset: usize) -> (usize, usize) {
        let before = self.source.inner().get(..offset).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Mistake {}

impl Diagnostic for Mistake {
    fn severity(&self) -> Option<Severity> {
        Some(self.severity)
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        (!self.help.is_empty()).then(|| Box::new(&self.help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.labels.iter().cloned()))
    }
}

/// What is wrong with a value, before it is known where the value stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Problem {
    pub(super) message: String,
    pub(super) help: String,
}

impl Problem {
    pub(super) fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: help.into() }
    }
}

/// Collects the mistakes of one file.
pub(super) struct Mistakes {
    source: NamedSource<Arc<str>>,
    found: Vec<Mistake>,
}

impl Mistakes {
    pub(super) fn of(name: &str, text: Arc<str>) -> Self {
        Self { source: NamedSource::new(name, text).with_language("toml"), found: Vec::new() }
    }

    pub(super) fn error(&mut self, place: Place, message: impl Into<String>, help: impl Into<String>) -> &mut Mistake {
        self.add(Severity::Error, place, Problem::new(message, help))
    }

    pub(super) fn warning(
        &mut self,
        place: Place,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> &mut Mistake {
        self.add(Severity::Warning, place, Problem::new(message, help))
    }

    pub(super) fn problem(&mut self, place: Place, problem: Problem) -> &mut Mistake {
        self.add(Severity::Error, place, problem)
    }

    /// Ends the collection: the warnings if there is no error, else everything, in order of the file.
    pub(super) fn into_warnings(self) -> Result<Vec<Mistake>, Vec<Mistake>> {
        if self.any_error() { Err(self.into_all()) } else { Ok(self.into_all()) }
    }

    /// Everything that was found, in order of the file.
    pub(super) fn into_all(mut self) -> Vec<Mistake> {
        self.found.sort_by_key(|mistake| mistake.place.start);
        self.found
    }

    pub(super) fn any_error(&self) -> bool {
        self.found.iter().any(|mistake| !mistake.is_warning())
    }

    fn add(&mut self, severity: Severity, place: Place, problem: Problem) -> &mut Mistake {
        let labels = vec![LabeledSpan::new(Some("here".to_owned()), place.start, place.len())];
        self.found.push(Mistake {
            source: self.source.clone(),
            message: problem.message,
            help: problem.help,
            place,
            labels,
            severity,
        });
        self.found.last_mut().expect("one was just pushed")
    }
}

/// `Did you mean ...?` for the candidate that is nearest to `word`, or else all of them.
pub(super) fn suggest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    let candidates: Vec<&str> = candidates.into_iter().collect();
    let plain = |text: &str| text.to_lowercase().replace(['-', '_'], "");
    let nearest = candidates
        .iter()
        .map(|candidate| (strsim::osa_distance(&plain(word), &plain(candidate)), *candidate))
        .min_by_key(|(distance, _)| *distance);
    match nearest {
        Some((distance, candidate)) if distance <= (word.len() / 3).max(1) => {
            format!("did you mean `{candidate}`?")
        }
        Some(_) if candidates.len() <= 40 => format!("known here: {}", candidates.join(", ")),
        Some(_) | None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_suggested() {
        assert_eq!(
            suggest("heartbeat-intervall", ["heartbeat_timeout", "heartbeat_interval"]),
            "did you mean `heartbeat_interval`?"
        );
        assert_eq!(suggest("colour", ["name", "rpc"]), "known here: name, rpc");
        assert_eq!(suggest("a", []), "");
    }

    #[test]
    fn a_place_is_counted_in_lines_and_characters() {
        let mut mistakes = Mistakes::of("f", "one\ntwö x".into());
        assert_eq!(mistakes.error(9..10, "m", "h").line_and_column(), (2, 5));
        assert_eq!(mistakes.warning(0..3, "m", "h").line_and_column(), (1, 1));
        let all = mistakes.into_warnings().unwrap_err();
        assert_eq!(all.iter().map(Mistake::is_warning).collect::<Vec<_>>(), [true, false]);
    }
}
