//! Every frame on the client LAN, at the port where it came in or went out.
//!
//! The port, and not the source address in the frame, says who sent it: a server that answers under another's
//! address is still caught.

use crate::frame::Frame;
use crate::lab::Lab;
use nix::cmsg_space;
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, recvfrom, recvmsg,
    setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeSpec, TimeVal};
use std::collections::BTreeMap;
use std::io::IoSliceMut;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

/// Some twenty thousand frames: what comes while the machine does something else.
const BUFFER: usize = 64 << 20;
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
    /// Frames that the kernel had no room for. A judge that missed some has no verdict.
    missed: Arc<AtomicU32>,
    stop: Arc<AtomicBool>,
    worker: Option<JoinHandle<()>>,
}

impl Capture {
    pub fn start(lab: &Lab) -> Self {
        let (fd, ports) = lab.switch.inside(|| (open(), ports(lab)));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let missed = Arc::new(AtomicU32::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let worker = std::thread::spawn({
            let (seen, missed, stop) = (Arc::clone(&seen), Arc::clone(&missed), Arc::clone(&stop));
            move || record(&fd, &ports, &seen, &missed, &stop)
        });
        Self { seen, missed, stop, worker: Some(worker) }
    }

    /// Everything until now, in order.
    pub fn all(&self) -> Vec<Seen> {
        assert_eq!(self.missed.load(Ordering::Relaxed), 0, "the capture missed frames");
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
    // Beyond the system's limit only as root of the machine.
    if setsockopt(&fd, sockopt::RcvBufForce, &BUFFER).is_err() {
        setsockopt(&fd, sockopt::RcvBuf, &BUFFER).expect("set the buffer of the capture");
    }
    setsockopt(&fd, sockopt::ReceiveTimestampns, &true).expect("have the kernel tell when a frame came");
    setsockopt(&fd, sockopt::RxqOvfl, &1).expect("have the kernel count what it drops");
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

fn record(
    fd: &OwnedFd,
    ports: &BTreeMap<usize, Endpoint>,
    seen: &Mutex<Vec<Seen>>,
    missed: &AtomicU32,
    stop: &AtomicBool,
) {
    let mut buffer = vec![0; 65_536];
    let mut control = cmsg_space!(u32, TimeSpec);
    while !stop.load(Ordering::Relaxed) {
        let mut into = [IoSliceMut::new(&mut buffer)];
        let Ok(message) = recvmsg::<LinkAddr>(fd.as_raw_fd(), &mut into, Some(&mut control), MsgFlags::empty()) else {
            continue;
        };
        let mut at = Instant::now();
        for control in message.cmsgs().into_iter().flatten() {
            if let ControlMessageOwned::RxqOvfl(count) = control {
                missed.store(count, Ordering::Relaxed);
            } else if let ControlMessageOwned::ScmTimestampns(came) = control {
                at -= since(came);
            }
        }
        let (length, Some(from)) = (message.bytes, message.address) else { continue };
        let Some(endpoint) = ports.get(&from.ifindex()).copied() else { continue };
        let direction = if from.pkttype() == OUTGOING { Direction::Reached } else { Direction::Sent };
        let frame = Frame::read(&buffer[..length]);
        if !matches!(frame, Frame::Other) {
            seen.lock().expect("readers do not panic").push(Seen { at, endpoint, direction, frame });
        }
    }
}

/// How long ago the kernel saw a frame: a busy machine reads it late.
fn since(came: TimeSpec) -> Duration {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is later than 1970");
    now.saturating_sub(came.into())
}

/// A packet socket on one interface of the namespace it is called in, for clients that speak by hand.
pub fn open_on(interface: &str) -> (OwnedFd, LinkAddr) {
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
pub fn send_frame(fd: &OwnedFd, bytes: &[u8]) {
    nix::sys::socket::send(fd.as_raw_fd(), bytes, MsgFlags::empty()).expect("send a frame");
}
