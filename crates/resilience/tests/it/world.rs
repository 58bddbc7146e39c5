//! A store that fails by plan round a small one that does not.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ambo_app::ports::{Outbox, Page, Paid, Store, StoreFault, Totals};
use ambo_core::rules::{OfSession, Seen, Toll, Wanted};
use ambo_core::{Applied, Change, Connection, Millis, Notice, Rate, SessionId};
use ambo_core::{ConnectionId, Session};
use ambo_resilience::{Health, Resilient, Settings, wrap};
use async_trait::async_trait;
use parking_lot::Mutex;

pub const NOW: Millis = Millis(1_700_000_000_000);

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Works,
    Transient,
    Unavailable,
    Contended,
    Broken,
    /// It never answers.
    Hangs,
    /// It is done, but the answer is lost.
    DoneButLost,
}

/// Fails each call as the plan says; when the plan is over, as it says of the operation.
#[derive(Default)]
pub struct Faulty {
    inner: Small,
    plan: Mutex<Vec<Fate>>,
    always: Mutex<HashMap<&'static str, Fate>>,
    calls: Mutex<BTreeMap<&'static str, u64>>,
}

impl Faulty {
    /// The fates of the next calls, whatever they are.
    pub fn plan(&self, fates: &[Fate]) {
        *self.plan.lock() = fates.iter().rev().copied().collect();
    }

    /// The fate of all calls of an operation.
    pub fn always(&self, operation: &'static str, fate: Fate) {
        self.always.lock().insert(operation, fate);
    }

    /// The fate of all calls.
    pub fn all(&self, fate: Fate) {
        for operation in ["load", "commit", "pay", "due", "members", "forget", "totals", "check"] {
            self.always(operation, fate);
        }
    }

    /// How often an operation got here.
    pub fn calls(&self, operation: &str) -> u64 {
        self.calls.lock().get(operation).copied().unwrap_or(0)
    }

    async fn fate<T>(
        &self,
        operation: &'static str,
        works: impl FnOnce() -> T,
    ) -> Result<T, StoreFault> {
        *self.calls.lock().entry(operation).or_default() += 1;
        let planned = self.plan.lock().pop();
        let usual = || self.always.lock().get(operation).copied().unwrap_or(Fate::Works);
        match planned.unwrap_or_else(usual) {
            Fate::Works => Ok(works()),
            Fate::Transient => Err(StoreFault::transient("a hiccup")),
            Fate::Unavailable => {
                Err(StoreFault::unavailable(Millis::from_secs(7), "the disk is full"))
            }
            Fate::Contended => Err(StoreFault::contended(Millis::from_secs(1), "a row is busy")),
            Fate::Broken => Err(StoreFault::broken("a row makes no sense")),
            Fate::Hangs => std::future::pending().await,
            Fate::DoneButLost => {
                works();
                Err(StoreFault::transient("the connection broke"))
            }
        }
    }
}

#[async_trait]
impl Store for Faulty {
    async fn load(&self, wanted: &Wanted) -> Result<Seen, StoreFault> {
        self.fate("load", || self.inner.load(wanted)).await
    }

    async fn commit(&self, change: &Change) -> Result<Applied, StoreFault> {
        self.fate("commit", || self.inner.commit(change)).await
    }

    async fn pay(&self, _: &Toll, _: Rate, _: Millis) -> Result<Paid, StoreFault> {
        self.fate("pay", || *self.inner.paid.lock()).await
    }

    async fn due(
        &self,
        _: Millis,
        _: Option<&SessionId>,
        _: usize,
    ) -> Result<Vec<SessionId>, StoreFault> {
        self.fate("due", Vec::new).await
    }

    async fn members(&self, _: &SessionId, _: Page<'_>) -> Result<Vec<Connection>, StoreFault> {
        self.fate("members", Vec::new).await
    }

    async fn forget(&self, _: &SessionId) -> Result<(), StoreFault> {
        self.fate("forget", || ()).await
    }

    async fn totals(&self) -> Result<Totals, StoreFault> {
        self.fate("totals", || self.inner.totals()).await
    }

    async fn check(&self) -> Result<(), StoreFault> {
        self.fate("check", || ()).await
    }
}

impl Faulty {
    /// What there is, past all faults.
    pub fn truth(&self) -> Totals {
        self.inner.totals()
    }

    /// What limits say from now on.
    pub fn limits_say(&self, paid: Paid) {
        *self.inner.paid.lock() = paid;
    }
}

/// As much of a store as a session that is made and joined needs.
struct Small {
    sessions: Mutex<BTreeMap<SessionId, Session>>,
    connections: Mutex<BTreeMap<ConnectionId, Connection>>,
    paid: Mutex<Paid>,
}

impl Default for Small {
    fn default() -> Self {
        let (sessions, connections) = (Mutex::default(), Mutex::default());
        Self { sessions, connections, paid: Mutex::new(Paid::Yes) }
    }
}

impl Small {
    fn load(&self, wanted: &Wanted) -> Seen {
        let connections = self.connections.lock();
        let own = wanted.own.as_ref().and_then(|own| connections.get(own)).cloned();
        let id = match &wanted.session {
            OfSession::No => None,
            OfSession::Named(id) => Some(id),
            OfSession::Own | OfSession::OwnIfSpeaker => own.as_ref().map(|own| &own.session),
        };
        let session = id.and_then(|id| self.sessions.lock().get(id).cloned());
        Seen { session, own, ..Seen::default() }
    }

    fn commit(&self, change: &Change) -> Applied {
        let (mut sessions, mut connections) = (self.sessions.lock(), self.connections.lock());
        match change {
            Change::Open { session, connection } => {
                let there = sessions.get(&session.id);
                if there.is_some_and(|there| there.speaker != session.speaker) {
                    return Applied::Stale;
                }
                sessions.insert(session.id.clone(), session.clone());
                connections.insert(connection.id.clone(), connection.clone());
            }
            Change::Admit { connection, .. } => {
                let Some(session) = sessions.get_mut(&connection.session) else {
                    return Applied::Stale;
                };
                if connections.insert(connection.id.clone(), connection.clone()).is_none() {
                    session.listeners += 1;
                }
            }
            _ => panic!("this small store does not know {}", change.name()),
        }
        Applied::Done
    }

    fn totals(&self) -> Totals {
        let sessions = self.sessions.lock();
        let listeners = sessions.values().map(|session| u64::from(session.listeners)).sum();
        Totals { sessions: sessions.len() as u64, listeners }
    }
}

/// A faulty store in all its wrappers.
pub struct Wrapped {
    pub faulty: Arc<Faulty>,
    pub store: Arc<dyn Store>,
    pub health: Arc<Health>,
}

pub fn wrapped() -> Wrapped {
    let faulty = Arc::new(Faulty::default());
    let Resilient { store, health } = wrap(faulty.clone(), &Settings::default());
    Wrapped { faulty, store, health }
}

/// Counts what it was to deliver.
#[derive(Default)]
pub struct Counting(pub AtomicU64);

#[async_trait]
impl Outbox for Counting {
    async fn deliver(&self, _: &Notice, _: Millis) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Lets the test's time pass.
pub async fn pass(span: Duration) {
    tokio::time::advance(span).await;
}
