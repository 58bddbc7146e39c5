//! The hub: sessions by their ids, and the shards that write for them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use ambo_core::{Language, SessionId};
use bytes::Bytes;
use parking_lot::RwLock;
use tokio::sync::mpsc;

use crate::audio::{Frame, Framing};
use crate::counters::Counters;
use crate::outlet::Outlet;
use crate::session::{Gate, Published, Session, Voice};
use crate::settings::HubSettings;
use crate::shard::{Common, Shard, Worker};
use crate::socket::Socket;
use crate::tick::DeliveryTick;

/// All sessions that are open here.
pub(crate) type Sessions = RwLock<HashMap<SessionId, Arc<Session>>>;

/// Fan-out for all sessions of a server. Dropping it stops its tasks; sockets stay as they are.
#[derive(Debug)]
pub struct Hub {
    sessions: Arc<Sessions>,
    shards: Arc<[Arc<Shard>]>,
    next_shard: AtomicUsize,
    next_number: AtomicU64,
}

/// What a newcomer has heard before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// Nothing: live audio only, after the last codec configuration.
    Live,
    /// All up to this sequence: what came after it is replayed first.
    After(u32),
}

/// The session is not open here: it never was, or has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the session is not open")]
pub struct NotOpen;

/// Why there is no seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SeatError {
    /// The session is not open here: it never was, or has ended.
    #[error("the session is not open")]
    NotOpen,
    /// The connection closes or is gone.
    #[error("the connection is gone")]
    Gone,
    /// The connection has no seat that could be moved.
    #[error("the connection has no seat")]
    NoSeat,
}

impl Hub {
    /// Starts the shards' tasks on the runtime it is called in.
    pub fn start(settings: HubSettings) -> Self {
        let (hub, workers) = Self::assemble(settings);
        for worker in workers {
            tokio::spawn(worker.run());
        }
        hub
    }

    /// A hub and its workers, which someone else must run.
    pub(crate) fn assemble(settings: HubSettings) -> (Self, Vec<Worker>) {
        let shards = settings.shards.max(1);
        let common = Arc::new(Common { settings, counters: Counters::default() });
        let shards: Arc<[_]> =
            (0..shards).map(|index| Shard::new(index, Arc::clone(&common))).collect();
        let sessions = Arc::new(Sessions::default());
        let workers = shards.iter().map(|shard| {
            let trims = (shard.index() == 0).then(|| Arc::clone(&sessions));
            Worker::new(Arc::clone(shard), trims)
        });
        let workers = workers.collect();
        let (next_shard, next_number) = (AtomicUsize::new(0), AtomicU64::new(0));
        (Self { sessions, shards, next_shard, next_number }, workers)
    }

    /// The writing side for a socket that has just been upgraded. Shards take turns.
    pub fn outlet(&self, socket: Socket) -> Arc<Outlet> {
        let turn = self.next_shard.fetch_add(1, Ordering::Relaxed);
        Outlet::new(socket, Arc::clone(&self.shards[turn % self.shards.len()]))
    }

    /// Opens a session, if it is not open yet. If it is, nothing changes.
    pub fn open(&self, session: &SessionId, floor: Language, gate: Gate) {
        let mut sessions = self.sessions.write();
        sessions.entry(session.clone()).or_insert_with(|| {
            let number = self.next_number.fetch_add(1, Ordering::Relaxed);
            Session::new(number, session.clone(), floor, gate, Arc::clone(&self.shards))
        });
    }

    /// Whether audio flows in a session.
    pub fn set_gate(&self, session: &SessionId, gate: Gate) -> Result<(), NotOpen> {
        self.find(session).map(|session| session.set_gate(gate))
    }

    /// The rhythm of one session, in place of the one the hub was started with.
    pub fn set_tick(&self, session: &SessionId, tick: DeliveryTick) -> Result<(), NotOpen> {
        self.find(session).map(|session| session.set_tick(tick))
    }

    /// The right to speak on the floor. Whoever had it has it no longer.
    pub fn voice(&self, session: &SessionId) -> Result<Voice, NotOpen> {
        self.find(session)?.voice()
    }

    /// The last sequence published on the floor.
    pub fn last_sequence(&self, session: &SessionId) -> Option<u32> {
        self.find(session).ok()?.last_sequence()
    }

    /// Sends a frame to everyone seated. Never waits.
    pub fn publish(&self, voice: &Voice, frame: Frame) -> Published {
        voice.publish(frame, self.shards[0].now())
    }

