//! A small file system for the data folder of a node, which a test can fill to the last byte and empty again.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

const FILLER: &str = "filler";

/// Mounted for as long as the value lives.
pub struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    /// Of so many MiB, at `path`.
    pub fn mount(path: &Path, mebibytes: u32) -> Self {
        fs::create_dir_all(path).expect("create the place of a file system");
        let size = format!("size={mebibytes}m");
        let output = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(path).output();
        let output = output.expect("mount(8) starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Self { path: path.to_owned() }
    }

    /// Not a byte is left.
    pub fn fill(&self) {
        let mut filler = File::options().create(true).append(true).open(self.path.join(FILLER)).expect("open a file");
        for size in [1 << 20, 4_096, 1] {
            while filler.write_all(&vec![1; size]).is_ok() {}
        }
    }

    /// There is space again.
    pub fn empty(&self) {
        let _ = fs::remove_file(self.path.join(FILLER));
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the node that uses it may end a moment later.
        let _ = Command::new("umount").arg("--lazy").arg(&self.path).output();
    }
}
