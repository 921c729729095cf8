//! What we read from a packet is what dhcproto's borrowed reader reads, where dhcproto is right.
//!
//! Not compared: packets that we drop; overload and repeats of a code, which its reader does not join across fields or
//! gaps. Its owned decoder is compared only as far as it goes: it stops at the first option that it dislikes, so a
//! value that it lacks proves nothing, but a value that it has must be ours.
#![no_main]

use dhcproto::Decodable;
use dhcproto::v4::{DhcpOption, Message, OptionCode, borrowed};
use libfuzzer_sys::fuzz_target;
use standfast_core::dhcp::query::Query;
use std::collections::BTreeMap;

fuzz_target!(|bytes: &[u8]| {
    let Ok(query) = Query::parse(bytes) else { return };
    let header = borrowed::Message::new(bytes).expect("at least 240 bytes");
    let mut options = BTreeMap::new();
    for option in header.opts() {
        let repeated = options.insert(u8::from(option.code()), option.data().to_vec()).is_some();
        if repeated {
            return;
        }
    }
    if options.contains_key(&52) {
        return;
    }
    assert_eq!(query.xid, header.xid());
    assert_eq!(query.hardware.as_bytes(), header.chaddr());
    let value = |code: u8| options.get(&code).cloned();
    assert_eq!(query.relay_information, value(82));
    assert_eq!(query.client_id_option, value(61).filter(|id| !id.is_empty()));
    assert_eq!(query.parameters, value(55).unwrap_or_default());
    assert_eq!(query.vendor_class, value(60).unwrap_or_default());

    let owned_is_safe = [80, 81, 94, 152, 153, 154, 155].iter().all(|code| !options.contains_key(code));
    if !owned_is_safe {
        return; // It asserts the lengths of these in debug builds.
    }
    let Ok(owned) = Message::from_bytes(bytes) else { return };
    if let Some(DhcpOption::RequestedIpAddress(address)) = owned.opts().get(OptionCode::RequestedIpAddress) {
        assert!(query.requested_address == Some(*address) || address.is_unspecified());
    }
    if let Some(DhcpOption::ServerIdentifier(address)) = owned.opts().get(OptionCode::ServerIdentifier) {
        assert_eq!(query.server_identifier, Some(*address));
    }
});
