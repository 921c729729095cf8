//! The judge: it sees every frame of the LAN and applies the invariants of docs/architecture.md to them.
//!
//! Each rule is a function from what was seen to its violations, so that each has a test that shows it can find one.

use crate::capture::{Direction, Endpoint, Seen};
use crate::device::lease_seconds_of;
use crate::frame::{Dhcp, Frame};
use dhcproto::v4::{Message, MessageType, OptionCode};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

/// What a deactivated node must not emit on a client link: DHCP, ICMP and ARP requests. (An ARP reply is the kernel's
/// and says nothing to a client.)
pub fn deactivated_is_silent(seen: &[Seen], node: usize) -> Vec<String> {
    sent_by_node(seen, node)
        .filter(|it| matches!(it.frame, Frame::Dhcp(_) | Frame::Icmp { .. } | Frame::ArpRequest { .. }))
        .map(|it| format!("node {node} emitted {:?}", it.frame))
        .collect()
}

fn sent_by_node(seen: &[Seen], node: usize) -> impl Iterator<Item = &Seen> {
    seen.iter().filter(move |it| it.endpoint == Endpoint::Node(node) && it.direction == Direction::Sent)
}

/// The messages of clients that arrived at a node's port: the proof that it was silent although it was spoken to.
pub fn reached_node(seen: &[Seen], node: usize) -> Vec<(MessageType, Dhcp)> {
    seen.iter()
        .filter(|it| it.endpoint == Endpoint::Node(node) && it.direction == Direction::Reached)
        .filter_map(dhcp_of)
        .filter(|dhcp| dhcp.destination.1 == 67)
        .filter_map(|dhcp| Some((dhcp.message.as_ref()?.opts().msg_type()?, dhcp.clone())))
        .collect()
}

/// When a node first emitted a message of this type.
pub fn first_answer(seen: &[Seen], node: usize, kind: MessageType) -> Option<Instant> {
    let is_kind = |it: &&Seen| message_of(it).and_then(|message| message.opts().msg_type()) == Some(kind);
    sent_by_node(seen, node).find(is_kind).map(|it| it.at)
}

/// What a node answered from a moment on although the client had asked before that moment and not since: the answers of
/// a node that stood still to what queued up meanwhile.
pub fn answered_late(seen: &[Seen], node: usize, moment: Instant) -> Vec<String> {
    answers(seen, node)
        .into_iter()
        .filter(|it| it.answered >= moment && it.asked_last < moment)
        .map(|it| {
            format!("{:?} for {} to a message that was {:?} old", it.kind, it.address, it.answered - it.asked_last)
        })
        .collect()
}

/// What a node answered to what was first asked since a moment: a node that stops serving may still send the answers
/// that waited for its partner then.
pub fn answered_new(seen: &[Seen], node: usize, moment: Instant) -> Vec<String> {
    answers(seen, node)
        .into_iter()
        .filter(|it| it.asked_first >= moment)
        .map(|it| format!("{:?} for {} {:?} after the moment", it.kind, it.address, it.answered - moment))
        .collect()
}

/// An answer of a node, and when its question reached it. Messages belong together by client and transaction.
struct Answer {
    kind: Option<MessageType>,
    address: Ipv4Addr,
    asked_first: Instant,
    asked_last: Instant,
    answered: Instant,
}

fn answers(seen: &[Seen], node: usize) -> Vec<Answer> {
    let mut asked: BTreeMap<(Vec<u8>, u32), (Instant, Instant)> = BTreeMap::new();
    let mut answers = Vec::new();
    for it in seen.iter().filter(|it| it.endpoint == Endpoint::Node(node)) {
        let Some(message) = message_of(it) else { continue };
        let exchange = (message.chaddr().to_vec(), message.xid());
        if it.direction == Direction::Reached {
            asked.entry(exchange).or_insert((it.at, it.at)).1 = it.at;
        } else if let Some((asked_first, asked_last)) = asked.get(&exchange).copied() {
            let (kind, address) = (message.opts().msg_type(), message.yiaddr());
            answers.push(Answer { kind, address, asked_first, asked_last, answered: it.at });
        }
    }
    answers
}

fn dhcp_of(seen: &Seen) -> Option<&Dhcp> {
    if let Frame::Dhcp(dhcp) = &seen.frame { Some(dhcp) } else { None }
}

fn message_of(seen: &Seen) -> Option<&Message> {
    dhcp_of(seen)?.message.as_ref()
}

/// What a client says, by RFC 2131 4.3.2 and as it arrives at a node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Spoke {
    Discover,
    Selecting,
    InitReboot,
    Renewing,
    Rebinding,
    Release,
    Other,
}

