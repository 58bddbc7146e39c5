//! The file: sessions and rate windows in SQLite.

use std::path::Path;
use std::time::Duration;

use ambo_core::limits::{Identity, Operation};
use ambo_core::{
    Bucket, Language, Millis, QualityTier, Session, SessionId, SourceAddress, Speaker, UserId,
};
use rusqlite::{Connection, ErrorCode, OpenFlags, Row, Transaction, TransactionBehavior, params};

use crate::buckets::Spent;
use crate::error::OpenError;
use crate::world::Lasting;

/// "Ambo" in ASCII: how SQLite's header tells our files from others.
const APPLICATION_ID: i64 = 0x416d_626f;
/// Raised when the tables below change.
const SCHEMA_VERSION: i64 = 2;
/// How long a write waits for an operator who looks into the file by hand.
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);

const SCHEMA: &str = "
    CREATE TABLE session (
        id TEXT PRIMARY KEY,
        owner TEXT NOT NULL,
        source_language TEXT NOT NULL,
        quality TEXT NOT NULL,
        created_at INTEGER NOT NULL, -- ms since 1970
        expires_at INTEGER NOT NULL, -- ms since 1970
        paused INTEGER NOT NULL,
        muted INTEGER NOT NULL,
        changed_at INTEGER NOT NULL DEFAULT 0 -- ms since 1970
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE bucket (
        operation TEXT NOT NULL,
        identity BLOB NOT NULL,      -- a user's name, or 16 bytes of a source address
        full_at INTEGER NOT NULL,    -- µs since 1970
        PRIMARY KEY (operation, identity)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX bucket_by_time ON bucket (full_at);
    CREATE TABLE probe (id INTEGER PRIMARY KEY CHECK (id = 1), written INTEGER NOT NULL) STRICT;
";

/// What a file of the first version lacks.
const SINCE_VERSION_1: &str =
    "ALTER TABLE session ADD COLUMN changed_at INTEGER NOT NULL DEFAULT 0";

/// An open file.
pub(crate) struct Database {
    connection: Connection,
}

/// What one transaction writes, in this order.
#[derive(Default)]
pub(crate) struct Rows<'a> {
    pub(crate) sessions: Vec<SessionRow<'a>>,
    pub(crate) lasting: Vec<&'a Lasting>,
    pub(crate) spent: Vec<&'a Spent>,
    /// Buckets that are full by then are removed.
    pub(crate) full_by: Option<Millis>,
    /// Something is written even if there is nothing to write.
    pub(crate) probe: bool,
}

/// A session that begins or ends.
pub(crate) enum SessionRow<'a> {
    Begins(&'a Session),
    Ends(&'a SessionId),
}

/// What a file held when it was opened.
pub(crate) struct Kept {
    pub(crate) sessions: Vec<Session>,
    pub(crate) spent: Vec<Spent>,
}

/// Whether a bucket outlives the process: where losing it would give away what was spent.
pub(crate) fn is_lasting(operation: Operation) -> bool {
    match operation {
        Operation::CreateSession | Operation::RefusedJoin => true,
        Operation::JoinSession
        | Operation::Connect
        | Operation::Heartbeat
        | Operation::Control
        | Operation::Status
        | Operation::Audio => false,
    }
}

impl Database {
    /// Opens a file, or makes a new one.
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        let failed = |error| open_error(path, error);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_EXRESCODE;
        let mut connection = Connection::open_with_flags(path, flags).map_err(failed)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
        // Before anything is written: what is not ours stays as it is.
        let found = examine(&connection, path)?;
        configure(&connection).map_err(failed)?;
        match found {
            0 => build(&mut connection, SCHEMA).map_err(failed)?,
            1 => build(&mut connection, SINCE_VERSION_1).map_err(failed)?,
            _ => {}
        }
        Ok(Self { connection })
    }

    /// Removes what time has ended and reads the rest. Every session that comes back has lost its
    /// speaker, who is awaited for `grace`.
    pub(crate) fn read(
        &mut self,
        path: &Path,
        now: Millis,
        grace: Millis,
    ) -> Result<Kept, OpenError> {
        let failed = |error| open_error(path, error);
        let until = now + grace;
        let connection = &self.connection;
        connection
            .execute("DELETE FROM session WHERE expires_at <= ?1", [integer(now.0)])
            .and_then(|_| remove_full(connection, now))
            .map_err(failed)?;
        let sessions = "SELECT id, owner, source_language, quality, created_at, expires_at, \
                        paused, muted, changed_at FROM session";
        let sessions = self.rows(path, sessions, |row| session_of(row, now, until))?;
        let spent = self.rows(path, "SELECT operation, identity, full_at FROM bucket", spent_of)?;
        Ok(Kept { sessions, spent })
    }

    /// Writes all of it, or nothing. When it returns, it survives a loss of power.
    pub(crate) fn write(&mut self, rows: &Rows<'_>) -> Result<(), rusqlite::Error> {
        let behavior = TransactionBehavior::Immediate;
        let transaction = self.connection.transaction_with_behavior(behavior)?;
        write_sessions(&transaction, &rows.sessions)?;
        write_lasting(&transaction, &rows.lasting)?;
        write_spent(&transaction, &rows.spent)?;
        if let Some(now) = rows.full_by {
            remove_full(&transaction, now)?;
        }
        if rows.probe {
            let upsert = "INSERT INTO probe VALUES (1, 1) \
                          ON CONFLICT (id) DO UPDATE SET written = written + 1";
            transaction.prepare_cached(upsert)?.execute([])?;
        }
        transaction.commit()
    }

    fn rows<T>(
        &self,
        path: &Path,
        query: &str,
        read: impl Fn(&Row<'_>) -> rusqlite::Result<Option<T>>,
    ) -> Result<Vec<T>, OpenError> {
        let failed = |error| open_error(path, error);
        let mut statement = self.connection.prepare(query).map_err(failed)?;
        let rows = statement.query_map([], |row| read(row)).map_err(failed)?;
        let unreadable = || OpenError::Corrupt { path: path.into(), what: "unreadable row".into() };
        rows.map(|row| row.map_err(failed)?.ok_or_else(unreadable)).collect()
    }

    /// Lets the file grow no further than it is: a full disk, for tests.
    #[cfg(test)]
    pub(crate) fn limit_to_pages(&self, pages: i64) {
        let limit = |row: &Row<'_>| row.get::<_, i64>(0);
        self.connection.pragma_update_and_check(None, "max_page_count", pages, limit).unwrap();
    }
}

/// The file's version, 0 for an empty one; an error if it is not one of ours, or not whole.
fn examine(connection: &Connection, path: &Path) -> Result<i64, OpenError> {
    let failed = |error| open_error(path, error);
    let pragma = |name: &str| -> Result<i64, OpenError> {
        connection.pragma_query_value(None, name, |row| row.get(0)).map_err(failed)
    };
    let (application, version) = (pragma("application_id")?, pragma("user_version")?);
    if application != APPLICATION_ID {
        let count = "SELECT count(*) FROM sqlite_schema";
        let tables: i64 = connection.query_row(count, [], |row| row.get(0)).map_err(failed)?;
        let is_empty = application == 0 && version == 0 && tables == 0;
        return if is_empty { Ok(0) } else { Err(OpenError::Foreign { path: path.into() }) };
    }
    if version > SCHEMA_VERSION {
        return Err(OpenError::Newer { path: path.into(), found: version, known: SCHEMA_VERSION });
    }
    let check = |row: &Row<'_>| row.get::<_, String>(0);
    let what = connection.pragma_query_value(None, "quick_check", check).map_err(failed)?;
    if what == "ok" { Ok(version) } else { Err(OpenError::Corrupt { path: path.into(), what }) }
}

fn configure(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    // FULL: a commit is on the disk when it returns, not only safe from a crash of the process.
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update_and_check(None, "journal_size_limit", 16 << 20, |_| Ok(()))
}

/// What a file is missing, in one transaction with its header: one that is half made is new.
fn build(connection: &mut Connection, missing: &str) -> Result<(), rusqlite::Error> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(missing)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    transaction.commit()
}

fn write_sessions(
    transaction: &Transaction<'_>,
    rows: &[SessionRow<'_>],
) -> Result<(), rusqlite::Error> {
    let begin = "INSERT OR REPLACE INTO session VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let mut begin = transaction.prepare_cached(begin)?;
    let mut end = transaction.prepare_cached("DELETE FROM session WHERE id = ?1")?;
    for row in rows {
        match row {
            SessionRow::Begins(session) => begin.execute(params![
                session.id.as_str(),
                session.owner.as_str(),
                session.source_language.as_str(),
                session.quality.as_str(),
                integer(session.created_at.0),
                integer(session.expires_at.0),
                session.paused,
                session.muted,
                integer(session.last_state_change.0),
            ])?,
            SessionRow::Ends(id) => end.execute([id.as_str()])?,
        };
    }
    Ok(())
}

fn write_lasting(transaction: &Transaction<'_>, rows: &[&Lasting]) -> Result<(), rusqlite::Error> {
    // Nothing happens where the session has ended meanwhile.
    let update = "UPDATE session SET expires_at = ?2, paused = ?3, muted = ?4, changed_at = ?5 \
                  WHERE id = ?1";
    let mut update = transaction.prepare_cached(update)?;
    for row in rows {
        let [expires_at, changed_at] = [row.expires_at, row.changed_at].map(|it| integer(it.0));
        update.execute(params![row.id.as_str(), expires_at, row.paused, row.muted, changed_at])?;
    }
    Ok(())
}

fn write_spent(transaction: &Transaction<'_>, rows: &[&Spent]) -> Result<(), rusqlite::Error> {
    let upsert = "INSERT OR REPLACE INTO bucket VALUES (?1, ?2, ?3)";
    let mut upsert = transaction.prepare_cached(upsert)?;
    for row in rows {
        let identity: &[u8] = match &row.identity {
            Identity::User(user) => user.as_str().as_bytes(),
            Identity::Source(source) => source.as_bytes(),
            Identity::Connection(connection) => connection.as_str().as_bytes(),
        };
        upsert.execute(params![row.operation.as_str(), identity, integer(row.bucket.0)])?;
    }
    Ok(())
}

fn remove_full(connection: &Connection, now: Millis) -> Result<(), rusqlite::Error> {
    let micros = integer(now.0.saturating_mul(1_000));
    connection.prepare_cached("DELETE FROM bucket WHERE full_at <= ?1")?.execute([micros])?;
    Ok(())
}

/// A stored session; `None` if the row holds what no session can.
fn session_of(row: &Row<'_>, now: Millis, until: Millis) -> rusqlite::Result<Option<Session>> {
    let text = |at: usize| row.get_ref(at)?.as_str().map_err(rusqlite::Error::from);
    let millis = |at: usize| Ok::<_, rusqlite::Error>(Millis(unsigned(row.get(at)?)));
    let (Some(id), Some(owner), Some(source_language), Some(quality)) = (
        SessionId::parse(text(0)?),
        UserId::parse(text(1)?),
        Language::parse(text(2)?),
        QualityTier::parse(text(3)?),
    ) else {
        return Ok(None);
    };
    let mut session = Session {
        id,
        owner,
        source_language,
        quality,
        created_at: millis(4)?,
        expires_at: millis(5)?,
        paused: row.get(6)?,
        muted: row.get(7)?,
        last_state_change: millis(8)?,
        speaker: Speaker::Lost { until },
        listeners: 0,
    };
    // The speaker was lost, just now as far as anybody can tell.
    session.last_state_change = session.moment(now).at;
    Ok(Some(session))
}

/// A stored bucket; `None` if the row holds what no bucket can.
fn spent_of(row: &Row<'_>) -> rusqlite::Result<Option<Spent>> {
    let (name, identity) = (row.get_ref(0)?.as_str()?, row.get_ref(1)?.as_blob()?);
    let bucket = Bucket(unsigned(row.get(2)?));
    let spent = |operation, identity| Spent { operation, identity, bucket };
    if name == Operation::CreateSession.as_str() {
        let user = std::str::from_utf8(identity).ok().and_then(UserId::parse);
        Ok(user.map(|user| spent(Operation::CreateSession, Identity::User(user))))
    } else if name == Operation::RefusedJoin.as_str() {
        let source = identity.try_into().ok().map(SourceAddress::from_bytes);
        Ok(source.map(|source| spent(Operation::RefusedJoin, Identity::Source(source))))
    } else {
        Ok(None)
    }
}

/// SQLite's integers are signed; a moment that far away is as good as any.
fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn open_error(path: &Path, source: rusqlite::Error) -> OpenError {
    let path = path.to_owned();
    match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => OpenError::Foreign { path },
        Some(ErrorCode::DatabaseCorrupt) => OpenError::Corrupt { path, what: source.to_string() },
        Some(ErrorCode::DiskFull) => OpenError::Full { path, source },
        _ => match source {
            rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::FromSqlConversionFailure(..) => {
                OpenError::Corrupt { path, what: source.to_string() }
            }
            source => OpenError::Database { path, source },
        },
    }
}
