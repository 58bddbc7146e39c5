//! The changes of one session: guard and effect, in one step.

use std::collections::HashMap;

use ambo_core::{
    Applied, Change, Connection, ConnectionId, Language, Millis, Moment, Role, SessionId, Speaker,
    UserId,
};

use super::room::Room;
use super::{Lasting, Step};

type Homes = HashMap<ConnectionId, SessionId>;

/// Applies a change to the session it names.
pub(super) fn to_room(room: &mut Room, homes: &mut Homes, change: &Change) -> Step {
    match change {
        // Their callers know them; they need more than a room.
        Change::Open { .. } | Change::End { .. } => Step::STALE,
        Change::Admit { connection, max, now } => admit(room, homes, connection, *max, *now),
        Change::Attach { connection, owner, was, expires_at, now, moment } => {
            let (expires_at, now, moment) = (*expires_at, *now, *moment);
            let attach = Attach { connection, owner, was, expires_at, now, moment };
            attach.apply(room, homes)
        }
        Change::Move { from, to, now } => replace(room, homes, from, to, *now),
        Change::Touch { .. } => touch(room, change),
        Change::Retune { connection, target, .. } => retune(room, connection, *target),
        Change::Steer { connection, was, becomes, moment, .. } => {
            steer(room, connection, *was, *becomes, *moment)
        }
        Change::Drop { connection, .. } => {
            if room.listener(connection).is_some() {
                room.remove(connection);
                homes.remove(connection);
            }
            Step::DONE
        }
        Change::Lose { connection, until, moment, .. } => {
            lose(room, homes, connection, *until, *moment)
        }
    }
}

fn admit(
    room: &mut Room,
    homes: &mut Homes,
    connection: &Connection,
    max: u32,
    now: Millis,
) -> Step {
    let Some(target) = connection.role.target() else { return Step::STALE };
    if room.listener(&connection.id).is_some() {
        room.retune(&connection.id, target);
        return Step::DONE;
    }
    let is_taken = homes.contains_key(&connection.id);
    if is_taken || room.session.is_expired(now) || room.session.listeners >= max {
        return Step::STALE;
    }
    homes.insert(connection.id.clone(), room.session.id.clone());
    room.insert(connection.clone());
    Step::DONE
}

struct Attach<'a> {
    connection: &'a Connection,
    owner: &'a UserId,
    was: &'a Speaker,
    expires_at: Millis,
    now: Millis,
    moment: Moment,
}

impl Attach<'_> {
    fn apply(&self, room: &mut Room, homes: &mut Homes) -> Step {
        if let Some(waiters) = &mut room.ending {
            return Step::Busy(waiters.wait());
        }
        let (id, session) = (&self.connection.id, &room.session);
        let is_there = session.is_spoken_by(id);
        if is_there && session.owner == *self.owner && session.expires_at >= self.expires_at {
            return Step::DONE;
        }
        let is_taken = !is_there && homes.contains_key(id);
        let was_lost = matches!(session.speaker, Speaker::Lost { .. });
        if is_taken
            || (was_lost && session.last_state_change != self.moment.after)
            || self.connection.role != Role::Speaker
            || session.is_expired(self.now)
            || session.owner != *self.owner
            || session.speaker != *self.was
        {
            return Step::STALE;
        }
        if !is_there {
            self.seat(room, homes);
        }
        room.session.expires_at = room.session.expires_at.max(self.expires_at);
        done_lasting(room)
    }

    /// Puts the connection in the speaker's place, and the one before out of it.
    fn seat(&self, room: &mut Room, homes: &mut Homes) {
        let id = &self.connection.id;
        let speaker = Speaker::Present(id.clone());
        match std::mem::replace(&mut room.session.speaker, speaker) {
            Speaker::Present(old) => {
                room.remove(&old);
                homes.remove(&old);
            }
            Speaker::Lost { .. } => room.session.last_state_change = self.moment.at,
        }
        homes.insert(id.clone(), room.session.id.clone());
        room.insert(self.connection.clone());
    }
}

