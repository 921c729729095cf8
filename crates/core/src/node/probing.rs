//! What comes of looking for an address before it is offered.

use super::Node;
use super::clients::Arrival;
use super::counters::Counters;
use crate::dhcp::answer::Silence;
use crate::dhcp::pending::Pending;
use crate::dhcp::probes::{Probing, TRIES};
use crate::lease::record::HardwareAddress;
use std::net::Ipv4Addr;

impl Node {
    /// Somebody uses an address that was about to be offered; or it is the client itself, which is welcome to it.
    pub(super) fn probe_answered(&mut self, link: Option<u32>, address: Ipv4Addr, hardware: Option<HardwareAddress>) {
        let found = self.relationships.iter_mut().find_map(|pair| pair.probes.answered(link, address));
        let Some(probing) = found else { return };
        let (client, message) = (probing.pending.query.hardware, probing.pending.query.kind.as_str());
        let answered =
            if hardware == Some(client) { self.nobody_answered(probing) } else { self.set_aside(probing, hardware) };
        if let Err(reason) = answered {
            Counters::count(&mut self.counters.silent, reason);
            self.note_deed(client, message, Some(reason));
        }
    }

    /// The address may be offered, if the client still waits for it.
    pub(super) fn nobody_answered(&mut self, probing: Probing) -> Result<(), &'static str> {
        let scopes = [probing.pending.scope];
        let mut floor = self.floor(&scopes, (false, false), probing.tries);
        let waits = floor.note_quiet(probing.pending.scope, &probing.client, probing.address);
        if !waits {
            return Err(Silence::Superseded.as_str());
        }
        self.answer_again(probing)
    }

    /// The address is set aside, and the next one is looked for.
    fn set_aside(&mut self, probing: Probing, by: Option<HardwareAddress>) -> Result<(), &'static str> {
        let evidence = match by {
            Some(hardware) => format!("{hardware} answered when it was looked for"),
            None => "someone answered when it was looked for".to_owned(),
        };
        let scopes = [probing.pending.scope];
        let mut floor = self.floor(&scopes, (false, false), probing.tries);
        let silence = floor.found_in_use(&probing.pending, &probing.client, probing.address, &evidence);
        if let Some(silence) = silence {
            return Err(silence.as_str());
        }
        if probing.tries >= TRIES {
            return Err(Silence::InUse.as_str());
        }
        self.answer_again(probing)
    }

    fn answer_again(&mut self, probing: Probing) -> Result<(), &'static str> {
        let pending = *probing.pending;
        let Pending { link, source, destination, received, .. } = pending;
        let arrival = Arrival { link, source, destination, received };
        self.answer_query(pending.query, arrival, probing.tries)
    }
}
