//! ICMP echo: does somebody use this address? One socket for all links, since routes lead there.

use super::filter::echo_replies;
use super::frame::{finish, sum};
use super::poller::Poller;
use nix::errno::Errno;
use nix::sys::socket::{SockaddrIn, recvfrom};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsRawFd;

/// Under which a poller tells of it.
const NUMBER: u32 = u32::MAX;
/// Answers that one look takes.
const AT_A_TIME: usize = 64;
/// What an echo request carries beside its header.
const PAYLOAD: &[u8] = b"standfast";

/// A raw socket for echo requests and their answers.
#[derive(Debug)]
pub struct Pinger {
    socket: Socket,
    identifier: u16,
}

impl Pinger {
    /// Opens the socket, which takes CAP_NET_RAW.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn open(poller: &Poller) -> io::Result<Self> {
        let identifier = std::process::id() as u16;
        let socket = Socket::new(Domain::IPV4, Type::RAW.nonblocking().cloexec(), Some(Protocol::ICMPV4))?;
        socket.attach_filter(echo_replies(identifier).program())?;
        poller.add(&socket, NUMBER)?;
        Ok(Self { socket, identifier })
    }

    /// Whether a poller that tells of this number tells of answers.
    #[must_use]
    pub fn is(number: u32) -> bool {
        number == NUMBER
    }

    /// Asks whether somebody is at `address`, without waiting.
    ///
    /// # Errors
    /// The operating system refuses; there may be no route.
    pub fn ask(&self, address: Ipv4Addr) -> io::Result<()> {
        let to = SocketAddrV4::new(address, 0);
        self.socket.send_to(&request(self.identifier), &to.into()).map(|_| ())
    }

    /// Hands those that answered to `each`, without waiting.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn listen(&self, mut each: impl FnMut(Ipv4Addr)) -> io::Result<()> {
        for _ in 0..AT_A_TIME {
            match recvfrom::<SockaddrIn>(self.socket.as_raw_fd(), &mut [0; 64]) {
                Ok((_, from)) => from.into_iter().for_each(|from| each(from.ip())),
                Err(Errno::EAGAIN) => break,
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }
}

/// An echo request (RFC 792).
fn request(identifier: u16) -> Vec<u8> {
    let mut message = vec![8, 0, 0, 0];
    message.extend(identifier.to_be_bytes());
    message.extend([0, 1]);
    message.extend(PAYLOAD);
    let checksum = finish(sum(0, &message));
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_checksum_of_a_request_is_right() {
        assert_eq!(finish(sum(0, &request(0xabcd))), 0);
    }

    #[test]
    fn this_machine_answers_for_its_own_address() {
        let mut poller = Poller::new().unwrap();
        let pinger = match Pinger::open(&poller) {
            Ok(pinger) => pinger,
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
                return;
            }
        };
        pinger.ask(Ipv4Addr::LOCALHOST).unwrap();
        let ready: Vec<u32> = poller.wait(Some(Duration::from_secs(10))).unwrap().links().collect();
        assert_eq!(ready.len(), 1);
        assert!(Pinger::is(ready[0]));
        let mut answered = Vec::new();
        pinger.listen(|address| answered.push(address)).unwrap();
        assert_eq!(answered, [Ipv4Addr::LOCALHOST]);
    }
}
