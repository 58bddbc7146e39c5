//! What holds for the whole hub, on sockets whose room a test decides and on real ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ambo_core::{Language, Millis, SessionId};
use bytes::Bytes;

use crate::shard::{Next, Worker};
use crate::tests::pipe::Pipe;
use crate::*;

mod life;
mod order;
pub mod pipe;
mod slow;
mod sockets;

/// A hub whose shards and clock move only when told to.
struct World {
    hub: Hub,
    workers: Vec<Worker>,
    hand: Hand,
}

/// A listener whose socket the test decides about.
struct Listener {
    outlet: Arc<Outlet>,
    pipe: Pipe,
}

const ALL: usize = usize::MAX;

impl World {
    fn new(change: impl FnOnce(&mut HubSettings)) -> Self {
        let (clock, hand) = Clock::by_hand();
        let mut settings = settings();
        settings.shards = 2;
        settings.clock = clock;
        change(&mut settings);
        let (hub, workers) = Hub::assemble(settings);
        hub.open(&session(), language("en"), Gate::Open);
        Self { hub, workers, hand }
    }

    /// Lets the shards work until they have nothing to do.
    fn settle(&mut self) {
        let now = self.hub.settings().clock.now();
        for worker in &mut self.workers {
            while worker.turn(now) == Next::Again {}
        }
    }

    fn turn(&mut self, worker: usize) {
        let now = self.hub.settings().clock.now();
        self.workers[worker].turn(now);
    }

    /// Turns the clock and lets the shards see it.
    fn pass(&mut self, span: Duration) {
        self.hand.turn(span);
        self.settle();
    }

    fn connect(&self, room: usize) -> Listener {
        let pipe = Pipe::with_room(room);
        Listener { outlet: self.hub.outlet(Socket::Pipe(pipe.clone())), pipe }
    }

    fn seated(&self, room: usize) -> Listener {
        let listener = self.connect(room);
        self.seat(&listener, Framing::Binary, Resume::Live).unwrap();
        listener
    }

    fn seat(
        &self,
        listener: &Listener,
        framing: Framing,
        resume: Resume,
    ) -> Result<usize, SeatError> {
        let greeting = |replayed| Bytes::from(format!("g{replayed};"));
        self.hub.seat(&listener.outlet, &session(), (language("es"), framing), resume, greeting)
    }

    fn count(&self, counter: fn(&Counters) -> &AtomicU64) -> u64 {
        counter(self.hub.counters()).load(Ordering::Relaxed)
    }
}

fn settings() -> HubSettings {
    let mut settings = HubSettings::new(encode, Bytes::from_static(b"slow;"));
    settings.tick = DeliveryTick::Fixed(Duration::ZERO);
    settings
}

/// Frames of the tests say what they are: `a5;` is audio 5, `j5;` the same in JSON.
fn encode(audio: &Audio, framing: Framing) -> Bytes {
    let letter = match (framing, audio.kind) {
        (Framing::Json, _) => 'j',
        (Framing::Binary, Kind::Audio) => 'a',
        (Framing::Binary, Kind::Configuration) => 'k',
    };
    let padding = String::from_utf8_lossy(&audio.payload);
    Bytes::from(format!("{letter}{}{padding};", audio.sequence))
}

fn session() -> SessionId {
    SessionId::parse("faithful-shepherd-427").unwrap()
}

fn language(code: &str) -> Language {
    Language::parse(code).unwrap()
}

fn frame(kind: Kind, sequence: u32) -> Frame {
    Frame {
        kind,
        sequence: Some(sequence),
        captured: 0,
        payload: Bytes::new(),
        raw: None,
        received: Millis::ZERO,
    }
}

fn audio(sequence: u32) -> Frame {
    frame(Kind::Audio, sequence)
}

fn word(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}
