//! The daemon as a library: sockets, gRPC, the store and the clock around one core.

pub mod admin;
mod backlog;
pub mod clock;
pub mod cluster_file;
pub mod daemon;
mod driver;
pub mod events;
mod fence;
pub mod handle;
mod kernel;
mod load;
pub mod metrics;
mod notices;
pub mod peers;
pub mod port;
pub mod refused;
pub mod store;
pub mod udp;
