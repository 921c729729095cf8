//! Any bytes are read or dropped, and what is read can be logged.
#![no_main]

use libfuzzer_sys::fuzz_target;
use standfast_core::dhcp::query::{Delivery, Query};

fuzz_target!(|bytes: &[u8]| {
    let Ok(query) = Query::parse(bytes) else { return };
    assert!(query.to_string().bytes().all(|byte| (0x20..0x7f).contains(&byte)));
    assert!((1..=255).contains(&query.client.as_bytes().len()));
    assert!(query.hostname.len() <= 255);
    let _ = format!("{query:?}");
    let _ = (query.circuit_id(), query.remote_id(), query.link_selection(), query.server_id_override());
    for delivery in [Delivery::Unicast, Delivery::Broadcast] {
        if let Some(request) = query.request_kind(delivery) {
            assert!(!request.address().is_unspecified());
        }
    }
});
