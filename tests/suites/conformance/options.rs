//! What an answer carries, and where its values come from.

use crate::client::{ACK, Answer, DISCOVER, Datagram, INFORM, hardware};
use crate::lab::{Lab, SERVERS, address, configuration, other_scope, pool, reservation, scope};
use standfast_core::configuration::{
    Boot, Class, ClassMatch, LeaseTime, OptionValues, Pattern, Pool, Reservation, ReservationHolder, Scope,
};
use standfast_core::dhcp::destination::Destination;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

const SERVER: Ipv4Addr = SERVERS[0];
const RELAY: Ipv4Addr = Ipv4Addr::new(10, 20, 0, 3);

/// A DISCOVER that asks for these codes.
fn asking(number: u8, codes: &[u8]) -> Datagram {
    Datagram::bootp(number).option(53, &[DISCOVER]).option(55, codes)
}

/// The offer to a client that asks for these codes in a scope with these options.
fn offered(options: OptionValues, codes: &[u8]) -> Answer {
    Lab::alone(vec![Scope { options, ..scope() }]).ask(&asking(1, codes))
}

fn class(name: &str, wanted: ClassMatch, options: OptionValues) -> Class {
    Class { name: name.into(), matches: vec![wanted], unless: None, options, boot: Boot::default() }
}

fn exactly(bytes: &[u8]) -> Option<Pattern> {
    Some(Pattern { bytes: bytes.to_vec(), prefix: false })
}

#[test]
fn the_message_type_is_first_then_what_every_lease_needs() {
    let offer = offered(OptionValues::new(), &[59, 58, 51, 54, 53]);
    assert_eq!(offer.codes, [53, 54, 51, 58, 59]);
}

#[test]
fn rfc2131_section_4_4_5_times_are_one_half_and_seven_eighths_of_the_lease() {
    let offer = offered(OptionValues::new(), &[1]);
    assert_eq!([51, 58, 59].map(|code| offer.number(code)), [Some(3_600), Some(1_800), Some(3_150)]);
}

#[test]
fn rfc2131_section_4_3_1_a_wish_for_a_lease_time_is_granted_within_bounds() {
    for (asked, given) in [(1, 60), (7_200, 7_200), (u32::MAX, 86_400)] {
        let wish = asking(1, &[1]).option(51, &asked.to_be_bytes());
        assert_eq!(Lab::alone(vec![scope()]).ask(&wish).number(51), Some(given));
    }
}

#[test]
fn what_the_client_asks_for_comes_in_its_order() {
    let options = OptionValues::from([(6, vec![1; 4]), (15, b"hq".to_vec()), (42, vec![2; 4]), (44, vec![3; 4])]);
    assert_eq!(offered(options, &[42, 15, 99, 6, 15]).codes[5..], [42, 15, 6]);
}

#[test]
fn rfc2132_section_3_3_the_netmask_precedes_the_routers() {
    let options = OptionValues::from([(3, vec![10, 20, 0, 1]), (6, vec![10, 0, 0, 53])]);
    assert_eq!(offered(options, &[3, 6, 1]).codes[5..], [1, 3, 6]);
}

#[test]
fn the_netmask_is_that_of_the_subnet() {
    assert_eq!(offered(OptionValues::new(), &[1]).options[&1], [255, 255, 255, 0]);
}

#[test]
fn forced_options_come_after_what_is_asked_for() {
    let options = OptionValues::from([(43, vec![9]), (6, vec![10, 0, 0, 53])]);
    let mut lab = Lab::alone(vec![Scope { options, forced_options: vec![43, 6], ..scope() }]);
    assert_eq!(lab.ask(&asking(1, &[6])).codes[5..], [6, 43]);
}

#[test]
fn rfc2131_section_4_3_1_options_50_55_and_57_are_never_sent() {
    let options = (50..=61).map(|code| (code, vec![1; 4])).collect();
    let offer = offered(options, &[50, 52, 55, 57, 60, 61]);
    assert_eq!(offer.codes, [53, 54, 51, 58, 59, 60]);
}

#[test]
fn rfc3442_classless_routes_take_the_place_of_routers() {
    let options = || OptionValues::from([(3, vec![10, 20, 0, 1]), (121, vec![0, 10, 20, 0, 1])]);
    assert_eq!(offered(options(), &[3, 121]).codes[5..], [121]);
    assert_eq!(offered(options(), &[3]).codes[5..], [3]);
}