/// Something that a client said and a node heard, and what that node answered to it.
#[derive(Clone, Debug)]
pub struct Heard {
    pub at: Instant,
    pub node: usize,
    pub spoke: Spoke,
    pub source: Ipv4Addr,
    pub ciaddr: Ipv4Addr,
    pub broadcast: bool,
    pub relayed: bool,
    pub answers: Vec<(MessageType, Ipv4Addr)>,
}

/// Everything of one client, in order.
pub fn conversation(seen: &[Seen], client: &[u8]) -> Vec<Heard> {
    let mut heard: Vec<(u32, Heard)> = Vec::new();
    for it in seen {
        let (Endpoint::Node(node), Some(dhcp)) = (it.endpoint, dhcp_of(it)) else { continue };
        let Some(message) = dhcp.message.as_ref().filter(|it| it.chaddr() == client) else { continue };
        let Some(kind) = message.opts().msg_type() else { continue };
        if it.direction == Direction::Reached {
            let (spoke, broadcast) = (spoke(dhcp, message, kind), message.flags().broadcast());
            let relayed = message.giaddr() != Ipv4Addr::UNSPECIFIED;
            let (source, ciaddr, answers) = (dhcp.source.0, message.ciaddr(), Vec::new());
            heard.push((message.xid(), Heard { at: it.at, node, spoke, source, ciaddr, broadcast, relayed, answers }));
        } else if let Some((_, question)) =
            heard.iter_mut().rev().find(|(xid, question)| *xid == message.xid() && question.node == node)
        {
            question.answers.push((kind, message.yiaddr()));
        }
    }
    heard.into_iter().map(|(_, heard)| heard).collect()
}

fn spoke(dhcp: &Dhcp, message: &Message, kind: MessageType) -> Spoke {
    let has = |code| message.opts().get(code).is_some();
    #[expect(clippy::wildcard_enum_match_arm, reason = "what is left is no part of the life of a lease")]
    match kind {
        MessageType::Discover => Spoke::Discover,
        MessageType::Release => Spoke::Release,
        MessageType::Request if has(OptionCode::ServerIdentifier) => Spoke::Selecting,
        MessageType::Request if message.ciaddr() == Ipv4Addr::UNSPECIFIED => Spoke::InitReboot,
        MessageType::Request if dhcp.destination.0.is_broadcast() || message.giaddr() != Ipv4Addr::UNSPECIFIED => {
            Spoke::Rebinding
        }
        MessageType::Request => Spoke::Renewing,
        _ => Spoke::Other,
    }
}

/// What a client was told in an ACK.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Promise {
    /// Its hardware address.
    pub client: Vec<u8>,
    pub address: Ipv4Addr,
    pub until: Instant,
}

/// Every lease that a node promised.
pub fn promises(seen: &[Seen], node: usize) -> Vec<Promise> {
    let promise = |it: &Seen| {
        let message = message_of(it).filter(|it| it.opts().msg_type() == Some(MessageType::Ack))?;
        let seconds = lease_seconds_of(message)?;
        let until = it.at + Duration::from_secs(seconds.into());
        Some(Promise { client: message.chaddr().to_vec(), address: message.yiaddr(), until })
    };
    sent_by_node(seen, node).filter_map(promise).collect()
}

/// The validity of a lease as its client sees it.
#[derive(Clone, Debug)]
struct Holding {
    client: Vec<u8>,
    until: Instant,
}

