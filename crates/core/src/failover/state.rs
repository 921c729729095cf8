//! The states of a relationship on one node.
//!
//! ```text
//!                      session                     both ready
//!     Startup ────────────────────► Recover ─────────────────────► Normal ──────► Leaving
//!        │                           ▲   │                          │  ▲        clean stop
//!        │ startup_timeout           │   │ session ends             │  │
//!        │                   partner │   ▼                contact   │  │ both ready
//!        │                is or was  │  Startup                lost │  │
//!        │           in partner-down │                              ▼  │
//!        ├─────────────────────────► CommunicationsInterrupted ◄───────┘
//!        │                               │          ▲
//!        │                         proof │          │ first pass done, partner ready
//!        │                               ▼          │
//!        └───────────────────────────► PartnerDown ─┘
//! ```
//!
//! | state | answers clients | entered because |
//! | --- | --- | --- |
//! | Startup | no | the process started; or the session ended in Recover |
//! | Recover | no | connected after a start, or the partner is in partner-down |
//! | Normal | the active node | both have said and heard `ready` in this session |
//! | CommunicationsInterrupted | yes, by the rules of granting | contact was lost; or nobody was met in time |
//! | PartnerDown | yes | there is proof that the partner does not serve |
//! | Leaving | no | a clean stop towards a connected partner |

use crate::id::Slot;
use crate::labelled::labelled;
use crate::time::Instant;
use std::fmt;

/// A state and exactly the data that exists in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum State {
    /// Looking for the partner.
    Startup {
        /// When to stop looking. `None`: never, because an isolated start must be silent.
        until: Option<Instant>,
        /// The state to resume in when nobody was found.
        resume: Resume,
    },
    /// Connected, exchanging what each has missed.
    Recover {
        /// The state to go back to if the session ends.
        resume: Resume,
    },
    /// In step with the partner.
    Normal {
        /// The node that answers.
        active: Slot,
        /// When it was entered.
        since: Instant,
        /// How far a switchover has come.
        handover: Handover,
    },
    /// Contact is lost, or regained and not yet in step.
    CommunicationsInterrupted {
        /// A standby is deactivated until the loss of contact is confirmed, or an operator's pause ends.
        role: Role,
        /// When it was entered.
        since: Instant,
    },
    /// There is proof that the partner does not serve.
    PartnerDown {
        /// Which proof.
        proof: Proof,
        /// From when its waits count.
        from: Instant,
    },
    /// Stopping cleanly.
    Leaving {
        /// When to stop without an answer.
        until: Instant,
        /// Whether this node was the active one.
        was_active: bool,
        /// How far it has come.
        step: LeavingStep,
    },
}

impl State {
    /// Its name.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self {
            Self::Startup { .. } => Phase::Startup,
            Self::Recover { .. } => Phase::Recover,
            Self::Normal { .. } => Phase::Normal,
            Self::CommunicationsInterrupted { .. } => Phase::CommunicationsInterrupted,
            Self::PartnerDown { .. } => Phase::PartnerDown,
            Self::Leaving { .. } => Phase::Leaving,
        }
    }
}

/// What a start that meets nobody resumes in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Resume {
    /// The interrupted rules.
    CommunicationsInterrupted,
    /// Partner-down, which was durable.
    PartnerDown {
        /// Its proof.
        proof: Proof,
        /// From when its waits count.
        from: Instant,
    },
}

/// Whether this node answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// It answers.
    Active,
    /// It is silent.
    Deactivated {
        /// When it is promoted, unless contact is regained.
        until: Instant,
    },
}

/// How far a clean stop has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LeavingStep {
    /// Waiting until everything granted is taken.
    Draining,
    /// The partner has been told.
    Told,
    /// Nothing is left to do.
    Done,
}

/// How far a switchover has come, on the node that is in normal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Handover {
    /// There is none.
    None,
    /// The active node takes no new exchanges and waits for its promises to be taken.
    Draining {
        /// When it is given up.
        until: Instant,
        /// Whether an operator wants it.
        by_operator: bool,
    },
    /// The other node has been told to take over.
    Offered {
        /// When it is given up.
        until: Instant,
        /// Whether an operator wants it.
        by_operator: bool,
    },
}

/// Name of a state, as nodes tell each other and people.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Phase {
    /// See [`State::Startup`].
    Startup,
    /// See [`State::Recover`].
    Recover,
    /// See [`State::Normal`].
    Normal,
    /// See [`State::CommunicationsInterrupted`].
    CommunicationsInterrupted,
    /// See [`State::PartnerDown`].
    PartnerDown,
    /// See [`State::Leaving`].
    Leaving,
}

impl Phase {
    /// Every one there is.
    pub const ALL: [Self; 6] =
        [Self::Startup, Self::Recover, Self::Normal, Self::CommunicationsInterrupted, Self::PartnerDown, Self::Leaving];

    /// As written everywhere.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Startup => "startup",
            Self::Recover => "recover",
            Self::Normal => "normal",
            Self::CommunicationsInterrupted => "communications-interrupted",
            Self::PartnerDown => "partner-down",
            Self::Leaving => "leaving",
        }
    }

    /// Whether a relationship may go from this state to `next`, or stay: the arrows of the diagram.
    #[must_use]
    pub fn leads_to(self, next: Self) -> bool {
        use Phase::{CommunicationsInterrupted, Leaving, Normal, PartnerDown, Recover, Startup};
        match (self, next) {
            (Startup, Startup | Recover | CommunicationsInterrupted | PartnerDown)
            | (Recover, Startup | Recover | Normal)
            | (Normal, Normal | CommunicationsInterrupted | PartnerDown | Leaving)
            | (CommunicationsInterrupted, CommunicationsInterrupted | Normal | Recover | PartnerDown)
            | (PartnerDown, PartnerDown | CommunicationsInterrupted)
            | (Leaving, Leaving | PartnerDown) => true,
            (Startup, Normal | Leaving)
            | (Recover, CommunicationsInterrupted | PartnerDown | Leaving)
            | (Normal, Startup | Recover)
            | (CommunicationsInterrupted, Startup | Leaving)
            | (PartnerDown, Startup | Recover | Normal | Leaving)
            | (Leaving, Startup | Recover | Normal | CommunicationsInterrupted) => false,
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

labelled! {
    /// Why the partner is believed not to serve.
    Proof {
        /// The partner said so before it stopped, and everything it granted is taken.
        CleanLeave = "clean-leave",
        /// A person promises that the partner is off and stays off until it has synced again.
        Operator = "operator",
        /// A fence command has turned its machine off.
        Fenced = "fenced",
        /// `auto_partner_down`: a guess, not a proof.
        Timer = "timer",
    }
}
