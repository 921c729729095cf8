//! Options: their codes, and the values that one client is to get.

use crate::configuration::OptionValues;
use std::net::Ipv4Addr;
use std::time::Duration;

/// Option codes that the server itself reads or writes (RFC 2132 unless said otherwise).
pub mod code {
    /// Filler without a length.
    pub const PAD: u8 = 0;
    /// Netmask of the client's link.
    pub const SUBNET_MASK: u8 = 1;
    /// Default routers.
    pub const ROUTERS: u8 = 3;
    /// Host name.
    pub const HOST_NAME: u8 = 12;
    /// Address that the client would like to have.
    pub const REQUESTED_ADDRESS: u8 = 50;
    /// Seconds that a lease lasts.
    pub const LEASE_TIME: u8 = 51;
    /// `sname` or `file` hold options.
    pub const OVERLOAD: u8 = 52;
    /// Type of a DHCP message; absent in BOOTP.
    pub const MESSAGE_TYPE: u8 = 53;
    /// The server meant, or the one that answers.
    pub const SERVER_IDENTIFIER: u8 = 54;
    /// Codes that the client asks for.
    pub const PARAMETERS: u8 = 55;
    /// Text for people, in NAK and DECLINE.
    pub const MESSAGE: u8 = 56;
    /// Largest message that the client accepts.
    pub const MAX_MESSAGE_SIZE: u8 = 57;
    /// T1, when to renew.
    pub const RENEWAL_TIME: u8 = 58;
    /// T2, when to rebind.
    pub const REBINDING_TIME: u8 = 59;
    /// Vendor class.
    pub const VENDOR_CLASS: u8 = 60;
    /// Client identifier.
    pub const CLIENT_ID: u8 = 61;
    /// User class (RFC 3004).
    pub const USER_CLASS: u8 = 77;
    /// Rapid commit (RFC 4039).
    pub const RAPID_COMMIT: u8 = 80;
    /// Relay agent information (RFC 3046).
    pub const RELAY_INFORMATION: u8 = 82;
    /// Client system architecture (RFC 4578).
    pub const ARCHITECTURE: u8 = 93;
    /// Client machine identifier (RFC 4578).
    pub const MACHINE_ID: u8 = 97;
    /// IPv6-only preferred (RFC 8925).
    pub const V6ONLY_PREFERRED: u8 = 108;
    /// Subnet selection (RFC 3011).
    pub const SUBNET_SELECTION: u8 = 118;
    /// Classless static routes (RFC 3442).
    pub const CLASSLESS_ROUTES: u8 = 121;
    /// Last option; what follows is padding.
    pub const END: u8 = 255;
}

/// The option values of one client: those of the reservation go before those of the pool, the classes and the scope.
///
/// Borrowed from the configuration, so that an answer copies each value once, onto the wire.
#[derive(Clone, Debug, Default)]
pub struct OptionLayers<'a> {
    layers: Vec<&'a OptionValues>,
    hostname: Option<&'a [u8]>,
    mask: Option<[u8; 4]>,
    v6only_wait: Option<[u8; 4]>,
}

impl<'a> OptionLayers<'a> {
    /// The layers, the one that goes before all others first.
    #[must_use]
    pub fn new(layers: Vec<&'a OptionValues>) -> Self {
        Self { layers, ..Self::default() }
    }

    /// With this host name, whatever the layers say.
    #[must_use]
    pub fn hostname(mut self, hostname: Option<&'a str>) -> Self {
        self.hostname = hostname.map(str::as_bytes);
        self
    }

    /// With this netmask where no layer has one.
    #[must_use]
    pub fn mask(mut self, mask: Ipv4Addr) -> Self {
        self.mask = Some(mask.octets());
        self
    }

    /// With this time of RFC 8925 where no layer has one.
    #[must_use]
    pub fn v6only_wait(mut self, wait: Option<Duration>) -> Self {
        self.v6only_wait = wait.map(seconds);
        self
    }

    /// The value of `code`, never empty: only the server's own options may be (rapid commit).
    #[must_use]
    pub fn get(&self, code: u8) -> Option<&[u8]> {
        if code == code::HOST_NAME && self.hostname.is_some() {
            return self.hostname.filter(|name| !name.is_empty());
        }
        let configured = self.layers.iter().find_map(|layer| layer.get(&code)).map(Vec::as_slice);
        let derived = match code {
            code::SUBNET_MASK => self.mask.as_ref(),
            code::V6ONLY_PREFERRED => self.v6only_wait.as_ref(),
            _ => None,
        };
        configured.or(derived.map(<[u8; 4]>::as_slice)).filter(|value| !value.is_empty())
    }

    /// Every code that has a value, some of them perhaps twice.
    pub fn codes(&self) -> impl Iterator<Item = u8> {
        let hostname = self.hostname.map(|_| code::HOST_NAME);
        let mask = self.mask.map(|_| code::SUBNET_MASK);
        let v6only = self.v6only_wait.map(|_| code::V6ONLY_PREFERRED);
        let layers = self.layers.iter().flat_map(|layer| layer.keys().copied());
        hostname.into_iter().chain(mask).chain(v6only).chain(layers)
    }
}

/// A duration as options carry it. Rounded down to the second, so that nobody believes in a lease for longer than it
/// is recorded; `0xffff_ffff` means forever (RFC 2131 section 3.3) and is what longer durations become.
#[must_use]
pub fn seconds(duration: Duration) -> [u8; 4] {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX).to_be_bytes()
}
