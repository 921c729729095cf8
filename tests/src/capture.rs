//! Every frame on the client LAN, at the port where it came in or went out.
//!
//! The port, and not the source address in the frame, says who sent it: a server that answers under another's
//! address is still caught.

use crate::frame::Frame;
use crate::lab::Lab;
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, recvfrom, setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;
use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const BUFFER: usize = 4 << 20;
/// `PACKET_OUTGOING` of linux/if_packet.h: seen from the switch, it goes out to the endpoint.
const OUTGOING: u8 = 4;

/// Who is at the other end of a port.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Endpoint {
    Node(usize),
    Client(usize),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// The endpoint emitted it.
    Sent,
    /// It reached the endpoint.
    Reached,
}

/// A frame at a port.
#[derive(Clone, Debug)]
pub struct Seen {
    pub at: Instant,
    pub endpoint: Endpoint,
    pub direction: Direction,
    pub frame: Frame,
}

/// A capture that runs until it is dropped.
pub struct Capture {
    seen: Arc<Mutex<Vec<Seen>>>,
    stop: Arc<AtomicBool>,
    worker: Option<JoinHandle<()>>,
}

impl Capture {
    pub fn start(lab: &Lab) -> Self {
        let (fd, ports) = lab.switch.inside(|| (open(), ports(lab)));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let worker = std::thread::spawn({
            let (seen, stop) = (Arc::clone(&seen), Arc::clone(&stop));
            move || record(&fd, &ports, &seen, &stop)
        });
        Self { seen, stop, worker: Some(worker) }
    }

    /// Everything until now, in order.
    pub fn all(&self) -> Vec<Seen> {
        self.seen.lock().expect("the recorder lives").clone()
    }

    /// What was seen since a moment.
    pub fn since(&self, moment: Instant) -> Vec<Seen> {
        self.all().into_iter().filter(|it| it.at >= moment).collect()
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(worker) = self.worker.take() {
            let _ = worker.join();
        }
    }
}

fn open() -> OwnedFd {
    let fd = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::EthAll)
        .expect("open a packet socket");
    setsockopt(&fd, sockopt::RcvBuf, &BUFFER).expect("set the buffer of the capture");
    setsockopt(&fd, sockopt::ReceiveTimeout, &TimeVal::new(0, 50_000)).expect("set the timeout of the capture");
    fd
}

/// The ports of the LAN by interface index. The bridges and the link between the nodes are left out.
fn ports(lab: &Lab) -> BTreeMap<usize, Endpoint> {
    let nodes = lab.nodes.iter().enumerate().map(|(index, host)| (host, Endpoint::Node(index)));
    let clients = lab.clients.iter().enumerate().map(|(index, host)| (host, Endpoint::Client(index)));
    nodes
        .chain(clients)
        .map(|(host, endpoint)| {
            let index = if_nametoindex(host.lan_port.as_str()).expect("the port exists");
            (usize::try_from(index).expect("an index is small"), endpoint)
        })
        .collect()
}

fn record(fd: &OwnedFd, ports: &BTreeMap<usize, Endpoint>, seen: &Mutex<Vec<Seen>>, stop: &AtomicBool) {
    let mut buffer = vec![0; 65_536];
    while !stop.load(Ordering::Relaxed) {
        let Ok((length, Some(from))) = recvfrom::<LinkAddr>(fd.as_raw_fd(), &mut buffer) else { continue };
        let Some(endpoint) = ports.get(&from.ifindex()).copied() else { continue };
        let direction = if from.pkttype() == OUTGOING { Direction::Reached } else { Direction::Sent };
        let frame = Frame::read(&buffer[..length]);
        seen.lock().expect("readers do not panic").push(Seen { at: Instant::now(), endpoint, direction, frame });
    }
}

/// A packet socket on one interface of the namespace it is called in, for clients that speak by hand.
pub(crate) fn open_on(interface: &str) -> (OwnedFd, LinkAddr) {
    let fd = open();
    let address = nix::ifaddrs::getifaddrs()
        .expect("list the interfaces")
        .filter(|it| it.interface_name == interface)
        .find_map(|it| it.address.and_then(|address| address.as_link_addr().copied()))
        .unwrap_or_else(|| panic!("{interface} has no hardware address"));
    nix::sys::socket::bind(fd.as_raw_fd(), &address).expect("bind the packet socket");
    (fd, address)
}

/// The next frame on a packet socket that someone else sent, within `limit`.
pub(crate) fn next_frame<T>(fd: &OwnedFd, limit: Duration, mut wanted: impl FnMut(Frame) -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    let mut buffer = vec![0; 65_536];
    while Instant::now() < end {
        let Ok((length, Some(from))) = recvfrom::<LinkAddr>(fd.as_raw_fd(), &mut buffer) else { continue };
        if from.pkttype() == OUTGOING {
            continue;
        }
        if let Some(found) = wanted(Frame::read(&buffer[..length])) {
            return Some(found);
        }
    }
    None
}

/// Sends a whole frame.
pub(crate) fn send_frame(fd: &OwnedFd, bytes: &[u8]) {
    nix::sys::socket::send(fd.as_raw_fd(), bytes, MsgFlags::empty()).expect("send a frame");
}
