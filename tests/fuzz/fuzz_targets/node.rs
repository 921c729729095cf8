//! Whatever clients say to a node with whatever configuration, in whatever order things happen: it does not fall over,
//! what it says can be read, and every packet is accounted for.
#![no_main]

use arbitrary::Arbitrary;
use dhcproto::v4::borrowed::Message;
use libfuzzer_sys::fuzz_target;
use standfast_core::configuration::{
    Act, AddressRange, Boot, Class, ClassMatch, Configuration, LeaseTime, OptionValues, Pattern, Pool, Probe,
    Reservation, ReservationHolder, Scope, ScopeOwner, Subnet,
};
use standfast_core::id::{Incarnation, Revision};
use standfast_core::input::{Apply, Command, Identity, Input, Link, Overheard, Packet, Request, StoreHealth};
use standfast_core::lease::record::{ClientId, HardwareAddress};
use standfast_core::node::Node;
use standfast_core::output::Reply;
use standfast_core::stored::Stored;
use standfast_core::time::{Instant, Now, Wall};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

#[derive(Arbitrary, Debug)]
struct Story {
    scopes: [Settings; 2],
    steps: Vec<Step>,
}

/// How a scope is configured.
#[derive(Arbitrary, Debug, Clone)]
struct Settings {
    first: u8,
    last: u8,
    hole: Option<(u8, u8)>,
    flags: u16,
    probe: u8,
    lease: u16,
    reserved: Vec<(u8, u8, u8)>,
    options: Vec<(u8, Vec<u8>)>,
    forced: Vec<u8>,
    class: Option<u8>,
}

#[derive(Arbitrary, Debug)]
enum Step {
    Ask { client: u8, kind: u8, address: u8, server: u8, relay: Option<u8>, to_us: bool, options: Vec<(u8, Vec<u8>)> },
    Raw(Vec<u8>),
    Wait { deciseconds: u16 },
    Persist,
    Fail,
    Work,
    Has { address: u8, client: u8 },
    Overhear(Vec<u8>),
    Configure([Settings; 2]),
    Release { address: u8 },
}

fuzz_target!(|story: Story| tell(story));

/// Which of two subnets, and the host in it.
fn address(byte: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 20, byte >> 7, byte & 0x7f)
}

fn hardware(client: u8) -> HardwareAddress {
    HardwareAddress::new(1, &[2, 0, 0, 0, 0, client % 8]).expect("6 bytes")
}

fn scope(index: u8, settings: &Settings) -> Scope {
    let host = |byte: u8| Ipv4Addr::new(10, 20, index, (byte & 0x7f).clamp(1, 126));
    let range = |a: u8, b: u8| AddressRange { first: host(a.min(b)), last: host(a.max(b)) };
    let flag = |bit: u16| settings.flags & (1 << bit) != 0;
    let holder = |kind: u8, client: u8| match kind % 3 {
        0 => ReservationHolder::Hardware(hardware(client)),
        1 => ReservationHolder::ClientId(ClientId::new(&[client % 8 + 1])),
        _ => ReservationHolder::CircuitId(vec![client % 8]),
    };
    let reservation = |&(kind, client, byte): &(u8, u8, u8)| Reservation {
        holder: holder(kind, client),
        address: host(byte),
        hostname: None,
        options: OptionValues::new(),
        boot: Boot::default(),
    };
    let usable = |(code, _): &&(u8, Vec<u8>)| !matches!(code, 0 | 50..=55 | 57..=59 | 61 | 82 | 255);
    Scope {
        name: format!("net-{index}").as_str().into(),
        owner: ScopeOwner::Node("a".into()),
        disabled: flag(0),
        subnet: Subnet { network: Ipv4Addr::new(10, 20, index, 0), prefix: 25 },
        pools: vec![Pool {
            range: range(settings.first, settings.last),
            class: settings.class.map(|_| "class".to_owned()),
            options: OptionValues::new(),
        }],
        exclude: settings.hole.map(|(a, b)| range(a, b)).into_iter().collect(),
        lease_time: LeaseTime {
            default: Duration::from_secs(u64::from(settings.lease) + 1),
            min: Duration::from_secs(1),
            max: Duration::from_secs(100_000),
        },
        options: settings.options.iter().filter(usable).take(20).cloned().collect(),
        reservations: settings.reserved.iter().take(4).map(reservation).collect(),
        authoritative: flag(1),
        nak_unknown_clients: flag(2),
        shared_network: flag(3).then(|| "floor".to_owned()),
        relays: Vec::new(),
        subnet_selection: flag(4),
        rapid_commit: flag(5),
        bootp: flag(6),
        decline_time: Duration::from_secs(60),
        offer_hold: Duration::from_secs(5),
        probe: [Probe::Off, Probe::Arp, Probe::Icmp][usize::from(settings.probe % 3)],
        v6only_wait: flag(7).then_some(Duration::from_secs(300)),
        boot: Boot::default(),
        forced_options: settings.forced.iter().copied().filter(|code| !matches!(code, 0 | 255)).take(8).collect(),
    }
}

