//! Rules that can be switched off, to show that the simulator would notice. Without the feature `mutants` every rule
//! holds and nothing of this is left in the code.

macro_rules! rules {
    ($($(#[$doc:meta])* $rule:ident = $name:literal;)*) => {
        /// A rule of failover.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Rule {
            $($(#[$doc])* $rule,)*
        }

        impl Rule {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$rule,)*];

            /// As the simulator's command line has it.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$rule => $name,)*
                }
            }
        }
    };
}

rules! {
    /// Only its home gives a free address away alone.
    Home = "home";
    /// An ended lease becomes free only by the other node's relinquishing.
    Relinquish = "relinquish";
    /// A relinquishing counts only if it has seen the home's latest.
    RelinquishVersion = "relinquish-version";
    /// Without the partner a promise is bounded.
    LeadTime = "lead-time";
    /// A node that lost its store holds back.
    Embargo = "embargo";
    /// A marked node is silent until it has heard its partner.
    MustHearPartner = "must-hear-partner";
    /// Ready is said when everything is taken.
    ReadyHandshake = "ready-handshake";
    /// Only what is persisted is sent to the partner.
    PersistBeforeSend = "persist-before-send";
    /// In partner-down another's address waits.
    PartnerDownWait = "partner-down-wait";
    /// And a grace longer, as what was promised by it grew on its way to the partner.
    WaitIncludesGrace = "wait-includes-grace";
    /// A client hears of nothing that is not persisted.
    DurableBeforeVisible = "durable-before-visible";
    /// A reply that has waited tells what is left of its lease.
    AnswerAges = "answer-ages";
    /// A deactivated node is silent.
    SilenceGate = "silence-gate";
    /// A version is a pair of counters.
    PairVersion = "pair-version";
    /// Records of which neither has seen the other are merged by the home alone.
    HomeMerges = "home-merges";
    /// A merged result raises the version.
    MergeRaisesVersion = "merge-raises-version";
    /// A declined address stays away for as long as its client may believe in it.
    DeclineKeepsPromise = "decline-keeps-promise";
    /// An extension keeps the larger expiry.
    LargerExpiry = "larger-expiry";
    /// Whoever is promoted takes a new epoch.
    EpochFencing = "epoch-fencing";
    /// After a standstill nothing that queued up is answered.
    PauseDetection = "pause-detection";
    /// While interrupted, what is known of the partner's addresses is no evidence.
    NakEvidence = "nak-evidence";
    /// An address that the partner may have promised before it died, or lost its store, is no client's mistake.
    UnheardPromises = "unheard-promises";
    /// A marked node that an operator sends into partner-down waits for the longest lease.
    FullEmbargo = "full-embargo";
    /// A store that went back in time is noticed.
    RollBackNoticed = "roll-back-noticed";
    /// The highest expiry ever recorded stays through a RELEASE.
    PotentialExpiry = "potential-expiry";
    /// A node's home is the slot in its store, whatever its rank is now.
    HomeOfSlot = "home-of-slot";
    /// Every ACK raises the version.
    AckRaisesVersion = "ack-raises-version";
    /// A record that cannot be read holds its address.
    UnreadableHeld = "unreadable-held";
    /// An acknowledgement counts for what was sent, not for what has become of it.
    AckOfVersion = "ack-of-version";
    /// After a loss that nobody can bound, both nodes hold back everything.
    EmbargoOfBoth = "embargo-of-both";
    /// And neither extends a lease that is over.
    OverIsFrozen = "over-is-frozen";
    /// Time during which a node did not run does not count until it is confirmed.
    TimeNotRun = "time-not-run";
    /// Who does not know how long it was away holds what its partner tells of the same version.
    TimesLearnt = "times-learnt";
    /// Normal is entered when ready was said and heard.
    BothReady = "both-ready";
    /// Ready waits for a noted write, not for an instant at which nothing is under way.
    NotedSequence = "noted-sequence";
    /// Ready covers what was granted until the rights of partner-down ended.
    RightsEndNoted = "rights-end-noted";
    /// An empty store counts its versions from the clock.
    LostCountsFromClock = "lost-counts-from-clock";
    /// The state in a heartbeat is for display.
    HeartbeatShows = "heartbeat-shows";
    /// That two clients were told of an address is reported where it is not certain, too.
    DoubtIsTold = "doubt-is-told";
    /// What a revision changes is given only where the partner's revision allows it too.
    BothRevisions = "both-revisions";
    /// A reserved address is given away from home only once both agreed it free under the revision that made it so.
    ReservationAgreed = "reservation-agreed";
}

#[cfg(feature = "mutants")]
thread_local! {
    static OFF: std::cell::Cell<Option<Rule>> = const { std::cell::Cell::new(None) };
}

/// Switches one rule off in this thread, or none.
#[cfg(feature = "mutants")]
pub fn without(rule: Option<Rule>) {
    OFF.set(rule);
}

/// Whether a rule holds.
#[cfg(feature = "mutants")]
pub(crate) fn holds(rule: Rule) -> bool {
    OFF.get() != Some(rule)
}

/// Whether a rule holds.
#[cfg(not(feature = "mutants"))]
pub(crate) const fn holds(_: Rule) -> bool {
    true
}
