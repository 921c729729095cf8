//! Reading the tables of a cluster file without stopping at a mistake.
//!
//! serde ends at the first value it dislikes, so tables are walked here: a [`Fields`] is one table together with the
//! [`Section`] that lists the keys it may have. A value that cannot be read is reported with its place and counts as
//! absent; what is left is read all the same.

use super::mistake::{Mistakes, Place, Problem, suggest};
use serde_spanned::Spanned;
use toml::de::{DeTable, DeValue};

/// A kind of table in the cluster file.
#[derive(Debug)]
pub struct Section {
    /// Where it stands, as in `[[scope.reservation]]`; empty for the top of the file.
    pub path: &'static str,
    /// The keys it may have.
    pub keys: &'static [&'static str],
}

/// A value that one key holds.
pub(super) trait Readable: Sized {
    fn read(value: &DeValue<'_>) -> Result<Self, Problem>;
}

/// One table being read.
pub(super) struct Fields<'a, 'text> {
    section: &'static Section,
    table: &'a DeTable<'text>,
    place: Place,
    pub(super) mistakes: &'a mut Mistakes,
}

impl<'a, 'text> Fields<'a, 'text> {
    /// Begins to read `table`, and reports its unknown keys.
    pub(super) fn of(
        section: &'static Section,
        table: &'a DeTable<'text>,
        place: Place,
        mistakes: &'a mut Mistakes,
    ) -> Self {
        for key in table.keys() {
            let name = key.get_ref().as_ref();
            if !section.keys.contains(&name) {
                let message = match section.path {
                    "" => format!("unknown key `{name}` at the top of the file"),
                    path => format!("unknown key `{name}` in [{path}]"),
                };
                mistakes.error(key.span(), message, suggest(name, section.keys.iter().copied()));
            }
        }
        Self { section, table, place, mistakes }
    }

    /// Where the table begins.
    pub(super) fn place(&self) -> Place {
        self.place.clone()
    }

    /// The value of `key` as it stands.
    pub(super) fn raw(&self, key: &str) -> Option<&'a Spanned<DeValue<'text>>> {
        assert!(self.section.keys.contains(&key), "{key} is read and not listed in [{}]", self.section.path);
        self.table.get(key)
    }

    /// The value of `key`, if it is there and can be read.
    pub(super) fn optional<T: Readable>(&mut self, key: &str) -> Option<Spanned<T>> {
        let value = self.raw(key)?;
        read_value(value, self.mistakes)
    }

    /// The value of `key`, whose absence is a mistake.
    pub(super) fn required<T: Readable>(&mut self, key: &str, example: &str) -> Option<Spanned<T>> {
        if self.raw(key).is_none() {
            let message = match self.section.path {
                "" => format!("`{key}` is missing"),
                path => format!("this [{path}] has no `{key}`"),
            };
            self.mistakes.error(self.place(), message, format!("add `{key} = {example}`"));
        }
        self.optional(key)
    }

    /// The elements of the list `key`; none if it is absent.
    pub(super) fn list<T: Readable>(&mut self, key: &str) -> Vec<Spanned<T>> {
        self.list_by(key, |value, mistakes| read_value(value, mistakes))
    }

    /// The elements of the list `key`, each read by `read`.
    pub(super) fn list_by<T>(
        &mut self,
        key: &str,
        mut read: impl FnMut(&'a Spanned<DeValue<'text>>, &mut Mistakes) -> Option<T>,
    ) -> Vec<T> {
        let Some(value) = self.raw(key) else { return Vec::new() };
        let Some(array) = value.get_ref().as_array() else {
            let help = format!("put it in brackets: `{key} = [...]`");
            self.mistakes.error(value.span(), format!("`{key}` is a list"), help);
            return Vec::new();
        };
        array.iter().filter_map(|element| read(element, self.mistakes)).collect()
    }

    /// The tables `[[key]]`, each read by `read`.
    pub(super) fn tables<T>(
        &mut self,
        key: &str,
        section: &'static Section,
        mut read: impl FnMut(&mut Fields<'_, '_>) -> T,
    ) -> Vec<Spanned<T>> {
        self.list_by(key, |value, mistakes| read_table(value, section, mistakes, &mut read))
    }

    /// The table `[key]`, read by `read`.
    pub(super) fn table<T>(
        &mut self,
        key: &str,
        section: &'static Section,
        mut read: impl FnMut(&mut Fields<'_, '_>) -> T,
    ) -> Option<Spanned<T>> {
        let value = self.raw(key)?;
        read_table(value, section, self.mistakes, &mut read)
    }
}

/// Reads one value, or reports why it cannot be read.
pub(super) fn read_value<T: Readable>(value: &Spanned<DeValue<'_>>, mistakes: &mut Mistakes) -> Option<Spanned<T>> {
    match T::read(value.get_ref()) {
        Ok(read) => Some(Spanned::new(value.span(), read)),
        Err(problem) => {
            mistakes.problem(value.span(), problem);
            None
        }
    }
}

/// Reads one table, or reports that it is something else.
pub(super) fn read_table<T>(
    value: &Spanned<DeValue<'_>>,
    section: &'static Section,
    mistakes: &mut Mistakes,
    read: &mut impl FnMut(&mut Fields<'_, '_>) -> T,
) -> Option<Spanned<T>> {
    let Some(table) = value.get_ref().as_table() else {
        let message = format!("expected a table with the keys of [{}], found {}", section.path, kind(value.get_ref()));
        mistakes.error(value.span(), message, format!("keys: {}", section.keys.join(", ")));
        return None;
    };
    let mut fields = Fields::of(section, table, value.span(), mistakes);
    Some(Spanned::new(value.span(), read(&mut fields)))
}

/// The kind of a value, with its article.
pub(super) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
