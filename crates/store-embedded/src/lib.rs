//! The embedded store: state in memory, sessions durable in SQLite.
//!
//! ```text
//! load, members, due, totals ──► world (one lock) ◄── settles openings and endings
//! commit ──► world ── Open, End: wait ──────────► writer thread ──► SQLite, one fsync a batch
//!              └──── Attach, Steer, extension: go on ──┘  ▲
//! pay ──► buckets (a lock an operation) ── once a second ─┘
//! ```
//!
//! *Invariant*: no join, heartbeat, departure or limit waits for the disk; only `Open` and `End`
//! do, and what would contradict an `End` that is being written.
//! *Invariant*: a change is one step under one lock, and no lock is held while anybody waits.
//! *Invariant*: what the disk did not take did not happen: a session whose `Open` failed was never
//! seen, one whose `End` failed goes on.
//!
//! What survives a crash: sessions whose `Open` was acknowledged, until their `End` is; and what
//! users and guessers have spent of their limits, but for the last second. Listeners do not, as
//! their sockets are gone. Where the speaker was is not kept either: after a restart each is lost,
//! and awaited.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod buckets;
mod database;
mod error;
#[cfg(test)]
mod tests;
mod world;
mod writer;

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use ambo_app::ports::{Page, Paid, Store, StoreFault, Totals};
use ambo_core::rules::{Seen, Toll, Wanted};
use ambo_core::{Applied, Change, Connection, Millis, Rate, SessionId};
use async_trait::async_trait;
use parking_lot::Mutex;

use buckets::Buckets;
use database::Database;
pub use error::OpenError;
use error::WriteError;
use world::{Step, World};
use writer::{Writer, Written};

/// The database's name in the data directory. SQLite keeps two more files beside it.
pub const DATABASE_FILE: &str = "ambo.db";
/// Locked while a server uses the directory, so that a second one is refused. Never removed.
pub const LOCK_FILE: &str = "ambo.lock";

/// Where the store keeps its file, and how it begins.
#[derive(Clone, Debug)]
pub struct EmbeddedSettings {
    /// The data directory; made if it is not there, for this user's eyes only.
    pub directory: PathBuf,
    /// How long, from `now` on, the speakers of the sessions found are awaited.
    pub speaker_grace: Millis,
    /// The moment of the start: sessions that have expired by then are not brought back.
    pub now: Millis,
}

/// The store of one standalone server.
pub struct EmbeddedStore {
    world: Arc<Mutex<World>>,
    buckets: Buckets,
    disk: Option<Disk>,
}

struct Disk {
    writer: Arc<Writer>,
    thread: Mutex<Option<Thread>>,
}

/// The writer's thread, and what it alone may use until it is done.
struct Thread {
    handle: JoinHandle<()>,
    _lock: File,
}

impl EmbeddedStore {
    /// Opens a data directory and brings back the sessions that have not ended. Blocks for some
    /// milliseconds.
    pub fn open(settings: &EmbeddedSettings) -> Result<Self, OpenError> {
        Self::open_with(settings, |_| {})
    }

    /// The same, with a last word on the file before it is used.
    fn open_with(
        settings: &EmbeddedSettings,
        prepare: impl FnOnce(&Database),
    ) -> Result<Self, OpenError> {
        let directory = &settings.directory;
        let unusable = |source| OpenError::Directory { path: directory.clone(), source };
        make_directory(directory).map_err(unusable)?;
        let lock = lock(directory)?;
        let path = directory.join(DATABASE_FILE);
        make_private(&path).map_err(unusable)?;
        let mut database = Database::open(&path)?;
        let kept = database.read(&path, settings.now, settings.speaker_grace)?;
        prepare(&database);
        sync_names(directory).map_err(unusable)?;

        let mut store = Self::in_memory();
        for session in kept.sessions {
            store.world.lock().restore(session);
        }
        for spent in kept.spent {
            store.buckets.restore(spent, settings.now);
        }
        let writer = Arc::new(Writer::new());
        let (world, its_writer) = (Arc::clone(&store.world), Arc::clone(&writer));
        let handle = std::thread::Builder::new()
            .name("ambo-store-writer".into())
            .spawn(move || its_writer.run(database, &world))
            .map_err(OpenError::Thread)?;
        let thread = Mutex::new(Some(Thread { handle, _lock: lock }));
        store.disk = Some(Disk { writer, thread });
        Ok(store)
    }

    /// A store that keeps nothing over a restart, for tests and trials.
    pub fn in_memory() -> Self {
        Self { world: Arc::default(), buckets: Buckets::new(), disk: None }
    }

    /// Writes what is left and lets go of the data directory. From here on no session begins or
    /// ends; everything else works. An error says that something was left unwritten.
    pub async fn close(&self) -> Result<(), StoreFault> {
        let Some(disk) = &self.disk else { return Ok(()) };
        disk.writer.close();
        if let Some(thread) = disk.take_thread() {
            let joined = tokio::task::spawn_blocking(move || thread.handle.join().is_ok()).await;
            if !matches!(joined, Ok(true)) {
                return Err(StoreFault::broken("the store's writer has panicked"));
            }
        }
        disk.writer.last_failure().map_or(Ok(()), Err)
    }

