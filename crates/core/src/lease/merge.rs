//! Merging two nodes' records of one address: one pure function, for updates, answers and resynchronisation alike.
//!
//! The versions say which of the two has seen the other. Where neither has, only the address's home merges, because
//! two sides that merge at two instants may never agree; the other side says "not taken" and takes the result. A
//! result that keeps anything which the sender did not have is a change of its own: it raises the version and must be
//! taken by the partner in its turn, or one version would have two contents, one of which counts as acknowledged.

use super::record::{Lease, LeaseState};
use crate::id::Slot;
use crate::labelled::labelled;
use crate::mutant::{Rule, holds};
use crate::time::Instant;
use std::time::Duration;

/// Expiries of one version may differ by this much between the nodes, for the time that messages take.
pub const TRANSIT: Duration = Duration::from_secs(1);

/// Who merges, beside the two records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Merging {
    /// Leases that end later are live.
    pub now: Instant,
    /// The slot of the node that merges.
    pub slot: Slot,
    /// Whether it is the home of the address.
    pub home: bool,
    /// Whether this node was in partner-down since the two were last in normal.
    pub we_were_partner_down: bool,
    /// Whether the partner was.
    pub they_were_partner_down: bool,
    /// Whether the times of this node's record may be wrong, and those of the partner's are not: this node does not know
    /// how long it was away.
    pub learns_times: bool,
    /// Whether this node's lease may still run although its time says that it is over.
    pub mine_may_run: bool,
    /// Whether this node lost what it stored, or the latest of it: it may have given up a lease that it holds for live.
    pub lost: bool,
}

/// What becomes of this node's record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Merged {
    /// Nothing: theirs adds nothing.
    Unchanged,
    /// Theirs, at the version that they hold.
    Taken(Lease),
    /// A change of this node's own, at a raised version.
    Changed(Lease),
    /// As `Changed`, and two clients had been told of the address, whose leases both run, or may: the one that loses it.
    Conflict {
        /// The record that stays.
        kept: Lease,
        /// The record of the client that loses.
        lost: Lease,
    },
    /// Nothing: only the home may decide, and this is not it.
    NotTaken,
}

labelled! {
    /// Which case of the rule decided, and by what: whoever tests merging counts them.
    Case {
        /// Both hold one version.
        SameVersion = "1_same_version",
        /// Both hold one version, of which theirs has the later times.
        LaterTimes = "1_later_times",
        /// Both hold one version, of which ours has times that may be wrong.
        TimesLearnt = "1_times_learnt",
        /// Ours has seen theirs.
        Seen = "1_seen",
        /// Theirs has seen ours.
        Succeeds = "2_succeeds",
        /// Theirs has seen ours, but ours had been promised for longer.
        LongerPromise = "2_longer_promise",
        /// Theirs has seen ours and is free, but ours is live.
        FreeAgainstLive = "2_free_against_live",
        /// Neither has seen the other, and the other node is the home.
        NotHome = "3_not_home",
        /// One client's, live on both nodes: the longer promise stands.
        OneClient = "3_one_client",
        /// One client's, live on both nodes, and it found the address in use.
        OneClientDeclined = "3_one_client_declined",
        /// Only one of the two is live.
        OneLive = "3_one_live",
        /// Two clients', both live: one node was in partner-down.
        TwoClientsPartnerDown = "3_two_clients_partner_down",
        /// Two clients', both live: one epoch is higher.
        TwoClientsEpoch = "3_two_clients_epoch",
        /// Two clients', both live, of one epoch: the higher slot.
        TwoClientsSlot = "3_two_clients_slot",
        /// Neither is live: what has ended is not yet agreed free.
        EndedBeatsFree = "3_ended_beats_free",
        /// Neither is live, and both are alike in that: one epoch is higher.
        OverEpoch = "3_over_epoch",
        /// Neither is live, and both are alike in that, of one epoch: the higher slot.
        OverSlot = "3_over_slot",
    }
}

/// Merges `theirs`, received just now, into `mine`.
#[must_use]
pub fn merge(merging: Merging, mine: &Lease, theirs: &Lease) -> (Case, Merged) {
    if mine.version == theirs.version {
        return same_version(merging, mine, theirs);
    }
    if mine.version.has_seen(theirs.version) {
        return (Case::Seen, Merged::Unchanged);
    }
    if theirs.version.has_seen(mine.version) {
        return succeed(merging, mine, theirs);
    }
    if merging.home || !holds(Rule::HomeMerges) {
        decide(merging, mine, theirs)
    } else {
        (Case::NotHome, Merged::NotTaken)
    }
}

