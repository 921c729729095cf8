//! Whom the port turns away and why, for the log: each line names who it was and what to do, and a flood is a few lines.
//!
//! Somebody without a certificate of the cluster has no name, so the address stands for them. Those at the address of a
//! node have lines of their own: noise from elsewhere must not hide why a partner is refused.

use super::{CONNECTIONS, HANDSHAKE_DEADLINE};
use crate::clock::Clock;
use crate::notices::Notices;
use standfast_rpc::tls::explain;
use std::fmt::Display;
use std::io;
use std::net::{IpAddr, SocketAddr};

pub(super) struct Refusals {
    nodes: Vec<IpAddr>,
    notices: Notices<(Option<IpAddr>, &'static str)>,
}

impl Refusals {
    pub(super) fn new(nodes: &[IpAddr]) -> Self {
        Self { nodes: nodes.to_vec(), notices: Notices::new(Clock::start()) }
    }

    pub(super) fn too_many(&self, from: SocketAddr) {
        let places = CONNECTIONS.of_others;
        let what = format_args!(
            "there are too many at a time ({places} for all who are not nodes, fewer in their handshakes): find out who \
             opens so many"
        );
        self.say(from, "too many", what);
    }

    pub(super) fn too_slow(&self, from: SocketAddr) {
        let seconds = HANDSHAKE_DEADLINE.as_secs();
        let what =
            format_args!("its TLS handshake was not done within {seconds} s: a port scan, or a side that is stuck");
        self.say(from, "too slow", what);
    }

    pub(super) fn handshake(&self, from: SocketAddr, error: &io::Error) {
        // Whoever looks whether the port is open has done nothing wrong.
        if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) {
            tracing::debug!(%from, %error, "a connection ended before its handshake");
        } else {
            self.say(from, explain_io(error).unwrap_or("handshake"), why(error));
        }
    }

    /// No connection can be accepted at all.
    pub(super) fn nobody(&self, error: &io::Error) {
        let hint = "if descriptors are short, raise the limit of the service (LimitNOFILE)";
        self.notices
            .warn((None, "accept"), format_args!("cannot accept connections of peers and operators: {error}; {hint}"));
    }

    fn say(&self, from: SocketAddr, kind: &'static str, what: impl Display) {
        let of_a_node = Some(from.ip().to_canonical()).filter(|address| self.nodes.contains(address));
        self.notices.warn((of_a_node, kind), format_args!("refused a connection from {from}: {what}"));
    }
}

/// What to do about a handshake that failed, where that is known.
pub(crate) fn why(error: &io::Error) -> String {
    explain_io(error).map_or_else(|| error.to_string(), |known| format!("{known} ({error})"))
}

fn explain_io(error: &io::Error) -> Option<&'static str> {
    error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()).and_then(explain)
}
