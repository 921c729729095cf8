//! Configurations cross as text. What a text says is read by whoever gets it, so here it stays a text.

use super::vocabulary::{counter, name};
use super::{DecodeError, Frame, at_most, decode_all, required};
use crate::proto::{self, configuration_message};
use standfast_core::configuration::{Act, Configuration};
use standfast_core::id::{NodeName, Revision, Sequence};
use standfast_core::message::{ConfigurationMessage, PeerMessage, Reading};
use standfast_core::stored::ConfigurationRecord;
use standfast_core::time::Wall;

/// The longest cluster file, in bytes.
pub const MAX_TEXT: usize = 4 << 20;
/// The longest name, reason or word of an operator.
const MAX_WORDS: usize = 64 << 10;
/// A cluster has at most so many nodes.
const MAX_NODES: usize = 4096;
/// More older revisions than a node keeps.
const MAX_OLDER: usize = 1024;

/// A revision whose text is to be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Text {
    /// Which.
    pub revision: Revision,
    /// Whose act made it one.
    pub act: Act,
    /// The cluster file.
    pub text: String,
}

/// A message with a text that is to be read before it is one for the core.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unread {
    /// The text.
    pub text: Text,
    role: Role,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Role {
    Proposal { number: u64 },
    Older,
    Revision { proposal: Option<u64> },
}

impl Unread {
    /// The message, once its text has been read.
    #[must_use]
    pub fn read(self, reading: Reading) -> PeerMessage {
        PeerMessage::Configuration(match self.role {
            Role::Proposal { number } => ConfigurationMessage::Proposal { number, reading },
            Role::Older => ConfigurationMessage::Older(reading),
            Role::Revision { proposal } => ConfigurationMessage::Revision { reading, proposal },
        })
    }
}

/// What the store holds of configurations, to be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredTexts {
    /// In use.
    pub current: Text,
    /// Earlier ones that other nodes may still use.
    pub older: Vec<Text>,
    /// The latest that each other node was known to use.
    pub held: Vec<(NodeName, Revision)>,
    /// The write that stored this.
    pub sequence: Sequence,
}

impl From<&Act> for proto::Act {
    fn from(act: &Act) -> Self {
        Self { who: act.who.clone(), why: act.why.clone(), when_ms: act.when.0 }
    }
}

impl TryFrom<proto::Act> for Act {
    type Error = DecodeError;
    fn try_from(act: proto::Act) -> Result<Self, DecodeError> {
        at_most("Act.who", act.who.len(), MAX_WORDS)?;
        at_most("Act.why", act.why.len(), MAX_WORDS)?;
        Ok(Self { who: act.who, why: act.why, when: Wall(act.when_ms) })
    }
}

impl From<&Configuration> for proto::ConfigurationText {
    fn from(configuration: &Configuration) -> Self {
        Self {
            revision: Some(configuration.revision.clone().into()),
            act: Some((&configuration.act).into()),
            text: configuration.text.to_string(),
        }
    }
}

impl TryFrom<proto::ConfigurationText> for Text {
    type Error = DecodeError;
    fn try_from(text: proto::ConfigurationText) -> Result<Self, DecodeError> {
        at_most("ConfigurationText.text", text.text.len(), MAX_TEXT)?;
        Ok(Self {
            revision: required("ConfigurationText.revision", text.revision)?.try_into()?,
            act: text.act.unwrap_or_default().try_into()?,
            text: text.text,
        })
    }
}

/// Nobody sends a configuration that could not be read, so one is `None`.
pub(super) fn message_to_proto(message: ConfigurationMessage) -> Option<proto::ConfigurationMessage> {
    use configuration_message::Message as M;
    let text = |reading: Reading| reading.ok().map(|configuration| (&*configuration).into());
    let message = match message {
        ConfigurationMessage::Proposal { number, reading } => {
            M::Proposal(proto::Proposal { number, configuration: Some(text(reading)?) })
        }
        ConfigurationMessage::Verdict { number, refusal, down } => {
            let down = down.iter().map(ToString::to_string).collect();
            M::Verdict(proto::ProposalVerdict { number, refusal, down })
        }
        ConfigurationMessage::Older(reading) => M::Older(text(reading)?),
        ConfigurationMessage::Revision { reading, proposal } => {
            M::Revision(proto::OfferedRevision { configuration: Some(text(reading)?), proposal })
        }
        ConfigurationMessage::Held(revision) => M::Held(revision.into()),
    };
    Some(proto::ConfigurationMessage { message: Some(message) })
}

/// A message for the core, or one whose text is to be read first.
pub(super) fn message_from_proto(message: proto::ConfigurationMessage) -> Result<Frame, DecodeError> {
    use configuration_message::Message as M;
    let unread = |text: proto::ConfigurationText, role| Ok(Frame::Unread(Unread { text: text.try_into()?, role }));
    let read = |message| Ok(Frame::Message(PeerMessage::Configuration(message)));
    let Some(message) = message.message else { return Ok(Frame::Unknown) };
    match message {
        M::Proposal(proposal) => {
            let number = counter("Proposal.number", proposal.number)?;
            unread(required("Proposal.configuration", proposal.configuration)?, Role::Proposal { number })
        }
        M::Verdict(verdict) => {
            at_most("ProposalVerdict.refusal", verdict.refusal.as_ref().map_or(0, String::len), MAX_WORDS)?;
            let down =
                decode_all("ProposalVerdict.down", verdict.down, MAX_NODES, |node| name("ProposalVerdict.down", node))?;
            let number = counter("ProposalVerdict.number", verdict.number)?;
            read(ConfigurationMessage::Verdict { number, refusal: verdict.refusal, down })
        }
        M::Older(text) => unread(text, Role::Older),
        M::Revision(offered) => {
            let role = Role::Revision { proposal: offered.proposal };
            unread(required("OfferedRevision.configuration", offered.configuration)?, role)
        }
        M::Held(revision) => read(ConfigurationMessage::Held(revision.try_into()?)),
    }
}

pub(super) fn record_to_proto(record: &ConfigurationRecord) -> proto::StoredConfiguration {
    let held = |(node, revision): &(NodeName, Revision)| proto::HeldRevision {
        node: node.to_string(),
        revision: Some(revision.clone().into()),
    };
    proto::StoredConfiguration {
        current: Some((&*record.current).into()),
        older: record.older.iter().map(|older| (&**older).into()).collect(),
        held: record.held.iter().map(held).collect(),
        sequence: record.sequence.0,
    }
}

pub(super) fn texts_from_proto(stored: proto::StoredConfiguration) -> Result<StoredTexts, DecodeError> {
    let held = |held: proto::HeldRevision| {
        let revision = required("HeldRevision.revision", held.revision)?.try_into()?;
        Ok((name("HeldRevision.node", held.node)?, revision))
    };
    Ok(StoredTexts {
        current: required("StoredConfiguration.current", stored.current)?.try_into()?,
        older: decode_all("StoredConfiguration.older", stored.older, MAX_OLDER, Text::try_from)?,
        held: decode_all("StoredConfiguration.held", stored.held, MAX_NODES, held)?,
        sequence: Sequence(counter("StoredConfiguration.sequence", stored.sequence)?),
    })
}
