//! Whom the port turns away and why, for the log and `standfast doctor`: each line names who it was and what to do, and a
//! flood is a few lines.
//!
//! Somebody without a certificate of the cluster has no name, so the address stands for them. Those at the address of a
//! node have lines of their own: noise from elsewhere must not hide why a partner is refused.

use super::{CONNECTIONS, HANDSHAKE_DEADLINE};
use crate::clock::Clock;
use crate::notices::Notices;
use crate::refused::{Refused, Who};
use standfast_rpc::tls::explain;
use std::io;
use std::net::{IpAddr, SocketAddr};

pub(super) struct Refusals {
    nodes: Vec<IpAddr>,
    notices: Notices<(Option<IpAddr>, &'static str)>,
    refused: Refused,
}

impl Refusals {
    pub(super) fn new(nodes: &[IpAddr], refused: Refused) -> Self {
        Self { nodes: nodes.to_vec(), notices: Notices::new(Clock::start()), refused }
    }

    pub(super) fn too_many(&self, from: SocketAddr) {
        let places = CONNECTIONS.of_others;
        let why = format!(
            "there are too many at a time ({places} for all who are not nodes, fewer in their handshakes): find out who \
             opens so many"
        );
        self.say(from, "too many", &why, None);
    }

    pub(super) fn too_slow(&self, from: SocketAddr) {
        let seconds = HANDSHAKE_DEADLINE.as_secs();
        let why = format!(
            "its TLS handshake was not done within {seconds} s, as of a port scan or a side that is stuck: see what runs \
             there"
        );
        self.say(from, "too slow", &why, None);
    }

    pub(super) fn handshake(&self, from: SocketAddr, error: &io::Error) {
        // Whoever looks whether the port is open has done nothing wrong.
        if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) {
            tracing::debug!(%from, %error, "a connection ended before its handshake");
        } else {
            self.say(
                from,
                explain_io(error).unwrap_or("handshake"),
                &in_short(error),
                explain_io(error).map(|_| error),
            );
        }
    }

    /// No connection can be accepted at all.
    pub(super) fn nobody(&self, error: &io::Error) {
        let hint = "if descriptors are short, raise the limit of the service (LimitNOFILE)";
        self.notices
            .warn((None, "accept"), format_args!("cannot accept connections of peers and operators: {error}; {hint}"));
    }

    fn say(&self, from: SocketAddr, kind: &'static str, why: &str, error: Option<&io::Error>) {
        let of_a_node = Some(from.ip().to_canonical()).filter(|address| self.nodes.contains(address));
        let error = error.map(|error| format!(" ({error})")).unwrap_or_default();
        self.notices.warn((of_a_node, kind), format_args!("refused a connection from {from}: {why}{error}"));
        let who = if of_a_node.is_some() { Who::AtNode(from) } else { Who::Stranger(from) };
        self.refused.refused(who, why);
    }
}

/// What to do about a handshake that failed, where that is known.
pub(crate) fn why(error: &io::Error) -> String {
    explain_io(error).map_or_else(|| error.to_string(), |known| format!("{known} ({error})"))
}

/// The same without the words of the library, where they are not all that is known.
pub(crate) fn in_short(error: &io::Error) -> String {
    let unknown = || format!("the TLS handshake failed ({error}): see the log of the other side");
    explain_io(error).map_or_else(unknown, str::to_owned)
}

fn explain_io(error: &io::Error) -> Option<&'static str> {
    error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()).and_then(explain)
}
