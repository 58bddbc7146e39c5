//! Guarded domain changes: all that can be done to a store.
//!
//! A change is applied whole or not at all, its guard is checked inside, and repeating an applied
//! change is harmless. When its guard fails, what the rule saw is stale and it decides again.
//!
//! Every guard holds this too: a connection is a member of one session at most, and in one role.
//! A change that would make it a second time what it already is elsewhere is stale, so that no
//! member is ever taken from its session silently.

use crate::bucket::Bucket;
use crate::connection::{Connection, ConnectionId};
use crate::language::Language;
use crate::session::{Moment, Session, Speaker};
use crate::session_id::SessionId;
use crate::stamp::Millis;
use crate::text::{Secret, UserId};

/// A change, with its guard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Makes a session and its speaker's connection, or neither.
    /// Guard: no session has this id; or it is this very session by this very connection.
    Open {
        /// The session; its speaker is present on `connection`.
        session: Session,
        /// The speaker's connection.
        connection: Connection,
    },
    /// Makes a listener a member and counts it.
    /// Guard: the session is there, unexpired at `now`, and has fewer than `max` listeners.
    /// A connection that is already a listener of this session counts once, keeps its record and
    /// its place, and takes the language asked for.
    Admit {
        /// The listener's connection.
        connection: Connection,
        /// Places in the session.
        max: u32,
        /// The moment of the guard.
        now: Millis,
    },
    /// Makes `connection` the speaker's, drops the record of the one before, extends the session
    /// (never shortens it).
    /// Guard: the session is there, unexpired, belongs to `owner`, and its speaker is `was`. If the
    /// speaker is lost, the state has not changed since `moment.after`.
    Attach {
        /// The speaker's new connection (or its present one, which stays).
        connection: Connection,
        /// Who must own the session.
        owner: UserId,
        /// Where the speaker was.
        was: Speaker,
        /// When the session expires from now on.
        expires_at: Millis,
        /// The moment of the guard.
        now: Millis,
        /// Of the change of state, which only a speaker makes that was lost.
        moment: Moment,
    },
    /// Moves a listener's member to another connection; the count stays. When `to` is itself a
    /// listener of the session already, two members become one and the count falls by one; of its
    /// record only the language and the member's age change.
    /// Guard: the session is there and unexpired, and `from` is a listener of it (or `to` already
    /// is, in its language, and `from` is gone: a repetition).
    Move {
        /// The connection that is replaced; its record goes.
        from: ConnectionId,
        /// The connection that replaces it.
        to: Connection,
        /// The moment of the guard.
        now: Millis,
    },
    /// Notes a sign of life or of age on a connection's row.
    /// Guard: the connection is there, was seen last at `was_seen`, and is not told or warned a
    /// second time (or the row is as this very change leaves it: a repetition).
    Touch {
        /// Which connection.
        connection: ConnectionId,
        /// What the rule saw.
        was_seen: Millis,
        /// The new sign of life.
        seen_at: Millis,
        /// What is left of its limit on heartbeats.
        beats: Bucket,
        /// Set when it is told to refresh now; `None` leaves what is there.
        told: Option<Secret>,
        /// Set when it is warned now; `false` leaves what is there.
        warned: bool,
        /// Set when a speaker's sign of life extends its session; never shortens it.
        extend: Option<(SessionId, Millis)>,
    },
    /// Changes a listener's language. Guard: the connection is a listener of the session.
    Retune {
        /// Which connection.
        connection: ConnectionId,
        /// Of which session.
        session: SessionId,
        /// Its language from now on.
        target: Language,
    },
    /// Pauses, resumes, mutes or unmutes.
    /// Guard: the session is there, spoken by `connection`, and its flags are those of `was` since
    /// `moment.after` (or those of `becomes` since `moment.at`: a repetition).
    Steer {
        /// Which session.
        session: SessionId,
        /// The speaker's connection.
        connection: ConnectionId,
        /// What the rule saw: paused, muted.
        was: (bool, bool),
        /// What holds from now on: paused, muted.
        becomes: (bool, bool),
        /// Of the change.
        moment: Moment,
    },
    /// Removes a listener's member and counts it off.
    /// Guard: none; where there is no such member nothing happens.
    Drop {
        /// Which connection.
        connection: ConnectionId,
        /// Of which session.
        session: SessionId,
    },
    /// Drops a speaker's connection and awaits the speaker.
    /// Guard: the session is spoken by `connection`, and its state has not changed since
    /// `moment.after` (or it awaits its speaker until `until`, and the connection's record is gone: a
    /// repetition). One that was replaced meanwhile is stale, else listeners would hear of the loss
    /// of a speaker who is there.
    Lose {
        /// Which session.
        session: SessionId,
        /// The speaker's lost connection.
        connection: ConnectionId,
        /// Until when it is awaited.
        until: Millis,
        /// Of the change.
        moment: Moment,
    },
    /// Ends a session: from here on nothing of it can be seen, joined or counted.
    /// Guard: see [`EndGuard`]; of a session that is not there, there is nothing to be done.
    End {
        /// Which session.
        session: SessionId,
        /// What must still be so.
        guard: EndGuard,
    },
}

/// What must still be so when a session ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndGuard {
    /// The speaker is on this connection.
    SpokenBy(ConnectionId),
    /// It has expired at this moment.
    ExpiredAt(Millis),
    /// The speaker is lost and was awaited until this moment or less.
    GraceOverAt(Millis),
    /// The session is there.
    Present,
}

impl EndGuard {
    /// Whether it holds of a session: the same for every store that can ask in process.
    pub fn holds(&self, session: &Session) -> bool {
        match self {
            Self::SpokenBy(connection) => session.is_spoken_by(connection),
            Self::ExpiredAt(now) => session.is_expired(*now),
            Self::GraceOverAt(now) => {
                matches!(session.speaker, Speaker::Lost { until } if until <= *now)
            }
            Self::Present => true,
        }
    }
}

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It holds, now or since an earlier call.
    Done,
    /// Its guard failed and nothing was changed: look again and decide again.
    Stale,
}

impl Change {
    /// Its name in metrics and logs.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Open { .. } => "open",
            Self::Admit { .. } => "admit",
            Self::Attach { .. } => "attach",
            Self::Move { .. } => "move",
            Self::Touch { .. } => "touch",
            Self::Retune { .. } => "retune",
            Self::Steer { .. } => "steer",
            Self::Drop { .. } => "drop",
            Self::Lose { .. } => "lose",
            Self::End { .. } => "end",
        }
    }
}
