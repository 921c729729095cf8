//! The verbs in which a story is told. Each says in the transcript what it does; time passes only in [`Story::wait`]
//! and [`Story::until`].

use super::Told;
use crate::checker::Violation;
use crate::client::{Order, SECOND};
use crate::coverage;
use crate::disk::Durable;
use crate::faults::Undo;
use crate::random::Random;
use crate::settings::{self, NODES, PAIRS, reservation};
use crate::transcript::client_name;
use crate::world::{Event, Stop, World};
use standfast_core::configuration::{AddressRange, Configuration};
use standfast_core::failover::state::Phase;
use standfast_core::input::{Apply, Command, Input, StoreHealth};
use standfast_core::lease::record::LeaseState;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

/// The primary; the home of even addresses.
pub(crate) const A: usize = 0;
/// The standby; the home of odd addresses.
pub(crate) const B: usize = 1;
/// Clients.
pub(crate) const X: usize = 0;
/// Another.
pub(crate) const Y: usize = 1;
/// A third.
pub(crate) const Z: usize = 2;

/// A fourth.
pub(crate) const W: usize = 3;

const CLIENTS: usize = 4;

/// An address of the pool.
pub(crate) fn address(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, last)
}

/// A story while it is told.
pub(crate) struct Story {
    pub(crate) world: World,
}

impl Story {
    /// A cluster that has not started: two nodes, one relationship, a pool of four addresses of which each node is the
    /// home of two, leases of 60 s, a maximum client lead time of 20 s.
    pub(crate) fn new() -> Self {
        Self { world: World::for_story(configuration(), CLIENTS) }
    }

    /// What was told, and how it was judged.
    pub(crate) fn told(mut self) -> Told {
        let World { hosts, transcript, .. } = &mut self.world;
        hosts.iter().for_each(|host| coverage::harvest(host, transcript));
        let World { transcript, judge, .. } = self.world;
        Told { lines: transcript.lines().to_vec(), violations: judge.violations, coverage: transcript.coverage }
    }

    // Before it begins

    /// Both nodes find another cluster file at their next start.
    pub(crate) fn configure(&mut self, change: impl Fn(&mut Configuration)) {
        [A, B].into_iter().for_each(|host| self.configure_one(host, &change));
    }

    /// One node finds another cluster file at its next start.
    pub(crate) fn configure_one(&mut self, host: usize, change: impl Fn(&mut Configuration)) {
        let mut changed = (*self.world.hosts[host].configuration).clone();
        change(&mut changed);
        self.world.hosts[host].configure(changed);
    }

    /// The addresses that clients are given.
    pub(crate) fn pool(&mut self, first: u8, last: u8) {
        self.configure(|c| c.scopes[0].pools[0].range = range(first, last));
    }

    /// An address is kept for a client.
    pub(crate) fn reserve(&mut self, address: Ipv4Addr, client: usize) {
        self.configure(|c| c.scopes[0].reservations.push(reservation(address, client)));
    }

    /// Both nodes have started for the first time and are in normal: the story begins.
    pub(crate) fn begin(&mut self) {
        self.world.begin();
        self.world.run_until(5 * SECOND);
        self.begin_here();
        assert!(self.both(Phase::Normal), "a new cluster gets into step");
        self.say("both", "are in normal; a is active");
    }

    /// Whatever went before is left out.
    pub(crate) fn begin_here(&mut self) {
        let now = self.world.now;
        self.world.transcript.begin_story(now);
    }

    // Time

    /// Seconds pass.
    pub(crate) fn wait(&mut self, seconds: i64) {
        self.wait_ms(seconds * 1_000);
    }

    /// Milliseconds pass.
    pub(crate) fn wait_ms(&mut self, millis: i64) {
        let until = self.world.now + millis * 1_000;
        self.world.run_until(until);
    }

