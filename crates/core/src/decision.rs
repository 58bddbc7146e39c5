//! What a rule decides: a change, and what follows once it holds.

use alloc::vec::Vec;

use crate::change::Change;
use crate::connection::ConnectionId;
use crate::language::Language;
use crate::notice::{Notice, Status};
use crate::session::{BroadcastState, QualityTier};
use crate::session_id::SessionId;
use crate::stamp::Millis;

/// What is to be done, and told once it is done. The empty decision does nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// What the store must take, if anything.
    pub change: Option<Change>,
    /// The answer to the one who asked.
    pub reply: Option<Reply>,
    /// What others are told, in this order.
    pub notices: Vec<Notice>,
    /// What the connection may do with audio from here on.
    pub grant: Option<Grant>,
}

/// The answer to an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A session was made.
    Created {
        /// Its id.
        session: SessionId,
        /// The floor's language.
        source_language: Language,
        /// What was asked of the translation.
        quality: QualityTier,
        /// The speaker's connection.
        connection: ConnectionId,
        /// When it ends by itself.
        expires_at: Millis,
    },
    /// A listener is in.
    Joined {
        /// The session.
        session: SessionId,
        /// The floor's language.
        source_language: Language,
        /// The listener's.
        target: Language,
        /// The listener's connection.
        connection: ConnectionId,
        /// Whether the audio flows.
        state: BroadcastState,
    },
    /// The speaker goes on here.
    SpeakerRefreshed {
        /// The session.
        session: SessionId,
        /// The floor's language.
        source_language: Language,
        /// The speaker's connection.
        connection: ConnectionId,
        /// Whether the audio flows.
        state: BroadcastState,
    },
    /// A listener goes on here.
    ListenerRefreshed {
        /// The session.
        session: SessionId,
        /// The floor's language.
        source_language: Language,
        /// The listener's.
        target: Language,
        /// The listener's connection.
        connection: ConnectionId,
    },
    /// The heartbeat was heard.
    HeartbeatAck,
    /// The broadcast is in this state.
    State {
        /// The session.
        session: SessionId,
        /// Its state.
        state: BroadcastState,
    },
    /// The language was changed.
    LanguageChanged {
        /// The session.
        session: SessionId,
        /// The listener's language.
        target: Language,
        /// The floor's.
        source_language: Language,
    },
    /// Who listens.
    Status(Status),
}

/// What a connection may do with audio. The hub checks it; no rule sees a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grant {
    /// Speak on the floor.
    Speak {
        /// In which session.
        session: SessionId,
        /// The floor's language.
        language: Language,
        /// Whether the audio flows.
        state: BroadcastState,
    },
    /// Hear a channel.
    Hear {
        /// Of which session.
        session: SessionId,
        /// The floor's language.
        floor: Language,
        /// The listener's.
        target: Language,
        /// Where to go on from, for one that was here before.
        after: Option<u32>,
        /// Whether the audio flows.
        state: BroadcastState,
    },
}
