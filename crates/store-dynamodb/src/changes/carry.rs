//! A listener's member moves to another connection.

use ambo_core::{Connection, ConnectionId, Language, Millis};

use super::{Plan, retune};
use crate::look::{Look, Place};
use crate::rows::{connection_item, millis, text};
use crate::tally::Tally;
use crate::write::{Table, Write};

pub(super) fn sighted(from: &ConnectionId, to: &Connection, now: Millis, look: &Look) -> Plan {
    let session = &to.session;
    let there = look.listener(&to.id, session);
    let Some(old) = look.listener(from, session) else {
        let is_repetition = there.is_some_and(|there| there.role == to.role);
        return if is_repetition { Plan::DONE } else { Plan::STALE };
    };
    let (Some(was), Some(target)) = (old.role.target(), to.role.target()) else {
        return Plan::STALE;
    };
    if look.session(session).is_none_or(|session| session.is_expired(now)) {
        return Plan::STALE;
    }
    let mut tally = Tally::default();
    let mut writes = Vec::new();
    if *from != to.id {
        writes.push(retune::pinned(Write::delete(Table::Connections, from.as_str()), session, was));
        tally = tally.leave(was);
    }
    match there.and_then(|there| there.role.target()) {
        Some(present) => {
            writes.push(onto(to, present, target));
            tally = tally.leave(present).enter(target);
        }
        None => match look.place(&to.id) {
            Place::Taken => return Plan::STALE,
            Place::Fading => return Plan::Wait,
            Place::Free => {
                writes.push(Write::put(Table::Connections, connection_item(to)));
                tally = tally.enter(target);
            }
        },
    }
    writes.push(tally.write(session).when("#endsAt > :now").with(":now", millis(now)));
    Plan::Write(writes)
}

/// Two members become one: of the one that stays, only the language and the age change.
fn onto(to: &Connection, present: Language, target: Language) -> Write {
    let set = "SET #targetLanguage = :target, #joinedAt = :joinedAt";
    let write = Write::update(Table::Connections, to.id.as_str(), set);
    retune::pinned(write, &to.session, present)
        .with(":target", text(target.as_str()))
        .with(":joinedAt", millis(to.joined_at))
}
