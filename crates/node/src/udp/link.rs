//! One client link: its sockets, opened with the errors that an operator can act on.

use super::ear::{Ear, Heard, arp_probe};
use super::error::UdpError;
use super::holder::holder_of;
use super::inbox::{Datagram, Inbox};
use super::interface::Interface;
use super::outbox::{Outbox, Sent};
use super::poller::Poller;
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, bind, send, setsockopt, socket, sockopt};
use socket2::{Domain, Protocol, Socket, Type};
use standfast_core::output::Reply;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// The port on which servers and relays listen (RFC 2131 section 4.1).
const SERVER_PORT: u16 = 67;
/// Some ten thousand requests: what a site sends when its power comes back.
const RECEIVE_BUFFER: usize = 8 << 20;
const SEND_BUFFER: usize = 4 << 20;

/// Set in the number under which a poller tells of what was overheard. There are never so many links.
const OVERHEARD: u32 = 1 << 30;

/// A client link, open.
#[derive(Debug)]
pub struct Link {
    socket: Socket,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Interface { interface: Interface, frames: OwnedFd, ear: Ear },
    Address(SocketAddrV4),
}

impl Link {
    /// Opens the interface called `name`: hears everything sent to port 67 on it, and answers with frames too.
    pub fn on_interface(name: &str) -> Result<Self, UdpError> {
        let interface = Interface::find(name)?;
        let address = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, SERVER_PORT);
        let socket = open_socket(address, Some(&interface))?;
        let frames = open_frames(&interface)?;
        let ear = Ear::open(&interface)?;
        Ok(Self { socket, place: Place::Interface { interface, frames, ear } })
    }

    /// Listens on `address` for relays: needs no privilege above port 1023, and sends no frames.
    pub fn listen(address: SocketAddrV4) -> Result<Self, UdpError> {
        Ok(Self { socket: open_socket(address, None)?, place: Place::Address(address) })
    }

    /// Interface name, or the address listened on.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.place {
            Place::Interface { interface, .. } => interface.name.clone(),
            Place::Address(address) => address.to_string(),
        }
    }

    /// The link as the core wants to know it, under the number `index`.
    #[must_use]
    pub fn describe(&self, index: u32) -> standfast_core::input::Link {
        let (addresses, mtu, carrier) = match &self.place {
            Place::Interface { interface, .. } => (interface.addresses.clone(), interface.mtu, interface.carrier),
            Place::Address(address) => (vec![(*address.ip(), 32)], 1_500, true),
        };
        let mtu = u16::try_from(mtu).unwrap_or(u16::MAX);
        standfast_core::input::Link { index, name: self.name(), addresses, mtu, carrier }
    }

    /// Looks at the interface again, and opens it anew if another one has taken its name; then the link has other file
    /// descriptors and must be added to a poller again. Returns what changed.
    ///
    /// After an error the link is as it was: what it had may come back.
    pub fn refresh(&mut self) -> Result<Change, UdpError> {
        let Place::Interface { interface: old, .. } = &mut self.place else { return Ok(Change::None) };
        let new = Interface::find(&old.name)?;
        if new == *old {
            return Ok(Change::None);
        }
        if new.index == old.index && new.hardware == old.hardware {
            *old = new;
            return Ok(Change::State);
        }
        *self = Self::on_interface(&new.name)?;
        Ok(Change::Reopened)
    }

    /// Notes that the interface is gone: no carrier and no addresses, until a refresh finds it again.
    pub fn mark_gone(&mut self) {
        if let Place::Interface { interface, .. } = &mut self.place {
            interface.carrier = false;
            interface.addresses.clear();
        }
    }

    /// Hands the datagrams that have arrived to `each`, one batch at most, without waiting. Returns whether there may
    /// be more.
    pub fn receive(&self, inbox: &mut Inbox, each: impl FnMut(Datagram<'_>)) -> io::Result<bool> {
        inbox.take(self.socket.as_raw_fd(), each)
    }

    /// Has `poller` tell of this link: under `number` when requests have arrived, and under another number when
    /// something was overheard; see [`Link::overheard`].
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn watch(&self, poller: &Poller, number: u32) -> io::Result<()> {
        poller.add(self, number)?;
        match &self.place {
            Place::Interface { ear, .. } => ear.watch(poller, number | OVERHEARD),
            Place::Address(_) => Ok(()),
        }
    }

    /// The link on which something was overheard, if it is that which a poller tells of under `number`.
    #[must_use]
    pub fn overheard(number: u32) -> Option<u32> {
        (number & OVERHEARD != 0).then_some(number & !OVERHEARD)
    }

    /// Hands what was overheard to `each`, without waiting.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn overhear(&self, each: impl FnMut(Heard)) -> io::Result<()> {
        match &self.place {
            Place::Interface { ear, .. } => ear.listen(each),
            Place::Address(_) => Ok(()),
        }
    }

    /// Asks on the link whether somebody uses `address`; the answer is overheard. Clients of a plain listener are on
    /// no link.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn arp(&self, address: Ipv4Addr) -> io::Result<()> {
        match &self.place {
            Place::Interface { interface, frames, .. } => {
                let probe = arp_probe(interface.hardware, address);
                Ok(send(frames.as_raw_fd(), &probe, MsgFlags::MSG_DONTWAIT).map(|_| ())?)
            }
            Place::Address(_) => Ok(()),
        }
    }

    /// Sends replies, all of which are for this link, without waiting.
    pub fn send(&self, outbox: &mut Outbox, replies: &[Reply]) -> Sent {
        self.send_where(outbox, replies, |_| true)
    }

    /// Sends those of `replies` for which `wanted` holds, without waiting: so that the replies of a turn can be handed
    /// to each link in turn as they are.
    pub fn send_where(&self, outbox: &mut Outbox, replies: &[Reply], wanted: impl Fn(&Reply) -> bool) -> Sent {
        let mut outcome = Sent::default();
        let socket = self.socket.as_raw_fd();
        match &self.place {
            Place::Interface { interface, frames, .. } => {
                outbox.send_frames(frames.as_raw_fd(), interface.hardware, replies, &wanted, &mut outcome);
                // A server identifier need not be an address of this machine; the kernel sends from no other.
                let is_ours = |address| interface.addresses.iter().any(|(ours, _)| *ours == address);
                let source = |wanted| if is_ours(wanted) { wanted } else { Ipv4Addr::UNSPECIFIED };
                outbox.send_datagrams(socket, source, replies, &wanted, &mut outcome);
            }
            Place::Address(address) => {
                outbox.send_datagrams(socket, |_| *address.ip(), replies, &wanted, &mut outcome);
            }
        }
        outcome
    }

    /// The address that the socket has: which port, if the system chose one.
    pub fn local_address(&self) -> io::Result<SocketAddrV4> {
        self.socket.local_addr()?.as_socket_ipv4().ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
    }
}

