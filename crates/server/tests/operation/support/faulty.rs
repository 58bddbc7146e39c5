//! A store that fails on command, round one that does not.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ambo_app::ports::{Page, Paid, Store, StoreFault, Totals};
use ambo_core::rules::{Seen, Toll, Wanted};
use ambo_core::{Applied, Change, Connection, Millis, Rate, SessionId};
use async_trait::async_trait;
use parking_lot::Mutex;

/// What goes wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// It does not happen, and time will cure it.
    Unavailable,
    /// It does not happen, and should not be possible.
    Broken,
    /// It happens, but the caller learns nothing of it.
    Unheard,
    /// It never ends.
    Hangs,
    /// It happens once the store is well again.
    Held,
    /// It happens at once, and is answered once the store is well again.
    Late,
}

/// What every fault of this store says.
pub const CAUSE: &str = "the moon is in the way";

/// Fails the operations it is told to.
struct Faulty {
    inner: Arc<dyn Store>,
    mishaps: Arc<Mishaps>,
}

/// What goes wrong, by the operation's name as metrics have it.
#[derive(Default)]
pub struct Mishaps {
    by_operation: Mutex<HashMap<&'static str, Mishap>>,
    happened: AtomicUsize,
}

impl Faulty {
    async fn call<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<T, StoreFault>>,
    ) -> Result<T, StoreFault> {
        let mishap = self.mishaps.by_operation.lock().get(operation).copied();
        let Some(mishap) = mishap else { return call.await };
        self.mishaps.happened.fetch_add(1, Ordering::SeqCst);
        let unavailable = || StoreFault::unavailable(Millis::from_secs(7), CAUSE);
        match mishap {
            Mishap::Unavailable => Err(unavailable()),
            Mishap::Broken => Err(StoreFault::broken(CAUSE)),
            Mishap::Unheard => call.await.and(Err(unavailable())),
            Mishap::Hangs => std::future::pending().await,
            Mishap::Held => {
                self.mishaps.healed(operation).await;
                call.await
            }
            Mishap::Late => {
                let answer = call.await;
                self.mishaps.healed(operation).await;
                answer
            }
        }
    }
}

impl Mishaps {
    /// None yet.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Puts these round a store.
    pub fn around(self: &Arc<Self>) -> impl FnOnce(Arc<dyn Store>) -> Arc<dyn Store> + use<> {
        let mishaps = Arc::clone(self);
        |inner| Arc::new(Faulty { inner, mishaps })
    }

    pub fn fail(&self, mishap: Mishap, operations: &[&'static str]) {
        let mut by_operation = self.by_operation.lock();
        by_operation.extend(operations.iter().map(|operation| (*operation, mishap)));
    }

    pub fn heal(&self) {
        self.by_operation.lock().clear();
    }

    async fn healed(&self, operation: &'static str) {
        while self.by_operation.lock().contains_key(operation) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// How often something went wrong.
    pub fn happened(&self) -> usize {
        self.happened.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Store for Faulty {
    async fn load(&self, wanted: &Wanted) -> Result<Seen, StoreFault> {
        self.call("load", self.inner.load(wanted)).await
    }

    async fn commit(&self, change: &Change) -> Result<Applied, StoreFault> {
        self.call(change.name(), self.inner.commit(change)).await
    }

    async fn pay(&self, toll: &Toll, rate: Rate, now: Millis) -> Result<Paid, StoreFault> {
        self.call("pay", self.inner.pay(toll, rate, now)).await
    }

    async fn due(
        &self,
        now: Millis,
        after: Option<&SessionId>,
        limit: usize,
    ) -> Result<Vec<SessionId>, StoreFault> {
        self.call("due", self.inner.due(now, after, limit)).await
    }

    async fn members(
        &self,
        session: &SessionId,
        page: Page<'_>,
    ) -> Result<Vec<Connection>, StoreFault> {
        self.call("members", self.inner.members(session, page)).await
    }

    async fn forget(&self, session: &SessionId) -> Result<(), StoreFault> {
        self.call("forget", self.inner.forget(session)).await
    }

    async fn totals(&self) -> Result<Totals, StoreFault> {
        self.call("totals", self.inner.totals()).await
    }

    async fn check(&self) -> Result<(), StoreFault> {
        self.call("check", self.inner.check()).await
    }
}
