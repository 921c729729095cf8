//! Whether what nodes say of themselves is so: their status, asked for again and again, beside the frames.
//!
//! A status is of some moment between the question and the answer. What two statuses in a row say alike, under one epoch,
//! was so all the time between them, since each change of the active node takes a new epoch.

use crate::capture::{Direction, Endpoint, Seen};
use crate::daemon::{Site, ask};
use crate::frame::Frame;
use dhcproto::v4::{MessageType, Opcode};
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(30);
/// An active node that is asked so often, for so long, has answered somebody.
const ASKED_OFTEN: usize = 20;
const FOR_LONG: Duration = Duration::from_secs(2);
/// A heartbeat may be under way, and a status may be of the turn before.
const SLACK: Duration = Duration::from_millis(500);
/// Within this a node notices that it is alone, on any machine: its timeout is a second.
const NOTICED: Duration = Duration::from_secs(4);

/// What a node said of its only relationship.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Claim {
    pub node: usize,
    pub asked: Instant,
    pub answered: Instant,
    pub state: String,
    pub active: bool,
    pub epoch: u64,
    pub connected: bool,
    pub heartbeat_age: Duration,
    /// Whether each scope is active.
    pub scopes: Vec<bool>,
}

impl Claim {
    fn read(node: usize, asked: Instant, status: &Value) -> Option<Self> {
        let it = &status["relationships"][0];
        let scopes = status["scopes"].as_array()?;
        Some(Self {
            node,
            asked,
            answered: Instant::now(),
            state: it["state"].as_str()?.to_owned(),
            active: it["role"].as_str()? == "active",
            epoch: it["epoch"]["number"].as_u64()?,
            connected: it["partner"]["connected"].as_bool()?,
            heartbeat_age: Duration::from_millis(it["partner"]["heartbeat_age_ms"].as_u64().unwrap_or(u64::MAX / 2)),
            scopes: scopes.iter().map(|it| it["state"] == "active").collect(),
        })
    }

    fn says_the_same(&self, other: &Self) -> bool {
        (&self.state, self.active, self.epoch) == (&other.state, other.active, other.epoch)
    }
}

/// Asks two nodes for their status until it is told to stop. A node that does not run says nothing.
pub struct Watcher {
    stop: Arc<AtomicBool>,
    worker: Option<JoinHandle<Vec<Claim>>>,
}

impl Watcher {
    pub fn start(sites: [Site; 2]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let worker = std::thread::spawn(move || {
            let mut claims = Vec::new();
            while !told.load(Ordering::Relaxed) {
                for (node, site) in sites.iter().enumerate() {
                    let asked = Instant::now();
                    claims.extend(ask(site, &["status"]).ok().and_then(|status| Claim::read(node, asked, &status)));
                }
                std::thread::sleep(PAUSE);
            }
            claims
        });
        Self { stop, worker: Some(worker) }
    }

    /// Everything that was said.
    pub fn finish(mut self) -> Vec<Claim> {
        self.stop.store(true, Ordering::Relaxed);
        let worker = self.worker.take().expect("a watcher is finished once");
        worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// A time during which a node said the same, from the first answer to the last question.
struct Stretch<'a> {
    claim: &'a Claim,
    from: Instant,
    to: Instant,
}

fn stretches(claims: &[Claim], node: usize) -> Vec<Stretch<'_>> {
    let mut stretches: Vec<Stretch<'_>> = Vec::new();
    for claim in claims.iter().filter(|it| it.node == node) {
        match stretches.last_mut().filter(|it| it.claim.says_the_same(claim)) {
            Some(stretch) => stretch.to = claim.asked.max(stretch.from),
            None => stretches.push(Stretch { claim, from: claim.answered, to: claim.answered }),
        }
    }
    stretches
}

/// What was said that the frames show not to be so. `cuts`: when nothing passed between the nodes.
pub fn untrue_claims(claims: &[Claim], seen: &[Seen], cuts: &[(Instant, Instant)]) -> Vec<String> {
    let mut untrue = Vec::new();
    for node in [0, 1] {
        for stretch in stretches(claims, node) {
            untrue.extend(untrue_role(&stretch, node, seen));
        }
    }
    for a in stretches(claims, 0).iter().filter(|it| is_active_in_normal(it.claim)) {
        for b in stretches(claims, 1).iter().filter(|it| is_active_in_normal(it.claim)) {
            if a.from.max(b.from) < a.to.min(b.to) {
                untrue.push(format!("both say that they alone are active: {:?} and {:?}", a.claim, b.claim));
            }
        }
    }
    for claim in claims {
        if claim.scopes.iter().any(|active| *active != claim.active) {
            untrue.push(format!("a scope is not what its relationship is: {claim:?}"));
        }
        let during = |(from, to): &&(Instant, Instant)| *from <= claim.asked && claim.answered <= *to;
        if let Some((from, _)) = cuts.iter().find(during) {
            let alone = claim.asked - *from;
            if claim.heartbeat_age + SLACK < alone || (claim.connected && alone > NOTICED) {
                untrue.push(format!("contact {alone:?} after the link was cut: {claim:?}"));
            }
        }
    }
    untrue
}

