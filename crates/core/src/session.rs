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
    /// When any of the state above changed, or the speaker was lost or came back; see
    /// [`Session::moment`].
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

    /// When its state changes if it does so at `now`. Nodes have different clocks, and two commands
    /// may come in one millisecond; whoever hears of both must still know which one holds.
    pub fn moment(&self, now: Millis) -> Moment {
        let after = self.last_state_change;
        Moment { after, at: now.max(after + Millis(1)) }
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

/// When a session's state changes. Its moments only ever grow, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// When it had changed last, as the rule saw it.
    pub after: Millis,
    /// When it changes now; becomes `last_state_change`.
    pub at: Millis,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn changed_at(last_state_change: Millis) -> Session {
        Session {
            id: SessionId::parse("faithful-shepherd-427").unwrap(),
            owner: UserId::parse("ann").unwrap(),
            source_language: Language::parse("en").unwrap(),
            quality: QualityTier::Standard,
            created_at: Millis::ZERO,
            expires_at: Millis::from_mins(120),
            paused: false,
            muted: false,
            last_state_change,
            speaker: Speaker::Lost { until: Millis::from_mins(1) },
            listeners: 0,
        }
    }

    #[test]
    fn the_moments_of_a_session_only_grow_whatever_the_clock_says() {
        // When it changed last, now, when it changes.
        let cases = [
            (1_000, 6_000, 6_000),
            (1_000, 1_001, 1_001),
            (1_000, 1_000, 1_001),
            (1_000, 999, 1_001),
            (1_000, 0, 1_001),
        ];
        for (after, now, at) in cases {
            let expected = Moment { after: Millis(after), at: Millis(at) };
            assert_eq!(changed_at(Millis(after)).moment(Millis(now)), expected, "{now}");
        }
    }
}