    /// Time passes until something is so, at most ten seconds; then not a single further event has happened.
    pub(crate) fn until(&mut self, what: &str, so: impl Fn(&Self) -> bool) {
        let end = self.world.now + 10 * SECOND;
        while !so(self) && self.world.judge.violations.is_empty() && self.world.step_before(end) {}
        let reached = so(self);
        self.so(reached, what);
    }

    /// What can be seen by now. A story that does not come to this is broken.
    pub(crate) fn so(&mut self, holds: bool, what: &str) {
        if holds {
            self.say("so", what);
        } else if self.world.judge.violations.is_empty() {
            let (at, detail) = (self.world.now, format!("not so: {what}"));
            self.world.judge.violations.push(Violation { at, invariant: "story", detail });
        }
    }

    /// A word of explanation.
    pub(crate) fn tells(&mut self, what: &str) {
        self.say("so", what);
    }

    fn say(&mut self, who: &str, what: &str) {
        if self.goes_on() {
            self.world.say(who, || what.into());
        }
    }

    /// A story whose judges have spoken is over.
    fn goes_on(&self) -> bool {
        self.world.judge.violations.is_empty()
    }

    // Clients

    fn order(&mut self, client: usize, order: Order) {
        if self.goes_on() {
            let World { clients, random, now, .. } = &mut self.world;
            let acts = clients[client].order(order, *now, random);
            self.world.act(client, acts, None);
        }
    }

    /// INIT: a client wants an address, and takes the first that it is offered.
    pub(crate) fn discovers(&mut self, client: usize) {
        self.order(client, Order::Discover);
    }

    /// INIT-REBOOT with the address that it remembers.
    pub(crate) fn reboots(&mut self, client: usize) {
        self.order(client, Order::Reboot(None));
    }

    /// INIT-REBOOT with some other address.
    pub(crate) fn reboots_with(&mut self, client: usize, address: Ipv4Addr) {
        self.order(client, Order::Reboot(Some(address)));
    }

    /// A client renews at its server.
    pub(crate) fn renews(&mut self, client: usize) {
        self.order(client, Order::Renew { seconds: None });
    }

    /// A client renews and asks for so many seconds.
    pub(crate) fn renews_for(&mut self, client: usize, seconds: u32) {
        self.order(client, Order::Renew { seconds: Some(seconds) });
    }

    /// A client that renews has heard nothing and says so once more; that is lost on its way.
    pub(crate) fn renews_again_unheard(&mut self, client: usize) {
        let reach = std::mem::take(&mut self.world.clients[client].reach);
        self.say(client_name(client), "hears nothing and renews once more, which is lost");
        self.order(client, Order::RenewAgain);
        self.world.clients[client].reach = reach;
    }

    /// A client asks everyone to extend its lease.
    pub(crate) fn rebinds(&mut self, client: usize) {
        self.order(client, Order::Rebind);
    }

    /// A client gives its lease back.
    pub(crate) fn releases(&mut self, client: usize) {
        self.order(client, Order::Release);
    }

    /// A client found that someone else uses its address.
    pub(crate) fn declines(&mut self, client: usize) {
        self.order(client, Order::Decline);
    }

    /// From here on a client and only these nodes hear each other: it has moved.
    pub(crate) fn hears(&mut self, client: usize, nodes: &[usize]) {
        self.world.clients[client].reach = [nodes.contains(&A), nodes.contains(&B)];
        let heard: Vec<&str> = nodes.iter().map(|&node| NODES[node]).collect();
        self.say(client_name(client), &format!("hears {} from now on", heard.join(" and ")));
    }

    /// A client takes offers of one node only.
    pub(crate) fn prefers(&mut self, client: usize, host: usize) {
        self.world.clients[client].prefers = Some(settings::server(host));
        self.say(client_name(client), &format!("takes offers of {} only", NODES[host]));
    }

    /// What a client believes that it has.
    pub(crate) fn held(&self, client: usize) -> Option<Ipv4Addr> {
        let held = self.world.clients[client].held?;
        (held.until > self.world.now).then_some(held.address)
    }