fn is_active_in_normal(claim: &Claim) -> bool {
    claim.active && claim.state == "normal"
}

/// A deactivated node that answered, or an active one that answered nobody.
fn untrue_role(stretch: &Stretch<'_>, node: usize, seen: &[Seen]) -> Option<String> {
    let within =
        seen.iter().filter(|it| it.endpoint == Endpoint::Node(node) && (stretch.from..stretch.to).contains(&it.at));
    let (mut answers, mut questions) = (0, 0);
    for it in within {
        let Frame::Dhcp(dhcp) = &it.frame else { continue };
        let Some(message) = &dhcp.message else { continue };
        let asks = matches!(message.opts().msg_type(), Some(MessageType::Discover | MessageType::Request));
        match it.direction {
            Direction::Sent if message.opcode() == Opcode::BootReply => answers += 1,
            Direction::Reached if asks => questions += 1,
            Direction::Sent | Direction::Reached => {}
        }
    }
    let Stretch { claim, from, to } = stretch;
    if !claim.active && answers > 0 {
        return Some(format!("{answers} answers in {:?} of a node that said: {claim:?}", *to - *from));
    }
    let asked_in_vain = answers == 0 && questions >= ASKED_OFTEN && *to - *from >= FOR_LONG;
    (claim.active && asked_in_vain)
        .then(|| format!("{questions} questions and no answer of a node that said: {claim:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Dhcp, Mac};
    use dhcproto::v4::{DhcpOption, Message};
    use std::net::Ipv4Addr;

    fn claim(start: Instant, node: usize, ms: u64, active: bool) -> Claim {
        let at = start + Duration::from_millis(ms);
        Claim {
            node,
            asked: at,
            answered: at,
            state: "normal".into(),
            active,
            epoch: 1,
            connected: true,
            heartbeat_age: Duration::ZERO,
            scopes: vec![active],
        }
    }

    fn frame(at: Instant, direction: Direction, kind: MessageType) -> Seen {
        let mut message = Message::default();
        message.set_opcode(if direction == Direction::Sent { Opcode::BootReply } else { Opcode::BootRequest });
        message.opts_mut().insert(DhcpOption::MessageType(kind));
        let (mac, any) = (Mac::BROADCAST, (Ipv4Addr::UNSPECIFIED, 67));
        let dhcp =
            Dhcp { source_mac: mac, destination_mac: mac, source: any, destination: any, message: Some(message) };
        Seen { at, endpoint: Endpoint::Node(0), direction, frame: Frame::Dhcp(Box::new(dhcp)) }
    }

    #[test]
    fn what_the_frames_do_not_bear_out_is_found() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let said = |active| [claim(start, 0, 0, active), claim(start, 0, 5_000, active)];
        let answer = [frame(at(100), Direction::Sent, MessageType::Offer)];
        assert_eq!(untrue_claims(&said(false), &answer, &[]).len(), 1, "it said that it was deactivated");
        assert_eq!(untrue_claims(&said(true), &answer, &[]).len(), 0);

        let questions: Vec<Seen> = (0..30).map(|it| frame(at(it), Direction::Reached, MessageType::Discover)).collect();
        assert_eq!(untrue_claims(&said(true), &questions, &[]).len(), 1, "it said that it was active");
        assert_eq!(untrue_claims(&said(false), &questions, &[]).len(), 0);

        let both = [said(true), [claim(start, 1, 0, true), claim(start, 1, 5_000, true)]].concat();
        assert_eq!(untrue_claims(&both, &[], &[]).len(), 1, "two nodes said it");
        let other_scope = Claim { scopes: vec![false], ..claim(start, 0, 0, true) };
        assert_eq!(untrue_claims(&[other_scope], &[], &[]).len(), 1);

        let alone = |ms| [claim(start, 0, ms, true)];
        let cut = [(start, at(60_000))];
        assert_eq!(untrue_claims(&alone(3_000), &[], &cut).len(), 1, "nobody was heard for so long");
        assert_eq!(untrue_claims(&alone(300), &[], &cut).len(), 0);
    }
}
