//! Stores in tables of their own, and short words for what these tests do to them.
#![allow(dead_code, reason = "each test file uses its own part")]

pub mod between;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use ambo_app::ports::{Page, Store};
use ambo_core::rules::{OfSession, Seen, Wanted};
use ambo_core::{
    Applied, Change, Connection, ConnectionId, EndGuard, Language, Millis, QualityTier, Role,
    Session, SessionId, SourceAddress, Speaker, UserId,
};
use ambo_store_dynamodb::{DynamoStore, Tables};
use ambo_testkit::dynamo::{DynamoServer, Engine, create_lasting_tables, create_tables};

use between::Between;

pub const LIFE: Millis = Millis::from_mins(120);

/// Tables that nobody else uses, on the server that all tests of this process share.
pub async fn tables(engine: Engine) -> (&'static DynamoServer, Tables) {
    let (server, tables) = (DynamoServer::shared(engine), new_names());
    create_tables(&server.client(), names(&tables)).await;
    (server, tables)
}

/// The same for tests in a time that is long over: nothing is thrown away.
pub async fn lasting_tables(engine: Engine) -> (&'static DynamoServer, Tables) {
    let (server, tables) = (DynamoServer::shared(engine), new_names());
    create_lasting_tables(&server.client(), names(&tables)).await;
    (server, tables)
}

pub fn new_names() -> Tables {
    static TAKEN: AtomicUsize = AtomicUsize::new(0);
    let number = TAKEN.fetch_add(1, Ordering::Relaxed);
    Tables {
        sessions: format!("sessions-{number}"),
        connections: format!("connections-{number}"),
        rate_limits: format!("rate-limits-{number}"),
    }
}

pub fn names(tables: &Tables) -> [&str; 3] {
    [&tables.sessions, &tables.connections, &tables.rate_limits]
}

/// A store in tables that nobody else uses.
pub async fn store(engine: Engine) -> DynamoStore {
    let (server, tables) = tables(engine).await;
    DynamoStore::new(server.client(), tables)
}

/// The same with something between it and Dynoxide.
pub async fn watched() -> (DynamoStore, Between) {
    let (server, tables) = tables(Engine::Dynoxide).await;
    let between = Between::default();
    (between.store(server, tables), between)
}

/// The true time: DynamoDB Local throws away what is long over.
pub fn now() -> Millis {
    Millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64)
}

pub fn language(code: &str) -> Language {
    Language::parse(code).unwrap()
}

pub fn session_id(name: &str) -> SessionId {
    SessionId::parse(&format!("test-{name}-100")).unwrap()
}

pub fn connection_id(text: &str) -> ConnectionId {
    ConnectionId::parse(text).unwrap()
}

pub fn source() -> SourceAddress {
    SourceAddress::of("192.0.2.1".parse().unwrap())
}

pub fn speaker(of: &str, id: &str) -> Connection {
    Connection::new(connection_id(id), session_id(of), Role::Speaker, source(), now())
}

pub fn listener(of: &str, id: &str) -> Connection {
    let role = Role::Listener { target: language("es") };
    Connection::new(connection_id(id), session_id(of), role, source(), now())
}

pub fn open(name: &str, by: &str) -> Change {
    let connection = speaker(name, by);
    let session = Session {
        id: session_id(name),
        owner: UserId::parse("ann").unwrap(),
        source_language: language("en"),
        quality: QualityTier::Premium,
        created_at: connection.joined_at,
        expires_at: connection.joined_at + LIFE,
        paused: false,
        muted: false,
        last_state_change: connection.joined_at,
        speaker: Speaker::Present(connection.id.clone()),
        listeners: 0,
    };
    Change::Open { session, connection }
}

pub fn admit(of: &str, id: &str) -> Change {
    Change::Admit { connection: listener(of, id), max: 500, now: now() }
}

pub fn carry(of: &str, from: &str, to: &str) -> Change {
    Change::Move { from: connection_id(from), to: listener(of, to), now: now() }
}

pub fn leave(of: &str, id: &str) -> Change {
    Change::Drop { connection: connection_id(id), session: session_id(of) }
}

pub fn end(of: &str) -> Change {
    Change::End { session: session_id(of), guard: EndGuard::Present }
}

pub fn touch(row: &Connection) -> Change {
    Change::Touch {
        connection: row.id.clone(),
        was_seen: row.seen_at,
        seen_at: row.seen_at + Millis::from_secs(30),
        beats: row.beats,
        told: None,
        warned: false,
        extend: None,
    }
}

pub async fn done(store: &DynamoStore, change: Change) {
    assert_eq!(store.commit(&change).await.unwrap(), Applied::Done, "{change:?}");
}

/// The session with its languages.
pub async fn seen(store: &DynamoStore, name: &str) -> Seen {
    let session = OfSession::Named(session_id(name));
    store.load(&Wanted { session, languages: true, ..Wanted::default() }).await.unwrap()
}

/// How many listeners are counted, and that they are as many as there are rows.
pub async fn listeners(store: &DynamoStore, name: &str) -> usize {
    let seen = seen(store, name).await;
    let page = Page { after: None, limit: 10_000 };
    let members = store.members(&session_id(name), page).await.unwrap();
    let rows = members.iter().filter(|member| member.role != Role::Speaker).count();
    let by_language: u32 = seen.languages.iter().map(|(_, count)| count).sum();
    let counted = seen.session.unwrap().listeners;
    assert_eq!((counted as usize, by_language), (rows, counted));
    rows
}

/// A connection's own row.
pub async fn own(store: &DynamoStore, id: &str) -> Option<Connection> {
    let wanted = Wanted { own: Some(connection_id(id)), ..Wanted::default() };
    store.load(&wanted).await.unwrap().own
}
