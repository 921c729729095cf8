//! DHCP: bytes to a query, a query to an answer, an answer to bytes.
//!
//! Everything here is a pure function of its arguments. Nothing here decides whether this node may speak: that gate
//! stands before any of it is called.

pub mod destination;
pub mod encode;
pub mod option;
pub mod query;

#[cfg(test)]
mod packet;
