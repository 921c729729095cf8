//! The system calls that no library wraps, and with them all `unsafe` of the workspace.
//!
//! Everything else goes through std, nix and socket2.

#![expect(unsafe_code, reason = "adjtimex and SIOCGIFMTU have no safe wrapper in nix or std")]

use nix::libc;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Whether something (NTP, PTP, the hypervisor) keeps the wall clock right. False if the kernel will not say.
pub(crate) fn clock_is_synchronised() -> bool {
    // SAFETY: `timex` is plain integers, for which zero is a value; `modes` 0 makes the call read-only, and it writes
    // to nothing but the structure that it is handed.
    let (state, status) = unsafe {
        let mut timex: libc::timex = mem::zeroed();
        (libc::adjtimex(&raw mut timex), timex.status)
    };
    state >= 0 && state != libc::TIME_ERROR && status & libc::STA_UNSYNC == 0
}

/// The largest IP packet, in bytes, that the interface called `name` carries. Any socket will do to ask.
pub(crate) fn interface_mtu(socket: BorrowedFd<'_>, name: &str) -> io::Result<u32> {
    let name = name.as_bytes();
    if name.is_empty() || name.len() >= libc::IFNAMSIZ {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    // SAFETY: `ifreq` is plain integers and a union of such, for which zero is a value. The name is shorter than the
    // array, so that it stays terminated. SIOCGIFMTU reads the name and writes the union's `ifru_mtu`.
    unsafe {
        let mut request: libc::ifreq = mem::zeroed();
        for (to, from) in request.ifr_name.iter_mut().zip(name) {
            *to = from.cast_signed() as libc::c_char;
        }
        if libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFMTU, &raw mut request) < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(request.ifr_ifru.ifru_mtu.cast_unsigned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    #[test]
    fn asking_whether_the_clock_is_right_has_an_answer() {
        // Both answers are right somewhere; that two in a row agree is what can be asked of any machine.
        assert_eq!(clock_is_synchronised(), clock_is_synchronised());
    }

    #[test]
    fn loopback_has_a_large_mtu_and_a_missing_interface_an_error() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert!(interface_mtu(socket.as_fd(), "lo").unwrap() >= 1_500);
        assert!(interface_mtu(socket.as_fd(), "no-such-if0").is_err());
        assert!(interface_mtu(socket.as_fd(), "a-name-longer-than-interfaces-have").is_err());
    }
}
