//! The judges: one checker per invariant of `docs/internals/failover.md`, named after it.
//!
//! A checker sees what can be seen from outside of the nodes: what clients hear and say, what becomes durable, what is
//! sent. It remembers what it needs and trusts no node's word. Each has a test that feeds it a violation, because a
//! checker that has never failed is not known to work.

mod acked_lease_survives;
mod client_keeps_address;
mod clients_get_leases;
mod conflicts_are_reported;
mod deactivated_is_silent;
mod durable_before_visible;
mod epoch_never_falls;
mod lead_time_bounded;
mod nak_on_evidence;
mod no_resurrection;
mod one_client_per_address;
mod status_tells_the_truth;
mod tables_converge;

use standfast_core::id::Epoch;
use standfast_core::lease::record::{LeaseState, Version};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// Numbers of clients from here on are strangers', who keep to no rule and are owed nothing but their leases.
pub(crate) const STRANGERS: usize = 0x1000;

/// Microseconds of true time since the run began.
pub type Time = i64;

/// A lease record with true times.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Which address.
    pub address: Ipv4Addr,
    /// What it is.
    pub state: LeaseState,
    /// Number of the simulated client.
    pub client: usize,
    /// When it ends.
    pub expiry: Time,
    /// The latest end ever recorded.
    pub potential: Time,
    /// Its version.
    pub version: Version,
}

/// An ACK as its client heard it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Acked {
    /// Which of the two nodes gave it.
    pub host: usize,
    /// To whom.
    pub client: usize,
    /// What.
    pub address: Ipv4Addr,
    /// Until when the client believes in it.
    pub until: Time,
    /// When it left the node.
    pub left: Time,
    /// Whether the node was bound to the lead time.
    pub bounded: bool,
}

/// One thing that was seen.
#[derive(Clone, Debug)]
pub enum Seen {
    /// A client got a lease.
    Acked(Acked),
    /// A client released or declined its lease.
    GaveBack {
        /// Who.
        client: usize,
        /// What.
        address: Ipv4Addr,
        /// Whether because someone else uses it.
        declined: bool,
    },
    /// A client was refused the address that it believed in.
    Refused {
        /// By which node.
        host: usize,
        /// Who.
        client: usize,
        /// What.
        address: Ipv4Addr,
        /// Until when it could have had it.
        until: Time,
    },
    /// A node answered, or changed a record because of a client's packet.
    Served {
        /// Which node.
        host: usize,
        /// Whether it said at that moment that it is active.
        active: bool,
        /// The epoch it was in.
        epoch: Epoch,
        /// Whether the epoch is its own.
        own: bool,
        /// In which relationship.
        relationship: usize,
    },
    /// A lease record became durable.
    Durable {
        /// Where.
        host: usize,
        /// What.
        record: Record,
    },
    /// The durable state of a relationship changed.
    State {
        /// Where.
        host: usize,
        /// In which relationship.
        relationship: usize,
        /// Its epoch.
        epoch: Epoch,
    },
    /// A record was sent to the partner.
    Sent {
        /// By whom.
        host: usize,
        /// Whose.
        address: Ipv4Addr,
        /// At which version.
        version: Version,
    },
    /// A node lost its store; what it then holds is seen as durable again.
    StoreLost {
        /// Which node.
        host: usize,
    },
    /// A record of a node cannot be read any more; if it is fetched again, that is seen as durable.
    RecordLost {
        /// Which node.
        host: usize,
        /// Whose.
        address: Ipv4Addr,
    },
    /// A node reported that a promise of partner-down was broken.
    Reported,
    /// A node reported that two clients were told of one address.
    Conflict {
        /// Which.
        address: Ipv4Addr,
        /// To whom.
        clients: [usize; 2],
        /// Whether it says that both leases run, and not only that they may.
        certain: bool,
    },
    /// Both nodes are in normal in every relationship, after some other state.
    InStep,
    /// A node uses another revision of the configuration.
    Configured {
        /// The addresses that it gives to other clients, or no longer, or anew.
        addresses: Vec<Ipv4Addr>,
    },
    /// The run is over: everything was healed long ago.
    End {
        /// What each node holds, in memory.
        tables: [Vec<Record>; 2],
        /// By how much expiries may differ because a node does not know how long it was away.
        doubt: Time,
        /// The revision of the configuration that each uses.
        revisions: [String; 2],
        /// For each relationship, whether each node says that it is active.
        active: Vec<[bool; 2]>,
        /// Clients that should have a lease and have none.
        without_lease: Vec<usize>,
    },
}

/// Judges one invariant.
pub trait Checker {
    /// The invariant.
    fn name(&self) -> &'static str;

    /// Takes note of what was seen.
    ///
    /// # Errors
    /// How the invariant was broken.
    fn see(&mut self, now: Time, seen: &Seen) -> Result<(), String>;
}

/// An invariant that was broken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// When.
    pub at: Time,
    /// Which.
    pub invariant: &'static str,
    /// How.
    pub detail: String,
}

/// All checkers.
pub struct Judge {
    checkers: Vec<Box<dyn Checker>>,
    /// The first violation of each invariant.
    pub violations: Vec<Violation>,
    /// Until when what no rule can prevent is not held against the nodes.
    excused_until: Time,
    /// How often that was made use of.
    pub excused: u64,
}

/// What an untrue promise of partner-down breaks, or an embargo that was ended too early; every other invariant stands.
const BROKEN_BY_OPERATORS: [&str; 4] =
    ["one_client_per_address", "acked_lease_survives", "nak_on_evidence", "client_keeps_address"];

