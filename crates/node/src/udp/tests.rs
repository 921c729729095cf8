//! Links against real sockets: on loopback, and, as root, against the other end of a veth pair in network namespaces
//! that each test makes and removes.

use super::*;
use crate::clock::{Clock, instant_of_stamp};
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, setsockopt, socket, sockopt};
use nix::unistd::Uid;
use standfast_core::dhcp::destination::Destination;
use standfast_core::lease::record::HardwareAddress;
use standfast_core::output::Reply;
use standfast_core::time::Instant;
use std::collections::BTreeSet;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;
use std::time::Duration;

/// No wait in here is a measurement: it only bounds how long a failing test hangs.
const LONG: Duration = Duration::from_secs(10);

fn reply(destination: Destination, bytes: &[u8]) -> Reply {
    let source = Ipv4Addr::new(10, 99, 0, 1);
    Reply { link: 0, source, destination, deadline: Instant::default(), bytes: bytes.into() }
}

/// What `link` hears until it has heard `count` datagrams.
fn hear(link: &Link, count: usize) -> Vec<(Vec<u8>, SocketAddrV4, Ipv4Addr, u32, Duration)> {
    let mut poller = Poller::new().unwrap();
    poller.add(link, 0).unwrap();
    let mut inbox = Inbox::default();
    let mut heard = Vec::new();
    while heard.len() < count {
        assert_eq!(poller.wait(Some(LONG)).unwrap().links().count(), 1, "heard {} of {count}", heard.len());
        link.receive(&mut inbox, |it| {
            heard.push((it.bytes.to_vec(), it.source, it.destination, it.interface, it.stamp));
        })
        .unwrap();
    }
    heard
}

mod on_loopback {
    use super::*;

    #[test]
    fn relays_at_different_addresses_are_heard_and_answered_from_the_address_they_asked() {
        let link = Link::listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let server = link.local_address().unwrap();
        let relays = ["127.0.0.2:0", "127.0.0.3:0"].map(|address| UdpSocket::bind(address).unwrap());
        for (relay, text) in relays.iter().zip(["one", "two"]) {
            relay.send_to(text.as_bytes(), server).unwrap();
        }
        let heard = hear(&link, 2);
        let mut outbox = Outbox::default();
        for (bytes, source, destination, ..) in &heard {
            assert_eq!(*destination, Ipv4Addr::LOCALHOST);
            let sent = link.send(&mut outbox, &[reply(Destination::Unicast(*source), bytes)]);
            assert_eq!((sent.sent, sent.failed), (1, 0), "{:?}", sent.error);
        }
        for (relay, text) in relays.iter().zip(["one", "two"]) {
            relay.set_read_timeout(Some(LONG)).unwrap();
            let mut buffer = [0; 16];
            let (length, from) = relay.recv_from(&mut buffer).unwrap();
            assert_eq!((&buffer[..length], from), (text.as_bytes(), server.into()));
        }
    }

    #[test]
    fn a_batch_larger_than_one_system_call_comes_and_goes_whole() {
        let link = Link::listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let relay = UdpSocket::bind("127.0.0.1:0").unwrap();
        for number in 0..200_u8 {
            relay.send_to(&[number], link.local_address().unwrap()).unwrap();
        }
        let heard = hear(&link, 200);
        assert!(heard.iter().map(|it| it.0[0]).eq(0..200), "in order");

        let replies: Vec<_> = heard.iter().map(|it| reply(Destination::Unicast(it.1), &it.0)).collect();
        let sent = link.send(&mut Outbox::default(), &replies);
        assert_eq!((sent.sent, sent.failed), (200, 0), "{:?}", sent.error);
        relay.set_read_timeout(Some(LONG)).unwrap();
        for number in 0..200_u8 {
            let mut buffer = [0; 16];
            assert_eq!(relay.recv(&mut buffer).unwrap(), 1);
            assert_eq!(buffer[0], number);
        }
    }

