//! Between what crosses a wire or lies on a disk and the core's types.
//!
//! Decoding is total: every value that the core cannot hold is refused with the name of its field, and nothing panics,
//! whatever the bytes. An enum value of a later version refuses the message, not the process. Encoding cannot fail.

mod admin;
mod configuration;
mod peer;
mod record;
mod vocabulary;

pub use admin::{
    command, conflict_view, deed_view, event_view, explanation_view, lease_view, result_to_proto, status_to_proto,
    subject,
};
pub use configuration::{MAX_TEXT, StoredTexts, Text, Unread};
pub use peer::{Frame, MAX_FRAME, Open, Protocol};
pub use record::{Key, decode_configuration, decode_record, encode_record};
pub use standfast_core::scale::WallOffset;

use std::fmt;

/// Why something that came in was refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct DecodeError {
    /// Which field, as `Message.field`.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a field.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Problem {
    /// It must be there.
    Missing,
    /// Not a value of its enum that this version knows.
    Unknown(i32),
    /// It holds more than it may.
    TooLong {
        /// Bytes or entries.
        length: usize,
        /// How many there may be.
        limit: usize,
    },
    /// It is a number that the field cannot have.
    OutOfRange(u64),
    /// The bytes are no message of the kind expected.
    NotAMessage(String),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("missing"),
            Self::Unknown(value) => write!(f, "value {value} is not known"),
            Self::TooLong { length, limit } => write!(f, "{length} is more than {limit}"),
            Self::OutOfRange(value) => write!(f, "{value} is out of range"),
            Self::NotAMessage(why) => f.write_str(why),
        }
    }
}

impl Problem {
    fn of(self, field: &'static str) -> DecodeError {
        DecodeError { field, problem: self }
    }
}

fn required<T>(field: &'static str, value: Option<T>) -> Result<T, DecodeError> {
    value.ok_or_else(|| Problem::Missing.of(field))
}

fn at_most(field: &'static str, length: usize, limit: usize) -> Result<(), DecodeError> {
    if length > limit { Err(Problem::TooLong { length, limit }.of(field)) } else { Ok(()) }
}

fn decode_all<P, T>(
    field: &'static str,
    list: Vec<P>,
    limit: usize,
    decode: impl Fn(P) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    at_most(field, list.len(), limit)?;
    list.into_iter().map(decode).collect()
}

#[cfg(test)]
mod tests;
