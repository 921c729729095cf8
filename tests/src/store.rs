//! What a node has on its disk, read without the node: from a copy of its store, so that reading changes nothing.

use standfast_core::lease::record::{Lease, LeaseState};
use standfast_core::output::StoredRecord;
use standfast_node::store::Store;
use standfast_rpc::convert::{Key, WallOffset, decode_record};
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A lease as the store holds it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stored {
    pub address: Ipv4Addr,
    pub hardware: Vec<u8>,
    pub bound: bool,
    /// By the wall clock of the machine.
    pub expiry: SystemTime,
}

/// The leases in the store of a node's data folder, which is copied into `scratch` first.
///
/// # Panics
/// The store cannot be opened, or a record in it is not whole: a killed node leaves a store in order.
pub fn leases(data_dir: &Path, scratch: &Path) -> Vec<Stored> {
    let copy = scratch.join("copy-of-a-store");
    let _ = fs::remove_dir_all(&copy);
    copy_folder(&data_dir.join("store"), &copy);
    let opened = Store::open(&copy).expect("open the copy of a store");
    assert!(opened.set_aside.is_empty(), "{} records are not whole", opened.set_aside.len());
    // Instants that count from 1970 are wall times.
    let since_1970 = WallOffset(0);
    let lease = |(key, payload): (&[u8], &[u8])| {
        let key = Key::decode(key).expect("a key of ours");
        if key == Key::Configuration {
            return None;
        }
        match decode_record(key, payload, since_1970).expect("a record that can be read") {
            StoredRecord::Lease(_, lease) => Some(stored(&lease)),
            StoredRecord::Relationship(_) | StoredRecord::Node(_) | StoredRecord::Configuration(_) => None,
        }
    };
    opened.records.iter().filter_map(lease).collect()
}

fn stored(lease: &Lease) -> Stored {
    let micros = u64::try_from(lease.expiry.0).unwrap_or(0);
    Stored {
        address: lease.address,
        hardware: lease.hardware.as_bytes().to_vec(),
        bound: lease.state == LeaseState::Bound,
        expiry: UNIX_EPOCH + Duration::from_micros(micros),
    }
}

/// Copies a folder and everything in it, but sockets.
pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("create a folder");
    for entry in fs::read_dir(from).expect("read a folder") {
        let entry = entry.expect("read a folder");
        let (kind, target) = (entry.file_type().expect("a file has a type"), to.join(entry.file_name()));
        if kind.is_dir() {
            copy_folder(&entry.path(), &target);
        } else if kind.is_file() {
            fs::copy(entry.path(), target).expect("copy a file");
        }
    }
}
