//! Leases and what may be done with them.

pub mod record;
