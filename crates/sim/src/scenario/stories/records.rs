//! Records between the nodes: coming into step, versions, merging, the way of an address back to free.

use crate::scenario::Scenario;
use crate::scenario::story::{A, B, Story, W, X, Y, Z, address};
use standfast_core::failover::state::Phase;
use standfast_core::lease::record::LeaseState;
use standfast_core::mutant::Rule;

/// A died, b is in partner-down and its waits are over.
fn b_has_been_alone_for_long(story: &mut Story) {
    story.begin();
    story.cuts_power(A);
    story.wait(2);
    story.says_partner_is_off(B, false);
    story.wait(32);
}

pub(super) static READY: Scenario = Scenario {
    name: "ready-means-taken",
    shows: [
        "While a comes back, b gives away an address of a's home by its last right of partner-down, and then dies.",
        "Rule: ready is said when everything is taken that was granted until the rights of partner-down ended.",
    ],
    needs: &[(Rule::ReadyHandshake, "one_client_per_address"), (Rule::RightsEndNoted, "one_client_per_address")],
    tell: |story| {
        story.pool(100, 101);
        b_has_been_alone_for_long(story);
        story.discovers(Y);
        story.wait(1);
        story.keeps(Y, address(101));
        story.link_takes(100);
        story.starts(A);
        story.until("a hears b", |story| story.phase(A) == Some(Phase::Recover));
        story.commits_take(B, 400);
        story.hears(Z, &[B]);
        story.renews(Y);
        story.discovers(Z);
        story.until("a is in normal", |story| story.phase(A) == Some(Phase::Normal));
        story.resets_session();
        story.cuts_power(B);
        story.wait(3);
        story.hears(W, &[A]);
        story.discovers(W);
        story.wait(1);
        story.keeps(Z, address(100));
        story.has_nothing(W);
    },
};

pub(super) static BOTH_READY: Scenario = Scenario {
    name: "into-normal-together",
    shows: [
        "The link is slow. A has everything and is ready, b still gives addresses away by its right of partner-down.",
        "Rule: a node enters normal when it has said and heard ready; the rights of partner-down end before.",
    ],
    needs: &[(Rule::BothReady, "one_client_per_address")],
    tell: |story| {
        story.pool(100, 100);
        b_has_been_alone_for_long(story);
        story.link_takes(300);
        story.starts(A);
        story.until("a is in normal", |story| story.phase(A) == Some(Phase::Normal));
        story.hears(Y, &[B]);
        story.hears(Z, &[A]);
        story.discovers(Y);
        story.discovers(Z);
        story.wait(2);
        story.has_nothing(Z);
        story.link_takes(1);
        story.discovers(Y);
        story.wait(1);
        story.keeps(Y, address(100));
        story.ends_in_step();
    },
};

pub(super) static READY_UNDER_LOAD: Scenario = Scenario {
    name: "into-normal-under-load",
    shows: [
        "The two nodes meet again on a slow link while clients renew without a pause: they come into step all the same.",
        "Rule: ready waits for the last write at the start of the session, not for an instant at which nothing is under way.",
    ],
    needs: &[(Rule::NotedSequence, "story")],
    tell: |story| {
        story.begin();
        for client in [X, Y, Z] {
            story.discovers(client);
            story.wait(1);
        }
        story.cuts_link();
        story.wait(2);
        story.link_takes(80);
        story.heals_link();
        for _ in 0..25 {
            for client in [X, Y, Z] {
                story.renews(client);
                story.wait_ms(60);
            }
        }
        let normal = story.both(Phase::Normal);
        story.so(normal, "both nodes are in normal");
        story.wait(1);
        story.ends_in_step();
    },
};

pub(super) static OLD_HEARTBEAT: Scenario = Scenario {
    name: "an-older-heartbeat",
    shows: [
        "On a slow link a heartbeat arrives in which the partner was not in normal yet. It changes nothing.",
        "Rule: normal is left when the session ends or the stream of records says so; the heartbeat's state is for display.",
    ],
    needs: &[(Rule::HeartbeatShows, "story")],
    tell: |story| {
        story.begin();
        story.cuts_link();
        story.wait(2);
        story.link_takes(300);
        story.heals_link();
        story.until("a is in normal", |story| story.phase(A) == Some(Phase::Normal));
        story.wait(2);
        story.ends_in_step();
    },
};

