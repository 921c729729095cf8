//! The relay's socket.

use super::DHCP;
use crate::exit::{Exit, Failure};
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::TimeSpec;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::AsFd;
use std::time::Duration;

/// Longer than any answer.
const PACKET: usize = 2_048;
/// Answers of some seconds.
const RECEIVE_BUFFER: usize = 8 << 20;

/// A relay between clients that do not exist and servers that do.
pub(super) struct Relay {
    socket: UdpSocket,
    targets: Vec<SocketAddrV4>,
    pub(super) address: SocketAddrV4,
}

impl Relay {
    /// Binds the relay's address, or the one from which the first server is reached.
    pub(super) fn open(address: Option<SocketAddrV4>, targets: &[SocketAddrV4]) -> Result<Self, Failure> {
        let address = match (address, targets.first()) {
            (Some(address), _) => address,
            (None, Some(target)) => SocketAddrV4::new(address_towards(*target)?, DHCP),
            (None, None) => return Err(Failure::new(Exit::Usage, "no server was named")),
        };
        let socket = UdpSocket::bind(address).map_err(|error| refused(address, &error))?;
        socket.set_nonblocking(true).map_err(|error| Failure::new(Exit::Failed, error))?;
        // What a busy machine keeps this process from reading must not count as unanswered. Beyond the limit of the
        // system only for root.
        if setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
            let _ = setsockopt(&socket, sockopt::RcvBuf, &RECEIVE_BUFFER);
        }
        let targets = targets.to_vec();
        Ok(Self { socket, targets, address })
    }

    /// Sends a packet to every server.
    pub(super) fn send(&self, packet: &[u8]) -> Result<(), Failure> {
        for target in &self.targets {
            match self.socket.send_to(packet, target) {
                Ok(_) => {}
                // As on a real network: what does not fit is lost, and a server that is gone refuses.
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionRefused) => {}
                Err(error) => return Err(Failure::new(Exit::Unreachable, format!("cannot send to {target}: {error}"))),
            }
        }
        Ok(())
    }

    /// Hands what arrives within `wait` to `each`; returns once something has.
    pub(super) fn receive(&self, wait: Duration, mut each: impl FnMut(Ipv4Addr, &[u8])) -> Result<(), Failure> {
        let mut watched = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        // A signal ends the wait early, which does no harm.
        let _ = ppoll(&mut watched, Some(TimeSpec::from(wait)), None);
        let mut packet = [0; PACKET];
        loop {
            match self.socket.recv_from(&mut packet) {
                Ok((length, SocketAddr::V4(from))) => each(*from.ip(), &packet[..length]),
                Ok((_, SocketAddr::V6(_))) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
                Err(error) => return Err(Failure::new(Exit::Failed, format!("cannot receive: {error}"))),
            }
        }
    }
}

fn address_towards(target: SocketAddrV4) -> Result<Ipv4Addr, Failure> {
    let unreachable = |error| Failure::new(Exit::Unreachable, format!("no way to {target}: {error}"));
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).map_err(unreachable)?;
    // Sends nothing: it only chooses the way.
    socket.connect(target).map_err(unreachable)?;
    match socket.local_addr().map_err(unreachable)? {
        SocketAddr::V4(address) => Ok(*address.ip()),
        SocketAddr::V6(_) => Ok(Ipv4Addr::UNSPECIFIED),
    }
}

fn refused(address: SocketAddrV4, error: &std::io::Error) -> Failure {
    let hint = if error.kind() == ErrorKind::PermissionDenied {
        "; run it as root, or name another port with --relay: servers that know RFC 8357 answer there"
    } else {
        "; --relay must name an address of this machine whose port nobody has"
    };
    Failure::new(Exit::Failed, format!("the relay cannot listen on {address}: {error}{hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_server_gets_what_is_sent_and_answers_come_back() {
        let servers = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        let targets: Vec<SocketAddrV4> =
            servers.iter().map(|server| server.local_addr().unwrap().to_string().parse().unwrap()).collect();
        let relay = Relay::open(Some("127.0.0.1:0".parse().unwrap()), &targets).unwrap();
        relay.send(b"request").unwrap();
        for server in &servers {
            let mut packet = [0; 16];
            let (length, from) = server.recv_from(&mut packet).unwrap();
            assert_eq!(&packet[..length], b"request");
            server.send_to(b"answer", from).unwrap();
        }
        let mut heard = 0;
        while heard < 2 {
            relay
                .receive(Duration::from_secs(5), |from, bytes| {
                    assert_eq!((from, bytes), (Ipv4Addr::LOCALHOST, b"answer".as_slice()));
                    heard += 1;
                })
                .unwrap();
        }
    }

    #[test]
    fn an_address_that_is_not_ours_is_told_with_what_to_do() {
        let error = Relay::open(Some("192.0.2.1:67".parse().unwrap()), &[]).err().unwrap().to_string();
        assert!(error.contains("192.0.2.1:67") && error.contains("--relay"), "{error}");
    }
}
