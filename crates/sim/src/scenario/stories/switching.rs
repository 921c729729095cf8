//! Who answers, and when that changes.

use crate::scenario::Scenario;
use crate::scenario::story::{A, B, X, Y, Z, address};
use standfast_core::configuration::Failback;
use standfast_core::mutant::Rule;
use std::time::Duration;

pub(super) static DEATH: Scenario = Scenario {
    name: "death-and-takeover",
    shows: [
        "The active node dies. Its standby takes over: the same address for a known client, one of its own for a new one.",
        "Rule: contact lost in normal promotes the standby, with a new epoch. Nothing else is needed, so it is fast.",
    ],
    needs: &[(Rule::EpochFencing, "epoch_never_falls")],
    tell: |story| {
        story.begin();
        story.discovers(X);
        story.wait(1);
        story.kills(A);
        story.wait(1);
        story.rebinds(X);
        story.wait(1);
        story.keeps(X, address(100));
        story.discovers(Y);
        story.wait(1);
        story.keeps(Y, address(101));
        story.tells("y has a lease no longer than the lead time: a, if it lived, would not know of it");
        story.starts(A);
        story.wait(2);
        let b_alone = story.only_active(B);
        story.so(b_alone, "b answers on, and only b: a has come back as a deactivated node");
        story.rebinds(Y);
        story.wait(1);
        story.ends_in_step();
    },
};

pub(super) static BLIP: Scenario = Scenario {
    name: "blip",
    shows: [
        "The connections between the nodes are reset and come back: nothing moves.",
        "Rule: who is active is computed by both from the same two ready messages; whoever served goes on.",
    ],
    needs: &[],
    tell: |story| {
        story.begin();
        story.discovers(X);
        story.wait(1);
        story.resets_session();
        story.wait_ms(100);
        story.renews(X);
        story.wait(2);
        let a_alone = story.only_active(A);
        story.so(a_alone, "a answers as before, and only a");
        story.keeps(X, address(100));
        story.ends_in_step();
    },
};

pub(super) static PARTITION: Scenario = Scenario {
    name: "partition",
    shows: [
        "The link between the nodes is cut and both serve. No address gets two clients; healing merges what both did.",
        "Rule: only its home gives a free address away alone, and a promise runs at most MCLT ahead of the partner.",
    ],
    needs: &[(Rule::Home, "one_client_per_address"), (Rule::LeadTime, "lead_time_bounded")],
    tell: |story| {
        story.pool(100, 101);
        story.begin();
        story.discovers(X);
        story.wait(1);
        story.discovers(Z);
        story.wait(1);
        story.keeps(Z, address(101));
        story.releases(Z);
        story.wait(12);
        story.cuts_link();
        story.wait(2);
        let both = story.both_active();
        story.so(both, "both answer: neither can tell a dead partner from a cut cable");
        story.hears(X, &[A]);
        story.hears(Y, &[B]);
        story.hears(Z, &[A]);
        story.renews(X);
        story.discovers(Y);
        story.wait(1);
        story.keeps(Y, address(101));
        story.discovers(Z);
        story.wait(1);
        story.has_nothing(Z);
        story.tells("z had that address before, but its home is b");
        story.heals_link();
        story.wait(2);
        let a_alone = story.only_active(A);
        story.so(a_alone, "a answers, as before the cut");
        story.hears(Y, &[A, B]);
        story.rebinds(Y);
        story.wait(1);
        story.keeps(Y, address(101));
        story.shows_leases(A);
        story.shows_leases(B);
        story.ends_in_step();
    },
};

pub(super) static ONE_WAY: Scenario = Scenario {
    name: "one-way-cut",
    shows: [
        "What a sends does not arrive, what b sends does. Both see that contact is lost, and both serve until it is back.",
        "Rule: a heartbeat counts only if it echoes one's own: then the way there and the way back both work.",
    ],
    needs: &[],
    tell: |story| {
        story.begin();
        story.discovers(X);
        story.wait(1);
        story.cuts_way_from(A);
        story.wait(3);
        let both = story.both_active();
        story.so(both, "both answer");
        story.rebinds(X);
        story.wait(1);
        story.keeps(X, address(100));
        story.heals_link();
        story.wait(2);
        let a_alone = story.only_active(A);
        story.so(a_alone, "a answers, and only a");
        story.ends_in_step();
    },
};

pub(super) static FAILING_DISK: Scenario = Scenario {
    name: "failing-disk",
    shows: [
        "The disk of the active node takes no writes any more. It promises nothing from then on, and its partner serves.",
        "Rule: a node that cannot persist does not serve; it says so at once, or its partner would wait for a timeout.",
    ],
    needs: &[],
    tell: |story| {
        story.begin();
        story.discovers(X);
        story.wait(1);
        story.disk_works(A, false);
        story.wait(2);
        story.rebinds(X);
        story.wait(1);
        story.keeps(X, address(100));
        let b_alone = story.only_active(B);
        story.so(b_alone, "b answers, and only b");
        story.disk_works(A, true);
        story.wait(4);
        story.ends_in_step();
    },
};

