//! Preloaded into a process (LD_PRELOAD), writes down what it writes to some files and when it syncs them.
//!
//! From that log a test makes the files as a power cut could have left them at any moment: what was written before the
//! last completed sync is there, and of what was written after it any part may be missing. See `store/tests/power.rs`.
//!
//! `WRITE_LOG` names the log, `WRITE_LOG_INODES` the inodes of the files, with commas between them. An entry is a letter,
//! the position of the file among them, a number, a length and so many bytes: `W` offset data, `T` new length, `B` and
//! `E` beginning and successful end of a sync with its number.

#![expect(unsafe_code, reason = "it stands in for functions of the C library")]

use nix::libc::{self, c_int, c_void, off64_t, size_t, ssize_t};
use std::fs::File;
use std::mem::MaybeUninit;
use std::os::fd::IntoRawFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

struct Watch {
    log: c_int,
    inodes: Vec<u64>,
}

/// A file that is watched.
struct Watched {
    log: c_int,
    position: u8,
}

/// `None` in a process that nobody watches.
fn watch() -> Option<&'static Watch> {
    static WATCH: OnceLock<Option<Watch>> = OnceLock::new();
    let open = || {
        let inodes = std::env::var("WRITE_LOG_INODES").ok()?;
        let inodes = inodes.split(',').map(str::parse).collect::<Result<_, _>>().ok()?;
        let log = File::options().append(true).create(true).open(std::env::var_os("WRITE_LOG")?).ok()?;
        Some(Watch { log: log.into_raw_fd(), inodes })
    };
    WATCH.get_or_init(open).as_ref()
}

/// What is known of `file`, if it is one of those to be watched.
fn watched(file: c_int) -> Option<Watched> {
    let watch = watch()?;
    let mut stat = MaybeUninit::<libc::stat64>::uninit();
    // SAFETY: fstat64 fills the structure if it returns 0, and only then is it read.
    let inode = unsafe { (libc::fstat64(file, stat.as_mut_ptr()) == 0).then(|| stat.assume_init().st_ino) };
    let position = watch.inodes.iter().position(|watched| Some(*watched) == inode)?;
    Some(Watched { log: watch.log, position: u8::try_from(position).ok()? })
}

/// One system call an entry, so that entries of several threads do not mix.
fn enter(file: &Watched, letter: u8, number: u64, data: &[u8]) {
    let mut entry = vec![letter, file.position];
    entry.extend_from_slice(&number.to_le_bytes());
    entry.extend_from_slice(&(data.len() as u64).to_le_bytes());
    entry.extend_from_slice(data);
    // SAFETY: the pointer and length are those of a live vector.
    let written = unsafe { libc::syscall(libc::SYS_write, file.log, entry.as_ptr(), entry.len()) };
    assert_eq!(usize::try_from(written), Ok(entry.len()), "the log of writes is incomplete");
}

fn sync(file: c_int, call: libc::c_long) -> c_int {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let watch = watched(file);
    if let Some(watch) = &watch {
        enter(watch, b'B', number, &[]);
    }
    // SAFETY: both system calls take a file descriptor and nothing else.
    let result = unsafe { libc::syscall(call, file) } as c_int;
    if let (Some(watch), 0) = (&watch, result) {
        enter(watch, b'E', number, &[]);
    }
    result
}

/// Stands in for the C library's.
#[unsafe(no_mangle)]
pub extern "C" fn fsync(file: c_int) -> c_int {
    sync(file, libc::SYS_fsync)
}

/// Stands in for the C library's.
#[unsafe(no_mangle)]
pub extern "C" fn fdatasync(file: c_int) -> c_int {
    sync(file, libc::SYS_fdatasync)
}

/// Stands in for the C library's.
#[unsafe(no_mangle)]
pub extern "C" fn ftruncate64(file: c_int, length: off64_t) -> c_int {
    // SAFETY: the system call takes two integers.
    let result = unsafe { libc::syscall(libc::SYS_ftruncate, file, length) } as c_int;
    if let (Some(watch), 0) = (&watched(file), result) {
        enter(watch, b'T', length.cast_unsigned(), &[]);
    }
    result
}

/// Stands in for the C library's.
///
/// # Safety
/// As the C library's: `count` bytes must be readable at `data`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwrite64(file: c_int, data: *const c_void, count: size_t, offset: off64_t) -> ssize_t {
    // SAFETY: the caller's promise is the system call's condition.
    let written = unsafe { libc::syscall(libc::SYS_pwrite64, file, data, count, offset) } as ssize_t;
    if let (Some(watch), Ok(length)) = (&watched(file), usize::try_from(written)) {
        // SAFETY: the kernel has just read as many bytes from there.
        let data = unsafe { std::slice::from_raw_parts(data.cast(), length) };
        enter(watch, b'W', offset.cast_unsigned(), data);
    }
    written
}
