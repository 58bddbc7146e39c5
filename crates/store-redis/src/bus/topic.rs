//! What can be published to, and what is heard of it.

use std::fmt;

use ambo_core::{Language, SessionId};
use bytes::Bytes;

use crate::{Engine, NodeId};

/// A stream of entries in one order. One session's topics lie in one slot of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// What is spoken in a channel.
    Audio {
        /// The session.
        session: SessionId,
        /// The channel's language.
        language: Language,
    },
    /// What decoders of a channel must know first: the last is kept however old it is.
    Configuration {
        /// The session.
        session: SessionId,
        /// The channel's language.
        language: Language,
    },
    /// What everybody in a session is told.
    Session(SessionId),
    /// What one node, or one connection on it, is told.
    Node(NodeId),
}

impl Topic {
    /// The key of its stream, and the channel on which its entries are told.
    pub(super) fn key(&self, engine: &Engine) -> String {
        match self {
            Self::Audio { session, language } => {
                engine.key(format_args!("{{{session}}}:audio:{language}"))
            }
            Self::Configuration { session, language } => {
                engine.key(format_args!("{{{session}}}:configuration:{language}"))
            }
            Self::Session(session) => engine.key(format_args!("{{{session}}}:notices")),
            Self::Node(node) => engine.key(format_args!("node:{{{node}}}:inbox")),
        }
    }

    /// Every key: its stream, and what is known of those who publish to it.
    pub(crate) fn keys(&self, engine: &Engine) -> [String; 2] {
        let stream = self.key(engine);
        let publishers = publishers(&stream);
        [stream, publishers]
    }

    /// What decides where on a cluster it lies.
    pub(super) fn tag(&self) -> &str {
        match self {
            Self::Audio { session, .. }
            | Self::Configuration { session, .. }
            | Self::Session(session) => session.as_str(),
            Self::Node(node) => node.as_str(),
        }
    }
}

/// The key of how far those who publish to a stream have come.
pub(super) fn publishers(stream: &str) -> String {
    format!("{stream}:by")
}

/// The place of an entry in its topic. Rises within a topic, with gaps.
///
/// That of an audio entry is its sequence and a one; that of any other is made by the engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId(pub u64, pub u64);

impl EntryId {
    /// Before every entry.
    pub const START: EntryId = EntryId(0, 0);

    /// The place of an audio frame with this sequence.
    pub const fn of_sequence(sequence: u32) -> Self {
        Self(sequence as u64, 1)
    }

    /// The only way in from the engine: `1700000000000-0`.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let (first, second) = std::str::from_utf8(text).ok()?.split_once('-')?;
        Some(Self(first.parse().ok()?, second.parse().ok()?))
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.0, self.1)
    }
}

/// One thing that was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where.
    pub topic: Topic,
    /// Its place there.
    pub id: EntryId,
    /// What. Its form is the affair of those who publish and hear it.
    pub payload: Bytes,
}

/// From where on a topic is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// From what is kept; of audio no more than the history span and size.
    Kept,
    /// From what is kept and comes after this entry; audio as above.
    After(EntryId),
    /// From now on.
    Now,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_its_text_and_is_ordered() {
        let id = EntryId(1_700_000_000_000, 3);
        assert_eq!(EntryId::parse(id.to_string().as_bytes()), Some(id));
        assert!(EntryId::of_sequence(9) < EntryId::of_sequence(10));
        for bad in ["", "1", "-", "1-", "-1", "a-1", "1-1-1"] {
            assert_eq!(EntryId::parse(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
