//! Leases and what may be done with them.

pub mod free;
pub mod merge;
pub mod record;
pub mod table;
