//! The connections that are open here, and a desk for each of their sessions.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use ambo_core::notice::EndReason;
use ambo_core::rules::StatusPulse;
use ambo_core::{BroadcastState, ConnectionId, Millis, Session, SessionId, SourceAddress};
use ambo_hub::Outlet;
use bytes::Bytes;
use parking_lot::Mutex;

/// One open connection, as everybody but its own reading task sees it.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) id: ConnectionId,
    pub(crate) session: SessionId,
    pub(crate) is_speaker: bool,
    pub(crate) source: SourceAddress,
    pub(crate) outlet: Arc<Outlet>,
    pub(crate) opened_at: Millis,
    /// When anything was last read from it.
    pub(crate) heard_at: AtomicU64,
    /// When it was last pinged.
    pub(crate) pinged_at: AtomicU64,
    /// What it has been told for its age: 1 to refresh, 2 the warning, 3 both.
    pub(crate) age_told: AtomicU8,
    /// When its member moved to another connection; 0 while it is a member's own.
    pub(crate) retired_at: AtomicU64,
}

impl Live {
    /// Notes that its member is not, or no longer, its own.
    pub(crate) fn retire(&self, now: Millis) {
        let (free, order) = (0, Ordering::Relaxed);
        // Only the first time counts; the exchange fails when there was one.
        let _ = self.retired_at.compare_exchange(free, now.0, order, order);
    }
}

/// All that is open here.
#[derive(Debug, Default)]
pub(crate) struct Lives {
    by_id: Mutex<HashMap<ConnectionId, Arc<Live>>>,
    desks: Mutex<HashMap<SessionId, Desk>>,
}

/// What is known here of a session beside what the store and the hub hold.
#[derive(Debug)]
struct Desk {
    state: BroadcastState,
    speaker: Option<Arc<Live>>,
    pulse: StatusPulse,
    ended: Option<Ended>,
    /// Since when the store does not know the session, if it does not.
    missed_since: Option<Millis>,
    /// The session as the store had it last, where its speaker is connected here.
    record: Option<Box<Session>>,
}

/// How a session ended, for a connection that was let in just before.
#[derive(Clone, Debug)]
struct Ended {
    at: Millis,
    message: Bytes,
}

/// An ended session's desk is kept so long: longer than anybody may take from being let in to
/// being seated, which the handshake's time limit bounds.
const KEEP_ENDED: Millis = Millis::from_secs(120);

impl Lives {
    /// Enters a connection once its socket is open. If it is the speaker's and its session has
    /// ended since it was let in, nobody has told it: says what to tell.
    pub(crate) fn enter(&self, live: Arc<Live>) -> Option<Bytes> {
        let mut ended = None;
        if live.is_speaker
            && let Some(desk) = self.desks.lock().get_mut(&live.session)
        {
            desk.speaker = Some(Arc::clone(&live));
            ended = desk.ended.as_ref().map(|ended| ended.message.clone());
        }
        self.by_id.lock().insert(live.id.clone(), live);
        ended
    }

    /// Forgets a connection whose socket is gone.
    pub(crate) fn leave(&self, live: &Live) {
        self.by_id.lock().remove(&live.id);
        if let Some(desk) = self.desks.lock().get_mut(&live.session) {
            desk.speaker.take_if(|speaker| speaker.id == live.id);
        }
    }

    /// An open connection.
    pub(crate) fn find(&self, id: &ConnectionId) -> Option<Arc<Live>> {
        self.by_id.lock().get(id).cloned()
    }

    /// Every open connection.
    pub(crate) fn all(&self) -> Vec<Arc<Live>> {
        self.by_id.lock().values().cloned().collect()
    }

    /// How many connections are open.
    pub(crate) fn len(&self) -> usize {
        self.by_id.lock().len()
    }

    /// Sets up the desk of a session that somebody here is let into; that of an ended one stays as
    /// it is.
    pub(crate) fn open_desk(&self, session: &SessionId, state: BroadcastState, now: Millis) {
        self.desks.lock().entry(session.clone()).or_insert_with(|| Desk {
            state,
            speaker: None,
            pulse: StatusPulse::new(now),
            ended: None,
            missed_since: None,
            record: None,
        });
    }

    /// Forgets that a session with this id has ended: the id was just given to a new one.
    pub(crate) fn renew_desk(&self, session: &SessionId) {
        self.desks.lock().remove(session);
    }

    /// Notes a session's state, unless a later one is noted; says whether it is the latest now.
    /// What is seated from here on is told of it.
    pub(crate) fn note_state(&self, session: &SessionId, state: BroadcastState) -> bool {
        let mut desks = self.desks.lock();
        let Some(desk) = desks.get_mut(session) else { return true };
        let is_latest = state.last_state_change >= desk.state.last_state_change;
        if is_latest {
            desk.state = state;
        }
        is_latest
    }

