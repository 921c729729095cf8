//! From what the store holds to what the core starts with.

use crate::cluster_file::{Cluster, revision};
use crate::store::Opened;
use standfast_core::output::StoredRecord;
use standfast_core::scale::WallOffset;
use standfast_core::stored::{ConfigurationRecord, Stored};
use standfast_core::time::Now;
use standfast_rpc::convert::{Key, decode_configuration, decode_record};
use std::sync::Arc;

/// What the core starts with, but for the configuration, and the scale on which the store goes on. Records that cannot
/// be read are named, so that nobody gets their addresses.
pub(crate) fn stored(opened: &Opened, now: Now) -> (Stored, WallOffset) {
    let mut stored = Stored::default();
    let offset = scale_of(opened, now);
    for (key, payload) in opened.records.iter() {
        let Ok(key) = Key::decode(key) else {
            tracing::warn!("the store holds a record of an unknown kind; it is left alone");
            continue;
        };
        if key == Key::Configuration {
            continue;
        }
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
        StoredRecord::Configuration(record) => use_configuration(stored, record),
    }
}

/// The configuration of the store of this node, for the core.
pub(crate) fn use_configuration(stored: &mut Stored, record: ConfigurationRecord) {
    stored.sequence = stored.sequence.max(record.sequence);
    stored.configuration = Some(record);
}

/// The configuration of a store that is the node's own.
///
/// # Errors
/// This version cannot use it.
pub(crate) fn revision(opened: &Opened, node: &str) -> Result<Option<Revision>, RevisionError> {
    let value = |wanted: &Key| {
        opened.records.iter().find(|(key, _)| Key::decode(key).as_ref() == Ok(wanted)).map(|(_, value)| value)
    };
    let plain = WallOffset(0);
    let owner = value(&Key::Node).and_then(|value| decode_record(Key::Node, value, plain).ok());
    if !matches!(owner, Some(StoredRecord::Node(record)) if record.node.as_str() == node) {
        return Ok(None);
    }
    let Some(value) = value(&Key::Configuration) else { return Ok(None) };
    let texts = decode_configuration(value)
        .map_err(|error| RevisionError { revision: "in the store".into(), why: error.to_string() })?;
    let number = texts.current.revision.to_string();
    let cluster = revision::read(&texts.current).map_err(|why| RevisionError { revision: number, why })?;
    let older = texts.older.iter().filter_map(|text| match revision::read(text) {
        Ok(older) => Some(Arc::new(older.configuration)),
        Err(why) => {
            tracing::error!(revision = %text.revision, why, "an older revision cannot be read; it is not kept to");
            None
        }
    });
    let current = Arc::new(cluster.configuration.clone());
    let record = ConfigurationRecord { current, older: older.collect(), held: texts.held, sequence: texts.sequence };
    Ok(Some(Revision { cluster, record }))
}

/// The revision that a store holds.
pub(crate) struct Revision {
    /// For the driver.
    pub(crate) cluster: Cluster,
    /// For the core.
    pub(crate) record: ConfigurationRecord,
}

/// Why the revision in the store cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "revision {revision}, which was in use, is refused by this version: {why}; run the version that it was applied with, apply a corrected file with `standfast config apply`, and then this one"
)]
pub struct RevisionError {
    revision: String,
    why: String,
}

fn set_aside(stored: &mut Stored, key: Key) {
    match key {
        Key::Lease(relationship, address) => stored.unreadable.push((relationship, address)),
        // Without it the node counts as one that lost its store.
        Key::Relationship(_) | Key::Node | Key::Configuration => {}
    }
}

/// The scale on which this store keeps instants.
fn scale_of(opened: &Opened, now: Now) -> WallOffset {
    let plain = WallOffset::between(now.instant, now.wall);
    let node = opened.records.iter().find(|(key, _)| Key::decode(key) == Ok(Key::Node));
    let record = node.and_then(|(_, payload)| decode_record(Key::Node, payload, plain).ok());
    match record {
        Some(StoredRecord::Node(record)) => WallOffset::of_store(now, Some(&record)),
        Some(StoredRecord::Lease(..) | StoredRecord::Relationship(_) | StoredRecord::Configuration(_)) | None => plain,
    }
}
