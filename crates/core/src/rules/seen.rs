//! What an event must see before it can be decided.

use alloc::vec::Vec;

use crate::connection::{Connection, ConnectionId, RefreshToken, Role};
use crate::event::Event;
use crate::language::Language;
use crate::refusal::Refusal;
use crate::session::Session;
use crate::session_id::SessionId;
use crate::stamp::Millis;
use crate::text::SourceAddress;

/// What is to be loaded: nothing that is not asked for here is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The session.
    pub session: OfSession,
    /// The record of the connection itself.
    pub own: Option<ConnectionId>,
    /// The connection that a refresh token names.
    pub named: Option<ConnectionId>,
    /// A connection that may be the one refreshed; need not be read when `named` is found.
    pub told: Option<Told>,
    /// Listeners of the session by language.
    pub languages: bool,
}

/// Which session is to be loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OfSession {
    /// None.
    #[default]
    No,
    /// This one.
    Named(SessionId),
    /// That of the connection's own record.
    Own,
    /// The same, if the connection is a speaker's: a listener's heartbeat touches one row.
    OwnIfSpeaker,
}

/// A listener that was told to refresh: the longest told, where there are several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Its session.
    pub session: SessionId,
    /// Where it comes from.
    pub source: SourceAddress,
    /// Its language.
    pub target: Language,
}

/// What was there. An ended session is not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The session, if it was asked for and is there.
    pub session: Option<Session>,
    /// The connection's own record.
    pub own: Option<Connection>,
    /// The connection that a refresh token names.
    pub named: Option<Connection>,
    /// A connection that may be the one refreshed.
    pub told: Option<Connection>,
    /// Listeners by language, in order of language.
    pub languages: Vec<(Language, u32)>,
}

impl Seen {
    /// The connection that a refreshing listener takes over, if it has shown which.
    pub(super) fn replaced(
        &self,
        session: &SessionId,
        token: Option<&RefreshToken>,
    ) -> Option<&Connection> {
        let of_session = |connection: &&Connection| {
            connection.session == *session && connection.role.target().is_some()
        };
        let proven = |named: &&Connection| {
            token.is_some_and(|token| {
                token.connection == named.id && named.told == Some(token.secret)
            })
        };
        let by_token = self.named.as_ref().filter(of_session).filter(proven);
        by_token.or_else(|| self.told.as_ref().filter(of_session))
    }

    /// The session asked for, if its time is not over.
    pub(super) fn live(&self, id: &SessionId, now: Millis) -> Result<&Session, Refusal> {
        let live = self.session.as_ref().filter(|session| !session.is_expired(now));
        live.ok_or_else(|| Refusal::SessionNotFound { session: id.clone() })
    }

    /// The refusal of a connection that is a member already, but not as a listener of this session.
    pub(super) fn must_be_free_for(&self, session: &SessionId) -> Result<(), Refusal> {
        let is_elsewhere = |own: &Connection| own.session != *session || own.role == Role::Speaker;
        let is_taken = self.own.as_ref().is_some_and(is_elsewhere);
        if is_taken { Err(Refusal::Forbidden) } else { Ok(()) }
    }

    /// The connection's own record, or the refusal for one that has none.
    pub(super) fn own(&self) -> Result<&Connection, Refusal> {
        self.own.as_ref().ok_or(Refusal::ConnectionNotFound)
    }

    /// The session that the connection speaks in.
    pub(super) fn spoken(&self) -> Result<(&Connection, &Session), Refusal> {
        let own = self.own()?;
        match (own.role, &self.session) {
            (Role::Speaker, Some(session)) if session.is_spoken_by(&own.id) => Ok((own, session)),
            (Role::Speaker, _) => Err(Refusal::ConnectionNotFound),
            (Role::Listener { .. }, _) => Err(Refusal::Forbidden),
        }
    }
}

/// What an event must see.
pub fn wanted(event: &Event, connection: &ConnectionId, source: SourceAddress) -> Wanted {
    let own = || Some(connection.clone());
    match event {
        Event::Create { .. } => Wanted::default(),
        Event::Join { session, .. } | Event::RefreshSpeaker { session } => {
            Wanted { session: OfSession::Named(session.clone()), own: own(), ..Wanted::default() }
        }
        Event::RefreshListener { session, target, token, .. } => Wanted {
            session: OfSession::Named(session.clone()),
            own: own(),
            named: token.as_ref().map(|token| token.connection.clone()),
            told: Some(Told { session: session.clone(), source, target: *target }),
            languages: false,
        },
        Event::Heartbeat => {
            Wanted { session: OfSession::OwnIfSpeaker, own: own(), ..Wanted::default() }
        }
        Event::Control { .. }
        | Event::ChangeLanguage { .. }
        | Event::End { .. }
        | Event::Disconnect(_) => {
            Wanted { session: OfSession::Own, own: own(), ..Wanted::default() }
        }
        Event::Status => {
            Wanted { session: OfSession::Own, own: own(), languages: true, ..Wanted::default() }
        }
        Event::Age | Event::Drain { .. } => Wanted { own: own(), ..Wanted::default() },
        Event::Expire { session } | Event::Close { session } => {
            Wanted { session: OfSession::Named(session.clone()), ..Wanted::default() }
        }
    }
}
