//! A member goes on on another connection.

use alloc::vec::Vec;

use super::join::{admit, hear, must_serve};
use super::{Actor, Seen, Terms};
use crate::change::Change;
use crate::connection::{Connection, RefreshToken, Role};
use crate::decision::{Decision, Grant, Reply};
use crate::language::Language;
use crate::notice::{Audience, Notice, Tidings, Turn};
use crate::refusal::{Refusal, Unauthorized};
use crate::session::{Session, Speaker};
use crate::session_id::SessionId;

/// The speaker takes up the session on this connection.
pub(super) fn speaker(
    session: &SessionId,
    actor: &Actor<'_>,
    terms: &Terms,
    seen: &Seen,
) -> Result<Decision, Refusal> {
    let anonymous = Refusal::Unauthorized(Unauthorized::AuthenticationRequired);
    let user = actor.user.ok_or(anonymous)?;
    let now = actor.stamp.now;
    let session = seen.live(session, now)?;
    let is_elsewhere = |own: &Connection| own.session != session.id || own.role != Role::Speaker;
    if session.owner != *user || seen.own.as_ref().is_some_and(is_elsewhere) {
        return Err(Refusal::Forbidden);
    }
    let connection = seen.own.clone().unwrap_or_else(|| {
        let id = actor.connection.clone();
        Connection::new(id, session.id.clone(), Role::Speaker, actor.source, now)
    });
    let change = Change::Attach {
        connection,
        owner: user.clone(),
        was: session.speaker.clone(),
        expires_at: now + terms.limits.session_max_duration,
        now,
        moment: session.moment(now),
    };
    let after = attached(session, actor);
    let state = after.broadcast_state();
    Ok(Decision {
        change: Some(change),
        reply: Some(Reply::SpeakerRefreshed {
            session: after.id.clone(),
            source_language: after.source_language,
            connection: actor.connection.clone(),
            state,
        }),
        notices: speaker_notices(session, &after, actor),
        grant: Some(Grant::Speak {
            session: after.id.clone(),
            language: after.source_language,
            state,
        }),
    })
}

/// The session once the speaker is on this connection.
fn attached(session: &Session, actor: &Actor<'_>) -> Session {
    let last_state_change = match session.speaker {
        Speaker::Lost { .. } => session.moment(actor.stamp.now).at,
        Speaker::Present(_) => session.last_state_change,
    };
    Session {
        speaker: Speaker::Present(actor.connection.clone()),
        last_state_change,
        ..session.clone()
    }
}

/// Listeners hear that a lost speaker is back; the connection that is replaced is retired.
fn speaker_notices(before: &Session, after: &Session, actor: &Actor<'_>) -> Vec<Notice> {
    match &before.speaker {
        Speaker::Present(old) if old == actor.connection => Vec::new(),
        Speaker::Present(old) => {
            let audience = Audience::Connection(old.clone());
            Vec::from([Notice { audience, tidings: Tidings::Superseded }])
        }
        Speaker::Lost { .. } => {
            let turn = if after.paused { Turn::Paused } else { Turn::Resumed };
            let state = after.broadcast_state();
            let audience = Audience::Listeners(after.id.clone());
            let tidings = Tidings::Broadcast { turn, state, message: None };
            Vec::from([Notice { audience, tidings }])
        }
    }
}

/// What a refreshing listener asks for.
pub(super) struct Asked<'a> {
    pub(super) session: &'a SessionId,
    pub(super) target: Language,
    pub(super) token: Option<&'a RefreshToken>,
    pub(super) after: Option<u32>,
}

/// A listener goes on on this connection, or joins if nobody can tell which one it was.
pub(super) fn listener(
    asked: &Asked<'_>,
    actor: &Actor<'_>,
    terms: &Terms,
    seen: &Seen,
) -> Result<Decision, Refusal> {
    let session = seen.live(asked.session, actor.stamp.now)?;
    seen.must_be_free_for(&session.id)?;
    must_serve(asked.target, session, terms)?;
    let (change, notices) = match (replaced(asked, seen), &seen.own) {
        (Some(old), own) => take_over(old, own.as_ref(), asked.target, actor),
        (None, Some(own)) => (retune(own, asked.target), Vec::new()),
        (None, None) => (Some(admit(session, asked.target, actor, terms, seen)?), Vec::new()),
    };
    let reply = Reply::ListenerRefreshed {
        session: session.id.clone(),
        source_language: session.source_language,
        target: asked.target,
        connection: actor.connection.clone(),
    };
    let grant = Some(hear(session, asked.target, asked.after));
    Ok(Decision { change, reply: Some(reply), notices, grant })
}

/// The other connection whose member moves here. A connection that is a member itself takes over
/// only what its token names: a neighbour's connection is not its own former one.
fn replaced<'a>(asked: &Asked<'_>, seen: &'a Seen) -> Option<&'a Connection> {
    let replaced = seen.replaced(asked.session, asked.token)?;
    match &seen.own {
        None => Some(replaced),
        Some(own) => {
            let is_named = asked.token.is_some_and(|token| token.connection == replaced.id);
            (is_named && own.id != replaced.id).then_some(replaced)
        }
    }
}

fn take_over(
    old: &Connection,
    own: Option<&Connection>,
    target: Language,
    actor: &Actor<'_>,
) -> (Option<Change>, Vec<Notice>) {
    let now = actor.stamp.now;
    let role = Role::Listener { target };
    let made = || {
        let id = actor.connection.clone();
        Connection::new(id, old.session.clone(), role, actor.source, now)
    };
    let base = own.cloned().unwrap_or_else(made);
    let to = Connection { role, joined_at: old.joined_at, ..base };
    let audience = Audience::Connection(old.id.clone());
    let notices = Vec::from([Notice { audience, tidings: Tidings::Superseded }]);
    (Some(Change::Move { from: old.id.clone(), to, now }), notices)
}

fn retune(own: &Connection, target: Language) -> Option<Change> {
    (own.role.target() != Some(target)).then(|| Change::Retune {
        connection: own.id.clone(),
        session: own.session.clone(),
        target,
    })
}

#[cfg(test)]
#[path = "refresh_tests.rs"]
mod tests;
