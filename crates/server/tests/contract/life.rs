//! §5 The life of a session: create, join, leave, loss, grace, end, expiry, liveness.
//!
//! | sentence | test |
//! |---|---|
//! | create makes session and connection | `connecting::a_speaker_creates`, `a_session_outlives_its_server` |
//! | counts equal the members present, whichever way they go | `a_listener_leaves_once`, `crowd::…` |
//! | a clean close (1000, 1001) of the speaker ends the session at once | `a_speaker_that_leaves_ends_the_session` |
//! | a lost one starts the grace: `sessionPaused`, then the end | `a_lost_speaker_is_awaited`, `refresh::…` |
//! | grace 0 ends at once | `without_grace_a_lost_speaker_ends_the_session` |
//! | one closed by the server is lost, not gone | `a_speaker_closed_by_the_server_is_lost` |
//! | exactly one `sessionEnded`, then 1000; later joins get 404 | `an_ended_session_is_not_found`, `crowd::…` |
//! | expiry, extended by refresh and by heartbeats | `a_session_expires…` |
//! | any frame, ping or pong is life; silence closes | `any_frame_is_a_sign_of_life` |
//! | the server pings an idle socket | `idle_sockets_are_pinged` |
//! | after a restart the speaker takes the session up again | `a_session_outlives_its_server` |
//! | TTLs in a store | not of the standalone server |

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{Peer, START, World, frame};
use crate::support::{
    create, ended, enter, go_on, has, is_alive, join, mins, open_world, patient, restart, secs,
    settle, speak_again, status, take_up, text, unlimited, until_empty, until_listeners,
    until_totals,
};

#[tokio::test]
async fn a_speaker_that_leaves_ends_the_session() {
    let world = open_world().await;
    for code in [Some(1000), Some(1001), None] {
        let mut speaking = world.speak().await;
        let mut listener = world.listen(&speaking.session, "es").await;
        match code {
            Some(code) => speaking.peer.leave(code).await,
            None => speaking.peer.socket.close(None).await.unwrap(),
        }
        let message = ended(&mut listener, "speakerEnded").await;
        assert_eq!(message["sessionId"], speaking.session, "{code:?}");
    }
    until_empty(&world).await;
}

#[tokio::test]
async fn a_lost_speaker_is_awaited() {
    let world = open_world().await;
    // Without a close frame, and with one that is no goodbye.
    for code in [None, Some(1011), Some(4000)] {
        let speaking = world.speak().await;
        let session = speaking.session;
        let mut listener = world.listen(&session, "es").await;
        match code {
            Some(code) => speaking.peer.leave(code).await,
            None => speaking.peer.vanish(),
        }
        let lost = listener.json().await;
        has(&lost, &json!({ "type": "sessionPaused", "reason": "speakerLost" }));
        world.clock.advance(Duration::from_millis(29_999));
        settle(&world).await;
        is_alive(&mut listener).await;
        world.clock.advance(Duration::from_millis(1));
        ended(&mut listener, "speakerLost").await;
        let refused = world.refused(&take_up(&world, &session, "ann")).await;
        assert_eq!(refused.code(), "SESSION_NOT_FOUND");
    }
    until_empty(&world).await;
}

#[tokio::test]
async fn without_grace_a_lost_speaker_ends_the_session() {
    let world = World::start(|settings| settings.speaker_grace = Duration::ZERO).await;
    let speaking = world.speak().await;
    let mut listener = world.listen(&speaking.session, "es").await;
    speaking.peer.vanish();
    ended(&mut listener, "speakerLost").await;
    until_empty(&world).await;
}

#[tokio::test]
async fn a_speaker_closed_by_the_server_is_lost() {
    let world = World::start(|settings| {
        unlimited(settings);
        settings.connection_refresh = mins(1);
        settings.connection_warning = mins(2);
        settings.connection_max_duration = mins(3);
        settings.heartbeat_interval = Duration::ZERO;
        settings.heartbeat_timeout = mins(1);
    })
    .await;
    // Silent for too long: it reads the close frame, and its library answers it in kind.
    let mut speaking = world.speak().await;
    let mut listener = world.listen(&speaking.session, "es").await;
    world.clock.advance(secs(59));
    is_alive(&mut listener).await;
    world.clock.advance(secs(1));
    speaking.peer.json_of("sessionStatus").await;
    assert_eq!(close_of(&mut speaking.peer).await, 1001);
    has(&listener.json_of("sessionPaused").await, &json!({ "reason": "speakerLost" }));
    let (mut again, _) = speak_again(&world, &speaking.session).await;
    assert_eq!(listener.json_of("sessionResumed").await["reason"], json!(null));
    // Too old.
    for _ in 0..6 {
        world.clock.advance(secs(30));
        for peer in [&mut again, &mut listener] {
            peer.send(json!({ "action": "heartbeat" })).await;
        }
        settle(&world).await;
    }
    assert_eq!(close_of(&mut again).await, 1001);
    let mut late = world.listen(&speaking.session, "es").await;
    speak_again(&world, &speaking.session).await;
    assert_eq!(late.json_of("sessionResumed").await["reason"], json!(null));
}

