//! What was borne, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::breaker::{Breaker, BreakerState};
use crate::{Call, Settings};

/// The breakers and the counters of a wrapped store.
pub struct Health {
    breakers: [Breaker; Call::ALL.len()],
    retries: AtomicU64,
    timeouts: AtomicU64,
    unlimited: AtomicU64,
}

impl Health {
    /// The health of a store that nobody has asked anything yet.
    pub fn new(settings: &Settings) -> Self {
        let breaker = |_| Breaker::new(settings.failures_to_open, settings.open_for);
        Self {
            breakers: std::array::from_fn(breaker),
            retries: AtomicU64::new(0),
            timeouts: AtomicU64::new(0),
            unlimited: AtomicU64::new(0),
        }
    }

    /// The state of every operation's breaker.
    pub fn breakers(&self) -> impl Iterator<Item = (Call, BreakerState)> {
        Call::ALL.into_iter().map(|call| (call, self.breaker(call).state()))
    }

    /// The worst state among all operations but the limits.
    pub fn store_breaker(&self) -> BreakerState {
        let states = self.breakers().filter(|(call, _)| *call != Call::Pay);
        states.map(|(_, state)| state).max().unwrap_or(BreakerState::Closed)
    }

    /// The state of the limits' breaker. While it is open, nothing is limited.
    pub fn limits_breaker(&self) -> BreakerState {
        self.breaker(Call::Pay).state()
    }

    /// How often breakers have opened, that of the limits aside.
    pub fn store_opened(&self) -> u64 {
        let calls = Call::ALL.into_iter().filter(|call| *call != Call::Pay);
        calls.map(|call| self.breaker(call).opened()).sum()
    }

    /// How often the limits' breaker has opened.
    pub fn limits_opened(&self) -> u64 {
        self.breaker(Call::Pay).opened()
    }

    /// Attempts after the first.
    pub fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }

    /// Attempts that took too long.
    pub fn timeouts(&self) -> u64 {
        self.timeouts.load(Ordering::Relaxed)
    }

    /// Limits that could not be asked, and let pass.
    pub fn unlimited(&self) -> u64 {
        self.unlimited.load(Ordering::Relaxed)
    }

    pub(crate) fn breaker(&self, call: Call) -> &Breaker {
        &self.breakers[call as usize]
    }

    pub(crate) fn count_retry(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_timeout(&self) {
        self.timeouts.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one, and says how many there are.
    pub(crate) fn count_unlimited(&self) -> u64 {
        self.unlimited.fetch_add(1, Ordering::Relaxed) + 1
    }
}
