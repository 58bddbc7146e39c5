//! What the user is told.

use std::collections::BTreeMap;

use ambo_core::Millis;
use ambo_wire::server_message::State;
use ambo_wire::{AudioFrame, ErrorBody};

use crate::close::CloseReason;
use crate::input::Failure;

/// Something the user may want to know. [`Closed`](Self::Closed) is the last, and comes once.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Speaker: the session is there.
    SessionCreated {
        /// What listeners need.
        session_id: String,
        /// The floor.
        source_language: String,
        /// When the session ends if the speaker gives no sign, in ms since the epoch.
        expires_at: u64,
    },
    /// Speaker: a session that was there already is taken up.
    SessionTaken {
        /// Its id.
        session_id: String,
        /// The floor.
        source_language: String,
        /// Whether its audio flows.
        state: Option<State>,
    },
    /// Listener: there is a seat.
    SessionJoined {
        /// The session.
        session_id: String,
        /// The floor.
        source_language: String,
        /// What will be heard.
        target_language: String,
        /// Whether the audio flows.
        state: State,
    },
    /// Listener: a frame, in order, once.
    Audio(AudioFrame),
    /// Listener: what a decoder must know before the frames that follow.
    Configuration(AudioFrame),
    /// Listener: frames are missing before the next one.
    Gap {
        /// How many.
        frames: u32,
    },
    /// Speaker: who listens.
    Status(Status),
    /// Whether the audio flows. Speaker: what a command has made of the broadcast. Listener: what
    /// it has become while a connection was made, on servers that cannot tell it with the reply.
    State(State),
    /// Listener: the speaker has paused, or is lost and awaited (`reason` is `speakerLost`).
    Paused(Turn),
    /// Listener: the audio flows again.
    Resumed(Turn),
    /// Listener: the microphone is closed.
    Muted(Turn),
    /// Listener: it is open again.
    Unmuted(Turn),
    /// Listener: the language is changed.
    LanguageChanged {
        /// What is heard from now on.
        target_language: String,
    },
    /// The server asked for a new connection, and one is being made. The old one still serves.
    Refreshing {
        /// `age` or `drain`; or `recordLost`, when the server does not know the old one any more.
        reason: String,
    },
    /// The new connection serves; the old one is closed. Nothing was lost.
    Refreshed(Resumed),
    /// The new connection was not to be had. The old one still serves.
    RefreshFailed {
        /// Why.
        failure: Failure,
        /// When it is tried again; never after a refusal that would be the same again.
        retry_in: Option<Millis>,
    },
    /// The connection is lost, or the attempt to come back has failed.
    Reconnecting {
        /// Why.
        failure: Failure,
        /// The first, the second … attempt.
        attempt: u32,
        /// When it will be made.
        retry_in: Millis,
    },
    /// The connection is back.
    Reconnected(Resumed),
    /// The connection cannot come back. [`Closed`](Self::Closed) follows.
    ReconnectFailed {
        /// Why.
        failure: Failure,
    },
    /// The connection is old, and no new one could be had so far.
    Warning {
        /// For people.
        message: String,
        /// Until it is closed.
        remaining_minutes: u64,
    },
    /// The server refused something. The connection stays.
    Error(ErrorBody),
    /// Speaker: frames were not sent. Listener: frames were not taken in time.
    Dropped {
        /// How many.
        frames: u64,
    },
    /// The session is over.
    Ended {
        /// `speakerEnded`, `speakerLost`, `expired` or `closedByOperator`.
        reason: String,
        /// For people.
        message: String,
    },
    /// The client is done.
    Closed(Closed),
}

/// How a member has moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resumed {
    /// Speaker: frames that are sent again. Listener: frames the server sends again.
    pub replayed: u32,
}

/// A turn of the broadcast.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// What holds from now on.
    pub state: State,
    /// The speaker's words.
    pub message: Option<String>,
    /// `speakerLost`, if that is why.
    pub reason: Option<String>,
}

/// Who listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// All of them.
    pub listeners: u32,
    /// The same by language.
    pub languages: BTreeMap<String, u32>,
    /// The age of the session.
    pub duration_secs: u64,
    /// Whether the audio flows.
    pub state: State,
    /// `requested`, `periodic`, `listenerCountChange` or `newLanguage`.
    pub reason: String,
}

/// Why the client is done.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Closed {
    /// The session is over; [`Event::Ended`] said why.
    #[error("the session is over")]
    Ended,
    /// As the user wished.
    #[error("as you wished")]
    Left,
    /// The server closed the connection for a reason that coming back would not mend.
    #[error("{0}")]
    ByServer(CloseReason),
    /// There was never a connection, or none could be had again.
    #[error("{0}")]
    Failed(Failure),
}
