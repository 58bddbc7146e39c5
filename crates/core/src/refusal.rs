//! Refusals: what a client is told when it may not, and whether it may try again.

use alloc::string::String;

use crate::language::Language;
use crate::limits::Operation;
use crate::session_id::SessionId;

/// An ordinary "no". A fault of ours is not a refusal, but is told as [`Refusal::Internal`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The action is missing or unknown.
    InvalidAction,
    /// The text is not a JSON object.
    InvalidMessage,
    /// A parameter is missing or malformed.
    InvalidParameters {
        /// Its name on the wire.
        field: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// The session id is malformed.
    InvalidSessionId {
        /// What was given, cut to 64 characters.
        given: String,
    },
    /// The source language is not served.
    InvalidLanguage {
        /// What was asked for.
        language: Language,
    },
    /// The target language is not served for this source.
    UnsupportedLanguage {
        /// What was asked for.
        language: Language,
        /// In which session.
        session: SessionId,
    },
    /// No user stands behind the request.
    Unauthorized(Unauthorized),
    /// The role may not do this, or the session is somebody else's.
    Forbidden,
    /// The session is absent, ended or expired.
    SessionNotFound {
        /// The id asked for.
        session: SessionId,
    },
    /// The connection has no record.
    ConnectionNotFound,
    /// The message or its audio is too large.
    MessageTooLarge {
        /// What is allowed, in bytes.
        limit: usize,
    },
    /// A limit is spent.
    RateLimitExceeded {
        /// Which.
        operation: Operation,
        /// Seconds to wait, at least 1.
        retry_after: u64,
    },
    /// Our fault; what happened is in the log.
    Internal,
    /// No place is free.
    SessionFull {
        /// Which session.
        session: SessionId,
        /// How many places it has.
        max_listeners: u32,
    },
    /// Something we need is down.
    ServiceUnavailable {
        /// What: `store` or `identity`.
        service: &'static str,
        /// Seconds to wait, at least 1.
        retry_after: u64,
    },
}

/// Why a token does not name a user. The texts are part of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unauthorized {
    /// Malformed, forged, or meant for somebody else.
    InvalidToken,
    /// Too old.
    TokenExpired,
    /// There was none.
    AuthenticationRequired,
}

impl Unauthorized {
    /// The message, word for word.
    pub const fn message(self) -> &'static str {
        match self {
            Self::InvalidToken => "Invalid token",
            Self::TokenExpired => "Token expired",
            Self::AuthenticationRequired => "Authentication required",
        }
    }
}

impl Refusal {
    /// The code clients tell refusals by, and the HTTP status it goes with: the one table.
    pub const fn code_and_status(&self) -> (&'static str, u16) {
        match self {
            Self::InvalidAction => ("INVALID_ACTION", 400),
            Self::InvalidMessage => ("INVALID_MESSAGE", 400),
            Self::InvalidParameters { .. } => ("INVALID_PARAMETERS", 400),
            Self::InvalidSessionId { .. } => ("INVALID_SESSION_ID", 400),
            Self::InvalidLanguage { .. } => ("INVALID_LANGUAGE", 400),
            Self::UnsupportedLanguage { .. } => ("UNSUPPORTED_LANGUAGE", 400),
            Self::Unauthorized(_) => ("UNAUTHORIZED", 401),
            Self::Forbidden => ("FORBIDDEN", 403),
            Self::SessionNotFound { .. } => ("SESSION_NOT_FOUND", 404),
            Self::ConnectionNotFound => ("CONNECTION_NOT_FOUND", 404),
            Self::MessageTooLarge { .. } => ("MESSAGE_TOO_LARGE", 413),
            Self::RateLimitExceeded { .. } => ("RATE_LIMIT_EXCEEDED", 429),
            Self::Internal => ("INTERNAL_ERROR", 500),
            Self::SessionFull { .. } => ("SESSION_FULL", 503),
            Self::ServiceUnavailable { .. } => ("SERVICE_UNAVAILABLE", 503),
        }
    }

    /// The code clients tell refusals by.
    pub const fn code(&self) -> &'static str {
        self.code_and_status().0
    }

    /// The HTTP status.
    pub const fn status(&self) -> u16 {
        self.code_and_status().1
    }

    /// Seconds after which trying again makes sense, where it does.
    pub const fn retry_after(&self) -> Option<u64> {
        match self {
            Self::RateLimitExceeded { retry_after, .. }
            | Self::ServiceUnavailable { retry_after, .. } => Some(*retry_after),
            Self::SessionFull { .. } => Some(FULL_RETRY_SECS),
            Self::InvalidAction
            | Self::InvalidMessage
            | Self::InvalidParameters { .. }
            | Self::InvalidSessionId { .. }
            | Self::InvalidLanguage { .. }
            | Self::UnsupportedLanguage { .. }
            | Self::Unauthorized(_)
            | Self::Forbidden
            | Self::SessionNotFound { .. }
            | Self::ConnectionNotFound
            | Self::MessageTooLarge { .. }
            | Self::Internal => None,
        }
    }
}

/// A place in a full session becomes free when somebody leaves; half a minute is a fair guess,
/// and keeps a full hall from asking every second.
pub const FULL_RETRY_SECS: u64 = 30;