    #[test]
    fn the_kernel_says_when_a_datagram_came() {
        let link = Link::listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let clock = Clock::start();
        let before = clock.instant();
        UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"x", link.local_address().unwrap()).unwrap();
        let (.., interface, stamp) = hear(&link, 1).remove(0);
        // The wall clock is read to the millisecond.
        let (came, now) = (instant_of_stamp(clock.now(), stamp), clock.instant());
        assert!(before - Duration::from_millis(2) <= came && came <= now, "{before:?} {came:?} {now:?}");
        assert_eq!(interface, Interface::find("lo").unwrap().index);
    }

    #[test]
    fn a_datagram_that_is_too_long_is_counted_and_the_next_one_heard() {
        let link = Link::listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let relay = UdpSocket::bind("127.0.0.1:0").unwrap();
        relay.send_to(&[0; 5_000], link.local_address().unwrap()).unwrap();
        relay.send_to(b"short", link.local_address().unwrap()).unwrap();
        let (mut inbox, mut heard) = (Inbox::default(), Vec::new());
        link.receive(&mut inbox, |it| heard.push(it.bytes.to_vec())).unwrap();
        assert_eq!(heard, [b"short"]);
        assert_eq!(inbox.oversized, 1);
    }

    #[test]
    fn only_wanted_replies_are_sent() {
        let link = Link::listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let relay = UdpSocket::bind("127.0.0.1:0").unwrap();
        let std::net::SocketAddr::V4(to) = relay.local_addr().unwrap() else { panic!("asked for IPv4") };
        let replies = [3, 4, 3, 4].map(|link| Reply { link, ..reply(Destination::Unicast(to), &[link as u8]) });
        let sent = link.send_where(&mut Outbox::default(), &replies, |reply| reply.link == 4);
        assert_eq!((sent.sent, sent.failed), (2, 0), "{:?}", sent.error);
        relay.set_read_timeout(Some(LONG)).unwrap();
        let mut buffer = [0; 4];
        for _ in 0..2 {
            assert_eq!(relay.recv(&mut buffer).unwrap(), 1);
            assert_eq!(buffer[0], 4);
        }
        relay.set_nonblocking(true).unwrap();
        assert_eq!(relay.recv(&mut buffer).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    }

    #[test]
    fn one_reply_that_cannot_be_sent_does_not_hold_up_the_others() {
        let link = Link::listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let relay = UdpSocket::bind("127.0.0.1:0").unwrap();
        let std::net::SocketAddr::V4(to) = relay.local_addr().unwrap() else { panic!("asked for IPv4") };
        let unsendable = vec![0; 70_000];
        let replies = [b"a".as_slice(), &unsendable, b"b"].map(|bytes| reply(Destination::Unicast(to), bytes));
        let sent = link.send(&mut Outbox::default(), &replies);
        assert_eq!((sent.sent, sent.failed), (2, 1));
        assert_eq!(sent.error.unwrap().raw_os_error(), Some(nix::libc::EMSGSIZE));
        relay.set_read_timeout(Some(LONG)).unwrap();
        let mut buffer = [0; 4];
        for expected in [b"a", b"b"] {
            let length = relay.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], expected);
        }
    }

    #[test]
    fn a_taken_port_is_told_with_its_holder() {
        let holder = UdpSocket::bind("127.0.0.1:0").unwrap();
        let std::net::SocketAddr::V4(address) = holder.local_addr().unwrap() else { panic!("asked for IPv4") };
        let error = Link::listen(address).unwrap_err().to_string();
        assert!(error.contains(&format!("(process {})", std::process::id())), "{error}");
    }

    #[test]
    fn an_address_of_another_machine_is_refused() {
        let error = Link::listen("192.0.2.1:1067".parse().unwrap()).unwrap_err();
        assert!(matches!(error, UdpError::NotOurs { .. }), "{error}");
    }
}

/// A server's and a client's host joined by a cable; `None`, with the reason printed, if this process may not make
/// them.
struct Hosts {
    names: [String; 2],
}

