//! What happens to a connection or a session, parsed at the edge.

use alloc::boxed::Box;
use alloc::string::String;

use crate::connection::{ConnectionId, RefreshToken};
use crate::language::Language;
use crate::refusal::Refusal;
use crate::session::QualityTier;
use crate::session_id::SessionId;
use crate::stamp::{Millis, Stamp};
use crate::text::SourceAddress;

/// Something a client did, as it came in.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The connection it came on.
    pub connection: ConnectionId,
    /// Where that comes from.
    pub source: SourceAddress,
    /// How it came.
    pub via: Via,
    /// The token that came with it, unverified.
    pub token: Option<Token>,
    /// What is asked, or why that could not be understood.
    pub intent: Intent,
    /// When, and with which randomness.
    pub stamp: Stamp,
}

impl Arrival {
    /// The server's own look at a session's time. No connection stands behind it.
    pub fn of_session(session: SessionId, stamp: Stamp) -> Self {
        Self {
            connection: ConnectionId::nobody(),
            source: SourceAddress::from_bytes([0; 16]),
            via: Via::Server,
            token: None,
            intent: Ok(Event::Expire { session }),
            stamp,
        }
    }
}

/// What is asked, or why that could not be understood.
pub type Intent = Result<Event, Refusal>;

/// How an event came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// In the query of a new connection.
    Connect,
    /// As a message on an open one.
    Message,
    /// From the server itself: a closed socket, a timer.
    Server,
}

/// A bearer token nobody has verified yet. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(pub Box<str>);

impl core::fmt::Debug for Token {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Everything that can happen in the life of a connection or a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A speaker makes a session.
    Create {
        /// The floor's language.
        source_language: Language,
        /// What is asked of the translation.
        quality: QualityTier,
    },
    /// A listener joins.
    Join {
        /// Which session.
        session: SessionId,
        /// In which language.
        target: Language,
    },
    /// A speaker takes up a session on this connection.
    RefreshSpeaker {
        /// Which session.
        session: SessionId,
    },
    /// A listener goes on on this connection.
    RefreshListener {
        /// Which session.
        session: SessionId,
        /// In which language.
        target: Language,
        /// What proves which listener it is.
        token: Option<RefreshToken>,
        /// The last frame it heard.
        last_sequence: Option<u32>,
    },
    /// A sign of life.
    Heartbeat,
    /// The speaker pauses, resumes, mutes or unmutes.
    Control {
        /// Which of these.
        command: Command,
        /// Shown to listeners.
        message: Option<ShownText>,
    },
    /// A listener changes to another language.
    ChangeLanguage {
        /// The session the listener believes to be in, if it said so.
        session: Option<SessionId>,
        /// Which.
        target: Language,
    },
    /// The speaker asks who is listening.
    Status,
    /// The speaker ends the session.
    End {
        /// Shown to listeners.
        reason: Option<ShownText>,
    },
    /// The connection is gone.
    Disconnect(Departure),
    /// The connection's age is to be looked at.
    Age,
    /// The node is being drained; the connection is to move.
    Drain {
        /// When it is closed.
        deadline: Millis,
    },
    /// The session's time, or its speaker's grace, may be over.
    Expire {
        /// Which session.
        session: SessionId,
    },
    /// The operator ends the session.
    Close {
        /// Which session.
        session: SessionId,
    },
}

impl Event {
    /// Its name in logs and metrics.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Create { .. } => "createSession",
            Self::Join { .. } => "joinSession",
            Self::RefreshSpeaker { .. } | Self::RefreshListener { .. } => "refreshConnection",
            Self::Heartbeat => "heartbeat",
            Self::Control { .. } => "controlSession",
            Self::ChangeLanguage { .. } => "changeLanguage",
            Self::Status => "getSessionStatus",
            Self::End { .. } => "endSession",
            Self::Disconnect(_) => "disconnect",
            Self::Age => "age",
            Self::Drain { .. } => "drain",
            Self::Expire { .. } => "expire",
            Self::Close { .. } => "close",
        }
    }
}

/// What the speaker can do to the broadcast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Stop the audio for a while.
    Pause,
    /// Let it flow again.
    Resume,
    /// Silence the microphone.
    Mute,
    /// Open it again.
    Unmute,
}

impl Command {
    /// The only way in.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "pause" => Some(Self::Pause),
            "resume" => Some(Self::Resume),
            "mute" => Some(Self::Mute),
            "unmute" => Some(Self::Unmute),
            _ => None,
        }
    }
}

/// How a connection went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Departure {
    /// With a close frame that says so (1000, 1001).
    Clean,
    /// Without a word.
    Lost,
}

/// A text by the speaker that listeners are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownText(String);

impl ShownText {
    /// The longest text, in characters.
    pub const MAX_CHARS: usize = 280;

    /// The only way in.
    pub fn parse(text: &str) -> Option<Self> {
        (text.chars().count() <= Self::MAX_CHARS).then(|| Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
