//! Which of the configured options an answer carries, and in which order.

use super::{Answer, AnswerKind};
use crate::dhcp::option::code;
use crate::dhcp::query::Query;

/// What the client asked for and what is forced, in the order of sending.
pub(super) fn wanted<'a>(answer: &'a Answer<'_>, query: &Query) -> Vec<(u8, &'a [u8])> {
    if answer.kind == AnswerKind::Nak {
        return Vec::new();
    }
    let mut codes = Codes::default();
    if query.parameters.is_empty() {
        // RFC 8925 and RFC 3442 want their options asked for; of the others, whatever is configured may help.
        let mut configured: Vec<u8> = answer.options.codes().collect();
        configured.sort_unstable();
        configured.retain(|code| !matches!(*code, code::V6ONLY_PREFERRED | code::CLASSLESS_ROUTES));
        configured.iter().for_each(|code| codes.add(*code));
    } else {
        query.parameters.iter().for_each(|code| codes.add(*code));
    }
    let asked_for_v6only = query.parameters.contains(&code::V6ONLY_PREFERRED);
    answer
        .forced
        .iter()
        .filter(|code| **code != code::V6ONLY_PREFERRED || asked_for_v6only)
        .for_each(|code| codes.add(*code));

    let value = |code: u8| answer.options.get(code).map(|value| (code, value));
    let mut wanted: Vec<_> = codes.as_slice().iter().filter_map(|code| value(*code)).collect();
    if wanted.iter().any(|(code, _)| *code == code::CLASSLESS_ROUTES) {
        wanted.retain(|(code, _)| *code != code::ROUTERS);
    }
    mask_before_routers(&mut wanted);
    wanted
}

/// RFC 2132 section 3.3: the netmask MUST be first where both are sent.
fn mask_before_routers(wanted: &mut [(u8, &[u8])]) {
    let position = |code: u8| wanted.iter().position(|(known, _)| *known == code);
    if let (Some(mask), Some(routers)) = (position(code::SUBNET_MASK), position(code::ROUTERS))
        && routers < mask
    {
        wanted[routers..=mask].rotate_right(1);
    }
}

/// Codes in order, each once, without those that only the server itself may write.
struct Codes {
    list: [u8; 256],
    length: usize,
    seen: [bool; 256],
}

impl Default for Codes {
    fn default() -> Self {
        let mut seen = [false; 256];
        for code in [
            code::PAD,
            code::REQUESTED_ADDRESS,
            code::LEASE_TIME,
            code::OVERLOAD,
            code::MESSAGE_TYPE,
            code::SERVER_IDENTIFIER,
            code::PARAMETERS,
            code::MAX_MESSAGE_SIZE,
            code::RENEWAL_TIME,
            code::REBINDING_TIME,
            code::CLIENT_ID,
            code::RAPID_COMMIT,
            code::RELAY_INFORMATION,
            code::SUBNET_SELECTION,
            code::END,
        ] {
            seen[usize::from(code)] = true;
        }
        Self { list: [0; 256], length: 0, seen }
    }
}

impl Codes {
    fn add(&mut self, code: u8) {
        let seen = &mut self.seen[usize::from(code)];
        if !*seen {
            *seen = true;
            self.list[self.length] = code;
            self.length += 1;
        }
    }

    fn as_slice(&self) -> &[u8] {
        &self.list[..self.length]
    }
}
