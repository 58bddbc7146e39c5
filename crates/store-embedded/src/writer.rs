//! The thread that writes: whoever waits for the disk waits together.
//!
//! While one transaction is on its way to the disk, the next one gathers. Openings and endings
//! are settled in the world by this thread, not by those who wait for them, so that a caller that
//! gives up waiting leaves nothing half done.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ambo_app::ports::StoreFault;
use ambo_core::limits::{Identity, Operation};
use ambo_core::{Applied, Bucket, Connection, Millis, Session, SessionId};
use parking_lot::{Condvar, Mutex};
use rusqlite::ErrorCode;
use tokio::sync::oneshot;

use crate::buckets::Spent;
use crate::database::{Database, Rows, SessionRow};
use crate::error::WriteError;
use crate::world::{Lasting, World};

/// Openings and endings that may wait at once; at 5,000 writes a second, 2 s of them.
const MAX_WAITING: usize = 10_000;
/// Rate windows are written no more often than this.
const BUCKET_INTERVAL: Duration = Duration::from_secs(1);
/// Rate windows that wait for the disk; what is above is not kept over a restart.
const MAX_SPENT: usize = 100_000;
/// Stored buckets that have become full are removed this often.
const CLEAN_INTERVAL: Duration = Duration::from_secs(60);
/// A disk that failed is tried this often, with what waits or with a probe.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// When a client may come back after a write that failed: room is not made in an instant.
const RETRY_AFTER: Millis = Millis::from_secs(5);

/// What callers and the thread share.
pub(crate) struct Writer {
    inbox: Mutex<Inbox>,
    wake: Condvar,
}

/// What a waiting caller is told.
pub(crate) type Written = oneshot::Receiver<Result<Applied, StoreFault>>;

#[derive(Default)]
struct Inbox {
    jobs: Vec<Job>,
    /// What changed of sessions that go on; the last word counts.
    lasting: HashMap<SessionId, Lasting>,
    spent: HashMap<(Operation, Identity), Bucket>,
    /// The latest moment at which anybody paid.
    paid_at: Millis,
    /// Why the last write failed, until one succeeds.
    failing: Option<WriteError>,
    closing: bool,
}

struct Job {
    what: What,
    caller: oneshot::Sender<Result<Applied, StoreFault>>,
}

enum What {
    Begin { session: Session, connection: Connection },
    End { session: SessionId },
}

/// What is written together.
struct Batch {
    jobs: Vec<Job>,
    lasting: Vec<Lasting>,
    spent: Vec<Spent>,
    full_by: Option<Millis>,
    probe: bool,
}

/// What the thread remembers from batch to batch.
struct Pace {
    buckets_at: Instant,
    cleaned_at: Instant,
    tried_at: Instant,
}

impl Writer {
    pub(crate) fn new() -> Self {
        Self { inbox: Mutex::new(Inbox::default()), wake: Condvar::new() }
    }

    /// Hands over a session that was reserved. Called under the world's lock, as are the others
    /// here but [`spend`](Self::spend), so that the disk sees changes in the world's order.
    pub(crate) fn begin(
        &self,
        session: Session,
        connection: Connection,
    ) -> Result<Written, StoreFault> {
        self.enqueue(What::Begin { session, connection })
    }

    /// Hands over a session that was marked as ending.
    pub(crate) fn end(&self, session: SessionId) -> Result<Written, StoreFault> {
        self.enqueue(What::End { session })
    }

    /// Hands over what changed of a session. Nobody waits for it.
    pub(crate) fn keep(&self, lasting: Lasting) {
        let mut inbox = self.inbox.lock();
        inbox.lasting.insert(lasting.id.clone(), lasting);
        self.wake.notify_one();
    }

    /// Hands over a bucket. Nobody waits for it, and it may take a second.
    pub(crate) fn spend(&self, spent: Spent, now: Millis) {
        let mut inbox = self.inbox.lock();
        inbox.paid_at = inbox.paid_at.max(now);
        if inbox.spent.len() >= MAX_SPENT {
            return;
        }
        inbox.spent.insert((spent.operation, spent.identity), spent.bucket);
        if inbox.spent.len() == 1 {
            self.wake.notify_one();
        }
    }

    /// Whether the last write succeeded.
    pub(crate) fn check(&self) -> Result<(), StoreFault> {
        let inbox = self.inbox.lock();
        if inbox.closing {
            return Err(fault(WriteError::Closed));
        }
        inbox.failing.clone().map_or(Ok(()), |error| Err(fault(error)))
    }

    /// Tells the thread to write what is left and to stop.
    pub(crate) fn close(&self) {
        self.inbox.lock().closing = true;
        self.wake.notify_one();
    }

    /// Why what was left at the end could not be written, if so.
    pub(crate) fn last_failure(&self) -> Option<StoreFault> {
        self.inbox.lock().failing.clone().map(fault)
    }

    fn enqueue(&self, what: What) -> Result<Written, StoreFault> {
        let mut inbox = self.inbox.lock();
        if inbox.closing {
            return Err(fault(WriteError::Closed));
        }
        if inbox.jobs.len() >= MAX_WAITING {
            return Err(fault(WriteError::Busy));
        }
        let (caller, written) = oneshot::channel();
        inbox.jobs.push(Job { what, caller });
        self.wake.notify_one();
        Ok(written)
    }

    /// The thread: writes until it is closed and nothing is left.
    pub(crate) fn run(&self, mut database: Database, world: &Mutex<World>) {
        let mut pace = Pace::new();
        while let Some(batch) = self.next_batch(&mut pace) {
            let written = database.write(&batch.rows()).map_err(Arc::new);
            let written = written.map_err(WriteError::Database);
            if self.note(&written, &batch) {
                self.put_back(batch.lasting);
            }
            settle(batch.jobs, &written, world);
        }
    }

