//! Retry, circuit breaker and degradation as wrappers of the store.
//!
//! [`wrap`] puts them round a store, the outermost first:
//!
//! ```text
//! LenientLimits   a limit that cannot be asked lets pass; so it must see what the breaker says
//! BreakingStore   five failures in a row: say no at once; a call that was retried failed once,
//!                 and one that is turned away is not retried
//! RetryingStore   what trying again may cure is tried again; each attempt has its own time
//! TimedStore      an answer that takes too long is none
//! the store
//! ```
//!
//! The other ports need nothing of this. An identity provider is asked at most once in thirty
//! seconds, within five, and its keys outlive it, whatever speakers do: that *is* a breaker, and
//! `ambo_identity` has it. An outbox reports nothing back.
//!
//! *Invariant.* Nothing here knows what a call is about. A wrapper changes when a call is made
//! and what its fault is, never what is asked nor what is answered; the one exception is a limit
//! that cannot be asked.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod breaker;
mod breaking;
mod call;
mod health;
mod lenient;
mod observed;
mod retrying;
mod timed;

use std::sync::Arc;
use std::time::Duration;

use ambo_app::ports::Store;

pub use breaker::BreakerState;
pub use breaking::BreakingStore;
pub use call::Call;
pub use health::Health;
pub use lenient::LenientLimits;
pub use observed::ObservedStore;
pub use retrying::RetryingStore;
pub use timed::TimedStore;

/// How much is borne, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Attempts at a call that fails for a moment. Three outlast a failover's dropped connection;
    /// more would outlast the client's patience.
    pub attempts: usize,
    /// The longest pause before the second attempt; it doubles for each further one.
    pub first_delay: Duration,
    /// The longest pause before any attempt.
    pub max_delay: Duration,
    /// How long one attempt may take. A join is to be answered within a second or two; what takes
    /// longer is kept waiting for nothing.
    pub call_limit: Duration,
    /// Failures in a row that open an operation's breaker.
    pub failures_to_open: u32,
    /// How long it stays open before one call is let through to see.
    pub open_for: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            attempts: 3,
            first_delay: Duration::from_millis(50),
            max_delay: Duration::from_millis(500),
            call_limit: Duration::from_secs(2),
            failures_to_open: 5,
            open_for: Duration::from_secs(30),
        }
    }
}

/// A store that bears faults, and what it bore.
pub struct Resilient {
    /// The store to give to the app.
    pub store: Arc<dyn Store>,
    /// For metrics.
    pub health: Arc<Health>,
}

/// Wraps a store in everything this crate has.
pub fn wrap(store: Arc<dyn Store>, settings: &Settings) -> Resilient {
    let health = Arc::new(Health::new(settings));
    let store = Arc::new(TimedStore::new(store, settings, Arc::clone(&health)));
    let store = Arc::new(RetryingStore::new(store, settings, Arc::clone(&health)));
    let store = Arc::new(BreakingStore::new(store, Arc::clone(&health)));
    let store = Arc::new(LenientLimits::new(store, Arc::clone(&health)));
    Resilient { store, health }
}