/// The code of the close frame, whatever comes before it. It is answered, as libraries do.
async fn close_of(peer: &mut Peer) -> u16 {
    let mut code = None;
    while let Some(message) = peer.next().await {
        if let Message::Close(frame) = message {
            code = frame.map(|frame| frame.code.into());
        }
    }
    code.expect("no close frame")
}

#[tokio::test]
async fn a_listener_leaves_once() {
    let world = open_world().await;
    let mut speaking = world.speak().await;
    let session = speaking.session.clone();
    let mut stays = world.listen(&session, "es").await;
    for code in [Some(1000), Some(1001), Some(4000), None] {
        let listener = world.listen(&session, "es").await;
        until_listeners(&mut speaking.peer, 2).await;
        match code {
            Some(code) => listener.leave(code).await,
            None => listener.vanish(),
        }
        until_listeners(&mut speaking.peer, 1).await;
        assert_eq!(status(&mut speaking.peer).await["languageDistribution"], json!({ "es": 1 }));
    }
    stays.quiet().await;
    world.until("their sockets are gone", |world| world.server.held().connections == 2).await;
}

#[tokio::test]
async fn an_ended_session_is_not_found() {
    let world = open_world().await;
    let mut speaking = world.speak().await;
    let session = speaking.session.clone();
    let mut listener = world.listen(&session, "es").await;
    speaking.peer.send(json!({ "action": "endSession" })).await;
    ended(&mut speaking.peer, "speakerEnded").await;
    ended(&mut listener, "speakerEnded").await;
    for query in [join(&session, "es"), go_on(&session, "es"), take_up(&world, &session, "ann")] {
        let refused = world.refused(&query).await;
        assert_eq!((refused.status, refused.code()), (404, "SESSION_NOT_FOUND"), "{query}");
        assert_eq!(refused.body["details"]["sessionId"], session);
    }
    until_empty(&world).await;
}

#[tokio::test]
async fn a_session_expires() {
    let world = open_world().await;
    let (mut speaker, created) = enter(&world, &create(&world, "ann"), "sessionCreated").await;
    let session = text(&created, "sessionId");
    assert_eq!(created["expiresAt"], START.0 + 7_200_000);
    let mut listener = world.listen(session, "es").await;
    world.clock.advance(mins(120) - Duration::from_millis(1));
    // The connections are as old as the session; a fresh one shows that it is still there.
    let mut late = world.listen(session, "de").await;
    world.clock.advance(Duration::from_millis(1));
    assert_eq!(world.refused(&join(session, "es")).await.code(), "SESSION_NOT_FOUND");
    ended(&mut late, "expired").await;
    for peer in [&mut speaker, &mut listener] {
        let code = close_of(peer).await;
        assert!(matches!(code, 1000 | 1001), "{code}: both are due at this moment");
    }
    until_empty(&world).await;
}

#[tokio::test]
async fn a_session_expires_for_its_speaker_too() {
    let world = World::start(|settings| {
        patient(settings);
        settings.session_max_duration = mins(10);
    })
    .await;
    let mut speaking = world.speak().await;
    let mut listener = world.listen(&speaking.session, "es").await;
    world.pass(mins(10)).await;
    ended(&mut speaking.peer, "expired").await;
    ended(&mut listener, "expired").await;
    until_empty(&world).await;
}

/// Whether a session that was extended at this minute, to ten minutes from then, lives as long
/// as it should.
async fn lives_until(world: &World, session: &str, minute: u64) {
    let left = START.0 + minute * 60_000 - world.now().0;
    world.clock.advance(Duration::from_millis(left - 1));
    settle(world).await;
    world.listen(session, "es").await.vanish();
    world.clock.advance(Duration::from_millis(1));
    assert_eq!(world.refused(&join(session, "es")).await.code(), "SESSION_NOT_FOUND");
}

#[tokio::test]
async fn a_session_expires_later_when_its_speaker_is_heard() {
    let world = World::start(|settings| {
        patient(settings);
        unlimited(settings);
        settings.session_max_duration = mins(10);
    })
    .await;
    // By heartbeats, once half its time is gone.
    let mut speaking = world.speak().await;
    let mut listener = world.listen(&speaking.session, "es").await;
    world.clock.advance(mins(5));
    for peer in [&mut speaking.peer, &mut listener] {
        is_alive_among(peer).await;
    }
    lives_until(&world, &speaking.session, 10).await;
    let mut speaking = world.speak().await;
    world.clock.advance(mins(6));
    is_alive_among(&mut speaking.peer).await;
    lives_until(&world, &speaking.session, 26).await;
    // By a refresh, at any time.
    let speaking = world.speak().await;
    world.clock.advance(mins(1));
    let (_again, _) = speak_again(&world, &speaking.session).await;
    lives_until(&world, &speaking.session, 37).await;
}