#[test]
fn rfc8925_section_3_3_option_108_is_sent_only_to_those_that_ask_for_it() {
    let scope = Scope { v6only_wait: Some(Duration::from_secs(1_800)), forced_options: vec![108], ..scope() };
    let mut lab = Lab::alone(vec![scope]);
    assert_eq!(lab.ask(&asking(1, &[108])).number(108), Some(1_800));
    assert_eq!(lab.ask(&asking(1, &[1])).number(108), None);
    let silent = Datagram::bootp(1).option(53, &[DISCOVER]);
    assert_eq!(lab.ask(&silent).number(108), None);
}

#[test]
fn rfc6842_section_3_the_client_id_is_echoed_byte_for_byte() {
    let mut lab = Lab::alone(vec![scope()]);
    for id in [&b"\x01\x02\x00\x5e\x10\x00\x01"[..], &[0xff; 60], &[0]] {
        let offer = lab.ask(&asking(1, &[1]).option(61, id));
        assert_eq!(offer.options[&61], id);
    }
    assert!(!lab.ask(&asking(1, &[1])).options.contains_key(&61));
    assert!(!lab.ask(&asking(1, &[1]).option(61, &[])).options.contains_key(&61), "empty is absent");
}

#[test]
fn rfc3046_section_2_2_option_82_is_echoed_byte_for_byte_and_last() {
    let odd = [2, 1, 9, 1, 2, 7, 7, 1, 1, 8, 200, 99];
    let offer = Lab::alone(vec![scope()]).ask(&asking(1, &[1]).option(82, &odd).option(61, b"id").relayed(RELAY));
    assert_eq!(offer.options[&82], odd);
    assert_eq!(offer.codes[offer.codes.len() - 2..], [61, 82]);
}

#[test]
fn rfc2131_table_3_the_fixed_fields_are_copied_or_zero() {
    let mut lab = Lab::alone(vec![scope()]);
    let offer = lab.ask(&asking(1, &[1]).header(8, &[0x12, 0x34, 0x80, 0x01]).relayed(RELAY));
    assert_eq!(offer.bytes[..3], [2, 1, 6]);
    assert_eq!(offer.bytes[4..8], [0xde, 0xad, 0, 1]);
    assert_eq!(offer.bytes[10..16], [0x80, 0x01, 0, 0, 0, 0], "flags as sent, no ciaddr");
    assert_eq!(offer.bytes[24..28], RELAY.octets());
    assert_eq!(&offer.bytes[28..34], hardware(1).as_bytes());
    let held = address(57);
    let ack = lab.ask(&Datagram::rebinding(2, held));
    assert_eq!((ack.kind, &ack.bytes[12..16]), (ACK, &held.octets()[..]), "ciaddr of the request");
}

#[test]
fn inform_gets_no_times() {
    let ack = Lab::alone(vec![scope()]).ask(&Datagram::new(1, INFORM).option(51, &[0, 0, 1, 0]).ciaddr(address(99)));
    assert!([51, 58, 59].iter().all(|code| !ack.options.contains_key(code)));
}

#[test]
fn rfc2132_section_9_10_no_message_is_larger_than_the_client_takes() {
    let options: OptionValues = (200..=211).map(|code| (code, vec![code; 100])).collect();
    let codes: Vec<u8> = (200..=211).collect();
    for (size, accepted) in [(None, 548), (Some(100), 548), (Some(576), 548), (Some(1_000), 972), (Some(9_000), 1_472)]
    {
        let mut discover = asking(1, &codes);
        if let Some(size) = size {
            discover = discover.option(57, &u16::to_be_bytes(size));
        }
        let offer = Lab::alone(vec![Scope { options: options.clone(), ..scope() }]).ask(&discover);
        assert!(offer.bytes.len() <= accepted, "{} for {size:?}", offer.bytes.len());
        assert!(offer.codes.contains(&200), "what was asked for first is there");
    }
}

#[test]
fn rfc2132_section_9_3_what_does_not_fit_goes_to_file_and_sname() {
    let options = OptionValues::from([(200, vec![1; 240]), (201, vec![2; 100]), (202, vec![3; 50])]);
    let offer = offered(options, &[200, 201, 202]);
    assert_eq!(offer.options[&52], [3]);
    assert_eq!(offer.bytes[108..111], [201, 100, 2]);
    assert_eq!(offer.bytes[44..47], [202, 50, 3]);
}

