//! How long a store takes.

use std::sync::Arc;
use std::time::Duration;

use ambo_app::ports::{Store, StoreFault};
use tokio::time::Instant;

use crate::Call;
use crate::call::{UnderWay, every_call_goes_through};

/// Times every call, retries and all, and says so to whoever measures.
pub struct ObservedStore {
    inner: Arc<dyn Store>,
    took: Box<dyn Fn(Call, Duration) + Send + Sync>,
}

impl ObservedStore {
    /// Wraps a store.
    pub fn new(
        inner: Arc<dyn Store>,
        took: impl Fn(Call, Duration) + Send + Sync + 'static,
    ) -> Self {
        Self { inner, took: Box::new(took) }
    }

    async fn through<'a, T>(
        &self,
        call: Call,
        run: impl Fn() -> UnderWay<'a, T>,
    ) -> Result<T, StoreFault> {
        let start = Instant::now();
        let outcome = run().await;
        (self.took)(call, start.elapsed());
        outcome
    }
}

every_call_goes_through!(ObservedStore);
