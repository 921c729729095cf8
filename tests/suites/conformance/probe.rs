//! Probe before offer: an address is looked for first, by the serving node alone, and not offered if somebody has it.

use crate::client::{ACK, DISCOVER, Datagram, OFFER, client_id, hardware};
use crate::lab::{Lab, SERVERS, address, pool, reservation, scope};
use standfast_core::configuration::{Probe, ReservationHolder, Scope};
use standfast_core::lease::record::LeaseState;
use std::time::Duration;

/// Longer than an answer is waited for.
const WAIT: Duration = Duration::from_millis(600);

fn probing() -> Scope {
    Scope { probe: Probe::Arp, ..scope() }
}

/// The rest of what is said about a DISCOVER that waits.
fn offered(lab: &mut Lab) -> (u8, std::net::Ipv4Addr) {
    let answers = lab.listen(WAIT);
    assert_eq!(answers.len(), 1, "{answers:?}");
    (answers[0].kind, answers[0].yiaddr)
}

#[test]
fn an_address_for_which_nobody_answers_is_offered_once_that_is_known() {
    let mut lab = Lab::alone(vec![probing()]);
    assert_eq!(lab.send(0, &Datagram::new(1, DISCOVER)), []);
    assert_eq!(lab.looked_for(0), [address(50)]);
    assert_eq!(offered(&mut lab), (OFFER, address(50)));
    // It asks again: what is known of the address still holds.
    assert_eq!(lab.ask(&Datagram::new(1, DISCOVER)).yiaddr, address(50));
    assert_eq!(lab.ask(&Datagram::selecting(1, SERVERS[0], address(50))).kind, ACK);
    assert!(lab.looked_for(0).is_empty());
}

#[test]
fn an_address_that_somebody_has_is_set_aside_and_the_next_one_offered() {
    let mut lab = Lab::alone(vec![probing()]);
    lab.send(0, &Datagram::new(1, DISCOVER));
    assert_eq!(lab.has(address(50), hardware(9)), []);
    assert_eq!(lab.looked_for(0), [address(50), address(51)]);
    assert_eq!(offered(&mut lab), (OFFER, address(51)));
    assert_eq!(lab.state(address(50)), LeaseState::Declined);
    assert_eq!(lab.events(), ["address_in_use"]);
    lab.skip(Duration::from_secs(600));
    assert_ne!(lab.state(address(50)), LeaseState::Declined, "decline_time is over");
}

#[test]
fn the_client_itself_may_have_its_address() {
    let kept = vec![reservation(ReservationHolder::Hardware(hardware(1)), 20)];
    let mut lab = Lab::alone(vec![Scope { reservations: kept, ..probing() }]);
    lab.send(0, &Datagram::new(1, DISCOVER));
    assert_eq!(lab.looked_for(0), [address(20)]);
    let answers = lab.has(address(20), hardware(1));
    assert_eq!(answers.iter().map(|answer| (answer.kind, answer.yiaddr)).collect::<Vec<_>>(), [(OFFER, address(20))]);
    assert_eq!(lab.state(address(20)), LeaseState::Free);
}

#[test]
fn a_client_is_offered_its_own_live_lease_at_once() {
    let mut lab = Lab::alone(vec![probing()]);
    lab.ask(&Datagram::selecting(1, SERVERS[0], address(50)));
    assert_eq!(lab.ask(&Datagram::new(1, DISCOVER)).yiaddr, address(50));
    assert!(lab.looked_for(0).is_empty());
}

#[test]
fn arp_does_not_pass_a_relay_and_icmp_does() {
    let relayed = Datagram::new(1, DISCOVER).relayed(address(3));
    let mut lab = Lab::alone(vec![probing()]);
    assert_eq!(lab.ask(&relayed).kind, OFFER);
    let mut lab = Lab::alone(vec![Scope { probe: Probe::Icmp, ..scope() }]);
    assert_eq!(lab.send(0, &relayed), []);
    assert_eq!(lab.looked_for(0), [address(50)]);
    assert_eq!(offered(&mut lab), (OFFER, address(50)));
}

#[test]
fn a_client_that_asks_again_meanwhile_is_answered_once() {
    let mut lab = Lab::alone(vec![probing()]);
    lab.send(0, &Datagram::new(1, DISCOVER));
    let mut answers = lab.send(0, &Datagram::new(1, DISCOVER).header(4, &[7, 7, 7, 7]));
    answers.extend(lab.listen(WAIT));
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0].bytes[4..8], [7, 7, 7, 7], "the later message has the answer");
    assert_eq!(lab.looked_for(0), [address(50)]);
    assert_eq!(lab.node(0).counters().silent["superseded"], 1);
}

#[test]
fn a_client_that_has_chosen_another_server_is_not_offered_anything() {
    let mut lab = Lab::alone(vec![probing()]);
    lab.send(0, &Datagram::new(1, DISCOVER));
    assert_eq!(lab.send(0, &Datagram::selecting(1, address(9), address(70))), []);
    assert_eq!(lab.listen(WAIT), []);
    let silent = &lab.node(0).counters().silent;
    assert_eq!((silent["other_server"], silent["superseded"]), (1, 1));
}

#[test]
fn rapid_commit_waits_too() {
    let mut lab = Lab::alone(vec![Scope { rapid_commit: true, ..probing() }]);
    assert_eq!(lab.send(0, &Datagram::new(1, DISCOVER).option(80, &[])), []);
    assert!(!lab.holds(&client_id(1), address(50)));
    assert_eq!(offered(&mut lab), (ACK, address(50)));
}

#[test]
fn someone_who_has_every_address_takes_a_bounded_number_from_the_pool() {
    let mut lab = Lab::alone(vec![Scope { pools: vec![pool(10, 200)], ..probing() }]);
    for number in 0..100 {
        lab.send(0, &Datagram::new(number, DISCOVER));
        for _ in 0..5 {
            for wanted in lab.looked_for(0) {
                assert_eq!(lab.has(wanted, hardware(250)), []);
            }
        }
    }
    assert_eq!(lab.listen(WAIT), []);
    let silent = &lab.node(0).counters().silent;
    assert!(silent["in_use"] > 0 && silent["limited"] > 0, "{silent:?}");
    let declined = lab.node(0).leases().filter(|(_, lease)| lease.state == LeaseState::Declined).count();
    assert!((32..50).contains(&declined), "{declined}");
    assert_eq!(lab.node(0).waiting(), 0);
}

#[test]
fn a_deactivated_node_looks_for_nothing_and_a_node_that_ceases_to_serve_forgets_what_it_looked_for() {
    let mut lab = Lab::pair(vec![probing()]);
    for number in 1..=5 {
        assert_eq!(lab.silence(1, &Datagram::new(number, DISCOVER)), "deactivated");
    }
    assert!(lab.looked_for(1).is_empty());
    lab.send(0, &Datagram::new(1, DISCOVER));
    assert_eq!(lab.looked_for(0).len(), 1);
    lab.kill(1);
    assert_eq!(lab.node(0).waiting(), 0);
}
