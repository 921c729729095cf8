//! What clients meet: silence, one answer, no refusal without evidence.

use crate::scenario::Scenario;
use crate::scenario::story::{A, B, X, Y, Z, address};
use standfast_core::mutant::Rule;
use std::net::Ipv4Addr;

/// A pair of scopes elsewhere answered here: Microsoft's Q228597.
pub(super) static SILENCE: Scenario = Scenario {
    name: "silence",
    shows: [
        "Two servers on one link, one of them deactivated: it says nothing to anyone, whatever they ask (Q228597).",
        "Rule: silence comes from the role. A deactivated node has nothing to answer with, and no NAK either.",
    ],
    needs: &[(Rule::SilenceGate, "deactivated_is_silent")],
    tell: |story| {
        story.begin();
        story.discovers(X);
        story.wait(1);
        story.reboots(X);
        story.wait(1);
        story.reboots_with(Y, Ipv4Addr::new(192, 168, 7, 7));
        story.wait(1);
        story.reboots_with(Z, address(103));
        story.wait(1);
        story.discovers(Y);
        story.wait(1);
        story.rebinds(X);
        story.wait(1);
        story.kills(A);
        story.wait(1);
        story.rebinds(X);
        story.wait(1);
        story.starts(A);
        story.wait(2);
        story.rebinds(X);
        story.wait(1);
        story.keeps(X, address(100));
        story.ends_in_step();
    },
};

pub(super) static DEAF: Scenario = Scenario {
    name: "client-link-is-deaf",
    shows: [
        "The client link of the active node dies while heartbeats go on: the standby, which hears clients, takes over.",
        "Rule: a client link can die while heartbeats live; then the two switch over, both being alive.",
    ],
    needs: &[],
    tell: |story| {
        story.begin();
        story.discovers(X);
        story.wait(1);
        story.cuts_clients_off(A);
        for _ in 0..5 {
            story.wait(3);
            story.rebinds(X);
        }
        story.wait(1);
        let b_alone = story.only_active(B);
        story.so(b_alone, "b answers now, and only b");
        story.rebinds(X);
        story.wait(1);
        story.keeps(X, address(100));
        story.ends_in_step();
    },
};

pub(super) static NO_CARRIER: Scenario = Scenario {
    name: "client-link-without-carrier",
    shows: [
        "Someone pulls the cable of the active node's client link: it hands over at once.",
        "Rule: no carrier on the active node, and the partner has one: a switchover, not a promotion.",
    ],
    needs: &[],
    tell: |story| {
        story.begin();
        story.discovers(X);
        story.wait(1);
        story.carrier(A, false);
        story.wait(1);
        let b_alone = story.only_active(B);
        story.so(b_alone, "b answers now, and only b");
        story.rebinds(X);
        story.wait(1);
        story.carrier(A, true);
        story.wait(1);
        story.keeps(X, address(100));
        story.ends_in_step();
    },
};

pub(super) static RESERVATION: Scenario = Scenario {
    name: "reservation",
    shows: [
        "An address is kept for a client: it gets that one, from either node, and nobody else does.",
        "Rule: a reserved address keeps its home; elsewhere it is given to the reservation's client only.",
    ],
    needs: &[],
    tell: |story| {
        story.pool(100, 101);
        story.reserve(address(101), X);
        story.begin();
        story.discovers(Y);
        story.wait(1);
        story.discovers(Z);
        story.wait(1);
        story.has_nothing(Z);
        story.discovers(X);
        story.wait(1);
        story.keeps(X, address(101));
        story.kills(A);
        story.wait(1);
        story.reboots(X);
        story.wait(1);
        story.keeps(X, address(101));
    },
};

pub(super) static NAK_EVIDENCE: Scenario = Scenario {
    name: "no-refusal-on-hearsay",
    shows: [
        "The link between the nodes is cut; a client got another address from b and comes back to a, which is silent.",
        "Rule: while interrupted, what is known of an address whose home is the partner is no evidence for a NAK.",
    ],
    needs: &[(Rule::NakEvidence, "nak_on_evidence")],
    tell: |story| {
        story.begin();
        story.discovers(X);
        story.wait(1);
        story.cuts_link();
        story.wait(2);
        story.hears(X, &[B]);
        story.reboots(X);
        story.wait(1);
        story.declines(X);
        story.wait(1);
        story.discovers(X);
        story.wait(1);
        story.keeps(X, address(101));
        story.hears(X, &[A]);
        story.reboots(X);
        story.wait(1);
        story.keeps(X, address(101));
        story.heals_link();
        story.wait(2);
        story.ends_in_step();
    },
};

