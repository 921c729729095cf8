//! Real clients: dhclient and udhcpc, each in a namespace of the laboratory.
//!
//! They run with a script of ours instead of the system's: it gives the interface its address and leaves a line for
//! each thing that happened, and touches neither routes nor name servers of the machine.

use crate::lab::{Host, LAN};
use crate::wait::{LONG, until};
use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

/// dhclient calls it with variables of its own and no others, udhcpc with an argument; both end as lines of
/// `reason address server` in the file whose name stands for `LINES`.
const SCRIPT: &str = r#"#!/bin/sh
reason="${reason:-$1}"
address="${new_ip_address:-$ip}"
server="${new_dhcp_server_identifier:-$serverid}"
case "$reason" in
PREINIT|deconfig) ip link set "$interface" up ;;
BOUND|RENEW|REBIND|REBOOT|bound|renew) ip address replace "$address/24" dev "$interface" ;;
esac
echo "$reason $address $server" >> "LINES"
"#;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Dhclient,
    Udhcpc,
}

/// A running client. It is killed when the value goes.
pub struct Client {
    kind: Kind,
    lines: PathBuf,
    child: Child,
}

/// Something that happened to a client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Happening {
    pub reason: String,
    pub address: Option<Ipv4Addr>,
    pub server: Option<Ipv4Addr>,
}

impl Client {
    /// Starts a client on a host, in the foreground; its files are in `folder`.
    pub fn start(kind: Kind, host: &Host, folder: &Path) -> Self {
        let file = |end: &str| folder.join(format!("{}.{end}", host.lan_port));
        let (lines, script) = (file("lines"), file("script"));
        let text = SCRIPT.replace("LINES", lines.to_str().expect("a temporary folder has a plain name"));
        fs::write(&script, text).expect("write the script of a client");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("make the script executable");
        let mut command = match kind {
            Kind::Dhclient => {
                fs::write(file("conf"), "timeout 20;\nretry 2;\ninitial-interval 1;\n").expect("configure dhclient");
                let mut command = host.namespace.command("dhclient");
                command.args(["-4", "-d", "-v", "-sf"]).arg(&script);
                for (option, end) in [("-lf", "leases"), ("-pf", "pid"), ("-cf", "conf")] {
                    command.arg(option).arg(file(end));
                }
                command.arg(LAN);
                command
            }
            Kind::Udhcpc => {
                let mut command = host.namespace.command("udhcpc");
                command.args(["-f", "-t", "30", "-T", "1", "-A", "1", "-i", LAN, "-s"]).arg(&script);
                command
            }
        };
        let log = fs::File::create(file("log")).expect("open the log of a client");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().unwrap_or_else(|error| panic!("{kind:?} does not start: {error}"));
        Self { kind, lines, child }
    }

    pub fn happenings(&self) -> Vec<Happening> {
        let text = fs::read_to_string(&self.lines).unwrap_or_default();
        text.lines().map(read_line).collect()
    }

    /// How many times it was given an address or kept one.
    pub fn successes(&self) -> Vec<Happening> {
        let is_success = |it: &Happening| {
            ["BOUND", "RENEW", "REBIND", "REBOOT", "bound", "renew"].contains(&it.reason.as_str())
                && it.address.is_some()
        };
        self.happenings().into_iter().filter(is_success).collect()
    }

    /// The address it has, once it has one.
    pub fn wait_for_address(&self) -> Ipv4Addr {
        until(&format!("{:?} to get an address", self.kind), LONG, || {
            self.successes().last().and_then(|it| it.address).ok_or_else(|| format!("{:?}", self.happenings()))
        })
    }

    /// Waits until it has kept its address by word of this server.
    pub fn wait_for_renewal_by(&self, server: Ipv4Addr) -> Happening {
        until(&format!("{:?} to renew at {server}", self.kind), LONG, || {
            let last = self.successes().pop().filter(|it| it.server == Some(server));
            last.ok_or_else(|| format!("{:?}", self.happenings()))
        })
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_line(line: &str) -> Happening {
    let mut words = line.split(' ');
    let reason = words.next().unwrap_or_default().to_owned();
    let mut address = || words.next().and_then(|word| word.parse().ok());
    Happening { reason, address: address(), server: address() }
}