pub(super) static SWITCHOVER: Scenario = Scenario {
    name: "switchover",
    shows: [
        "An operator hands over to the deactivated node, and back. Nobody is left without an answer.",
        "Rule: the active node finishes what it has begun, the other makes the new epoch durable and answers.",
    ],
    needs: &[],
    tell: |story| {
        story.begin();
        story.discovers(X);
        story.wait(1);
        story.switches_over();
        story.wait(1);
        let b_alone = story.only_active(B);
        story.so(b_alone, "b answers, and only b");
        story.rebinds(X);
        story.wait(1);
        story.keeps(X, address(100));
        story.discovers(Y);
        story.wait(1);
        story.switches_over();
        story.wait(1);
        let a_alone = story.only_active(A);
        story.so(a_alone, "a answers again, and only a");
        story.rebinds(Y);
        story.wait(1);
        story.ends_in_step();
    },
};

pub(super) static FAILBACK: Scenario = Scenario {
    name: "failback",
    shows: [
        "The primary died and is back: after a while in step it answers again, without an operator.",
        "Rule: automatic failback follows only an automatic promotion, and only to a primary that hears clients.",
    ],
    needs: &[],
    tell: |story| {
        story.configure(|c| {
            c.relationships[0].failover.failback = Failback::Automatic { delay: Duration::from_secs(5) };
        });
        story.begin();
        story.discovers(X);
        story.wait(1);
        story.kills(A);
        story.wait(1);
        story.rebinds(X);
        story.wait(1);
        story.starts(A);
        for _ in 0..6 {
            story.wait(2);
            story.rebinds(X);
        }
        story.wait(1);
        let a_alone = story.only_active(A);
        story.so(a_alone, "a answers again, and only a");
        story.keeps(X, address(100));
        story.ends_in_step();
    },
};

pub(super) static PAUSE: Scenario = Scenario {
    name: "pause",
    shows: [
        "An operator holds back automatic promotion while a machine is worked on. It ends by itself.",
        "Rule: a pause is replicated and durable; meanwhile a standby that loses contact stays deactivated.",
    ],
    needs: &[],
    tell: |story| {
        story.begin();
        story.discovers(X);
        story.wait(1);
        story.pauses_promotion(A, 10);
        story.wait(1);
        story.kills(A);
        story.wait(3);
        story.rebinds(X);
        story.wait(1);
        let deactivated = !story.only_active(B);
        story.so(deactivated, "b stays deactivated");
        story.wait(6);
        let b_alone = story.only_active(B);
        story.so(b_alone, "the pause is over, and b answers");
        story.rebinds(X);
        story.wait(1);
        story.keeps(X, address(100));
        story.starts(A);
        story.wait(2);
        story.ends_in_step();
    },
};

pub(super) static STANDSTILL: Scenario = Scenario {
    name: "standstill",
    shows: [
        "A machine stands still, is taken for dead and comes back to life with a DISCOVER in its queue.",
        "Rule: after a standstill contact counts as lost and what queued up is dropped; longer than MCLT, it restarts.",
    ],
    needs: &[(Rule::PauseDetection, "one_client_per_address")],
    tell: |story| {
        story.pool(100, 100);
        story.begin();
        story.suspends(A);
        story.wait(2);
        story.says_partner_is_off(B, false);
        story.wait(32);
        story.hears(Y, &[B]);
        story.discovers(Y);
        story.wait(1);
        story.keeps(Y, address(100));
        story.hears(Z, &[A]);
        story.discovers(Z);
        story.wait_ms(500);
        story.resumes(A);
        story.wait(4);
        story.has_nothing(Z);
        story.keeps(Y, address(100));
        story.ends_in_step();
    },
};

pub(super) static FENCE: Scenario = Scenario {
    name: "fence",
    shows: [
        "With a fence command the survivor turns the other machine off, which is proof that it does not serve.",
        "Rule: a fence that exited 0 is a proof, from which MCLT is waited; then the whole pool is the survivor's.",
    ],
    needs: &[],
    tell: |story| {
        story.configure(|c| c.relationships[0].failover.fence_command = vec!["power-off".into()]);
        story.pool(100, 101);
        story.begin();
        story.discovers(X);
        story.wait(1);
        story.cuts_link();
        story.wait(2);
        story.fence_turns_partner_off(B);
        story.wait(1);
        story.discovers(Y);
        story.wait(1);
        story.keeps(Y, address(101));
        story.rebinds(X);
        story.wait(1);
        story.keeps(X, address(100));
        let full = story.seconds_left(X) > 50;
        story.so(full, "x has a full lease: nobody else promises anything");
        story.heals_link();
        story.starts(A);
        story.wait(2);
        story.ends_in_step();
    },
};

pub(super) static EVIDENCE: Scenario = Scenario {
    name: "evidence-of-a-cut-link",
    shows: [
        "The link between the nodes is cut. A client takes a's offer, which b hears: a is not dead.",
        "Rule: a REQUEST that names the partner is evidence that it serves; a promise that it is off is questioned.",
    ],
    needs: &[],
    tell: |story| {
        story.begin();
        story.cuts_link();
        story.wait(2);
        story.prefers(X, A);
        story.discovers(X);
        story.wait(1);
        story.keeps(X, address(100));
        story.says_partner_is_off(B, false);
        story.wait(1);
        let interrupted = story.both_active();
        story.so(interrupted, "b is not in partner-down");
        story.heals_link();
        story.wait(2);
        story.ends_in_step();
    },
};
