//! An answer that takes too long is none.

use std::sync::Arc;
use std::time::Duration;

use ambo_app::ports::{Store, StoreFault};
use ambo_core::Millis;

use crate::call::{UnderWay, every_call_goes_through};
use crate::{Call, Health, Settings};

/// When a store that was too slow may be asked again.
const RETRY_AFTER: Millis = Millis::from_secs(1);

/// Gives up calls that take too long. That is not called transient: asking a slow store again at
/// once would make it slower still, and the client wait three times as long.
pub struct TimedStore {
    inner: Arc<dyn Store>,
    limit: Duration,
    health: Arc<Health>,
}

impl TimedStore {
    /// Wraps a store.
    pub fn new(inner: Arc<dyn Store>, settings: &Settings, health: Arc<Health>) -> Self {
        Self { inner, limit: settings.call_limit, health }
    }

    async fn through<'a, T>(
        &self,
        call: Call,
        run: impl Fn() -> UnderWay<'a, T>,
    ) -> Result<T, StoreFault> {
        let limit = self.limit;
        tokio::time::timeout(limit, run()).await.unwrap_or_else(|_| {
            self.health.count_timeout();
            let what = format!("no answer to {} within {} ms", call.as_str(), limit.as_millis());
            Err(StoreFault::unavailable(RETRY_AFTER, what))
        })
    }
}

every_call_goes_through!(TimedStore);
