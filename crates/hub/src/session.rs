//! A session as the hub sees it: who may speak, who sits where, and the order of what happens.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ambo_core::{Language, SessionId};
use bytes::Bytes;
use parking_lot::Mutex;

use crate::audio::{Audio, Frame, Framing, Kind};
use crate::channel::{Channel, piece_of};
use crate::counters::count;
use crate::group::{Item, Seat};
use crate::hub::{NotOpen, Resume, SeatError};
use crate::lane::Lane;
use crate::outlet::{Outlet, Piece};
use crate::settings::HubSettings;
use crate::shard::Shard;
use crate::tick::DeliveryTick;

/// Whether audio flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// It does.
    Open,
    /// It does not: paused, muted, or the speaker is lost.
    Shut,
}

/// The right to speak in a session, given to one speaker's connection. A later voice of the same
/// session revokes it.
#[derive(Clone, Debug)]
pub struct Voice {
    session: Arc<Session>,
    language: Language,
    is_revoked: Arc<AtomicBool>,
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// It is on its way under this sequence.
    Sent(u32),
    /// Audio does not flow at present.
    Muted,
    /// Its sequence is not above the last one.
    Duplicate,
    /// Another connection speaks now, or the session has ended.
    Revoked,
}

/// Where a seat is.
#[derive(Debug)]
pub(crate) struct Place {
    pub session: Arc<Session>,
    pub language: Language,
}

/// One session. Its lock makes the one order of all that happens in it; nothing is written to a
/// socket under it.
#[derive(Debug)]
pub(crate) struct Session {
    /// Never used twice, unlike the id.
    pub number: u64,
    id: Arc<SessionId>,
    shards: Arc<[Arc<Shard>]>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    is_ended: bool,
    gate: Gate,
    tick: DeliveryTick,
    floor: Language,
    /// One for each language that is spoken or listened to.
    channels: Vec<Channel>,
    /// One for each shard.
    lanes: Vec<Lane>,
}

/// What a shard takes out of its lane, and what it must know to deliver it.
pub(crate) struct Taken {
    pub items: Vec<Item>,
    pub tick: Duration,
}

impl Voice {
    /// The session spoken in.
    pub fn session(&self) -> &SessionId {
        &self.session.id
    }

    /// The language spoken.
    pub fn language(&self) -> Language {
        self.language
    }

    /// Whether another connection has taken over, or the session has ended.
    pub fn is_revoked(&self) -> bool {
        self.is_revoked.load(Ordering::Relaxed)
    }

    /// Gives the right to speak up.
    pub fn revoke(&self) {
        self.is_revoked.store(true, Ordering::Relaxed);
    }

    pub(crate) fn publish(&self, frame: Frame, now: Instant) -> Published {
        let session = &self.session;
        let counters = session.shards[0].counters();
        count(&counters.frames_in, 1);
        let published = session.publish(self, frame, now);
        match published {
            Published::Sent(_) => {}
            Published::Muted => count(&counters.dropped_muted, 1),
            Published::Duplicate => count(&counters.dropped_duplicate, 1),
            Published::Revoked => count(&counters.dropped_revoked, 1),
        }
        published
    }
}

impl Session {
    pub fn new(
        number: u64,
        id: SessionId,
        floor: Language,
        gate: Gate,
        shards: Arc<[Arc<Shard>]>,
    ) -> Arc<Self> {
        let state = State {
            is_ended: false,
            gate,
            tick: shards[0].settings().tick,
            floor,
            channels: vec![Channel::new(floor)],
            lanes: shards.iter().map(|_| Lane::default()).collect(),
        };
        Arc::new(Self { number, id: Arc::new(id), shards, state: Mutex::new(state) })
    }

    pub fn set_gate(&self, gate: Gate) {
        self.state.lock().gate = gate;
    }

    pub fn set_tick(&self, tick: DeliveryTick) {
        self.state.lock().tick = tick;
    }

    /// The floor's new voice; the former one is revoked.
    pub fn voice(self: &Arc<Self>) -> Result<Voice, NotOpen> {
        let mut state = self.state.lock();
        if state.is_ended {
            return Err(NotOpen);
        }
        let is_revoked = Arc::new(AtomicBool::new(false));
        let language = state.floor;
        let floor = state.feed();
        if let Some(former) = floor.voice.replace(Arc::clone(&is_revoked)) {
            former.store(true, Ordering::Relaxed);
        }
        Ok(Voice { session: Arc::clone(self), language, is_revoked })
    }

