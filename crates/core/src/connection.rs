//! A connection's record, and the refresh token that carries its member to the next one.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;
use core::fmt::Write as _;

use crate::bucket::Bucket;
use crate::language::Language;
use crate::session_id::SessionId;
use crate::stamp::Millis;
use crate::text::{Secret, SourceAddress};

/// Names one connection. Opaque; logs show its hash only.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(Box<str>);

impl ConnectionId {
    /// The longest id accepted, in bytes; API Gateway's have 16.
    pub const MAX_LEN: usize = 128;

    /// The only way in: visible ASCII.
    pub fn parse(text: &str) -> Option<Self> {
        let is_visible = text.bytes().all(|b| b.is_ascii_graphic());
        (!text.is_empty() && text.len() <= Self::MAX_LEN && is_visible).then(|| Self(text.into()))
    }

    /// Stands for no connection, where the server itself acts on a session.
    pub(crate) fn nobody() -> Self {
        Self("-".into())
    }

    /// The id itself, for a key or for the client it belongs to; not for a log.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConnectionId(..)")
    }
}

/// What a connection may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Speaks and steers the session.
    Speaker,
    /// Hears one language.
    Listener {
        /// The language asked for.
        target: Language,
    },
}

impl Role {
    /// Its name on the wire and in stores.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Speaker => "speaker",
            Self::Listener { .. } => "listener",
        }
    }

    /// The language heard, if it is a listener.
    pub const fn target(&self) -> Option<Language> {
        match self {
            Self::Speaker => None,
            Self::Listener { target } => Some(*target),
        }
    }
}

/// One connection that is a session's member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Its name.
    pub id: ConnectionId,
    /// The session it belongs to.
    pub session: SessionId,
    /// What it may do.
    pub role: Role,
    /// Where it comes from.
    pub source: SourceAddress,
    /// When its member joined; survives a refresh.
    pub joined_at: Millis,
    /// When this connection was made; a refresh starts it anew.
    pub connected_at: Millis,
    /// When it was last heard of by a heartbeat.
    pub seen_at: Millis,
    /// Its limit on heartbeats.
    pub beats: Bucket,
    /// Set once it was told to refresh: what proves that a newcomer is its successor.
    pub told: Option<Secret>,
    /// Whether it was warned of its age.
    pub warned: bool,
}

impl Connection {
    /// A connection that has just been made.
    pub fn new(
        id: ConnectionId,
        session: SessionId,
        role: Role,
        source: SourceAddress,
        now: Millis,
    ) -> Self {
        Self {
            id,
            session,
            role,
            source,
            joined_at: now,
            connected_at: now,
            seen_at: now,
            beats: Bucket::default(),
            told: None,
            warned: false,
        }
    }
}

/// Given to a listener that is told to refresh; whoever shows it on a new connection is that
/// listener. Text form: 32 hexadecimal digits, a dot, the id of the connection it replaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshToken {
    /// The connection to be replaced.
    pub connection: ConnectionId,
    /// What only its owner was told.
    pub secret: Secret,
}

impl RefreshToken {
    /// The only way in from outside.
    pub fn parse(text: &str) -> Option<Self> {
        let (secret, connection) = text.split_once('.')?;
        let connection = ConnectionId::parse(connection)?;
        if secret.len() != 32 || !secret.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let mut bytes = [0; 16];
        for (byte, digits) in bytes.iter_mut().zip(secret.as_bytes().chunks_exact(2)) {
            *byte = u8::from_str_radix(core::str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Some(Self { connection, secret: Secret(bytes) })
    }

    /// What the client is given.
    pub fn to_text(&self) -> String {
        let mut text = String::with_capacity(33 + self.connection.as_str().len());
        for byte in self.secret.0 {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        text.push('.');
        text.push_str(self.connection.as_str());
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refresh_token_survives_its_text() {
        let token = RefreshToken {
            connection: ConnectionId::parse("L0SM9cOFvHcCIhw=").unwrap(),
            secret: Secret([0, 1, 2, 250, 251, 252, 253, 254, 255, 9, 8, 7, 6, 5, 4, 3]),
        };
        assert_eq!(RefreshToken::parse(&token.to_text()), Some(token));
    }

    #[test]
    fn what_is_no_refresh_token_is_none() {
        let hex = "0".repeat(32);
        for bad in
            ["", ".", "x", &hex, &std::format!("{hex}."), &std::format!("{}.a", "g".repeat(32))]
        {
            assert_eq!(RefreshToken::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_connection_id_is_visible_ascii() {
        for bad in ["", "a b", "a\n", "é", &"x".repeat(129)] {
            assert_eq!(ConnectionId::parse(bad), None, "{bad:?}");
        }
    }
}