    /// For how many whole seconds it still believes so.
    pub(crate) fn seconds_left(&self, client: usize) -> i64 {
        self.world.clients[client].held.map_or(0, |held| (held.until - self.world.now) / SECOND)
    }

    // Nodes

    /// Whether both nodes are in this state.
    pub(crate) fn both(&self, phase: Phase) -> bool {
        [A, B].into_iter().all(|host| self.phase(host) == Some(phase))
    }

    /// The state of a node.
    pub(crate) fn phase(&self, host: usize) -> Option<Phase> {
        Some(self.world.hosts[host].process.as_ref()?.status().relationships.first()?.phase)
    }

    /// Whether a node, and only it, says that it answers.
    pub(crate) fn only_active(&self, host: usize) -> bool {
        self.world.hosts[host].active()[0] && !self.world.hosts[1 - host].active()[0]
    }

    /// Whether both nodes say that they answer.
    pub(crate) fn both_active(&self) -> bool {
        [A, B].into_iter().all(|host| self.world.hosts[host].active()[0])
    }

    /// A process is killed; its machine stays.
    pub(crate) fn kills(&mut self, host: usize) {
        self.stop(host, Stop::Killed);
    }

    /// A machine loses its power, and what was not durable.
    pub(crate) fn cuts_power(&mut self, host: usize) {
        self.stop(host, Stop::PowerCut);
    }

    fn stop(&mut self, host: usize, how: Stop) {
        if self.goes_on() {
            self.world.stop(host, how);
        }
    }

    /// A process starts.
    pub(crate) fn starts(&mut self, host: usize) {
        if self.goes_on() {
            self.world.start(host);
        }
    }

    /// A process stands still.
    pub(crate) fn suspends(&mut self, host: usize) {
        self.say(NODES[host], "stands still");
        self.world.hosts[host].paused = true;
    }

    /// It goes on, and reads what its clients have said meanwhile before it looks at the clock.
    pub(crate) fn resumes(&mut self, host: usize) {
        if self.goes_on() {
            self.world.packets_first(host);
            self.world.unpause(host);
        }
    }

    /// Commits of a node take so long.
    pub(crate) fn commits_take(&mut self, host: usize, millis: i64) {
        self.world.hosts[host].commit = millis * 1_000;
        self.say(NODES[host], &format!("takes {millis} ms for a commit from now on"));
    }

    /// The disk of a node takes no writes any more, or does again.
    pub(crate) fn disk_works(&mut self, host: usize, works: bool) {
        let what = if works { "takes writes again" } else { "takes no writes any more" };
        self.say("fault", &format!("the disk of {} {what}", NODES[host]));
        self.world.hosts[host].disk.fails = !works;
        self.world.begin_commit(host);
        let health = if works { StoreHealth::Working } else { StoreHealth::Failing };
        if self.goes_on() {
            self.world.feed_unless_paused(host, Input::StoreHealth(health));
        }
    }

    /// A copy of a store.
    pub(crate) fn copies_store(&mut self, host: usize) -> Durable {
        self.say("operator", &format!("copies the store of {}", NODES[host]));
        self.world.hosts[host].disk.durable.clone()
    }

    /// An older copy of a store is in its place.
    pub(crate) fn puts_back(&mut self, host: usize, copy: Durable) {
        self.say("operator", &format!("puts the copy back as the store of {}", NODES[host]));
        self.world.restore(host, copy);
    }

    /// A store is gone.
    pub(crate) fn wipes(&mut self, host: usize) {
        self.say("fault", &format!("the disk of {} is replaced by an empty one", NODES[host]));
        self.world.hosts[host].disk = Default::default();
        self.world.restore(host, Durable::default());
    }

    /// The record of an address cannot be read any more.
    pub(crate) fn damages(&mut self, host: usize, address: Ipv4Addr) {
        self.say("fault", &format!("the record of {address} in the store of {} is damaged", NODES[host]));
        self.world.hosts[host].disk.unreadable.insert((PAIRS[0].into(), address));
    }