    pub fn last_sequence(&self) -> Option<u32> {
        self.state.lock().feed().last
    }

    /// Notes how far the floor has come elsewhere, where that is further than was heard here.
    pub fn advance(&self, sequence: u32) {
        let mut state = self.state.lock();
        let last = &mut state.feed().last;
        *last = (*last).max(Some(sequence));
    }

    /// Seats of each language, the floor's first, others as they came.
    pub fn languages(&self) -> Vec<(Language, usize)> {
        let state = self.state.lock();
        let seated = state.channels.iter().filter(|channel| channel.seats > 0);
        seated.map(|channel| (channel.language, channel.seats)).collect()
    }

    /// Gives a seat: first the greeting, then what was missed, then all that is published from
    /// here on. Says how many frames were missed.
    pub fn seat(
        self: &Arc<Self>,
        outlet: &Arc<Outlet>,
        (language, framing): (Language, Framing),
        resume: Resume,
        greeting: impl FnOnce(usize) -> Bytes,
        now: Instant,
    ) -> Result<usize, SeatError> {
        let mut state = self.state.lock();
        if state.is_ended {
            return Err(SeatError::NotOpen);
        }
        let HubSettings { encode, history, .. } = outlet.shard().settings();
        let missed = state.feed().missed(framing, resume, now, history);
        let replayed = missed.history.len();
        let frames = missed.configuration.into_iter().chain(missed.history);
        let replay = frames.map(|audio| piece_of(&audio, framing, *encode));
        let first = std::iter::once(Piece::control(greeting(replayed))).chain(replay).collect();
        let place = Place { session: Arc::clone(self), language };
        outlet.sit(place, first, now).ok_or(SeatError::Gone)?;
        state.channel(language).seats += 1;
        let shard = outlet.shard();
        state.lanes[shard.index()].seats += 1;
        let seat = Seat::new(Arc::clone(outlet), framing);
        self.push(&mut state, shard, Item::Join(seat));
        Ok(replayed)
    }

    /// Moves a seat to another language. All languages hear the floor so far, so the audio does
    /// not change.
    pub fn move_seat(
        self: &Arc<Self>,
        outlet: &Arc<Outlet>,
        language: Language,
        greeting: Bytes,
        now: Instant,
    ) -> Result<(), SeatError> {
        let mut state = self.state.lock();
        if state.is_ended {
            return Err(SeatError::NotOpen);
        }
        let former = outlet.sit_elsewhere(self, language, greeting, now)?;
        state.channel(language).seats += 1;
        state.vacate(former);
        Ok(())
    }

    /// Gives a seat up. `place` is the outlet's record of it, which exists once.
    pub fn leave(self: &Arc<Self>, place: &Place, outlet: &Arc<Outlet>) {
        let mut state = self.state.lock();
        if state.is_ended {
            return;
        }
        let shard = outlet.shard();
        state.vacate(place.language);
        self.push(&mut state, shard, Item::Leave(Arc::clone(outlet)));
        state.lanes[shard.index()].seats -= 1;
    }

    /// One control message to everyone seated.
    pub fn tell(self: &Arc<Self>, message: &Bytes) {
        let mut state = self.state.lock();
        self.push_to_all(&mut state, || Item::Control(message.clone()));
    }

    /// The last message to everyone seated, then a close; says how many they were, or nothing if
    /// it has ended before.
    pub fn end(self: &Arc<Self>, message: &Bytes, close: &Bytes) -> Option<usize> {
        let mut state = self.state.lock();
        if state.is_ended {
            return None;
        }
        let seats = state.lanes.iter().map(|lane| lane.seats).sum();
        let end = || Item::End { message: message.clone(), close: close.clone() };
        self.push_to_all(&mut state, end);
        state.is_ended = true;
        for voice in state.channels.drain(..).filter_map(|channel| channel.voice) {
            voice.store(true, Ordering::Relaxed);
        }
        Some(seats)
    }

    /// Ends it if nobody is seated; says whether that is so.
    pub fn close_if_empty(&self) -> bool {
        let mut state = self.state.lock();
        let is_empty = state.lanes.iter().all(|lane| lane.seats == 0);
        state.is_ended |= is_empty;
        is_empty
    }