pub(super) static PAIR_VERSION: Scenario = Scenario {
    name: "an-older-release",
    shows: [
        "The link is cut. A client renews at a and releases there, moves, and is given its address again by b.",
        "Rule: a version is a pair of counters. One number would let a's three changes win over b's single later one.",
    ],
    needs: &[(Rule::PairVersion, "acked_lease_survives")],
    tell: |story| {
        story.pool(100, 100);
        story.begin();
        story.discovers(X);
        story.wait(1);
        story.cuts_link();
        story.wait(2);
        story.hears(X, &[A]);
        story.renews(X);
        story.wait(1);
        story.renews(X);
        story.wait(1);
        story.releases(X);
        story.wait(1);
        story.hears(X, &[B]);
        story.discovers(X);
        story.wait(1);
        story.shows_leases(A);
        story.shows_leases(B);
        story.heals_link();
        story.wait(20);
        story.discovers(Y);
        story.wait(1);
        story.has_nothing(Y);
        story.keeps(X, address(100));
        story.shows_leases(A);
        story.ends_in_step();
    },
};

pub(super) static CACHED: Scenario = Scenario {
    name: "every-ack-is-a-change",
    shows: [
        "The link is cut. A client releases at a, moves and asks b, which has its lease and could just say ACK again.",
        "Rule: every ACK raises the version and is persisted, or the older RELEASE at a would undo it.",
    ],
    needs: &[(Rule::AckRaisesVersion, "acked_lease_survives")],
    tell: |story| {
        story.pool(100, 100);
        story.begin();
        story.discovers(X);
        story.wait(1);
        story.cuts_link();
        story.wait(2);
        story.hears(X, &[A]);
        story.releases(X);
        story.wait(1);
        story.hears(X, &[B]);
        story.discovers(X);
        story.wait(1);
        story.shows_leases(A);
        story.shows_leases(B);
        story.heals_link();
        story.wait(20);
        story.discovers(Y);
        story.wait(1);
        story.has_nothing(Y);
        story.keeps(X, address(100));
        story.ends_in_step();
    },
};

pub(super) static HOME_MERGES: Scenario = Scenario {
    name: "one-of-two-merges",
    shows: [
        "Both nodes extended a lease while the link was cut. When they meet again, one of them merges, the other takes it.",
        "Rule: of records of which neither has seen the other only the home makes one; two that merge may never agree.",
    ],
    needs: &[(Rule::HomeMerges, "tables_converge")],
    tell: |story| {
        story.begin();
        story.discovers(X);
        story.wait(1);
        story.cuts_link();
        story.wait(2);
        story.rebinds(X);
        story.wait(1);
        story.shows_leases(A);
        story.shows_leases(B);
        story.heals_link();
        story.wait(3);
        story.shows_leases(A);
        story.shows_leases(B);
        story.ends_in_step();
    },
};

pub(super) static TWO_CONTENTS: Scenario = Scenario {
    name: "the-later-times-stay",
    shows: [
        "Nobody can tell a how long it was away: it holds a lease for longer than it is stored, and b hears of that.",
        "Rule: of one version the later times stay, so that b does not give up what a still holds for its client.",
    ],
    needs: &[],
    tell: |story| {
        story.pool(100, 100);
        story.begin();
        story.discovers(X);
        story.wait(50);
        story.cuts_power(A);
        // So that nobody can tell a how long it was away.
        story.cuts_power(B);
        story.starts(B);
        story.wait_ms(12_200);
        story.sets_clock_ahead(A, 10);
        story.starts(A);
        story.wait(12);
        story.shows_leases(A);
        story.shows_leases(B);
        story.wait(30);
        story.shows_leases(A);
        story.ends_in_step();
    },
};

