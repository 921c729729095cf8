//! One node without the other: partner-down and its proofs, starting alone, what a node may do then.

use crate::scenario::Scenario;
use crate::scenario::story::{A, B, W, X, Y, Z, address};
use standfast_core::failover::state::Phase;
use standfast_core::mutant::Rule;

pub(super) static PARTNER_DOWN: Scenario = Scenario {
    name: "forced-partner-down",
    shows: [
        "A node died and will not come back today. An operator says so, and after its waits the survivor has the whole pool.",
        "Rule: another's address waits until max(what was promised, the time of the proof) + MCLT.",
    ],
    needs: &[(Rule::PartnerDownWait, "one_client_per_address")],
    tell: |story| {
        story.pool(100, 102);
        story.begin();
        story.discovers(X);
        story.wait(1);
        story.cuts_link();
        story.wait(2);
        story.hears(Y, &[A]);
        story.discovers(Y);
        story.wait(1);
        story.keeps(Y, address(102));
        story.cuts_power(A);
        story.wait(1);
        story.says_partner_is_off(B, false);
        story.wait(1);
        story.discovers(Z);
        story.wait(1);
        story.keeps(Z, address(101));
        story.tells("z has a full lease of an address of b's home at once");
        story.rebinds(X);
        story.discovers(W);
        story.wait(1);
        story.has_nothing(W);
        story.tells("102 is of a's home: a may have given it away unheard, and it did");
        story.wait(28);
        story.discovers(W);
        story.wait(1);
        story.keeps(W, address(102));
        story.has_nothing(Y);
        story.heals_link();
        story.starts(A);
        story.wait(2);
        story.ends_in_step();
    },
};

pub(super) static UNTRUE: Scenario = Scenario {
    name: "untrue-promise",
    shows: [
        "An operator says that a node is off which is not. As soon as the two hear each other it comes to light.",
        "Rule: a node in partner-down that hears that its partner has served falls back to the interrupted rules at once.",
    ],
    needs: &[],
    tell: |story| {
        story.begin();
        story.discovers(X);
        story.wait(1);
        story.cuts_link();
        story.wait(2);
        story.says_partner_is_off(B, false);
        story.wait(1);
        let fell_for_it = story.phase(B) == Some(Phase::PartnerDown);
        story.so(fell_for_it, "b is in partner-down, and waits");
        story.renews(X);
        story.wait(1);
        story.heals_link();
        story.wait(2);
        story.keeps(X, address(100));
        story.ends_in_step();
    },
};

pub(super) static DOUBTFUL_CONFLICT: Scenario = Scenario {
    name: "a-conflict-in-doubt",
    shows: [
        "After an untrue promise both nodes lose power. When they meet nobody knows whether x or y had the address last.",
        "Rule: a conflict is reported where it may be one; better an operator who looks in vain than one who is not told.",
    ],
    needs: &[(Rule::DoubtIsTold, "conflicts_are_reported")],
    tell: |story| {
        story.pool(100, 100);
        story.begin();
        story.hears(X, &[A]);
        story.discovers(X);
        story.wait(1);
        story.keeps(X, address(100));
        story.cuts_link();
        story.wait(2);
        story.says_partner_is_off(B, false);
        story.forgives_the_untrue_promise();
        (0..9).for_each(|_| {
            story.wait(10);
            story.renews(X);
        });
        story.wait(3);
        story.hears(Y, &[B]);
        story.discovers(Y);
        story.wait(1);
        story.keeps(X, address(100));
        story.keeps(Y, address(100));
        story.cuts_power(A);
        story.cuts_power(B);
        story.heals_link();
        story.starts(A);
        story.starts(B);
        story.wait(2);
        story.ends_in_step();
    },
};

pub(super) static CLEAN_LEAVE: Scenario = Scenario {
    name: "clean-leave",
    shows: [
        "A node is stopped in good order for maintenance and comes back. Its partner has the whole pool at once.",
        "Rule: a clean leave is the best of proofs: everything granted is taken, so nothing waits for MCLT.",
    ],
    needs: &[],
    tell: |story| {
        story.pool(100, 102);
        story.begin();
        story.discovers(X);
        story.wait(1);
        story.leaves(A);
        story.wait(1);
        story.discovers(Y);
        story.wait(1);
        story.discovers(Z);
        story.wait(1);
        story.keeps(Y, address(101));
        story.keeps(Z, address(102));
        story.rebinds(X);
        story.wait(1);
        story.starts(A);
        story.wait(2);
        let b_alone = story.only_active(B);
        story.so(b_alone, "b answers on, and only b");
        story.ends_in_step();
    },
};

