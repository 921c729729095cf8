//! Receiving in batches, into memory that is reused.

use nix::cmsg_space;
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, MultiHeaders, RecvMsg, SockaddrIn, recvmmsg};
use nix::sys::time::TimeSpec;
use std::io::{self, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::RawFd;
use std::time::Duration;

/// Datagrams taken by one system call.
pub(super) const BATCH: usize = 64;
/// Longer than anything a client sends (RFC 2131 section 2 asks for 576), and what is longer yet is cut and dropped.
const LONGEST: usize = 4_096;

/// A datagram, still in the memory it was received into.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Datagram<'a> {
    /// The UDP payload.
    pub bytes: &'a [u8],
    /// Who sent it.
    pub source: SocketAddrV4,
    /// To which address: 255.255.255.255 for a broadcast.
    pub destination: Ipv4Addr,
    /// The kernel's number of the interface by which it came.
    pub interface: u32,
    /// When the kernel received it, by the wall clock, since 1970; see `clock::instant_of_stamp`.
    pub stamp: Duration,
}

/// Memory for one batch, for any number of links that are read in turn.
#[derive(Debug)]
pub struct Inbox {
    buffer: Box<[u8]>,
    headers: MultiHeaders<SockaddrIn>,
    /// Datagrams that were dropped because they were longer than any DHCP message.
    pub oversized: u64,
}

impl Default for Inbox {
    fn default() -> Self {
        let headers = MultiHeaders::preallocate(BATCH, Some(cmsg_space!(libc::in_pktinfo, TimeSpec)));
        Self { buffer: vec![0; BATCH * LONGEST].into(), headers, oversized: 0 }
    }
}

impl Inbox {
    /// Takes what has arrived, one batch at most, without waiting, and hands it to `each`. Returns whether there may be
    /// more.
    pub(super) fn take(&mut self, socket: RawFd, mut each: impl FnMut(Datagram<'_>)) -> io::Result<bool> {
        let mut buffers = self.buffer.chunks_exact_mut(LONGEST);
        let mut slices: [_; BATCH] = std::array::from_fn(|_| [IoSliceMut::new(buffers.next().unwrap_or_default())]);
        let received = match recvmmsg(socket, &mut self.headers, &mut slices, MsgFlags::MSG_DONTWAIT, None) {
            Ok(received) => received,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(false),
            Err(errno) => return Err(errno.into()),
        };
        let mut count = 0;
        for message in received {
            count += 1;
            if message.flags.contains(MsgFlags::MSG_TRUNC) {
                self.oversized += 1;
            } else if let Some(datagram) = datagram(&message) {
                each(datagram);
            }
        }
        Ok(count == BATCH)
    }
}

fn datagram<'a>(message: &RecvMsg<'a, 'a, SockaddrIn>) -> Option<Datagram<'a>> {
    let mut stamp = Duration::ZERO;
    let mut info = None;
    for control in message.cmsgs().ok()? {
        #[expect(clippy::wildcard_enum_match_arm, reason = "the two kinds that the socket asks for, of some thirty")]
        match control {
            ControlMessageOwned::Ipv4PacketInfo(of) => info = Some(of),
            ControlMessageOwned::ScmTimestampns(at) => stamp = at.into(),
            _ => {}
        }
    }
    let info = info?;
    let source = message.address?;
    Some(Datagram {
        bytes: message.iovs().next().unwrap_or_default(),
        source: SocketAddrV4::new(source.ip(), source.port()),
        destination: Ipv4Addr::from_bits(u32::from_be(info.ipi_addr.s_addr)),
        interface: u32::try_from(info.ipi_ifindex).unwrap_or(0),
        stamp,
    })
}
