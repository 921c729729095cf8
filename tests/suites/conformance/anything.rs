//! Whatever arrives at a node whose scopes are deactivated there: nothing happens.
//!
//! Random packets from random clients meet a pair in a random history. What the active node says is not judged here,
//! only that it does not fall over; what the standby does is nothing.

use crate::client::{Datagram, hardware};
use crate::lab::{Lab, SERVERS, address, pool, scope};
use proptest::collection::vec;
use proptest::prelude::*;
use standfast_core::configuration::{Probe, Scope};
use standfast_core::lease::record::{Lease, LeaseState};
use standfast_core::node::Node;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

/// One message of a random client; `bool`: whether the active node hears it too.
fn message() -> impl Strategy<Value = (Datagram, bool)> {
    let address = || prop_oneof![4 => (48..=61u8).prop_map(address), 1 => any::<[u8; 4]>().prop_map(Ipv4Addr::from)];
    let server = prop_oneof![Just(SERVERS[0]), Just(SERVERS[1]), Just(Ipv4Addr::new(10, 20, 0, 9))];
    let known = (1..=6u8, 0..10usize, address(), server).prop_map(|(number, kind, address, server)| match kind {
        0 | 1 => Datagram::new(number, 1),
        2 | 3 => Datagram::selecting(number, server, address),
        4 => Datagram::rebooting(number, address),
        5 => Datagram::renewing(number, address),
        6 => Datagram::rebinding(number, address),
        7 => Datagram::release(number, server, address),
        8 => Datagram::decline(number, server, address),
        _ => Datagram::bootp(number),
    });
    let odd = (1..=6u8, any::<u8>(), 0..240usize, vec(any::<u8>(), 1..9), any::<u8>(), vec(any::<u8>(), 0..40));
    let odd = odd.prop_map(|(number, kind, at, bytes, code, value)| {
        let bytes = &bytes[..bytes.len().min(240 - at)];
        Datagram::new(number, kind).header(at, bytes).option(code, &value)
    });
    (prop_oneof![4 => known, 1 => odd], any::<bool>())
}

/// What the clock alone does while a message is looked at: an ended lease of the partner's home is given up.
fn is_relinquished(before: &Lease, after: &Lease) -> bool {
    let given_up = Lease { state: LeaseState::Free, ..before.clone() };
    let with_local_state = Lease { version: after.version, taken: after.taken, sequence: after.sequence, ..given_up };
    before.state == LeaseState::Ended && *after == with_local_state
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_deactivated_node_does_nothing_whatever_arrives(messages in vec(message(), 1..40)) {
        let mut lab = Lab::pair(vec![Scope { rapid_commit: true, bootp: true, nak_unknown_clients: true, ..scope() }]);
        for (datagram, heard_by_both) in messages {
            if heard_by_both {
                lab.send(0, &datagram);
            }
            // So that the link looks sound to the pair.
            lab.send(0, &Datagram::new(9, 1));
            let before: Vec<Lease> = lab.node(1).leases().map(|(_, lease)| lease.clone()).collect();
            prop_assert_eq!(lab.send(1, &datagram), []);
            let after: Vec<Lease> = lab.node(1).leases().map(|(_, lease)| lease.clone()).collect();
            prop_assert_eq!(before.len(), after.len());
            for (before, after) in before.iter().zip(&after) {
                prop_assert!(before == after || is_relinquished(before, after), "{before:?} became {after:?}");
            }
        }
    }

    #[test]
    fn every_packet_is_counted_once_as_answered_or_silent(
        messages in vec((message(), 0..20u8), 1..60),
        pair: bool,
        probe: bool,
    ) {
        let probe = if probe { Probe::Arp } else { Probe::Off };
        let scopes = vec![Scope { rapid_commit: true, bootp: true, probe, pools: vec![pool(50, 53)], ..scope() }];
        let mut lab = if pair { Lab::pair(scopes) } else { Lab::alone(scopes) };
        for ((datagram, _), then) in &messages {
            lab.begin(datagram);
            prop_assert_eq!(unaccounted(lab.node(0)), 0);
            // What waits when something happens must not be forgotten.
            match then {
                0 if pair => lab.cut(),
                1 if pair => lab.connect(),
                2 => lab.configure_anew(),
                3 => drop(lab.has(address(50), hardware(9))),
                4 => lab.stand_still(),
                5 => lab.fail_store(),
                6..=9 => lab.run(Duration::from_millis(300)),
                _ => {}
            }
            prop_assert_eq!(unaccounted(lab.node(0)), 0);
        }
        lab.run(Duration::from_secs(2));
        prop_assert_eq!(unaccounted(lab.node(0)), 0);
        prop_assert_eq!(lab.node(0).waiting(), 0);
        prop_assert_eq!(lab.node(0).counters().received.values().sum::<u64>(), messages.len() as u64);
    }
}

/// Packets that were received and neither answered, nor passed over for a reason, nor wait.
fn unaccounted(node: &Node) -> i64 {
    let sum = |of: &BTreeMap<&'static str, u64>| of.values().sum::<u64>().cast_signed();
    let counters = node.counters();
    sum(&counters.received) - sum(&counters.answered) - sum(&counters.silent) - node.waiting() as i64
}
