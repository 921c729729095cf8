//! A standby says nothing, whatever is said to it.

use crate::pair::{A, B, Pair, address};
use dhcproto::v4::MessageType;
use standfast_tests::daemon::same_table;
use standfast_tests::device::{Device, Patience, Say};
use standfast_tests::judge::{deactivated_is_silent, reached_node};
use standfast_tests::lab::enter;
use standfast_tests::wait::{LONG, until};
use std::net::Ipv4Addr;
use std::time::Instant;

#[test]
fn the_standby_is_silent_whatever_is_said_to_it() {
    if !enter("silence::the_standby_is_silent_whatever_is_said_to_it", &[]) {
        return;
    }
    let pair = Pair::start(1, "8h");
    let host = &pair.lab.clients[0];
    // One keeps its lease, so that its requests are honest; nothing is known of the other.
    let mut known = Device::new(host, 1);
    let held = known.obtain(None, Patience::USUAL).unwrap().address;
    let mut stranger = Device::new(host, 2);
    let foreign = Ipv4Addr::new(192, 168, 77, 7);
    let before = pair.leases();

    let start = Instant::now();
    let mut said = 0;
    for to in [None, Some(pair.server(B))] {
        for say in everything(held, address(A)).into_iter().chain(everything(held, address(B))) {
            // What would end the lease at the active node is said by the stranger.
            let speaker = if ends_a_lease(say) { &mut stranger } else { &mut known };
            speaker.say(say, to);
            said += 1;
        }
        for say in everything(foreign, address(B)) {
            stranger.say(say, to);
            said += 1;
        }
    }

    let reached = until("everything to reach the standby", LONG, || {
        let reached = reached_node(&pair.capture.since(start), B);
        if reached.len() >= said { Ok(reached) } else { Err(format!("{} of {said}", reached.len())) }
    });
    let kinds = |kind| reached.iter().filter(|(it, _)| *it == kind).count();
    let unicast = reached.iter().filter(|(_, dhcp)| dhcp.destination.0 == address(B)).count();
    assert!(unicast >= said / 2, "half of all was said to the standby alone, {unicast} of {said} arrived so");
    for kind in [MessageType::Discover, MessageType::Decline, MessageType::Release, MessageType::Inform] {
        assert!(kinds(kind) >= 6, "{kind:?}: {}", kinds(kind));
    }
    assert!(kinds(MessageType::Request) >= 24);

    // The standby has handled all that, and the active node answers as before.
    pair.settle(B);
    assert_eq!(known.rebind(held, None, Patience::USUAL).unwrap().server, address(A));
    let after = pair.leases();
    assert!(same_table(&after, &before), "what was said to the standby changed a lease: {before:#?} {after:#?}");
    let emitted = deactivated_is_silent(&pair.capture.all(), B);
    assert!(emitted.is_empty(), "{emitted:#?}");
    pair.judge();
}

/// The eight messages of a client, the REQUEST in its four kinds.
fn everything(address: Ipv4Addr, server: Ipv4Addr) -> [Say; 8] {
    [
        Say::Discover,
        Say::Selecting { server, address },
        Say::InitReboot { address },
        Say::Renewing { address },
        Say::Rebinding { address },
        Say::Decline { server, address },
        Say::Release { server, address },
        Say::Inform { address },
    ]
}

fn ends_a_lease(say: Say) -> bool {
    matches!(say, Say::Decline { .. } | Say::Release { .. })
}
