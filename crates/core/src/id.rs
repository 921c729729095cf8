//! Names and numbers, each a type of its own so that they cannot be mixed up.

use std::fmt;
use std::sync::Arc;

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as configured.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl From<&str> for $name {
            fn from(name: &str) -> Self {
                Self(name.into())
            }
        }
        impl From<String> for $name {
            fn from(name: String) -> Self {
                Self(name.into())
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// A node of the cluster, as the cluster file names it.
    NodeName
);
name!(
    /// A relationship: two nodes paired for a set of scopes.
    RelationshipName
);
name!(
    /// A scope: one IPv4 subnet with its pools.
    ScopeName
);

/// One of the two places of a relationship, given to its nodes once and stored with it. The last bit of an address is
/// the slot of its home, so that no configuration change moves a home.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Slot {
    /// Home of the even addresses.
    Zero,
    /// Home of the odd addresses.
    One,
}

impl Slot {
    /// The slot of the other node.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Zero => Self::One,
            Self::One => Self::Zero,
        }
    }

    /// 0 or 1.
    #[must_use]
    pub fn index(self) -> usize {
        match self {
            Self::Zero => 0,
            Self::One => 1,
        }
    }
}

/// Rises with each change of the active node of a relationship. Two nodes cannot tie: the slot decides.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Epoch {
    /// Rises by at least one with each change.
    pub number: u64,
    /// The node that took it.
    pub slot: Slot,
}

impl Epoch {
    /// Of a relationship in which nobody has served yet.
    pub const INITIAL: Self = Self { number: 0, slot: Slot::Zero };

    /// The next epoch, taken by the node of `slot`.
    #[must_use]
    pub fn next(self, slot: Slot) -> Self {
        Self { number: self.number + 1, slot }
    }
}

/// Number of a write of this node; writes are persisted in this order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Sequence(pub u64);

/// Drawn at random at each start of a node. A partner that remembers one which the store does not list has found a
/// store that went back in time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Incarnation(pub u64);

/// One pair of streams between two nodes; messages of an earlier session are dropped.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Session(pub u64);

/// Revision of the cluster's configuration. The node breaks ties between revisions made apart.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Revision {
    /// Rises with each applied change; the file that starts a cluster is 1.
    pub number: u64,
    /// Where it was applied.
    pub node: NodeName,
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.number, self.node)
    }
}
