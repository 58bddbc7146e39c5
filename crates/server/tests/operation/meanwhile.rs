//! What happens while something else does: an engine or a store fails between two steps, or two
//! nodes are quick and slow.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use ambo_app::ports::Store;
use ambo_core::SessionId;
use ambo_server::Settings;
use ambo_server::settings::StoreKind;
use ambo_store_redis::{Bus, BusSettings, Engine, NodeId, RedisSettings, Topic};
use ambo_testkit::redis::RedisServer;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::harness::{AMBO, Peer, World, frame};
use crate::stop::Stopping;
use crate::support::faulty::{Mishap, Mishaps};
use crate::support::{PATIENCE, store_on, until, upgrade};

const REFRESH: &str = "connectionRefreshRequired";

/// Nobody is closed for being silent.
fn patient(settings: &mut Settings) {
    settings.heartbeat_timeout = Duration::ZERO;
    settings.session_max_duration = Duration::from_secs(10 * 60 * 60);
}

/// A node on this engine.
async fn node(
    engine: &RedisServer,
    around: impl FnOnce(Arc<dyn Store>) -> Arc<dyn Store>,
) -> World {
    World::start_around(|settings| settings.store = store_on(engine), around).await
}

#[tokio::test]
async fn who_hangs_up_while_the_store_lets_it_in_does_not_stay() {
    let store = Mishaps::new();
    let world = World::start_around(patient, store.around()).await;
    let speaking = world.speak().await;
    store.fail(Mishap::Late, &["admit", "open"]);
    let join = format!("action=joinSession&sessionId={}&targetLanguage=es", speaking.session);
    let token = world.token("ben");
    let create = format!("action=createSession&sourceLanguage=en&token={token}");
    for (query, (metric, count)) in
        [(join, ("total_listeners", 1.0)), (create, ("active_sessions", 2.0))]
    {
        let mut stream = TcpStream::connect(world.address()).await.unwrap();
        stream.write_all(upgrade(&format!("/ws?{query}"), "").as_bytes()).await.unwrap();
        world.metric_becomes(metric, count).await;
        drop(stream);
    }
    // Longer than the server takes to see that they are gone.
    tokio::time::sleep(Duration::from_millis(50)).await;
    store.heal();
    world.metric_becomes("total_listeners", 0.0).await;
    world.metric_becomes("active_sessions", 1.0).await;
}

#[tokio::test]
async fn the_ages_of_many_are_looked_at_together() {
    let store = Mishaps::new();
    let world = World::start_around(patient, store.around()).await;
    let mut speaking = world.speak().await;
    let mut listeners = Vec::new();
    for _ in 0..9 {
        listeners.push(world.listen(&speaking.session, "es").await);
    }
    store.fail(Mishap::Held, &["touch"]);
    world.clock.advance(Duration::from_secs(100 * 60));
    // One after the other, the fifth that is not answered would be the last for a while.
    world.until("all wait for the store", |_| store.happened() >= 10).await;
    store.heal();
    for peer in listeners.iter_mut().chain([&mut speaking.peer]) {
        assert_eq!(peer.json_of(REFRESH).await["reason"], "age");
    }
}

#[tokio::test]
async fn an_age_that_the_store_did_not_take_is_told_later() {
    let store = Mishaps::new();
    let world = World::start_around(patient, store.around()).await;
    let mut speaking = world.speak().await;
    store.fail(Mishap::Unavailable, &["touch"]);
    world.clock.advance(Duration::from_secs(100 * 60));
    world.until("the store fails", |_| store.happened() > 0).await;
    store.heal();
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(speaking.peer.json_of(REFRESH).await["reason"], "age");
}

#[tokio::test]
async fn an_invitation_to_move_that_was_lost_is_given_again() {
    let store = Mishaps::new();
    let world = World::start_around(patient, store.around()).await;
    let mut speaking = world.speak().await;
    let mut listener = world.listen(&speaking.session, "es").await;
    store.fail(Mishap::Unheard, &["touch"]);
    let stopping = Stopping::begin(world, pending());
    until("the store fails", async || {
        stopping.clock.advance(Duration::from_millis(100));
        store.happened() > 0
    })
    .await;
    store.heal();
    let clock = stopping.clock.clone();
    let moving = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(10)).await;
            clock.advance(Duration::from_millis(100));
        }
    });
    assert_eq!(speaking.peer.json_of(REFRESH).await["reason"], "drain");
    let told = listener.json_of(REFRESH).await;
    assert_eq!((&told["reason"], told["refreshToken"].is_string()), (&json!("drain"), true));
    moving.abort();
    drop((speaking.peer, listener));
    stopping.done().await;
}

#[tokio::test]
async fn a_node_is_not_empty_while_somebody_is_being_let_in() {
    let store = Mishaps::new();
    let world = World::start_around(|_| {}, store.around()).await;
    let (address, token) = (world.address(), world.token("ann"));
    store.fail(Mishap::Late, &["open"]);
    let url = format!("ws://{address}/ws?action=createSession&sourceLanguage=en&token={token}");
    let coming = tokio::spawn(async move { Peer::knock(&url, &[AMBO]).await.unwrap() });
    until("somebody waits for the store", async || store.happened() > 0).await;
    let stopping = Stopping::begin(world, pending());
    until("nobody is accepted", async || TcpStream::connect(address).await.is_err()).await;
    store.heal();
    let mut late = coming.await.unwrap();
    assert_eq!(late.json().await["type"], "sessionCreated");
    assert_eq!(late.json_of(REFRESH).await["reason"], "drain");
    drop(late);
    stopping.done().await;
}

