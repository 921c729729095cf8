//! The options of a packet by code, before anyone asks what they mean.
//!
//! dhcproto's reader walks them; what it would pass over in silence is checked before.

use super::{HEADER, Malformed};
use crate::dhcp::option::code;
use dhcproto::v4::borrowed::DhcpOptionIterator;
use std::net::Ipv4Addr;

const SNAME: std::ops::Range<usize> = 44..108;
const FILE: std::ops::Range<usize> = 108..236;

const MAX_OPTIONS: usize = 255;
const MAX_OPTION_LENGTH: usize = 1024;

/// Options by code, instances joined in the order of RFC 3396: options field, `file`, `sname`.
pub(super) struct Options(Vec<(u8, Vec<u8>)>);

impl Options {
    /// Of a packet of at least 240 bytes.
    pub(super) fn collect(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut options = Self(Vec::with_capacity(16));
        let mut count = 0;
        options.read(&bytes[HEADER..], &mut count)?;
        if let Some([overload]) = options.fixed(code::OVERLOAD)? {
            if overload & 1 != 0 {
                options.read(&bytes[FILE], &mut count)?;
            }
            if overload & 2 != 0 {
                options.read(&bytes[SNAME], &mut count)?;
            }
        }
        Ok(options)
    }

    fn read(&mut self, field: &[u8], count: &mut usize) -> Result<(), Malformed> {
        *count += check_field(field)?;
        if *count > MAX_OPTIONS {
            return Err(Malformed::OptionFlood);
        }
        for option in DhcpOptionIterator::new(field) {
            self.join(option.code().into(), option.data())?;
        }
        Ok(())
    }

    fn join(&mut self, code: u8, data: &[u8]) -> Result<(), Malformed> {
        let known = self.0.iter_mut().find(|(known, _)| *known == code);
        let length = known.as_ref().map_or(0, |(_, value)| value.len()) + data.len();
        if length > MAX_OPTION_LENGTH {
            return Err(Malformed::OptionFlood);
        }
        match known {
            Some((_, value)) => value.extend_from_slice(data),
            None => self.0.push((code, data.to_vec())),
        }
        Ok(())
    }

    pub(super) fn bytes(&self, code: u8) -> Option<&[u8]> {
        self.0.iter().find(|(known, _)| *known == code).map(|(_, value)| value.as_slice())
    }

    /// The value of `code`, empty if absent.
    pub(super) fn owned(&self, code: u8) -> Vec<u8> {
        self.bytes(code).unwrap_or_default().to_vec()
    }

    /// The value of `code`, which must be of this length.
    pub(super) fn fixed<const N: usize>(&self, code: u8) -> Result<Option<[u8; N]>, Malformed> {
        self.bytes(code).map(|value| value.try_into().map_err(|_| Malformed::OptionLength)).transpose()
    }

    pub(super) fn address(&self, code: u8) -> Result<Option<Ipv4Addr>, Malformed> {
        Ok(self.fixed::<4>(code)?.map(Ipv4Addr::from))
    }
}

/// Counts the options of a field whose lengths all fit. The reader that comes after stops in silence at one that does
/// not, and what it had not reached would be lost.
fn check_field(field: &[u8]) -> Result<usize, Malformed> {
    let mut rest = field;
    let mut count = 0;
    loop {
        rest = match rest {
            [] | [code::END, ..] => return Ok(count),
            [code::PAD, tail @ ..] => {
                rest = tail;
                continue;
            }
            [_, length, tail @ ..] => tail.get(usize::from(*length)..).ok_or(Malformed::OptionOverrun)?,
            [_] => return Err(Malformed::OptionOverrun),
        };
        count += 1;
    }
}

#[cfg(test)]
mod tests {
    use crate::dhcp::packet::Packet;

    #[test]
    fn parts_of_an_option_are_joined_wherever_they_stand() {
        let query = Packet::of_type(1)
            .option(61, &[1, 2])
            .option(52, &[3])
            .header(108, &[61, 2, 3, 4, 255])
            .header(44, &[61, 1, 5, 12, 1, b'a', 255])
            .option(61, &[])
            .query();
        assert_eq!(query.client_id_option.as_deref(), Some(&[1, 2, 3, 4, 5][..]));
        assert_eq!(query.hostname, b"a");
    }
}
