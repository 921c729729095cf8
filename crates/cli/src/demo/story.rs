//! What happens in the demo, and when: a small state machine, which is told what is seen and says what is done.
//!
//!     Starting ── both normal ──► Running ── 5 s ──► Killed ── 5 s, and served ──► Returning
//!                                                                                      │ both normal
//!              Over ◄── 3 s ── Ending ◄── the first node is active again ── FailingBack ◄┘
//!
//! Whatever does not come to pass in time ends the demo as a failure: each act says what it waited for.

use super::crowd::Node;
use crate::status::report::Report;
use std::time::{Duration, Instant};

/// Long enough to see that one node answers and the other does not.
const RUNNING: Duration = Duration::from_secs(5);
/// Long enough to see that the survivor serves.
const ALONE: Duration = Duration::from_secs(5);
const ENDING: Duration = Duration::from_secs(3);
/// Nothing that is waited for takes so long, unless the machine is very busy.
const DEADLINE: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Story {
    act: Act,
    since: Instant,
    /// What came of the kill.
    outage: Option<Outage>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Act {
    Starting,
    Running { active: Node },
    Killed,
    Returning,
    FailingBack,
    Ending,
    Over,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Outage {
    pub(super) killed: Node,
    pub(super) at: Instant,
    pub(super) first_answer: Option<Instant>,
}

/// What is done now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Step {
    Kill(Node),
    Restart(Node),
    /// Only something to say.
    Say(String),
    Finish,
    /// Something did not come to pass.
    GiveUp(String),
}

impl Story {
    pub(super) fn new(now: Instant) -> Self {
        Self { act: Act::Starting, since: now, outage: None }
    }

    pub(super) fn outage(&self) -> Option<Outage> {
        self.outage
    }

    /// A client got an answer from `node`. If it is the first after the kill, how long nobody answered.
    pub(super) fn answered(&mut self, now: Instant, node: Node) -> Option<Duration> {
        let outage = self.outage.as_mut()?;
        if node == outage.killed || outage.first_answer.is_some() {
            return None;
        }
        outage.first_answer = Some(now);
        Some(now - outage.at)
    }

    /// What is going on, for who has just sat down.
    pub(super) fn caption(&self) -> &'static str {
        match self.act {
            Act::Starting => "Two nodes start, and find each other.",
            Act::Running { .. } => "One node answers. The other follows every lease, and says nothing.",
            Act::Killed => "The active node was killed (SIGKILL). The other one answers now.",
            Act::Returning => "The killed node starts again, and learns what it has missed.",
            Act::FailingBack => "In step again. Soon the first node takes its role back.",
            Act::Ending => "As before.",
            Act::Over => "The end.",
        }
    }

    /// What is to be done, seeing what each node says of itself.
    pub(super) fn step(&mut self, now: Instant, reports: [Option<&Report>; 2]) -> Option<Step> {
        let elapsed = now.saturating_duration_since(self.since);
        let killed = self.outage.map(|outage| outage.killed);
        let active = active(reports);
        let step = match self.act {
            Act::Starting => active.filter(|_| in_step(reports)).map(|active| {
                self.enter(now, Act::Running { active });
                Step::Say("both nodes are normal; one is active, the other deactivated".into())
            }),
            Act::Running { active } => (elapsed >= RUNNING).then(|| {
                self.outage = Some(Outage { killed: active, at: now, first_answer: None });
                self.enter(now, Act::Killed);
                Step::Kill(active)
            }),
            Act::Killed => killed.filter(|_| elapsed >= ALONE && self.was_answered()).map(|killed| {
                self.enter(now, Act::Returning);
                Step::Restart(killed)
            }),
            Act::Returning => (in_step(reports)).then(|| {
                self.enter(now, Act::FailingBack);
                Step::Say("both nodes are normal again".into())
            }),
            Act::FailingBack => (active == killed && in_step(reports)).then(|| {
                self.enter(now, Act::Ending);
                Step::Say("the first node is active again".into())
            }),
            Act::Ending => (elapsed >= ENDING).then(|| {
                self.enter(now, Act::Over);
                Step::Finish
            }),
            Act::Over => None,
        };
        step.or_else(|| (elapsed >= DEADLINE).then(|| Step::GiveUp(self.waited_for())))
    }

    fn was_answered(&self) -> bool {
        self.outage.is_some_and(|outage| outage.first_answer.is_some())
    }

    fn waited_for(&self) -> String {
        let what = match self.act {
            Act::Starting => "both nodes to find each other",
            Act::Running { .. } | Act::Ending | Act::Over => "the time to pass",
            Act::Killed => "an answer of the surviving node",
            Act::Returning => "the killed node to be in step again",
            Act::FailingBack => "the first node to be active again",
        };
        format!("waited {} s in vain for {what}", DEADLINE.as_secs())
    }

    fn enter(&mut self, now: Instant, act: Act) {
        self.act = act;
        self.since = now;
    }
}

/// The node that says it is active, if only one does.
fn active(reports: [Option<&Report>; 2]) -> Option<Node> {
    let says = |node: &Node| {
        let relationship = reports[*node].and_then(|report| report.relationships.first());
        relationship.is_some_and(|relationship| relationship.role == Some("active"))
    };
    let active: Vec<_> = [0, 1].into_iter().filter(says).collect();
    if let [node] = active.as_slice() { Some(*node) } else { None }
}

/// Whether both say normal.
fn in_step(reports: [Option<&Report>; 2]) -> bool {
    reports.iter().all(|report| {
        let relationship = report.and_then(|report| report.relationships.first());
        relationship.is_some_and(|relationship| relationship.state == Some("normal"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::report;

    fn says(role: &'static str, state: &'static str) -> Report {
        let mut report = Report::from(report::example());
        report.relationships[0].role = Some(role);
        report.relationships[0].state = Some(state);
        report
    }

    #[test]
    fn the_whole_story() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let (active, deactivated) = (says("active", "normal"), says("deactivated", "normal"));
        let alone = says("active", "communications-interrupted");
        let mut story = Story::new(start);
        assert_eq!(story.step(at(0), [None, None]), None);
        assert!(matches!(story.step(at(1), [Some(&active), Some(&deactivated)]), Some(Step::Say(_))));
        assert_eq!(story.answered(at(5), 0), None);
        assert_eq!(story.step(at(6), [Some(&active), Some(&deactivated)]), Some(Step::Kill(0)));
        assert_eq!(story.answered(at(6), 0), None, "an answer that was under way");
        assert_eq!(story.answered(at(7), 1), Some(Duration::from_secs(1)));
        assert_eq!(story.answered(at(8), 1), None, "only the first");
        assert_eq!(story.step(at(11), [None, Some(&alone)]), Some(Step::Restart(0)));
        assert_eq!(story.step(at(12), [None, Some(&alone)]), None);
        assert!(matches!(story.step(at(13), [Some(&deactivated), Some(&active)]), Some(Step::Say(_))));
        assert_eq!(story.step(at(14), [Some(&deactivated), Some(&active)]), None);
        assert!(matches!(story.step(at(18), [Some(&active), Some(&deactivated)]), Some(Step::Say(_))));
        assert_eq!(story.step(at(21), [Some(&active), Some(&deactivated)]), Some(Step::Finish));
    }

    #[test]
    fn what_does_not_come_to_pass_is_a_failure() {
        let start = Instant::now();
        let mut story = Story::new(start);
        let Some(Step::GiveUp(why)) = story.step(start + DEADLINE, [None, None]) else { panic!("it waits for ever") };
        assert!(why.contains("both nodes to find each other"), "{why}");
    }
}