#[tokio::test]
async fn a_node_that_could_not_let_everybody_go_leaves_that_to_others() {
    for (mishap, leases_left) in [(None, 0), (Some(Mishap::Unavailable), 1)] {
        let engine = RedisServer::start().await;
        let store = Mishaps::new();
        // A goodbye that takes too long is given up.
        let redis = RedisSettings::parse(&engine.url()).unwrap().with_call_timeout(PATIENCE);
        let on_engine = |settings: &mut Settings| {
            settings.store = StoreKind::Redis(Box::new(redis));
        };
        let world = World::start_around(on_engine, store.around()).await;
        let leases = async || engine.run::<usize>(&["ZCARD", "ambo:{nodes}"]).await;
        until("it has its lease", async || leases().await == 1).await;
        let speaking = world.speak().await;
        let listener = world.listen(&speaking.session, "es").await;
        if let Some(mishap) = mishap {
            store.fail(mishap, &["drop"]);
        }
        listener.vanish();
        world.until("it has gone", |world| world.server.held().connections == 1).await;
        speaking.peer.vanish();
        world.stop().await;
        assert_eq!(leases().await, leases_left, "{mishap:?}");
    }
}

/// What another node tells a session, and when that was decided.
fn broadcast(session: &SessionId, said: &Value, changed_at: u64) -> Vec<u8> {
    let mut said = said.clone();
    said["broadcastState"]["lastStateChange"] = changed_at.into();
    let (state, text) = (&said["broadcastState"], said.to_string());
    let parcel =
        json!({ "kind": "broadcast", "session": session.as_str(), "state": state, "text": text });
    format!("{}{parcel}", NodeId::random([7; 16])).into_bytes()
}

#[tokio::test]
async fn a_state_that_was_told_too_late_changes_nothing() {
    let engine = RedisServer::start().await;
    let world = node(&engine, |store| store).await;
    let mut speaking = world.speak().await;
    let mut listener = world.listen(&speaking.session, "es").await;
    let mut said = Vec::new();
    for command in ["pause", "resume"] {
        world.clock.advance(Duration::from_secs(1));
        speaking.peer.send(json!({ "action": "controlSession", "command": command })).await;
        said.push(listener.json().await);
    }
    let session = SessionId::parse(&speaking.session).unwrap();
    let settings = RedisSettings::parse(&engine.url()).unwrap();
    let bus = Bus::start(Engine::connect(&settings).await.unwrap(), BusSettings::default()).0;
    let resumed_at = said[1]["broadcastState"]["lastStateChange"].as_u64().unwrap();
    for (said, changed_at) in [(&said[0], resumed_at - 1), (&said[1], resumed_at + 1)] {
        let parcel = broadcast(&session, said, changed_at).into();
        bus.publish(&Topic::Session(session.clone()), parcel).await.unwrap();
    }
    let heard = listener.json().await;
    assert_eq!(heard["broadcastState"]["lastStateChange"], resumed_at + 1, "{heard}");
    speaking.peer.send_binary(frame(1, b"not muted")).await;
    assert_eq!(listener.binary().await, frame(1, b"not muted"));
    world.stop().await;
}

#[tokio::test]
async fn a_state_that_the_engine_went_back_behind_is_written_again() {
    let engine = RedisServer::start().await;
    let on_engine = |settings: &mut Settings| {
        patient(settings);
        settings.store = store_on(&engine);
    };
    let world = World::start_around(on_engine, |store| store).await;
    let mut speaking = world.speak().await;
    let key = format!("ambo:{{{}}}:session", speaking.session);
    let state =
        async || engine.run::<Vec<String>>(&["HMGET", &key, "paused", "muted", "changed"]).await;
    let before = state().await;
    world.clock.advance(Duration::from_secs(1));
    let pause = json!({ "action": "controlSession", "command": "pause" });
    speaking.peer.send(pause).await;
    let told = speaking.peer.json_of("broadcastState").await;
    let paused = state().await;
    assert_eq!(paused[2], told["broadcastState"]["lastStateChange"].to_string());
    // A replica that was behind takes over.
    engine.run::<i64>(&["HSET", &key, "paused", &before[0], "changed", &before[2]]).await;
    until("it is as it was told", async || {
        world.clock.advance(Duration::from_secs(1));
        state().await == paused
    })
    .await;
    world.stop().await;
}

#[tokio::test]
async fn a_refresh_that_fails_takes_the_floor_from_nobody() {
    let engine = RedisServer::start().await;
    let store = Mishaps::new();
    let world = node(&engine, store.around()).await;
    let mut speaking = world.speak().await;
    let mut listener = world.listen(&speaking.session, "es").await;
    let key = format!("ambo:{{{}}}:session", speaking.session);
    let speaker = async || engine.run::<String>(&["HGET", &key, "speaker"]).await;
    let first = speaker().await;
    store.fail(Mishap::Late, &["attach"]);
    let query = speaking.refresh(&world.token("ann"));
    let refused = async {
        until("the store has it", async || speaker().await != first).await;
        // What comes next is what other nodes have said.
        engine.pause();
        store.heal();
    };
    let (refused, ()) = tokio::join!(world.refused(&query), refused);
    assert_eq!(refused.code(), "SERVICE_UNAVAILABLE");
    speaking.peer.send_binary(frame(1, b"still here")).await;
    assert_eq!(listener.binary().await, frame(1, b"still here"));
    engine.resume();
    world.stop().await;
}
