//! A speaker's connection goes and the speaker is awaited.

use ambo_core::{Change, Speaker};

use super::Plan;
use crate::look::Look;
use crate::rows::{ACTIVE, millis, text};
use crate::write::{Table, Write};

pub(super) fn blind(change: &Change) -> Plan {
    let Change::Lose { session, connection, until, moment } = change else { return Plan::STALE };
    let expression = "SET #speakerAwaitedUntil = :until, #lastStateChange = :at \
        REMOVE #speakerConnectionId";
    let awaited = Write::update(Table::Sessions, session.as_str(), expression)
        .when("#status = :active AND #speakerConnectionId = :speaker")
        .when("#lastStateChange = :after")
        .with(":active", text(ACTIVE))
        .with(":speaker", text(connection.as_str()))
        .with(":until", millis(*until))
        .with(":after", millis(moment.after))
        .with(":at", millis(moment.at));
    // The row of a session's speaker is that session's: it needs no condition of its own.
    Plan::Write(vec![awaited, Write::delete(Table::Connections, connection.as_str())])
}

pub(super) fn sighted(change: &Change, look: &Look) -> Plan {
    let Change::Lose { session, connection, until, moment } = change else { return Plan::STALE };
    let Some(there) = look.session(session) else { return Plan::STALE };
    let is_gone = look.member(connection).is_none_or(|member| member.session != *session);
    if there.speaker == (Speaker::Lost { until: *until }) && is_gone {
        return Plan::DONE;
    }
    let is_as_seen = there.last_state_change == moment.after;
    if there.is_spoken_by(connection) && is_as_seen { blind(change) } else { Plan::STALE }
}
