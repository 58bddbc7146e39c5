//! The writing side of one connection: everything that leaves a socket leaves through here.

use std::io::{self, IoSlice};
use std::mem;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use ambo_core::Language;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::counters::count;
use crate::hub::SeatError;
use crate::outlet::queue::{Queue, State};
use crate::session::{Place, Session};
use crate::shard::Shard;
use crate::socket::Socket;

pub(crate) mod queue;

pub(crate) use queue::{Piece, Sort};

/// The writing side of one connection, speaker or listener.
///
/// Whoever sends writes to the socket at once if nothing waits before it; what the socket does
/// not take is queued, and the shard goes on when there is room again. The reading task shares
/// it through an `Arc`, and calls [`abort`](Self::abort) when it is done: that is all it takes to
/// give up the seat as well.
#[derive(Debug)]
pub struct Outlet {
    socket: Socket,
    shard: Arc<Shard>,
    queue: Mutex<Queue>,
    died: Notify,
    /// Where its seat is in its group; only the shard's task reads or writes it.
    pub(crate) slot: AtomicU32,
}

/// Why an outlet takes no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// [`Outlet::close`] was called.
    Closed,
    /// [`Outlet::abort`] was called.
    Aborted,
    /// The session ended.
    Ended,
    /// A listener stayed behind for too long.
    SlowConsumer,
    /// More control messages waited than may.
    Overrun,
    /// Writing failed: the peer is gone.
    Failed,
}

/// What one delivery writes to one socket.
#[derive(Clone, Copy)]
pub(crate) struct Portion<'a> {
    pub pieces: &'a [Piece],
    /// The same bytes, ready for a system call.
    pub slices: &'a [IoSlice<'a>],
}

/// Slices in one system call. Linux takes 1,024; past 64 a call is no cheaper a frame.
pub(crate) const MAX_SLICES: usize = 64;

impl Outlet {
    pub(crate) fn new(socket: Socket, shard: Arc<Shard>) -> Arc<Self> {
        let (queue, died) = (Mutex::default(), Notify::new());
        Arc::new(Self { socket, shard, queue, died, slot: AtomicU32::new(0) })
    }

    /// The socket, for reading.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Sends a control message: in order with the audio, and never dropped for lack of room. A
    /// connection that lets too many of them wait is given up.
    pub fn send(self: &Arc<Self>, message: Bytes) {
        self.change(|queue| self.offer(queue, &[Piece::control(message)]));
    }

    /// Sends this close frame behind all that waits, then ends the socket: as soon as the peer
    /// has answered, or after [`linger`](crate::QueueLimits::linger). Only the first close counts.
    pub fn close(self: &Arc<Self>, close_frame: Bytes) {
        self.change(|queue| self.offer_last(queue, &[Piece::control(close_frame)], Why::Closed));
    }

    /// Ends the socket at once; what waits is lost.
    pub fn abort(self: &Arc<Self>) {
        self.change(|queue| self.die(queue, Why::Aborted));
    }

    /// Why it takes no more, if it does not. What was taken before may still be on its way.
    pub fn why(&self) -> Option<Why> {
        match self.queue.lock().state {
            State::Open => None,
            State::Closing { why, .. } | State::Dead(why) => Some(why),
        }
    }

    /// Whether it is closing and all that it took is written: a peer that has said goodbye itself
    /// need not be waited for.
    pub fn is_written(&self) -> bool {
        let queue = self.queue.lock();
        !matches!(queue.state, State::Open) && queue.is_empty()
    }

    /// The language it hears, if it has a seat.
    pub fn language(&self) -> Option<Language> {
        self.queue.lock().place.as_ref().map(|place| place.language)
    }

    /// Waits until the socket has been shut down from this side. A reading task need not wait for
    /// it: its socket reads as ended at that moment, and [`why`](Self::why) tells the rest.
    pub async fn closed(&self) -> Why {
        loop {
            let mut died = pin!(self.died.notified());
            died.as_mut().enable();
            if let State::Dead(why) = self.queue.lock().state {
                return why;
            }
            died.await;
        }
    }
}

