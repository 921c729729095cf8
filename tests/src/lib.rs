//! What the suites share: a laboratory of network namespaces, the real daemon in it, clients that speak by hand or are
//! the real ones, and a judge that sees every frame and trusts nobody.
//!
//! ```text
//!            client-0   client-1 ..        each a namespace with one link
//!               └───────┬──┘
//!                 LAN bridge ──────── every frame is captured at every port
//!                ┌──────┴──────┐
//!              node A        node B        the real binary
//!                └──────┬──────┘
//!                 peer bridge
//! ```
//!
//! A port can be taken off its bridge, and put back: the frames vanish and nobody is told, as with a cut cable.

#![forbid(unsafe_code)]

pub mod capture;
pub mod clients;
pub mod crowd;
pub mod daemon;
pub mod device;
pub mod disk;
pub mod frame;
pub mod honesty;
pub mod judge;
pub mod lab;
pub mod machine;
pub mod puppet;
pub mod store;
pub mod wait;

/// Says something to whoever runs the tests, also when the test passes and its output is kept back.
pub fn say(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{text}");
}
