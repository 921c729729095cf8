//! What operators are told: every change of state with its evidence.

use crate::id::{Epoch, RelationshipName};

/// How much an event matters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// Good to know.
    Info,
    /// Look at it today.
    Warning,
    /// Look at it now.
    Alarm,
}

/// Something that happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// Which kind; the number never changes its meaning.
    pub code: Code,
    /// In which relationship, if in one.
    pub relationship: Option<RelationshipName>,
    /// Its epoch.
    pub epoch: Option<Epoch>,
    /// What happened.
    pub what: String,
    /// From what it was concluded.
    pub evidence: String,
    /// Who brought it about, and why they say they did; empty where the node acted by itself.
    pub cause: String,
}

impl Code {
    /// Whether clients can cause events of this kind, as many as they like.
    #[must_use]
    pub fn is_caused_by_clients(self) -> bool {
        matches!(
            self,
            Self::PoolExhausted | Self::Declined | Self::RenewalRefused | Self::ForeignServer | Self::AddressInUse
        )
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $code:ident = $number:literal $name:literal $severity:ident;)*) => {
        /// Kinds of events.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Code {
            $($(#[$doc])* $code,)*
        }
        impl Code {
            /// Every kind there is.
            pub const ALL: &[Self] = &[$(Self::$code),*];
            /// As in `SF1001`.
            #[must_use]
            pub fn code(self) -> String {
                format!("SF{:04}", self.number())
            }
            /// The number in `SFnnnn`.
            #[must_use]
            pub fn number(self) -> u16 {
                match self { $(Self::$code => $number,)* }
            }
            /// A name for people and machines, in the words of the glossary.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$code => $name,)* }
            }
            /// How much it matters.
            #[must_use]
            pub fn severity(self) -> Severity {
                match self { $(Self::$code => Severity::$severity,)* }
            }
        }
    };
}

codes! {
    /// A relationship changed its state.
    StateChanged = 1001 "state_changed" Info;
    /// The standby was promoted.
    Promoted = 1002 "promoted" Warning;
    /// The active node was demoted.
    Demoted = 1003 "demoted" Info;
    /// Contact with the partner was lost.
    ContactLost = 1004 "contact_lost" Warning;
    /// A session with the partner began.
    ContactRegained = 1005 "contact_regained" Info;
    /// A switchover began.
    SwitchoverStarted = 1006 "switchover_started" Info;
    /// A switchover did not complete in time.
    SwitchoverFailed = 1007 "switchover_failed" Warning;
    /// Partner-down was entered on a proof.
    PartnerDownEntered = 1008 "partner_down_entered" Warning;
    /// A promise of partner-down was untrue.
    PromiseBroken = 1009 "promise_broken" Alarm;
    /// A client named the partner as its server while contact is lost.
    PartnerSeenServing = 1010 "partner_seen_serving" Warning;
    /// Automatic promotion is held back, or no longer.
    PauseChanged = 1011 "pause_changed" Info;
    /// The node is silent because it must hear its partner first.
    MustHearPartner = 1012 "must_hear_partner" Alarm;
    /// The node was suspended or starved for too long.
    Paused = 1013 "process_paused" Warning;
    /// A client link is down, or its clients are not heard.
    LinkUnhealthy = 1014 "link_unhealthy" Warning;
    /// The partner keeps missing the replication deadline, or no longer does.
    Lagging = 1015 "partner_lagging" Warning;
    /// A fence command was run.
    Fenced = 1016 "fenced" Warning;
    /// The node left cleanly.
    Left = 1017 "left" Info;
    /// Two clients were told of one address.
    Conflict = 2001 "conflict" Alarm;
    /// No address is left for a client.
    PoolExhausted = 2002 "pool_exhausted" Warning;
    /// A client found its address in use.
    Declined = 2003 "declined" Warning;
    /// A renewal was refused.
    RenewalRefused = 2004 "renewal_refused" Warning;
    /// Another DHCP server answers on the link.
    ForeignServer = 2005 "foreign_server" Warning;
    /// An operator ended a lease.
    LeaseReleased = 2006 "lease_released" Info;
    /// An operator brought leases from another server.
    LeasesImported = 2007 "leases_imported" Info;
    /// An address was found in use before it was offered.
    AddressInUse = 2008 "address_in_use" Warning;
    /// The store was lost or went back in time.
    StoreLost = 3001 "store_lost" Alarm;
    /// A node that lost its store holds back.
    EmbargoStarted = 3002 "embargo_started" Warning;
    /// It no longer does.
    EmbargoEnded = 3003 "embargo_ended" Info;
    /// The store does not take writes, or does again.
    StoreHealth = 3004 "store_health" Alarm;
    /// Records could not be read and were set aside.
    RecordsSetAside = 3005 "records_set_aside" Warning;
    /// The wall clock is behind the store's.
    ClockBehind = 4001 "clock_behind" Warning;
    /// Another revision of the configuration is in use.
    ConfigurationChanged = 4002 "configuration_changed" Info;
    /// The cluster was declared new.
    Initialised = 4003 "initialised" Info;
    /// An operator had the node do something, or was refused.
    OperatorActed = 4004 "operator_acted" Info;
    /// This node's certificate ends soon.
    CertificateEnds = 4005 "certificate_ends" Warning;
    /// Nodes were given different configurations, or a file differs from what is in use.
    ConfigurationDrift = 4006 "configuration_drift" Warning;
    /// This node cannot use the cluster's revision.
    ConfigurationUnreadable = 4007 "configuration_unreadable" Alarm;
    /// The wall clock had been wrong while the node did not run; what it spoilt is mended.
    ClockMended = 4008 "clock_mended" Warning;
}
