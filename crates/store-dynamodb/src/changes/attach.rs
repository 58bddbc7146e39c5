//! The speaker goes on on another connection, or on the one it has.

use ambo_core::{Change, Connection, Millis, Moment, Role, Speaker, UserId};

use super::Plan;
use crate::look::{Look, Place};
use crate::rows::{ACTIVE, connection_item, expiry_after, millis, text};
use crate::write::{Table, Write};

/// The change, with what it depends on.
struct Attach<'a> {
    connection: &'a Connection,
    owner: &'a UserId,
    was: &'a Speaker,
    expires_at: Millis,
    now: Millis,
    moment: Moment,
}

pub(super) fn blind(change: &Change) -> Plan {
    match Attach::of(change) {
        Some(attach) if attach.connection.role == Role::Speaker => attach.write(Ends::Later),
        Some(_) | None => Plan::STALE,
    }
}

pub(super) fn sighted(change: &Change, look: &Look) -> Plan {
    Attach::of(change).map_or(Plan::STALE, |attach| attach.sighted(look))
}

/// Whether the session is to end later than it would.
enum Ends {
    Later,
    /// It ends later already.
    AsBefore,
}

impl<'a> Attach<'a> {
    fn of(change: &'a Change) -> Option<Self> {
        let Change::Attach { connection, owner, was, expires_at, now, moment } = change else {
            return None;
        };
        let (expires_at, now, moment) = (*expires_at, *now, *moment);
        Some(Self { connection, owner, was, expires_at, now, moment })
    }

    fn sighted(&self, look: &Look) -> Plan {
        let id = &self.connection.id;
        let Some(session) = look.session(&self.connection.session) else { return Plan::STALE };
        let is_there = session.is_spoken_by(id);
        let ends = if session.expires_at < self.expires_at { Ends::Later } else { Ends::AsBefore };
        let is_owner = session.owner == *self.owner;
        if is_there && is_owner && matches!(ends, Ends::AsBefore) {
            return Plan::DONE;
        }
        let place = look.place(id);
        let was_lost = matches!(session.speaker, Speaker::Lost { .. });
        if (!is_there && place == Place::Taken)
            || (was_lost && session.last_state_change != self.moment.after)
            || self.connection.role != Role::Speaker
            || session.is_expired(self.now)
            || !is_owner
            || session.speaker != *self.was
        {
            return Plan::STALE;
        }
        if !is_there && place == Place::Fading {
            return Plan::Wait;
        }
        self.write(ends)
    }

    fn write(&self, ends: Ends) -> Plan {
        let id = &self.connection.id;
        let mut writes = vec![self.session(ends)];
        match self.was {
            Speaker::Present(old) if old == id => return Plan::Write(writes),
            Speaker::Present(old) => writes.push(Write::delete(Table::Connections, old.as_str())),
            Speaker::Lost { .. } => {}
        }
        writes.push(Write::put(Table::Connections, connection_item(self.connection)));
        Plan::Write(writes)
    }

    /// The write on the session's row.
    fn session(&self, ends: Ends) -> Write {
        let mut expression = String::from("SET #speakerConnectionId = :new");
        let mut condition =
            String::from("#status = :active AND #speakerUserId = :owner AND #endsAt > :now AND ");
        if matches!(ends, Ends::Later) {
            expression += ", #endsAt = :endsAt, #expiresAt = :expiresAt";
            condition += "#endsAt <= :endsAt AND ";
        }
        let was = match self.was {
            Speaker::Present(old) => {
                condition += "#speakerConnectionId = :was";
                text(old.as_str())
            }
            Speaker::Lost { until } => {
                expression += ", #lastStateChange = :at REMOVE #speakerAwaitedUntil";
                condition += "#speakerAwaitedUntil = :was AND #lastStateChange = :after";
                millis(*until)
            }
        };
        let write = Write::update(Table::Sessions, self.connection.session.as_str(), expression)
            .when(condition)
            .with(":new", text(self.connection.id.as_str()))
            .with(":was", was)
            .with(":active", text(ACTIVE))
            .with(":owner", text(self.owner.as_str()))
            .with(":now", millis(self.now));
        let write = match self.was {
            Speaker::Present(_) => write,
            Speaker::Lost { .. } => {
                write.with(":after", millis(self.moment.after)).with(":at", millis(self.moment.at))
            }
        };
        match ends {
            Ends::Later => write
                .with(":endsAt", millis(self.expires_at))
                .with(":expiresAt", expiry_after(self.expires_at)),
            Ends::AsBefore => write,
        }
    }
}
