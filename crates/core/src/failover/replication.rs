//! What the partner has yet to take, and what it has taken.

/// Records in one batch at the most, so that one commit of the store and one message carry many leases.
pub const BATCH_RECORDS: usize = 512;
