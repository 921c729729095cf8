//! A cluster in one thread, with simulated time, network, disks and clients.
//!
//! [`model`] holds the rules of failover alone, explored at random before they were built.

#![forbid(unsafe_code)]

pub mod model;
pub mod random;
