//! Whatever arrives at a node whose scopes are deactivated there: nothing happens.
//!
//! Random packets from random clients meet a pair in a random history. What the active node says is not judged here,
//! only that it does not fall over; what the standby does is nothing.

use crate::client::Datagram;
use crate::lab::{Lab, SERVERS, address, scope};
use proptest::collection::vec;
use proptest::prelude::*;
use standfast_core::configuration::Scope;
use standfast_core::lease::record::{Lease, LeaseState};
use std::net::Ipv4Addr;

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
    fn every_packet_is_counted_once_as_answered_or_silent(messages in vec(message(), 1..60)) {
        let mut lab = Lab::alone(vec![Scope { rapid_commit: true, bootp: true, ..scope() }]);
        for (datagram, _) in &messages {
            lab.send(0, datagram);
        }
        let counters = lab.node(0).counters();
        let sum = |of: &std::collections::BTreeMap<&'static str, u64>| of.values().sum::<u64>();
        prop_assert_eq!(sum(&counters.received), messages.len() as u64);
        prop_assert_eq!(sum(&counters.answered) + sum(&counters.silent), messages.len() as u64);
    }
}
