//! What a relay says about its client: the sub-options of option 82 (RFC 3046).

use super::Query;
use std::net::Ipv4Addr;

impl Query {
    /// Sub-option 1 of option 82: on which circuit the relay heard the client (RFC 3046 section 3.1).
    #[must_use]
    pub fn circuit_id(&self) -> Option<&[u8]> {
        self.relay_suboption(1)
    }

    /// Sub-option 2 of option 82: whom the relay believes the client to be (RFC 3046 section 3.2).
    #[must_use]
    pub fn remote_id(&self) -> Option<&[u8]> {
        self.relay_suboption(2)
    }

    /// Sub-option 5 of option 82: the client's link, where it is not that of `giaddr` (RFC 3527).
    #[must_use]
    pub fn link_selection(&self) -> Option<Ipv4Addr> {
        self.relay_address(5)
    }

    /// Sub-option 11 of option 82: the server identifier to answer with (RFC 5107).
    #[must_use]
    pub fn server_id_override(&self) -> Option<Ipv4Addr> {
        self.relay_address(11)
    }

    /// Sub-option 19 of option 82: answers go to the port that the relay sent from (RFC 8357).
    #[must_use]
    pub fn relay_source_port(&self) -> bool {
        self.relay_suboption(19).is_some()
    }

    fn relay_address(&self, sub: u8) -> Option<Ipv4Addr> {
        self.relay_suboption(sub).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok()).map(Ipv4Addr::from)
    }

    /// The first sub-option of option 82 with this code. A part that overruns ends the search.
    fn relay_suboption(&self, wanted: u8) -> Option<&[u8]> {
        let mut rest = self.relay_information.as_deref()?;
        while let [sub, length, tail @ ..] = rest {
            let (value, after) = tail.split_at_checked(usize::from(*length))?;
            if *sub == wanted {
                return Some(value);
            }
            rest = after;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dhcp::packet::Packet;

    #[test]
    fn the_relay_is_understood_as_far_as_it_can_be() {
        let information = [1, 2, 0xaa, 0xbb, 5, 4, 10, 30, 0, 0, 19, 0, 2, 9, 1];
        let query = Packet::of_type(1).option(82, &information).query();
        assert_eq!(query.relay_information.as_deref(), Some(&information[..]));
        assert_eq!(query.circuit_id(), Some(&[0xaa, 0xbb][..]));
        assert_eq!(query.link_selection(), Some(Ipv4Addr::new(10, 30, 0, 0)));
        assert!(query.relay_source_port());
        assert_eq!(query.remote_id(), None);
        assert_eq!(query.server_id_override(), None);
    }
}
