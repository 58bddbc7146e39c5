//! A session: one speaker, any number of listeners, until it ends.

use crate::connection::ConnectionId;
use crate::language::Language;
use crate::session_id::SessionId;
use crate::stamp::Millis;
use crate::text::UserId;

/// A session that has not ended. One that has is simply no longer there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// What people say aloud to join.
    pub id: SessionId,
    /// The user who made it; nobody else may speak in it.
    pub owner: UserId,
    /// The speaker's language, the floor.
    pub source_language: Language,
    /// What the speaker asked of the translation.
    pub quality: QualityTier,
    /// When it was made.
    pub created_at: Millis,
    /// When it ends by itself.
    pub expires_at: Millis,
    /// The speaker's own command; see [`Session::broadcast_state`] for what listeners are told.
    pub paused: bool,
    /// The speaker's own command.
    pub muted: bool,
    /// When any of the state above changed, or the speaker was lost or came back.
    pub last_state_change: Millis,
    /// Where the speaker is.
    pub speaker: Speaker,
    /// How many listeners are members. Always the truth.
    pub listeners: u32,
}

impl Session {
    /// Whether its time is over, whatever a store's own clean-up does.
    pub fn is_expired(&self, now: Millis) -> bool {
        self.expires_at <= now
    }

    /// What everybody is told: a session without its speaker is paused.
    pub fn broadcast_state(&self) -> BroadcastState {
        BroadcastState {
            is_paused: self.paused || matches!(self.speaker, Speaker::Lost { .. }),
            is_muted: self.muted,
            last_state_change: self.last_state_change,
        }
    }

    /// Whether this connection is the one that speaks.
    pub fn is_spoken_by(&self, connection: &ConnectionId) -> bool {
        matches!(&self.speaker, Speaker::Present(present) if present == connection)
    }
}

/// Where a session's speaker is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Speaker {
    /// On this connection.
    Present(ConnectionId),
    /// Gone without a word, and awaited until then.
    Lost {
        /// When the session ends if nobody is back.
        until: Millis,
    },
}

/// Whether the audio flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BroadcastState {
    /// Paused by the speaker, or the speaker is lost.
    pub is_paused: bool,
    /// Muted by the speaker.
    pub is_muted: bool,
    /// When one of the two changed last.
    pub last_state_change: Millis,
}

impl BroadcastState {
    /// Whether audio is let through.
    pub const fn is_live(&self) -> bool {
        !self.is_paused && !self.is_muted
    }
}

/// What the speaker asks of the translation behind the session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QualityTier {
    /// The default.
    #[default]
    Standard,
    /// The better and dearer one.
    Premium,
}

impl QualityTier {
    /// The only way in.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "standard" => Some(Self::Standard),
            "premium" => Some(Self::Premium),
            _ => None,
        }
    }

    /// Its name on the wire and in stores.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Premium => "premium",
        }
    }
}
