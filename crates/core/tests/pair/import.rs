//! Leases that an operator brings from another server.

use super::harness::Pair;
use dhcproto::v4::MessageType;
use standfast_core::input::{Command, ImportedLease};
use standfast_core::lease::record::{ClientId, HardwareAddress};
use standfast_core::output::CommandResult;
use standfast_core::time::Wall;
use std::net::Ipv4Addr;

fn imported(pair: &Pair, client: u8, last: u8, seconds: i64) -> ImportedLease {
    let hardware = HardwareAddress::new(1, &[2, 0, 0, 0, 0, client]).unwrap();
    ImportedLease {
        address: Ipv4Addr::new(10, 0, 0, last),
        client: ClientId::of_hardware(hardware),
        hardware,
        hostname: Box::default(),
        expiry: Wall(pair.clock().wall.0 + seconds * 1_000),
    }
}

#[test]
fn imported_leases_are_known_to_both_nodes_whatever_their_home_and_their_clients_go_on() {
    let mut pair = Pair::new();
    let leases = vec![imported(&pair, 1, 50, 5_000), imported(&pair, 2, 51, 5_000)];
    pair.command(0, Command::Import(leases.clone()));
    assert_eq!(pair.hosts[0].answers, [CommandResult::Done("2 imported".into())]);
    let [a, b] = pair.tables();
    assert_eq!(a, b);
    assert_eq!(a.len(), 2);
    assert!(pair.hosts[0].replies.is_empty(), "nobody asked for anything");

    let (_, third, _) = pair.acquire(3).unwrap();
    assert!(leases.iter().all(|lease| lease.address != third));
    pair.kill(0);
    assert_eq!(pair.rebind(2, leases[1].address, &[1]), [(1, MessageType::Ack, leases[1].address, Some(5_600))]);
}

#[test]
fn whoever_imports_waits_for_the_homes_that_are_asked_or_for_the_end_of_the_session() {
    let mut pair = Pair::new();
    let partner = pair.hosts[1].node.take();
    pair.command(0, Command::Import(vec![imported(&pair, 1, 50, 5_000), imported(&pair, 2, 51, 5_000)]));
    assert_eq!(pair.hosts[0].answers, [], "51 is at home at the partner, which hears nothing");
    pair.hosts[1].node = partner;
    pair.disconnect();
    assert_eq!(pair.hosts[0].answers, [CommandResult::Done("2 imported".into())]);
    assert_eq!(pair.tables()[0].len(), 1, "who lists the leases sees that it is not there");
}

#[test]
fn what_cannot_be_imported_is_said_and_the_rest_is_done() {
    let mut pair = Pair::new();
    let (_, held, _) = pair.acquire(1).unwrap();
    let leases = vec![
        imported(&pair, 2, held.octets()[3], 500),
        imported(&pair, 2, 52, 500),
        imported(&pair, 3, 53, 0),
        imported(&pair, 4, 200, 500),
        ImportedLease { address: Ipv4Addr::new(10, 9, 0, 1), ..imported(&pair, 5, 1, 500) },
    ];
    pair.command(0, Command::Import(leases.clone()));
    let refused = "10.0.0.50: another client holds it\n10.0.0.53: it is over\n10.0.0.200: it is in no pool\n\
                   10.9.0.1: it is in no scope";
    assert_eq!(pair.hosts[0].answers, [CommandResult::Refused(refused.into())]);
    assert_eq!(pair.tables()[1].len(), 2);

    pair.command(1, Command::Import(leases[1..2].to_vec()));
    let refused = "10.0.0.52: its scope is deactivated here: ask the active node";
    assert_eq!(pair.hosts[1].answers, [CommandResult::Refused(refused.into())]);
}

#[test]
fn an_import_never_shortens_what_a_client_was_promised() {
    let mut pair = Pair::new();
    let (_, held, lease) = pair.acquire(1).unwrap();
    pair.command(0, Command::Import(vec![imported(&pair, 1, held.octets()[3], 60)]));
    let expiry = pair.hosts[0].node.as_ref().unwrap().leases().next().unwrap().1.expiry;
    assert_eq!(expiry.since(pair.now).as_secs(), u64::from(lease));
}