#[test]
fn rfc3396_section_5_long_options_are_split() {
    let options = OptionValues::from([(121, (0..=255).chain(0..44).collect())]);
    let wish = asking(1, &[121]).option(57, &[4, 0]);
    let offer = Lab::alone(vec![Scope { options, ..scope() }]).ask(&wish);
    assert_eq!(offer.codes[5..], [121, 121]);
    assert_eq!(offer.options[&121].len(), 300);
}

#[test]
fn boot_parameters_are_in_the_fixed_fields() {
    let boot = Boot {
        next_server: Some(Ipv4Addr::new(10, 20, 0, 5)),
        file: Some("pxelinux.0".into()),
        server_name: Some("boot".into()),
    };
    let offer = Lab::alone(vec![Scope { boot, ..scope() }]).ask(&asking(1, &[1]));
    assert_eq!(offer.bytes[20..24], [10, 20, 0, 5]);
    assert_eq!(offer.bytes[44..49], *b"boot\0");
    assert_eq!(offer.bytes[108..119], *b"pxelinux.0\0");
}

#[test]
fn a_pxe_chain_gets_the_file_of_each_stage() {
    let mut configuration = configuration(vec![scope()]);
    let file = |name: &str| Boot { file: Some(name.into()), ..Boot::default() };
    let ipxe = ClassMatch { user_class: exactly(b"iPXE"), ..ClassMatch::default() };
    let uefi = ClassMatch { architecture: Some(7), ..ClassMatch::default() };
    let bios = ClassMatch { architecture: Some(0), ..ClassMatch::default() };
    for (name, wanted, boot) in
        [("ipxe", ipxe, "http://boot/menu"), ("uefi", uefi, "ipxe.efi"), ("bios", bios, "undionly.kpxe")]
    {
        configuration.classes.push(Class { boot: file(boot), ..class(name, wanted, OptionValues::new()) });
    }
    let mut lab = Lab::of(configuration, 1);
    let mut file_of = |discover: Datagram| {
        let bytes = lab.ask(&discover).bytes;
        let end = bytes[108..236].iter().position(|byte| *byte == 0).expect("a NUL");
        String::from_utf8(bytes[108..108 + end].to_vec()).expect("text")
    };
    assert_eq!(file_of(asking(1, &[67]).option(93, &[0, 7])), "ipxe.efi");
    assert_eq!(file_of(asking(1, &[67]).option(93, &[0, 0])), "undionly.kpxe");
    assert_eq!(file_of(asking(1, &[67]).option(93, &[0, 7]).option(77, b"iPXE")), "http://boot/menu");
    assert_eq!(file_of(asking(2, &[67])), "");
}

#[test]
fn reservation_goes_before_pool_before_class_before_scope() {
    let layer = |codes: std::ops::RangeInclusive<u8>, value: u8| codes.map(|code| (code, vec![value])).collect();
    let reserved = Reservation {
        options: layer(201..=201, 1),
        hostname: Some("printer-1".into()),
        ..reservation(ReservationHolder::Hardware(hardware(1)), 55)
    };
    let scope = Scope {
        options: layer(201..=204, 4),
        pools: vec![Pool { options: layer(201..=202, 2), ..pool(50, 59) }],
        reservations: vec![reserved],
        ..scope()
    };
    let mut configuration = configuration(vec![scope]);
    configuration.classes.push(class("all", ClassMatch::default(), layer(201..=203, 3)));
    let offer = Lab::of(configuration, 1).ask(&asking(1, &[201, 202, 203, 204, 12]));
    assert_eq!([201, 202, 203, 204].map(|code| offer.options[&code][0]), [1, 2, 3, 4]);
    assert_eq!(offer.options[&12], b"printer-1");
}

#[test]
fn classes_choose_pools() {
    let phones = Pool { class: Some("voip".into()), ..pool(60, 69) };
    let mut configuration = configuration(vec![Scope { pools: vec![pool(50, 59), phones], ..scope() }]);
    let wanted = ClassMatch { vendor_class: exactly(b"phone"), ..ClassMatch::default() };
    configuration.classes.push(class("voip", wanted, OptionValues::new()));
    let mut lab = Lab::of(configuration, 1);
    let phone = |number| asking(number, &[1]).option(60, b"phone");
    assert!((60..=69).contains(&lab.ask(&phone(1)).yiaddr.octets()[3]));
    assert!((50..=59).contains(&lab.ask(&asking(2, &[1])).yiaddr.octets()[3]));
    let intruder = asking(3, &[1]).option(50, &address(65).octets());
    assert!((50..=59).contains(&lab.ask(&intruder).yiaddr.octets()[3]));
}

