//! Stores that are lost, went back in time, or cannot be read in part.

use crate::scenario::Scenario;
use crate::scenario::story::{A, B, Story, X, Y, Z, address};
use standfast_core::failover::state::Phase;
use standfast_core::mutant::Rule;

pub(super) static LOST: Scenario = Scenario {
    name: "lost-store",
    shows: [
        "B gave an address of its home away unheard, and its disk died. It gets everything back but that.",
        "Rule: a node that lost its store holds each address back until what it may have promised has ended.",
    ],
    needs: &[(Rule::Embargo, "one_client_per_address")],
    tell: |story| {
        story.pool(100, 101);
        story.begin();
        story.discovers(Z);
        story.wait(1);
        story.cuts_link();
        story.wait(2);
        story.hears(X, &[B]);
        story.discovers(X);
        story.wait(1);
        story.keeps(X, address(101));
        story.cuts_power(B);
        story.wipes(B);
        story.heals_link();
        story.starts(B);
        story.wait(2);
        story.discovers(Y);
        story.wait(1);
        story.has_nothing(Y);
        story.keeps(X, address(101));
        story.wait(30);
        story.has_nothing(X);
        story.discovers(Y);
        story.wait(1);
        story.keeps(Y, address(101));
        story.ends_in_step();
    },
};

pub(super) static LOST_AND_NEW_CLIENTS: Scenario = Scenario {
    name: "lost-store-and-new-clients",
    shows: [
        "B lost its store and holds back its home. New clients are served all the same, from a's.",
        "Rule: the active node draws on whichever home has more free addresses, and gives them; who holds back says so.",
    ],
    needs: &[],
    tell: |story| {
        story.begin();
        story.discovers(Z);
        story.wait(1);
        story.keeps(Z, address(100));
        story.cuts_power(B);
        story.wipes(B);
        story.starts(B);
        story.wait(2);
        story.discovers(Y);
        story.wait(1);
        story.keeps(Y, address(102));
        story.ends_in_step();
    },
};

/// A died; b gave its address away by the rights of partner-down, and then its disk died; both start.
fn nobody_knows(story: &mut Story) {
    story.cuts_power(A);
    story.wait(2);
    story.says_partner_is_off(B, false);
    story.wait(92);
    story.hears(Y, &[B]);
    story.discovers(Y);
    story.wait(1);
    story.keeps(Y, address(100));
    story.cuts_power(B);
    story.wipes(B);
    story.starts(B);
    story.starts(A);
    story.wait(2);
}

pub(super) static LOST_UNBOUNDED: Scenario = Scenario {
    name: "lost-store-and-nobody-knows",
    shows: [
        "B was in partner-down when its disk died, and a knows nothing of that time: it has just started.",
        "Rule: if the partner restarted as well, both hold back everything for the longest lease time + MCLT.",
    ],
    needs: &[(Rule::EmbargoOfBoth, "one_client_per_address")],
    tell: |story| {
        story.pool(100, 100);
        story.begin();
        nobody_knows(story);
        story.discovers(Z);
        story.wait(1);
        story.has_nothing(Z);
        story.keeps(Y, address(100));
        story.wait(90);
        story.discovers(Z);
        story.wait(1);
        story.keeps(Z, address(100));
        story.ends_in_step();
    },
};

pub(super) static FROZEN: Scenario = Scenario {
    name: "lost-store-and-an-old-lease",
    shows: [
        "As the one before, and a still has the lease of a client whose time was over long before b gave it away.",
        "Rule: while both hold back everything, neither extends a lease that is over.",
    ],
    needs: &[(Rule::OverIsFrozen, "one_client_per_address")],
    tell: |story| {
        story.pool(100, 100);
        story.begin();
        story.discovers(X);
        story.wait(1);
        nobody_knows(story);
        story.reboots(X);
        story.wait(1);
        story.has_nothing(X);
        story.keeps(Y, address(100));
        story.ends_in_step();
    },
};

pub(super) static LOST_AND_ALONE: Scenario = Scenario {
    name: "lost-store-and-alone",
    shows: [
        "B lost its store, and a dies before it has sent its own. Told that a is off, b serves once every promise is over.",
        "Rule: an empty store counts its versions from the clock, or what it grants would look older than what it forgot.",
    ],
    needs: &[(Rule::LostCountsFromClock, "acked_lease_survives")],
    tell: |story| {
        story.pool(101, 101);
        story.begin();
        story.discovers(X);
        story.wait(1);
        story.renews(X);
        story.wait(1);
        story.shows_leases(A);
        story.cuts_power(B);
        story.wipes(B);
        story.link_takes(100);
        story.starts(B);
        story.until("b hears a", |story| story.phase(B) == Some(Phase::Recover));
        story.resets_session();
        story.cuts_power(A);
        story.wait(1);
        story.says_partner_is_off(B, false);
        story.wait(1);
        story.discovers(Y);
        story.wait(1);
        story.has_nothing(Y);
        story.wait(90);
        story.discovers(Y);
        story.wait(1);
        story.keeps(Y, address(101));
        story.starts(A);
        story.wait(2);
        story.keeps(Y, address(101));
        story.ends_in_step();
    },
};

pub(super) static ROLLED_BACK: Scenario = Scenario {
    name: "rolled-back-store",
    shows: [
        "Yesterday's copy is put in the place of b's store. B does not know what it forgot; a does, and says so.",
        "Rule: each side remembers the other's incarnation and highest write; a store that lacks them has gone back.",
    ],
    needs: &[(Rule::RollBackNoticed, "one_client_per_address")],
    tell: |story| {
        story.pool(100, 101);
        story.begin();
        story.discovers(Z);
        story.wait(1);
        let copy = story.copies_store(B);
        story.discovers(X);
        story.wait(2);
        story.keeps(X, address(101));
        story.cuts_power(B);
        story.puts_back(B, copy);
        story.starts(B);
        story.wait(2);
        story.cuts_power(A);
        story.wait(2);
        story.discovers(Y);
        story.wait(1);
        story.has_nothing(Y);
        story.rebinds(X);
        story.wait(1);
        story.keeps(X, address(101));
        story.starts(A);
        story.wait(2);
        story.ends_in_step();
    },
};

pub(super) static UNREADABLE: Scenario = Scenario {
    name: "a-record-that-cannot-be-read",
    shows: [
        "A bit flipped on a's disk. A starts alone; the address of that record is nobody's until b has sent its own.",
        "Rule: a record that cannot be read holds its address until it is fetched; it never reads as free.",
    ],
    needs: &[(Rule::UnreadableHeld, "acked_lease_survives")],
    tell: |story| {
        story.pool(100, 100);
        story.begin();
        story.discovers(X);
        story.wait(1);
        story.cuts_link();
        story.wait(2);
        story.cuts_power(A);
        story.damages(A, address(100));
        story.starts(A);
        story.wait(4);
        story.hears(Y, &[A]);
        story.discovers(Y);
        story.wait(1);
        story.has_nothing(Y);
        story.keeps(X, address(100));
        story.heals_link();
        story.wait(2);
        story.hears(X, &[A, B]);
        story.rebinds(X);
        story.wait(1);
        story.keeps(X, address(100));
        story.ends_in_step();
    },
};
