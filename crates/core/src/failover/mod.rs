//! The pair protocol.

pub mod replication;
pub mod state;
