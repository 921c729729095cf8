//! A reply that some other server sent to its client: as much of it as tells who that server is.

use super::options::Options;
use super::{COOKIE, HEADER};
use crate::dhcp::option::code;
use dhcproto::v4::MAGIC;
use std::net::Ipv4Addr;

/// An OFFER, ACK or NAK of somebody.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ServerReply {
    /// What it is, as people call it.
    pub(crate) kind: &'static str,
    /// Option 54.
    pub(crate) identifier: Ipv4Addr,
    /// The relay that it went through; zero if none.
    pub(crate) giaddr: Ipv4Addr,
}

impl ServerReply {
    /// `None` for whatever is not one.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let is_reply = bytes.len() >= HEADER && bytes[0] == 2 && bytes[COOKIE] == MAGIC;
        let options = is_reply.then(|| Options::collect(bytes).ok())??;
        let kind = match options.fixed(code::MESSAGE_TYPE).ok()?? {
            [2] => "OFFER",
            [5] => "ACK",
            [6] => "NAK",
            _ => return None,
        };
        let giaddr: [u8; 4] = *bytes[24..28].first_chunk()?;
        Some(Self { kind, identifier: options.address(code::SERVER_IDENTIFIER).ok()??, giaddr: giaddr.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dhcp::packet::Packet;

    #[test]
    fn only_replies_of_servers_are_read() {
        let reply = |kind| Packet::of_type(kind).header(0, &[2]).option(54, &[10, 20, 0, 9]).bytes();
        let identifier = Ipv4Addr::new(10, 20, 0, 9);
        let parsed = ServerReply { kind: "OFFER", identifier, giaddr: Ipv4Addr::UNSPECIFIED };
        assert_eq!(ServerReply::parse(&reply(2)), Some(parsed));
        assert_eq!([5, 6].map(|kind| ServerReply::parse(&reply(kind)).unwrap().kind), ["ACK", "NAK"]);
        assert_eq!([1, 3, 13].map(|kind| ServerReply::parse(&reply(kind))), [None; 3]);
        assert_eq!(ServerReply::parse(&Packet::of_type(2).option(54, &[10, 20, 0, 9]).bytes()), None);
        assert_eq!(ServerReply::parse(&Packet::of_type(2).header(0, &[2]).bytes()), None);
        for length in 0..reply(2).len() - 7 {
            assert_eq!(ServerReply::parse(&reply(2)[..length]), None, "{length}");
        }
    }
}