/// One version has one content, but for its times: they grow on their way, and more so where a node that does not know
/// how long it was away told them. What a partner counts as taken must be held, so the later ones stay. And whoever does
/// not know how long it was away holds what its partner has told from then on, and nothing that may turn out wrong.
fn same_version(merging: Merging, mine: &Lease, theirs: &Lease) -> (Case, Merged) {
    let bound = mine.state == LeaseState::Bound && theirs.state == LeaseState::Bound;
    let later = theirs.expiry > mine.expiry + TRANSIT;
    let learns = merging.learns_times && holds(Rule::TimesLearnt);
    if !bound || mine.client != theirs.client || !(later || learns) {
        return (Case::SameVersion, Merged::Unchanged);
    }
    let told = Lease {
        expiry: theirs.expiry,
        potential_expiry: mine.potential_expiry.max(theirs.potential_expiry),
        acked_expiry: mine.acked_expiry.max(theirs.acked_expiry),
        ..mine.clone()
    };
    (if later { Case::LaterTimes } else { Case::TimesLearnt }, Merged::Taken(told))
}

/// Theirs has seen mine.
fn succeed(merging: Merging, mine: &Lease, theirs: &Lease) -> (Case, Merged) {
    // Who lost its store may have agreed to that, and have given the address away since, which its embargo waits for.
    if theirs.state == LeaseState::Free && mine.is_live(merging.now) && !merging.lost {
        return (Case::FreeAgainstLive, Merged::Changed(changed(merging, mine, theirs, mine.clone())));
    }
    let mut taken = theirs.clone();
    if mine.client == theirs.client {
        taken.acked_expiry = taken.acked_expiry.max(mine.acked_expiry);
    }
    taken.potential_expiry = taken.potential_expiry.max(mine.potential_expiry);
    let kept_ours = mine.potential_expiry > merging.now && mine.potential_expiry > theirs.potential_expiry + TRANSIT;
    if kept_ours {
        (Case::LongerPromise, Merged::Changed(changed(merging, mine, theirs, taken)))
    } else {
        (Case::Succeeds, Merged::Taken(taken))
    }
}

/// Neither has seen the other, and this is the home.
fn decide(merging: Merging, mine: &Lease, theirs: &Lease) -> (Case, Merged) {
    let (mine_live, theirs_live) = (mine.is_live(merging.now), theirs.is_live(merging.now));
    let same_client = mine.client == theirs.client;
    let (case, theirs_wins) = match (mine_live, theirs_live) {
        (true, true) if same_client => same_client_prefers_theirs(mine, theirs),
        (true, true) => two_clients_prefer_theirs(merging, mine, theirs),
        (true, false) => (Case::OneLive, false),
        (false, true) => (Case::OneLive, true),
        (false, false) => ended_prefers_theirs(merging, mine, theirs),
    };
    if theirs.state == LeaseState::Free && !holds(Rule::RelinquishVersion) {
        return (case, Merged::Taken(Lease { version: mine.version.joined(theirs.version), ..theirs.clone() }));
    }
    let (winner, loser) = if theirs_wins { (theirs, mine) } else { (mine, theirs) };
    let mut kept = winner.clone();
    // A client that found its address in use by word of one node may have it from the other again, and believe in it.
    let declined = kept.state == LeaseState::Declined && holds(Rule::DeclineKeepsPromise);
    let promised = kept.state == LeaseState::Bound || declined;
    if same_client && promised && loser.state == LeaseState::Bound {
        kept.expiry = kept.expiry.max(loser.expiry);
    }
    if same_client {
        kept.acked_expiry = mine.acked_expiry.max(theirs.acked_expiry);
    }
    let kept = changed(merging, mine, theirs, kept);
    let told = |lease: &Lease| lease.state == LeaseState::Bound;
    let both_run = (mine_live || merging.mine_may_run) && theirs_live;
    if both_run && !same_client && told(mine) && told(theirs) {
        return (case, Merged::Conflict { kept, lost: loser.clone() });
    }
    (case, Merged::Changed(kept))
}

/// An address that its own client found in use stays away from everyone; else the longer promise stands.
fn same_client_prefers_theirs(mine: &Lease, theirs: &Lease) -> (Case, bool) {
    match (mine.state == LeaseState::Declined, theirs.state == LeaseState::Declined) {
        (true, false) => (Case::OneClientDeclined, false),
        (false, true) => (Case::OneClientDeclined, true),
        (true, true) | (false, false) => (Case::OneClient, theirs.expiry > mine.expiry),
    }
}

/// Versions never decide between clients: they count changes, not rights.
fn two_clients_prefer_theirs(merging: Merging, mine: &Lease, theirs: &Lease) -> (Case, bool) {
    match (merging.we_were_partner_down, merging.they_were_partner_down) {
        (true, false) => (Case::TwoClientsPartnerDown, false),
        (false, true) => (Case::TwoClientsPartnerDown, true),
        (true, true) | (false, false) if mine.epoch == theirs.epoch => {
            (Case::TwoClientsSlot, merging.slot.other() > merging.slot)
        }
        (true, true) | (false, false) => (Case::TwoClientsEpoch, theirs.epoch > mine.epoch),
    }
}

