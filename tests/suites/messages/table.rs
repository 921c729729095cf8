//! A row for each mistake: how it is made, what the command is, how it ends, and what is said: what, where, what to do.

use crate::{assert_says, loopback_cluster, one_failure, serve, write_cluster};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use standfast_core::time::Wall;
use standfast_rpc::tls::{Authority, Role};
use standfast_tests::daemon::binary;
use standfast_tests::wait::LONG;
use std::any::Any;
use std::fs::{self, Permissions};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

/// A folder in which one thing is wrong: `cluster.toml`, `tls` with two nodes, and the data folder `dhcp-a`.
pub(crate) struct Row {
    /// The error, as the code calls it.
    pub(crate) error: &'static str,
    arrange: fn(&Path) -> Box<dyn Any>,
    arguments: &'static [&'static str],
    exit: i32,
    says: &'static [&'static str],
}

const SERVE: &[&str] =
    &["serve", "--node", "dhcp-a", "--config", "cluster.toml", "--data-dir", "dhcp-a", "--tls-dir", "tls"];

/// A data folder in which the admin socket has too long a name for a socket.
const DEEP: &str =
    "a-data-folder-whose-name-is-so-long-that-no-socket-can-be-made-in-it-since-a-socket-has-108-bytes-for-all";

pub(crate) const ROWS: &[Row] = &[
    Row {
        error: "DaemonError::Unreadable",
        arrange: |folder| nothing(fs::remove_file(folder.join("cluster.toml"))),
        arguments: SERVE,
        exit: 10,
        says: &["cannot read the cluster file cluster.toml", "No such file"],
    },
    Row {
        error: "DaemonError::Listen",
        arrange: |folder| Box::new(TcpListener::bind(address_of(folder, "rpc")).unwrap()),
        arguments: SERVE,
        exit: 1,
        says: &["cannot listen on 127.0.0.1:", "peers and operators", "`rpc` of this node in the cluster file must be"],
    },
    Row {
        error: "HttpError",
        arrange: |folder| {
            let taken = TcpListener::bind("127.0.0.1:0").unwrap();
            let http = format!("http = \"{}\"\nrpc", taken.local_addr().unwrap());
            edit_cluster(folder, |text| text.replacen("rpc", &http, 1));
            Box::new(taken)
        },
        arguments: SERVE,
        exit: 1,
        says: &["cannot listen on 127.0.0.1:", "for metrics", "`http` of this node in the cluster file must be"],
    },
    Row {
        error: "UdpError::Taken",
        arrange: |folder| Box::new(UdpSocket::bind(address_of(folder, "dhcp_listen")).unwrap()),
        arguments: SERVE,
        exit: 1,
        says: &["cannot listen on UDP 127.0.0.1:", "it is taken", "stop it"],
    },
    Row {
        error: "UdpError::NotOurs",
        arrange: |folder| {
            let ours = address_of(folder, "dhcp_listen").to_string();
            edit_cluster(folder, |text| text.replacen(&ours, "203.0.113.1:1067", 1));
            Box::new(())
        },
        arguments: SERVE,
        exit: 1,
        says: &["203.0.113.1:1067", "not an address of this machine", "mend `dhcp_listen`"],
    },
    Row {
        error: "SocketError::InTheWay",
        arrange: |folder| {
            fs::create_dir(folder.join("dhcp-a")).unwrap();
            nothing(fs::write(folder.join("dhcp-a/admin.sock"), "precious"))
        },
        arguments: SERVE,
        exit: 1,
        says: &["dhcp-a/admin.sock", "it is not a socket", "move it away"],
    },
    Row {
        error: "SocketError::Io",
        arrange: |_| nothing(Ok(())),
        arguments: &["serve", "--node", "dhcp-a", "--config", "cluster.toml", "--data-dir", DEEP, "--tls-dir", "tls"],
        exit: 1,
        says: &["cannot make the admin socket", DEEP, "path is shorter than 108 bytes"],
    },
    Row {
        error: "TlsError::Missing",
        arrange: |folder| nothing(fs::remove_dir_all(folder.join("tls"))),
        arguments: SERVE,
        exit: 1,
        says: &["tls/ca.pem is missing", "copy it from where `standfast tls init` ran"],
    },
    Row {
        error: "TlsError::Exposed",
        arrange: |folder| nothing(fs::set_permissions(folder.join("tls/dhcp-a.key"), Permissions::from_mode(0o644))),
        arguments: SERVE,
        exit: 1,
        says: &["tls/dhcp-a.key can be used by others (mode 0644)", "chmod 0600 tls/dhcp-a.key"],
    },
    Row {
        error: "TlsError::Malformed",
        arrange: |folder| nothing(fs::write(folder.join("tls/dhcp-a.pem"), "what is this?")),
        arguments: SERVE,
        exit: 1,
        says: &["tls/dhcp-a.pem is damaged", "copy it again or issue a new one"],
    },
    Row {
        error: "TlsError::NotOurs",
        arrange: |folder| copy(folder, "tls/ca.pem", "tls/dhcp-a.pem"),
        arguments: SERVE,
        exit: 1,
        says: &["not a certificate of a cluster", "standfast tls issue"],
    },
    Row {
        error: "TlsError::OtherName",
        arrange: |folder| {
            copy(folder, "tls/dhcp-b.pem", "tls/dhcp-a.pem");
            copy(folder, "tls/dhcp-b.key", "tls/dhcp-a.key")
        },
        arguments: SERVE,
        exit: 1,
        says: &["tls/dhcp-a.pem is the certificate of `dhcp-b`, not of `dhcp-a`", "copy that of `dhcp-a` here"],
    },
    Row {
        error: "TlsError::OtherKey",
        arrange: |folder| copy(folder, "tls/dhcp-b.key", "tls/dhcp-a.key"),
        arguments: SERVE,
        exit: 1,
        says: &["tls/dhcp-a.key does not belong to tls/dhcp-a.pem", "copy both of them again"],
    },
    Row {
        error: "TlsError::OtherAuthority",
        arrange: |folder| {
            let other = Authority::create(&folder.join("other"), "lab", now()).unwrap();
            other.issue("dhcp-a", Role::Peer, now()).unwrap();
            copy(folder, "other/dhcp-a.pem", "tls/dhcp-a.pem");
            copy(folder, "other/dhcp-a.key", "tls/dhcp-a.key")
        },
        arguments: SERVE,
        exit: 1,
        says: &["tls/dhcp-a.pem was not issued by the authority in tls/ca.pem", "copy both of them from where"],
    },
    Row {
        error: "TlsError::Expired",
        arrange: |folder| {
            let authority = Authority::open(&folder.join("tls")).unwrap();
            authority.issue("dhcp-a", Role::Peer, Wall(0)).unwrap();
            Box::new(())
        },
        arguments: SERVE,
        exit: 1,
        says: &["tls/dhcp-a.pem expired on 19", "standfast tls issue --node dhcp-a"],
    },
    Row {
        error: "TlsError::Io",
        arrange: |folder| nothing(fs::write(folder.join("file"), "")),
        arguments: &["tls", "init", "--cluster", "lab", "--tls-dir", "file"],
        exit: 1,
        says: &["file", "cannot be written"],
    },
    Row {
        error: "TlsError::Exists",
        arrange: |_| nothing(Ok(())),
        arguments: &["tls", "init", "--cluster", "lab", "--tls-dir", "tls"],
        exit: 20,
        says: &["tls/ca.", "exists", "would make all its certificates worthless"],
    },
    Row {
        error: "TlsError::OtherRole",
        arrange: |_| nothing(Ok(())),
        arguments: &["tls", "issue", "--operator", "dhcp-a", "--tls-dir", "tls"],
        exit: 20,
        says: &["is the certificate of the peer `dhcp-a`", "choose another name"],
    },
    Row {
        error: "TlsError::BadName",
        arrange: |_| nothing(Ok(())),
        arguments: &["tls", "issue", "--node", "../dhcp-a", "--tls-dir", "tls"],
        exit: 2,
        says: &["`../dhcp-a` cannot be a name", "use 1 to 63 letters"],
    },
    Row {
        error: "StoreError::NotAStore",
        arrange: |folder| {
            fs::create_dir_all(folder.join("dhcp-a/store")).unwrap();
            nothing(fs::write(folder.join("dhcp-a/store/thesis.txt"), "precious"))
        },
        arguments: SERVE,
        exit: 1,
        says: &["dhcp-a/store is neither empty nor a store", "name another data folder"],
    },
    Row {
        error: "StoreError::Io",
        arrange: |_| nothing(Ok(())),
        arguments: &[
            "serve",
            "--node",
            "dhcp-a",
            "--config",
            "cluster.toml",
            "--data-dir",
            "cluster.toml/data",
            "--tls-dir",
            "tls",
        ],
        exit: 1,
        says: &["cluster.toml/data", "a part of the path is a file: name another data folder"],
    },
];

