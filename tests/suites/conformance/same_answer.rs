//! The same request gets the same answer whichever node serves, byte by byte, but for who says it and for how long.

use crate::client::{Answer, DISCOVER, Datagram, INFORM, hardware};
use crate::lab::{Lab, SERVERS, address, configuration, reservation, scope};
use standfast_core::configuration::{
    Boot, Class, ClassMatch, OptionValues, Pattern, Reservation, ReservationHolder, Scope,
};
use std::time::Duration;

/// Codes whose values may differ: server identifier, lease time, T1 and T2.
const OF_THE_SERVER: [u8; 4] = [54, 51, 58, 59];

/// An answer with what may differ blotted out.
fn blotted(answer: &Answer) -> Vec<u8> {
    let mut bytes = answer.bytes.clone();
    let mut at = 240;
    while bytes[at] != 255 {
        let (code, length) = (bytes[at], usize::from(bytes[at + 1]));
        if OF_THE_SERVER.contains(&code) {
            bytes[at + 2..at + 2 + length].fill(0);
        }
        at += 2 + length;
    }
    bytes
}

/// A scope in which everything that shapes an answer is used.
fn rich() -> Scope {
    let options = OptionValues::from([
        (1, vec![255, 255, 255, 0]),
        (3, address(1).octets().to_vec()),
        (6, vec![10, 0, 0, 53, 10, 0, 0, 54]),
        (15, b"hq.example.net".to_vec()),
        (43, vec![1, 2, 3, 4]),
        (121, vec![16, 10, 9, 10, 20, 0, 254]),
    ]);
    let kept = Reservation {
        hostname: Some("printer-1".into()),
        options: OptionValues::from([(9, vec![10, 0, 0, 9])]),
        ..reservation(ReservationHolder::Hardware(hardware(7)), 20)
    };
    let boot =
        Boot { next_server: Some(address(5)), file: Some("pxelinux.0".into()), server_name: Some("boot".into()) };
    Scope {
        options,
        boot,
        reservations: vec![kept],
        forced_options: vec![43],
        v6only_wait: Some(Duration::from_secs(1_800)),
        ..scope()
    }
}

/// What a client with a lease of `held` may ask, with an option 55 that is not in order.
fn requests(number: u8, held: std::net::Ipv4Addr) -> Vec<Datagram> {
    let asked = |datagram: Datagram| {
        let datagram = datagram.option(55, &[121, 6, 3, 15, 108, 12, 66, 67, 9]).option(60, b"Cisco phone");
        datagram.option(57, &1_000_u16.to_be_bytes())
    };
    vec![
        asked(Datagram::new(number, DISCOVER)),
        asked(Datagram::new(number, DISCOVER)).broadcast_flag(),
        asked(Datagram::rebooting(number, held)),
        asked(Datagram::renewing(number, held)),
        asked(Datagram::rebinding(number, held)),
        asked(Datagram::new(number, INFORM).ciaddr(held).unicast()),
        asked(Datagram::rebinding(number, held)).option(82, &[1, 4, 0, 4, 0, 10, 2, 2, 7, 7]).relayed(address(3)),
    ]
}

#[test]
fn after_a_failover_the_other_node_answers_the_same() {
    let mut cluster = configuration(vec![rich()]);
    let cisco = Pattern { bytes: b"Cisco".to_vec(), prefix: true };
    cluster.classes.push(Class {
        name: "voip".into(),
        matches: vec![ClassMatch { vendor_class: Some(cisco), ..ClassMatch::default() }],
        unless: None,
        options: OptionValues::from([(66, b"tftp".to_vec())]),
        boot: Boot::default(),
    });
    let mut lab = Lab::pair_of(cluster);
    let held = |lab: &mut Lab, number| {
        let offer = lab.ask(&Datagram::new(number, DISCOVER)).yiaddr;
        lab.ask(&Datagram::selecting(number, SERVERS[0], offer)).yiaddr
    };
    let clients = [1, 7].map(|number| (number, held(&mut lab, number)));
    assert_eq!(clients[1].1, address(20), "the reserved one");
    let asked: Vec<Datagram> = clients.into_iter().flat_map(|(number, held)| requests(number, held)).collect();
    let before: Vec<Answer> = asked.iter().map(|datagram| lab.ask(datagram)).collect();
    lab.kill(0);
    for (datagram, before) in asked.iter().zip(before) {
        let mut after = lab.send(1, datagram);
        assert_eq!(after.len(), 1, "{datagram:?}");
        let after = after.remove(0);
        assert_eq!(blotted(&before), blotted(&after), "{before:?}\n{after:?}");
        assert_eq!((before.address(54), after.address(54)), (Some(SERVERS[0]), Some(SERVERS[1])));
        assert_eq!(before.codes, after.codes);
    }
}
