//! The seats of one session on one shard, and what they are about to get.

use std::io::IoSlice;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::mpsc::UnboundedSender;

use crate::audio::{Audio, Framing};
use crate::channel::piece_of;
use crate::counters::count;
use crate::outlet::{Outlet, Piece, Portion, Sort};
use crate::session::Session;
use crate::shard::Shard;
use crate::tick;

/// One thing that has happened in a session.
#[derive(Debug)]
pub(crate) enum Item {
    Audio(Arc<Audio>),
    Control(Bytes),
    Join(Seat),
    Leave(Arc<Outlet>),
    End { message: Bytes, close: Bytes },
    List(UnboundedSender<Vec<Arc<Outlet>>>),
}

/// A listener's place.
#[derive(Debug)]
pub(crate) struct Seat {
    outlet: Arc<Outlet>,
    framing: Framing,
    /// So many of what waits in the group came before it did.
    skip: u32,
}

/// The seats of one session on one shard. Only the shard's task touches it.
#[derive(Debug)]
pub(crate) struct Group {
    session: Arc<Session>,
    seats: Vec<Seat>,
    waiting: Vec<Waiting>,
    /// The close frame, once the session has ended.
    close: Option<Bytes>,
    due: Option<Instant>,
    /// When the last delivery of audio began.
    delivered: Option<Instant>,
    delivery: Option<Delivery>,
    /// The shard has it among those that want to deliver.
    pub is_listed: bool,
}

#[derive(Debug)]
enum Waiting {
    Audio(Arc<Audio>),
    Control(Bytes),
}

/// A delivery under way: what waited when it began, for every seat there was.
#[derive(Debug)]
struct Delivery {
    began: Instant,
    next_seat: usize,
    runs: Vec<Run>,
}

/// What waited, as the seats of one framing get it.
#[derive(Debug)]
struct Run {
    framing: Framing,
    pieces: Vec<Piece>,
    /// Which of what waited each piece is.
    places: Vec<u32>,
    frames: u64,
}

impl Seat {
    pub fn new(outlet: Arc<Outlet>, framing: Framing) -> Self {
        Self { outlet, framing, skip: 0 }
    }
}

impl Group {
    pub fn new(session: Arc<Session>) -> Self {
        Self {
            session,
            seats: Vec::new(),
            waiting: Vec::new(),
            close: None,
            due: None,
            delivered: None,
            delivery: None,
            is_listed: false,
        }
    }

    /// Takes in what has happened. Not while a delivery is under way: it would lose its place.
    pub fn absorb(&mut self, shard: &Shard, now: Instant) {
        if self.delivery.is_some() {
            return;
        }
        let taken = self.session.take(shard);
        for item in taken.items {
            self.absorb_item(item, taken.tick, now);
        }
        if self.seats.is_empty() {
            self.waiting.clear();
        }
        if self.waiting.is_empty() {
            self.due = None;
        }
    }

    fn absorb_item(&mut self, item: Item, tick: Duration, now: Instant) {
        if self.close.is_some() {
            return;
        }
        match item {
            Item::Audio(audio) => {
                self.waiting.push(Waiting::Audio(audio));
                self.due.get_or_insert_with(|| tick::due(tick, self.delivered, now));
            }
            Item::Control(message) => {
                self.waiting.push(Waiting::Control(message));
                self.due = Some(now);
            }
            Item::Join(seat) => self.join(seat),
            Item::Leave(outlet) => self.leave(&outlet),
            Item::End { message, close } => {
                self.waiting.push(Waiting::Control(message));
                self.close = Some(close);
                self.due = Some(now);
            }
            Item::List(answer) => {
                let outlets = self.seats.iter().map(|seat| Arc::clone(&seat.outlet)).collect();
                // Whoever asked may have stopped waiting.
                let _ = answer.send(outlets);
            }
        }
    }

    pub fn session(&self) -> Arc<Session> {
        Arc::clone(&self.session)
    }

    /// When it wants to deliver.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Whether nothing is left to do here.
    pub fn is_empty(&self) -> bool {
        self.seats.is_empty()
    }

