//! The life of a session, by the real bootstrap. Its times are seconds, and enough of them for what
//! must happen first on a busy machine; nothing waits for them but by looking again.

use std::time::Instant;

use ambo_testkit::contract::Client;
use serde_json::json;

use crate::support::{Functions, PATIENCE, World, text};

#[tokio::test]
async fn a_session_with_listeners_in_several_languages_from_its_beginning_to_its_end() {
    let world = World::start(Functions::Processes, &[]).await;
    let (mut speaker, session) = world.speak().await;
    let mut listeners = Vec::new();
    for language in ["es", "de", "de", "en"] {
        listeners.push(world.listen(&session, language).await);
    }
    for client in [&mut speaker].into_iter().chain(&mut listeners) {
        client.send(&json!({ "action": "heartbeat" })).await;
        client.json_of("heartbeatAck").await;
    }

    speaker
        .send(&json!({ "action": "controlSession", "command": "pause", "message": "Tea" }))
        .await;
    let state = speaker.json_of("broadcastState").await;
    assert_eq!(state["broadcastState"]["isPaused"], true);
    for listener in &mut listeners {
        let paused = listener.json_of("sessionPaused").await;
        assert_eq!(paused["message"], "Tea");
        assert_eq!(paused["broadcastState"], state["broadcastState"]);
    }
    speaker.send(&json!({ "action": "controlSession", "command": "resume" })).await;
    speaker.json_of("broadcastState").await;

    listeners[0].send(&json!({ "action": "changeLanguage", "targetLanguage": "fr" })).await;
    assert_eq!(listeners[0].json_of("languageChanged").await["targetLanguage"], "fr");
    listeners.pop().unwrap().leave(1000).await;
    listeners.pop().unwrap().vanish();
    world.until_counted(&session, Some(2)).await;
    speaker.send(&json!({ "action": "getSessionStatus" })).await;
    let status = loop {
        let status = speaker.json_of("sessionStatus").await;
        if status["updateReason"] == "requested" {
            break status;
        }
    };
    assert_eq!(status["listenerCount"], 2);
    assert_eq!(status["languageDistribution"], json!({ "de": 1, "fr": 1 }));

    speaker.send(&json!({ "action": "sendAudio", "audioData": "AQ==" })).await;
    let told = speaker.json_of("error").await;
    assert!(text(&told, "message").starts_with("Audio is not sent"), "{told}");

    speaker.send(&json!({ "action": "endSession", "reason": "Go in peace" })).await;
    for mut client in [speaker].into_iter().chain(listeners) {
        let ended = client.json_of("sessionEnded").await;
        assert_eq!(
            (text(&ended, "reason"), text(&ended, "message")),
            both("speakerEnded", "Go in peace")
        );
        assert_eq!(client.closed().await.0, 1000);
    }
    assert_eq!(world.counted(&session).await, None);
    world.until("no records", async || world.records().await == 0).await;
    let query = format!("action=joinSession&sessionId={session}&targetLanguage=es");
    assert_eq!(world.knock(&query, &[]).await.err().unwrap().status, 404);
}

fn both(first: &str, second: &str) -> (String, String) {
    (first.to_owned(), second.to_owned())
}

#[tokio::test]
async fn both_roles_refresh_both_ways() {
    let settings = [("CONNECTION_REFRESH", "1s"), ("RATE_LIMIT_HEARTBEATS_PER_MIN", "0")];
    let world = World::start(Functions::Processes, &settings).await;
    let (mut speaker, session) = world.speak().await;
    let mut listener = world.listen(&session, "es").await;

    // By a new connection.
    let mut moved = world.connect(&world.refresh_of_speaker(&session)).await;
    assert_eq!(moved.json().await["type"], "connectionRefreshComplete");
    // By a message, back on the old one.
    let token = world.token("ann");
    let refresh = json!({
        "action": "refreshConnection", "role": "speaker", "sessionId": session, "token": token,
    });
    speaker.send(&refresh).await;
    speaker.json_of("connectionRefreshComplete").await;
    // What is left behind changes nothing by its end.
    moved.leave(1000).await;
    speaker.send(&json!({ "action": "controlSession", "command": "mute" })).await;
    speaker.json_of("broadcastState").await;
    listener.json_of("sessionMuted").await;

    // A listener by a new connection, with the token it was told at its next heartbeat.
    let token = world.refresh_token(&mut listener).await;
    let query = format!(
        "action=refreshConnection&role=listener&sessionId={session}&targetLanguage=es\
         &refreshToken={token}"
    );
    let mut other = world.connect(&query).await;
    assert_eq!(other.json().await["type"], "connectionRefreshComplete");
    assert_eq!(world.counted(&session).await, Some((1, 1)));
    listener.send(&json!({ "action": "heartbeat" })).await;
    assert_eq!(listener.json_of("error").await["code"], "CONNECTION_NOT_FOUND");
    listener.leave(1000).await;
    // And back, by a message on a connection that has no member any more.
    let token = world.refresh_token(&mut other).await;
    let mut third = world.listen(&session, "de").await;
    third
        .send(&json!({
            "action": "refreshConnection", "role": "listener", "sessionId": session,
            "targetLanguage": "es", "refreshToken": token,
        }))
        .await;
    assert_eq!(third.json_of("connectionRefreshComplete").await["targetLanguage"], "es");
    other.vanish();
    world.sweep_until("one listener", async || world.counted(&session).await == Some((1, 1))).await;
}

