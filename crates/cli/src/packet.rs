//! The messages of simulated clients, as their relay sends them: those of the demo and of the bench.

use dhcproto::v4::{DhcpOption, Flags, Message, MessageType, Opcode, OptionCode, UnknownOption};
use dhcproto::{Decodable, Decoder, Encodable, Encoder};
use std::net::Ipv4Addr;
use std::time::Duration;

/// Option 82 with nothing but sub-option 19 (RFC 8357): the answer goes to the port that the relay sent from, so that
/// a relay needs no privilege.
const RELAY_SOURCE_PORT: [u8; 2] = [19, 0];
/// What every client wants to be told: mask, routers, name servers, and the times.
const PARAMETERS: [OptionCode; 6] = [
    OptionCode::SubnetMask,
    OptionCode::Router,
    OptionCode::DomainNameServer,
    OptionCode::AddressLeaseTime,
    OptionCode::Renewal,
    OptionCode::Rebinding,
];

/// What a client asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ask {
    Discover,
    /// Takes the offer of `server`.
    Select {
        address: Ipv4Addr,
        server: Ipv4Addr,
    },
    /// Asks whichever server hears it to extend the lease.
    Rebind {
        address: Ipv4Addr,
    },
}

/// What a server answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Answer {
    pub(crate) xid: u32,
    pub(crate) verdict: Verdict,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    Offer { address: Ipv4Addr, server: Ipv4Addr },
    Ack { address: Ipv4Addr, lease: Duration },
    Nak,
}

/// A message of a client, through a relay.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) xid: u32,
    pub(crate) hardware: [u8; 6],
    /// The relay's address.
    pub(crate) giaddr: Ipv4Addr,
    /// Whether the relay listens on another port than 67, and says so.
    pub(crate) own_port: bool,
    /// Seconds since the client began.
    pub(crate) secs: u16,
    pub(crate) ask: Ask,
}

/// The bytes of a message; `None` if it cannot be written.
pub(crate) fn request(request: Request) -> Option<Vec<u8>> {
    let Request { xid, hardware, giaddr, own_port, secs, ask } = request;
    let none = Ipv4Addr::UNSPECIFIED;
    let ciaddr = if let Ask::Rebind { address } = ask { address } else { none };
    let mut message = Message::new_with_id(xid, ciaddr, none, none, giaddr, &hardware);
    message.set_opcode(Opcode::BootRequest).set_flags(Flags::default()).set_hops(1).set_secs(secs);
    let options = message.opts_mut();
    options.insert(DhcpOption::ParameterRequestList(PARAMETERS.to_vec()));
    match ask {
        Ask::Discover => {
            options.insert(DhcpOption::MessageType(MessageType::Discover));
        }
        Ask::Select { address, server } => {
            options.insert(DhcpOption::MessageType(MessageType::Request));
            options.insert(DhcpOption::RequestedIpAddress(address));
            options.insert(DhcpOption::ServerIdentifier(server));
        }
        Ask::Rebind { .. } => {
            options.insert(DhcpOption::MessageType(MessageType::Request));
        }
    }
    if own_port {
        let relay = UnknownOption::new(OptionCode::RelayAgentInformation, RELAY_SOURCE_PORT.to_vec());
        options.insert(DhcpOption::Unknown(relay));
    }
    let mut bytes = Vec::with_capacity(300);
    message.encode(&mut Encoder::new(&mut bytes)).ok()?;
    Some(bytes)
}

/// `None` if it is no answer to a client.
#[expect(clippy::wildcard_enum_match_arm, reason = "a foreign enum, of which three are for clients")]
pub(crate) fn answer(bytes: &[u8]) -> Option<Answer> {
    let message = Message::decode(&mut Decoder::new(bytes)).ok()?;
    let options = message.opts();
    let address = message.yiaddr();
    let verdict = match options.msg_type()? {
        MessageType::Offer => Verdict::Offer { address, server: server(&message)? },
        MessageType::Ack => Verdict::Ack { address, lease: lease(&message)? },
        MessageType::Nak => Verdict::Nak,
        _ => return None,
    };
    Some(Answer { xid: message.xid(), verdict })
}

fn server(message: &Message) -> Option<Ipv4Addr> {
    let Some(DhcpOption::ServerIdentifier(server)) = message.opts().get(OptionCode::ServerIdentifier) else {
        return None;
    };
    Some(*server)
}

fn lease(message: &Message) -> Option<Duration> {
    let Some(DhcpOption::AddressLeaseTime(seconds)) = message.opts().get(OptionCode::AddressLeaseTime) else {
        return None;
    };
    Some(Duration::from_secs((*seconds).into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use standfast_core::dhcp::query::Query;

    const ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 10);
    const RELAY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);

    fn asking(ask: Ask) -> Vec<u8> {
        let hardware = [2, 0, 0x5e, 0, 0, 1];
        request(Request { xid: 7, hardware, giaddr: RELAY, own_port: true, secs: 3, ask }).unwrap()
    }

    #[test]
    fn the_servers_strict_reader_takes_every_request() {
        let server = Ipv4Addr::LOCALHOST;
        for ask in [Ask::Discover, Ask::Select { address: ADDRESS, server }, Ask::Rebind { address: ADDRESS }] {
            let query = Query::parse(&asking(ask)).unwrap();
            assert_eq!((query.xid, query.giaddr, query.relay_source_port()), (7, RELAY, true));
            assert_eq!((query.secs, query.parameters), (3, vec![1, 3, 6, 51, 58, 59]));
        }
    }

    #[test]
    fn an_answer_is_read_and_a_request_is_none() {
        let mut message = Message::new_with_id(7, RELAY, ADDRESS, RELAY, RELAY, &[2, 0, 0x5e, 0, 0, 1]);
        message.opts_mut().insert(DhcpOption::MessageType(MessageType::Ack));
        message.opts_mut().insert(DhcpOption::AddressLeaseTime(60));
        let relay = UnknownOption::new(OptionCode::RelayAgentInformation, RELAY_SOURCE_PORT.to_vec());
        message.opts_mut().insert(DhcpOption::Unknown(relay));
        let mut bytes = Vec::new();
        message.encode(&mut Encoder::new(&mut bytes)).unwrap();
        let verdict = Verdict::Ack { address: ADDRESS, lease: Duration::from_secs(60) };
        assert_eq!(answer(&bytes), Some(Answer { xid: 7, verdict }));
        assert_eq!(answer(&asking(Ask::Discover)), None);
        assert_eq!(answer(&bytes[..20]), None);
    }
}
