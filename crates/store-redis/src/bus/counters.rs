//! What a bus counts.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counted since the bus was started; for metrics.
#[derive(Debug, Default)]
pub struct BusCounters {
    /// Entries of this node that are in their stream.
    pub published: Count,
    /// Audio of this node that the engine had already, or something later in its place.
    pub refused: Count,
    /// Audio of this node that was given up while the engine was away.
    pub dropped: Count,
    /// Entries handed to the receiver.
    pub heard: Count,
    /// Entries that came again and were not handed on.
    pub duplicates: Count,
    /// Holes that were filled out of a stream.
    pub healed: Count,
    /// Holes that were not, since the stream no longer held what was missing.
    pub lost: Count,
    /// How often the connection on which entries are heard was made anew.
    pub reconnects: Count,
}

/// A number that only rises.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// How many so far.
    pub fn total(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, count: usize) {
        self.0.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(super) fn one(&self) {
        self.add(1);
    }
}
