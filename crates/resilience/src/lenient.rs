//! A limit that cannot be asked lets pass.

use std::sync::Arc;
use std::time::Duration;

use ambo_app::ports::{Page, Paid, Store, StoreFault, Totals};
use ambo_core::rules::{Seen, Toll, Wanted};
use ambo_core::{Applied, Change, Connection, Millis, Rate, SessionId};
use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::Health;

/// The shortest time between two warnings: a flood of requests is not to become a flood of lines.
const WARN_EVERY: Duration = Duration::from_secs(1);

/// Lets pass, warns and counts where a limit cannot be asked: a limiter guards the service and
/// must not be what takes it down. Every other call goes to the store as it is.
pub struct LenientLimits {
    inner: Arc<dyn Store>,
    health: Arc<Health>,
    warned_at: Mutex<Option<Instant>>,
}

impl LenientLimits {
    /// Wraps a store.
    pub fn new(inner: Arc<dyn Store>, health: Arc<Health>) -> Self {
        Self { inner, health, warned_at: Mutex::new(None) }
    }

    fn warn(&self, fault: &StoreFault, toll: &Toll) {
        let so_far = self.health.count_unlimited();
        let now = Instant::now();
        let mut warned_at = self.warned_at.lock();
        if warned_at.is_some_and(|at| now < at + WARN_EVERY) {
            return;
        }
        *warned_at = Some(now);
        drop(warned_at);
        let (Toll::Take(key) | Toll::Show(key)) = toll;
        tracing::warn!(
            component = "store",
            operation = "pay",
            limit = key.operation.as_str(),
            so_far,
            error = %format_args!("{fault}: {}", fault.source),
            "a limit cannot be asked and lets pass"
        );
    }
}

#[async_trait]
impl Store for LenientLimits {
    async fn pay(&self, toll: &Toll, rate: Rate, now: Millis) -> Result<Paid, StoreFault> {
        let paid = self.inner.pay(toll, rate, now).await;
        Ok(paid.unwrap_or_else(|fault| {
            self.warn(&fault, toll);
            Paid::Yes
        }))
    }

    async fn load(&self, wanted: &Wanted) -> Result<Seen, StoreFault> {
        self.inner.load(wanted).await
    }

    async fn commit(&self, change: &Change) -> Result<Applied, StoreFault> {
        self.inner.commit(change).await
    }

    async fn due(
        &self,
        now: Millis,
        after: Option<&SessionId>,
        limit: usize,
    ) -> Result<Vec<SessionId>, StoreFault> {
        self.inner.due(now, after, limit).await
    }

    async fn members(
        &self,
        session: &SessionId,
        page: Page<'_>,
    ) -> Result<Vec<Connection>, StoreFault> {
        self.inner.members(session, page).await
    }

    async fn forget(&self, session: &SessionId) -> Result<(), StoreFault> {
        self.inner.forget(session).await
    }

    async fn totals(&self) -> Result<Totals, StoreFault> {
        self.inner.totals().await
    }

    async fn check(&self) -> Result<(), StoreFault> {
        self.inner.check().await
    }
}
