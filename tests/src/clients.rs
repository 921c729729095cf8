//! Real clients, each in a namespace of the laboratory: dhclient, udhcpc, dhcpcd and systemd-networkd.
//!
//! The first two run with a script of ours instead of the system's: it gives the interface its address and leaves a line
//! for each thing that happened, and touches neither routes nor name servers of the machine. The others set addresses
//! themselves, and only the frames tell what happens to them.

use crate::lab::{Host, LAN};
use crate::wait::{LONG, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// dhclient calls it with variables of its own and no others, udhcpc with an argument; both end as lines of
/// `reason address server` in the file whose name stands for `LINES`.
const SCRIPT: &str = r#"#!/bin/sh
reason="${reason:-$1}"
address="${new_ip_address:-$ip}"
server="${new_dhcp_server_identifier:-$serverid}"
case "$reason" in
PREINIT|deconfig) ip link set "$interface" up ;;
BOUND|RENEW|REBIND|REBOOT|bound|renew)
    ip address replace "$address/${mask:-${new_subnet_mask:-24}}" dev "$interface"
    router="${new_routers:-$router}"
    [ -z "$router" ] || ip route replace default via "${router%% *}" ;;
esac
echo "$reason $address $server" >> "LINES"
"#;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Dhclient,
    Udhcpc,
    Dhcpcd,
    Networkd,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Dhclient, Self::Udhcpc, Self::Dhcpcd, Self::Networkd];

    /// What must be installed for it.
    pub fn program(self) -> &'static str {
        match self {
            Self::Dhclient => "dhclient",
            Self::Udhcpc => "udhcpc",
            Self::Dhcpcd => "dhcpcd",
            Self::Networkd => "/lib/systemd/systemd-networkd",
        }
    }
}

/// How a client behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Manner {
    /// It asks for broadcast answers.
    pub broadcast: bool,
    /// What it had when it last ran, for one that keeps no such thing itself.
    pub asks_for: Option<Ipv4Addr>,
    /// It gives its lease back when it is told to end, for one that decides so beforehand.
    pub releases: bool,
}

/// A running client. It is killed when the value goes.
pub struct Client {
    kind: Kind,
    lines: PathBuf,
    /// What it says, for whoever looks for the reason of a failure.
    pub log: PathBuf,
    child: Child,
    release: Option<Command>,
}

/// Something that happened to a client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Happening {
    pub reason: String,
    pub address: Option<Ipv4Addr>,
    pub server: Option<Ipv4Addr>,
}

impl Client {
    /// Starts a client on a host, in the foreground; its files are in `folder`, where it finds those of its last life.
    pub fn start(kind: Kind, host: &Host, folder: &Path, manner: Manner) -> Self {
        let files = Files { host, folder };
        let (lines, log) = (files.named("lines"), files.named("log"));
        let (mut command, release) = match kind {
            Kind::Dhclient => files.dhclient(manner),
            Kind::Udhcpc => (files.udhcpc(manner), None),
            Kind::Dhcpcd => (files.dhcpcd(manner), None),
            Kind::Networkd => (files.networkd(manner), None),
        };
        let output = fs::File::options().create(true).append(true).open(&log).expect("open the log of a client");
        command.stdin(Stdio::null()).stdout(output.try_clone().expect("share the log")).stderr(output);
        let child = command.spawn().unwrap_or_else(|error| panic!("{kind:?} does not start: {error}"));
        Self { kind, lines, log, child, release }
    }