fn replace(
    room: &mut Room,
    homes: &mut Homes,
    from: &ConnectionId,
    to: &Connection,
    now: Millis,
) -> Step {
    let there = room.listener(&to.id);
    if room.listener(from).is_none() {
        let is_repetition = there.is_some_and(|there| there.role == to.role);
        return if is_repetition { Step::DONE } else { Step::STALE };
    }
    let is_there = there.is_some();
    let is_taken = !is_there && homes.contains_key(&to.id);
    let Some(target) = to.role.target() else { return Step::STALE };
    if is_taken || room.session.is_expired(now) {
        return Step::STALE;
    }
    if *from != to.id {
        room.remove(from);
        homes.remove(from);
    }
    if is_there {
        room.retune(&to.id, target);
        room.note(&to.id, |row| row.joined_at = to.joined_at);
    } else {
        homes.insert(to.id.clone(), room.session.id.clone());
        room.insert(to.clone());
    }
    Step::DONE
}

fn touch(room: &mut Room, change: &Change) -> Step {
    let Change::Touch { connection, was_seen, seen_at, beats, told, warned, extend } = change
    else {
        return Step::STALE;
    };
    let Some(row) = room.member(connection) else { return Step::STALE };
    let is_repetition = row.seen_at == *seen_at
        && row.beats == *beats
        && (told.is_none() || row.told == *told)
        && (!warned || row.warned);
    let is_fresh = row.seen_at == *was_seen
        && (told.is_none() || row.told.is_none())
        && (!warned || !row.warned);
    if !is_repetition && !is_fresh {
        return Step::STALE;
    }
    room.note(connection, |row| {
        row.seen_at = *seen_at;
        row.beats = *beats;
        row.told = told.or(row.told);
        row.warned |= warned;
    });
    match extend {
        Some((session, until)) if *session == room.session.id => {
            if room.session.expires_at >= *until {
                return Step::DONE;
            }
            room.session.expires_at = *until;
            done_lasting(room)
        }
        Some(_) | None => Step::DONE,
    }
}

fn retune(room: &mut Room, connection: &ConnectionId, target: Language) -> Step {
    if room.listener(connection).is_none() {
        return Step::STALE;
    }
    room.retune(connection, target);
    Step::DONE
}

fn steer(
    room: &mut Room,
    connection: &ConnectionId,
    was: (bool, bool),
    becomes: (bool, bool),
    moment: Moment,
) -> Step {
    let session = &mut room.session;
    if !session.is_spoken_by(connection) {
        return Step::STALE;
    }
    let is = (session.paused, session.muted);
    let since = session.last_state_change;
    if is == becomes && since == moment.at {
        return Step::DONE;
    }
    if is != was || since != moment.after {
        return Step::STALE;
    }
    (session.paused, session.muted) = becomes;
    session.last_state_change = moment.at;
    done_lasting(room)
}

fn lose(
    room: &mut Room,
    homes: &mut Homes,
    connection: &ConnectionId,
    until: Millis,
    moment: Moment,
) -> Step {
    if let Some(waiters) = &mut room.ending {
        return Step::Busy(waiters.wait());
    }
    let lost = Speaker::Lost { until };
    if room.session.speaker == lost && room.member(connection).is_none() {
        return Step::DONE;
    }
    let is_as_seen = room.session.last_state_change == moment.after;
    if !room.session.is_spoken_by(connection) || !is_as_seen {
        return Step::STALE;
    }
    room.session.speaker = lost;
    room.session.last_state_change = moment.at;
    room.remove(connection);
    homes.remove(connection);
    // Only the moment of it lasts: after a restart every speaker is lost.
    done_lasting(room)
}

fn done_lasting(room: &Room) -> Step {
    let session = &room.session;
    let lasting = Lasting {
        id: session.id.clone(),
        expires_at: session.expires_at,
        paused: session.paused,
        muted: session.muted,
        changed_at: session.last_state_change,
    };
    Step::Settled(Applied::Done, Some(lasting))
}
