//! Waiting for whichever comes first: a packet on any link, a deadline, a call from another thread.
//!
//! Or for the last two alone: a node that answers nobody need not wake up for each packet that it hears.

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How many links are told of by one wait; the others by the next one.
const EVENTS: usize = 32;
const WAKE: u64 = u64::MAX;

/// The place where the serving loop sleeps.
#[derive(Debug)]
pub struct Poller {
    epoll: Epoll,
    /// Without links.
    calls: Epoll,
    bell: Arc<Bell>,
    events: [EpollEvent; EVENTS],
}

/// Wakes a [`Poller`] from any thread.
#[derive(Clone, Debug)]
pub struct Waker(Arc<Bell>);

#[derive(Debug)]
struct Bell {
    event: EventFd,
    /// It was rung and has not been heard: ringing again would cost a system call and say nothing new.
    rung: AtomicBool,
}

/// What ended a wait. All empty: the time was up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ready<'a> {
    events: &'a [EpollEvent],
    /// Whether a [`Waker`] called, once or more often since the last wait.
    pub woken: bool,
}

impl Ready<'_> {
    /// Numbers of the links that have something.
    pub fn links(&self) -> impl Iterator<Item = u32> {
        self.events.iter().filter_map(|event| u32::try_from(event.data()).ok())
    }
}

impl Poller {
    /// A poller without links.
    pub fn new() -> io::Result<Self> {
        let [epoll, calls] =
            [Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?, Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?];
        let event = EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?;
        for epoll in [&epoll, &calls] {
            epoll.add(&event, EpollEvent::new(EpollFlags::EPOLLIN, WAKE))?;
        }
        let bell = Arc::new(Bell { event, rung: AtomicBool::new(false) });
        Ok(Self { epoll, calls, bell, events: [EpollEvent::empty(); EVENTS] })
    }

    /// Also waits for `link` from now on, and calls it `number`. A link that is closed is forgotten by itself.
    pub fn add(&self, link: &impl AsFd, number: u32) -> io::Result<()> {
        Ok(self.epoll.add(link, EpollEvent::new(EpollFlags::EPOLLIN, number.into()))?)
    }

    /// To be kept by those who may want to interrupt a wait.
    #[must_use]
    pub fn waker(&self) -> Waker {
        Waker(Arc::clone(&self.bell))
    }

    /// Waits until a link has something, a waker calls, or `timeout` is over; without one, as long as it takes. Links
    /// that still have something end the next wait too.
    pub fn wait(&mut self, timeout: Option<Duration>) -> io::Result<Ready<'_>> {
        self.wait_on(|it| &it.epoll, timeout)
    }

    /// The same, without the links.
    pub fn wait_for_call(&mut self, timeout: Option<Duration>) -> io::Result<Ready<'_>> {
        self.wait_on(|it| &it.calls, timeout)
    }

    fn wait_on(&mut self, epoll: impl Fn(&Self) -> &Epoll, timeout: Option<Duration>) -> io::Result<Ready<'_>> {
        let mut events = self.events;
        let count = match epoll(self).wait(&mut events, milliseconds(timeout)) {
            Ok(count) => count,
            Err(Errno::EINTR) => 0,
            Err(errno) => return Err(errno.into()),
        };
        self.events = events;
        let events = &self.events[..count];
        let woken = events.iter().any(|event| event.data() == WAKE);
        if woken {
            // Sets it back to zero. Nothing to read means that another wait has done so.
            let _ = self.bell.event.read();
            // After that, or a call in between would find it rung and be lost.
            self.bell.rung.store(false, Ordering::SeqCst);
        }
        Ok(Ready { events, woken })
    }
}

impl Waker {
    /// Ends the current wait, or the next one if there is none.
    pub fn wake(&self) {
        if !self.0.rung.swap(true, Ordering::SeqCst) {
            // Fails only when 2^64 calls have not been seen yet, which is as good as one.
            let _ = self.0.event.write(1);
        }
    }
}

/// Rounded up: a loop that wakes up before its deadline finds nothing to do and goes round and round.
fn milliseconds(timeout: Option<Duration>) -> EpollTimeout {
    let Some(timeout) = timeout else { return EpollTimeout::NONE };
    let milliseconds = timeout.as_nanos().div_ceil(1_000_000);
    EpollTimeout::try_from(milliseconds).unwrap_or(EpollTimeout::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::thread;

    fn seen(poller: &mut Poller, timeout: Option<Duration>) -> (Vec<u32>, bool) {
        let ready = poller.wait(timeout).unwrap();
        (ready.links().collect(), ready.woken)
    }

    #[test]
    fn a_deadline_ends_a_wait() {
        let mut poller = Poller::new().unwrap();
        assert_eq!(seen(&mut poller, Some(Duration::from_micros(300))), (vec![], false));
        assert_eq!(seen(&mut poller, Some(Duration::ZERO)), (vec![], false));
    }

    #[test]
    fn a_call_from_another_thread_ends_a_wait_once() {
        let mut poller = Poller::new().unwrap();
        let waker = poller.waker();
        thread::spawn(move || {
            waker.wake();
            waker.wake();
        });
        assert_eq!(seen(&mut poller, None), (vec![], true));
    }

    #[test]
    fn a_call_before_the_wait_is_not_lost() {
        let mut poller = Poller::new().unwrap();
        poller.waker().wake();
        assert_eq!(seen(&mut poller, None), (vec![], true));
        assert_eq!(seen(&mut poller, Some(Duration::ZERO)), (vec![], false));
    }

    #[test]
    fn a_call_after_each_wait_is_heard() {
        let mut poller = Poller::new().unwrap();
        let waker = poller.waker();
        for _ in 0..3 {
            waker.wake();
            waker.wake();
            assert_eq!(seen(&mut poller, Some(Duration::ZERO)), (vec![], true));
            assert_eq!(seen(&mut poller, Some(Duration::ZERO)), (vec![], false));
        }
    }

    #[test]
    fn a_wait_for_calls_is_ended_by_no_packet() {
        let mut poller = Poller::new().unwrap();
        let links = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        poller.add(&links[1], 1).unwrap();
        links[0].send_to(b"x", links[1].local_addr().unwrap()).unwrap();
        assert_eq!(seen(&mut poller, None), (vec![1], false));
        let ready = poller.wait_for_call(Some(Duration::ZERO)).unwrap();
        assert_eq!((ready.links().count(), ready.woken), (0, false));
        poller.waker().wake();
        assert!(poller.wait_for_call(None).unwrap().woken);
    }

    #[test]
    fn a_packet_ends_a_wait_with_the_number_of_its_link() {
        let mut poller = Poller::new().unwrap();
        let links = [(); 3].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        for (link, number) in links.iter().zip(5..) {
            poller.add(link, number).unwrap();
        }
        links[0].send_to(b"x", links[1].local_addr().unwrap()).unwrap();
        assert_eq!(seen(&mut poller, None), (vec![6], false));
    }

    #[test]
    fn timeouts_are_rounded_up_and_bounded() {
        assert_eq!(milliseconds(Some(Duration::from_micros(1))), EpollTimeout::from(1_u8));
        assert_eq!(milliseconds(Some(Duration::from_millis(7))), EpollTimeout::from(7_u8));
        assert_eq!(milliseconds(Some(Duration::MAX)), EpollTimeout::MAX);
    }
}
