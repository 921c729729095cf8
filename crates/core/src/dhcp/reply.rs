//! From a decision to a datagram.

use super::class::Classes;
use super::destination::destination;
use super::encode::{Answer, AnswerKind, LeaseTimes, Oversized, encode};
use super::identifier::Identifiers;
use super::parameters::Sources;
use super::pending::Pending;
use super::reservation::Reservations;
use crate::configuration::Configuration;
use crate::input::Link;
use crate::output::Reply;
use crate::time::Instant;
use std::net::Ipv4Addr;
use std::time::Duration;

/// What a reply says, beside what the configuration gives its client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Saying {
    pub(crate) kind: AnswerKind,
    /// Zero in a NAK and in the answer to an INFORM.
    pub(crate) address: Ipv4Addr,
    /// `None` where the answer gives no lease.
    pub(crate) lease: Option<Duration>,
    /// Why, in a NAK.
    pub(crate) why: &'static str,
}

/// Where a reply is made.
pub(crate) struct Desk<'a> {
    pub(crate) configuration: &'a Configuration,
    pub(crate) reservations: &'a [Reservations],
    pub(crate) link: &'a Link,
    /// The server identifier that this node configures.
    pub(crate) configured: Option<Ipv4Addr>,
    pub(crate) deadline: Instant,
}

/// Why no reply could be made.
pub(crate) enum Unsaid {
    /// The link has no address to answer from.
    NoAddress,
    /// What must be in it does not fit.
    Oversized,
}

impl Desk<'_> {
    /// The datagram that answers `pending`.
    pub(crate) fn reply(&self, pending: &Pending, saying: Saying) -> Result<Reply, Unsaid> {
        let shown = pending.credentials();
        let identifiers =
            Identifiers { configured: self.configured, link: self.link, destination: pending.destination };
        let source = identifiers.own().ok_or(Unsaid::NoAddress)?;
        let scope = &self.configuration.scopes[pending.scope];
        let classes = Classes::of(self.configuration, &shown);
        let kept = self.reservations.get(pending.scope).and_then(|kept| kept.of_client(scope, &shown));
        let address = if saying.address.is_unspecified() { pending.query.ciaddr } else { saying.address };
        let sources = Sources::new(scope, address, &classes, kept);
        let answer = Answer {
            kind: saying.kind,
            yiaddr: saying.address,
            server_identifier: identifiers.of_answer(&shown).ok_or(Unsaid::NoAddress)?,
            times: saying.lease.map(LeaseTimes::of),
            boot: sources.boot(),
            options: sources.options(),
            forced: &scope.forced_options,
            rapid_commit: pending.rapid_commit,
            subnet_selected: pending.subnet_selected,
            message: saying.why,
        };
        let mut bytes = Vec::with_capacity(320);
        encode(&answer, &pending.query, self.link.mtu, &mut bytes).map_err(|Oversized| Unsaid::Oversized)?;
        Ok(Reply {
            link: pending.link,
            source,
            destination: destination(&pending.query, pending.source.port(), saying.kind, saying.address),
            deadline: self.deadline,
            bytes,
        })
    }
}
