//! Throttling.

use std::time::Instant;

use parking_lot::Mutex;

/// How much passes.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// In the long run.
    pub per_second: f64,
    /// At once.
    pub burst: f64,
}

pub(super) struct Bucket {
    rate: Rate,
    level: Mutex<(f64, Instant)>,
}

impl Bucket {
    pub(super) fn new(rate: Rate) -> Self {
        Self { rate, level: Mutex::new((rate.burst, Instant::now())) }
    }

    /// Takes one token, if there is one.
    pub(super) fn take(&self) -> bool {
        let mut level = self.level.lock();
        let now = Instant::now();
        let gained = now.duration_since(level.1).as_secs_f64() * self.rate.per_second;
        let tokens = (level.0 + gained).min(self.rate.burst);
        let is_enough = tokens >= 1.0;
        *level = (if is_enough { tokens - 1.0 } else { tokens }, now);
        is_enough
    }
}
