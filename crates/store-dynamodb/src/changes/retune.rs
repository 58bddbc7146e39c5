//! A listener changes its language.

use ambo_core::{ConnectionId, Language, SessionId};

use super::Plan;
use crate::look::Look;
use crate::rows::text;
use crate::tally::Tally;
use crate::write::{Table, Write};

pub(super) fn sighted(
    connection: &ConnectionId,
    session: &SessionId,
    target: Language,
    look: &Look,
) -> Plan {
    let listener = look.listener(connection, session);
    let Some(was) = listener.and_then(|listener| listener.role.target()) else {
        return Plan::STALE;
    };
    if was == target {
        return Plan::DONE;
    }
    let set = "SET #targetLanguage = :target";
    let write = Write::update(Table::Connections, connection.as_str(), set);
    Plan::Write(vec![
        pinned(write, session, was).with(":target", text(target.as_str())),
        Tally::default().leave(was).enter(target).write(session),
    ])
}

/// A write on a listener's row, good only while it is of this session and hears this language:
/// the counts are changed by what it heard.
pub(super) fn pinned(write: Write, session: &SessionId, language: Language) -> Write {
    write
        .when("#sessionId = :session AND #targetLanguage = :language")
        .with(":session", text(session.as_str()))
        .with(":language", text(language.as_str()))
}
