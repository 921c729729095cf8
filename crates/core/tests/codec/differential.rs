//! The same bytes read by dhcproto, where dhcproto is right.
//!
//! It is not right, and not asked, about: options after one that its owned decoder dislikes (it stops there and says
//! Ok), overload, repeats of a code that are not adjacent, option 82 (re-sorted), 108 (written as 106), client ids and
//! host names that are empty, hardware addresses longer than 16 bytes (it panics).

use dhcproto::v4::relay::{RelayAgentInformation, RelayInfo};
use dhcproto::v4::{DhcpOption, Flags, Message, MessageType, OptionCode};
use dhcproto::{Decodable, Encodable};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use standfast_core::configuration::{Boot, OptionValues};
use standfast_core::dhcp::encode::{Answer, AnswerKind, LeaseTimes, encode};
use standfast_core::dhcp::option::OptionLayers;
use standfast_core::dhcp::query::{Kind, Query};
use std::net::Ipv4Addr;
use std::time::Duration;

fn address() -> impl Strategy<Value = Ipv4Addr> {
    (1..=223u8, any::<[u8; 3]>())
        .prop_filter("loopback", |(first, _)| *first != 127)
        .prop_map(|(first, [second, third, fourth])| Ipv4Addr::new(first, second, third, fourth))
}

const KINDS: [(MessageType, Kind); 5] = [
    (MessageType::Discover, Kind::Discover),
    (MessageType::Request, Kind::Request),
    (MessageType::Decline, Kind::Decline),
    (MessageType::Release, Kind::Release),
    (MessageType::Inform, Kind::Inform),
];

/// A message as a well-behaved client builds it.
fn message() -> impl Strategy<Value = (Message, Kind)> {
    let header = (any::<u32>(), any::<bool>(), of(address()), of(address()), vec(any::<u8>(), 1..=16));
    let options = (
        proptest::sample::select(&KINDS[..]),
        of(address()),
        of(address()),
        of(any::<u32>()),
        vec(1..=254u8, 0..20),
        of(vec(any::<u8>(), 1..=255)),
        "[a-z]{0,20}",
        of(vec(any::<u8>(), 1..20)),
    );
    (header, options).prop_map(|((xid, broadcast, ciaddr, giaddr, chaddr), options)| {
        let ((message_type, kind), requested, server, lease, parameters, client_id, hostname, circuit) = options;
        let zero = Ipv4Addr::UNSPECIFIED;
        let mut message =
            Message::new_with_id(xid, ciaddr.unwrap_or(zero), zero, zero, giaddr.unwrap_or(zero), &chaddr);
        if broadcast {
            message.set_flags(Flags::default().set_broadcast());
        }
        let opts = message.opts_mut();
        opts.insert(DhcpOption::MessageType(message_type));
        requested.into_iter().for_each(|address| drop(opts.insert(DhcpOption::RequestedIpAddress(address))));
        server.into_iter().for_each(|address| drop(opts.insert(DhcpOption::ServerIdentifier(address))));
        lease.into_iter().for_each(|seconds| drop(opts.insert(DhcpOption::AddressLeaseTime(seconds))));
        client_id.into_iter().for_each(|id| drop(opts.insert(DhcpOption::ClientIdentifier(id))));
        if !parameters.is_empty() {
            opts.insert(DhcpOption::ParameterRequestList(parameters.into_iter().map(OptionCode::from).collect()));
        }
        if !hostname.is_empty() {
            opts.insert(DhcpOption::Hostname(hostname));
        }
        if let Some(circuit) = circuit {
            let mut information = RelayAgentInformation::default();
            information.insert(RelayInfo::AgentCircuitId(circuit));
            opts.insert(DhcpOption::RelayAgentInformation(information));
        }
        (message, kind)
    })
}

