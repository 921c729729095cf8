//! What can go wrong with a client link, said to the person who has to mend it.

use std::io;
use std::net::SocketAddrV4;

/// Why a link cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum UdpError {
    /// There is no such interface.
    #[error("there is no interface {name}; this machine has {}: mend `interfaces` of this node in the cluster file", list(.present))]
    NoInterface {
        /// The name asked for.
        name: String,
        /// Those that exist.
        present: Vec<String>,
    },
    /// The interface cannot carry DHCP over IPv4.
    #[error("the interface {name} {why}")]
    Unsuitable {
        /// Which.
        name: String,
        /// What it lacks, and what to do.
        why: &'static str,
    },
    /// Raw sockets are not allowed to this process.
    #[error(
        "no permission to send raw frames on {name}: run the node as root or with the capability CAP_NET_RAW (systemd: AmbientCapabilities=CAP_NET_RAW CAP_NET_BIND_SERVICE)"
    )]
    NoRawSockets {
        /// On which interface.
        name: String,
    },
    /// Low ports are not allowed to this process.
    #[error("no permission to listen on UDP port {port}{}: run the node as root or with the capability CAP_NET_BIND_SERVICE (systemd: AmbientCapabilities=CAP_NET_RAW CAP_NET_BIND_SERVICE)", on(.interface.as_deref()))]
    NoLowPorts {
        /// Which port.
        port: u16,
        /// On which interface, if on one.
        interface: Option<String>,
    },
    /// Another process listens there.
    #[error("cannot listen on UDP {}{}: it is taken{}", .address, on(.interface.as_deref()), by(.holder.as_deref()))]
    Taken {
        /// What was asked for.
        address: SocketAddrV4,
        /// On which interface, if on one.
        interface: Option<String>,
        /// The process that has it, as far as can be seen.
        holder: Option<String>,
    },
    /// The address is not one of this machine's.
    #[error(
        "cannot listen on {address}: it is not an address of this machine; mend `dhcp_listen` of this node in the cluster file"
    )]
    NotOurs {
        /// What was asked for.
        address: SocketAddrV4,
    },
    /// The operating system refused for another reason.
    #[error("cannot {action} of {link}: {source}")]
    Os {
        /// What was tried, as a verb phrase that ends in a noun.
        action: &'static str,
        /// The interface or address.
        link: String,
        /// What the operating system said.
        source: io::Error,
    },
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

fn on(interface: Option<&str>) -> String {
    interface.map_or_else(String::new, |name| format!(" on {name}"))
}

fn by(holder: Option<&str>) -> String {
    match holder {
        Some(holder) => format!(" by {holder}: stop it, since one machine needs one DHCP server"),
        None => {
            " by another process, perhaps dhcpd, kea-dhcp4 or dnsmasq (`ss -lunp` shows it to root): stop it, since \
                 one machine needs one DHCP server"
                .into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_say_what_where_and_what_to_do() {
        let missing = UdpError::NoInterface { name: "eth7".into(), present: vec!["lo".into(), "eth0".into()] };
        assert_eq!(
            missing.to_string(),
            "there is no interface eth7; this machine has lo, eth0: mend `interfaces` of this node in the cluster file"
        );
        let address = "0.0.0.0:67".parse().unwrap();
        let taken = |holder| UdpError::Taken { address, interface: Some("eth0".into()), holder };
        assert_eq!(
            taken(Some("dnsmasq (process 812)".into())).to_string(),
            "cannot listen on UDP 0.0.0.0:67 on eth0: it is taken by dnsmasq (process 812): stop it, since one machine \
             needs one DHCP server"
        );
        assert!(taken(None).to_string().contains("perhaps dhcpd"));
        let low = UdpError::NoLowPorts { port: 67, interface: None };
        assert!(low.to_string().starts_with("no permission to listen on UDP port 67: run the node as root"));
    }
}
