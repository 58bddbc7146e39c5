//! The speaker pauses, resumes, mutes or unmutes.

use ambo_core::Change;
use aws_sdk_dynamodb::types::AttributeValue;

use super::Plan;
use crate::look::Look;
use crate::rows::{ACTIVE, millis, text};
use crate::write::{Table, Write};

pub(super) fn blind(change: &Change) -> Plan {
    let Change::Steer { session, connection, was, becomes, moment } = change else {
        return Plan::STALE;
    };
    let set = "SET #isPaused = :paused, #isMuted = :muted, #lastStateChange = :at";
    let write = Write::update(Table::Sessions, session.as_str(), set)
        .when("#status = :active AND #speakerConnectionId = :speaker")
        .when("#isPaused = :wasPaused AND #isMuted = :wasMuted AND #lastStateChange = :after")
        .with(":active", text(ACTIVE))
        .with(":speaker", text(connection.as_str()))
        .with(":wasPaused", AttributeValue::Bool(was.0))
        .with(":wasMuted", AttributeValue::Bool(was.1))
        .with(":paused", AttributeValue::Bool(becomes.0))
        .with(":muted", AttributeValue::Bool(becomes.1))
        .with(":after", millis(moment.after))
        .with(":at", millis(moment.at));
    Plan::Write(vec![write])
}

pub(super) fn sighted(change: &Change, look: &Look) -> Plan {
    let Change::Steer { session, connection, was, becomes, moment } = change else {
        return Plan::STALE;
    };
    let there = look.session(session).filter(|session| session.is_spoken_by(connection));
    let Some(there) = there else { return Plan::STALE };
    let is = (there.paused, there.muted);
    let since = there.last_state_change;
    if is == *becomes && since == moment.at {
        return Plan::DONE;
    }
    if is == *was && since == moment.after { blind(change) } else { Plan::STALE }
}