    /// Waits for something to write; `None` once it is closed and all is written or lost.
    fn next_batch(&self, pace: &mut Pace) -> Option<Batch> {
        let mut inbox = self.inbox.lock();
        loop {
            let now = Instant::now();
            if inbox.is_due(pace, now) {
                return Some(inbox.take(pace, now));
            }
            if inbox.closing {
                return None;
            }
            match inbox.next_look(pace) {
                Some(at) => drop(self.wake.wait_until(&mut inbox, at)),
                None => self.wake.wait(&mut inbox),
            }
        }
    }

    /// Notes how a write went, and says so when it goes otherwise than before. Those who waited
    /// are told by a fault of their own. Whether what was lasting is to be tried again.
    fn note(&self, written: &Result<(), WriteError>, batch: &Batch) -> bool {
        let error = written.as_ref().err().cloned();
        let (before, is_last) = {
            let mut inbox = self.inbox.lock();
            (std::mem::replace(&mut inbox.failing, error), inbox.closing)
        };
        match (written, before) {
            (Ok(()), None) => {}
            (Ok(()), Some(_)) => {
                tracing::info!(component = "store", operation = "write", "the disk is back");
            }
            (Err(WriteError::Database(cause)), None) if batch.jobs.is_empty() => tracing::error!(
                component = "store",
                operation = "write",
                error = %cause,
                "what changed of sessions could not be written; it is tried again"
            ),
            (Err(_), _) => {}
        }
        // At the end there is nobody to try again.
        written.is_err() && !is_last
    }

    fn put_back(&self, lasting: Vec<Lasting>) {
        let mut inbox = self.inbox.lock();
        for row in lasting {
            inbox.lasting.entry(row.id.clone()).or_insert(row);
        }
    }
}

impl Inbox {
    fn is_due(&self, pace: &Pace, now: Instant) -> bool {
        let is_left = !self.lasting.is_empty() || !self.spent.is_empty();
        if !self.jobs.is_empty() || (self.closing && is_left) {
            return true;
        }
        if self.failing.is_some() {
            return now >= pace.tried_at + PROBE_INTERVAL && !self.closing;
        }
        !self.lasting.is_empty()
            || (!self.spent.is_empty() && now >= pace.buckets_at + BUCKET_INTERVAL)
    }

    /// When something becomes due by time alone.
    fn next_look(&self, pace: &Pace) -> Option<Instant> {
        if self.failing.is_some() {
            return Some(pace.tried_at + PROBE_INTERVAL);
        }
        (!self.spent.is_empty()).then(|| pace.buckets_at + BUCKET_INTERVAL)
    }

    fn take(&mut self, pace: &mut Pace, now: Instant) -> Batch {
        let mut batch = Batch {
            jobs: std::mem::take(&mut self.jobs),
            lasting: self.lasting.drain().map(|(_, lasting)| lasting).collect(),
            spent: Vec::new(),
            full_by: None,
            probe: self.failing.is_some(),
        };
        if self.closing || now >= pace.buckets_at + BUCKET_INTERVAL {
            let spent = self.spent.drain();
            let spent =
                spent.map(|((operation, identity), bucket)| Spent { operation, identity, bucket });
            batch.spent = spent.collect();
            pace.buckets_at = now;
            if !batch.spent.is_empty() && now >= pace.cleaned_at + CLEAN_INTERVAL {
                batch.full_by = Some(self.paid_at);
                pace.cleaned_at = now;
            }
        }
        pace.tried_at = now;
        batch
    }
}

impl Batch {
    fn rows(&self) -> Rows<'_> {
        Rows {
            sessions: self.jobs.iter().map(Job::row).collect(),
            lasting: self.lasting.iter().collect(),
            spent: self.spent.iter().collect(),
            full_by: self.full_by,
            probe: self.probe,
        }
    }
}

impl Job {
    fn row(&self) -> SessionRow<'_> {
        match &self.what {
            What::Begin { session, .. } => SessionRow::Begins(session),
            What::End { session } => SessionRow::Ends(session),
        }
    }
}

impl Pace {
    fn new() -> Self {
        let now = Instant::now();
        Self { buckets_at: now, cleaned_at: now, tried_at: now }
    }
}

/// Makes true in memory what is true on disk, and tells those who wait.
fn settle(jobs: Vec<Job>, written: &Result<(), WriteError>, world: &Mutex<World>) {
    for Job { what, caller } in jobs {
        let outcome = match written {
            Ok(()) => {
                complete(what, &mut world.lock());
                Ok(Applied::Done)
            }
            Err(error) => {
                undo(&what, &mut world.lock());
                Err(fault(error.clone()))
            }
        };
        // Nobody may be waiting any more; the change holds all the same.
        let _ = caller.send(outcome);
    }
}

fn complete(what: What, world: &mut World) {
    match what {
        What::Begin { session, connection } => world.open(session, connection),
        What::End { session } => world.end(&session),
    }
}

fn undo(what: &What, world: &mut World) {
    match what {
        What::Begin { session, .. } => world.unreserve(&session.id),
        What::End { session } => world.go_on(session),
    }
}

/// What the walk makes of a write that failed: a full or broken disk may be mended, a damaged
/// file is not.
pub(crate) fn fault(error: WriteError) -> StoreFault {
    let code = match &error {
        WriteError::Database(cause) => cause.sqlite_error_code(),
        WriteError::Busy => return StoreFault::transient(error),
        WriteError::Closed => None,
    };
    match code {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreFault::transient(error),
        Some(
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::ConstraintViolation,
        ) => StoreFault::broken(error),
        _ => StoreFault::unavailable(RETRY_AFTER, error),
    }
}
