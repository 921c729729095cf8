//! Why a message gets no answer, as counted and as told to people.

use super::answer::Silence;
use super::query::Malformed;
use super::selection::Unselected;

/// Every reason there is, with its label and its sentence.
pub fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    let malformed = Malformed::ALL.iter().map(|reason| (reason.as_str(), reason.sentence()));
    let unselected = Unselected::ALL.iter().map(|reason| (reason.as_str(), reason.sentence()));
    let silence = Silence::ALL.iter().map(|reason| (reason.as_str(), reason.sentence()));
    silence.chain(unselected).chain(malformed)
}

/// What a label means.
#[must_use]
pub fn sentence(label: &str) -> Option<&'static str> {
    all().find(|(known, _)| *known == label).map(|(_, sentence)| sentence)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn labels_are_unique_and_sentences_are_sentences() {
        let labels: BTreeSet<_> = all().map(|(label, _)| label).collect();
        assert_eq!(labels.len(), all().count());
        for (label, sentence) in all() {
            assert!(label.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase() || byte.is_ascii_digit()));
            assert!(sentence.starts_with(|first: char| first.is_uppercase() || first == '`'), "{sentence}");
            assert!(sentence.ends_with('.'), "{sentence}");
        }
        assert_eq!(sentence("deactivated"), Some("The scope is active on another node, or on none yet."));
    }
}
