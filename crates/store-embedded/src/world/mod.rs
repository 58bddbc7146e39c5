//! All sessions and their members, in memory. Every method is one step under one lock.
//!
//! A session whose `Open` or `End` is being written to disk is in between:
//! - one that is *opening* has its id and its connection reserved and cannot be seen;
//! - one that is *ending* is seen and joined as before, since the end may yet fail; but what
//!   would contradict the end that was decided (`Attach`, `Lose`, another `End`) waits for it.
//!
//! *Invariant*: a connection id is a member of one session at most.

mod apply;
mod room;

use std::collections::{BTreeSet, BinaryHeap, HashMap};

use ambo_app::ports::{Page, Totals};
use ambo_core::rules::{OfSession, Seen, Wanted};
use ambo_core::{
    Applied, Change, Connection, ConnectionId, EndGuard, Millis, Role, Session, SessionId,
};
use room::{Room, Waiters};
use tokio::sync::oneshot;

/// All sessions.
#[derive(Default)]
pub(crate) struct World {
    rooms: HashMap<SessionId, Room>,
    /// Where each connection is a member, or is about to be as the speaker of a reserved session.
    homes: HashMap<ConnectionId, SessionId>,
    opening: HashMap<SessionId, Opening>,
    /// Every room by the moment at which time ends it.
    deadlines: BTreeSet<(Millis, SessionId)>,
    listeners: u64,
}

/// A session that is being written for the first time.
struct Opening {
    connection: ConnectionId,
    waiters: Waiters,
}

/// What became of a change in memory.
pub(crate) enum Step {
    /// It is settled; what changed of a session that lasts on disk is given.
    Settled(Applied, Option<Lasting>),
    /// It must be written first: reserved or marked, and waiting for the writer's word.
    Write,
    /// Somebody else's write must be settled first.
    Busy(oneshot::Receiver<()>),
}

/// What of a session outlives the process and can change while it lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lasting {
    pub(crate) id: SessionId,
    pub(crate) expires_at: Millis,
    pub(crate) paused: bool,
    pub(crate) muted: bool,
    pub(crate) changed_at: Millis,
}

impl Step {
    const DONE: Self = Self::Settled(Applied::Done, None);
    const STALE: Self = Self::Settled(Applied::Stale, None);
}

impl World {
    pub(crate) fn load(&self, wanted: &Wanted) -> Seen {
        let own = wanted.own.as_ref().and_then(|id| self.connection(id));
        let room = match &wanted.session {
            OfSession::No => None,
            OfSession::Named(id) => self.rooms.get(id),
            OfSession::Own => own.and_then(|own| self.rooms.get(&own.session)),
            OfSession::OwnIfSpeaker => own
                .filter(|own| own.role == Role::Speaker)
                .and_then(|own| self.rooms.get(&own.session)),
        };
        let named = wanted.named.as_ref().and_then(|id| self.connection(id));
        let told = wanted.told.as_ref().filter(|_| named.is_none());
        let told = told.and_then(|told| self.rooms.get(&told.session)?.longest_told(told));
        let languages = room.filter(|_| wanted.languages).map(Room::languages);
        Seen {
            session: room.map(|room| room.session.clone()),
            own: own.cloned(),
            named: named.cloned(),
            told: told.cloned(),
            languages: languages.unwrap_or_default(),
        }
    }

    pub(crate) fn members(&self, session: &SessionId, page: Page<'_>) -> Vec<Connection> {
        self.rooms.get(session).map_or_else(Vec::new, |room| room.page(page.after, page.limit))
    }

    /// The first `limit` of the sessions that are due, in order of their ids.
    pub(crate) fn due(
        &self,
        now: Millis,
        after: Option<&SessionId>,
        limit: usize,
    ) -> Vec<SessionId> {
        let is_due = |(deadline, _): &&(Millis, SessionId)| *deadline <= now;
        let due = self.deadlines.iter().take_while(is_due).map(|(_, id)| id);
        // The smallest so far, the greatest of them on top: one pass, and no more than a page.
        let mut page = BinaryHeap::with_capacity(limit.saturating_add(1).min(1_024));
        for id in due.filter(|id| after.is_none_or(|after| *id > after)) {
            page.push(id);
            if page.len() > limit {
                page.pop();
            }
        }
        page.into_sorted_vec().into_iter().cloned().collect()
    }

    pub(crate) fn totals(&self) -> Totals {
        Totals { sessions: self.rooms.len() as u64, listeners: self.listeners }
    }

