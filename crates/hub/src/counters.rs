//! What the hub counts. A metrics endpoint reads the numbers as they stand.

use std::sync::atomic::{AtomicU64, Ordering};

/// Totals since the hub was started.
#[derive(Debug, Default)]
pub struct Counters {
    /// Frames that speakers sent, whatever became of them.
    pub frames_in: AtomicU64,
    /// Frames handed to a listener's outlet.
    pub frames_out: AtomicU64,
    /// Frames of speakers refused because the broadcast was paused, muted or without a speaker.
    pub dropped_muted: AtomicU64,
    /// Frames of speakers refused because their sequence was not above the last one.
    pub dropped_duplicate: AtomicU64,
    /// Frames of connections that were no longer the speaker's, or of a session that had ended.
    pub dropped_revoked: AtomicU64,
    /// Frames that a listener lost because it was too slow.
    pub dropped_slow: AtomicU64,
    /// Listeners closed because they stayed behind.
    pub slow_consumers: AtomicU64,
}

/// Adds to a counter. Nothing is ordered by these numbers.
pub(crate) fn count(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}