    /// Forgets what nobody will deliver any more.
    pub fn abandon(&self) {
        let mut state = self.state.lock();
        state.is_ended = true;
        state.channels = Vec::new();
        state.lanes.iter_mut().for_each(|lane| *lane = Lane::default());
    }

    /// Everyone seated, as one answer a shard; what the sender sends is all there is.
    pub fn list(self: &Arc<Self>, answers: &tokio::sync::mpsc::UnboundedSender<Vec<Arc<Outlet>>>) {
        let mut state = self.state.lock();
        if !state.is_ended {
            self.push_to_all(&mut state, || Item::List(answers.clone()));
        }
    }

    pub fn trim(&self, now: Instant) {
        let limits = &self.shards[0].settings().history;
        let mut state = self.state.lock();
        state.channels.iter_mut().for_each(|channel| channel.trim(now, limits));
    }

    /// What has happened since the shard last asked.
    pub fn take(&self, shard: &Shard) -> Taken {
        let mut state = self.state.lock();
        let seats = state.lanes.iter().map(|lane| lane.seats).sum();
        let tick = state.tick.interval(seats);
        let lane = &mut state.lanes[shard.index()];
        lane.is_listed = false;
        lane.audio = 0;
        Taken { items: std::mem::take(&mut lane.items), tick }
    }

    fn publish(self: &Arc<Self>, voice: &Voice, frame: Frame, now: Instant) -> Published {
        let mut state = self.state.lock();
        if state.is_ended || voice.is_revoked() {
            return Published::Revoked;
        }
        // What decoders must know is no audio: whoever comes during a pause needs it after it.
        if state.gate == Gate::Shut && frame.kind == Kind::Audio {
            return Published::Muted;
        }
        self.place(&mut state, frame, now)
    }

    /// A frame that was spoken elsewhere. Its gate and its voice were asked there.
    pub fn relay(self: &Arc<Self>, frame: Frame, now: Instant) -> Published {
        let mut state = self.state.lock();
        if state.is_ended {
            return Published::Revoked;
        }
        self.place(&mut state, frame, now)
    }

    /// Gives a frame its place in the channel, if it comes after all that are there.
    fn place(self: &Arc<Self>, state: &mut State, frame: Frame, now: Instant) -> Published {
        let channel = state.feed();
        let sequence = match (frame.sequence, channel.last) {
            (Some(given), Some(last)) if given <= last => return Published::Duplicate,
            (Some(given), _) => given,
            (None, None) => 1,
            (None, Some(u32::MAX)) => return Published::Duplicate,
            (None, Some(last)) => last + 1,
        };
        let (id, language) = (Arc::clone(&self.id), channel.language);
        let audio = Arc::new(Audio::new(id, language, sequence, frame, now));
        channel.record(Arc::clone(&audio), &self.shards[0].settings().history);
        self.push_to_all(state, || Item::Audio(Arc::clone(&audio)));
        Published::Sent(sequence)
    }

    fn push_to_all(self: &Arc<Self>, state: &mut State, item: impl Fn() -> Item) {
        for shard in self.shards.iter() {
            if state.lanes[shard.index()].seats > 0 {
                self.push(state, shard, item());
            }
        }
    }

    fn push(self: &Arc<Self>, state: &mut State, shard: &Shard, item: Item) {
        let lane = &mut state.lanes[shard.index()];
        let lost = lane.push(item, shard.settings().queue.frames);
        count(&shard.counters().dropped_slow, lost);
        if !std::mem::replace(&mut lane.is_listed, true) {
            shard.list(Arc::clone(self));
        }
    }
}

impl State {
    /// The channel that is heard: the floor's for everyone, so far.
    fn feed(&mut self) -> &mut Channel {
        let floor = self.floor;
        self.channel(floor)
    }

    fn channel(&mut self, language: Language) -> &mut Channel {
        let at = self.channels.iter().position(|channel| channel.language == language);
        let at = at.unwrap_or_else(|| {
            self.channels.push(Channel::new(language));
            self.channels.len() - 1
        });
        &mut self.channels[at]
    }

    /// One seat less; a channel that nobody speaks or listens to goes.
    fn vacate(&mut self, language: Language) {
        self.channel(language).seats -= 1;
        let floor = self.floor;
        self.channels.retain(|channel| channel.seats > 0 || channel.language == floor);
    }
}
