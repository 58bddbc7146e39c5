//! The queue between the client and the program that uses it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::event::Event;

/// What has happened, in order. A program that does not read loses its oldest audio first, so
/// that the connection lives on.
#[derive(Debug)]
pub struct Events(Arc<Queue>);

/// Frames that wait to be read: a full replay from the server, and as much again.
const MAX_FRAMES: usize = 2_000;
/// The same in bytes.
const MAX_BYTES: usize = 8 * 1024 * 1024;
/// Other events that wait to be read: hours of them.
const MAX_OTHERS: usize = 1_000;

#[derive(Debug, Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct State {
    events: VecDeque<Event>,
    frames: usize,
    bytes: usize,
    dropped: u64,
    is_unread: bool,
    is_closed: bool,
}

impl Events {
    pub(crate) fn new() -> (Self, Arc<Queue>) {
        let queue = Arc::new(Queue::default());
        (Self(Arc::clone(&queue)), queue)
    }

    /// The next event; `None` after [`Event::Closed`]. May be cancelled without loss.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            let filled = self.0.filled.notified();
            if let Some(next) = self.try_next() {
                return next;
            }
            filled.await;
        }
    }

    /// `None`: nothing yet. `Some(None)`: nothing any more.
    fn try_next(&self) -> Option<Option<Event>> {
        let mut state = self.0.lock();
        let dropped = std::mem::take(&mut state.dropped);
        if dropped > 0 {
            return Some(Some(Event::Dropped { frames: dropped }));
        }
        match state.events.pop_front() {
            Some(event) => {
                state.forget(&event);
                Some(Some(event))
            }
            None => state.is_closed.then_some(None),
        }
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.is_unread = true;
        state.events.clear();
    }
}

impl Queue {
    pub fn push(&self, event: Event) {
        let mut state = self.lock();
        if state.is_unread {
            return;
        }
        state.is_closed |= matches!(event, Event::Closed(_));
        match size(&event) {
            Some(bytes) => {
                state.frames += 1;
                state.bytes += bytes;
                state.events.push_back(event);
                while state.frames > MAX_FRAMES || state.bytes > MAX_BYTES {
                    state.drop_oldest(|event| size(event).is_some());
                    state.dropped += 1;
                }
            }
            None => {
                state.events.push_back(event);
                if state.events.len() - state.frames > MAX_OTHERS {
                    state.drop_oldest(|event| size(event).is_none());
                }
            }
        }
        drop(state);
        self.filled.notify_one();
    }

    /// A thread that panicked here left nothing half done.
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn forget(&mut self, event: &Event) {
        if let Some(bytes) = size(event) {
            self.frames -= 1;
            self.bytes -= bytes;
        }
    }

    fn drop_oldest(&mut self, is_meant: impl Fn(&Event) -> bool) {
        let at = self.events.iter().position(is_meant);
        if let Some(event) = at.and_then(|at| self.events.remove(at)) {
            self.forget(&event);
        }
    }
}

/// The size of audio; nothing else is dropped for its size.
fn size(event: &Event) -> Option<usize> {
    match event {
        Event::Audio(frame) => Some(frame.payload.len()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use ambo_core::Language;
    use ambo_wire::AudioFrame;
    use ambo_wire::audio::Kind;

    use super::*;
    use crate::event::Closed;

    fn audio(sequence: u32, len: usize) -> Event {
        let language = Language::parse("en").unwrap();
        let (kind, payload) = (Kind::Audio, vec![0; len].into());
        Event::Audio(AudioFrame { kind, language, sequence, captured_micros: 0, payload })
    }

    #[tokio::test]
    async fn who_does_not_read_loses_the_oldest_audio_and_is_told() {
        let (mut events, queue) = Events::new();
        queue.push(Event::Refreshing { reason: "age".into() });
        for sequence in 1..=2_010 {
            queue.push(audio(sequence, 1));
        }
        queue.push(Event::Closed(Closed::Left));
        assert_eq!(events.next().await, Some(Event::Dropped { frames: 10 }));
        assert!(matches!(events.next().await, Some(Event::Refreshing { .. })));
        assert_eq!(events.next().await, Some(audio(11, 1)));
        let rest = async {
            let mut count = 0;
            while events.next().await.is_some() {
                count += 1;
            }
            count
        };
        assert_eq!(rest.await, 2_000);
    }

    #[test]
    fn what_waits_is_bounded_in_bytes_and_number() {
        let (events, queue) = Events::new();
        for sequence in 0..1_000 {
            queue.push(audio(sequence, 32 * 1024));
            queue.push(Event::Gap { frames: sequence });
            queue.push(Event::Gap { frames: sequence });
        }
        let state = queue.lock();
        assert!(state.bytes <= MAX_BYTES);
        assert_eq!(state.events.len() - state.frames, MAX_OTHERS);
        drop(state);
        drop(events);
        queue.push(audio(1, 1));
        assert!(queue.lock().events.is_empty(), "nobody reads");
    }
}