/// `Some(value)` of one kind of option.
macro_rules! option {
    ($message:expr, $code:ident, $variant:ident) => {
        match $message.opts().get(OptionCode::$code) {
            Some(DhcpOption::$variant(value)) => Some(value.clone()),
            Some(_) | None => None,
        }
    };
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn what_dhcproto_writes_is_read((message, kind) in message()) {
        let query = Query::parse(&message.to_vec().unwrap()).unwrap();
        prop_assert_eq!(query.kind, kind);
        prop_assert_eq!(query.xid, message.xid());
        prop_assert_eq!(query.broadcast(), message.flags().broadcast());
        prop_assert_eq!(query.ciaddr, message.ciaddr());
        prop_assert_eq!(query.giaddr, message.giaddr());
        prop_assert_eq!(query.hardware.as_bytes(), message.chaddr());
        prop_assert_eq!(query.requested_address, option!(message, RequestedIpAddress, RequestedIpAddress));
        prop_assert_eq!(query.server_identifier, option!(message, ServerIdentifier, ServerIdentifier));
        prop_assert_eq!(
            query.lease_time,
            option!(message, AddressLeaseTime, AddressLeaseTime).map(|seconds| Duration::from_secs(seconds.into()))
        );
        prop_assert_eq!(&query.client_id_option, &option!(message, ClientIdentifier, ClientIdentifier));
        let hostname = option!(message, Hostname, Hostname).unwrap_or_default();
        prop_assert_eq!(&query.hostname[..], hostname.as_bytes());
        let parameters: Vec<u8> =
            option!(message, ParameterRequestList, ParameterRequestList).unwrap_or_default().into_iter().map(u8::from).collect();
        prop_assert_eq!(&query.parameters, &parameters);
    }

    #[test]
    fn what_is_written_dhcproto_reads(
        (message, _) in message(),
        lease in any::<u32>(),
        routers in vec(address(), 1..4),
        domain in "[a-z]{1,20}",
    ) {
        let query = Query::parse(&message.to_vec().unwrap()).unwrap();
        let values = OptionValues::from([
            (3, routers.iter().flat_map(Ipv4Addr::octets).collect()),
            (15, domain.clone().into_bytes()),
        ]);
        let (yiaddr, server_identifier) = (Ipv4Addr::new(10, 20, 0, 50), Ipv4Addr::new(10, 20, 0, 1));
        let answer = Answer {
            kind: AnswerKind::Ack,
            yiaddr,
            server_identifier,
            times: Some(LeaseTimes::of(Duration::from_secs(lease.into()))),
            boot: Boot { next_server: None, file: Some("pxelinux.0".into()), server_name: None },
            options: OptionLayers::new(vec![&values]),
            forced: &[3, 15],
            rapid_commit: false,
            subnet_selected: false,
            message: "",
        };
        let mut bytes = Vec::new();
        if encode(&answer, &query, 1500, &mut bytes).is_err() {
            return Ok(());
        }
        let read = Message::from_bytes(&bytes).unwrap();
        prop_assert_eq!(read.opts().msg_type(), Some(MessageType::Ack));
        prop_assert_eq!((read.xid(), read.yiaddr()), (query.xid, yiaddr));
        prop_assert_eq!(read.chaddr(), query.hardware.as_bytes());
        prop_assert_eq!(read.fname(), Some(&b"pxelinux.0\0"[..]));
        prop_assert_eq!(option!(read, ServerIdentifier, ServerIdentifier), Some(server_identifier));
        prop_assert_eq!(option!(read, AddressLeaseTime, AddressLeaseTime), Some(lease));
        prop_assert_eq!(option!(read, Renewal, Renewal), Some(lease / 2));
        prop_assert_eq!(option!(read, ClientIdentifier, ClientIdentifier), query.client_id_option);
        let overloaded = option!(read, OptionOverload, OptionOverload).is_some();
        if !overloaded && bytes.len() < 480 {
            prop_assert_eq!(option!(read, Router, Router), Some(routers));
            prop_assert_eq!(option!(read, DomainName, DomainName), Some(domain));
        }
    }
}
