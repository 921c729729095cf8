//! What must hold between the parts of a cluster file.
//!
//! Each part has been read by now; here they are held against each other. Every check reports all that it finds, and
//! passes over what could not be read, which has been reported before.

mod nodes;
mod scopes;

use super::mistake::{Mistakes, Place};
use super::section::ClusterSection;
use super::value::Name;
use serde_spanned::Spanned;
use std::collections::BTreeMap;

pub(super) fn check(file: &ClusterSection, mistakes: &mut Mistakes) {
    nodes::check(file, mistakes);
    scopes::check(file, mistakes);
}

/// Names by which the other parts refer to one kind of part.
fn names<'f, T>(
    parts: &'f [Spanned<T>],
    name: impl Fn(&'f T) -> Option<&'f Spanned<Name>>,
) -> impl Iterator<Item = &'f str> {
    parts.iter().filter_map(move |part| Some(name(part.get_ref())?.get_ref().0.as_str()))
}

/// Reports each of `values` that was there before.
fn report_twice<K: Ord>(
    values: impl IntoIterator<Item = (K, Place)>,
    mistakes: &mut Mistakes,
    message: impl Fn(&K) -> String,
    help: &str,
) {
    let mut seen = BTreeMap::new();
    for (value, place) in values {
        if let Some(first) = seen.get(&value) {
            let first: &Place = first;
            mistakes.error(place, message(&value), help).also(first.clone(), "first here");
        } else {
            seen.insert(value, place);
        }
    }
}

/// As [`report_twice`], for the names of one kind of part.
fn report_same_names<'f, T: 'f>(
    what: &str,
    parts: &'f [Spanned<T>],
    name: impl Fn(&'f T) -> Option<&'f Spanned<Name>>,
    mistakes: &mut Mistakes,
) {
    let named =
        parts.iter().filter_map(|part| name(part.get_ref())).map(|name| (name.get_ref().0.clone(), name.span()));
    report_twice(named, mistakes, |name| format!("two {what} are called `{name}`"), "give each its own name");
}