impl Hosts {
    fn make(test: &str) -> Option<Self> {
        if !Uid::effective().is_root() {
            println!("skipped: {test} needs root to make network namespaces");
            return None;
        }
        let names = ["s", "c"].map(|end| format!("sfudp-{}-{test}-{end}", std::process::id()));
        let hosts = Self { names };
        let [server, client] = &hosts.names;
        ip(&["netns", "add", server]);
        ip(&["netns", "add", client]);
        hosts.connect();
        Some(hosts)
    }

    fn connect(&self) {
        let [server, client] = &self.names;
        ip(&["-n", server, "link", "add", "lan0", "type", "veth", "peer", "name", "eth0", "netns", client]);
        ip(&["-n", server, "address", "add", "10.99.0.1/24", "dev", "lan0"]);
        ip(&["-n", server, "link", "set", "lan0", "mtu", "1400", "up"]);
        ip(&["-n", client, "address", "add", "10.99.0.2/24", "dev", "eth0"]);
        ip(&["-n", client, "link", "set", "eth0", "up"]);
        for (end, name) in [(SERVER, "lan0"), (CLIENT, "eth0")] {
            let up = || (0..1_000).any(|_| Interface::find(name).unwrap().carrier || pause());
            assert!(self.run(end, up), "{name} stays down");
        }
    }

    /// Runs `body` on a thread in the server's or the client's namespace.
    fn run<T: Send>(&self, end: usize, body: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(format!("/run/netns/{}", self.names[end])).unwrap();
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
                body()
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

fn pause() -> bool {
    thread::sleep(Duration::from_millis(10));
    false
}

const SERVER: usize = 0;
const CLIENT: usize = 1;

impl Drop for Hosts {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = Command::new("ip").args(["netns", "delete", name]).status();
        }
    }
}