    /// Sends a frame that was spoken on another node to everyone seated here, unless they have it
    /// or a later one. Never waits.
    pub fn relay(&self, session: &SessionId, frame: Frame) -> Result<Published, NotOpen> {
        self.find(session).map(|session| session.relay(frame, self.shards[0].now()))
    }

    /// Notes that the floor has come this far on other nodes: what is published next comes after
    /// it, though nothing of it was heard here.
    pub fn advance(&self, session: &SessionId, sequence: u32) -> Result<(), NotOpen> {
        self.find(session).map(|session| session.advance(sequence))
    }

    /// Gives an outlet a seat, in place of one it may have. It gets, in this order and without a
    /// gap: the greeting, made from the number of frames replayed; the codec configuration, if
    /// it has not had it; what it has missed; all that is published from here on.
    pub fn seat(
        &self,
        outlet: &Arc<Outlet>,
        session: &SessionId,
        (language, framing): (Language, Framing),
        resume: Resume,
        greeting: impl FnOnce(usize) -> Bytes,
    ) -> Result<usize, SeatError> {
        let session = self.find(session).map_err(|NotOpen| SeatError::NotOpen)?;
        self.unseat(outlet);
        let now = self.shards[0].now();
        let replayed = session.seat(outlet, (language, framing), resume, greeting, now)?;
        outlet.push_out();
        Ok(replayed)
    }

    /// Moves an outlet's seat to another language of the same session, and sends the greeting.
    pub fn move_seat(
        &self,
        outlet: &Arc<Outlet>,
        language: Language,
        greeting: Bytes,
    ) -> Result<(), SeatError> {
        let session = outlet.session().ok_or(SeatError::NoSeat)?;
        session.move_seat(outlet, language, greeting, self.shards[0].now())?;
        outlet.push_out();
        Ok(())
    }

    /// Takes an outlet's seat away, if it has one. The connection stays.
    pub fn unseat(&self, outlet: &Arc<Outlet>) {
        if let Some(place) = outlet.rise() {
            place.session.leave(&place, outlet);
        }
    }

    /// One control message to everyone seated in a session, in order with its audio.
    pub fn tell(&self, session: &SessionId, message: Bytes) -> Result<(), NotOpen> {
        self.find(session).map(|session| session.tell(&message))
    }

    /// Ends a session: everyone seated gets the message once and then the close frame, and the
    /// session is forgotten. Says how many they were.
    pub fn end(
        &self,
        session: &SessionId,
        message: Bytes,
        close_frame: Bytes,
    ) -> Result<usize, NotOpen> {
        let session = self.sessions.write().remove(session).ok_or(NotOpen)?;
        session.end(&message, &close_frame).ok_or(NotOpen)
    }

    /// Forgets a session in which nobody is seated; nobody is told.
    pub fn close(&self, session: &SessionId) {
        let mut sessions = self.sessions.write();
        if sessions.get(session).is_some_and(|session| session.close_if_empty()) {
            sessions.remove(session);
        }
    }

    /// How many seats a session has in each language that has any.
    pub fn languages(&self, session: &SessionId) -> Vec<(Language, usize)> {
        self.find(session).map(|session| session.languages()).unwrap_or_default()
    }

    /// How many seats a session has.
    pub fn count(&self, session: &SessionId) -> usize {
        self.languages(session).iter().map(|(_, seats)| seats).sum()
    }

    /// Everyone seated in a session.
    pub async fn seats(&self, session: &SessionId) -> Vec<Arc<Outlet>> {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        if let Ok(session) = self.find(session) {
            session.list(&sender);
        }
        drop(sender);
        let mut outlets = Vec::new();
        while let Some(more) = receiver.recv().await {
            outlets.extend(more);
        }
        outlets
    }

    /// How many sessions are open.
    pub fn sessions(&self) -> usize {
        self.sessions.read().len()
    }

    /// What was counted so far.
    pub fn counters(&self) -> &Counters {
        self.shards[0].counters()
    }

    /// What it was started with.
    pub fn settings(&self) -> &HubSettings {
        self.shards[0].settings()
    }

    fn find(&self, session: &SessionId) -> Result<Arc<Session>, NotOpen> {
        self.sessions.read().get(session).cloned().ok_or(NotOpen)
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.shards.iter().for_each(|shard| shard.stop());
        self.sessions.write().drain().for_each(|(_, session)| session.abandon());
    }
}
