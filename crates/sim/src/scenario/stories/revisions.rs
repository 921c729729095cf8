//! Revisions of the configuration that one node has and the other does not.

use super::super::Scenario;
use super::super::story::{A, B, X, Y, address};
use crate::settings::reservation;
use standfast_core::mutant::Rule;

pub(super) static RESERVATION_GONE: Scenario = Scenario {
    name: "a-reservation-is-gone",
    shows: [
        "The link is cut. An operator takes a reservation away, on a alone; its client comes back to b, which keeps it still.",
        "Rule: until the partner is known to hold a revision, what it changes is given only where both revisions allow it.",
    ],
    needs: &[(Rule::BothRevisions, "one_client_per_address")],
    tell: |story| {
        story.pool(100, 101);
        story.reserve(address(100), X);
        story.begin();
        story.cuts_link();
        story.wait(2);
        story.applies_alone(A, "no reservation", |c| c.scopes[0].reservations.clear());
        story.wait(1);
        story.hears(X, &[B]);
        story.hears(Y, &[A]);
        story.discovers(X);
        story.wait(1);
        story.keeps(X, address(100));
        story.discovers(Y);
        story.wait(1);
        story.has_nothing(Y);
        story.heals_link();
        story.wait(2);
        story.ends_in_step();
    },
};

pub(super) static RESERVATION_MADE: Scenario = Scenario {
    name: "a-reservation-is-made",
    shows: [
        "The link is cut. An operator keeps an address of b's home for a client, on a alone; b gives it to another one.",
        "Rule: away from home a reserved address is given once both agreed it free under the revision that made it so.",
    ],
    needs: &[(Rule::ReservationAgreed, "one_client_per_address")],
    tell: |story| {
        story.pool(100, 101);
        story.begin();
        story.cuts_link();
        story.wait(2);
        story.applies_alone(A, "101 is kept for X", |c| c.scopes[0].reservations.push(reservation(address(101), X)));
        story.wait(1);
        story.hears(X, &[A]);
        story.hears(Y, &[B]);
        story.discovers(Y);
        story.wait(1);
        story.keeps(Y, address(101));
        story.discovers(X);
        story.wait(1);
        story.keeps(X, address(100));
        story.heals_link();
        story.wait(2);
        story.ends_in_step();
    },
};