    /// Brings back a session that was stored.
    pub(crate) fn restore(&mut self, session: Session) {
        self.place(Room::new(session, None));
    }

    /// The first half of [`Change::Open`].
    pub(crate) fn reserve(&mut self, session: &Session, connection: &Connection) -> Step {
        if let Some(opening) = self.opening.get_mut(&session.id) {
            return if opening.connection == connection.id {
                Step::Busy(opening.waiters.wait())
            } else {
                Step::STALE
            };
        }
        if let Some(room) = self.rooms.get(&session.id) {
            let there = &room.session;
            let is_repetition = there.is_spoken_by(&connection.id)
                && there.owner == session.owner
                && there.created_at == session.created_at;
            return if is_repetition { Step::DONE } else { Step::STALE };
        }
        if self.homes.contains_key(&connection.id)
            || connection.session != session.id
            || !session.is_spoken_by(&connection.id)
        {
            return Step::STALE;
        }
        self.homes.insert(connection.id.clone(), session.id.clone());
        let opening = Opening { connection: connection.id.clone(), waiters: Waiters::default() };
        self.opening.insert(session.id.clone(), opening);
        Step::Write
    }

    /// The second half: it is written and can be seen.
    pub(crate) fn open(&mut self, session: Session, connection: Connection) {
        self.opening.remove(&session.id);
        self.place(Room::new(session, Some(connection)));
    }

    /// The second half, if it could not be written: nothing was.
    pub(crate) fn unreserve(&mut self, session: &SessionId) {
        if let Some(opening) = self.opening.remove(session) {
            self.homes.remove(&opening.connection);
        }
    }

    /// The first half of [`Change::End`].
    pub(crate) fn begin_end(&mut self, session: &SessionId, guard: &EndGuard) -> Step {
        let Some(room) = self.rooms.get_mut(session) else { return Step::DONE };
        if let Some(waiters) = &mut room.ending {
            return Step::Busy(waiters.wait());
        }
        if !guard.holds(&room.session) {
            return Step::STALE;
        }
        room.ending = Some(Waiters::default());
        Step::Write
    }

    /// The second half: it is written, and nothing of the session is left.
    pub(crate) fn end(&mut self, session: &SessionId) {
        let Some(room) = self.rooms.remove(session) else { return };
        self.deadlines.remove(&(room.deadline(), session.clone()));
        self.listeners -= u64::from(room.session.listeners);
        for member in room.member_ids() {
            self.homes.remove(member);
        }
    }

    /// The second half, if it could not be written: the session goes on as it was.
    pub(crate) fn go_on(&mut self, session: &SessionId) {
        if let Some(room) = self.rooms.get_mut(session) {
            room.ending = None;
        }
    }

    /// Applies a change that needs no write before it holds.
    pub(crate) fn apply(&mut self, change: &Change) -> Step {
        let session = match change {
            Change::Open { session, connection } => return self.reserve(session, connection),
            Change::End { session, guard } => return self.begin_end(session, guard),
            Change::Admit { connection, .. } | Change::Attach { connection, .. } => {
                &connection.session
            }
            Change::Move { to, .. } => &to.session,
            Change::Touch { connection, .. } => match self.homes.get(connection) {
                Some(session) => &session.clone(),
                None => return Step::STALE,
            },
            Change::Retune { session, .. }
            | Change::Steer { session, .. }
            | Change::Drop { session, .. }
            | Change::Lose { session, .. } => session,
        };
        let Some(room) = self.rooms.get_mut(session) else {
            // A member of what is not there is gone already; everything else looks again.
            let is_drop = matches!(change, Change::Drop { .. });
            return if is_drop { Step::DONE } else { Step::STALE };
        };
        let (deadline, listeners) = (room.deadline(), room.session.listeners);
        let step = apply::to_room(room, &mut self.homes, change);
        self.listeners = self.listeners - u64::from(listeners) + u64::from(room.session.listeners);
        if room.deadline() != deadline {
            self.deadlines.remove(&(deadline, session.clone()));
            self.deadlines.insert((room.deadline(), session.clone()));
        }
        step
    }

    fn place(&mut self, room: Room) {
        let id = room.session.id.clone();
        self.deadlines.insert((room.deadline(), id.clone()));
        self.rooms.insert(id, room);
    }

    fn connection(&self, id: &ConnectionId) -> Option<&Connection> {
        self.rooms.get(self.homes.get(id)?)?.member(id)
    }
}