    /// The one step of a change in memory, and the writer's part of it.
    fn step(&self, change: &Change) -> Result<Next, StoreFault> {
        let mut world = self.world.lock();
        match (world.apply(change), &self.disk) {
            (Step::Settled(applied, lasting), disk) => {
                if let (Some(lasting), Some(disk)) = (lasting, disk) {
                    disk.writer.keep(lasting);
                }
                Ok(Next::Settled(applied))
            }
            (Step::Busy(turn), _) => Ok(Next::Look(turn)),
            (Step::Write, None) => {
                complete(&mut world, change);
                Ok(Next::Settled(Applied::Done))
            }
            (Step::Write, Some(disk)) => {
                let handed = hand_over(&disk.writer, change);
                if handed.is_err() {
                    undo(&mut world, change);
                }
                handed.map(Next::Written)
            }
        }
    }
}

/// What a change waits for.
enum Next {
    /// Nothing.
    Settled(Applied),
    /// The disk.
    Written(Written),
    /// Another change of the same session; then it is tried again.
    Look(tokio::sync::oneshot::Receiver<()>),
}

#[async_trait]
impl Store for EmbeddedStore {
    async fn load(&self, wanted: &Wanted) -> Result<Seen, StoreFault> {
        Ok(self.world.lock().load(wanted))
    }

    async fn commit(&self, change: &Change) -> Result<Applied, StoreFault> {
        loop {
            match self.step(change)? {
                Next::Settled(applied) => return Ok(applied),
                Next::Written(written) => {
                    let gone = |_| Err(writer::fault(WriteError::Closed));
                    return written.await.unwrap_or_else(gone);
                }
                // It ends by being dropped, whichever way the other change went.
                Next::Look(turn) => drop(turn.await),
            }
        }
    }

    async fn pay(&self, toll: &Toll, rate: Rate, now: Millis) -> Result<Paid, StoreFault> {
        let (paid, spent) = self.buckets.pay(toll, rate, now);
        if let (Some(spent), Some(disk)) = (spent, &self.disk)
            && database::is_lasting(spent.operation)
        {
            disk.writer.spend(spent, now);
        }
        Ok(paid)
    }

    async fn due(
        &self,
        now: Millis,
        after: Option<&SessionId>,
        limit: usize,
    ) -> Result<Vec<SessionId>, StoreFault> {
        Ok(self.world.lock().due(now, after, limit))
    }

    async fn members(
        &self,
        session: &SessionId,
        page: Page<'_>,
    ) -> Result<Vec<Connection>, StoreFault> {
        Ok(self.world.lock().members(session, page))
    }

    /// Nothing: an `End` leaves nothing behind.
    async fn forget(&self, _session: &SessionId) -> Result<(), StoreFault> {
        Ok(())
    }

    async fn totals(&self) -> Result<Totals, StoreFault> {
        Ok(self.world.lock().totals())
    }

    async fn check(&self) -> Result<(), StoreFault> {
        self.disk.as_ref().map_or(Ok(()), |disk| disk.writer.check())
    }
}

impl Drop for EmbeddedStore {
    /// Waits for the writer, so that the directory is free once the store is gone.
    fn drop(&mut self) {
        let Some(disk) = &self.disk else { return };
        disk.writer.close();
        if let Some(thread) = disk.take_thread() {
            let _ = thread.handle.join();
        }
    }
}

impl Disk {
    fn take_thread(&self) -> Option<Thread> {
        self.thread.lock().take()
    }
}

fn hand_over(writer: &Writer, change: &Change) -> Result<Written, StoreFault> {
    match change {
        Change::Open { session, connection } => writer.begin(session.clone(), connection.clone()),
        Change::End { session, .. } => writer.end(session.clone()),
        other => Err(StoreFault::broken(format!("a {} is not written first", other.name()))),
    }
}

fn complete(world: &mut World, change: &Change) {
    match change {
        Change::Open { session, connection } => world.open(session.clone(), connection.clone()),
        Change::End { session, .. } => world.end(session),
        _ => {}
    }
}

fn undo(world: &mut World, change: &Change) {
    match change {
        Change::Open { session, .. } => world.unreserve(&session.id),
        Change::End { session, .. } => world.go_on(session),
        _ => {}
    }
}

/// Users' names and source addresses lie in it: nobody else's business.
fn make_directory(path: &Path) -> std::io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Makes a file for this user only, where there is none; SQLite gives its others the same mode.
fn make_private(path: &Path) -> std::io::Result<()> {
    let mut options = File::options();
    options.create(true).read(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

/// Sees to it that the names of new files survive a loss of power, as their contents do.
fn sync_names(directory: &Path) -> std::io::Result<()> {
    if cfg!(unix) { File::open(directory)?.sync_all() } else { Ok(()) }
}

fn lock(directory: &Path) -> Result<File, OpenError> {
    let path = directory.to_owned();
    let opened = File::options().create(true).append(true).open(directory.join(LOCK_FILE));
    let file = match opened {
        Ok(file) => file,
        Err(source) => return Err(OpenError::Directory { path, source }),
    };
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path }),
        Err(TryLockError::Error(source)) => Err(OpenError::Directory { path, source }),
    }
}
