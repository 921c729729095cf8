//! Whom this node refused last, and why it does not reach whom it calls, for `standfast doctor`.
//!
//! The log has every case, a few lines a minute; whoever is called at night asks the node. A scan from elsewhere must not
//! hide why a partner is refused, so nodes and strangers have a place each: nobody who knocks makes this grow.

use crate::clock::Clock;
use standfast_core::id::NodeName;
use standfast_core::time::Instant;
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Somebody who was refused longer ago has gone away, or was told of long since.
const REMEMBERED: Duration = Duration::from_secs(3_600);

/// Remembers the last cases. Clones share what they remember.
#[derive(Clone, Debug)]
pub struct Refused {
    clock: Clock,
    last: Arc<Mutex<Last>>,
}

#[derive(Default, Debug)]
struct Last {
    node: Option<Case>,
    stranger: Option<Case>,
    /// Of the peers that this node calls.
    calls: BTreeMap<NodeName, Case>,
}

/// One time that no connection came about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Case {
    pub(crate) who: Who,
    at: Instant,
    /// What was wrong.
    pub(crate) what: String,
    /// What to do about it, where that is known.
    pub(crate) todo: Option<String>,
}

/// Who was at the other end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Who {
    /// Somebody with a certificate of the cluster.
    Named(NodeName, SocketAddr),
    /// Somebody without, at an address of a node.
    AtNode(SocketAddr),
    /// Somebody without, elsewhere.
    Stranger(SocketAddr),
}

impl Who {
    pub(crate) fn is_stranger(&self) -> bool {
        matches!(self, Self::Stranger(_))
    }

    fn is(&self, peer: &NodeName, address: IpAddr) -> bool {
        match self {
            Self::Named(name, _) => name == peer,
            Self::AtNode(at) | Self::Stranger(at) => at.ip() == address,
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name, at) => write!(f, "{name} at {at}"),
            Self::AtNode(at) => write!(f, "somebody at {at}, the address of a node,"),
            Self::Stranger(at) => write!(f, "somebody at {at}"),
        }
    }
}

impl Refused {
    /// Nobody was refused yet.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self { clock, last: Arc::default() }
    }

    /// `who` was refused. `why` says what is wrong and, behind the last colon, what to do about it.
    pub(crate) fn refused(&self, who: Who, why: &str) {
        let case = self.case(who, why);
        let mut last = self.last();
        let place = if case.who.is_stranger() { &mut last.stranger } else { &mut last.node };
        *place = Some(case);
    }

    /// `peer`, which was called at `address`, refuses or is not there.
    pub(crate) fn called_in_vain(&self, peer: &NodeName, address: SocketAddr, why: &str) {
        let case = self.case(Who::Named(peer.clone(), address), why);
        self.last().calls.insert(peer.clone(), case);
    }

    /// There is a session with `peer`, at `address`: whatever kept the two apart is over.
    pub(crate) fn met(&self, peer: &NodeName, address: IpAddr) {
        let mut last = self.last();
        last.calls.remove(peer);
        last.node.take_if(|case| case.who.is(peer, address));
    }

    /// Who was refused of late, nodes first.
    pub(crate) fn of_late(&self) -> Vec<(Case, Duration)> {
        let last = self.last();
        [&last.node, &last.stranger].into_iter().flatten().filter_map(|case| self.recent(case)).collect()
    }

    /// Why the last call of `peer` was in vain, if it was.
    pub(crate) fn call(&self, peer: &NodeName) -> Option<(Case, Duration)> {
        self.last().calls.get(peer).and_then(|case| self.recent(case))
    }

    fn recent(&self, case: &Case) -> Option<(Case, Duration)> {
        let age = self.clock.instant().since(case.at);
        (age < REMEMBERED).then(|| (case.clone(), age))
    }

    fn case(&self, who: Who, why: &str) -> Case {
        let (what, todo) = why.rsplit_once(": ").map_or((why, None), |(what, todo)| (what, Some(todo.to_owned())));
        Case { who, at: self.clock.instant(), what: what.to_owned(), todo }
    }

    fn last(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(last: u8) -> SocketAddr {
        ([10, 0, 0, last], 4_242).into()
    }

    fn named(name: &str) -> Who {
        Who::Named(name.into(), at(11))
    }

    #[test]
    fn a_stranger_hides_no_node_and_what_was_wrong_is_told_from_what_to_do() {
        let refused = Refused::new(Clock::start());
        refused.refused(named("dhcp-a"), "you are of cluster `x`, we of `y`: one of us has the wrong file");
        refused.refused(Who::Stranger(at(99)), "the other side does not speak TLS");
        let told: Vec<_> = refused.of_late().into_iter().map(|(case, _)| case).collect();
        assert_eq!((&told[0].who, told[0].what.as_str()), (&named("dhcp-a"), "you are of cluster `x`, we of `y`"));
        assert_eq!(told[0].todo.as_deref(), Some("one of us has the wrong file"));
        assert_eq!((told[1].who.to_string().as_str(), &told[1].todo), ("somebody at 10.0.0.99:4242", &None));
        assert_eq!(told.len(), 2);
    }

    #[test]
    fn whoever_is_met_is_refused_no_more() {
        let refused = Refused::new(Clock::start());
        let (a, b) = ("dhcp-a".into(), "dhcp-b".into());
        refused.called_in_vain(&b, at(12), "nothing listens there: start it");
        refused.refused(named("dhcp-a"), "two nodes are called `dhcp-a`: stop one");
        refused.met(&b, at(12).ip());
        assert_eq!((refused.call(&b), refused.of_late().len()), (None, 1), "another one is refused still");
        refused.met(&a, at(11).ip());
        assert!(refused.of_late().is_empty());
        refused.refused(Who::AtNode(at(11)), "its certificate expired: issue another");
        refused.met(&b, at(12).ip());
        assert_eq!(refused.of_late().len(), 1);
        refused.met(&a, at(11).ip());
        assert!(refused.of_late().is_empty());
    }
}