async fn is_alive_among(peer: &mut Peer) {
    peer.send(json!({ "action": "heartbeat" })).await;
    peer.json_of("heartbeatAck").await;
}

#[tokio::test]
async fn any_frame_is_a_sign_of_life() {
    let world = World::start(|settings| {
        unlimited(settings);
        settings.heartbeat_interval = Duration::ZERO;
    })
    .await;
    let mut speaking = world.speak().await;
    let mut listeners = Vec::new();
    for _ in 0..6 {
        listeners.push(world.listen(&speaking.session, "es").await);
    }
    let mut silent = listeners.pop().unwrap();
    let audio = json!({ "action": "sendAudio", "audioData": "AAAA" }).to_string();
    let signs = [
        Message::text(json!({ "action": "heartbeat" }).to_string()),
        Message::Ping(bytes::Bytes::from_static(b"are you there")),
        Message::Pong(bytes::Bytes::new()),
        Message::text("nonsense"),
        Message::text(audio),
    ];
    for round in 1..=3 {
        world.clock.advance(secs(57));
        for (listener, sign) in listeners.iter_mut().zip(&signs) {
            listener.socket.send(sign.clone()).await.unwrap();
        }
        speaking.peer.send_binary(frame(round, b"x")).await;
        settle(&world).await;
        if round == 2 {
            // One that is silent may take its time to read why it is closed.
            world.clock.advance(secs(3));
            until_listeners(&mut speaking.peer, 5).await;
        }
    }
    while let Some(message) = silent.next().await {
        if let Message::Close(frame) = message {
            assert_eq!(u16::from(frame.unwrap().code), 1001);
        }
    }
    world.clock.advance(secs(89));
    settle(&world).await;
    until_listeners(&mut speaking.peer, 5).await;
    for _ in 0..2 {
        world.clock.advance(secs(3));
        settle(&world).await;
    }
    until_listeners(&mut speaking.peer, 0).await;
}

#[tokio::test]
async fn idle_sockets_are_pinged() {
    let world = open_world_with_beats().await;
    let speaking = world.speak().await;
    let mut listener = world.listen(&speaking.session, "es").await;
    let mut busy = world.listen(&speaking.session, "es").await;
    for round in 0..8 {
        world.clock.advance(Duration::from_millis(29_999));
        is_alive(&mut busy).await;
        settle(&world).await;
        world.clock.advance(Duration::from_millis(1));
        // Whoever only answers pings lives on for ever.
        let ping = listener.socket.next().await.unwrap().unwrap();
        assert!(ping.is_ping(), "{round}: {ping:?}");
        listener.socket.flush().await.unwrap();
        settle(&world).await;
    }
    is_alive(&mut listener).await;
    is_alive(&mut busy).await;
}

async fn open_world_with_beats() -> World {
    World::start(|settings| {
        unlimited(settings);
        settings.speaker_grace = mins(60);
    })
    .await
}

#[tokio::test]
async fn a_session_outlives_its_server() {
    let world = open_world().await;
    let mut speaking = world.speak().await;
    let session = speaking.session.clone();
    let listener = world.listen(&session, "es").await;
    let ended_one = world.speak().await;
    let gone = ended_one.session.clone();
    ended_one.peer.leave(1000).await;
    speaking.peer.send_binary(frame(5, b"x")).await;
    is_alive_among(&mut speaking.peer).await;
    until_totals(&world, 1, 1).await;
    let world = restart(world, vec![speaking.peer, listener]).await;
    assert_eq!(world.refused(&join(&gone, "es")).await.code(), "SESSION_NOT_FOUND");
    let (mut listener, joined) = enter(&world, &join(&session, "es"), "sessionJoined").await;
    assert_eq!(joined["broadcastState"]["isPaused"], true, "its speaker is awaited");
    world.clock.advance(secs(29));
    settle(&world).await;
    let (mut again, refreshed) = speak_again(&world, &session).await;
    has(&refreshed, &json!({ "role": "speaker", "lastSequence": null }));
    assert_eq!(listener.json().await["type"], "sessionResumed");
    assert_eq!(status(&mut again).await["listenerCount"], 1, "none is left of before");
    again.send_binary(frame(6, b"on")).await;
    assert_eq!(listener.binary().await, frame(6, b"on"));
}

#[tokio::test]
async fn after_a_restart_the_grace_begins_anew_and_ends() {
    let world = open_world().await;
    let speaking = world.speak().await;
    let session = speaking.session.clone();
    world.clock.advance(mins(5));
    let world = restart(world, vec![speaking.peer]).await;
    let mut listener = world.listen(&session, "es").await;
    world.clock.advance(Duration::from_millis(29_999));
    settle(&world).await;
    is_alive(&mut listener).await;
    world.clock.advance(Duration::from_millis(1));
    ended(&mut listener, "speakerLost").await;
    until_empty(&world).await;
}
