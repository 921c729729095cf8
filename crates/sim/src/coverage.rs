//! What must occur in enough seeds for them to show anything: every state and transition, every proof, every case of
//! merging, every fault, every reason of silence that can be met here.
//!
//! Nothing is listed twice: the names come from the enums, and what the simulator cannot meet is told apart by matches
//! without a wildcard, so that whoever adds a state, a reason or a fault has to say which it is.

use crate::faults::Fault;
use crate::host::Host;
use crate::transcript::Transcript;
use crate::trouble::Trouble;
use standfast_core::dhcp::answer::Silence;
use standfast_core::dhcp::query::Malformed;
use standfast_core::dhcp::selection::Unselected;
use standfast_core::failover::state::{Phase, Proof};
use standfast_core::lease::merge::Case;
use std::collections::BTreeMap;

/// What never occurred of what must.
#[must_use]
pub fn missing(coverage: &BTreeMap<String, u64>) -> Vec<String> {
    required().into_iter().filter(|what| coverage.get(what).is_none_or(|&count| count == 0)).collect()
}

/// Everything that must occur.
fn required() -> Vec<String> {
    let states = Phase::ALL.iter().map(|&phase| state(phase));
    let pairs = Phase::ALL.into_iter().flat_map(|from| Phase::ALL.map(|to| (from, to)));
    let moves = pairs.filter(|(from, to)| from != to && from.leads_to(*to)).map(|(from, to)| format!("{from} -> {to}"));
    let proofs = Proof::ALL.iter().map(|&it| proof(it));
    let merges = Case::ALL.iter().filter(|&&case| occurs_in_seeds(case)).map(|&case| merge(case));
    let faults = Fault::every().map(|fault| fault.name().to_owned());
    let troubles = Trouble::all(0).into_iter().map(|(trouble, _)| trouble.name().to_owned());
    let silent = Silence::ALL.iter().filter(|&&it| can_silence(it)).map(|it| silence(it.as_str()));
    let unselected = Unselected::ALL.iter().map(|it| silence(it.as_str()));
    let malformed = Malformed::ALL.iter().map(|it| silence(it.as_str()));
    states
        .chain(moves)
        .chain(proofs)
        .chain(merges)
        .chain(faults)
        .chain(troubles)
        .chain(silent)
        .chain(unselected)
        .chain(malformed)
        .collect()
}

pub(crate) fn state(phase: Phase) -> String {
    format!("state {phase}")
}

pub(crate) fn proof(proof: Proof) -> String {
    format!("proof {}", proof.as_str())
}

fn merge(case: Case) -> String {
    format!("merge {}", case.as_str())
}

fn silence(reason: &str) -> String {
    format!("silence {reason}")
}

/// Notes what a process counted itself, before it is gone.
pub(crate) fn harvest(host: &Host, transcript: &mut Transcript) {
    let Some(node) = &host.process else { return };
    for (case, count) in node.merges() {
        transcript.add(&merge(case), count);
    }
    for (reason, &count) in &node.counters().silent {
        transcript.add(&silence(reason), count);
    }
}

fn occurs_in_seeds(case: Case) -> bool {
    match case {
        Case::SameVersion
        | Case::LaterTimes
        | Case::TimesLearnt
        | Case::Seen
        | Case::Succeeds
        | Case::LongerPromise
        | Case::FreeAgainstLive
        | Case::NotHome
        | Case::OneClient
        | Case::OneClientDeclined
        | Case::OneLive
        | Case::TwoClientsPartnerDown
        | Case::TwoClientsEpoch
        | Case::EndedBeatsFree
        | Case::OverEpoch => true,
        // They come once in thousands of seeds, and less. Scenarios go there: see the test below.
        Case::OverSlot | Case::TwoClientsSlot => false,
    }
}

fn can_silence(reason: Silence) -> bool {
    match reason {
        Silence::Deactivated
        | Silence::Disabled
        | Silence::OtherServer
        | Silence::Exhausted
        | Silence::UnknownClient
        | Silence::NotOurs
        | Silence::NotOwner
        | Silence::Senseless
        | Silence::Unsupported
        | Silence::Stale
        | Silence::Limited
        | Silence::Superseded
        | Silence::Changed
        | Silence::PartnerSlow => true,
        // The driver's, which is not simulated; links without addresses, long options and probes are not configured.
        Silence::Overload | Silence::NoAddress | Silence::Oversized | Silence::InUse => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::SCENARIOS;

    #[test]
    fn what_never_occurred_is_named() {
        let mut coverage: BTreeMap<String, u64> = required().into_iter().map(|what| (what, 1)).collect();
        assert_eq!(missing(&coverage), Vec::<String>::new());
        coverage.insert("proof fenced".into(), 0);
        coverage.remove("state leaving");
        assert_eq!(missing(&coverage), ["state leaving", "proof fenced"]);
    }

    #[test]
    fn what_is_too_rare_for_seeds_occurs_in_scenarios() {
        let told: Vec<_> = SCENARIOS.iter().map(|scenario| scenario.tell().coverage).collect();
        for &case in Case::ALL.iter().filter(|&&case| !occurs_in_seeds(case)) {
            let occurs = told.iter().any(|coverage| coverage.get(&merge(case)).is_some_and(|&count| count > 0));
            assert!(occurs, "{}", merge(case));
        }
    }

    #[test]
    fn names_are_unique() {
        let names: std::collections::BTreeSet<String> = required().into_iter().collect();
        assert_eq!(names.len(), required().len());
    }
}