/// A lease that ended is not yet agreed free, so it beats Free.
fn ended_prefers_theirs(merging: Merging, mine: &Lease, theirs: &Lease) -> (Case, bool) {
    match (mine.state == LeaseState::Free, theirs.state == LeaseState::Free) {
        (true, false) => (Case::EndedBeatsFree, true),
        (false, true) => (Case::EndedBeatsFree, false),
        (true, true) | (false, false) if mine.epoch == theirs.epoch => {
            (Case::OverSlot, merging.slot.other() > merging.slot)
        }
        (true, true) | (false, false) => (Case::OverEpoch, theirs.epoch > mine.epoch),
    }
}

fn changed(merging: Merging, mine: &Lease, theirs: &Lease, kept: Lease) -> Lease {
    let version = mine.version.joined(theirs.version);
    Lease {
        potential_expiry: mine.potential_expiry.max(theirs.potential_expiry),
        version: if holds(Rule::MergeRaisesVersion) { version.raised(merging.slot) } else { version },
        taken: false,
        ..kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Epoch, Sequence};
    use crate::lease::record::{ClientId, HardwareAddress, Version};

    fn lease(client: u8, expiry: i64) -> Lease {
        Lease {
            address: [10, 0, 0, 100].into(),
            state: LeaseState::Bound,
            client: ClientId::new(&[client]),
            hardware: HardwareAddress::new(1, &[client]).unwrap(),
            hostname: Box::default(),
            expiry: Instant(expiry * 1_000_000),
            potential_expiry: Instant(expiry * 1_000_000),
            acked_expiry: Instant::NEVER,
            version: Version([3, 2]),
            epoch: Epoch::INITIAL,
            taken: true,
            sequence: Sequence(1),
        }
    }

    const MERGING: Merging = Merging {
        now: Instant(0),
        slot: Slot::Zero,
        home: true,
        we_were_partner_down: false,
        they_were_partner_down: false,
        learns_times: false,
        mine_may_run: false,
        lost: false,
    };

    #[test]
    fn what_is_free_stands_against_the_live_lease_of_a_store_that_was_lost() {
        let mine = lease(1, 30);
        let theirs = Lease { state: LeaseState::Free, version: Version([3, 3]), ..lease(1, -60) };
        let (case, merged) = merge(MERGING, &mine, &theirs);
        assert_eq!(case, Case::FreeAgainstLive);
        assert!(matches!(merged, Merged::Changed(kept) if kept.state == LeaseState::Bound));
        let (_, merged) = merge(Merging { lost: true, ..MERGING }, &mine, &theirs);
        let (Merged::Taken(kept) | Merged::Changed(kept)) = merged else { panic!("{merged:?}") };
        assert_eq!((kept.state, kept.potential_expiry), (LeaseState::Free, mine.potential_expiry));
    }

    /// Declined at one node of an interrupted pair, given again to the same client by the other one, which had not heard.
    #[test]
    fn a_declined_address_stays_away_from_others_for_as_long_as_its_client_may_believe_in_it() {
        let declined = Lease { state: LeaseState::Declined, version: Version([3, 3]), ..lease(1, 20) };
        let bound = Lease { version: Version([4, 2]), ..lease(1, 40) };
        for (mine, theirs) in [(&declined, &bound), (&bound, &declined)] {
            let (case, merged) = merge(MERGING, mine, theirs);
            let Merged::Changed(kept) = merged else { panic!("{merged:?}") };
            assert_eq!((case, kept.state, kept.expiry), (Case::OneClientDeclined, LeaseState::Declined, bound.expiry));
        }
    }

    #[test]
    fn two_clients_that_were_told_of_an_address_are_a_conflict_if_both_leases_run_or_may() {
        let over = Lease { version: Version([4, 2]), ..lease(1, -5) };
        let given = Lease { version: Version([3, 3]), ..lease(2, 40) };
        let (case, merged) = merge(MERGING, &over, &given);
        assert!(matches!(merged, Merged::Changed(_)), "one after the other: {merged:?}");
        let in_doubt = Merging { mine_may_run: true, ..MERGING };
        let (in_doubt, merged) = merge(in_doubt, &over, &given);
        let Merged::Conflict { kept, lost } = merged else { panic!("{merged:?}") };
        assert_eq!((case, in_doubt), (Case::OneLive, Case::OneLive), "the doubt decides nothing");
        assert_eq!((kept.client, lost), (given.client, over));
    }

    #[test]
    fn of_one_version_the_later_times_stay() {
        let merging = MERGING;
        let unchanged = (Case::SameVersion, Merged::Unchanged);
        assert_eq!(merge(merging, &lease(1, 60), &lease(1, 61)), unchanged, "the time of its way");
        assert_eq!(merge(merging, &lease(1, 70), &lease(1, 60)), unchanged);
        assert_eq!(merge(merging, &lease(1, 60), &lease(1, 70)), (Case::LaterTimes, Merged::Taken(lease(1, 70))));
        let in_doubt = Merging { learns_times: true, ..merging };
        let learnt = Lease { potential_expiry: lease(1, 70).expiry, ..lease(1, 60) };
        assert_eq!(merge(in_doubt, &lease(1, 70), &lease(1, 60)), (Case::TimesLearnt, Merged::Taken(learnt)));
    }
}
