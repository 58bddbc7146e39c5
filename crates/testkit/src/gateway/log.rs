//! What happened, for tests to look at.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::Value;

use super::Failure;

/// One thing that happened, and when.
#[derive(Clone, Debug)]
pub struct Entry {
    /// When it was over.
    pub at: Instant,
    /// What it was.
    pub happening: Happening,
}

/// What can happen.
#[derive(Clone, Debug)]
pub enum Happening {
    /// A connection is open.
    Opened {
        /// Its id.
        connection: String,
    },
    /// A handshake was refused.
    Refused {
        /// With this status.
        status: u16,
    },
    /// A connection is closed.
    Closed {
        /// Its id.
        connection: String,
        /// The code that `$disconnect` is told.
        code: u16,
    },
    /// An instance of a function has asked for its first event.
    Started {
        /// Which function.
        function: String,
        /// How long that took.
        took: Duration,
    },
    /// A function was invoked.
    Invoked {
        /// Which.
        function: String,
        /// With what.
        event: Value,
        /// What came of it.
        outcome: Result<Value, Failure>,
        /// How long it took, with the wait for an instance and its start.
        took: Duration,
    },
    /// `@connections` was called.
    Called {
        /// POST, GET or DELETE.
        method: String,
        /// Which connection.
        connection: String,
        /// The answer.
        status: u16,
    },
}

/// Shared by all that make it grow.
#[derive(Clone, Default)]
pub(super) struct Log(Arc<Inner>);

#[derive(Default)]
struct Inner {
    entries: Mutex<Vec<Entry>>,
    running: AtomicUsize,
}

/// Something is being invoked for as long as this is held.
pub(super) struct Running(Log);

impl Log {
    pub(super) fn add(&self, happening: Happening) {
        self.0.entries.lock().push(Entry { at: Instant::now(), happening });
    }

    pub(super) fn entries(&self) -> Vec<Entry> {
        self.0.entries.lock().clone()
    }

    pub(super) fn begin(&self) -> Running {
        self.0.running.fetch_add(1, Ordering::AcqRel);
        Running(self.clone())
    }

    pub(super) fn running(&self) -> usize {
        self.0.running.load(Ordering::Acquire)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.0.running.fetch_sub(1, Ordering::AcqRel);
    }
}
