//! A client that speaks by hand: every kind of message, to whomever a test wants.

use crate::capture::{next_frame, open_on, send_frame};
use crate::frame::{Dhcp, Frame, Mac, write, write_arp_reply};
use crate::lab::{Host, LAN};
use dhcproto::v4::{DhcpOption, Message, MessageType, OptionCode};
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// A device on the LAN: a hardware address behind some port. Several may share a port, as behind a switch.
pub struct Device {
    socket: OwnedFd,
    pub mac: Mac,
    xid: u32,
    /// What it last spoke from: while it listens, it answers for that address, as a host does.
    address: Ipv4Addr,
}

/// Someone who can be spoken to directly.
#[derive(Clone, Copy, Debug)]
pub struct Server {
    pub mac: Mac,
    pub address: Ipv4Addr,
}

/// What a server offered or granted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Grant {
    pub address: Ipv4Addr,
    pub server: Ipv4Addr,
    pub seconds: u32,
}

/// The four kinds of REQUEST (RFC 2131 4.3.2), and the other messages of a client.
#[derive(Clone, Copy, Debug)]
pub enum Say {
    Discover,
    Selecting { server: Ipv4Addr, address: Ipv4Addr },
    InitReboot { address: Ipv4Addr },
    Renewing { address: Ipv4Addr },
    Rebinding { address: Ipv4Addr },
    Decline { server: Ipv4Addr, address: Ipv4Addr },
    Release { server: Ipv4Addr, address: Ipv4Addr },
    Inform { address: Ipv4Addr },
}

impl Device {
    /// One behind the port of `host`. Its hardware address is its own, so that the host's kernel keeps out of it.
    pub fn new(host: &Host, number: u8) -> Self {
        let (socket, _) = host.namespace.inside(|| open_on(LAN));
        let [.., port] = host.mac.0;
        Self {
            socket,
            mac: Mac([2, 0, 0, 1, port, number]),
            xid: u32::from_be_bytes([port, number, 0, 0]),
            address: Ipv4Addr::UNSPECIFIED,
        }
    }

    /// Broadcasts it, or sends it to one server alone.
    pub fn say(&mut self, what: Say, to: Option<Server>) {
        self.xid += 1;
        let message = message(what, self.mac, self.xid);
        self.address = message.ciaddr();
        let (mac, destination) = to.map_or((Mac::BROADCAST, Ipv4Addr::BROADCAST), |it| (it.mac, it.address));
        let dhcp = Dhcp {
            source_mac: self.mac,
            destination_mac: mac,
            source: (message.ciaddr(), 68),
            destination: (destination, 67),
            message: Some(message),
        };
        send_frame(&self.socket, &write(&dhcp));
    }

    /// The next message of this type that answers what was said last, within `limit`; from this server, if one is
    /// named. Otherwise the types that were heard instead.
    ///
    /// # Errors
    /// Nothing fitting came.
    pub fn hear(
        &self,
        wanted: MessageType,
        from: Option<Ipv4Addr>,
        limit: Duration,
    ) -> Result<Message, Vec<MessageType>> {
        let mut others = Vec::new();
        let found = next_frame(&self.socket, limit, |frame| {
            if let Frame::ArpRequest { by, from, for_address } = frame
                && for_address == self.address
            {
                send_frame(&self.socket, &write_arp_reply(self.mac, for_address, (by, from)));
            }
            let Frame::Dhcp(dhcp) = frame else { return None };
            let message = dhcp.message.filter(|it| it.xid() == self.xid && it.chaddr() == self.mac.0)?;
            let kind = message.opts().msg_type();
            if kind == Some(wanted) && (from.is_none() || from == server_of(&message)) {
                return Some(message);
            }
            others.extend(kind);
            None
        });
        found.ok_or(others)
    }

    /// Says it and hears an answer of this type, repeating itself as a client does.
    ///
    /// # Errors
    /// What was heard instead, if anything.
    pub fn ask(&mut self, question: Question, patience: Patience) -> Result<Message, String> {
        let mut heard = Vec::new();
        for _ in 0..patience.tries {
            self.say(question.say, question.to);
            match self.hear(question.wanted, question.from, patience.each) {
                Ok(message) => return Ok(message),
                Err(others) => heard = others,
            }
        }
        Err(format!("{} asked {question:?} {} times; last heard: {heard:?}", self.mac, patience.tries))
    }

