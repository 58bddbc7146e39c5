//! What a failed call means for the caller.

use std::fmt;
use std::time::Duration;

use ambo_app::ports::StoreFault;
use ambo_core::Millis;
use redis::{ErrorKind, RedisError, ServerErrorKind};

/// When asking an engine again makes sense that did not answer: a restart or a failover takes
/// seconds.
const RETRY_AFTER: Millis = Millis::from_secs(1);

/// A call that failed, and where.
#[derive(Debug, thiserror::Error)]
#[error("{address}: {hint}{source}")]
struct EngineError {
    address: String,
    hint: &'static str,
    source: RedisError,
}

/// A call that was not answered in time.
#[derive(Debug, thiserror::Error)]
#[error("{address}: no answer within {} ms", .after.as_millis())]
struct NoAnswer {
    address: String,
    after: Duration,
}

/// The fault that silence is.
pub(crate) fn silence(address: &str, after: Duration) -> StoreFault {
    StoreFault::unavailable(RETRY_AFTER, NoAnswer { address: address.into(), after })
}

/// The fault that an error is.
pub(crate) fn of(address: &str, source: RedisError) -> StoreFault {
    let meaning = Meaning::of(&source);
    let hint = hint(&source);
    let error = EngineError { address: address.into(), hint, source };
    match meaning {
        Meaning::Again => StoreFault::transient(error),
        Meaning::Later => StoreFault::unavailable(RETRY_AFTER, error),
        Meaning::Never => StoreFault::broken(error),
    }
}

/// An answer that no script of ours gives.
pub(crate) fn malformed(what: impl fmt::Display) -> StoreFault {
    StoreFault::broken(format!("the engine's answer is not understood: {what}"))
}

#[derive(Debug, PartialEq, Eq)]
enum Meaning {
    Again,
    Later,
    Never,
}

impl Meaning {
    fn of(error: &RedisError) -> Self {
        match error.kind() {
            ErrorKind::Server(kind) => Self::of_server(kind),
            // What the library has no word for: told apart by the server's own.
            ErrorKind::Extension => match error.code() {
                Some("BUSY" | "UNKILLABLE") => Self::Again,
                Some("OOM" | "MISCONF" | "NOREPLICAS" | "NOAUTH" | "WRONGPASS" | "UNBLOCKED") => {
                    Self::Later
                }
                _ => Self::Never,
            },
            ErrorKind::Io
            | ErrorKind::AuthenticationFailed
            | ErrorKind::MasterNameNotFoundBySentinel
            | ErrorKind::NoValidReplicasFoundBySentinel
            | ErrorKind::ClusterConnectionNotFound => Self::Later,
            // Bytes that are no answer: the connection is given up. (What an answer holds is read
            // by ourselves; see `malformed`.)
            ErrorKind::Parse => Self::Later,
            _ => Self::Never,
        }
    }

    fn of_server(kind: ServerErrorKind) -> Self {
        match kind {
            ServerErrorKind::TryAgain | ServerErrorKind::Ask | ServerErrorKind::Moved => {
                Self::Again
            }
            ServerErrorKind::BusyLoading
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::MasterDown
            | ServerErrorKind::ReadOnly => Self::Later,
            _ => Self::Never,
        }
    }
}

/// What an operator should look at first.
fn hint(error: &RedisError) -> &'static str {
    match error.kind() {
        ErrorKind::AuthenticationFailed => "the user name or password is refused: ",
        ErrorKind::MasterNameNotFoundBySentinel => "no Sentinel knows a master of this name: ",
        _ if error.code() == Some("NOAUTH") => "a password is needed: ",
        _ if error.code() == Some("OOM") => "its memory is full: ",
        _ => "",
    }
}
