//! A client as RFC 2131 section 4.4 describes it, with a will of its own: it roams, restarts, releases, declines.

use crate::random::Random;
use crate::wire::{ACK, DECLINE, DISCOVER, Heard, NAK, OFFER, RELEASE, REQUEST, Saying};
use std::net::Ipv4Addr;

/// Microseconds of true time.
pub(crate) type Time = i64;

pub(crate) const SECOND: Time = 1_000_000;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    Off,
    Selecting,
    Requesting,
    Bound,
    Renewing,
    Rebinding,
    Rebooting,
}

/// A lease as its client sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Held {
    pub(crate) address: Ipv4Addr,
    pub(crate) server: Ipv4Addr,
    pub(crate) until: Time,
    renew_at: Time,
    rebind_at: Time,
}

/// To whom something is said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum To {
    Everyone,
    Server(Ipv4Addr),
}

/// What a client does.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Say(To, Saying),
    /// It believes from now on that it has the address.
    Acked(Held),
    /// It has given the address up.
    GaveBack {
        address: Ipv4Addr,
        declined: bool,
    },
    /// It was refused the address that it believed in.
    Refused(Ipv4Addr, Time),
}

/// What a story tells a client to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Order {
    /// INIT: it wants an address.
    Discover,
    /// INIT-REBOOT: it wants the address that it remembers, or this one.
    Reboot(Option<Ipv4Addr>),
    /// RENEWING, asking for so many seconds.
    Renew { seconds: Option<u32> },
    /// It heard nothing and says its request once more.
    RenewAgain,
    /// REBINDING.
    Rebind,
    /// It gives its lease back.
    Release,
    /// It found its address in use.
    Decline,
}

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) index: usize,
    pub(crate) relay: Option<Ipv4Addr>,
    /// Which nodes it can speak with.
    pub(crate) reach: [bool; 2],
    pub(crate) state: State,
    pub(crate) held: Option<Held>,
    pub(crate) wake_at: Time,
    /// Does nothing strange any more.
    pub(crate) tame: bool,
    /// Does nothing unless it is told to, in a story.
    pub(crate) told: bool,
    /// The only server whose offers it takes, if it is choosy.
    pub(crate) prefers: Option<Ipv4Addr>,
    xid: u32,
    tries: u32,
    sent_at: Time,
    wanted: Option<(Ipv4Addr, Ipv4Addr)>,
    /// How often it does something strange, in percent of the times that it wakes.
    restless: u64,
}

impl Client {
    pub(crate) fn new(index: usize, relay: Option<Ipv4Addr>, random: &mut Random) -> Self {
        Self {
            index,
            relay,
            reach: [true; 2],
            state: State::Off,
            held: None,
            wake_at: random.between(0, 5 * SECOND),
            tame: false,
            told: false,
            prefers: None,
            xid: index as u32 * 1_000_003,
            tries: 0,
            sent_at: 0,
            wanted: None,
            restless: [0, 5, 20, 40][random.index(4)],
        }
    }

    /// Its time has come.
    pub(crate) fn wake(&mut self, now: Time, random: &mut Random) -> Vec<Act> {
        if let Some(held) = self.held
            && held.until <= now
            && self.state != State::Off
        {
            self.held = None;
            if self.state != State::Selecting {
                return self.discover(now, random);
            }
        }
        match self.state {
            State::Off => match self.held {
                Some(held) if random.percent(60) => self.reboot(now, held, random),
                Some(_) | None => self.discover(now, random),
            },
            State::Selecting => self.discover(now, random),
            State::Requesting | State::Rebooting if self.tries >= 3 => self.discover(now, random),
            State::Requesting | State::Rebooting => self.ask_again(now, random),
            State::Bound | State::Renewing | State::Rebinding => self.keep(now, random),
        }
    }

    /// It starts again, with or without what it remembers.
    pub(crate) fn restart(&mut self, now: Time, random: &mut Random) {
        self.state = State::Off;
        if random.percent(30) {
            self.held = None;
        }
        self.wake_at = now + random.between(SECOND / 2, 20 * SECOND);
    }

