//! Why a packet is dropped unread.

use crate::labelled::labelled;
use std::fmt;

labelled! {
    /// Why a packet was dropped unread.
    Malformed {
        /// Shorter than the fixed header and the magic cookie.
        Short = "malformed_short",
        /// `op` is not BOOTREQUEST: somebody's answer, or noise.
        NotARequest = "malformed_not_a_request",
        /// `hlen` is 0 or above 16.
        HardwareLength = "malformed_hardware_length",
        /// The magic cookie of RFC 2131 section 3 is missing.
        Cookie = "malformed_cookie",
        /// `giaddr` cannot be the address of a relay, or `ciaddr` that of a client.
        Address = "malformed_address",
        /// An option's length runs over the end of its field.
        OptionOverrun = "malformed_option_overrun",
        /// More than 255 options, or more than 1 KiB of one code.
        OptionFlood = "malformed_option_flood",
        /// A fixed-length option that decides the answer has another length.
        OptionLength = "malformed_option_length",
        /// A client id longer than 255 bytes (by concatenation).
        ClientIdLength = "malformed_client_id_length",
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