fn configuration(scopes: &[Settings; 2], revision: u64) -> Arc<Configuration> {
    let pattern = scopes[0].class.map(|byte| Pattern { bytes: vec![byte], prefix: true });
    let class = ClassMatch { vendor_class: pattern, ..ClassMatch::default() };
    Arc::new(Configuration {
        cluster: "fuzz".into(),
        text: "".into(),
        act: Act::default(),
        revision: Revision { number: revision, node: "a".into() },
        nodes: vec!["a".into()],
        relationships: Vec::new(),
        scopes: (0..).zip(scopes).map(|(index, settings)| scope(index, settings)).collect(),
        classes: vec![Class {
            name: "class".into(),
            matches: vec![class],
            unless: None,
            options: OptionValues::new(),
            boot: Boot::default(),
        }],
        server_identifiers: Default::default(),
    })
}

struct World {
    node: Node,
    now: Instant,
    received: u64,
    writes: Option<standfast_core::id::Sequence>,
}

fn tell(story: Story) {
    let now = Now { instant: Instant(1_000_000), wall: Wall(1_000) };
    let identity = Identity { node: "a".into(), incarnation: Incarnation(1), new_cluster: true };
    let node = Node::new(identity, configuration(&story.scopes, 1), Stored::default(), now);
    let mut world = World { node, now: now.instant, received: 0, writes: None };
    let addresses = vec![(address(1), 25), (address(0x81), 25)];
    world.handle(Input::Links(vec![Link { index: 1, name: "lan".into(), addresses, mtu: 1_500, carrier: true }]));
    for (number, step) in (2..).zip(story.steps.into_iter().take(64)) {
        world.step(number, step);
        world.check_counters();
    }
    world.persist();
    for _ in 0..20 {
        world.now += Duration::from_millis(200);
        world.handle(Input::Tick);
        world.persist();
    }
    world.check_counters();
    assert_eq!(world.node.waiting(), 0);
}

impl World {
    fn step(&mut self, number: u64, step: Step) {
        match step {
            Step::Ask { client, kind, address: byte, server, relay, to_us, options } => {
                let bytes = packet(client, kind, address(byte), address(server), relay.map(address), &options);
                let source = if kind & 0x80 != 0 { address(byte) } else { Ipv4Addr::UNSPECIFIED };
                self.packet(relay.map_or(source, address), to_us, bytes);
            }
            Step::Raw(bytes) => self.packet(Ipv4Addr::UNSPECIFIED, false, bytes),
            Step::Wait { deciseconds } => {
                for _ in 0..4 {
                    self.now += Duration::from_millis(u64::from(deciseconds) * 25);
                    self.handle(Input::Tick);
                }
            }
            Step::Persist => self.persist(),
            Step::Fail => self.handle(Input::StoreHealth(StoreHealth::Failing)),
            Step::Work => self.handle(Input::StoreHealth(StoreHealth::Working)),
            Step::Has { address: byte, client } => {
                let hardware = Some(hardware(client));
                self.handle(Input::ProbeAnswered { link: Some(1), address: address(byte), hardware });
            }
            Step::Overhear(bytes) => self.handle(Input::Overheard(Overheard { link: 1, hardware: hardware(7), bytes })),
            Step::Configure(scopes) => {
                let configuration = configuration(&scopes, number);
                let apply = Apply { configuration, base: None, without: BTreeSet::new(), dry_run: false };
                self.handle(Input::Operator(Request(number), Command::Apply(apply)));
            }
            Step::Release { address: byte } => {
                self.handle(Input::Operator(Request(number), Command::Release { address: address(byte) }));
            }
        }
    }

