//! The folder of a store as the file system sees it: locked, created whole, moved aside whole, synced.
//!
//! The lock lies beside the folder, not in it, so that a damaged store can be renamed without letting go of it.

use super::error::StoreError;
use super::journal::NAMES;
use super::mark::TIP;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use nix::sys::statvfs::statvfs;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// The file in which the store keeps its log and pages.
pub(super) const DB: &str = "db";

/// How often a lock is tried, and how long apart. A process that is just ending may still have it, and so may a command
/// that this one has just started, until it has closed what it inherited.
const LOCK_TRIES: u32 = 10;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// Held as long as the store is open. The kernel lets go of it when the process dies, however it dies.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of the store `dir` and writes this process's number into it, for the one who is refused.
    pub(super) fn take(dir: &Path) -> Result<Self, StoreError> {
        let path = beside(dir, ".lock");
        let failed = |source| StoreError::io(dir, "lock", &path, source);
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o640)
            .open(&path)
            .map_err(failed)?;
        let mut tries = 1;
        while let Err(error) = file.try_lock() {
            match error {
                TryLockError::WouldBlock if tries < LOCK_TRIES => thread::sleep(LOCK_PAUSE),
                TryLockError::WouldBlock => {
                    return Err(StoreError::Held { dir: dir.into(), pid: read_pid(&mut file) });
                }
                TryLockError::Error(error) => return Err(failed(error)),
            }
            tries += 1;
        }
        // Only a courtesy: with the disk full there is no number in the file, and the lock holds all the same.
        let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Self { _file: file })
    }
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// What lies at the place of a store.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    Store,
    /// Parts of a store without its main file.
    Remains,
    Other,
}

/// What lies at `dir`.
pub(super) fn inspect(dir: &Path) -> Result<Found, StoreError> {
    let failed = |source| StoreError::io(dir, "read", dir, source);
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(failed(error)),
    };
    let mut found = Found::Nothing;
    for entry in entries {
        let name = entry.map_err(failed)?.file_name();
        match name.to_str() {
            Some(DB) => return Ok(Found::Store),
            Some("conf" | "blobs" | TIP) => found = Found::Remains,
            Some(name) if name.starts_with("snap.") => found = Found::Remains,
            _ if found == Found::Nothing => found = Found::Other,
            _ => {}
        }
    }
    Ok(found)
}

/// Creates a folder and those above it, readable by its owner and group.
pub(super) fn create(dir: &Path) -> Result<(), StoreError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o750)
        .create(dir)
        .map_err(|source| StoreError::io(dir, "create the folder", dir, source))
}

/// Makes a freshly created store and its names survive a power cut.
pub(super) fn sync(dir: &Path) -> Result<(), StoreError> {
    for path in [&dir.join("conf"), &dir.join(DB), &dir.join(TIP), &dir.join("blobs"), dir, parent(dir)] {
        sync_path(path).map_err(|source| StoreError::io(dir, "sync", path, source))?;
    }
    Ok(())
}

