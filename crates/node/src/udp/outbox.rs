//! Sending in batches, out of memory that is reused.

use super::frame::{self, Addresses, EVERYBODY, HEADERS};
use super::inbox::BATCH;
use nix::cmsg_space;
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{ControlMessage, LinkAddr, MsgFlags, MultiHeaders, SockaddrIn, sendmmsg};
use standfast_core::dhcp::destination::Destination;
use standfast_core::lease::record::HardwareAddress;
use standfast_core::output::Reply;
use std::io::{self, IoSlice};
use std::net::Ipv4Addr;
use std::os::fd::RawFd;

/// What became of a batch.
#[derive(Debug, Default)]
pub struct Sent {
    /// How many went out.
    pub sent: usize,
    /// How many did not. Clients ask again; nothing is tried twice here.
    pub failed: usize,
    /// Why the last of those did not.
    pub error: Option<io::Error>,
}

impl Sent {
    fn failure(&mut self, error: io::Error) {
        self.failed += 1;
        self.error = Some(error);
    }
}

/// Memory for the replies of one turn, for any number of links that are written in turn.
#[derive(Debug)]
pub struct Outbox {
    /// Frames, one after the other, and where each ends.
    frames: Vec<u8>,
    ends: Vec<usize>,
    /// Which replies are datagrams, and to whom.
    unicast: Vec<(usize, SockaddrIn)>,
    destinations: Vec<Option<SockaddrIn>>,
    nowhere: [Option<LinkAddr>; BATCH],
    datagram_headers: MultiHeaders<SockaddrIn>,
    frame_headers: MultiHeaders<LinkAddr>,
}

impl Default for Outbox {
    fn default() -> Self {
        Self {
            frames: Vec::new(),
            ends: Vec::new(),
            unicast: Vec::new(),
            destinations: Vec::with_capacity(BATCH),
            nowhere: [None; BATCH],
            datagram_headers: MultiHeaders::preallocate(BATCH, Some(cmsg_space!(libc::in_pktinfo))),
            frame_headers: MultiHeaders::preallocate(BATCH, None),
        }
    }
}

impl Outbox {
    /// Sends the replies for clients without an address yet as frames from `hardware`, by a raw socket.
    pub(super) fn send_frames(
        &mut self,
        socket: RawFd,
        hardware: [u8; 6],
        replies: &[Reply],
        wanted: impl Fn(&Reply) -> bool,
        outcome: &mut Sent,
    ) {
        self.frames.clear();
        self.ends.clear();
        for reply in replies.iter().filter(|reply| wanted(reply)) {
            if let Some((to_hardware, to)) = frame_destination(reply.destination) {
                self.frames.reserve(HEADERS + reply.bytes.len());
                let addresses = Addresses { from_hardware: hardware, to_hardware, from: reply.source, to };
                frame::append(addresses, &reply.bytes, &mut self.frames);
                self.ends.push(self.frames.len());
            }
        }
        let mut next = 0;
        while next < self.ends.len() {
            let count = BATCH.min(self.ends.len() - next);
            let mut start = next.checked_sub(1).map_or(0, |before| self.ends[before]);
            let slices: [_; BATCH] = std::array::from_fn(|i| {
                let end = if i < count { self.ends[next + i] } else { start };
                let frame = &self.frames[start..end];
                start = end;
                [IoSlice::new(frame)]
            });
            let headers = &mut self.frame_headers;
            let sent = sendmmsg(socket, headers, &slices[..count], self.nowhere, [], MsgFlags::MSG_DONTWAIT);
            next += account(sent.map(Iterator::count), outcome);
        }
    }

    /// Sends the replies that are ordinary datagrams, by the link's socket. `source` says from which address a reply
    /// with a given server identifier is to come; unspecified leaves it to the kernel.
    pub(super) fn send_datagrams(
        &mut self,
        socket: RawFd,
        source: impl Fn(Ipv4Addr) -> Ipv4Addr,
        replies: &[Reply],
        wanted: impl Fn(&Reply) -> bool,
        outcome: &mut Sent,
    ) {
        let Self { unicast, destinations, datagram_headers, .. } = self;
        unicast.clear();
        let indexed = replies.iter().enumerate().filter(|(_, reply)| wanted(reply));
        unicast.extend(indexed.filter_map(|(at, reply)| Some((at, unicast_destination(reply.destination)?))));
        let mut rest = unicast.as_slice();
        while let Some((first, _)) = rest.first() {
            // The source is given once for a whole call.
            let from = source(replies[*first].source);
            let same = rest.iter().take(BATCH).take_while(|(at, _)| source(replies[*at].source) == from).count();
            let run = &rest[..same];
            let slices: [_; BATCH] =
                std::array::from_fn(|i| [IoSlice::new(run.get(i).map_or(&[], |(at, _)| &replies[*at].bytes))]);
            destinations.clear();
            destinations.extend(run.iter().map(|(_, to)| Some(*to)));
            let info = packet_info(from);
            let control = [ControlMessage::Ipv4PacketInfo(&info)];
            let (slices, to) = (&slices[..same], destinations.as_slice());
            let sent = sendmmsg(socket, datagram_headers, slices, to, control, MsgFlags::MSG_DONTWAIT);
            rest = &rest[account(sent.map(Iterator::count), outcome)..];
        }
    }
}

/// Counts what a system call did; returns how many replies are done with.
fn account(sent: nix::Result<usize>, outcome: &mut Sent) -> usize {
    match sent {
        Ok(sent) => {
            outcome.sent += sent;
            sent
        }
        Err(Errno::EINTR) => 0,
        // The call stopped at the first one; those behind it may be for somewhere else.
        Err(errno) => {
            outcome.failure(errno.into());
            1
        }
    }
}

fn frame_destination(destination: Destination) -> Option<([u8; 6], Ipv4Addr)> {
    match destination {
        Destination::Unicast(_) => None,
        Destination::Broadcast => Some((EVERYBODY, Ipv4Addr::BROADCAST)),
        Destination::Frame { hardware, address } => Some((ethernet(hardware), address)),
    }
}

/// The address for a frame to a client; everybody's, if the client's is not one of Ethernet.
fn ethernet(hardware: HardwareAddress) -> [u8; 6] {
    hardware.as_bytes().try_into().unwrap_or(EVERYBODY)
}

fn unicast_destination(destination: Destination) -> Option<SockaddrIn> {
    match destination {
        Destination::Unicast(to) => Some(to.into()),
        Destination::Broadcast | Destination::Frame { .. } => None,
    }
}

fn packet_info(source: Ipv4Addr) -> libc::in_pktinfo {
    let address = libc::in_addr { s_addr: source.to_bits().to_be() };
    libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: address, ipi_addr: libc::in_addr { s_addr: 0 } }
}
