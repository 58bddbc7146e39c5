//! A listener becomes a member and is counted.

use ambo_core::{Connection, Millis};

use super::{Plan, retune};
use crate::look::{Look, Place};
use crate::rows::{connection_item, millis, number};
use crate::tally::Tally;
use crate::write::{Table, Write};

pub(super) fn blind(connection: &Connection, max: u32, now: Millis) -> Plan {
    let Some(target) = connection.role.target() else { return Plan::STALE };
    let count = Tally::default().enter(target).write(&connection.session);
    Plan::Write(vec![
        Write::put(Table::Connections, connection_item(connection)),
        count
            .when("#endsAt > :now AND #listenerCount < :max")
            .with(":now", millis(now))
            .with(":max", number(max)),
    ])
}

pub(super) fn sighted(connection: &Connection, max: u32, now: Millis, look: &Look) -> Plan {
    let Some(target) = connection.role.target() else { return Plan::STALE };
    if look.listener(&connection.id, &connection.session).is_some() {
        // It counts once, and hears what it asked for last.
        return retune::sighted(&connection.id, &connection.session, target, look);
    }
    let has_place = look
        .session(&connection.session)
        .is_some_and(|session| !session.is_expired(now) && session.listeners < max);
    match look.place(&connection.id) {
        Place::Taken => Plan::STALE,
        _ if !has_place => Plan::STALE,
        Place::Fading => Plan::Wait,
        Place::Free => blind(connection, max, now),
    }
}