pub(super) fn sync_path(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Renames `from` to `to`, durably. `to` may be an empty folder.
pub(super) fn rename(from: &Path, to: &Path) -> Result<(), StoreError> {
    fs::rename(from, to)
        .and_then(|()| sync_path(parent(to)))
        .map_err(|source| StoreError::io(to, "rename to", to, source))
}

/// Removes a folder with all that is in it; there may be none.
pub(super) fn remove(dir: &Path) -> Result<(), StoreError> {
    match fs::remove_dir_all(dir) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(StoreError::io(dir, "remove", dir, source)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Deletes the half-written snapshots that a crash leaves behind: with one of them there, no later open succeeds.
pub(super) fn remove_unfinished_snapshots(dir: &Path) -> Result<(), StoreError> {
    for snapshot in snapshots(dir)?.into_iter().filter(|path| path.extension().is_some_and(|e| e == "generating")) {
        fs::remove_file(&snapshot).map_err(|source| StoreError::io(dir, "remove", &snapshot, source))?;
    }
    Ok(())
}

/// Renames all snapshots so that the store no longer sees them. They only shorten an open; without them it reads the
/// whole log. Returns whether there were any.
pub(super) fn set_snapshots_aside(dir: &Path) -> Result<bool, StoreError> {
    let snapshots = snapshots(dir)?;
    for snapshot in &snapshots {
        let mut name = OsString::from("aside.");
        name.push(snapshot.file_name().unwrap_or_default());
        let aside = dir.join(name);
        fs::rename(snapshot, &aside).map_err(|source| StoreError::io(dir, "rename", snapshot, source))?;
    }
    Ok(!snapshots.is_empty())
}

fn snapshots(dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let failed = |source| StoreError::io(dir, "read", dir, source);
    let mut snapshots = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("snap.")) {
            snapshots.push(path);
        }
    }
    Ok(snapshots)
}

/// Makes the kernel forget what it believes the files hold, so that the next read comes from the disk. After a failed
/// sync its cache may hold what the disk does not.
pub(super) fn drop_cache(dir: &Path) -> Result<(), StoreError> {
    for name in [DB, NAMES[0], NAMES[1]] {
        let path = dir.join(name);
        let file = File::open(&path).map_err(|source| StoreError::io(dir, "open", &path, source))?;
        posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)
            .map_err(|errno| StoreError::io(dir, "read back", &path, errno.into()))?;
    }
    Ok(())
}

/// Bytes of the file system that holds a store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Space {
    /// Still available to this process.
    pub free: u64,
    /// All.
    pub total: u64,
}

impl Space {
    /// Whether it is time to warn: less than a tenth is free.
    #[must_use]
    pub fn is_low(self) -> bool {
        self.free < self.total / 10
    }

    /// Whether a warning is over; more than the mark, so that a disk that stays at the mark is not warned of every
    /// minute.
    #[must_use]
    pub fn is_ample(self) -> bool {
        self.free > self.total / 8
    }
}

/// The space around `dir`.
///
/// # Errors
/// The folder cannot be looked at.
pub fn space(dir: &Path) -> Result<Space, StoreError> {
    let stat = statvfs(dir).map_err(|errno| StoreError::io(dir, "measure the space around", dir, errno.into()))?;
    let fragment = stat.fragment_size();
    Ok(Space { free: stat.blocks_available() * fragment, total: stat.blocks() * fragment })
}

/// `dir` with a suffix to its name.
pub(super) fn beside(dir: &Path, suffix: &str) -> PathBuf {
    let mut path = dir.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

pub(super) fn parent(dir: &Path) -> &Path {
    dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_there_is_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(inspect(&dir.path().join("missing")).unwrap(), Found::Nothing);
        assert_eq!(inspect(dir.path()).unwrap(), Found::Nothing);
        fs::write(dir.path().join("notes"), "").unwrap();
        assert_eq!(inspect(dir.path()).unwrap(), Found::Other);
        fs::write(dir.path().join("snap.0"), "").unwrap();
        assert_eq!(inspect(dir.path()).unwrap(), Found::Remains);
        fs::write(dir.path().join(DB), "").unwrap();
        assert_eq!(inspect(dir.path()).unwrap(), Found::Store);
    }

    #[test]
    fn a_second_lock_names_the_holder() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("store");
        let lock = Lock::take(&store).unwrap();
        let error = Lock::take(&store).unwrap_err();
        assert!(matches!(error, StoreError::Held { pid, .. } if pid == Some(std::process::id())), "{error}");
        drop(lock);
        Lock::take(&store).unwrap();
    }

    #[test]
    fn space_is_low_below_a_tenth() {
        assert!(!Space { free: 10, total: 100 }.is_low());
        assert!(Space { free: 9, total: 100 }.is_low());
        let dir = tempfile::tempdir().unwrap();
        assert!(space(dir.path()).unwrap().total > 0);
    }
}
