//! The store, timed.

use std::sync::Arc;
use std::time::Instant;

use ambo_app::ports::{Page, Paid, Store, StoreFault, Totals};
use ambo_core::rules::{Seen, Toll, Wanted};
use ambo_core::{Applied, Change, Connection, Millis, Rate, SessionId};
use async_trait::async_trait;

use crate::metrics::Metrics;

/// Times every call of a store.
pub(crate) struct MeasuredStore {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) metrics: Arc<Metrics>,
}

impl MeasuredStore {
    async fn time<T>(&self, operation: &'static str, call: impl Future<Output = T>) -> T {
        let start = Instant::now();
        let outcome = call.await;
        self.metrics.store_took(operation, start.elapsed());
        outcome
    }
}

#[async_trait]
impl Store for MeasuredStore {
    async fn load(&self, wanted: &Wanted) -> Result<Seen, StoreFault> {
        self.time("load", self.store.load(wanted)).await
    }

    async fn commit(&self, change: &Change) -> Result<Applied, StoreFault> {
        self.time(change.name(), self.store.commit(change)).await
    }

    async fn pay(&self, toll: &Toll, rate: Rate, now: Millis) -> Result<Paid, StoreFault> {
        self.time("pay", self.store.pay(toll, rate, now)).await
    }

    async fn due(
        &self,
        now: Millis,
        after: Option<&SessionId>,
        limit: usize,
    ) -> Result<Vec<SessionId>, StoreFault> {
        self.time("due", self.store.due(now, after, limit)).await
    }

    async fn members(
        &self,
        session: &SessionId,
        page: Page<'_>,
    ) -> Result<Vec<Connection>, StoreFault> {
        self.time("members", self.store.members(session, page)).await
    }

    async fn forget(&self, session: &SessionId) -> Result<(), StoreFault> {
        self.time("forget", self.store.forget(session)).await
    }

    async fn totals(&self) -> Result<Totals, StoreFault> {
        self.time("totals", self.store.totals()).await
    }

    async fn check(&self) -> Result<(), StoreFault> {
        self.time("check", self.store.check()).await
    }
}
