//! What a failing store takes away, and what it does not.

use std::time::Duration;

use ambo_store_embedded::DATABASE_FILE;
use serde_json::json;
use tokio::time::Instant;

use crate::harness::{Speaking, World, frame};
use crate::support::PATIENCE;
use crate::support::faulty::{Mishap, Mishaps};

fn join(session: &str) -> String {
    format!("action=joinSession&sessionId={session}&targetLanguage=es")
}

fn create(world: &World) -> String {
    format!("action=createSession&sourceLanguage=en&token={}", world.token("ben"))
}

/// Holds that nothing is lost that does not need the disk.
async fn goes_on(world: &World, speaking: &mut Speaking, sequence: u32) {
    let mut listener = world.listen(&speaking.session, "es").await;
    speaking.peer.send_binary(frame(sequence, b"on and on")).await;
    assert_eq!(listener.binary().await, frame(sequence, b"on and on"));
    assert_eq!(listener.ask(json!({ "action": "heartbeat" })).await["type"], "heartbeatAck");
    let retuned = json!({ "action": "changeLanguage", "targetLanguage": "de" });
    assert_eq!(listener.ask(retuned).await["type"], "languageChanged");
    let pause = json!({ "action": "controlSession", "command": "pause" });
    speaking.peer.send(pause).await;
    speaking.peer.json_of("broadcastState").await;
    assert_eq!(listener.json().await["type"], "sessionPaused");
    speaking.peer.send(json!({ "action": "controlSession", "command": "resume" })).await;
    speaking.peer.json_of("broadcastState").await;
    assert_eq!(listener.json().await["type"], "sessionResumed");
    listener.leave(1000).await;
}

