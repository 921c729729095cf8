//! DHCP: bytes to a query, a query to an answer, an answer to bytes.
//!
//! Everything here is a pure function of its arguments. Nothing here decides whether this node may speak: that gate
//! stands before any of it is called.

pub mod answer;
pub mod class;
pub mod credentials;
pub mod destination;
pub mod encode;
pub mod identifier;
pub(crate) mod limits;
pub(crate) mod offers;
pub mod option;
pub mod parameters;
pub mod pending;
pub(crate) mod probes;
pub mod query;
pub mod reason;
pub(crate) mod reply;
pub mod reservation;
pub mod selection;

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod packet;