fn ip(arguments: &[&str]) {
    let output = Command::new("ip").args(arguments).output().expect("run ip, of iproute2");
    assert!(output.status.success(), "ip {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
}

mod in_namespaces {
    use super::*;

    /// A raw socket that hears every frame, as simple clients have; opened before anything is sent.
    fn sniffer() -> OwnedFd {
        let protocol = SockProtocol::EthAll;
        let flags = SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Packet, SockType::Raw, flags, protocol).unwrap();
        setsockopt(&socket, sockopt::RcvBufForce, &(4 << 20)).unwrap();
        setsockopt(&socket, sockopt::ReceiveTimeout, &nix::sys::time::TimeVal::new(10, 0)).unwrap();
        socket
    }

    /// The next frame that carries UDP to `port`.
    fn frame_to_port(sniffer: &OwnedFd, port: u16) -> Vec<u8> {
        loop {
            let mut buffer = [0; 2_048];
            let length = nix::unistd::read(sniffer, &mut buffer).unwrap();
            let is_udp = buffer[12..14] == [8, 0] && buffer[23] == 17;
            if is_udp && buffer[36..38] == port.to_be_bytes() {
                return buffer[..length].to_vec();
            }
        }
    }

    #[test]
    fn an_interface_is_seen_as_it_is() {
        let Some(hosts) = Hosts::make("look") else { return };
        hosts.run(SERVER, || {
            let up = Interface::find("lan0").unwrap();
            assert_eq!(up.addresses, [(Ipv4Addr::new(10, 99, 0, 1), 24)]);
            assert_eq!(up.mtu, 1_400);
            assert!(up.carrier);
            assert_ne!(up.hardware, [0; 6]);
            let described = Link::on_interface("lan0").unwrap().describe(3);
            assert_eq!((described.index, described.name.as_str(), described.mtu), (3, "lan0", 1_400));

            ip(&["-n", &hosts.names[CLIENT], "link", "set", "eth0", "down"]);
            assert!(!Interface::find("lan0").unwrap().carrier);
        });
    }

    #[test]
    fn a_client_is_heard_broadcasting_and_a_relay_unicast() {
        let Some(hosts) = Hosts::make("hear") else { return };
        let link = hosts.run(SERVER, || Link::on_interface("lan0").unwrap());
        hosts.run(CLIENT, || {
            let client = UdpSocket::bind("0.0.0.0:68").unwrap();
            client.set_broadcast(true).unwrap();
            client.send_to(b"discover", "10.99.0.255:67").unwrap();
            client.send_to(b"renew", "10.99.0.1:67").unwrap();
        });
        let heard: BTreeSet<_> = hear(&link, 2).into_iter().map(|it| (it.0, it.1.port(), it.2)).collect();
        let expected = [
            (b"discover".to_vec(), 68, Ipv4Addr::new(10, 99, 0, 255)),
            (b"renew".to_vec(), 68, Ipv4Addr::new(10, 99, 0, 1)),
        ];
        assert_eq!(heard, expected.into());
    }

    #[test]
    fn replies_reach_clients_as_whole_frames_and_relays_as_datagrams() {
        let Some(hosts) = Hosts::make("send") else { return };
        let link = hosts.run(SERVER, || Link::on_interface("lan0").unwrap());
        let hardware = hosts.run(SERVER, || Interface::find("lan0").unwrap().hardware);
        let sniffer = hosts.run(CLIENT, sniffer);
        let relay = hosts.run(CLIENT, || UdpSocket::bind("10.99.0.2:67").unwrap());
        let client = HardwareAddress::new(1, &[2, 0, 0, 0, 0, 9]).unwrap();
        let to_client = Destination::Frame { hardware: client, address: Ipv4Addr::new(10, 99, 0, 50) };
        let to_relay = Destination::Unicast("10.99.0.2:67".parse().unwrap());

        let replies = [(to_client, "offer"), (to_relay, "relayed"), (Destination::Broadcast, "nak")]
            .map(|(to, text)| reply(to, text.as_bytes()));
        let sent = link.send(&mut Outbox::default(), &replies);
        assert_eq!((sent.sent, sent.failed), (3, 0), "{:?}", sent.error);

        for (to_hardware, to, text) in
            [([2, 0, 0, 0, 0, 9], Ipv4Addr::new(10, 99, 0, 50), "offer"), ([0xff; 6], Ipv4Addr::BROADCAST, "nak")]
        {
            let mut expected = Vec::new();
            let from = Ipv4Addr::new(10, 99, 0, 1);
            let addresses = frame::Addresses { from_hardware: hardware, to_hardware, from, to };
            frame::append(addresses, text.as_bytes(), &mut expected);
            assert_eq!(frame_to_port(&sniffer, 68), expected);
        }
        relay.set_read_timeout(Some(LONG)).unwrap();
        let mut buffer = [0; 16];
        let (length, from) = relay.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..length], from), (b"relayed".as_slice(), "10.99.0.1:67".parse().unwrap()));
    }

    #[test]
    fn a_batch_of_frames_goes_whole_and_in_order() {
        let Some(hosts) = Hosts::make("batch") else { return };
        let link = hosts.run(SERVER, || Link::on_interface("lan0").unwrap());
        let sniffer = hosts.run(CLIENT, sniffer);
        let replies: Vec<_> = (0..150_u8).map(|number| reply(Destination::Broadcast, &[number; 300])).collect();
        let sent = link.send(&mut Outbox::default(), &replies);
        assert_eq!((sent.sent, sent.failed), (150, 0), "{:?}", sent.error);
        for number in 0..150 {
            assert_eq!(frame_to_port(&sniffer, 68)[42..], [number; 300]);
        }
    }

    #[test]
    fn two_servers_on_one_interface_are_one_too_many() {
        let Some(hosts) = Hosts::make("taken") else { return };
        hosts.run(SERVER, || {
            let _first = Link::on_interface("lan0").unwrap();
            let error = Link::on_interface("lan0").unwrap_err().to_string();
            let start = "cannot listen on UDP 0.0.0.0:67 on lan0: it is taken by ";
            assert!(error.starts_with(start) && error.contains(&std::process::id().to_string()), "{error}");
        });
    }

    #[test]
    fn links_on_two_interfaces_do_not_hear_each_other() {
        let Some(hosts) = Hosts::make("two") else { return };
        ip(&["-n", &hosts.names[SERVER], "link", "set", "lo", "up"]);
        hosts.run(SERVER, || {
            let lan = Link::on_interface("lan0").unwrap();
            let lo = Link::on_interface("lo").unwrap();
            UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"x", "127.0.0.1:67").unwrap();
            assert_eq!(hear(&lo, 1)[0].0, b"x");
            lan.receive(&mut Inbox::default(), |it| panic!("heard {it:?}")).unwrap();
        });
    }

    #[test]
    fn an_interface_that_was_replaced_is_opened_anew() {
        let Some(hosts) = Hosts::make("replace") else { return };
        let mut link = hosts.run(SERVER, || Link::on_interface("lan0").unwrap());
        assert_eq!(hosts.run(SERVER, || link.refresh().unwrap()), Change::None);

        ip(&["-n", &hosts.names[SERVER], "address", "add", "10.99.0.3/24", "dev", "lan0"]);
        assert_eq!(hosts.run(SERVER, || link.refresh().unwrap()), Change::State);
        assert_eq!(link.describe(0).addresses.len(), 2);

        ip(&["-n", &hosts.names[SERVER], "link", "delete", "lan0"]);
        let error = hosts.run(SERVER, || link.refresh().unwrap_err());
        assert!(matches!(error, UdpError::NoInterface { .. }), "{error}");
        link.mark_gone();
        assert_eq!((link.describe(0).addresses.len(), link.describe(0).carrier), (0, false));
        hosts.connect();
        assert_eq!(hosts.run(SERVER, || link.refresh().unwrap()), Change::Reopened);

        hosts.run(CLIENT, || UdpSocket::bind("0.0.0.0:68").unwrap().send_to(b"back", "10.99.0.1:67").unwrap());
        assert_eq!(hear(&link, 1)[0].0, b"back");
    }

    /// What an unprivileged process, run by the test below, is told.
    #[test]
    #[ignore = "a part of without_privilege_the_missing_capability_is_named"]
    fn as_nobody() {
        assert!(!Uid::effective().is_root());
        println!("{}", Link::on_interface("lan0").unwrap_err());
        println!("{}", Link::listen("10.99.0.1:67".parse().unwrap()).map_or_else(|e| e.to_string(), |l| l.name()));
    }

    #[test]
    fn without_privilege_the_missing_capability_is_named() {
        let Some(hosts) = Hosts::make("rights") else { return };
        let as_nobody = || {
            hosts.run(SERVER, || {
                let mut test = Command::new(std::env::current_exe().unwrap());
                test.args(["--exact", "udp::tests::in_namespaces::as_nobody", "--ignored", "--nocapture"]);
                let output = test.uid(65_534).gid(65_534).current_dir("/").output().unwrap();
                String::from_utf8(output.stdout).unwrap()
            })
        };
        let low_ports = as_nobody();
        assert!(low_ports.contains("no permission to listen on UDP port 67 on lan0: "), "{low_ports}");
        assert!(low_ports.contains("no permission to listen on UDP port 67: "), "{low_ports}");
        assert!(low_ports.contains("CAP_NET_BIND_SERVICE"), "{low_ports}");

        hosts.run(SERVER, || {
            let sysctl = "echo 0 > /proc/sys/net/ipv4/ip_unprivileged_port_start";
            assert!(Command::new("sh").args(["-c", sysctl]).status().unwrap().success());
        });
        let raw = as_nobody();
        assert!(raw.contains("no permission to send raw frames on lan0: "), "{raw}");
        assert!(raw.contains("\n10.99.0.1:67\n"), "a relay's listener needs no frames: {raw}");
    }
}
