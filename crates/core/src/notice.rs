//! Notices: what others are told because of an event.

use alloc::string::String;
use alloc::vec::Vec;

use crate::connection::{ConnectionId, RefreshToken};
use crate::event::ShownText;
use crate::language::Language;
use crate::session::{BroadcastState, Session};
use crate::session_id::SessionId;
use crate::stamp::Millis;

/// Something to be told, and to whom. Told after the commit and after the reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Whom.
    pub audience: Audience,
    /// What.
    pub tidings: Tidings,
}

/// Who is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audience {
    /// One connection.
    Connection(ConnectionId),
    /// Every listener of a session.
    Listeners(SessionId),
    /// The speaker and every listener of a session.
    Everyone(SessionId),
}

/// What is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tidings {
    /// The broadcast changed.
    Broadcast {
        /// Which way.
        turn: Turn,
        /// What holds now.
        state: BroadcastState,
        /// The speaker's words on it.
        message: Option<ShownText>,
    },
    /// The session is over; the connection closes after it.
    Ended {
        /// Why.
        reason: EndReason,
        /// The speaker's words on it.
        message: Option<ShownText>,
    },
    /// The connection is to be replaced by a new one.
    RefreshRequired(RefreshRequired),
    /// The connection will soon be closed for its age.
    Warning {
        /// Whole minutes until then.
        remaining_minutes: u64,
    },
    /// Another connection took this one's member over. Not told to the client; the server closes
    /// the connection in a while.
    Superseded,
}

/// How the broadcast changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// By the speaker.
    Paused,
    /// By the speaker, or because the speaker is back.
    Resumed,
    /// By the speaker.
    Muted,
    /// By the speaker.
    Unmuted,
    /// The speaker is lost and awaited.
    SpeakerLost,
}

/// The request to replace a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshRequired {
    /// The session of the connection.
    pub session: SessionId,
    /// A listener's language; `None` for the speaker.
    pub target: Option<Language>,
    /// A listener's proof of who it is.
    pub token: Option<RefreshToken>,
    /// Why.
    pub reason: RefreshReason,
    /// When the connection is closed.
    pub deadline: Millis,
}

/// Why a connection is to be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefreshReason {
    /// It grew old.
    Age,
    /// Its node is being drained.
    Drain,
}

impl RefreshReason {
    /// Its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Age => "age",
            Self::Drain => "drain",
        }
    }
}

/// Why a session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// The speaker said so, or left cleanly.
    SpeakerEnded,
    /// The speaker was lost and did not come back.
    SpeakerLost,
    /// Its time was over.
    Expired,
    /// The operator said so.
    ClosedByOperator,
}

impl EndReason {
    /// Its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SpeakerEnded => "speakerEnded",
            Self::SpeakerLost => "speakerLost",
            Self::Expired => "expired",
            Self::ClosedByOperator => "closedByOperator",
        }
    }

    /// What people read where the speaker said nothing.
    pub const fn message(self) -> &'static str {
        match self {
            Self::SpeakerEnded => "The speaker has ended the session.",
            Self::SpeakerLost => "The speaker was disconnected and did not come back.",
            Self::Expired => "The session has reached its end.",
            Self::ClosedByOperator => "The session was closed by the operator.",
        }
    }
}

/// Who listens, for the speaker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The session.
    pub session: SessionId,
    /// Members that listen.
    pub listeners: u32,
    /// How many of them in each language; sums to `listeners`.
    pub languages: Vec<(Language, u32)>,
    /// Since the session was made.
    pub duration: Millis,
    /// Whether the audio flows.
    pub state: BroadcastState,
}

impl Status {
    /// The status of a session with these listeners.
    pub fn of(session: &Session, languages: Vec<(Language, u32)>, now: Millis) -> Self {
        Self {
            session: session.id.clone(),
            listeners: languages.iter().map(|(_, count)| count).sum(),
            languages,
            duration: now.since(session.created_at),
            state: session.broadcast_state(),
        }
    }
}

/// Text shown with a request to refresh.
pub const REFRESH_MESSAGE: &str = "Please open a new connection; this one will be closed.";

/// Text shown with a warning of age.
pub fn warning_message(remaining_minutes: u64) -> String {
    alloc::format!("This connection will be closed in {remaining_minutes} minutes.")
}
