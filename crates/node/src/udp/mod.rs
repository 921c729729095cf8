//! Client links: the sockets on which clients and relays are heard and answered.
//!
//! A link on an interface hears with an ordinary UDP socket, since the kernel checks addresses, checksums and
//! fragments for us, and answers clients with raw frames: a client without an address cannot answer ARP, and a frame
//! of the kernel's own may leave with half a checksum, which a veth or a bridge passes on and a client that reads raw
//! frames throws away. A link that only hears relays needs neither privilege nor frames.
//!
//! The socket stays open while a node is deactivated, so that the kernel never tells a client that nobody is there.
//! Nothing in here decides anything.

mod ear;
mod error;
mod filter;
mod frame;
mod holder;
mod inbox;
mod interface;
mod link;
mod outbox;
mod pinger;
mod poller;

pub use ear::Heard;
pub use error::UdpError;
pub use inbox::{Datagram, Inbox};
pub use interface::Interface;
pub use link::{Change, Link};
pub use outbox::{Outbox, Sent};
pub use pinger::Pinger;
pub use poller::{Poller, Ready, Waker};

#[cfg(test)]
mod tests;