pub(super) static UNHEARD: Scenario = Scenario {
    name: "no-refusal-of-what-the-dead-gave",
    shows: [
        "The link is cut; a client gets another address from b, which dies. A knows the client's old one, and is silent.",
        "Rule: what the partner may have promised before it died, or lost its store, is no client's mistake.",
    ],
    needs: &[(Rule::UnheardPromises, "nak_on_evidence")],
    tell: |story| {
        story.begin();
        story.discovers(X);
        story.wait(1);
        story.keeps(X, address(100));
        story.cuts_link();
        story.wait(2);
        story.hears(X, &[B]);
        story.reboots(X);
        story.wait(1);
        story.declines(X);
        story.wait(1);
        story.discovers(X);
        story.wait(1);
        story.keeps(X, address(101));
        story.cuts_power(B);
        story.says_partner_is_off(A, false);
        story.wait(1);
        story.hears(X, &[A]);
        story.reboots(X);
        story.wait(1);
        story.keeps(X, address(101));
        story.heals_link();
        story.starts(B);
        story.wait(2);
        story.reboots(X);
        story.wait(1);
        story.keeps(X, address(101));
        story.ends_in_step();
    },
};

pub(super) static DURABLE_ACK: Scenario = Scenario {
    name: "ack-waits-for-the-disk",
    shows: [
        "A slow disk, then a power cut: the client that was not told has nothing, and nobody else is harmed.",
        "Rule: durable before visible. An ACK leaves when its record is persisted, however long that takes.",
    ],
    needs: &[(Rule::DurableBeforeVisible, "durable_before_visible")],
    tell: |story| {
        story.begin();
        story.cuts_link();
        story.wait(2);
        story.commits_take(A, 400);
        story.hears(X, &[A]);
        story.discovers(X);
        story.wait_ms(300);
        story.cuts_power(A);
        story.wait(1);
        story.has_nothing(X);
        story.starts(A);
        story.wait(5);
        story.discovers(X);
        story.wait(1);
        story.keeps(X, address(100));
        story.heals_link();
        story.wait(4);
        story.ends_in_step();
    },
};

pub(super) static ASKED_IN_VAIN: Scenario = Scenario {
    name: "asked-in-vain",
    shows: [
        "A has offered y an address of b's home, and b dies before it can be asked. Y does not wait for its own time-out.",
        "Rule: a client that chose an offer which cannot be kept is refused at once; it holds nothing and starts again.",
    ],
    needs: &[],
    tell: |story| {
        story.pool(100, 105);
        story.begin();
        story.discovers(X);
        story.discovers(Z);
        story.wait(1);
        story.discovers(Y);
        story.wait_ms(5);
        story.cuts_power(B);
        story.wait(2);
        story.has_nothing(Y);
        story.discovers(Y);
        story.wait(1);
        story.keeps(Y, address(104));
        story.starts(B);
        story.wait(2);
        story.ends_in_step();
    },
};

pub(super) static AGED_ACK: Scenario = Scenario {
    name: "an-answer-that-waited",
    shows: [
        "A slow disk: the client repeats its request, counts from that, and is answered by the one before.",
        "Rule: a reply tells what is left of the lease when it leaves; after five seconds it does not leave at all.",
    ],
    needs: &[(Rule::AnswerAges, "durable_before_visible")],
    tell: |story| {
        story.begin();
        story.discovers(X);
        story.wait(1);
        story.cuts_link();
        story.wait(2);
        story.hears(X, &[A]);
        story.commits_take(A, 3_000);
        story.renews(X);
        story.wait(2);
        story.renews_again_unheard(X);
        story.wait(2);
        story.so(story.seconds_left(X) == 55, "x has its address for 55 s more, a second less than a has stored");
        story.commits_take(A, 6_000);
        story.renews(X);
        story.wait(7);
        story.so(story.seconds_left(X) == 48, "x still has what it had");
        story.commits_take(A, 5);
        story.heals_link();
        story.wait(4);
        story.keeps(X, address(100));
        story.ends_in_step();
    },
};

pub(super) static SHORTER: Scenario = Scenario {
    name: "shorter-lease-whose-ack-is-lost",
    shows: [
        "A client asks for a shorter lease and never hears the answer: it goes on believing in the longer one.",
        "Rule: an extension keeps the larger expiry, as nobody knows whether its client heard the ACK.",
    ],
    needs: &[(Rule::LargerExpiry, "acked_lease_survives")],
    tell: |story| {
        story.pool(100, 100);
        story.begin();
        story.discovers(X);
        story.wait(1);
        story.renews_for(X, 10);
        story.wait_ms(4);
        story.cuts_clients_off(A);
        story.wait(1);
        story.lets_clients_through(A);
        story.wait(25);
        story.discovers(Y);
        story.wait(1);
        story.has_nothing(Y);
        story.keeps(X, address(100));
        story.shows_leases(A);
        story.shows_leases(B);
        story.ends_in_step();
    },
};