pub(super) static LATE_ACK: Scenario = Scenario {
    name: "a-late-acknowledgement",
    shows: [
        "B acknowledges a record that a has changed meanwhile, and then hears no more of a.",
        "Rule: an acknowledgement counts for what was sent; the record that changed keeps the larger expiry of the two.",
    ],
    needs: &[(Rule::AckOfVersion, "lead_time_bounded")],
    tell: |story| {
        story.pool(100, 100);
        story.begin();
        story.discovers(X);
        story.wait(55);
        story.link_takes(100);
        story.renews_for(X, 10);
        story.wait_ms(10);
        story.cuts_way_from(A);
        story.renews(X);
        story.wait(3);
        story.hears(X, &[A]);
        story.renews(X);
        story.wait(1);
        let bounded = story.seconds_left(X) < 30;
        story.so(bounded, "x has no more than MCLT beyond what b knows");
    },
};

pub(super) static TIMES_LEARNT: Scenario = Scenario {
    name: "a-clock-that-is-behind",
    shows: [
        "A starts with its clock behind, and tells b of a lease longer than it is. B takes that, and may promise by it.",
        "Rule: who does not know how long it was away holds what its partner tells it, and not what it may have read wrong.",
    ],
    needs: &[(Rule::TimesLearnt, "lead_time_bounded")],
    tell: |story| {
        story.begin();
        story.clock_is_right(B);
        story.discovers(Y);
        story.wait(2);
        story.discovers(X);
        story.wait(1);
        story.renews(X);
        story.wait_ms(100);
        story.keeps(X, address(102));
        story.cuts_power(A);
        story.wait(30);
        story.cuts_power(B);
        story.damages(A, address(100));
        story.sets_clock_ahead(A, -100);
        story.starts(A);
        story.starts(B);
        story.clock_is_right(B);
        story.wait(2);
        story.shows_leases(A);
        story.shows_leases(B);
        story.cuts_link();
        story.hears(X, &[B]);
        story.wait(23);
        story.rebinds(X);
        story.wait(1);
        story.keeps(X, address(102));
        story.heals_link();
        story.wait(2);
        story.ends_in_step();
    },
};

pub(super) static SENT_TOO_EARLY: Scenario = Scenario {
    name: "sent-when-persisted",
    shows: [
        "A loses its power before its disk has a new lease. B must not have heard of it, or it would extend it.",
        "Rule: only what is persisted here is sent to the partner.",
    ],
    needs: &[(Rule::PersistBeforeSend, "durable_before_visible")],
    tell: |story| {
        story.pool(100, 100);
        story.begin();
        story.commits_take(A, 400);
        story.discovers(X);
        story.wait_ms(200);
        story.cuts_link();
        story.cuts_power(A);
        story.wait(2);
        story.hears(X, &[B]);
        story.discovers(X);
        story.wait(1);
        story.has_nothing(X);
        story.commits_take(A, 1);
        story.starts(A);
        story.wait(5);
        story.hears(Y, &[A]);
        story.discovers(Y);
        story.wait(1);
        story.keeps(Y, address(100));
        story.heals_link();
        story.wait(2);
        story.ends_in_step();
    },
};

fn is_free_somewhere(story: &Story) -> bool {
    let free = |host: usize| story.world.hosts[host].table().iter().any(|record| record.state == LeaseState::Free);
    free(A) || free(B)
}

pub(super) static RELINQUISH: Scenario = Scenario {
    name: "relinquished",
    shows: [
        "A lease has ended. The link is cut in the instant in which its address becomes free on one of the nodes.",
        "Rule: nobody hands an address on while the partner might still extend the old lease; that must be given up first.",
    ],
    needs: &[(Rule::Relinquish, "one_client_per_address")],
    tell: |story| {
        story.pool(100, 100);
        story.begin();
        story.discovers(X);
        story.wait(69);
        story.until("the address is free on one node", is_free_somewhere);
        story.cuts_link();
        story.wait(2);
        story.hears(X, &[B]);
        story.reboots(X);
        story.hears(Y, &[A]);
        story.discovers(Y);
        story.wait(1);
        story.has_nothing(X);
        story.has_nothing(Y);
        story.heals_link();
        story.wait(2);
        story.discovers(Y);
        story.wait(1);
        story.keeps(Y, address(100));
        story.ends_in_step();
    },
};

