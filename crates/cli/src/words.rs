//! What nodes say, in the words of the glossary: the same in tables, JSON and the demo.

use standfast_core::lease::record::{ClientId, HardwareAddress};
use standfast_rpc::proto;

/// As the core writes it.
pub(crate) fn revision(revision: Option<&proto::Revision>) -> String {
    revision.map_or_else(|| "0".to_owned(), |revision| format!("{} of {}", revision.number, revision.node))
}

/// A sentence in lines of at most 100 columns.
pub(crate) fn wrapped(sentence: &str) -> String {
    filled(sentence, 0, 2)
}

/// The same for a sentence that begins, and goes on, in a column of its own.
pub(crate) fn wrapped_in(column: usize, sentence: &str) -> String {
    filled(sentence, column, column)
}

fn filled(sentence: &str, first: usize, others: usize) -> String {
    let mut text = String::new();
    let mut column = first;
    for word in sentence.split(' ') {
        let width = word.chars().count();
        if !text.is_empty() && column + 1 + width > 100 {
            text.push('\n');
            text.extend(std::iter::repeat_n(' ', others));
            column = others;
        } else if !text.is_empty() {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += width;
    }
    text
}

/// A state of a relationship; `None` if it was not said.
pub(crate) fn phase(phase: proto::Phase) -> Option<&'static str> {
    match phase {
        proto::Phase::Unspecified => None,
        proto::Phase::Startup => Some("startup"),
        proto::Phase::Recover => Some("recover"),
        proto::Phase::Normal => Some("normal"),
        proto::Phase::CommunicationsInterrupted => Some("communications-interrupted"),
        proto::Phase::PartnerDown => Some("partner-down"),
        proto::Phase::Leaving => Some("leaving"),
    }
}

pub(crate) fn role(role: proto::Role) -> Option<&'static str> {
    match role {
        proto::Role::Unspecified => None,
        proto::Role::Active => Some("active"),
        proto::Role::Deactivated => Some("deactivated"),
    }
}

pub(crate) fn proof(proof: proto::Proof) -> Option<&'static str> {
    match proof {
        proto::Proof::Unspecified => None,
        proto::Proof::CleanLeave => Some("clean-leave"),
        proto::Proof::Operator => Some("operator"),
        proto::Proof::Fenced => Some("fenced"),
        proto::Proof::Timer => Some("timer"),
    }
}

pub(crate) fn scope_state(state: proto::ScopeState) -> Option<&'static str> {
    match state {
        proto::ScopeState::Unspecified => None,
        proto::ScopeState::Active => Some("active"),
        proto::ScopeState::Deactivated => Some("deactivated"),
        proto::ScopeState::Disabled => Some("disabled"),
    }
}

pub(crate) fn lease_state(state: proto::LeaseState) -> Option<&'static str> {
    match state {
        proto::LeaseState::Unspecified => None,
        proto::LeaseState::Free => Some("free"),
        proto::LeaseState::Bound => Some("bound"),
        proto::LeaseState::Ended => Some("ended"),
        proto::LeaseState::Declined => Some("declined"),
    }
}

pub(crate) fn severity(severity: proto::Severity) -> Option<&'static str> {
    match severity {
        proto::Severity::Unspecified => None,
        proto::Severity::Info => Some("info"),
        proto::Severity::Warning => Some("warning"),
        proto::Severity::Alarm => Some("alarm"),
    }
}

/// The code of an event, as it stands in the handbook.
pub(crate) fn code(number: u32) -> String {
    format!("SF{number:04}")
}

/// A client id, as `01:02:00:5e:10:00:01`.
pub(crate) fn client_id(bytes: &[u8]) -> String {
    ClientId::new(bytes).to_string()
}

/// A hardware address, as `02:00:5e:10:00:01`.
pub(crate) fn hardware(hardware: Option<&proto::HardwareAddress>) -> String {
    let address = hardware
        .and_then(|hardware| HardwareAddress::new(u8::try_from(hardware.kind).unwrap_or_default(), &hardware.address));
    address.map(|address| address.to_string()).unwrap_or_default()
}

/// The bytes that a person or a file writes as `02:00:5e:10:00:01`.
pub(crate) fn bytes(text: &str) -> Option<Vec<u8>> {
    let byte = |digits: &str| (digits.len() == 2).then(|| u8::from_str_radix(digits, 16).ok()).flatten();
    text.split([':', '-']).map(byte).collect()
}

/// What a client called itself, made harmless for a terminal.
pub(crate) fn hostname(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().map(|char| if char.is_control() { '?' } else { char }).collect()
}

/// For machines: RFC 3339 in UTC, to the millisecond.
pub(crate) fn rfc3339(wall_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(wall_ms).map_or_else(|_| "unknown".to_owned(), |time| format!("{time:.3}"))
}

/// For people: the time of day here, with the day if it is not today.
pub(crate) fn local(wall_ms: i64, now_ms: i64) -> String {
    let zoned =
        |ms| jiff::Timestamp::from_millisecond(ms).map(|time| time.to_zoned_datetime(jiff::tz::TimeZone::system()));
    let (Ok(time), Ok(now)) = (zoned(wall_ms), zoned(now_ms)) else { return "unknown".to_owned() };
    let format = if time.date() == now.date() { "%H:%M:%S" } else { "%Y-%m-%d %H:%M" };
    time.strftime(format).to_string()
}

/// Roughly how long, in the largest unit that says something: `340 ms`, `12 s`, `5 min`, `8 h`, `3 d`.
pub(crate) fn roughly(ms: u64) -> String {
    const SECOND: u64 = 1_000;
    const MINUTE: u64 = 60 * SECOND;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    match ms {
        _ if ms < SECOND => format!("{ms} ms"),
        _ if ms < 2 * MINUTE => format!("{} s", ms / SECOND),
        _ if ms < 2 * HOUR => format!("{} min", ms / MINUTE),
        _ if ms < 2 * DAY => format!("{} h", ms / HOUR),
        _ => format!("{} d", ms / DAY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_for_machines_or_for_people() {
        assert_eq!(rfc3339(1_700_000_000_123), "2023-11-14T22:13:20.123Z");
        let (now, day) = (1_700_000_000_000, 86_400_000);
        assert_eq!(local(now, now).len(), "22:13:20".len());
        assert_eq!(local(now - day, now).len(), "2023-11-13 22:13".len());
        let said = [340, 12_000, 119_999, 300_000, 8 * 3_600_000, 3 * 86_400_000].map(roughly);
        assert_eq!(said, ["340 ms", "12 s", "119 s", "5 min", "8 h", "3 d"]);
    }

    #[test]
    fn a_long_sentence_goes_on_where_it_should() {
        let sentence = ["word"; 30].join(" ");
        let lines = |text: String| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let (text, column) = (lines(wrapped(&sentence)), lines(wrapped_in(12, &sentence)));
        assert_eq!((text[0].len(), &text[1][..7], text.len()), (99, "  word ", 2));
        assert_eq!((column[0].len(), &column[1][..13], column.len()), (84, "            w", 2));
    }

    #[test]
    fn a_hostname_cannot_command_the_terminal() {
        assert_eq!(hostname(b"desk\x1b[2J\xff\n"), "desk?[2J\u{fffd}?");
    }
}
