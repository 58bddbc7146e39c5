//! A store with somebody else at work in it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ambo_app::ports::{Page, Paid, Store, StoreFault, Totals};
use ambo_core::rules::{Seen, Toll, Wanted};
use ambo_core::{Applied, Change, Connection, Millis, Rate, SessionId};
use async_trait::async_trait;
use parking_lot::Mutex;

/// What is done just before a change is committed.
pub enum Meddle {
    /// Nothing: this one is let through.
    Nothing,
    /// Somebody else's change, between the look and the commit.
    First(Change),
    /// A fault instead of the change.
    FaultBefore(StoreFault),
    /// A fault although the change was applied.
    FaultAfter(StoreFault),
}

/// A store that does something else just before it commits, for as long as it has something to
/// do; that can repeat every change; and that counts what it is asked.
#[derive(Clone)]
pub struct Meddler(Arc<Inside>);

struct Inside {
    store: Arc<dyn Store>,
    meddles: Mutex<VecDeque<Meddle>>,
    repeats: bool,
    commits: AtomicUsize,
    loads: AtomicUsize,
}

impl Meddler {
    /// One that does nothing until it is told to.
    pub fn new(store: impl Store + 'static) -> Self {
        Self::with(store, false)
    }

    /// One that commits every change twice, and sees to it that the second time is harmless.
    pub fn repeating(store: impl Store + 'static) -> Self {
        Self::with(store, true)
    }

    fn with(store: impl Store + 'static, repeats: bool) -> Self {
        let (meddles, commits, loads) = Default::default();
        Self(Arc::new(Inside { store: Arc::new(store), meddles, repeats, commits, loads }))
    }

    /// What to do before the commits to come, one each.
    pub fn will(&self, meddles: impl IntoIterator<Item = Meddle>) {
        self.0.meddles.lock().extend(meddles);
    }

    /// How many commits were asked for.
    pub fn commits(&self) -> usize {
        self.0.commits.load(Ordering::SeqCst)
    }

    /// How many looks were asked for.
    pub fn loads(&self) -> usize {
        self.0.loads.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Store for Meddler {
    async fn load(&self, wanted: &Wanted) -> Result<Seen, StoreFault> {
        self.0.loads.fetch_add(1, Ordering::SeqCst);
        self.0.store.load(wanted).await
    }

    async fn commit(&self, change: &Change) -> Result<Applied, StoreFault> {
        self.0.commits.fetch_add(1, Ordering::SeqCst);
        let meddle = self.0.meddles.lock().pop_front();
        match meddle {
            None | Some(Meddle::Nothing) => {}
            Some(Meddle::First(other)) => {
                assert_eq!(self.0.store.commit(&other).await?, Applied::Done, "{other:?}");
            }
            Some(Meddle::FaultBefore(fault)) => return Err(fault),
            Some(Meddle::FaultAfter(fault)) => {
                self.0.store.commit(change).await?;
                return Err(fault);
            }
        }
        let applied = self.0.store.commit(change).await?;
        if self.0.repeats {
            let again = self.0.store.commit(change).await?;
            assert_eq!(again, applied, "repeated: {change:?}");
        }
        Ok(applied)
    }

    async fn pay(&self, toll: &Toll, rate: Rate, now: Millis) -> Result<Paid, StoreFault> {
        self.0.store.pay(toll, rate, now).await
    }

    async fn due(
        &self,
        now: Millis,
        after: Option<&SessionId>,
        limit: usize,
    ) -> Result<Vec<SessionId>, StoreFault> {
        self.0.store.due(now, after, limit).await
    }

    async fn members(
        &self,
        session: &SessionId,
        page: Page<'_>,
    ) -> Result<Vec<Connection>, StoreFault> {
        self.0.store.members(session, page).await
    }

    async fn forget(&self, session: &SessionId) -> Result<(), StoreFault> {
        self.0.store.forget(session).await
    }

    async fn totals(&self) -> Result<Totals, StoreFault> {
        self.0.store.totals().await
    }

    async fn check(&self) -> Result<(), StoreFault> {
        self.0.store.check().await
    }
}