/// What the session and the shard do with it.
impl Outlet {
    pub(crate) fn shard(&self) -> &Arc<Shard> {
        &self.shard
    }

    /// Runs `change` under the queue's lock. Should the outlet be dead after it, the seat is left,
    /// without that lock: sessions lock outlets, never the other way round.
    fn change<R>(self: &Arc<Self>, change: impl FnOnce(&mut Queue) -> R) -> R {
        let mut queue = self.queue.lock();
        let outcome = change(&mut queue);
        let place = match queue.state {
            State::Dead(_) => queue.place.take(),
            State::Open | State::Closing { .. } => None,
        };
        drop(queue);
        if let Some(place) = place {
            place.session.leave(&place, self);
        }
        outcome
    }

    /// Queues the first words of a new seat without writing them; `None` if it takes no more.
    /// Called with the session locked, so that live audio can only come after them.
    pub(crate) fn sit(&self, place: Place, pieces: Vec<Piece>, now: Instant) -> Option<()> {
        let mut queue = self.queue.lock();
        let State::Open = queue.state else { return None };
        queue.place = Some(place);
        queue.extend(pieces, now);
        Some(())
    }

    /// Gives up the seat's record; whoever gets it must tell the session.
    pub(crate) fn rise(&self) -> Option<Place> {
        self.queue.lock().place.take()
    }

    /// The session it has a seat in.
    pub(crate) fn session(&self) -> Option<Arc<Session>> {
        self.queue.lock().place.as_ref().map(|place| Arc::clone(&place.session))
    }

    /// Changes the language of its seat in this session, and queues the greeting; gives the
    /// former language. Called with the session locked.
    pub(crate) fn sit_elsewhere(
        &self,
        session: &Arc<Session>,
        language: Language,
        greeting: Bytes,
        now: Instant,
    ) -> Result<Language, SeatError> {
        let mut queue = self.queue.lock();
        let State::Open = queue.state else { return Err(SeatError::Gone) };
        let place = queue.place.as_mut().filter(|place| Arc::ptr_eq(&place.session, session));
        let place = place.ok_or(SeatError::NoSeat)?;
        let former = mem::replace(&mut place.language, language);
        queue.extend([Piece::control(greeting)], now);
        Ok(former)
    }

    /// Writes what [`sit`](Self::sit) has queued.
    pub(crate) fn push_out(self: &Arc<Self>) {
        self.change(|queue| self.flush(queue));
    }

    /// Takes a delivery; says whether it was still taken.
    pub(crate) fn deliver(self: &Arc<Self>, portion: Portion<'_>) -> bool {
        self.change(|queue| {
            let is_open = matches!(queue.state, State::Open);
            if is_open {
                self.offer_portion(queue, portion);
            }
            is_open
        })
    }

    /// Takes the last delivery of a session.
    pub(crate) fn deliver_last(self: &Arc<Self>, pieces: &[Piece]) {
        self.change(|queue| self.offer_last(queue, pieces, Why::Ended));
    }

    /// The socket has room again.
    pub(crate) fn resume(self: &Arc<Self>) {
        self.change(|queue| {
            queue.is_blocked = false;
            self.flush(queue);
        });
    }

    /// Judges lateness and lingering; says whether to look again.
    pub(crate) fn inspect(self: &Arc<Self>, now: Instant) -> bool {
        self.change(|queue| {
            let limits = &self.shard.settings().queue;
            match queue.state {
                State::Closing { deadline, why } if now >= deadline => self.die(queue, why),
                State::Open if queue.age(now) > limits.slow_after => self.give_up(queue),
                State::Open | State::Closing { .. } | State::Dead(_) => {}
            }
            queue.is_watched = match queue.state {
                State::Open => !queue.is_idle(),
                State::Closing { .. } => true,
                State::Dead(_) => false,
            };
            queue.is_watched
        })
    }
}

/// Under the queue's lock.
impl Outlet {
    fn offer(self: &Arc<Self>, queue: &mut Queue, pieces: &[Piece]) {
        if matches!(queue.state, State::Open) {
            let slices: Vec<_> = pieces.iter().map(|piece| IoSlice::new(&piece.bytes)).collect();
            self.offer_portion(queue, Portion { pieces, slices: &slices });
        }
    }