    /// A wall clock is ahead by so many seconds.
    pub(crate) fn sets_clock_ahead(&mut self, host: usize, seconds: i64) {
        self.say("fault", &format!("the wall clock of {} is ahead by {seconds} s", NODES[host]));
        self.world.hosts[host].clock.skew = seconds * 1_000;
    }

    /// Something that keeps wall clocks right has looked at the one of a node.
    pub(crate) fn clock_is_right(&mut self, host: usize) {
        self.say(NODES[host], "knows that its wall clock is right");
        if self.goes_on() {
            self.world.feed(host, Input::ClockConfirmed);
        }
    }

    // Links

    /// The nodes do not hear each other any more.
    pub(crate) fn cuts_link(&mut self) {
        self.say("fault", "the link between a and b is cut");
        self.world.network.cut = [true; 2];
    }

    /// What one of the nodes sends to the other does not arrive any more.
    pub(crate) fn cuts_way_from(&mut self, host: usize) {
        let (from, to) = (NODES[host], NODES[1 - host]);
        self.say("fault", &format!("nothing gets from {from} to {to} any more"));
        self.world.network.cut[host] = true;
    }

    /// They do again.
    pub(crate) fn heals_link(&mut self) {
        self.say("fault", "the link between a and b works again");
        [A, B].into_iter().for_each(|host| self.world.undo(Undo::HealLink(host)));
    }

    /// What the nodes send each other takes so long.
    pub(crate) fn link_takes(&mut self, millis: i64) {
        self.say("fault", &format!("messages between a and b take {millis} ms from now on"));
        self.world.network.delay = millis * 1_000;
    }

    /// The connections between the nodes are reset.
    pub(crate) fn resets_session(&mut self) {
        self.say("fault", "the connections between a and b are reset");
        if let Some(session) = self.world.network.open[A] {
            self.world.at(self.world.now, Event::Down { host: A, session });
            self.world.at(self.world.now, Event::Down { host: B, session });
        }
    }

    /// Clients and a node do not hear each other any more.
    pub(crate) fn cuts_clients_off(&mut self, host: usize) {
        self.say("fault", &format!("clients and {} do not hear each other any more", NODES[host]));
        self.world.lan.cut[host] = true;
    }

    /// They do again.
    pub(crate) fn lets_clients_through(&mut self, host: usize) {
        self.say("fault", &format!("clients and {} hear each other again", NODES[host]));
        self.world.lan.cut[host] = false;
    }

    /// The client link of a node has a carrier, or none.
    pub(crate) fn carrier(&mut self, host: usize, carrier: bool) {
        let what = if carrier { "has a carrier again" } else { "has no carrier any more" };
        self.say("fault", &format!("the client link of {} {what}", NODES[host]));
        self.world.lan.cut[host] = !carrier;
        self.world.set_carrier(host, carrier);
    }

    // Operators

    fn command(&mut self, host: usize, what: &str, command: Command) {
        self.say("operator", what);
        if self.goes_on() {
            self.world.order(host, command);
        }
    }

    /// An operator hands over to the deactivated node.
    pub(crate) fn switches_over(&mut self) {
        let command = Command::Switchover { relationship: PAIRS[0].into(), to: None };
        self.command(A, "hands over to the deactivated node", command);
    }

    /// What an untrue promise breaks is not what this story is about: only that it is told.
    pub(crate) fn forgives_the_untrue_promise(&mut self) {
        self.world.judge.excuse(i64::MAX);
    }

    /// An operator tells a node that its partner is off, as of now.
    pub(crate) fn says_partner_is_off(&mut self, host: usize, despite_evidence: bool) {
        let node = NODES[1 - host];
        let again = if despite_evidence { ", despite the evidence" } else { "" };
        let what = format!("tells {} that {node} is off and stays off{again}", NODES[host]);
        let command = Command::PartnerDown { node: node.into(), relationship: None, off_since: None, despite_evidence };
        self.command(host, &what, command);
    }

