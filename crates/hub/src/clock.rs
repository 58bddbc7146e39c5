//! Where the hub's `now` comes from, so that tests can turn it by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The hub's clock: the real one, or one that a [`Hand`] turns.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    turned: Option<(Instant, Arc<AtomicU64>)>,
}

/// Turns a clock that stands still otherwise.
#[derive(Clone, Debug)]
pub struct Hand(Arc<AtomicU64>);

impl Clock {
    /// The machine's monotonic clock.
    pub const fn real() -> Self {
        Self { turned: None }
    }

    /// A clock that moves only when its hand is turned.
    pub fn by_hand() -> (Self, Hand) {
        let micros = Arc::new(AtomicU64::new(0));
        (Self { turned: Some((Instant::now(), Arc::clone(&micros))) }, Hand(micros))
    }

    /// The moment it shows.
    pub fn now(&self) -> Instant {
        match &self.turned {
            None => Instant::now(),
            Some((start, micros)) => *start + Duration::from_micros(micros.load(Ordering::Relaxed)),
        }
    }
}

impl Hand {
    /// Turns the clock forward.
    pub fn turn(&self, span: Duration) {
        self.0.fetch_add(span.as_micros() as u64, Ordering::Relaxed);
    }
}
