//! What can go wrong with a store, said to the person who has to mend it: what, where, what to do.

use std::io;
use std::path::{Path, PathBuf};

/// Why a store cannot be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the folder.
    #[error("the store {} is in use by {}; two nodes must not share a store: stop that process or give this node another data folder", .dir.display(), holder(*.pid))]
    Held {
        /// The store's folder.
        dir: PathBuf,
        /// The process that wrote its number into the lock file, if it did.
        pid: Option<u32>,
    },
    /// The file system, or a quota, is full.
    #[error("no space left for the store {}; free some space there: the node goes on by itself once there is some", .dir.display())]
    NoSpace {
        /// The store's folder.
        dir: PathBuf,
    },
    /// The folder has other things in it.
    #[error("{} is neither empty nor a store; name another data folder, or move what is in it", .dir.display())]
    NotAStore {
        /// The folder.
        dir: PathBuf,
    },
    /// The store was written by a later version.
    #[error("the store {} has records of format {version}, which this version cannot read; run the version that wrote it, or a later one", .dir.display())]
    NewerFormat {
        /// The store's folder.
        dir: PathBuf,
        /// The version byte found.
        version: u8,
    },
    /// What was read is not what was written.
    #[error("the store {} is damaged ({what}); restart the node: it moves the damaged store aside and gets its leases from the partner", .dir.display())]
    Damaged {
        /// The store's folder.
        dir: PathBuf,
        /// What was found.
        what: String,
    },
    /// The operating system refused.
    #[error("cannot {action} {}: {source}{}", .path.display(), advice(.source))]
    Io {
        /// What was tried, as a verb phrase.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl StoreError {
    /// The error for a failed operation on `path`, which lies in or is the store `dir`.
    pub(super) fn io(
        dir: impl Into<PathBuf>,
        action: &'static str,
        path: impl Into<PathBuf>,
        source: io::Error,
    ) -> Self {
        if is_full(&source) {
            Self::NoSpace { dir: dir.into() }
        } else {
            Self::Io { action, path: path.into(), source }
        }
    }

    /// The error for a store in which something else was found than was written.
    pub(super) fn damaged(dir: &Path, what: &str) -> Self {
        Self::Damaged { dir: dir.into(), what: what.into() }
    }

    /// Whether it ends by itself when there is space again.
    #[must_use]
    pub fn is_no_space(&self) -> bool {
        matches!(self, Self::NoSpace { .. })
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".into(), |pid| format!("process {pid}"))
}

const ADVICE: [(io::ErrorKind, &str); 5] = [
    (io::ErrorKind::PermissionDenied, "; the folder must belong to the user that runs the node"),
    (io::ErrorKind::ReadOnlyFilesystem, "; the store needs a file system mounted for writing"),
    (io::ErrorKind::NotFound, "; something removed it while the node was using it"),
    (io::ErrorKind::AlreadyExists, "; it is a file: name another data folder"),
    (io::ErrorKind::NotADirectory, "; a part of the path is a file: name another data folder"),
];

fn advice(source: &io::Error) -> &'static str {
    let found = ADVICE.iter().find(|(kind, _)| *kind == source.kind());
    found.map_or("; look at the kernel's log for errors of the disk", |(_, advice)| advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_say_what_where_and_what_to_do() {
        let held = StoreError::Held { dir: "/var/lib/x/store".into(), pid: Some(7) };
        assert_eq!(
            held.to_string(),
            "the store /var/lib/x/store is in use by process 7; two nodes must not share a store: stop that process or \
             give this node another data folder"
        );
        let denied = StoreError::io("/s", "open", "/s/db", io::ErrorKind::PermissionDenied.into());
        assert_eq!(
            denied.to_string(),
            "cannot open /s/db: permission denied; the folder must belong to the user that runs the node"
        );
    }

    #[test]
    fn a_full_disk_and_a_full_quota_are_no_space() {
        for errno in [nix::libc::ENOSPC, nix::libc::EDQUOT] {
            assert!(StoreError::io("/s", "write", "/s/db", io::Error::from_raw_os_error(errno)).is_no_space());
        }
        assert!(!StoreError::io("/s", "write", "/s/db", io::Error::from_raw_os_error(nix::libc::EIO)).is_no_space());
    }
}
