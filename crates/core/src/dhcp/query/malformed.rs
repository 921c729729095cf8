//! Why a packet is dropped unread.

use std::fmt;

/// Why a packet was dropped unread.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Malformed {
    /// Shorter than the fixed header and the magic cookie.
    Short,
    /// `op` is not BOOTREQUEST: somebody's answer, or noise.
    NotARequest,
    /// `hlen` is 0 or above 16.
    HardwareLength,
    /// The magic cookie of RFC 2131 section 3 is missing.
    Cookie,
    /// `giaddr` cannot be the address of a relay, or `ciaddr` that of a client.
    Address,
    /// An option's length runs over the end of its field.
    OptionOverrun,
    /// More than 255 options, or more than 1 KiB of one code.
    OptionFlood,
    /// A fixed-length option that decides the answer has another length.
    OptionLength,
    /// A client id longer than 255 bytes (by concatenation).
    ClientIdLength,
}

impl Malformed {
    /// The reason as a metric label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Short => "malformed_short",
            Self::NotARequest => "malformed_not_a_request",
            Self::HardwareLength => "malformed_hardware_length",
            Self::Cookie => "malformed_cookie",
            Self::Address => "malformed_address",
            Self::OptionOverrun => "malformed_option_overrun",
            Self::OptionFlood => "malformed_option_flood",
            Self::OptionLength => "malformed_option_length",
            Self::ClientIdLength => "malformed_client_id_length",
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
