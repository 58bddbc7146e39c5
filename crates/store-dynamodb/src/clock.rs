//! The store's own clock, for what no change says: when a listener was told, when a session ended.

use std::time::{SystemTime, UNIX_EPOCH};

use ambo_core::Millis;

/// Now.
pub(crate) fn now() -> Millis {
    Millis(micros() / 1_000)
}

/// Now in microseconds, so that those told one after the other keep their order.
pub(crate) fn micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