    fn discover(&mut self, now: Time, random: &mut Random) -> Vec<Act> {
        if self.state != State::Selecting {
            self.tries = 0;
        }
        self.state = State::Selecting;
        self.begin(now);
        self.tries += 1;
        self.wake_at = now + random.between(2 * SECOND, 4 * SECOND);
        let requested = self.held.map(|held| held.address);
        vec![Act::Say(To::Everyone, Saying { kind: DISCOVER, requested, ..self.saying() })]
    }

    fn reboot(&mut self, now: Time, held: Held, random: &mut Random) -> Vec<Act> {
        self.state = State::Rebooting;
        self.begin(now);
        self.tries = 0;
        self.wanted = Some((held.address, held.server));
        self.ask_again(now, random)
    }

    /// It counts its lease from the request that it sent last, whichever is answered.
    fn ask_again(&mut self, now: Time, random: &mut Random) -> Vec<Act> {
        self.tries += 1;
        self.sent_at = now;
        self.wake_at = now + random.between(SECOND, 3 * SECOND);
        let Some((address, server)) = self.wanted else { return self.discover(now, random) };
        let server = Some(server).filter(|_| self.state == State::Requesting);
        let seconds = random.percent(20).then(|| random.between(5, 60) as u32);
        let saying = Saying { kind: REQUEST, requested: Some(address), server, seconds, ..self.saying() };
        vec![Act::Say(To::Everyone, saying)]
    }

    fn keep(&mut self, now: Time, random: &mut Random) -> Vec<Act> {
        let Some(held) = self.held else { return self.discover(now, random) };
        if !self.tame && random.percent(self.restless) {
            return self.misbehave(now, held, random);
        }
        if now < held.renew_at {
            self.state = State::Bound;
            self.wake_at = held.renew_at.min(now + random.between(SECOND, 8 * SECOND));
            return Vec::new();
        }
        let rebinds = now >= held.rebind_at;
        self.state = if rebinds { State::Rebinding } else { State::Renewing };
        self.begin(now);
        let next = if rebinds { held.until } else { held.rebind_at };
        self.wake_at = (now + ((next - now) / 2).max(SECOND)).min(next.max(now + 1));
        let to = if rebinds { To::Everyone } else { To::Server(held.server) };
        vec![Act::Say(to, Saying { kind: REQUEST, ciaddr: Some(held.address), ..self.saying() })]
    }

    fn misbehave(&mut self, now: Time, held: Held, random: &mut Random) -> Vec<Act> {
        match random.below(4) {
            0 => {
                self.held = None;
                self.restart(now, random);
                let saying =
                    Saying { kind: RELEASE, ciaddr: Some(held.address), server: Some(held.server), ..self.saying() };
                vec![
                    Act::GaveBack { address: held.address, declined: false },
                    Act::Say(To::Server(held.server), saying),
                ]
            }
            1 => {
                self.reach = [[true, true], [true, false], [false, true]][random.index(3)];
                self.wake_at = now + 1;
                Vec::new()
            }
            2 => {
                self.restart(now, random);
                Vec::new()
            }
            _ => self.reboot(now, held, random),
        }
    }

    /// A server answers.
    pub(crate) fn hear(&mut self, now: Time, heard: &Heard, random: &mut Random) -> Vec<Act> {
        if heard.xid != self.xid {
            return Vec::new();
        }
        match (self.state, heard.kind) {
            (State::Selecting, OFFER) if self.prefers.is_some_and(|server| server != heard.server) => Vec::new(),
            (State::Selecting, OFFER) => {
                self.state = State::Requesting;
                self.tries = 0;
                self.wanted = Some((heard.address, heard.server));
                self.ask_again(now, random)
            }
            (State::Requesting | State::Renewing | State::Rebinding | State::Rebooting, ACK) => {
                self.bound(now, heard, random)
            }
            (State::Requesting | State::Renewing | State::Rebinding | State::Rebooting, NAK) => {
                let believed = self.held.take().filter(|_| self.state != State::Requesting);
                self.state = State::Off;
                self.wake_at = now + SECOND / 10;
                believed.map(|held| Act::Refused(held.address, held.until)).into_iter().collect()
            }
            (_, _) => Vec::new(),
        }
    }