    /// Delivers to as many seats as the turn has left; says whether the delivery is done.
    pub fn deliver(&mut self, shard: &Shard, left: &mut usize) -> bool {
        let delivery = self.delivery.get_or_insert_with(|| Delivery::new(shard.now()));
        let end = self.seats.len().min(delivery.next_seat + *left);
        let range = delivery.next_seat..end;
        *left -= range.len();
        delivery.next_seat = end;
        for framing in [Framing::Json, Framing::Binary] {
            let is_needed = self.seats[range.clone()].iter().any(|seat| seat.framing == framing);
            if is_needed && delivery.runs.iter().all(|run| run.framing != framing) {
                let encode = shard.settings().encode;
                delivery.runs.push(Run::new(&self.waiting, framing, encode));
            }
        }
        match &self.close {
            None => self.deliver_to(range, shard),
            Some(close) => {
                let close = close.clone();
                self.deliver_last_to(range, &close);
            }
        }
        let is_done = end == self.seats.len();
        if is_done {
            self.finish(shard);
        }
        is_done
    }

    fn deliver_to(&mut self, range: Range<usize>, shard: &Shard) {
        let Some(delivery) = &self.delivery else { return };
        let mut frames_out = 0;
        for run in &delivery.runs {
            let slices: Vec<_> =
                run.pieces.iter().map(|piece| IoSlice::new(&piece.bytes)).collect();
            for seat in &mut self.seats[range.clone()] {
                if seat.framing != run.framing {
                    continue;
                }
                let skip = run.places.partition_point(|place| *place < seat.skip);
                seat.skip = 0;
                let (pieces, slices) = (&run.pieces[skip..], &slices[skip..]);
                if !pieces.is_empty() && seat.outlet.deliver(Portion { pieces, slices }) {
                    frames_out += match skip {
                        0 => run.frames,
                        _ => frames_among(pieces),
                    };
                }
            }
        }
        count(&shard.counters().frames_out, frames_out);
    }

    fn deliver_last_to(&mut self, range: Range<usize>, close: &Bytes) {
        let Some(delivery) = &self.delivery else { return };
        for seat in &self.seats[range] {
            let Some(run) = delivery.runs.iter().find(|run| run.framing == seat.framing) else {
                continue;
            };
            let skip = run.places.partition_point(|place| *place < seat.skip);
            let mut pieces = run.pieces[skip..].to_vec();
            pieces.push(Piece::control(close.clone()));
            seat.outlet.deliver_last(&pieces);
        }
    }

    fn finish(&mut self, shard: &Shard) {
        let now = shard.now();
        let first = self.waiting.iter().find_map(|waiting| match waiting {
            Waiting::Audio(audio) => Some(audio.arrived),
            Waiting::Control(_) => None,
        });
        if let Some((first, fanout)) = first.zip(shard.settings().fanout.as_ref()) {
            fanout(now.saturating_duration_since(first));
        }
        if first.is_some() {
            self.delivered = self.delivery.take().map(|delivery| delivery.began);
        }
        self.waiting = Vec::new();
        self.due = None;
        self.delivery = None;
        if self.close.is_some() {
            self.seats = Vec::new();
        }
    }

    fn join(&mut self, mut seat: Seat) {
        seat.skip = self.waiting.len() as u32;
        seat.outlet.slot.store(self.seats.len() as u32, Ordering::Relaxed);
        self.seats.push(seat);
    }

    fn leave(&mut self, outlet: &Arc<Outlet>) {
        let is_it = |seat: &Seat| Arc::ptr_eq(&seat.outlet, outlet);
        let slot = outlet.slot.load(Ordering::Relaxed) as usize;
        // An outlet that has already sat down in another session has its slot from there.
        let slot = match self.seats.get(slot).is_some_and(is_it) {
            true => Some(slot),
            false => self.seats.iter().position(is_it),
        };
        let Some(slot) = slot else { return };
        self.seats.swap_remove(slot);
        if let Some(moved) = self.seats.get(slot) {
            moved.outlet.slot.store(slot as u32, Ordering::Relaxed);
        }
    }
}

impl Delivery {
    fn new(began: Instant) -> Self {
        Self { began, next_seat: 0, runs: Vec::new() }
    }
}

impl Run {
    fn new(waiting: &[Waiting], framing: Framing, encode: fn(&Audio, Framing) -> Bytes) -> Self {
        let (mut pieces, mut places) = (Vec::new(), Vec::new());
        for (place, waiting) in waiting.iter().enumerate() {
            let piece = match waiting {
                Waiting::Audio(audio) if !audio.suits(framing) => continue,
                Waiting::Audio(audio) => piece_of(audio, framing, encode),
                Waiting::Control(message) => Piece::control(message.clone()),
            };
            pieces.push(piece);
            places.push(place as u32);
        }
        let frames = frames_among(&pieces);
        Self { framing, pieces, places, frames }
    }
}

fn frames_among(pieces: &[Piece]) -> u64 {
    pieces.iter().filter(|piece| piece.sort == Sort::Audio).count() as u64
}
