//! What trying again may cure is tried again.

use std::sync::Arc;
use std::time::Duration;

use ambo_app::ports::{FaultKind, Store, StoreFault};
use backon::{BackoffBuilder, ExponentialBuilder, Retryable as _};

use crate::call::{UnderWay, every_call_goes_through};
use crate::{Call, Health, Settings};

/// Repeats calls that failed for a moment, which the port says is harmless.
///
/// Before each repetition lies a random part of a span that doubles ("full jitter"), so that
/// callers whom one hiccup failed together do not come back together.
///
/// A limit is not asked twice: it could be charged twice, and one that fails lets pass anyway.
pub struct RetryingStore {
    inner: Arc<dyn Store>,
    delays: ExponentialBuilder,
    health: Arc<Health>,
}

impl RetryingStore {
    /// Wraps a store.
    pub fn new(inner: Arc<dyn Store>, settings: &Settings, health: Arc<Health>) -> Self {
        let delays = ExponentialBuilder::new()
            .with_min_delay(settings.first_delay)
            .with_max_delay(settings.max_delay)
            .with_max_times(settings.attempts.saturating_sub(1));
        Self { inner, delays, health }
    }

    async fn through<'a, T>(
        &self,
        call: Call,
        run: impl Fn() -> UnderWay<'a, T>,
    ) -> Result<T, StoreFault> {
        if call == Call::Pay {
            return run().await;
        }
        // The library's own jitter only adds to the span.
        let delays = self.delays.build().map(some_of);
        run.retry(delays)
            .when(|fault: &StoreFault| fault.kind == FaultKind::Transient)
            .notify(|fault: &StoreFault, _| {
                self.health.count_retry();
                tracing::debug!(
                    component = "store",
                    operation = call.as_str(),
                    error = %fault.source,
                    "trying again"
                );
            })
            .await
    }
}

every_call_goes_through!(RetryingStore);

fn some_of(span: Duration) -> Duration {
    span.mul_f32(fastrand::f32())
}