impl AsFd for Link {
    /// Readable when something has arrived.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// What a look at an interface found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// Nothing.
    None,
    /// Addresses, MTU or carrier.
    State,
    /// It is another interface of the same name, and was opened anew.
    Reopened,
}

fn open_socket(address: SocketAddrV4, interface: Option<&Interface>) -> Result<Socket, UdpError> {
    let link = || interface.map_or_else(|| address.to_string(), |interface| interface.name.clone());
    let os = |action| move |source| UdpError::Os { action, link: link(), source };
    let socket = Socket::new(Domain::IPV4, Type::DGRAM.nonblocking().cloexec(), Some(Protocol::UDP))
        .map_err(os("open the socket"))?;
    if let Some(interface) = interface {
        socket.bind_device(Some(interface.name.as_bytes())).map_err(|source| {
            if source.kind() == io::ErrorKind::PermissionDenied {
                UdpError::NoRawSockets { name: interface.name.clone() }
            } else {
                os("bind the socket")(source)
            }
        })?;
    }
    socket.set_broadcast(true).map_err(os("allow broadcasts on the socket"))?;
    let option = |errno: Errno| io::Error::from(errno);
    setsockopt(&socket, sockopt::Ipv4PacketInfo, &true).map_err(option).map_err(os("set the options"))?;
    setsockopt(&socket, sockopt::ReceiveTimestampns, &true).map_err(option).map_err(os("set the options"))?;
    enlarge_buffers(&socket);
    socket.bind(&address.into()).map_err(|source| explain_bind(address, interface, source))?;
    Ok(socket)
}

/// As large as the system lets us: beyond its limit only with CAP_NET_ADMIN, which a node does not ask for.
fn enlarge_buffers(socket: &Socket) {
    if setsockopt(socket, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    }
    if setsockopt(socket, sockopt::SndBufForce, &SEND_BUFFER).is_err() {
        let _ = socket.set_send_buffer_size(SEND_BUFFER);
    }
}

fn explain_bind(address: SocketAddrV4, interface: Option<&Interface>, source: io::Error) -> UdpError {
    let interface = interface.map(|interface| interface.name.clone());
    let kind = source.kind();
    if kind == io::ErrorKind::AddrInUse {
        UdpError::Taken { address, interface, holder: holder_of(address.port()) }
    } else if kind == io::ErrorKind::PermissionDenied {
        UdpError::NoLowPorts { port: address.port(), interface }
    } else if kind == io::ErrorKind::AddrNotAvailable {
        UdpError::NotOurs { address }
    } else {
        UdpError::Os { action: "bind the socket", link: interface.unwrap_or_else(|| address.to_string()), source }
    }
}

/// A socket that sends frames by the interface, and receives none since no protocol is asked for.
fn open_frames(interface: &Interface) -> Result<OwnedFd, UdpError> {
    let os = |action, errno: Errno| UdpError::Os { action, link: interface.name.clone(), source: errno.into() };
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let frames = match socket(AddressFamily::Packet, SockType::Raw, flags, None) {
        Ok(frames) => frames,
        Err(Errno::EPERM | Errno::EACCES) => return Err(UdpError::NoRawSockets { name: interface.name.clone() }),
        Err(errno) => return Err(os("open the raw socket", errno)),
    };
    if setsockopt(&frames, sockopt::SndBufForce, &SEND_BUFFER).is_err() {
        let _ = setsockopt(&frames, sockopt::SndBuf, &SEND_BUFFER);
    }
    bind(frames.as_raw_fd(), &interface.link).map_err(|errno| os("bind the raw socket", errno))?;
    Ok(frames)
}
