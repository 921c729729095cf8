//! Packets for tests, byte by byte: what clients and attackers send.

/// A request under construction: the fixed header and a list of options.
#[derive(Clone)]
pub(crate) struct Packet {
    header: [u8; 240],
    options: Vec<u8>,
}

impl Packet {
    /// From an Ethernet client, hardware address 02:00:5e:10:00:01, transaction 0x01020304, no options.
    pub(crate) fn new() -> Self {
        let mut header = [0; 240];
        header[..8].copy_from_slice(&[1, 1, 6, 0, 1, 2, 3, 4]);
        header[28..34].copy_from_slice(&[2, 0, 0x5e, 0x10, 0, 1]);
        header[236..].copy_from_slice(&[99, 130, 83, 99]);
        Self { header, options: Vec::new() }
    }

    /// With option 53.
    pub(crate) fn of_type(message_type: u8) -> Self {
        Self::new().option(53, &[message_type])
    }

    /// With these bytes of the header.
    pub(crate) fn header(mut self, at: usize, bytes: &[u8]) -> Self {
        self.header[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    pub(crate) fn ciaddr(self, address: [u8; 4]) -> Self {
        self.header(12, &address)
    }

    pub(crate) fn giaddr(self, address: [u8; 4]) -> Self {
        self.header(24, &address)
    }

    pub(crate) fn broadcast(self) -> Self {
        self.header(10, &[0x80])
    }

    /// With one more option of at most 255 bytes.
    pub(crate) fn option(mut self, code: u8, value: &[u8]) -> Self {
        self.options.extend_from_slice(&[code, u8::try_from(value.len()).unwrap()]);
        self.options.extend_from_slice(value);
        self
    }

    /// With these bytes in the options field, whatever they mean.
    pub(crate) fn raw(mut self, bytes: &[u8]) -> Self {
        self.options.extend_from_slice(bytes);
        self
    }

    /// Ended by option 255.
    pub(crate) fn bytes(self) -> Vec<u8> {
        let mut bytes = self.header.to_vec();
        bytes.extend(self.options);
        bytes.push(255);
        bytes
    }

    /// Read back.
    pub(crate) fn query(self) -> super::query::Query {
        super::query::Query::parse(&self.bytes()).unwrap()
    }
}

/// The options of an answer's options field, in order and unjoined.
pub(crate) fn options(bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    field(&bytes[240..])
}

/// The options of one field.
pub(crate) fn field(mut rest: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut options = Vec::new();
    while let [code, tail @ ..] = rest {
        match code {
            0 => rest = tail,
            255 => break,
            _ => {
                let (value, after) = tail[1..].split_at(usize::from(tail[0]));
                options.push((*code, value.to_vec()));
                rest = after;
            }
        }
    }
    options
}
