//! What can be wrong with a data directory.

use std::io;
use std::path::PathBuf;

/// Why the store could not be opened. Each says what is wrong, where, and what helps.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory is not there and cannot be made, or nothing may be written in it.
    #[error(
        "the data directory {path} cannot be used: make it writable for this user, \
         or choose another"
    )]
    Directory {
        /// Which.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// Another server works on it.
    #[error(
        "another process uses the data directory {path}: \
         stop it, or give this server a directory of its own"
    )]
    InUse {
        /// Which.
        path: PathBuf,
    },
    /// It was not written by Ambo.
    #[error("{path} is not a database of Ambo's: move it away, or choose another data directory")]
    Foreign {
        /// Which.
        path: PathBuf,
    },
    /// It was written by a later Ambo.
    #[error(
        "{path} was written by a newer Ambo (its schema is {found}, this one knows {known}): \
         start that version again, or move the file away"
    )]
    Newer {
        /// Which.
        path: PathBuf,
        /// The file's schema.
        found: i64,
        /// The newest known.
        known: i64,
    },
    /// It was damaged.
    #[error(
        "{path} is damaged ({what}): restore it from a backup, \
         or move it away to start without its sessions"
    )]
    Corrupt {
        /// Which.
        path: PathBuf,
        /// What does not hold.
        what: String,
    },
    /// The disk is full.
    #[error("no room is left for {path}: free some, or choose another data directory")]
    Full {
        /// Which.
        path: PathBuf,
        /// What happened.
        source: rusqlite::Error,
    },
    /// The operating system or SQLite failed otherwise.
    #[error("{path} cannot be opened")]
    Database {
        /// Which.
        path: PathBuf,
        /// What happened.
        source: rusqlite::Error,
    },
    /// The writer's thread could not be started.
    #[error("the store's writer could not be started")]
    Thread(#[source] io::Error),
}

/// A write that did not reach the disk.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum WriteError {
    /// SQLite could not do it.
    #[error("the database could not be written")]
    Database(#[source] std::sync::Arc<rusqlite::Error>),
    /// More writes wait than may.
    #[error("too many changes wait for the disk")]
    Busy,
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}
