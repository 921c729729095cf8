//! A machine of its own: a copy of this system that keeps what is written to it in memory, in a network namespace.
//!
//! What is installed there, and every file and user that is made, goes with the value; the system itself is not touched.

use crate::lab::Namespace;
use nix::unistd::Uid;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};

/// Makes the copy and says when it is there; it lasts until standard input ends.
const KEEP: &str = r#"set -e
mount --make-rprivate /
mount -t tmpfs tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/system"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/system"
mount -t proc proc "$1/system/proc"
mount --bind /dev "$1/system/dev"
mkdir -p "$1/system/srv"
echo ready
read -r end
"#;

pub struct Machine {
    /// Where the copy is mounted, for those inside.
    scratch: PathBuf,
    keeper: Child,
    _until: ChildStdin,
    /// What was started there.
    running: Vec<Child>,
}

impl Machine {
    /// Whether such a copy can be made here: users must be able to be made, so a user namespace with a single one will
    /// not do.
    ///
    /// # Errors
    /// Why not.
    pub fn can_be_made() -> Result<(), String> {
        let users = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
        let all = users.split_whitespace().nth(2).is_some_and(|count| count.parse::<u64>().is_ok_and(|it| it > 65_536));
        if Uid::effective().is_root() && all {
            Ok(())
        } else {
            Err("only true root can make a copy of the system".into())
        }
    }

    /// A machine in this namespace; `scratch` is an empty folder.
    pub fn new(namespace: &Namespace, scratch: &Path) -> Self {
        let mut command = namespace.command("unshare");
        command.args(["--mount", "sh", "-c", KEEP, "sh"]).arg(scratch);
        let mut keeper = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("unshare starts");
        let mut line = String::new();
        let until = keeper.stdin.take().expect("it has a standard input");
        BufReader::new(keeper.stdout.take().expect("it has an output")).read_line(&mut line).expect("read its output");
        assert_eq!(line, "ready\n", "a copy of the system");
        Self { scratch: scratch.to_owned(), keeper, _until: until, running: Vec::new() }
    }

    /// In the mount and network namespaces of the machine, still at the root of the system itself.
    fn beside(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.keeper.id().to_string(), "--mount", "--net", "--", program]);
        command
    }

    /// Brings a file of the system to the machine, with this mode.
    pub fn bring(&self, file: &Path, to: &str, mode: &str) {
        let path = format!("{}/system{to}", self.scratch.display());
        let output =
            self.beside("install").args(["-D", "-m", mode]).arg(file).arg(path).output().expect("nsenter starts");
        assert!(output.status.success(), "{}: {}", file.display(), String::from_utf8_lossy(&output.stderr));
    }

    /// Brings a folder of this machine to another one, at the same place.
    pub fn bring_over(&self, folder: &str, other: &Machine) {
        let packed = self.script(&format!("tar -C {folder} -c ."));
        assert!(packed.status.success(), "{}", String::from_utf8_lossy(&packed.stderr));
        let mut unpack = other.shell(&format!("mkdir -p {folder} && tar -C {folder} -x"));
        let mut child = unpack.stdin(Stdio::piped()).spawn().expect("nsenter starts");
        child.stdin.take().expect("it has a standard input").write_all(&packed.stdout).expect("tar reads");
        assert!(child.wait().expect("tar ends").success());
    }

    /// Runs commands of a shell, as root of the machine, in a folder of its own.
    pub fn script(&self, commands: &str) -> Output {
        self.shell(commands).stdin(Stdio::null()).output().expect("nsenter starts")
    }

    /// Starts a program that goes on, whose output goes to `log`.
    pub fn start(&mut self, command: &str, log: &Path) {
        let log = fs::File::options().create(true).append(true).open(log).expect("open a log");
        let mut shell = self.shell(&format!("exec {command}"));
        shell.stdin(Stdio::null()).stdout(log.try_clone().expect("share the log")).stderr(log);
        self.running.push(shell.spawn().expect("nsenter starts"));
    }

    /// As if the power was cut: everything that was started there is gone at once.
    pub fn power_off(&mut self) {
        for mut child in self.running.drain(..) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn shell(&self, commands: &str) -> Command {
        let mut command = self.beside("chroot");
        command.arg(self.scratch.join("system")).args(["env", "--chdir=/srv", "sh", "-ec", commands]);
        command.env("HOME", "/srv");
        command
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.power_off();
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}
