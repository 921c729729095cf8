//! Properties of the codec: what holds for every packet and every answer, and what dhcproto says of the same bytes.

#[path = "codec/differential.rs"]
mod differential;
#[path = "codec/properties.rs"]
mod properties;
#[path = "codec/wire.rs"]
mod wire;
