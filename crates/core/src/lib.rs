//! The whole protocol as one deterministic value: scopes, leases, DHCP answers, replication, failover.
//!
//! [`Node`](node::Node) is handed time, packets and peer messages, and says what must be done. It never reads a clock,
//! never waits and never does I/O; a driver does that in the real world and a simulator in a made-up one.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod absence;
pub mod configuration;
pub mod dhcp;
mod effects;
pub mod event;
pub mod failover;
pub mod id;
pub mod input;
mod labelled;
pub mod lease;
pub mod message;
pub mod mutant;
pub mod node;
pub mod output;
mod peer;
mod revisions;
pub mod scale;
pub mod stored;
pub mod time;