#[test]
fn excluded_addresses_are_never_given_away() {
    let exclude = vec![pool(50, 58).range];
    let mut lab = Lab::alone(vec![Scope { exclude, ..scope() }]);
    let wish = asking(1, &[1]).option(50, &address(55).octets());
    assert_eq!(lab.ask(&wish).yiaddr, address(59));
    assert_eq!(lab.silence(0, &asking(2, &[1])), "exhausted");
}

#[test]
fn reservations_are_found_by_everything_a_client_shows() {
    use standfast_core::lease::record::ClientId;
    let holders = [
        ReservationHolder::Hardware(hardware(1)),
        ReservationHolder::ClientId(ClientId::new(b"two")),
        ReservationHolder::CircuitId(b"port 3".to_vec()),
        ReservationHolder::RemoteId(b"house 4".to_vec()),
    ];
    let reservations = holders.into_iter().zip(20..).map(|(holder, last)| reservation(holder, last)).collect();
    let mut lab = Lab::alone(vec![Scope { reservations, ..scope() }]);
    assert_eq!(lab.ask(&asking(1, &[1])).yiaddr, address(20));
    assert_eq!(lab.ask(&asking(2, &[1]).option(61, b"two")).yiaddr, address(21));
    let circuit = |number| asking(number, &[1]).option(82, b"\x01\x06port 3");
    assert_eq!(lab.ask(&circuit(3).relayed(RELAY)).yiaddr, address(22));
    assert_eq!(lab.ask(&asking(4, &[1]).option(82, b"\x02\x07house 4").relayed(RELAY)).yiaddr, address(23));
    assert_ne!(lab.ask(&circuit(5)).yiaddr, address(22), "anyone on the link could say that");
}

#[test]
fn rfc3527_section_3_link_selection_chooses_the_scope_and_not_the_way_back() {
    let mut lab = Lab::alone(vec![scope(), other_scope(30)]);
    let offer = lab.ask(&asking(1, &[1]).option(82, &[5, 4, 10, 30, 0, 0]).relayed(RELAY));
    assert_eq!(offer.yiaddr.octets()[..3], [10, 30, 0]);
    assert_eq!(offer.destination, Destination::Unicast(SocketAddrV4::new(RELAY, 67)));
}

#[test]
fn rfc3011_section_5_subnet_selection_is_echoed_where_it_is_honoured() {
    let selecting = Scope { subnet_selection: true, ..other_scope(30) };
    let discover = asking(1, &[1]).option(118, &[10, 30, 0, 0]);
    let offer = Lab::alone(vec![scope(), selecting]).ask(&discover);
    assert_eq!((offer.yiaddr.octets()[1], offer.options.get(&118)), (30, Some(&vec![10, 30, 0, 0])));
    let offer = Lab::alone(vec![scope(), other_scope(30)]).ask(&discover);
    assert_eq!((offer.yiaddr.octets()[1], offer.options.get(&118)), (20, None));
}

#[test]
fn rfc5107_section_4_the_relay_chooses_the_server_identifier() {
    let mut lab = Lab::alone(vec![scope()]);
    let through = |datagram: Datagram| datagram.option(82, &[11, 4, 10, 20, 0, 3]).relayed(RELAY);
    let offer = lab.ask(&through(asking(1, &[1])));
    assert_eq!((offer.address(54), offer.source), (Some(RELAY), SERVER));
    assert_eq!(lab.ask(&through(Datagram::selecting(1, RELAY, offer.yiaddr))).kind, ACK);
}

#[test]
fn the_server_identifier_is_the_configured_one_or_the_address_written_to() {
    let mut lab = Lab::alone(vec![scope()]);
    assert_eq!(lab.ask(&asking(1, &[1])).address(54), Some(SERVER));
    let mut configured = configuration(vec![scope()]);
    configured.server_identifiers.insert("a".into(), address(9));
    let mut lab = Lab::of(configured, 1);
    let offer = lab.ask(&asking(1, &[1]));
    assert_eq!(offer.address(54), Some(address(9)));
    assert_eq!(lab.ask(&Datagram::selecting(1, address(9), offer.yiaddr)).kind, ACK);
}

#[test]
fn lease_bounds_are_those_of_the_scope() {
    let hour = Duration::from_secs(3_600);
    let fixed = Scope { lease_time: LeaseTime { default: hour, min: hour, max: hour }, ..scope() };
    let wish = asking(1, &[1]).option(51, &60u32.to_be_bytes());
    assert_eq!(Lab::alone(vec![fixed]).ask(&wish).number(51), Some(3_600));
}