/// No address with two clients at one time: a lease holds from its ACK until it expires, or its client releases or
/// declines it, or is told NAK.
pub fn one_client_per_address(seen: &[Seen]) -> Vec<String> {
    let mut held: BTreeMap<Ipv4Addr, Vec<Holding>> = BTreeMap::new();
    let mut violations = Vec::new();
    for it in seen.iter().filter(|it| it.direction == Direction::Sent) {
        let Some(message) = message_of(it) else { continue };
        let client = message.chaddr().to_vec();
        let from_node = matches!(it.endpoint, Endpoint::Node(_));
        match (from_node, message.opts().msg_type()) {
            (true, Some(MessageType::Ack)) => {
                let Some(seconds) = lease_seconds_of(message) else { continue };
                let holdings = held.entry(message.yiaddr()).or_default();
                holdings.retain(|holding| holding.until > it.at);
                if let Some(other) = holdings.iter().find(|holding| holding.client != client) {
                    violations.push(format!(
                        "{} was given to {client:02x?} while {:02x?} holds it for another {:?}",
                        message.yiaddr(),
                        other.client,
                        other.until - it.at
                    ));
                }
                holdings.retain(|holding| holding.client != client);
                holdings.push(Holding { client, until: it.at + Duration::from_secs(seconds.into()) });
            }
            (true, Some(MessageType::Nak)) | (false, Some(MessageType::Release | MessageType::Decline)) => {
                held.values_mut().for_each(|holdings| holdings.retain(|holding| holding.client != client));
            }
            _ => {}
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Mac;
    use dhcproto::v4::DhcpOption;

    fn seen(at: Instant, endpoint: Endpoint, kind: MessageType, client: u8, address: [u8; 4], seconds: u32) -> Seen {
        let none = Ipv4Addr::UNSPECIFIED;
        let mut message = Message::new_with_id(1, none, address.into(), none, none, &[2, 0, 0, 0, 0, client]);
        message.opts_mut().insert(DhcpOption::MessageType(kind));
        message.opts_mut().insert(DhcpOption::AddressLeaseTime(seconds));
        let dhcp = Dhcp {
            source_mac: Mac([0; 6]),
            destination_mac: Mac::BROADCAST,
            source: (none, 67),
            destination: (none, 68),
            message: Some(message),
        };
        Seen { at, endpoint, direction: Direction::Sent, frame: Frame::Dhcp(Box::new(dhcp)) }
    }

    #[test]
    fn an_address_given_twice_is_found_and_one_given_on_is_not() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let address = [10, 20, 0, 50];
        let ack = |second, node, client| seen(at(second), Endpoint::Node(node), MessageType::Ack, client, address, 60);
        let ended = |kind| seen(at(5), Endpoint::Client(0), kind, 1, [0; 4], 0);
        assert_eq!(one_client_per_address(&[ack(0, 0, 1), ack(10, 1, 2)]).len(), 1);
        assert_eq!(
            one_client_per_address(&[ack(0, 0, 1), ack(10, 1, 1)]).len(),
            0,
            "the same client may hear it twice"
        );
        assert_eq!(one_client_per_address(&[ack(0, 0, 1), ack(61, 1, 2)]).len(), 0, "the lease was over");
        assert_eq!(one_client_per_address(&[ack(0, 0, 1), ack(50, 0, 1), ack(61, 1, 2)]).len(), 1, "it was extended");
        for kind in [MessageType::Release, MessageType::Decline] {
            assert_eq!(one_client_per_address(&[ack(0, 0, 1), ended(kind), ack(10, 1, 2)]).len(), 0, "{kind:?}");
        }
    }

    #[test]
    fn an_answer_is_late_by_when_it_was_last_asked_for_and_new_by_when_first() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let asked = |s| Seen {
            direction: Direction::Reached,
            ..seen(at(s), Endpoint::Node(0), MessageType::Request, 1, [0; 4], 0)
        };
        let answered = |s| seen(at(s), Endpoint::Node(0), MessageType::Ack, 1, [10, 0, 0, 5], 60);
        assert_eq!(answered_late(&[asked(1), answered(11)], 0, at(10)).len(), 1);
        assert!(answered_late(&[asked(1), answered(2)], 0, at(10)).is_empty());
        assert!(answered_late(&[asked(1), asked(10), answered(11)], 0, at(10)).is_empty());
        assert!(answered_late(&[asked(1), answered(11)], 1, at(10)).is_empty());
        assert_eq!(answered_new(&[asked(10), answered(11)], 0, at(10)).len(), 1);
        assert!(answered_new(&[asked(1), answered(11)], 0, at(10)).is_empty());
        assert!(answered_new(&[asked(1), asked(10), answered(11)], 0, at(10)).is_empty());
        assert!(answered_new(&[asked(10), answered(11)], 1, at(10)).is_empty());
    }

    #[test]
    fn whatever_a_deactivated_node_emits_is_counted_but_arp_replies() {
        let now = Instant::now();
        let mut all = vec![seen(now, Endpoint::Node(1), MessageType::Nak, 1, [0; 4], 0)];
        let any = Ipv4Addr::UNSPECIFIED;
        for frame in [
            Frame::Icmp { from: any, to: any, kind: 8 },
            Frame::ArpRequest { by: Mac::BROADCAST, from: any, for_address: any },
            Frame::ArpReply { from: any },
        ] {
            all.push(Seen { at: now, endpoint: Endpoint::Node(1), direction: Direction::Sent, frame });
        }
        assert_eq!(deactivated_is_silent(&all, 1).len(), 3);
        assert!(deactivated_is_silent(&all, 0).is_empty());
        assert_eq!(first_answer(&all, 1, MessageType::Nak), Some(now));
    }
}