    /// Whether a state is later than the one noted.
    pub(crate) fn is_news(&self, session: &SessionId, state: BroadcastState) -> bool {
        let desks = self.desks.lock();
        let known = desks.get(session).map(|desk| desk.state.last_state_change);
        known.is_none_or(|known| state.last_state_change > known)
    }

    /// The state to tell a newcomer who was decided on when it was `decided`.
    pub(crate) fn latest_state(
        &self,
        session: &SessionId,
        decided: BroadcastState,
    ) -> BroadcastState {
        let desks = self.desks.lock();
        let known = desks.get(session).map(|desk| desk.state);
        known.filter(|known| known.last_state_change > decided.last_state_change).unwrap_or(decided)
    }

    /// Notes that a session has ended, before anybody is told. Says who spoke in it.
    pub(crate) fn end_desk(
        &self,
        session: &SessionId,
        message: Bytes,
        now: Millis,
    ) -> Option<Arc<Live>> {
        let mut desks = self.desks.lock();
        let desk = desks.entry(session.clone()).or_insert_with(|| Desk {
            state: BroadcastState { is_paused: true, is_muted: true, last_state_change: now },
            speaker: None,
            pulse: StatusPulse::new(now),
            ended: None,
            missed_since: None,
            record: None,
        });
        desk.ended = Some(Ended { at: now, message });
        desk.speaker.take()
    }

    /// How a session ended, if it has.
    pub(crate) fn ended(&self, session: &SessionId) -> Option<Bytes> {
        let desks = self.desks.lock();
        desks.get(session)?.ended.as_ref().map(|ended| ended.message.clone())
    }

    /// Drops the desks of sessions that ended a while ago.
    pub(crate) fn tidy(&self, now: Millis) {
        let is_kept =
            |desk: &Desk| desk.ended.as_ref().is_none_or(|ended| now.since(ended.at) < KEEP_ENDED);
        self.desks.lock().retain(|_, desk| is_kept(desk));
    }

    /// Every session that has not ended, as far as is known here.
    pub(crate) fn sessions(&self) -> Vec<SessionId> {
        let desks = self.desks.lock();
        let open = desks.iter().filter(|(_, desk)| desk.ended.is_none());
        open.map(|(session, _)| session.clone()).collect()
    }

    /// Notes whether the store still knows a session. When it has been missed for longer than
    /// `patience`, says how it must have ended.
    pub(crate) fn miss(
        &self,
        session: &SessionId,
        is_missed: bool,
        now: Millis,
        patience: Millis,
    ) -> Option<EndReason> {
        let mut desks = self.desks.lock();
        let desk = desks.get_mut(session).filter(|desk| desk.ended.is_none())?;
        if !is_missed {
            desk.missed_since = None;
            return None;
        }
        let since = *desk.missed_since.get_or_insert(now);
        let reason = match desk.speaker {
            Some(_) => EndReason::SpeakerEnded,
            None => EndReason::SpeakerLost,
        };
        (now > since && now.since(since) >= patience).then_some(reason)
    }

    /// Keeps what the store has of a session that is spoken here.
    pub(crate) fn keep_record(&self, session: &Session) {
        if let Some(desk) = self.desks.lock().get_mut(&session.id) {
            desk.record = Some(Box::new(session.clone()));
        }
    }

    /// What the store had of a session that is spoken here.
    pub(crate) fn record(&self, session: &SessionId) -> Option<Session> {
        self.desks.lock().get(session)?.record.as_deref().cloned()
    }

    /// Every session that some connection here belongs to.
    pub(crate) fn occupied(&self) -> HashSet<SessionId> {
        self.by_id.lock().values().map(|live| live.session.clone()).collect()
    }

    /// Forgets a session that goes on without anybody here.
    pub(crate) fn forget_desk(&self, session: &SessionId) {
        self.desks.lock().remove(session);
    }

    /// Every speaker that is connected here.
    pub(crate) fn speakers(&self) -> Vec<Arc<Live>> {
        self.desks.lock().values().filter_map(|desk| desk.speaker.clone()).collect()
    }

    /// Lets `look` at the pulse of a session's status.
    pub(crate) fn with_pulse<R>(
        &self,
        session: &SessionId,
        look: impl FnOnce(&mut StatusPulse) -> R,
    ) -> Option<R> {
        self.desks.lock().get_mut(session).map(|desk| look(&mut desk.pulse))
    }
}
