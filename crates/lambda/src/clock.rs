//! Where `now` and randomness come from: the machine, or a hand that moves them in tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use ambo_core::{Entropy, Millis, Stamp};

/// The functions' clock. Many machines tell the time of one connection, so it is the time of day.
#[derive(Clone, Debug, Default)]
pub struct Clock(Option<Arc<AtomicU64>>);

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self(None)
    }

    /// A clock that stands still until it is [`advance`](Self::advance)d.
    pub fn manual(now: Millis) -> Self {
        Self(Some(Arc::new(AtomicU64::new(now.0))))
    }

    /// This moment.
    pub fn now(&self) -> Millis {
        match &self.0 {
            Some(now) => Millis(now.load(Ordering::Acquire)),
            None => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Millis(since.as_millis() as u64)
            }
        }
    }

    /// A stamp for an event that arrives now.
    pub fn stamp(&self) -> Stamp {
        let mut entropy = [0; Entropy::LEN];
        // The operating system's randomness does not fail once it has begun to work, and without
        // it no id or secret may be made: giving up is right.
        getrandom::fill(&mut entropy).unwrap_or_else(|error| panic!("no randomness: {error}"));
        Stamp { now: self.now(), entropy: Entropy(entropy) }
    }

    /// Moves a manual clock. Does nothing to the machine's.
    pub fn advance(&self, span: Millis) {
        if let Some(now) = &self.0 {
            now.fetch_add(span.0, Ordering::AcqRel);
        }
    }
}
