//! The pair protocol.

mod contact;
pub(crate) mod detector;
pub(crate) mod granting;
mod partner_down;
pub mod relationship;
pub mod replication;
pub(crate) mod serving;
pub mod state;
mod switchover;
mod updates;
