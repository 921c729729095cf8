//! The daemon as a library: sockets, gRPC, the store and the clock around one core.

pub mod clock;
pub mod cluster_file;
mod kernel;
pub mod peers;
pub mod port;
pub mod store;
pub mod udp;