    /// DISCOVER, OFFER, REQUEST, ACK, at the server that is named or else at the quickest.
    ///
    /// # Errors
    /// Where it ended.
    pub fn obtain(&mut self, from: Option<Ipv4Addr>, patience: Patience) -> Result<Grant, String> {
        let Grant { server, address, .. } = self.discover(from, patience)?;
        let say = Say::Selecting { server, address };
        grant_of(&self.ask(Question { say, to: None, wanted: MessageType::Ack, from: Some(server) }, patience)?)
    }

    /// DISCOVER and OFFER.
    ///
    /// # Errors
    /// What was heard instead.
    pub fn discover(&mut self, from: Option<Ipv4Addr>, patience: Patience) -> Result<Grant, String> {
        grant_of(&self.ask(Question { say: Say::Discover, to: None, wanted: MessageType::Offer, from }, patience)?)
    }

    /// A broadcast renewal, as after 87.5 % of a lease.
    ///
    /// # Errors
    /// What was heard instead.
    pub fn rebind(&mut self, address: Ipv4Addr, from: Option<Ipv4Addr>, patience: Patience) -> Result<Grant, String> {
        let say = Say::Rebinding { address };
        grant_of(&self.ask(Question { say, to: None, wanted: MessageType::Ack, from }, patience)?)
    }
}

/// What is said, to whom, and which answer by whom ends it.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    pub say: Say,
    pub to: Option<Server>,
    pub wanted: MessageType,
    pub from: Option<Ipv4Addr>,
}

/// How often a client says a thing, and how long it listens each time.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    pub tries: u32,
    pub each: Duration,
}

impl Patience {
    /// Enough for any healthy cluster on a slow machine.
    pub const USUAL: Self = Self { tries: 20, each: Duration::from_secs(1) };
    /// Quick to repeat, to measure when the first answer comes.
    pub const EAGER: Self = Self { tries: 3_000, each: Duration::from_millis(10) };
}

pub fn server_of(message: &Message) -> Option<Ipv4Addr> {
    match message.opts().get(OptionCode::ServerIdentifier) {
        Some(DhcpOption::ServerIdentifier(server)) => Some(*server),
        _ => None,
    }
}

pub fn lease_seconds_of(message: &Message) -> Option<u32> {
    match message.opts().get(OptionCode::AddressLeaseTime) {
        Some(DhcpOption::AddressLeaseTime(seconds)) => Some(*seconds),
        _ => None,
    }
}

fn grant_of(answer: &Message) -> Result<Grant, String> {
    let server = server_of(answer).ok_or("an answer without a server identifier")?;
    let seconds = lease_seconds_of(answer).ok_or("an answer without a lease time")?;
    Ok(Grant { address: answer.yiaddr(), server, seconds })
}

/// RFC 2131 table 5: which fields and options each message carries.
fn message(what: Say, mac: Mac, xid: u32) -> Message {
    let none = Ipv4Addr::UNSPECIFIED;
    let (kind, ciaddr, server, requested) = match what {
        Say::Discover => (MessageType::Discover, none, None, None),
        Say::Selecting { server, address } => (MessageType::Request, none, Some(server), Some(address)),
        Say::InitReboot { address } => (MessageType::Request, none, None, Some(address)),
        Say::Renewing { address } | Say::Rebinding { address } => (MessageType::Request, address, None, None),
        Say::Decline { server, address } => (MessageType::Decline, none, Some(server), Some(address)),
        Say::Release { server, address } => (MessageType::Release, address, Some(server), None),
        Say::Inform { address } => (MessageType::Inform, address, None, None),
    };
    let mut message = Message::new_with_id(xid, ciaddr, none, none, none, &mac.0);
    let options = message.opts_mut();
    options.insert(DhcpOption::MessageType(kind));
    for option in
        [server.map(DhcpOption::ServerIdentifier), requested.map(DhcpOption::RequestedIpAddress)].into_iter().flatten()
    {
        options.insert(option);
    }
    if !matches!(kind, MessageType::Decline | MessageType::Release) {
        let wanted =
            vec![OptionCode::SubnetMask, OptionCode::Router, OptionCode::DomainNameServer, OptionCode::DomainName];
        options.insert(DhcpOption::ParameterRequestList(wanted));
    }
    message
}
