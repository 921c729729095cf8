//! The part of the loop that listens to what was not said to it: other servers, and those who use an address.

use super::Serving;
use crate::udp::Heard;
use standfast_core::configuration::Probe;
use standfast_core::input::{Input, Overheard};
use standfast_core::output::Probing;

impl Serving {
    /// Takes what was overheard on a link.
    pub(super) fn overhear(&mut self, index: u32) {
        let Some(link) = self.links.get(index as usize) else { return };
        let (node, clock) = (&mut self.node, &self.clock);
        let heard = link.overhear(|heard| {
            let input = match heard {
                Heard::Reply { hardware, bytes } => Input::Overheard(Overheard { link: index, hardware, bytes }),
                Heard::Has { address, hardware } => {
                    Input::ProbeAnswered { link: Some(index), address, hardware: Some(hardware) }
                }
            };
            node.handle(clock.now(), input);
        });
        if let Err(error) = heard {
            tracing::warn!(%error, link = link.name(), "listening failed");
        }
    }

    /// Takes the answers to echo requests.
    pub(super) fn take_echoes(&mut self) {
        let (node, clock) = (&mut self.node, &self.clock);
        let Some(pinger) = &self.pinger else { return };
        let heard = pinger.listen(|address| {
            node.handle(clock.now(), Input::ProbeAnswered { link: None, address, hardware: None });
        });
        if let Err(error) = heard {
            tracing::warn!(%error, "listening for echoes failed");
        }
    }

    /// Looks for addresses, unless the right under which that was to be done may have passed. Where it fails, nobody
    /// answers, and the address is offered as if it had not been looked for.
    pub(super) fn probe(&self, probes: &[Probing]) {
        if probes.is_empty() {
            return;
        }
        let now = self.clock.instant();
        for probing in probes.iter().filter(|probing| now <= probing.deadline) {
            let asked = match probing.how {
                Probe::Off => Ok(()),
                Probe::Arp => self.links.get(probing.link as usize).map_or(Ok(()), |link| link.arp(probing.address)),
                Probe::Icmp => self.pinger.as_ref().map_or(Ok(()), |pinger| pinger.ask(probing.address)),
            };
            if let Err(error) = asked {
                tracing::debug!(%error, address = %probing.address, "an address could not be looked for");
            }
        }
    }
}