pub(super) static MUST_HEAR: Scenario = Scenario {
    name: "start-after-a-clean-leave",
    shows: [
        "A node that left cleanly starts again and cannot reach its partner, which has given away everything: it is silent.",
        "Rule: a node is marked before it says that it leaves; a marked one that starts alone is silent, with an alarm.",
    ],
    needs: &[(Rule::MustHearPartner, "one_client_per_address")],
    tell: |story| {
        story.pool(100, 100);
        story.begin();
        story.leaves(A);
        story.wait(1);
        story.discovers(Y);
        story.wait(1);
        story.keeps(Y, address(100));
        story.cuts_link();
        story.starts(A);
        story.wait(5);
        story.hears(Z, &[A]);
        story.discovers(Z);
        story.wait(1);
        story.has_nothing(Z);
        story.heals_link();
        story.wait(2);
        story.ends_in_step();
    },
};

pub(super) static BOTH_LEAVE: Scenario = Scenario {
    name: "both-leave",
    shows: [
        "Both nodes are stopped in good order at the same time. The one that was active can start alone, the other cannot.",
        "Rule: the deactivated one leaves, the active one accepts and merely stops, or nobody could serve the site again.",
    ],
    needs: &[],
    tell: |story| {
        story.begin();
        story.discovers(X);
        story.wait(1);
        story.leaves(A);
        story.leaves(B);
        story.wait(2);
        story.cuts_link();
        story.starts(A);
        story.starts(B);
        story.wait(5);
        let a_alone = story.only_active(A);
        story.so(a_alone, "a answers, and only a");
        story.reboots(X);
        story.wait(1);
        story.keeps(X, address(100));
        story.heals_link();
        story.wait(2);
        story.ends_in_step();
    },
};

pub(super) static FULL_EMBARGO: Scenario = Scenario {
    name: "partner-down-on-a-marked-node",
    shows: [
        "A left, b gave everything away and died. An operator tells a, which knows nothing of that, that b is off.",
        "Rule: a marked node enters partner-down under an embargo of the longest lease time + MCLT for every address.",
    ],
    needs: &[(Rule::FullEmbargo, "one_client_per_address")],
    tell: |story| {
        story.pool(100, 100);
        story.begin();
        story.leaves(A);
        story.wait(1);
        story.discovers(Y);
        story.wait(1);
        story.keeps(Y, address(100));
        story.cuts_power(B);
        story.wait(1);
        story.starts(A);
        story.wait(4);
        story.says_partner_is_off(A, false);
        story.wait(1);
        story.discovers(Z);
        story.wait(1);
        story.has_nothing(Z);
        story.wait(93);
        story.has_nothing(Y);
        story.discovers(Z);
        story.wait(1);
        story.keeps(Z, address(100));
    },
};

pub(super) static BOTH_A_FIRST: Scenario = Scenario {
    name: "both-die-and-a-starts-first",
    shows: [
        "Both nodes were killed. The one that was active starts first, alone, and serves by the interrupted rules.",
        "Rule: a start is silent until the partner is heard or the startup timeout has passed; a site must have DHCP.",
    ],
    needs: &[],
    tell: |story| both_die(story, A),
};

pub(super) static BOTH_B_FIRST: Scenario = Scenario {
    name: "both-die-and-b-starts-first",
    shows: [
        "Both nodes were killed. The standby starts first, alone, and serves by the interrupted rules.",
        "Rule: as the one before. What both nodes had taken is known to either, so that clients keep their addresses.",
    ],
    needs: &[],
    tell: |story| both_die(story, B),
};

fn both_die(story: &mut crate::scenario::story::Story, first: usize) {
    story.begin();
    story.discovers(X);
    story.wait(1);
    story.kills(A);
    story.kills(B);
    story.wait(1);
    story.starts(first);
    story.wait(1);
    story.reboots(X);
    story.wait(3);
    story.reboots(X);
    story.wait(1);
    story.keeps(X, address(100));
    story.starts(1 - first);
    story.wait(2);
    let a_alone = story.only_active(A);
    story.so(a_alone, "a answers, and only a: neither has served without a break, so the primary does");
    story.ends_in_step();
}