    fn packet(&mut self, source: Ipv4Addr, to_us: bool, bytes: Vec<u8>) {
        self.received += 1;
        self.handle(Input::Packet(Packet {
            link: 1,
            source: SocketAddrV4::new(source, 68),
            destination: if to_us { address(1) } else { Ipv4Addr::BROADCAST },
            received: self.now,
            bytes,
        }));
    }

    fn handle(&mut self, input: Input) {
        let now = Now { instant: self.now, wall: Wall(self.now.0 / 1_000) };
        self.node.handle(now, input);
        let outputs = self.node.outputs();
        self.writes = outputs.writes.last().map(|write| write.sequence).or(self.writes);
        outputs.replies.iter().for_each(|reply| self.check(reply));
    }

    fn persist(&mut self) {
        if let Some(sequence) = self.writes.take() {
            self.handle(Input::Persisted(sequence));
        }
    }

    fn check(&self, reply: &Reply) {
        assert!((300..=1_472).contains(&reply.bytes.len()));
        let message = Message::new(&reply.bytes).expect("a whole header");
        assert!(self.node.configuration().scopes.iter().any(|scope| !scope.disabled), "everything is disabled");
        let given = message.yiaddr();
        let in_scope = |scope: &Scope| {
            let kept = scope.reservations.iter().any(|kept| kept.address == given);
            let in_pool = scope.pools.iter().any(|pool| pool.range.contains(given));
            let excluded = scope.exclude.iter().any(|range| range.contains(given));
            !scope.disabled && (kept || (in_pool && !excluded))
        };
        assert!(given.is_unspecified() || self.node.configuration().scopes.iter().any(in_scope), "{given}");
    }

    fn check_counters(&self) {
        let counters = self.node.counters();
        let sum = |of: &std::collections::BTreeMap<&'static str, u64>| of.values().sum::<u64>();
        assert_eq!(sum(&counters.received), self.received);
        let accounted = sum(&counters.answered) + sum(&counters.silent) + self.node.waiting() as u64;
        assert_eq!(accounted, self.received, "{counters:?}");
    }
}

fn packet(
    client: u8,
    kind: u8,
    wanted: Ipv4Addr,
    server: Ipv4Addr,
    relay: Option<Ipv4Addr>,
    options: &[(u8, Vec<u8>)],
) -> Vec<u8> {
    let mut bytes = vec![0; 240];
    bytes[..8].copy_from_slice(&[1, 1, 6, 0, 1, 2, 3, client]);
    bytes[28..34].copy_from_slice(hardware(client).as_bytes());
    bytes[236..].copy_from_slice(&[99, 130, 83, 99]);
    if kind & 0x80 != 0 {
        bytes[12..16].copy_from_slice(&wanted.octets());
    }
    if let Some(relay) = relay {
        bytes[24..28].copy_from_slice(&relay.octets());
    }
    let mut push = |code: u8, value: &[u8]| {
        bytes.push(code);
        bytes.push(value.len() as u8);
        bytes.extend(value);
    };
    if kind & 0x0f != 0 {
        push(53, &[kind & 0x0f]);
    }
    if kind & 0x40 != 0 {
        push(50, &wanted.octets());
    }
    if kind & 0x20 != 0 {
        push(54, &server.octets());
    }
    if kind & 0x10 != 0 {
        push(61, &[client % 8 + 1]);
    }
    options.iter().take(8).filter(|(_, value)| value.len() < 256).for_each(|(code, value)| push(*code, value));
    bytes.push(255);
    bytes
}
