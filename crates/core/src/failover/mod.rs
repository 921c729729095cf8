//! The pair protocol.

pub(crate) mod allowance;
mod contact;
pub(crate) mod detector;
pub(crate) mod granting;
mod partner_down;
mod reconfigure;
pub mod relationship;
pub mod replication;
pub(crate) mod serving;
pub mod state;
mod switchover;
mod updates;
