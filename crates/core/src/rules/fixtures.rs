//! A small world for the tables of cases: one session, spoken by Ann on `c1`.

use std::sync::LazyLock;

use super::{Actor, Seen, Terms};
use crate::connection::{Connection, ConnectionId, RefreshToken, Role};
use crate::event::Event;
use crate::language::{Language, Languages};
use crate::limits::Limits;
use crate::session::{QualityTier, Session, Speaker};
use crate::session_id::SessionId;
use crate::stamp::{Entropy, Millis, Stamp};
use crate::text::{Secret, SourceAddress, UserId};
use crate::words::Words;

static ANN: LazyLock<UserId> = LazyLock::new(|| UserId::parse("ann").unwrap());

pub(super) struct World {
    pub(super) terms: Terms,
    pub(super) stamp: Stamp,
}

pub(super) fn id() -> SessionId {
    SessionId::parse("faithful-shepherd-427").unwrap()
}

pub(super) fn en() -> Language {
    Language::parse("en").unwrap()
}

pub(super) fn es() -> Language {
    Language::parse("es").unwrap()
}

pub(super) fn connection_id(text: &str) -> ConnectionId {
    ConnectionId::parse(text).unwrap()
}

pub(super) fn source() -> SourceAddress {
    SourceAddress::of("192.0.2.1".parse().unwrap())
}

impl World {
    pub(super) fn new() -> Self {
        let mut bytes = [0; Entropy::LEN];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = (at as u8).wrapping_mul(151).wrapping_add(17);
        }
        let stamp = Stamp { now: Millis(1_700_000_000_000), entropy: Entropy(bytes) };
        let terms = Terms {
            limits: Limits::default(),
            languages: Languages::every(),
            words: Words::builtin(),
        };
        Self { terms, stamp }
    }

    pub(super) fn now(&self) -> Millis {
        self.stamp.now
    }

    /// Somebody without a token, on this connection.
    pub(super) fn anyone(&self, connection: &str) -> Actor<'_> {
        let connection: &'static ConnectionId =
            std::boxed::Box::leak(std::boxed::Box::new(connection_id(connection)));
        Actor { connection, source: source(), user: None, stamp: &self.stamp, attempt: 0 }
    }

    /// The session's owner, on this connection.
    pub(super) fn ann(&self, connection: &str) -> Actor<'_> {
        Actor { user: Some(&ANN), ..self.anyone(connection) }
    }

    pub(super) fn session(&self) -> Session {
        Session {
            id: id(),
            owner: ANN.clone(),
            source_language: en(),
            quality: QualityTier::Standard,
            created_at: self.now() - Millis::from_mins(10),
            expires_at: self.now() + Millis::from_mins(110),
            paused: false,
            muted: false,
            last_state_change: self.now() - Millis::from_mins(10),
            speaker: Speaker::Present(connection_id("c1")),
            listeners: 3,
        }
    }

    /// The session is there, the connection is nobody yet.
    pub(super) fn seen(&self) -> Seen {
        Seen { session: Some(self.session()), ..Seen::default() }
    }

    /// The session is there, and its speaker acts.
    pub(super) fn seen_by_speaker(&self) -> Seen {
        Seen { own: Some(self.speaker("c1")), ..self.seen() }
    }

    /// The session is there, and one of its listeners acts.
    pub(super) fn seen_by_listener(&self) -> Seen {
        Seen { own: Some(self.listener("c2")), ..self.seen() }
    }

    pub(super) fn speaker(&self, connection: &str) -> Connection {
        self.member(connection, Role::Speaker)
    }

    pub(super) fn listener(&self, connection: &str) -> Connection {
        self.member(connection, Role::Listener { target: es() })
    }

    /// A listener that was told to refresh, with the secret of sevens.
    pub(super) fn told_listener(&self, connection: &str) -> Connection {
        Connection { told: Some(Secret([7; 16])), ..self.listener(connection) }
    }

    pub(super) fn token_of(&self, connection: &str, secret: u8) -> RefreshToken {
        RefreshToken { connection: connection_id(connection), secret: Secret([secret; 16]) }
    }

    pub(super) fn refresh_event(&self, token: Option<RefreshToken>) -> Event {
        Event::RefreshListener { session: id(), target: es(), token, last_sequence: None }
    }

    fn member(&self, connection: &str, role: Role) -> Connection {
        let joined = self.now() - Millis::from_mins(5);
        Connection::new(connection_id(connection), id(), role, source(), joined)
    }
}