#[tokio::test]
async fn a_lost_speaker_is_awaited_for_its_grace() {
    let world = World::start(Functions::Processes, &[("SPEAKER_GRACE", "5s")]).await;
    let (speaker, session) = world.speak().await;
    let mut listener = world.listen(&session, "es").await;
    speaker.vanish();
    assert_eq!(listener.json_of("sessionPaused").await["reason"], "speakerLost");
    let mut back = world.connect(&world.refresh_of_speaker(&session)).await;
    back.json_of("connectionRefreshComplete").await;
    listener.json_of("sessionResumed").await;
    back.vanish();
    assert_eq!(listener.json_of("sessionPaused").await["reason"], "speakerLost");
    world.sweep_until("the end", async || world.counted(&session).await.is_none()).await;
    assert_eq!(listener.json_of("sessionEnded").await["reason"], "speakerLost");
    assert_eq!(listener.closed().await.0, 1000);
    world.until("no records", async || world.records().await == 0).await;
}

#[tokio::test]
async fn a_session_whose_time_is_over_ends() {
    let world = World::start(Functions::Processes, &[("SESSION_MAX_DURATION", "10s")]).await;
    let start = Instant::now();
    let (mut speaker, mut listener, query) = loop {
        let (speaker, session) = world.speak().await;
        let query = format!("action=joinSession&sessionId={session}&targetLanguage=es");
        // On a busy machine its time may be over already.
        if let Ok(listener) = world.knock(&query, &[]).await {
            break (speaker, listener, query);
        }
        assert!(start.elapsed() < PATIENCE, "nobody joins in time");
    };
    assert_eq!(listener.json().await["type"], "sessionJoined");
    world.sweep_until("the end", async || world.records().await == 0).await;
    for client in [&mut speaker, &mut listener] {
        assert_eq!(client.json_of("sessionEnded").await["reason"], "expired");
        assert_eq!(client.closed().await.0, 1000);
    }
    assert_eq!(world.knock(&query, &[]).await.err().unwrap().status, 404);
}

#[tokio::test]
async fn who_is_silent_is_taken_out_by_the_sweep() {
    // Longer than a busy machine needs from one beat to the next.
    let settings = [("HEARTBEAT_TIMEOUT", "25s"), ("RATE_LIMIT_HEARTBEATS_PER_MIN", "0")];
    let world = World::start(Functions::Processes, &settings).await;
    let (mut speaker, session) = world.speak().await;
    let mut silent = world.listen(&session, "es").await;
    let mut heard = world.listen(&session, "de").await;
    world
        .until("one listener", async || {
            for client in [&mut speaker, &mut heard] {
                client.send(&json!({ "action": "heartbeat" })).await;
                client.json_of("heartbeatAck").await;
            }
            world.sweep().await;
            world.counted(&session).await == Some((1, 1))
        })
        .await;
    assert_eq!(silent.closed().await.0, 1000);
}

impl World {
    /// How many connections have a record.
    async fn records(&self) -> usize {
        self.store.connections(None, 500).await.unwrap().connections.len()
    }

    /// What a listener is told at a heartbeat, once it is old enough.
    async fn refresh_token(&self, listener: &mut Client) -> String {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            listener.send(&json!({ "action": "heartbeat" })).await;
            let told = listener.json().await;
            if told["type"] == "connectionRefreshRequired" {
                return text(&told, "refreshToken");
            }
        }
        panic!("it was never told")
    }
}
