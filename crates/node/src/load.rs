//! From what the store holds to what the core starts with.

use crate::store::Opened;
use standfast_core::output::StoredRecord;
use standfast_core::scale::WallOffset;
use standfast_core::stored::Stored;
use standfast_core::time::Now;
use standfast_rpc::convert::{Key, decode_record};

/// What the core starts with, and the scale on which the store goes on. Records that cannot be read are named, so that
/// nobody gets their addresses.
pub(crate) fn stored(opened: &Opened, now: Now) -> (Stored, WallOffset) {
    let mut stored = Stored::default();
    let offset = scale_of(opened, now);
    for (key, payload) in opened.records.iter() {
        let Ok(key) = Key::decode(key) else {
            tracing::warn!("the store holds a record of an unknown kind; it is left alone");
            continue;
        };
        match decode_record(key.clone(), payload, offset) {
            Ok(record) => add(&mut stored, record),
            Err(error) => {
                tracing::warn!(%error, ?key, "a stored record cannot be understood");
                set_aside(&mut stored, key);
            }
        }
    }
    for key in opened.set_aside.iter().filter_map(|key| Key::decode(key).ok()) {
        set_aside(&mut stored, key);
    }
    (stored, offset)
}

fn add(stored: &mut Stored, record: StoredRecord) {
    match record {
        StoredRecord::Lease(relationship, lease) => {
            stored.sequence = stored.sequence.max(lease.sequence);
            stored.leases.push((relationship, lease));
        }
        StoredRecord::Relationship(record) => {
            stored.sequence = stored.sequence.max(record.sequence);
            stored.relationships.push(record);
        }
        StoredRecord::Node(record) => {
            stored.sequence = stored.sequence.max(record.sequence);
            stored.node = Some(record);
        }
    }
}

fn set_aside(stored: &mut Stored, key: Key) {
    match key {
        Key::Lease(relationship, address) => stored.unreadable.push((relationship, address)),
        // Without it the node counts as one that lost its store.
        Key::Relationship(_) | Key::Node => {}
    }
}

/// The scale on which this store keeps instants.
fn scale_of(opened: &Opened, now: Now) -> WallOffset {
    let plain = WallOffset::between(now.instant, now.wall);
    let node = opened.records.iter().find(|(key, _)| Key::decode(key) == Ok(Key::Node));
    let record = node.and_then(|(_, payload)| decode_record(Key::Node, payload, plain).ok());
    match record {
        Some(StoredRecord::Node(record)) => WallOffset::of_store(now, Some(&record)),
        Some(StoredRecord::Lease(..) | StoredRecord::Relationship(_)) | None => plain,
    }
}