pub(super) static POTENTIAL_EXPIRY: Scenario = Scenario {
    name: "released-here-and-asked-for-there",
    shows: [
        "The link is cut. A client releases its lease at a and is given it again by b, which dies. A must not know better.",
        "Rule: the highest expiry ever recorded is kept through a RELEASE until it has passed, and waits count from it.",
    ],
    needs: &[(Rule::PotentialExpiry, "one_client_per_address")],
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
        story.keeps(X, address(100));
        story.cuts_power(B);
        story.says_partner_is_off(A, false);
        story.wait(40);
        story.hears(Y, &[A]);
        story.discovers(Y);
        story.wait(1);
        story.has_nothing(Y);
        story.keeps(X, address(100));
        story.wait(55);
        story.has_nothing(X);
        story.discovers(Y);
        story.wait(1);
        story.keeps(Y, address(100));
    },
};

pub(super) static HOME_STAYS: Scenario = Scenario {
    name: "homes-stay-when-ranks-change",
    shows: [
        "The two nodes swap ranks in the configuration. One has started with the new revision, the other does not have it.",
        "Rule: an address's home is a slot, given to its node once and stored; no change of the configuration moves it.",
    ],
    needs: &[(Rule::HomeOfSlot, "one_client_per_address")],
    tell: |story| {
        story.pool(100, 101);
        story.begin();
        story.cuts_link();
        story.wait(2);
        story.applies_alone(A, "b is the primary", |c| {
            let pair = &mut c.relationships[0];
            std::mem::swap(&mut pair.primary, &mut pair.standby);
        });
        story.wait(1);
        story.kills(A);
        story.starts(A);
        story.wait(4);
        story.hears(X, &[A]);
        story.hears(Y, &[B]);
        story.discovers(Y);
        story.wait(1);
        story.keeps(Y, address(101));
        story.discovers(X);
        story.wait(1);
        story.keeps(X, address(100));
    },
};

pub(super) static GREW: Scenario = Scenario {
    name: "a-promise-that-grew-on-its-way",
    shows: [
        "What remained of a lease was told to b over a slow link, so that b promises by more than a, which waits for b, knows.",
        "Rule: the waits of partner-down include the grace, as what remains of an expiry grows while it travels.",
    ],
    needs: &[(Rule::WaitIncludesGrace, "one_client_per_address")],
    tell: |story| {
        story.pool(100, 100);
        story.begin();
        story.discovers(X);
        story.wait(1);
        story.link_takes(900);
        story.renews(X);
        story.wait_ms(950);
        story.cuts_link();
        story.wait(2);
        story.hears(X, &[B]);
        story.wait_ms(36_900);
        story.rebinds(X);
        story.wait_ms(1_200);
        story.keeps(X, address(100));
        story.cuts_power(B);
        story.says_partner_is_off(A, false);
        story.hears(Y, &[A]);
        story.wait_ms(39_000);
        for _ in 0..8 {
            story.discovers(Y);
            story.wait_ms(100);
        }
        story.shows_leases(A);
        story.wait(12);
        story.has_nothing(X);
        story.discovers(Y);
        story.wait(1);
        story.keeps(Y, address(100));
    },
};

pub(super) static CLOCK: Scenario = Scenario {
    name: "a-clock-that-starts-in-2040",
    shows: [
        "A machine alone starts with a wall clock that is years ahead: by that clock every lease has long ended.",
        "Rule: time during which a node did not run counts only once its partner or a synchronised clock confirms it.",
    ],
    needs: &[(Rule::TimeNotRun, "acked_lease_survives")],
    tell: |story| {
        story.pool(100, 100);
        story.begin();
        story.leaves(B);
        story.wait(1);
        story.discovers(X);
        story.wait(2);
        story.cuts_power(A);
        story.sets_clock_ahead(A, 441_504_000);
        story.starts(A);
        story.wait(5);
        story.discovers(Y);
        story.wait(1);
        story.has_nothing(Y);
        story.keeps(X, address(100));
    },
};
