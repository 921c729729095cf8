//! What the kernel shows a raw socket and what not: classic BPF programs (`bpf(4)`), short enough to be read.

use nix::libc;
use socket2::SockFilter;

/// Load what stands at a place into the accumulator: a byte, a half word, a half word behind the IP header.
const LOAD_BYTE: u32 = libc::BPF_LD | libc::BPF_B | libc::BPF_ABS;
const LOAD_HALF: u32 = libc::BPF_LD | libc::BPF_H | libc::BPF_ABS;
const LOAD_BYTE_BEHIND: u32 = libc::BPF_LD | libc::BPF_B | libc::BPF_IND;
const LOAD_HALF_BEHIND: u32 = libc::BPF_LD | libc::BPF_H | libc::BPF_IND;
/// Load the length of the IP header that begins at a place into the index.
const LOAD_HEADER_LENGTH: u32 = libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH;
const JUMP_IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ;
const JUMP_IF_ANY_SET: u32 = libc::BPF_JMP | libc::BPF_JSET;
const RETURN: u32 = libc::BPF_RET;

/// The bits of the fragment's place in an IPv4 header.
const FRAGMENT: u32 = 0x1fff;

/// A program: conditions, all of which must hold.
#[derive(Debug)]
pub(super) struct Filter(Vec<SockFilter>);

/// One condition: what is loaded, and what it must be.
enum Must {
    Equal {
        load: u32,
        at: u32,
        value: u32,
    },
    HaveNoneOf {
        load: u32,
        at: u32,
        bits: u32,
    },
    /// Always holds: what comes behind the IP header that begins here can be loaded.
    FindHeader {
        at: u32,
    },
}

impl Filter {
    fn all(conditions: &[Must]) -> Self {
        let code = |code: u32| code as u16;
        let length = |condition: &Must| if matches!(condition, Must::FindHeader { .. }) { 1 } else { 2 };
        let mut left: u8 = conditions.iter().map(length).sum();
        let mut program = Vec::new();
        for condition in conditions {
            left -= length(condition);
            // Past what is left and the instruction that accepts.
            let reject = left + 1;
            match *condition {
                Must::Equal { load, at, value } => {
                    program.push(SockFilter::new(code(load), 0, 0, at));
                    program.push(SockFilter::new(code(JUMP_IF_EQUAL), 0, reject, value));
                }
                Must::HaveNoneOf { load, at, bits } => {
                    program.push(SockFilter::new(code(load), 0, 0, at));
                    program.push(SockFilter::new(code(JUMP_IF_ANY_SET), reject, 0, bits));
                }
                Must::FindHeader { at } => program.push(SockFilter::new(code(LOAD_HEADER_LENGTH), 0, 0, at)),
            }
        }
        program.push(SockFilter::new(code(RETURN), 0, 0, u32::MAX));
        program.push(SockFilter::new(code(RETURN), 0, 0, 0));
        Self(program)
    }

    pub(super) fn program(&self) -> &[SockFilter] {
        &self.0
    }
}

/// Of Ethernet frames with IPv4: UDP to port 68, but for later fragments.
pub(super) fn datagrams_to_clients() -> Filter {
    Filter::all(&[
        Must::Equal { load: LOAD_BYTE, at: 23, value: 17 },
        Must::HaveNoneOf { load: LOAD_HALF, at: 20, bits: FRAGMENT },
        Must::FindHeader { at: 14 },
        Must::Equal { load: LOAD_HALF_BEHIND, at: 16, value: 68 },
    ])
}

/// Of Ethernet frames with ARP: replies.
pub(super) fn arp_replies() -> Filter {
    Filter::all(&[Must::Equal { load: LOAD_HALF, at: 20, value: 2 }])
}

/// Of IPv4 packets with ICMP: echo replies to whoever asked under this identifier.
pub(super) fn echo_replies(identifier: u16) -> Filter {
    Filter::all(&[
        Must::HaveNoneOf { load: LOAD_HALF, at: 6, bits: FRAGMENT },
        Must::FindHeader { at: 0 },
        Must::Equal { load: LOAD_BYTE_BEHIND, at: 0, value: 0 },
        Must::Equal { load: LOAD_HALF_BEHIND, at: 4, value: identifier.into() },
    ])
}
