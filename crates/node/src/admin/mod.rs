//! What operators see and ask for, over a Unix socket and over the port of the peers.
//!
//! The serving loop is asked for values of the core, for a bounded time at once; what it takes to make messages of them
//! is done here, on other threads.

mod access;
mod configuration;
mod doctor;
mod leases;
mod service;
mod socket;

#[cfg(test)]
mod tests;

pub use doctor::House;
pub use service::{AdminServer, routes};
pub use socket::{SocketError, bind, serve};
