//! What a story tells of the world: messages of clients and servers, silence with its reason, events, addresses that
//! become free.

use crate::client::To;
use crate::settings::{NODES, host_of};
use crate::transcript::client_name;
use crate::wire::{self, Heard, Saying};
use crate::world::World;
use standfast_core::event::{Code, Event};
use standfast_core::lease::record::{Lease, LeaseState};
use standfast_core::output::CommandResult;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// How often a node has been silent, by reason.
pub(crate) type Silences = BTreeMap<&'static str, u64>;

impl World {
    /// As transcripts call a client: by a letter in a story, else by its number.
    pub(crate) fn client_name(&self, client: usize) -> String {
        if self.transcript.is_story() { client_name(client).into() } else { format!("client {client}") }
    }

    pub(crate) fn tell_saying(&mut self, client: usize, to: To, saying: &Saying) {
        if self.transcript.is_story() {
            let line = said(to, saying);
            self.say(client_name(client), || line);
        }
    }

    pub(crate) fn tell_answer(&mut self, host: usize, heard: &Heard, bytes: &[u8]) {
        if !self.transcript.is_story() {
            return;
        }
        let to = client_name(heard.client);
        let lost = if self.carries(host, heard.client) { "" } else { ", which is lost" };
        let line = match heard.kind {
            wire::OFFER => format!("OFFER {} to {to} for {} s{lost}", heard.address, heard.lease),
            wire::ACK => format!("ACK {} to {to} for {} s{lost}", heard.address, heard.lease),
            wire::NAK => format!("NAK to {to}: {}{lost}", wire::reason(bytes)),
            kind => format!("message {kind} to {to}{lost}"),
        };
        self.say(NODES[host], || line);
    }

    pub(crate) fn silences(&self, host: usize) -> Silences {
        let told = self.hosts[host].process.as_ref().filter(|_| self.transcript.is_story());
        told.map(|node| node.counters().silent.clone()).unwrap_or_default()
    }

    /// Tells for what reason a node was silent just now, if it was.
    pub(crate) fn tell_silence(&mut self, host: usize, before: &Silences) {
        for (reason, count) in self.silences(host) {
            if before.get(reason).copied().unwrap_or(0) < count {
                self.say(NODES[host], || format!("is silent: {}", reason.replace('_', " ")));
            }
        }
    }

    pub(crate) fn tell_event(&mut self, host: usize, event: &Event) {
        let evidence = if event.evidence.is_empty() { String::new() } else { format!(" ({})", event.evidence) };
        let line = match (self.transcript.is_story(), event.code) {
            (true, Code::StateChanged) => format!("{}{evidence}", event.what),
            (true, code) => format!("{}: {}{evidence}", code.name(), event.what),
            (false, code) => {
                let pair = event.relationship.as_ref().map_or("", |name| name.as_str());
                format!("{pair} {}: {} ({})", code.name(), event.what, event.evidence)
            }
        };
        self.say(NODES[host], || line);
    }

    pub(crate) fn tell_result(&mut self, result: &CommandResult) {
        if !self.transcript.is_story() {
            return self.say("operator", || format!("{result:?}"));
        }
        let (how, words) = match result {
            CommandResult::Done(words) => ("done", words),
            CommandResult::Refused(words) => ("refused", words),
            CommandResult::Failed(words) => ("failed", words),
        };
        self.say("operator", || format!("is told: {how}: {words}"));
    }

    /// The way of an address back to free is told; that an ACK rests on a record is understood.
    pub(crate) fn tell_durable(&mut self, host: usize, lease: &Lease) {
        if self.transcript.is_story() && lease.state == LeaseState::Free {
            let address = lease.address;
            self.say(NODES[host], || format!("holds {address} for free from now on"));
        }
    }
}

fn said(to: To, saying: &Saying) -> String {
    let node = |server: Ipv4Addr| host_of(server).map_or("nobody", |host| NODES[host]);
    let address = |address: Option<Ipv4Addr>| address.unwrap_or(Ipv4Addr::UNSPECIFIED);
    let mut line = match (saying.kind, to, saying.server) {
        (wire::DISCOVER, ..) => "DISCOVER".to_owned(),
        (wire::REQUEST, _, Some(server)) => format!("REQUEST {} of {}", address(saying.requested), node(server)),
        (wire::REQUEST, To::Server(server), None) => {
            format!("REQUEST {} of {}, renewing", address(saying.ciaddr), node(server))
        }
        (wire::REQUEST, To::Everyone, None) if saying.ciaddr.is_some() => {
            format!("REQUEST {}, rebinding", address(saying.ciaddr))
        }
        (wire::REQUEST, To::Everyone, None) => format!("REQUEST {}, INIT-REBOOT", address(saying.requested)),
        (wire::RELEASE, ..) => format!("RELEASE {}", address(saying.ciaddr)),
        (wire::DECLINE, ..) => format!("DECLINE {}", address(saying.requested)),
        (kind, ..) => format!("message {kind}"),
    };
    if let Some(seconds) = saying.seconds {
        line.push_str(&format!(", for {seconds} s"));
    }
    line
}