    fn bound(&mut self, now: Time, heard: &Heard, random: &mut Random) -> Vec<Act> {
        let after = |seconds: u32| self.sent_at + Time::from(seconds) * SECOND;
        let until = after(heard.lease);
        if !self.tame && random.percent(self.restless / 20) {
            self.state = State::Off;
            self.held = None;
            self.wake_at = now + 2 * SECOND;
            let saying =
                Saying { kind: DECLINE, requested: Some(heard.address), server: Some(heard.server), ..self.saying() };
            return vec![Act::GaveBack { address: heard.address, declined: true }, Act::Say(To::Everyone, saying)];
        }
        let held = Held {
            address: heard.address,
            server: heard.server,
            until,
            renew_at: after(heard.renewal),
            rebind_at: after(heard.rebinding),
        };
        self.held = Some(held);
        self.state = State::Bound;
        self.wake_at = held.renew_at.min(now + random.between(SECOND, 8 * SECOND)).max(now + 1);
        vec![Act::Acked(held)]
    }

    /// Does what a story tells it to.
    pub(crate) fn order(&mut self, order: Order, now: Time, random: &mut Random) -> Vec<Act> {
        self.held = self.held.filter(|held| held.until > now || matches!(order, Order::Reboot(_)));
        let to_server = |held: &Held| To::Server(held.server);
        match (order, self.held) {
            (Order::Discover, _) => {
                self.state = State::Off;
                self.discover(now, random)
            }
            (Order::Reboot(address), held) => {
                self.state = State::Rebooting;
                self.begin(now);
                self.tries = 0;
                let server = held.map_or(Ipv4Addr::UNSPECIFIED, |held| held.server);
                let Some(address) = address.or(held.map(|held| held.address)) else { return Vec::new() };
                self.wanted = Some((address, server));
                self.ask_again(now, random)
            }
            (Order::Renew { seconds }, Some(held)) => {
                self.state = State::Renewing;
                self.begin(now);
                let saying = Saying { kind: REQUEST, ciaddr: Some(held.address), seconds, ..self.saying() };
                vec![Act::Say(to_server(&held), saying)]
            }
            (Order::RenewAgain, Some(held)) => {
                self.sent_at = now;
                vec![Act::Say(to_server(&held), Saying { kind: REQUEST, ciaddr: Some(held.address), ..self.saying() })]
            }
            (Order::Rebind, Some(held)) => {
                self.state = State::Rebinding;
                self.begin(now);
                vec![Act::Say(To::Everyone, Saying { kind: REQUEST, ciaddr: Some(held.address), ..self.saying() })]
            }
            (Order::Release, Some(held)) => {
                self.held = None;
                self.state = State::Off;
                let saying =
                    Saying { kind: RELEASE, ciaddr: Some(held.address), server: Some(held.server), ..self.saying() };
                vec![
                    Act::GaveBack { address: held.address, declined: false },
                    Act::Say(To::Server(held.server), saying),
                ]
            }
            (Order::Decline, Some(held)) => {
                self.held = None;
                self.state = State::Off;
                let saying =
                    Saying { kind: DECLINE, requested: Some(held.address), server: Some(held.server), ..self.saying() };
                vec![Act::GaveBack { address: held.address, declined: true }, Act::Say(To::Everyone, saying)]
            }
            (Order::Renew { .. } | Order::RenewAgain | Order::Rebind | Order::Release | Order::Decline, None) => {
                Vec::new()
            }
        }
    }

    fn begin(&mut self, now: Time) {
        self.xid = self.xid.wrapping_add(1);
        self.sent_at = now;
    }

    fn saying(&self) -> Saying {
        Saying { xid: self.xid, client: self.index, relay: self.relay, ..Saying::default() }
    }
}
