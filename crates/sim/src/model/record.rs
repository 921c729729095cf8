//! A lease of the model and the merge of two of them.

use super::{GRACE, Mutation, Rules, Tick};

/// Before every other tick.
pub(super) const NEVER: Tick = -1_000_000;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    Free,
    Bound,
    Ended,
    Declined,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(super) struct Epoch {
    pub(super) number: u32,
    pub(super) slot: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Version(pub [u32; 2]);

impl Version {
    pub(super) fn has_seen(self, other: Self, rules: Rules) -> bool {
        if rules.holds(Mutation::PairVersion) {
            self.0[0] >= other.0[0] && self.0[1] >= other.0[1]
        } else {
            self.0[0] + self.0[1] >= other.0[0] + other.0[1]
        }
    }

    pub(super) fn joined(self, other: Self) -> Self {
        Self([self.0[0].max(other.0[0]), self.0[1].max(other.0[1])])
    }

    pub(super) fn at_least(mut self, slot: usize, floor: u32) -> Self {
        self.0[slot] = self.0[slot].max(floor);
        self
    }

    pub(super) fn raised(mut self, slot: usize) -> Self {
        self.0[slot] += 1;
        self
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Record {
    pub(super) state: State,
    pub(super) client: usize,
    pub(super) expiry: Tick,
    pub(super) potential: Tick,
    pub(super) version: Version,
    pub(super) epoch: Epoch,
    /// The highest expiry the partner took for this client. Local.
    pub(super) acked: Tick,
    /// Whether the partner holds this very version. Local, in memory only.
    pub(super) taken: bool,
}

impl Record {
    pub(super) const NEW: Self = Self {
        state: State::Free,
        client: usize::MAX,
        expiry: NEVER,
        potential: NEVER,
        version: Version([0, 0]),
        epoch: Epoch { number: 0, slot: 0 },
        acked: NEVER,
        taken: false,
    };

    pub(super) fn is_live(&self, now: Tick) -> bool {
        matches!(self.state, State::Bound | State::Declined) && self.expiry > now
    }

    /// Nobody may use it any more, and it is not free yet.
    pub(super) fn is_over(&self, now: Tick) -> bool {
        self.state != State::Free && self.expiry + GRACE <= now
    }

    pub(super) fn may_be_extended_by(&self, client: usize, now: Tick) -> bool {
        self.client == client
            && match self.state {
                State::Bound | State::Ended => true,
                State::Declined => self.is_over(now),
                State::Free => false,
            }
    }

    /// The same record on a clock that reads `delay` more than when it was sent: what remained then remains now.
    pub(super) fn received_after(mut self, delay: Tick) -> Self {
        self.expiry += delay;
        self.potential += delay;
        self
    }

    /// Whether whoever holds `self` has taken `theirs`.
    pub(super) fn has_taken(&self, theirs: &Self, rules: Rules) -> bool {
        self.version.has_seen(theirs.version, rules)
            && self.client == theirs.client
            && (theirs.state != State::Bound || self.expiry >= theirs.expiry)
            && (theirs.state != State::Free || self.state == State::Free)
    }
}

/// Where a merge happens.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) now: Tick,
    pub(super) slot: usize,
    pub(super) is_home: bool,
    /// Which of the two (mine, theirs) was in PartnerDown since the last Normal.
    pub(super) was_alone: [bool; 2],
    pub(super) rules: Rules,
}

pub(super) enum Merged {
    Keep(Record),
    Take(Record),
    /// A local change: the partner must take it in its turn.
    Raise(Record),
}

pub(super) fn merge(place: Place, mine: Record, theirs: Record) -> Merged {
    let Place { now, slot, is_home, rules, .. } = place;
    let potential = mine.potential.max(theirs.potential);
    let raise = |record: Record| {
        let version = mine.version.joined(theirs.version);
        let version = if rules.holds(Mutation::MergeRaisesVersion) { version.raised(slot) } else { version };
        Merged::Raise(Record { potential, version, ..record })
    };
    if mine.version.has_seen(theirs.version, rules) {
        let mut kept = Record { potential, ..mine };
        if mine.version == theirs.version && mine.client == theirs.client && rules.holds(Mutation::EqualKeepsLarger) {
            kept.expiry = mine.expiry.max(theirs.expiry);
        }
        return Merged::Keep(kept);
    }
    if theirs.version.has_seen(mine.version, rules) {
        if theirs.state == State::Free && mine.is_live(now) && rules.holds(Mutation::FreeNeverReplacesLive) {
            return raise(mine);
        }
        let result = Record { potential, ..theirs };
        return if mine.potential > theirs.potential.max(now) { raise(result) } else { Merged::Take(result) };
    }
    if !is_home && rules.holds(Mutation::HomeMerges) {
        return Merged::Keep(Record { potential, ..mine });
    }
    if theirs.state == State::Free && !rules.holds(Mutation::RelinquishVersion) {
        return Merged::Take(Record { potential, version: mine.version.joined(theirs.version), ..theirs });
    }
    raise(concurrent(place, mine, theirs))
}

/// Neither has seen the other: which content stays.
fn concurrent(place: Place, mine: Record, theirs: Record) -> Record {
    let now = place.now;
    let later = if (mine.epoch, mine.version.0) >= (theirs.epoch, theirs.version.0) { mine } else { theirs };
    match (mine.is_live(now), theirs.is_live(now)) {
        (true, false) => mine,
        (false, true) => theirs,
        (true, true) if mine.client == theirs.client => Record { expiry: mine.expiry.max(theirs.expiry), ..later },
        (true, true) => match place.was_alone {
            [true, false] => mine,
            [false, true] => theirs,
            [true, true] | [false, false] => later,
        },
        (false, false) => match (mine.state, theirs.state) {
            (State::Free, _) => theirs,
            (_, State::Free) => mine,
            (_, _) => later,
        },
    }
}