impl Judge {
    /// Of a cluster with this maximum client lead time.
    #[must_use]
    pub fn new(mclt: Time) -> Self {
        Self {
            checkers: vec![
                Box::<one_client_per_address::Check>::default(),
                Box::<deactivated_is_silent::Check>::default(),
                Box::<acked_lease_survives::Check>::default(),
                Box::<durable_before_visible::Check>::default(),
                Box::new(lead_time_bounded::Check::new(mclt)),
                Box::<epoch_never_falls::Check>::default(),
                Box::<nak_on_evidence::Check>::default(),
                Box::<client_keeps_address::Check>::default(),
                Box::<no_resurrection::Check>::default(),
                Box::<tables_converge::Check>::default(),
                Box::<clients_get_leases::Check>::default(),
                Box::<status_tells_the_truth::Check>::default(),
                Box::<conflicts_are_reported::Check>::default(),
            ],
            violations: Vec::new(),
            excused_until: 0,
            excused: 0,
        }
    }

    /// Shows everyone what was seen.
    pub fn see(&mut self, now: Time, seen: &Seen) {
        for checker in &mut self.checkers {
            let known = self.violations.iter().any(|violation| violation.invariant == checker.name());
            let Err(detail) = checker.see(now, seen) else { continue };
            if now < self.excused_until && BROKEN_BY_OPERATORS.contains(&checker.name()) {
                self.excused += 1;
            } else if !known {
                self.violations.push(Violation { at: now, invariant: checker.name(), detail });
            }
        }
    }

    /// Until then an operator's word, which was wrong, may have broken what rests on it.
    pub fn excuse(&mut self, until: Time) {
        self.excused_until = self.excused_until.max(until);
    }

    /// Whatever was excused so far is so until then at the most.
    pub fn excuse_at_most(&mut self, until: Time) {
        self.excused_until = self.excused_until.min(until);
    }

    /// The names of all invariants.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.checkers.iter().map(|checker| checker.name())
    }
}

/// What each node's store holds, as seen.
#[derive(Debug, Default)]
pub(crate) struct Disks([BTreeMap<Ipv4Addr, Record>; 2]);

impl Disks {
    fn see(&mut self, seen: &Seen) {
        match seen {
            Seen::Durable { host, record } => {
                self.0[*host].insert(record.address, record.clone());
            }
            Seen::StoreLost { host } => self.0[*host].clear(),
            Seen::RecordLost { host, address } => {
                self.0[*host].remove(address);
            }
            Seen::Acked(_)
            | Seen::GaveBack { .. }
            | Seen::Refused { .. }
            | Seen::Served { .. }
            | Seen::State { .. }
            | Seen::Sent { .. }
            | Seen::Reported
            | Seen::Conflict { .. }
            | Seen::InStep
            | Seen::Configured { .. }
            | Seen::End { .. } => {}
        }
    }

    fn get(&self, host: usize, address: Ipv4Addr) -> Option<&Record> {
        self.0[host].get(&address)
    }
}

/// What clients believe in: until when, by address and client.
#[derive(Debug, Default)]
pub(crate) struct Beliefs(BTreeMap<(Ipv4Addr, usize), Acked>);

impl Beliefs {
    fn see(&mut self, now: Time, seen: &Seen) {
        match seen {
            Seen::Acked(acked) => {
                self.0.retain(|_, held| held.until > now);
                self.0.insert((acked.address, acked.client), *acked);
            }
            Seen::GaveBack { client, address, .. } | Seen::Refused { client, address, .. } => {
                self.0.remove(&(*address, *client));
            }
            Seen::Served { .. }
            | Seen::Durable { .. }
            | Seen::State { .. }
            | Seen::Sent { .. }
            | Seen::StoreLost { .. }
            | Seen::RecordLost { .. }
            | Seen::Reported
            | Seen::Conflict { .. }
            | Seen::InStep
            | Seen::Configured { .. }
            | Seen::End { .. } => {}
        }
    }

    fn of_address(&self, address: Ipv4Addr) -> impl Iterator<Item = &Acked> {
        self.0.range((address, 0)..=(address, usize::MAX)).map(|(_, acked)| acked)
    }

    fn iter(&self) -> impl Iterator<Item = &Acked> {
        self.0.values()
    }
}

#[cfg(test)]
pub(crate) mod test {
    use super::*;

    pub(crate) const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 100);

    pub(crate) fn acked(host: usize, client: usize, until: Time) -> Seen {
        Seen::Acked(Acked { host, client, address: ADDRESS, until, left: 0, bounded: true })
    }

    pub(crate) fn record(client: usize, expiry: Time, version: [u64; 2]) -> Record {
        let version = Version(version);
        Record { address: ADDRESS, state: LeaseState::Bound, client, expiry, potential: expiry, version }
    }

    pub(crate) fn durable(host: usize, client: usize, expiry: Time, version: [u64; 2]) -> Seen {
        Seen::Durable { host, record: record(client, expiry, version) }
    }

    /// Shows everything at its time; only the last is a violation.
    pub(crate) fn breaks(mut checker: impl Checker, story: &[(Time, Seen)]) {
        let (last, before) = story.split_last().unwrap();
        for (now, seen) in before {
            checker.see(*now, seen).unwrap();
        }
        checker.see(last.0, &last.1).unwrap_err();
    }

    pub(crate) fn holds(mut checker: impl Checker, story: &[(Time, Seen)]) {
        for (now, seen) in story {
            checker.see(*now, seen).unwrap();
        }
    }
}