#[tokio::test]
async fn a_disk_that_takes_nothing_stops_new_sessions_only() {
    let world = World::start(|_| {}).await;
    let mut speaking = world.speak().await;
    // Another process that holds the file is a real failure of the real store.
    let file = world.folder.path().join(DATABASE_FILE);
    let operator = rusqlite::Connection::open(file).unwrap();
    operator.execute_batch("BEGIN IMMEDIATE").unwrap();

    let refused = world.refused(&create(&world)).await;
    assert_eq!((refused.status, refused.code()), (503, "SERVICE_UNAVAILABLE"));
    assert_eq!(refused.body["details"]["service"], "store");
    assert!(refused.retry_after.unwrap() >= 1, "{refused:?}");
    let (code, _, body) = world.get("/readyz").await;
    assert_eq!((code, body.as_str()), (503, "store unavailable\n"));
    assert_eq!(world.get("/healthz").await.0, 200);
    goes_on(&world, &mut speaking, 1).await;
    let answer = speaking.peer.ask(json!({ "action": "endSession" })).await;
    assert_eq!(answer["code"], "SERVICE_UNAVAILABLE", "what is not written has not ended");
    goes_on(&world, &mut speaking, 2).await;

    operator.execute_batch("ROLLBACK").unwrap();
    let start = Instant::now();
    while world.get("/readyz").await.0 != 200 {
        assert!(start.elapsed() < PATIENCE, "the disk is back, but nobody noticed");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut other = world.connect(&create(&world)).await;
    assert_eq!(other.json().await["type"], "sessionCreated");
    // The first attempt may have been written after all; then the end is told without another.
    speaking.peer.send(json!({ "action": "endSession" })).await;
    world.metric_becomes("active_sessions", 1.0).await;
    world.pass(Duration::from_secs(3)).await;
    assert_eq!(speaking.peer.json_of("sessionEnded").await["reason"], "speakerEnded");
}

#[tokio::test]
async fn departures_that_the_store_refused_are_told_again() {
    let store = Mishaps::new();
    let world = World::start_around(|_| {}, store.around()).await;
    let speaking = world.speak().await;
    let mut listener = world.listen(&speaking.session, "es").await;
    let gone =
        [world.listen(&speaking.session, "es").await, world.listen(&speaking.session, "de").await];
    world.metric_becomes("total_listeners", 3.0).await;

    store.fail(Mishap::Unavailable, &["drop", "lose"]);
    for peer in gone {
        peer.vanish();
    }
    speaking.peer.vanish();
    world.until("all have gone", |world| world.server.held().connections == 1).await;
    world.metric_becomes("total_listeners", 3.0).await;
    assert!(store.happened() >= 3, "{}", store.happened());
    store.heal();
    world.metric_becomes("total_listeners", 1.0).await;
    assert_eq!(listener.json().await["reason"], "speakerLost");
    world.pass(Duration::from_secs(40)).await;
    assert_eq!(listener.json().await["type"], "sessionEnded");
    world.metric_becomes("active_sessions", 0.0).await;
}

#[tokio::test]
async fn a_session_that_was_made_unheard_does_not_stay() {
    let store = Mishaps::new();
    let world = World::start_around(|_| {}, store.around()).await;
    store.fail(Mishap::Unheard, &["open"]);
    let refused = world.refused(&create(&world)).await;
    assert_eq!((refused.status, refused.retry_after), (503, Some(7)));
    store.heal();
    world.metric_becomes("active_sessions", 0.0).await;
    assert_eq!(world.server.held().sessions, 0);

    let speaking = world.speak().await;
    store.fail(Mishap::Unheard, &["admit"]);
    let refused = world.refused(&join(&speaking.session)).await;
    assert_eq!(refused.status, 503);
    store.heal();
    world.metric_becomes("total_listeners", 0.0).await;
    world.metric_becomes("active_sessions", 1.0).await;
}

#[tokio::test]
async fn an_end_that_was_written_unheard_is_told_all_the_same() {
    let store = Mishaps::new();
    let world = World::start_around(|_| {}, store.around()).await;
    let mut speaking = world.speak().await;
    let mut listeners =
        [world.listen(&speaking.session, "es").await, world.listen(&speaking.session, "de").await];
    store.fail(Mishap::Unheard, &["end"]);
    speaking.peer.send(json!({ "action": "endSession" })).await;
    assert_eq!(speaking.peer.json_of("error").await["code"], "SERVICE_UNAVAILABLE");
    for _ in 0..3 {
        world.pass(Duration::from_secs(2)).await;
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    for peer in [&mut speaking.peer].into_iter().chain(&mut listeners) {
        assert_eq!(peer.json_of("sessionEnded").await["reason"], "speakerEnded");
        assert_eq!(peer.closed().await, (1000, "session ended".into()));
    }
    assert_eq!(world.server.held().sessions, 0);
}

#[tokio::test]
async fn a_store_that_is_down_says_so_to_newcomers_and_carries_on_audio() {
    let store = Mishaps::new();
    let world = World::start_around(|_| {}, store.around()).await;
    let mut speaking = world.speak().await;
    let mut listener = world.listen(&speaking.session, "es").await;
    store.fail(Mishap::Unavailable, &["load", "check"]);
    let refused = world.refused(&join(&speaking.session)).await;
    assert_eq!((refused.status, refused.retry_after), (503, Some(7)));
    assert_eq!(world.get("/readyz").await.0, 503);
    speaking.peer.send_binary(frame(1, b"unmoved")).await;
    assert_eq!(listener.binary().await, frame(1, b"unmoved"));
    // The breaker opens, and from then on nobody waits.
    for _ in 0..6 {
        let refused = world.refused(&join(&speaking.session)).await;
        assert_eq!(refused.status, 503);
    }
    let opened = world.metric("store_breaker_opened_total").await;
    assert!(opened >= 1.0 && world.metric("store_breaker").await == 2.0, "{opened}");
    let asked = store.happened();
    let refused = world.refused(&join(&speaking.session)).await;
    assert!((1..=30).contains(&refused.retry_after.unwrap()), "{refused:?}");
    assert_eq!(store.happened(), asked, "an open breaker asks nobody");
    speaking.peer.send_binary(frame(2, b"still")).await;
    assert_eq!(listener.binary().await, frame(2, b"still"));
}

#[tokio::test]
async fn a_store_that_hangs_keeps_a_newcomer_waiting_for_seconds_only() {
    let store = Mishaps::new();
    let world = World::start_around(|_| {}, store.around()).await;
    let mut speaking = world.speak().await;
    let mut listener = world.listen(&speaking.session, "es").await;
    store.fail(Mishap::Hangs, &["admit"]);
    let start = Instant::now();
    let query = join(&speaking.session);
    let waiting = world.refused(&query);
    tokio::pin!(waiting);
    let audio = async {
        speaking.peer.send_binary(frame(1, b"unmoved")).await;
        assert_eq!(listener.binary().await, frame(1, b"unmoved"));
    };
    tokio::select! {
        biased;
        () = audio => {}
        refused = &mut waiting => panic!("audio waited, too: {refused:?}"),
    }
    let refused = waiting.await;
    assert_eq!((refused.status, refused.code()), (503, "SERVICE_UNAVAILABLE"));
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
    assert!(world.metric("store_timeouts_total").await >= 1.0);
    store.heal();
    world.listen(&speaking.session, "es").await;
}

#[tokio::test]
async fn limits_that_cannot_be_asked_let_pass_and_are_counted() {
    let store = Mishaps::new();
    let world =
        World::start_around(|settings| settings.rate_limit_joins_per_min = 1, store.around()).await;
    let speaking = world.speak().await;
    world.listen(&speaking.session, "es").await;
    assert_eq!(world.refused(&join(&speaking.session)).await.status, 429);
    store.fail(Mishap::Unavailable, &["pay"]);
    world.listen(&speaking.session, "es").await;
    world.listen(&speaking.session, "es").await;
    assert!(world.metric("rate_limiter_failures_total").await >= 2.0);
}

#[tokio::test]
async fn a_fault_tells_the_client_nothing_of_the_inside() {
    let store = Mishaps::new();
    let world = World::start_around(|_| {}, store.around()).await;
    let speaking = world.speak().await;
    store.fail(Mishap::Broken, &["admit"]);
    let refused = world.refused(&join(&speaking.session)).await;
    assert_eq!((refused.status, refused.code()), (500, "INTERNAL_ERROR"));
    assert!(!refused.body.to_string().contains("moon"), "{refused:?}");
    let mut peer = world.connect(&join(&speaking.session)).await;
    assert_eq!(peer.error().await, "INTERNAL_ERROR");
    assert_eq!(peer.closed().await.0, 1011);
}