#[test]
fn every_mistake_is_told_with_what_to_do() {
    for row in ROWS {
        let folder = tempfile::tempdir().unwrap();
        write_cluster(folder.path(), &loopback_cluster());
        let authority = Authority::create(&folder.path().join("tls"), "lab", now()).unwrap();
        for node in ["dhcp-a", "dhcp-b"] {
            authority.issue(node, Role::Peer, now()).unwrap();
        }
        let _held = (row.arrange)(folder.path());
        let (exit, text) = one_failure(&ended(row.arguments, folder.path()));
        assert_eq!(exit, row.exit, "{}: {text}", row.error);
        assert_says(&text, row.says);
    }
    assert_eq!(SERVE, serve("dhcp-a"));
}

/// Runs the binary, which must end by itself: a node that starts in spite of a mistake fails the test.
fn ended(arguments: &[&str], folder: &Path) -> Output {
    let mut command = Command::new(binary());
    command.args(arguments).current_dir(folder).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let process = Pid::from_raw(child.id().cast_signed());
    let (done, output) = mpsc::channel();
    let waiting = thread::spawn(move || done.send(child.wait_with_output().unwrap()));
    let output = output.recv_timeout(LONG).unwrap_or_else(|_| {
        kill(process, Signal::SIGKILL).unwrap();
        panic!("{arguments:?}: it has not ended")
    });
    waiting.join().unwrap().unwrap();
    output
}

fn nothing(done: std::io::Result<()>) -> Box<dyn Any> {
    done.unwrap();
    Box::new(())
}

fn copy(folder: &Path, from: &str, to: &str) -> Box<dyn Any> {
    nothing(fs::copy(folder.join(from), folder.join(to)).map(drop))
}

fn edit_cluster(folder: &Path, edit: impl FnOnce(String) -> String) {
    let file = folder.join("cluster.toml");
    fs::write(&file, edit(fs::read_to_string(&file).unwrap())).unwrap();
}

/// What the first node has for this key.
fn address_of(folder: &Path, key: &str) -> SocketAddr {
    let text = fs::read_to_string(folder.join("cluster.toml")).unwrap();
    let line = text.lines().find(|line| line.starts_with(key)).unwrap();
    line.split('"').nth(1).unwrap().parse().unwrap()
}

fn now() -> Wall {
    Wall(i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap())
}