    /// An operator holds back automatic promotion.
    pub(crate) fn pauses_promotion(&mut self, host: usize, seconds: u64) {
        let command = Command::Pause { relationship: None, duration: Duration::from_secs(seconds) };
        self.command(host, &format!("holds back automatic promotion for {seconds} s"), command);
    }

    /// An operator has a node apply a changed configuration, without the other one, which is away.
    pub(crate) fn applies_alone(&mut self, host: usize, what: &str, change: impl FnOnce(&mut Configuration)) {
        let Some(process) = &self.world.hosts[host].process else { return };
        let mut changed = Configuration::clone(process.configuration());
        change(&mut changed);
        changed.text = format!("{:?} {:?}", changed.relationships, changed.scopes).into();
        let without = [NODES[1 - host].into()].into();
        let apply = Apply { configuration: Arc::new(changed), base: None, without, dry_run: false };
        let what = format!("applies to {} without {}: {what}", NODES[host], NODES[1 - host]);
        self.command(host, &what, Command::Apply(apply));
    }

    /// An operator stops a node.
    pub(crate) fn leaves(&mut self, host: usize) {
        self.command(host, &format!("stops {}", NODES[host]), Command::Leave);
    }

    /// The fence command of a node has turned its partner off, and exits 0.
    pub(crate) fn fence_turns_partner_off(&mut self, host: usize) {
        self.stop(1 - host, Stop::PowerCut);
        let relationship = PAIRS[0].into();
        if self.goes_on() {
            self.world.feed_unless_paused(host, Input::Fenced { relationship, success: true });
        }
    }

    // Endings

    /// What a node holds, address by address.
    pub(crate) fn shows_leases(&mut self, host: usize) {
        for record in self.world.hosts[host].table() {
            let left = (record.expiry - self.world.now) / SECOND;
            let what = match record.state {
                LeaseState::Free => "free".to_owned(),
                LeaseState::Bound if left > 0 => format!("{}'s for {left} s", client_name(record.client)),
                LeaseState::Bound | LeaseState::Ended => format!("{}'s, and over", client_name(record.client)),
                LeaseState::Declined => format!("declined, for {left} s"),
            };
            let [a, b] = record.version.0;
            let line = format!("has {} as {what}; version {a}, {b}", record.address);
            self.say(NODES[host], &line);
        }
    }

    /// Both nodes are in normal and hold the same leases: the judges look at both tables.
    pub(crate) fn ends_in_step(&mut self) {
        let normal = self.both(Phase::Normal);
        self.so(normal, "both nodes are in normal");
        if self.goes_on() {
            self.world.see_the_end();
        }
        if self.goes_on() {
            self.say("so", "both nodes hold the same leases");
        }
    }

    /// A client still has what it had.
    pub(crate) fn keeps(&mut self, client: usize, address: Ipv4Addr) {
        let keeps = self.held(client) == Some(address);
        self.so(keeps, &format!("{} has {address}", client_name(client)));
    }

    /// A client has nothing.
    pub(crate) fn has_nothing(&mut self, client: usize) {
        let nothing = self.held(client).is_none();
        self.so(nothing, &format!("{} has no address", client_name(client)));
    }
}

fn configuration() -> Configuration {
    let mut configuration = settings::configuration(&mut Random::steady());
    configuration.relationships.truncate(1);
    configuration.scopes.truncate(1);
    configuration.relationships[0].failover.heartbeat_timeout = Duration::from_secs(1);
    let scope = &mut configuration.scopes[0];
    scope.lease_time.default = Duration::from_secs(60);
    scope.pools[0].range = range(100, 103);
    configuration
}

fn range(first: u8, last: u8) -> AddressRange {
    AddressRange { first: address(first), last: address(last) }
}
