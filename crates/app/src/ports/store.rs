//! The state of all sessions, and the guarded changes that may be made to it.

use std::error::Error;

use ambo_core::rules::{Seen, Toll, Wanted};
use ambo_core::{Applied, Change, Connection, ConnectionId, Millis, Rate, SessionId};
use async_trait::async_trait;

/// Keeps sessions, connections and limits.
///
/// Everything it promises is held by `ambo_testkit`'s suite, which every adapter passes.
#[async_trait]
pub trait Store: Send + Sync {
    /// What an event wants to see. The answer may be stale by the time it arrives, but each
    /// record in it was true at one moment after the call began. An ended session is not seen,
    /// nor are its connections.
    async fn load(&self, wanted: &Wanted) -> Result<Seen, StoreFault>;

    /// Applies a change whole or not at all, after checking its guard in the same step.
    ///
    /// Repeating a change that was applied is harmless and says `Done`. After a fault the change
    /// may or may not have been applied; repeating it finds out. When an [`Open`](Change::Open)
    /// or [`End`](Change::End) is `Done`, it survives a crash of everything, where the store
    /// outlives its process at all.
    async fn commit(&self, change: &Change) -> Result<Applied, StoreFault>;

    /// Takes from, or looks into, one bucket in one step. A rate that is off is always paid and
    /// keeps nothing.
    async fn pay(&self, toll: &Toll, rate: Rate, now: Millis) -> Result<Paid, StoreFault>;

    /// At most `limit` sessions that have expired, or whose lost speaker's grace is over, at
    /// `now`, in order of id, the first of them after `after`. Sessions that end or begin while
    /// pages are asked for may or may not appear.
    async fn due(
        &self,
        now: Millis,
        after: Option<&SessionId>,
        limit: usize,
    ) -> Result<Vec<SessionId>, StoreFault>;

    /// One page of a session's connections, the speaker's included, in no particular order, each
    /// once over all pages if it is there throughout.
    async fn members(
        &self,
        session: &SessionId,
        page: Page<'_>,
    ) -> Result<Vec<Connection>, StoreFault>;

    /// Removes what is left of an ended session once everybody was told. Does nothing to one that
    /// has not ended.
    async fn forget(&self, session: &SessionId) -> Result<(), StoreFault>;

    /// How much there is, for metrics; need not be exact while it changes.
    async fn totals(&self) -> Result<Totals, StoreFault>;

    /// Whether the store can take changes right now, for a readiness probe. Cheap.
    async fn check(&self) -> Result<(), StoreFault>;
}

/// Which part of a listing is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// Members after this one, in the listing's own order; `None` for the first page.
    pub after: Option<&'a ConnectionId>,
    /// At most so many.
    pub limit: usize,
}

/// Whether a toll was paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paid {
    /// It was, or there is no limit.
    Yes,
    /// It was not, and will be possible after this span.
    Wait(Millis),
}

/// How much a store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Sessions that have not ended.
    pub sessions: u64,
    /// Their listeners.
    pub listeners: u64,
}

/// A fault of the store: ours, not the client's.
#[derive(Debug, thiserror::Error)]
#[error("store: {kind}")]
pub struct StoreFault {
    /// What can be done about it.
    pub kind: FaultKind,
    /// What happened.
    pub source: Box<dyn Error + Send + Sync>,
}

impl StoreFault {
    /// A fault that trying again at once may cure.
    pub fn transient(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { kind: FaultKind::Transient, source: source.into() }
    }

    /// A fault that only time or an operator cures: a full disk, an engine that is down.
    pub fn unavailable(
        retry_after: Millis,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self { kind: FaultKind::Unavailable { retry_after }, source: source.into() }
    }

    /// A fault of one row that too many want at this moment. The store is well.
    pub fn contended(retry_after: Millis, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { kind: FaultKind::Contended { retry_after }, source: source.into() }
    }

    /// A fault that should not be: a row that cannot be read, a bug.
    pub fn broken(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { kind: FaultKind::Broken, source: source.into() }
    }
}

/// What can be done about a store's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// Try again at once.
    Transient,
    /// Try again later.
    Unavailable {
        /// After this span.
        retry_after: Millis,
    },
    /// Try again later; whatever touches other rows may go on meanwhile.
    Contended {
        /// After this span.
        retry_after: Millis,
    },
    /// Do not try again.
    Broken,
}

impl std::fmt::Display for FaultKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Transient => f.write_str("transient fault"),
            Self::Unavailable { retry_after } => write!(f, "unavailable for {retry_after}"),
            Self::Contended { retry_after } => write!(f, "contended for {retry_after}"),
            Self::Broken => f.write_str("broken"),
        }
    }
}
