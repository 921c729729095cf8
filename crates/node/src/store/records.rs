//! Everything a store held, in two allocations instead of two million: a million leases must not leave the heap in
//! pieces before the node has answered anyone.

/// Keys and payloads.
#[derive(Debug, Default)]
pub struct Records {
    bytes: Vec<u8>,
    lengths: Vec<(u32, u32)>,
}

impl Records {
    /// Each key with its payload.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut rest = self.bytes.as_slice();
        self.lengths.iter().map(move |&(key, payload)| {
            let (head, tail) = rest.split_at(key as usize);
            let (body, tail) = tail.split_at(payload as usize);
            rest = tail;
            (head, body)
        })
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lengths.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    /// Adds one. Longer than 4 GiB is not stored in the first place; see `Store::commit`.
    pub(super) fn push(&mut self, key: &[u8], payload: &[u8]) {
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.lengths.push((length(key), length(payload)));
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(payload);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_as_pushed() {
        let pairs: [(&[u8], &[u8]); 3] = [(b"a", b"first"), (b"bb", b""), (b"c", b"third")];
        let mut records = Records::default();
        assert!(records.is_empty());
        for (key, payload) in pairs {
            records.push(key, payload);
        }
        assert_eq!(records.iter().collect::<Vec<_>>(), pairs);
        assert_eq!(records.len(), 3);
    }
}
