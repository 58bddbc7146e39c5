//! An engine that goes back behind what it has told, or forgets it.

use std::sync::Arc;
use std::time::Duration;

use ambo_app::ports::Store;
use ambo_core::rules::{OfSession, Wanted};
use ambo_core::{
    Change, Connection, ConnectionId, Language, Millis, Role, Session, SessionId, SourceAddress,
};
use ambo_server::Settings;
use ambo_store_redis::{Engine, NodeId, RedisSettings, RedisStore};
use ambo_testkit::redis::RedisServer;
use serde_json::json;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{Speaking, World, frame};
use crate::support::faulty::{Mishap, Mishaps};
use crate::support::store_on;

/// For what a node does within some rounds of two seconds, on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longer than anybody may take to come in: who has not come by then is no newcomer.
const AGE: Duration = Duration::from_secs(20);

/// Waits until something holds that happens elsewhere, for longer and at a slower pace than other
/// tests: some of these move the clock at each look.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !holds().await {
        assert!(start.elapsed() < PATIENCE, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A node on this engine, where nobody is closed for being silent.
async fn node(engine: &RedisServer, change: impl FnOnce(&mut Settings)) -> World {
    World::start(|settings| {
        settings.store = store_on(engine);
        settings.heartbeat_timeout = Duration::ZERO;
        change(settings);
    })
    .await
}

/// The store as another node has it.
async fn elsewhere(engine: &RedisServer) -> RedisStore {
    let settings = RedisSettings::parse(&engine.url()).unwrap().with_call_timeout(PATIENCE);
    RedisStore::new(Engine::connect(&settings).await.unwrap())
}

/// A connection of a node that is no more than its name.
fn foreign(session: &SessionId, role: Role, now: Millis) -> Connection {
    let id = ConnectionId::parse(&format!("{}.x", NodeId::random([7; 16]))).unwrap();
    Connection::new(id, session.clone(), role, SourceAddress::of([192, 0, 2, 1].into()), now)
}

async fn found(store: &RedisStore, speaking: &Speaking) -> Session {
    let session = SessionId::parse(&speaking.session).unwrap();
    let wanted = Wanted { session: OfSession::Named(session), ..Wanted::default() };
    store.load(&wanted).await.unwrap().session.unwrap()
}

fn key(session: &str) -> String {
    format!("ambo:{{{session}}}:session")
}

/// What the engine has of a session in this field; empty for nothing.
async fn field(engine: &RedisServer, session: &str, name: &str) -> String {
    let value = engine.run::<Option<String>>(&["HGET", &key(session), name]).await;
    value.unwrap_or_default()
}

/// Lets the node take the engine for another one than before.
async fn seems_new(engine: &RedisServer) {
    engine.run::<()>(&["DEL", "ambo:{nodes}:epoch"]).await;
}

#[tokio::test]
async fn a_speaker_whose_move_the_engine_has_lost_is_not_silenced() {
    let mut engine = RedisServer::start().await;
    // Whoever is lost here ends the session.
    let world = node(&engine, |settings| settings.speaker_grace = Duration::ZERO).await;
    let speaking = world.speak().await;
    let session = speaking.session.clone();
    let mut listener = world.listen(&session, "es").await;
    engine.run::<()>(&["SAVE"]).await;
    world.clock.advance(AGE);
    let mut moved = world.connect(&speaking.refresh(&world.token("ann"))).await;
    assert_eq!(moved.json().await["type"], "connectionRefreshComplete");
    let speaker = field(&engine, &session, "speaker").await;
    engine.kill();
    // Said to an engine that will have it for the speaker's own word.
    speaking.peer.leave(1000).await;
    world.until("it has gone", |world| world.server.held().connections == 2).await;
    engine.restart().await;
    assert_ne!(field(&engine, &session, "speaker").await, speaker);
    until("the engine is told again where the speaker is", async || {
        world.clock.advance(Duration::from_millis(100));
        field(&engine, &session, "speaker").await == speaker
    })
    .await;
    moved.send_binary(frame(1, b"still here")).await;
    assert_eq!(listener.binary().await, frame(1, b"still here"));
    world.stop().await;
}

#[tokio::test]
async fn a_speaker_who_was_not_told_of_a_later_move_is_retired() {
    let engine = RedisServer::start().await;
    let world = node(&engine, |_| {}).await;
    let mut speaking = world.speak().await;
    let store = elsewhere(&engine).await;
    let session = found(&store, &speaking).await;
    let now = world.now() + Millis(1);
    let connection = foreign(&session.id, Role::Speaker, now);
    let later = connection.id.as_str().to_owned();
    let attach = Change::Attach {
        connection,
        owner: session.owner.clone(),
        was: session.speaker.clone(),
        expires_at: session.expires_at,
        now,
        moment: session.moment(now),
    };
    store.commit(&attach).await.unwrap();
    seems_new(&engine).await;
    until("it is closed", async || {
        world.clock.advance(Duration::from_millis(100));
        world.server.held().connections == 0
    })
    .await;
    let mut last = None;
    while let Some(message) = speaking.peer.next().await {
        last = Some(message);
    }
    let Some(Message::Close(Some(close))) = last else { panic!("no close frame: {last:?}") };
    assert_eq!((close.code.into(), close.reason.as_str()), (1000, "superseded"));
    assert_eq!(field(&engine, &speaking.session, "speaker").await, later);
    world.stop().await;
}

#[tokio::test]
async fn a_session_whose_end_the_engine_has_lost_ends_again() {
    let mut engine = RedisServer::start().await;
    // Nobody waits for a speaker who has ended the session.
    let world = node(&engine, |settings| settings.speaker_grace = 100 * PATIENCE).await;
    let mut speaking = world.speak().await;
    let mut listener = world.listen(&speaking.session, "es").await;
    engine.run::<()>(&["SAVE"]).await;
    world.clock.advance(AGE);
    speaking.peer.send(json!({ "action": "endSession" })).await;
    for peer in [&mut speaking.peer, &mut listener] {
        assert_eq!(peer.json_of("sessionEnded").await["reason"], "speakerEnded");
        assert_eq!(peer.closed().await.0, 1000);
    }
    let is_there =
        async |engine: &RedisServer| engine.run::<bool>(&["EXISTS", &key(&speaking.session)]).await;
    assert!(!is_there(&engine).await);
    engine.restart().await;
    assert!(is_there(&engine).await);
    until("it has ended", async || !is_there(&engine).await).await;
    world.stop().await;
}

#[tokio::test]
async fn a_listener_whose_departure_the_engine_has_lost_is_not_counted() {
    let mut engine = RedisServer::start().await;
    let home = node(&engine, |_| {}).await;
    let (folder, clock) = (Arc::clone(&home.folder), home.clock.clone());
    let world = World::start_in(folder, clock, |settings| settings.store = store_on(&engine)).await;
    let speaking = home.speak().await;
    let listener = world.listen(&speaking.session, "es").await;
    engine.run::<()>(&["SAVE"]).await;
    listener.leave(1000).await;
    let count = async |engine: &RedisServer| field(engine, &speaking.session, "listeners").await;
    until("it has left", async || count(&engine).await == "0").await;
    // Longer than a session is followed in which nobody is.
    world.clock.advance(3 * AGE);
    world.until("all is forgotten here", |world| world.server.held().sessions == 0).await;
    engine.restart().await;
    assert_eq!(count(&engine).await, "1");
    until("the count is right", async || count(&engine).await == "0").await;
    home.stop().await;
    world.stop().await;
}

#[tokio::test]
async fn a_session_that_cannot_be_read_does_not_hold_up_others() {
    let engine = RedisServer::start().await;
    let world = node(&engine, |_| {}).await;
    let (broken, lost) = (world.speak().await, world.speak().await);
    let speaker = field(&engine, &lost.session, "speaker").await;
    engine.run::<()>(&["HSET", &key(&broken.session), "expires", "soon"]).await;
    engine.run::<()>(&["DEL", &key(&lost.session)]).await;
    seems_new(&engine).await;
    until("the other is written again", async || {
        field(&engine, &lost.session, "speaker").await == speaker
    })
    .await;
    world.stop().await;
}

#[tokio::test]
async fn whoever_comes_while_the_engine_is_told_again_may_come_later() {
    let engine = RedisServer::start().await;
    let world = node(&engine, |_| {}).await;
    let speaking = world.speak().await;
    let join = |session: &str| format!("action=joinSession&sessionId={session}&targetLanguage=es");
    let unknown = world.refused(&join("no-session-100")).await;
    assert_eq!(unknown.code(), "SESSION_NOT_FOUND");
    engine.run::<()>(&["FLUSHALL"]).await;
    for query in [join(&speaking.session), speaking.refresh(&world.token("ann"))] {
        let start = Instant::now();
        let mut refusals = 0;
        while let Err(refused) = world.knock(&format!("/ws?{query}"), &[]).await {
            assert_eq!(refused.code(), "SERVICE_UNAVAILABLE");
            assert!(refused.retry_after.is_some() && start.elapsed() < PATIENCE, "{refused:?}");
            refusals += 1;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        assert!(refusals > 0 || !query.starts_with("action=join"), "nothing was forgotten");
    }
    world.stop().await;
}

#[tokio::test]
async fn a_dead_node_is_not_forgotten_before_its_members_have_lapsed() {
    let engine = RedisServer::start().await;
    let store = Mishaps::new();
    let on_engine = |settings: &mut Settings| settings.store = store_on(&engine);
    let world = World::start_around(on_engine, store.around()).await;
    let speaking = world.speak().await;
    let session = SessionId::parse(&speaking.session).unwrap();
    let target = Language::parse("es").unwrap();
    let connection = foreign(&session, Role::Listener { target }, world.now());
    let admit = Change::Admit { connection, max: 500, now: world.now() };
    elsewhere(&engine).await.commit(&admit).await.unwrap();
    assert_eq!(field(&engine, &speaking.session, "listeners").await, "1");

    store.fail(Mishap::Unavailable, &["drop"]);
    let dead = NodeId::random([7; 16]).to_string();
    engine.run::<()>(&["ZADD", "ambo:{nodes}", "1", &dead]).await;
    // Claimed before and after each attempt, so that a third claim is of a second one.
    let mut claims = Vec::new();
    until("it is tried again", async || {
        let claim = ["HGET", "ambo:{nodes}:claims", &dead];
        claims.extend(engine.run::<Option<String>>(&claim).await);
        claims.dedup();
        claims.len() >= 3
    })
    .await;
    store.heal();
    let left = async || engine.run::<usize>(&["ZCARD", "ambo:{nodes}"]).await;
    until("it is forgotten", async || left().await == 1).await;
    assert_eq!(field(&engine, &speaking.session, "listeners").await, "0");
    world.stop().await;
}