pub(super) static RELINQUISH_VERSION: Scenario = Scenario {
    name: "relinquished-too-late",
    shows: [
        "B relinquishes an ended lease while its client comes back to a, which extends it; the messages cross.",
        "Rule: the home takes a relinquishing only if its version has seen the home's latest change.",
    ],
    needs: &[(Rule::RelinquishVersion, "acked_lease_survives")],
    tell: |story| {
        story.pool(100, 100);
        story.begin();
        story.discovers(X);
        story.wait(69);
        story.link_takes(300);
        story.until("the address is free on one node", is_free_somewhere);
        story.reboots(X);
        story.wait(2);
        story.keeps(X, address(100));
        story.link_takes(1);
        story.discovers(Y);
        story.wait(1);
        story.has_nothing(Y);
        story.shows_leases(A);
        story.ends_in_step();
    },
};

pub(super) static DECLINED: Scenario = Scenario {
    name: "declined-here-and-extended-there",
    shows: [
        "X declines its address at a, and has it again from b, which has not heard of that. The two merge what they know.",
        "Rule: the address stays declined, and from everyone else for as long as its client may believe in it.",
    ],
    needs: &[(Rule::DeclineKeepsPromise, "one_client_per_address")],
    tell: |story| {
        story.pool(100, 100);
        story.begin();
        story.discovers(X);
        story.wait(1);
        story.cuts_link();
        story.wait(2);
        story.hears(X, &[A]);
        story.declines(X);
        story.wait(1);
        story.hears(X, &[B]);
        story.reboots_with(X, address(100));
        story.wait(1);
        story.keeps(X, address(100));
        story.heals_link();
        story.wait(2);
        story.shows_leases(A);
        story.wait(40);
        story.discovers(Y);
        story.wait(1);
        story.keeps(X, address(100));
        story.has_nothing(Y);
        story.wait(30);
        story.discovers(Y);
        story.wait(1);
        story.keeps(Y, address(100));
        story.ends_in_step();
    },
};

pub(super) static FREED_TWICE: Scenario = Scenario {
    name: "freed-on-both",
    shows: [
        "B relinquishes a lease that is over, and dies before a hears of it. In partner-down a sets it free as well.",
        "Rule: of two records that are over and have not seen each other, the higher epoch stays, then the higher slot.",
    ],
    needs: &[],
    tell: |story| {
        story.pool(100, 100);
        story.begin();
        story.discovers(X);
        story.wait_ms(69_500);
        story.cuts_link();
        story.wait_ms(800);
        story.shows_leases(B);
        story.cuts_power(B);
        story.heals_link();
        story.wait(2);
        story.says_partner_is_off(A, false);
        story.wait(35);
        story.shows_leases(A);
        story.starts(B);
        story.wait(3);
        story.shows_leases(A);
        story.ends_in_step();
    },
};

pub(super) static GIVEN_TWICE: Scenario = Scenario {
    name: "given-twice-in-one-epoch",
    shows: [
        "B gives an address to y, as a asked; a never hears of it. Each node is told, untruly, that the other is off.",
        "Rule: of two live leases that neither rank nor epoch tells apart, that of the higher slot stays. It is a conflict.",
    ],
    needs: &[],
    tell: |story| {
        story.pool(101, 101);
        story.begin();
        story.link_takes(100);
        story.discovers(Y);
        story.wait_ms(20);
        story.cuts_way_from(B);
        story.wait(2);
        story.has_nothing(Y);
        story.cuts_link();
        story.wait(1);
        story.says_partner_is_off(A, false);
        story.says_partner_is_off(B, false);
        story.forgives_the_untrue_promise();
        story.wait(35);
        story.hears(Z, &[A]);
        story.discovers(Z);
        story.wait(1);
        story.keeps(Z, address(101));
        story.heals_link();
        story.wait(2);
        story.shows_leases(A);
        story.ends_in_step();
    },
};
