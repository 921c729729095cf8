//! The stories, by what they are about.

mod alone;
mod clients;
mod records;
mod revisions;
mod stores;
mod switching;

use super::Scenario;

/// Every scenario, in the order in which a newcomer might read them.
pub static SCENARIOS: &[&Scenario] = &[
    &clients::SILENCE,
    &switching::DEATH,
    &switching::BLIP,
    &switching::PARTITION,
    &switching::ONE_WAY,
    &switching::SWITCHOVER,
    &switching::FAILBACK,
    &switching::PAUSE,
    &switching::STANDSTILL,
    &switching::FAILING_DISK,
    &switching::FENCE,
    &switching::EVIDENCE,
    &clients::DEAF,
    &clients::NO_CARRIER,
    &clients::RESERVATION,
    &clients::NAK_EVIDENCE,
    &clients::UNHEARD,
    &clients::DURABLE_ACK,
    &clients::AGED_ACK,
    &clients::ASKED_IN_VAIN,
    &clients::SHORTER,
    &alone::PARTNER_DOWN,
    &alone::GREW,
    &alone::UNTRUE,
    &alone::DOUBTFUL_CONFLICT,
    &alone::CLEAN_LEAVE,
    &alone::MUST_HEAR,
    &alone::BOTH_LEAVE,
    &alone::FULL_EMBARGO,
    &alone::BOTH_A_FIRST,
    &alone::BOTH_B_FIRST,
    &alone::POTENTIAL_EXPIRY,
    &alone::HOME_STAYS,
    &alone::CLOCK,
    &revisions::RESERVATION_GONE,
    &revisions::RESERVATION_MADE,
    &records::READY,
    &records::BOTH_READY,
    &records::READY_UNDER_LOAD,
    &records::OLD_HEARTBEAT,
    &records::PAIR_VERSION,
    &records::CACHED,
    &records::HOME_MERGES,
    &records::TWO_CONTENTS,
    &records::LATE_ACK,
    &records::TIMES_LEARNT,
    &records::SENT_TOO_EARLY,
    &records::DECLINED,
    &records::FREED_TWICE,
    &records::GIVEN_TWICE,
    &records::RELINQUISH,
    &records::RELINQUISH_VERSION,
    &stores::LOST,
    &stores::LOST_AND_NEW_CLIENTS,
    &stores::LOST_AND_ALONE,
    &stores::LOST_UNBOUNDED,
    &stores::FROZEN,
    &stores::ROLLED_BACK,
    &stores::UNREADABLE,
];
