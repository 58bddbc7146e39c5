//! A session and its speaker's connection, or neither.

use ambo_core::{Connection, Session};

use super::Plan;
use crate::look::{Look, Place};
use crate::rows::{connection_item, session_item};
use crate::write::{Table, Write};

pub(super) fn blind(session: &Session, connection: &Connection) -> Plan {
    if connection.session != session.id || !session.is_spoken_by(&connection.id) {
        return Plan::STALE;
    }
    Plan::Write(vec![
        Write::put(Table::Sessions, session_item(session)),
        Write::put(Table::Connections, connection_item(connection)),
    ])
}

pub(super) fn sighted(session: &Session, connection: &Connection, look: &Look) -> Plan {
    if let Some(there) = look.session(&session.id) {
        let is_repetition = there.is_spoken_by(&connection.id)
            && there.owner == session.owner
            && there.created_at == session.created_at;
        return if is_repetition { Plan::DONE } else { Plan::STALE };
    }
    if look.row(&session.id).is_some() {
        return Plan::STALE;
    }
    match look.place(&connection.id) {
        Place::Taken => Plan::STALE,
        Place::Fading => Plan::Wait,
        Place::Free => blind(session, connection),
    }
}
