//! Changes of a cluster file's text, made by commands instead of by hand.
//!
//! The file belongs to the people who wrote it: comments, order and spacing stay as they are, and only what was asked
//! for changes.

use toml_edit::{DocumentMut, Item, TableLike, value};

/// Why a text cannot be edited.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EditError {
    /// It is not a cluster file.
    #[error("the configuration is not TOML: {0}")]
    NotToml(String),
    /// It has no such scope.
    #[error("there is no scope `{0}`; `standfast scope list` shows them")]
    UnknownScope(String),
}

/// The text with the scope `name` disabled or enabled.
///
/// # Errors
/// If the text is not TOML or has no such scope.
pub fn set_scope_disabled(text: &str, name: &str, disabled: bool) -> Result<String, EditError> {
    let mut document: DocumentMut =
        text.parse().map_err(|error: toml_edit::TomlError| EditError::NotToml(error.to_string()))?;
    let scope = find_scope(&mut document, name).ok_or_else(|| EditError::UnknownScope(name.to_owned()))?;
    match (scope.get_mut("disabled"), disabled) {
        (Some(present), _) => set_keeping_comments(present, disabled),
        (None, true) => {
            scope.insert("disabled", value(true));
        }
        (None, false) => {}
    }
    Ok(document.to_string())
}

/// The scope `name`, written as `[[scope]]` or as an element of a list.
fn find_scope<'d>(document: &'d mut DocumentMut, name: &str) -> Option<&'d mut dyn TableLike> {
    let is_named = |table: &dyn TableLike| table.get("name").and_then(Item::as_str) == Some(name);
    match document.get_mut("scope")? {
        Item::ArrayOfTables(tables) => {
            tables.iter_mut().find(|table| is_named(*table)).map(|table| table as &mut dyn TableLike)
        }
        Item::Value(list) => list
            .as_array_mut()?
            .iter_mut()
            .filter_map(|element| element.as_inline_table_mut())
            .find(|table| is_named(*table))
            .map(|table| table as &mut dyn TableLike),
        Item::None | Item::Table(_) => None,
    }
}

fn set_keeping_comments(present: &mut Item, disabled: bool) {
    let decor = present.as_value().map(|value| value.decor().clone());
    *present = value(disabled);
    if let (Some(value), Some(decor)) = (present.as_value_mut(), decor) {
        *value.decor_mut() = decor;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# Ours.
[[scope]]
name   = 'lan'    # the first
subnet = '10.0.0.0/24'

[[scope.reservation]]
address = '10.0.0.1'

[[scope]]
name     = 'lab'
disabled = true   # until the move
";

    #[test]
    fn a_scope_is_disabled_and_the_rest_stays() {
        let edited = set_scope_disabled(TEXT, "lan", true).unwrap();
        assert_eq!(edited, TEXT.replace("'10.0.0.0/24'\n", "'10.0.0.0/24'\ndisabled = true\n"));
        let again = set_scope_disabled(&edited, "lan", true).unwrap();
        assert_eq!(again, edited);
    }

    #[test]
    fn a_scope_is_enabled_and_its_comment_stays() {
        let edited = set_scope_disabled(TEXT, "lab", false).unwrap();
        assert_eq!(edited, TEXT.replace("true   # until", "false   # until"));
        assert_eq!(set_scope_disabled(TEXT, "lan", false).unwrap(), TEXT);
    }

    #[test]
    fn a_list_of_inline_tables_is_edited_too() {
        let edited = set_scope_disabled("scope = [{ name = 'lan' }, { name = 'lab' }]\n", "lab", true).unwrap();
        assert_eq!(edited, "scope = [{ name = 'lan' }, { name = 'lab' , disabled = true }]\n");
    }

    #[test]
    fn what_is_not_there_is_said() {
        let unknown = EditError::UnknownScope("wan".to_owned());
        assert_eq!(set_scope_disabled(TEXT, "wan", true), Err(unknown));
        assert!(matches!(set_scope_disabled("scope = ", "lan", true), Err(EditError::NotToml(_))));
    }
}
