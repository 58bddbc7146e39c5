//! Short words for what these tests do to a store.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::path::Path;
use std::time::{Duration, Instant};

use ambo_app::ports::Store;
use ambo_core::rules::{OfSession, Wanted};
use ambo_core::{
    Applied, Change, Connection, ConnectionId, EndGuard, Language, Millis, Moment, QualityTier,
    Role, Session, SessionId, SourceAddress, Speaker, UserId,
};
use ambo_store_embedded::{EmbeddedSettings, EmbeddedStore, OpenError};

pub const NOW: Millis = Millis(1_700_000_000_000);
pub const LIFE: Millis = Millis::from_mins(120);
pub const GRACE: Millis = Millis::from_secs(30);

pub fn open_at(directory: &Path, now: Millis) -> Result<EmbeddedStore, OpenError> {
    let directory = directory.to_owned();
    EmbeddedStore::open(&EmbeddedSettings { directory, speaker_grace: GRACE, now })
}

pub fn open(directory: &Path) -> EmbeddedStore {
    open_at(directory, NOW).unwrap()
}

pub fn session_id(text: &str) -> SessionId {
    SessionId::parse(text).unwrap()
}

pub fn connection_id(text: &str) -> ConnectionId {
    ConnectionId::parse(text).unwrap()
}

pub fn user(text: &str) -> UserId {
    UserId::parse(text).unwrap()
}

pub fn source() -> SourceAddress {
    SourceAddress::of("192.0.2.1".parse().unwrap())
}

pub fn session(id: &str, speaker: &str) -> Session {
    Session {
        id: session_id(id),
        owner: user("ann"),
        source_language: Language::parse("en").unwrap(),
        quality: QualityTier::Premium,
        created_at: NOW,
        expires_at: NOW + LIFE,
        paused: false,
        muted: false,
        last_state_change: NOW,
        speaker: Speaker::Present(connection_id(speaker)),
        listeners: 0,
    }
}

pub fn speaker(id: &str, session: &str) -> Connection {
    Connection::new(connection_id(id), session_id(session), Role::Speaker, source(), NOW)
}

pub fn listener(id: &str, session: &str) -> Connection {
    let role = Role::Listener { target: Language::parse("es").unwrap() };
    Connection::new(connection_id(id), session_id(session), role, source(), NOW)
}

pub fn opening(id: &str, on: &str) -> Change {
    Change::Open { session: session(id, on), connection: speaker(on, id) }
}

pub fn admission(id: &str, to: &str) -> Change {
    Change::Admit { connection: listener(id, to), max: 500, now: NOW }
}

pub fn ending(id: &str) -> Change {
    Change::End { session: session_id(id), guard: EndGuard::Present }
}

pub fn attachment(on: &str, id: &str, was: Speaker, now: Millis) -> Change {
    Change::Attach {
        connection: speaker(on, id),
        owner: user("ann"),
        was,
        expires_at: now + LIFE,
        now,
        // Of a session that was opened or read just now.
        moment: Moment { after: now, at: now + Millis(1) },
    }
}

pub async fn done(store: &EmbeddedStore, change: &Change) {
    assert_eq!(store.commit(change).await.unwrap(), Applied::Done, "{change:?}");
}

pub async fn seen(store: &EmbeddedStore, id: &str) -> Option<Session> {
    let session = OfSession::Named(session_id(id));
    store.load(&Wanted { session, ..Wanted::default() }).await.unwrap().session
}

/// Waits for what happens by itself.
pub async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let start = Instant::now();
    while !is_so().await {
        assert!(start.elapsed() < Duration::from_secs(60), "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