    /// SIGKILL: it forgets nothing and gives nothing back.
    pub fn crash(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Has it renew now, where it can be told.
    pub fn renew(&self) {
        match self.kind {
            Kind::Udhcpc => self.signal(Signal::SIGUSR1),
            Kind::Dhclient | Kind::Dhcpcd | Kind::Networkd => {}
        }
    }

    /// Has it give its lease back and end.
    pub fn release(mut self) {
        match self.kind {
            Kind::Dhclient => {
                let release = self.release.as_mut().expect("dhclient has a command for it");
                let output = release.output().expect("dhclient starts");
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            }
            Kind::Dhcpcd => self.signal(Signal::SIGALRM),
            Kind::Udhcpc | Kind::Networkd => self.signal(Signal::SIGTERM),
        }
        let _ = self.child.wait();
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("a process id fits");
        kill(Pid::from_raw(pid), signal).expect("signal a client");
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

/// The files of a client on a host.
struct Files<'a> {
    host: &'a Host,
    folder: &'a Path,
}

impl Files<'_> {
    fn named(&self, end: &str) -> PathBuf {
        self.folder.join(format!("{}.{end}", self.host.lan_port))
    }

    fn script(&self) -> PathBuf {
        let (lines, script) = (self.named("lines"), self.named("script"));
        let text = SCRIPT.replace("LINES", lines.to_str().expect("a temporary folder has a plain name"));
        fs::write(&script, text).expect("write the script of a client");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("make the script executable");
        script
    }

    /// And the command that makes it release.
    fn dhclient(&self, manner: Manner) -> (Command, Option<Command>) {
        assert!(!manner.broadcast, "Debian's dhclient cannot ask for broadcast answers");
        let text = "timeout 20;\nretry 2;\ninitial-interval 1;\nbackoff-cutoff 2;\nreboot 10;\n";
        fs::write(self.named("conf"), text).expect("configure dhclient");
        let script = self.script();
        let command = |how: &[&str]| {
            let mut command = self.host.namespace.command("dhclient");
            command.args(["-4", "-v"]).args(how).arg("-sf").arg(&script);
            for (option, end) in [("-lf", "leases"), ("-pf", "pid"), ("-cf", "conf")] {
                command.arg(option).arg(self.named(end));
            }
            command.arg(LAN);
            command
        };
        (command(&["-d"]), Some(command(&["-r"])))
    }

    fn udhcpc(&self, manner: Manner) -> Command {
        let mut command = self.host.namespace.command("udhcpc");
        command.args(["-f", "-R", "-t", "30", "-T", "1", "-A", "1", "-i", LAN, "-s"]).arg(self.script());
        if manner.broadcast {
            command.arg("-B");
        }
        if let Some(address) = manner.asks_for {
            command.args(["-r", &address.to_string()]);
        }
        command
    }

    /// It keeps its lease in `/var/lib/dhcpcd` and its sockets in `/run`, and so gets its own of both.
    fn dhcpcd(&self, manner: Manner) -> Command {
        let broadcast = if manner.broadcast { "broadcast\n" } else { "" };
        let text = format!("ipv4only\nnoipv4ll\nnoarp\nclientid\nreboot 10\nscript /bin/true\n{broadcast}");
        fs::write(self.named("conf"), text).expect("configure dhcpcd");
        let kept = self.named("dhcpcd");
        fs::create_dir_all(&kept).expect("create a folder for dhcpcd");
        let mut command = self.host.namespace.command("sh");
        command.args(["-c", PRIVATE_DHCPCD, "sh"]).arg(kept).arg(self.named("conf")).arg(LAN);
        command
    }

    /// It reads `/run/systemd/network` and keeps its state beside it, and so gets a `/run` of its own. Without D-Bus it is
    /// told nothing: it renews in its own time, and whether it releases at its end is configured.
    fn networkd(&self, manner: Manner) -> Command {
        let yes = |it| if it { "yes" } else { "no" };
        let keep = if manner.releases { "no" } else { "dhcp" };
        let text = format!(
            "[Match]\nName={LAN}\n[Network]\nDHCP=ipv4\nLinkLocalAddressing=no\nIPv6AcceptRA=no\nKeepConfiguration={keep}\n\
             [DHCPv4]\nRequestBroadcast={}\nUseDNS=no\nUseHostname=no\n",
            yes(manner.broadcast)
        );
        let (file, kept) = (self.named("network"), self.named("netif"));
        fs::write(&file, text).expect("configure networkd");
        fs::create_dir_all(&kept).expect("create a folder for networkd");
        let mut command = self.host.namespace.command("sh");
        command.args(["-c", PRIVATE_NETWORKD, "sh"]).arg(kept).arg(file).env("SYSTEMD_LOG_LEVEL", "debug");
        command
    }
}

/// `ip netns exec` has given the process a mount namespace of its own already.
const PRIVATE_DHCPCD: &str = r#"set -e
mkdir -p /var/lib/dhcpcd
mount --bind "$1" /var/lib/dhcpcd
mount -t tmpfs tmpfs /run
mkdir -p /run/dhcpcd
exec dhcpcd -B -4 -d -f "$2" "$3"
"#;

/// With `/sys` read-only it takes itself to be in a container, and waits for no udev.
const PRIVATE_NETWORKD: &str = r#"set -e
network=$(cat "$2")
mount --bind "$1" /mnt
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/network /run/systemd/netif
mount --bind /mnt /run/systemd/netif
mkdir -p /run/systemd/netif/links /run/systemd/netif/leases /run/systemd/netif/lldp
chown -R systemd-network /run/systemd/netif
printf '%s\n' "$network" > /run/systemd/network/lan.network
mount -o remount,ro /sys
exec /lib/systemd/systemd-networkd
"#;

fn read_line(line: &str) -> Happening {
    let mut words = line.split(' ');
    let reason = words.next().unwrap_or_default().to_owned();
    let mut address = || words.next().and_then(|word| word.parse().ok());
    Happening { reason, address: address(), server: address() }
}