    /// Writes at once what can be, and queues the rest.
    fn offer_portion(self: &Arc<Self>, queue: &mut Queue, portion: Portion<'_>) {
        let mut written = 0;
        if queue.is_idle() {
            let slices = &portion.slices[..portion.slices.len().min(MAX_SLICES)];
            match self.socket.try_write_vectored(slices) {
                Ok(bytes) => written = bytes,
                Err(error) if is_passing(&error) => {}
                Err(_) => return self.die(queue, Why::Failed),
            }
            let length: usize = portion.slices.iter().map(|slice| slice.len()).sum();
            if written == length && self.socket.try_flush().is_ok() {
                return;
            }
        }
        queue.extend_after(written, portion.pieces, self.shard.now());
        self.flush(queue);
        let limits = &self.shard.settings().queue;
        count(&self.shard.counters().dropped_slow, queue.trim(limits));
        if queue.control_bytes() > limits.control_bytes {
            self.die(queue, Why::Overrun);
        }
    }

    fn offer_last(self: &Arc<Self>, queue: &mut Queue, pieces: &[Piece], why: Why) {
        let State::Open = queue.state else { return };
        self.offer(queue, pieces);
        let State::Open = queue.state else { return };
        let deadline = self.shard.now() + self.shard.settings().queue.linger;
        queue.state = State::Closing { why, deadline };
        self.watch(queue);
        self.flush(queue);
    }

    /// Writes what waits until nothing does or the socket is full.
    fn flush(self: &Arc<Self>, queue: &mut Queue) {
        while !queue.is_blocked && !matches!(queue.state, State::Dead(_)) {
            let outcome = match queue.is_empty() {
                true => self.socket.try_flush().map(|()| 0),
                false => queue.write_to(&self.socket),
            };
            match outcome {
                Ok(_) if queue.is_empty() && self.socket.try_flush().is_ok() => {
                    return self.rest(queue);
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_passing(&error) => self.block(queue),
                Err(_) => self.die(queue, Why::Failed),
            }
        }
    }

    /// Nothing waits any more.
    fn rest(self: &Arc<Self>, queue: &mut Queue) {
        queue.rest();
        if matches!(queue.state, State::Closing { .. }) {
            self.socket.finish();
        }
    }

    /// Asks to be woken when there is room; there may be some already.
    fn block(self: &Arc<Self>, queue: &mut Queue) {
        let waker = Waker::from(Arc::clone(self));
        match self.socket.poll_writable(&mut Context::from_waker(&waker)) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => self.die(queue, Why::Failed),
            Poll::Pending => {
                queue.is_blocked = true;
                self.watch(queue);
            }
        }
    }

    fn watch(self: &Arc<Self>, queue: &mut Queue) {
        if !queue.is_watched {
            queue.is_watched = true;
            self.shard.watch(Arc::clone(self));
        }
    }

    /// A listener that stays behind is told so, if its socket still takes it.
    fn give_up(self: &Arc<Self>, queue: &mut Queue) {
        let (settings, counters) = (self.shard.settings(), self.shard.counters());
        count(&counters.slow_consumers, 1);
        count(&counters.dropped_slow, queue.drop_audio());
        let close = Piece::control(settings.slow_close.clone());
        self.offer_last(queue, &[close], Why::SlowConsumer);
    }

    /// Ends the socket. The first reason stays.
    fn die(self: &Arc<Self>, queue: &mut Queue, why: Why) {
        let why = match queue.state {
            State::Open => why,
            State::Closing { why, .. } => why,
            State::Dead(_) => return,
        };
        queue.state = State::Dead(why);
        queue.clear();
        self.socket.shutdown();
        self.died.notify_waiters();
    }
}

/// An outlet is its own waker: the one waiting for its socket is the shard.
impl Wake for Outlet {
    fn wake(self: Arc<Self>) {
        self.shard.wake_writable(Arc::clone(&self));
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

#[cfg(test)]
impl Outlet {
    /// How many frames its buffer has room for.
    pub(crate) fn room_for_waiting(&self) -> usize {
        self.queue.lock().room()
    }
}
