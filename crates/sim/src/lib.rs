//! A cluster in one thread, with simulated time, network, disks and clients.
//!
//! [`model`] holds the rules of failover alone, explored at random before they were built. The rest runs the nodes
//! themselves: [`run::run`] drives a pair of them through whatever its seed brings, and the [`checker`]s judge it from outside.

#![forbid(unsafe_code)]

#[expect(clippy::wildcard_enum_match_arm, reason = "a checker passes over what it does not judge")]
pub mod checker;
mod client;
pub mod coverage;
mod disk;
mod faults;
mod host;
mod hostile;
pub mod model;
#[cfg(feature = "mutants")]
pub mod mutants;
mod network;
mod operators;
pub mod random;
pub mod run;
pub mod scenario;
mod settings;
pub mod transcript;
mod trouble;
mod wire;
mod world;
