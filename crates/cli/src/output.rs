//! Writing to the terminal or a pipe.
//!
//! A reader that went away, as `head` does, is not an error worth a panic: what is written after that is dropped.

use comfy_table::{Cell, CellAlignment, ColumnConstraint, ContentArrangement, LineStyle, Table, TableStyle};
use std::io::{IsTerminal, Write};

/// Wider than this, lines are hard to read and do not fit a mail.
const WIDTH: u16 = 100;

/// One line below the header: rows are told apart by their first column.
const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// A line on standard output.
pub(crate) fn line(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// A line of many, as they come; whether anybody still reads them.
pub(crate) fn line_is_read(text: &str) -> bool {
    writeln!(std::io::stdout().lock(), "{text}").is_ok()
}

/// Bytes on standard output, as they are.
pub(crate) fn raw(bytes: &[u8]) {
    let _ = std::io::stdout().lock().write_all(bytes);
}

/// A line on standard error.
pub(crate) fn error(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// A line on the terminal that the next one replaces; an empty one clears it.
pub(crate) fn progress(text: &str) {
    let mut terminal = std::io::stderr().lock();
    let _ = write!(terminal, "\r\x1b[K{text}").and_then(|()| terminal.flush());
}

/// Whether there is somebody to show progress to.
pub(crate) fn shows_progress() -> bool {
    std::io::stderr().is_terminal()
}

/// Whether standard error is a terminal whose user has not asked for plain text.
pub(crate) fn errors_may_have_colour() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Whether standard output is a terminal.
pub(crate) fn is_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// A table that fits 100 columns, or the terminal if that is narrower.
pub(crate) fn table<'a>(header: impl IntoIterator<Item = &'a str>, rows: impl IntoIterator<Item = Vec<Cell>>) -> Table {
    let mut table = Table::new();
    if cfg!(test) {
        // Tests see what a pipe sees, wherever they run.
        table.force_no_tty();
    }
    let width = table.width().map_or(WIDTH, |terminal| terminal.min(WIDTH));
    table.load_style(STYLE).set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    table.set_header(header.into_iter().collect::<Vec<_>>()).add_rows(rows);
    table
}

/// The same, with these columns as wide as what they hold: words that are not to be broken.
pub(crate) fn unbroken(mut table: Table, columns: impl IntoIterator<Item = usize>) -> Table {
    for column in columns {
        if let Some(column) = table.column_mut(column) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    table
}

/// A number in a table.
pub(crate) fn number(number: u64) -> Cell {
    Cell::new(number).set_alignment(CellAlignment::Right)
}
