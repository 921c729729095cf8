//! The DHCP options that have a name, with the kind of their value.
//!
//! From the IANA registry "BOOTP Vendor Extensions and DHCP Options"; the names are those that Kea and ISC dhcpd made
//! customary, in kebab case. Codes that only a client or the server itself writes are in [`reserved`].

use super::Kind::{self, *};

/// An option: code, name, kind of value.
pub(super) type Known = (u8, &'static str, Kind);

/// In order of code. RFC 2132 where nothing else is said.
#[rustfmt::skip]
pub(super) const KNOWN: &[Known] = &[
    (1, "subnet-mask", Address),
    (2, "time-offset", Signed32),
    (3, "routers", Addresses),
    (4, "time-servers", Addresses),
    (5, "name-servers", Addresses),
    (6, "domain-name-servers", Addresses),
    (7, "log-servers", Addresses),
    (8, "cookie-servers", Addresses),
    (9, "lpr-servers", Addresses),
    (10, "impress-servers", Addresses),
    (11, "resource-location-servers", Addresses),
    (12, "host-name", Text),
    (13, "boot-size", Number16),
    (14, "merit-dump", Text),
    (15, "domain-name", Text),
    (16, "swap-server", Address),
    (17, "root-path", Text),
    (18, "extensions-path", Text),
    (19, "ip-forwarding", Flag),
    (20, "non-local-source-routing", Flag),
    (21, "policy-filter", AddressPairs),
    (22, "max-dgram-reassembly", Number16),
    (23, "default-ip-ttl", Number8),
    (24, "path-mtu-aging-timeout", Number32),
    (25, "path-mtu-plateau-table", Numbers16),
    (26, "interface-mtu", Number16),
    (27, "all-subnets-local", Flag),
    (28, "broadcast-address", Address),
    (29, "perform-mask-discovery", Flag),
    (30, "mask-supplier", Flag),
    (31, "router-discovery", Flag),
    (32, "router-solicitation-address", Address),
    (33, "static-routes", AddressPairs),
    (34, "trailer-encapsulation", Flag),
    (35, "arp-cache-timeout", Number32),
    (36, "ieee802-3-encapsulation", Flag),
    (37, "default-tcp-ttl", Number8),
    (38, "tcp-keepalive-interval", Number32),
    (39, "tcp-keepalive-garbage", Flag),
    (40, "nis-domain", Text),
    (41, "nis-servers", Addresses),
    (42, "ntp-servers", Addresses),
    (43, "vendor-encapsulated-options", Bytes),
    (44, "netbios-name-servers", Addresses),
    (45, "netbios-dd-servers", Addresses),
    (46, "netbios-node-type", Number8),
    (47, "netbios-scope", Text),
    (48, "font-servers", Addresses),
    (49, "x-display-managers", Addresses),
    (60, "vendor-class-identifier", Text),
    (62, "nwip-domain-name", Text),
    (63, "nwip-suboptions", Bytes),
    (64, "nisplus-domain-name", Text),
    (65, "nisplus-servers", Addresses),
    (66, "tftp-server-name", Text),
    (67, "boot-file-name", Text),
    (68, "mobile-ip-home-agents", Addresses),
    (69, "smtp-servers", Addresses),
    (70, "pop-servers", Addresses),
    (71, "nntp-servers", Addresses),
    (72, "www-servers", Addresses),
    (73, "finger-servers", Addresses),
    (74, "irc-servers", Addresses),
    (75, "streettalk-servers", Addresses),
    (76, "streettalk-directory-assistance-servers", Addresses),
    (78, "slp-directory-agent", Bytes),            // RFC 2610
    (79, "slp-service-scope", Bytes),              // RFC 2610
    (85, "nds-servers", Addresses),                // RFC 2241
    (86, "nds-tree-name", Text),                   // RFC 2241
    (87, "nds-context", Text),                     // RFC 2241
    (88, "bcmcs-domain-names", Domains),           // RFC 4280
    (89, "bcmcs-addresses", Addresses),            // RFC 4280
    (98, "uap-servers", Text),                     // RFC 2485
    (99, "geoconf-civic", Bytes),                  // RFC 4776
    (100, "pcode", Text),                          // RFC 4833
    (101, "tcode", Text),                          // RFC 4833
    (108, "v6-only-preferred", Number32),          // RFC 8925
    (112, "netinfo-server-addresses", Addresses),
    (113, "netinfo-server-tag", Text),
    (114, "v4-captive-portal", Text),              // RFC 8910
    (116, "auto-config", Number8),                 // RFC 2563
    (117, "name-service-search", Numbers16),       // RFC 2937
    (119, "domain-search", Domains),               // RFC 3397
    (120, "sip-servers", SipServers),              // RFC 3361
    (121, "classless-static-routes", Routes),      // RFC 3442
    (123, "geoconf", Bytes),                       // RFC 6225
    (124, "vendor-identifying-class", Bytes),      // RFC 3925
    (125, "vendor-identifying-options", Bytes),    // RFC 3925
    (136, "pana-agents", Addresses),               // RFC 5192
    (137, "v4-lost", Domains),                     // RFC 5223
    (138, "capwap-ac-v4", Addresses),              // RFC 5417
    (139, "mos-addresses", Bytes),                 // RFC 5678
    (140, "mos-domain-names", Bytes),              // RFC 5678
    (141, "sip-user-agent-domains", Domains),      // RFC 6011
    (143, "sztp-redirect", Bytes),                 // RFC 8572
    (144, "geoloc", Bytes),                        // RFC 6225
    (146, "rdnss-selection", Bytes),               // RFC 6731
    (147, "dots-reference-identifier", Text),      // RFC 8973
    (148, "dots-addresses", Addresses),            // RFC 8973
    (150, "tftp-server-addresses", Addresses),     // RFC 5859
    (159, "v4-portparams", Bytes),                 // RFC 7618
    (161, "mud-url", Text),                        // RFC 8520
    (162, "v4-dnr", Bytes),                        // RFC 9463
    (208, "pxelinux-magic", Bytes),                // RFC 5071
    (209, "pxelinux-config-file", Text),           // RFC 5071
    (210, "pxelinux-path-prefix", Text),           // RFC 5071
    (211, "pxelinux-reboot-time", Number32),       // RFC 5071
    (212, "6rd", Bytes),                           // RFC 5969
    (213, "v4-access-domain", Domains),            // RFC 5986
    (249, "ms-classless-static-routes", Routes),   // MS-DHCPE 2.2.8
    (252, "wpad-proxy-url", Text),
];

/// Other customary names for some of [`KNOWN`].
pub(super) const ALIASES: &[(&str, u8)] = &[
    ("bootfile-name", 67),
    ("captive-portal", 114),
    ("classless-static-route", 121),
    ("domain-servers", 6),
    ("router", 3),
    ("tftp-server-address", 150),
    ("vendor-class", 60),
    ("vendor-options", 43),
    ("wpad", 252),
];

/// Why an option cannot be configured, and what to do instead.
pub(super) fn reserved(code: u8) -> Option<(&'static str, &'static str)> {
    Some(match code {
        0 | 255 => ("is padding, not an option", "remove it"),
        50 | 55 | 57 | 61 | 77 | 93 | 94 | 97 | 118 => {
            ("is sent by clients only", "remove it; classes can match what clients send")
        }
        51 | 58 | 59 => ("follows from the lease time", "set `lease_time` of the scope"),
        52 => ("is set where an answer needs it", "remove it"),
        53 => ("is the type of the message", "remove it"),
        54 => ("differs from node to node", "set `server_identifier` of the node"),
        56 => ("is the text of a refusal", "remove it"),
        80 => ("answers a client that sent it", "set `rapid_commit` of the scope"),
        82 => ("is the relay's and is echoed", "remove it; classes can match `circuit_id` and `remote_id`"),
        _ => return None,
    })
}
