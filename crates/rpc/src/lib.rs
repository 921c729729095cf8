//! Everything that leaves the process, to a wire or a disk: the generated messages of `proto/`, and their conversions
//! to and from the core's types.
//!
//! The generated types stop here. What comes in is checked once, in [`convert`], and is a core type from then on.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod convert;
pub mod proto;
pub mod tls;
