//! Packets that were heard and not dealt with yet: in an overload, those go first whose clients lose least by it.
//!
//! The queue of a socket is one line, and a full one drops what comes last, so that a flood of DISCOVERs keeps everybody
//! out. So it is emptied into two lines here. DISCOVERs wait behind everything else: a client without a lease can wait,
//! one that extends its lease may lose it. When there are too many, the oldest goes, whose client asks again anyway.

use standfast_core::input::Packet;
use std::collections::VecDeque;

/// DISCOVERs that wait at the most: what a node answers in less time than clients wait before they ask again.
const DISCOVERS: usize = 4_096;
/// Other packets that wait at the most: the renewals of a site whose power has come back.
const OTHERS: usize = 16_384;

/// Both lines.
#[derive(Default)]
pub(crate) struct Backlog {
    discovers: VecDeque<Packet>,
    others: VecDeque<Packet>,
    dropped: u64,
}

impl Backlog {
    /// Puts a packet at the end of its line, in the place of the first one if the line is full.
    pub(crate) fn push(&mut self, packet: Packet) {
        let (line, most) =
            if is_discover(&packet.bytes) { (&mut self.discovers, DISCOVERS) } else { (&mut self.others, OTHERS) };
        if line.len() >= most {
            line.pop_front();
            self.dropped += 1;
        }
        line.push_back(packet);
    }

    /// The packet that is next.
    pub(crate) fn pop(&mut self) -> Option<Packet> {
        self.others.pop_front().or_else(|| self.discovers.pop_front())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.others.is_empty() && self.discovers.is_empty()
    }

    /// How many packets were dropped since this was last asked.
    pub(crate) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }
}

/// Whether a packet says that it is a DISCOVER. It is only a first look: what cannot be read is dropped later.
fn is_discover(bytes: &[u8]) -> bool {
    const OPTIONS: usize = 240;
    let mut rest = bytes.get(OPTIONS..).unwrap_or_default();
    loop {
        match rest {
            [0, behind @ ..] => rest = behind,
            [53, 1, kind, ..] => return *kind == 1,
            [255, ..] | [] | [_] => return false,
            [_, length, behind @ ..] => rest = behind.get(usize::from(*length)..).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use standfast_core::time::Instant;
    use std::net::{Ipv4Addr, SocketAddrV4};

    const DISCOVER: u8 = 1;
    const REQUEST: u8 = 3;

    fn packet(kind: u8, number: i64) -> Packet {
        let mut bytes = vec![0; 240];
        bytes.extend([0, 12, 2, b'p', b'c', 53, 1, kind, 255]);
        let source = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 68);
        Packet { link: 0, source, destination: Ipv4Addr::LOCALHOST, received: Instant(number), bytes }
    }

    fn numbers(backlog: &mut Backlog) -> Vec<i64> {
        std::iter::from_fn(|| backlog.pop()).map(|packet| packet.received.0).collect()
    }

    #[test]
    fn whoever_has_a_lease_goes_before_who_looks_for_one() {
        let mut backlog = Backlog::default();
        for (kind, number) in [(DISCOVER, 1), (REQUEST, 2), (DISCOVER, 3), (REQUEST, 4)] {
            backlog.push(packet(kind, number));
        }
        assert_eq!(numbers(&mut backlog), [2, 4, 1, 3]);
        assert!(backlog.is_empty());
    }

    #[test]
    fn a_flood_of_discovers_drops_the_oldest_of_them_and_nothing_else() {
        let mut backlog = Backlog::default();
        backlog.push(packet(REQUEST, -1));
        for number in 0..5_000 {
            backlog.push(packet(DISCOVER, number));
        }
        assert_eq!(backlog.take_dropped(), 904);
        assert_eq!(backlog.take_dropped(), 0);
        let left = numbers(&mut backlog);
        assert_eq!((left.len(), left[0], left[1], left[4_096]), (4_097, -1, 904, 4_999));
    }

    #[test]
    fn what_cannot_be_read_is_no_discover() {
        for bytes in [&[][..], &[0; 240], &[9; 300], &packet(DISCOVER, 0).bytes[..246]] {
            assert!(!is_discover(bytes));
        }
    }
}
