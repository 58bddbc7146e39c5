//! §6 Limits: each at its number, with a small one configured.
//!
//! | sentence | test |
//! |---|---|
//! | sessions created, by user | `a_user_creates_so_many_sessions` |
//! | refused joins, by source address; once spent, that address waits | `guessing_costs` |
//! | a listener with its refreshToken is not barred | `guessing_costs` |
//! | joins, by source address | `an_address_joins_so_often` |
//! | connection attempts, by source address | `an_address_knocks_so_often` |
//! | the source is what a configured proxy reports; IPv6 by /64 | `an_address_joins_so_often` |
//! | … and only a configured one | `nobody_names_an_address_but_a_trusted_proxy` |
//! | heartbeats: burst of 4, a 30 s beat is never refused, a refused one closes nothing | `heartbeats_come_so_often` |
//! | audio frames: dropped, one error per episode, closed after 30 s of it | `audio_comes_so_fast` |
//! | control messages | `control_messages_come_so_fast` |
//! | one who goes on far beyond a limit is closed | `a_flood_is_closed` |
//! | listeners of a session | `refusals::a_full_session…`, `no_limit_is_set_by_zero` |
//! | sizes | `messages::…`, `sizes_are_configured` |
//! | connections, in all and by address | `there_are_so_many_places`, `an_address_has_so_many_places` |
//! | `retryAfter` at least 1, and true | all of these |
//! | 0 = off | `no_limit_is_set_by_zero` |
//! | a limiter whose store fails lets pass | the wrappers' own tests, with an injected fault |

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Peer, Refused, START, World, frame};
use crate::support::{
    create, enter, enter_from, go_on, has, is_alive, join, metric, mins, patient, refused_in_band,
    secs, told_to_refresh, unlimited,
};

const NOWHERE: &str = "faithful-shepherd-427";

/// Holds that a request is refused by this limit, and when it says that another is welcome.
#[track_caller]
fn is_limit(refused: &Refused, operation: &str, retry_after: u64) {
    assert_eq!((refused.status, refused.code()), (429, "RATE_LIMIT_EXCEEDED"), "{refused:?}");
    let details = json!({ "operation": operation, "retryAfter": retry_after });
    assert_eq!(refused.body["details"], details);
    assert_eq!(refused.retry_after, Some(retry_after));
}

/// The same on an open connection.
#[track_caller]
fn is_limit_message(error: &Value, operation: &str, retry_after: u64) {
    let details = json!({ "operation": operation, "retryAfter": retry_after });
    has(error, &json!({ "type": "error", "code": "RATE_LIMIT_EXCEEDED", "details": details }));
}

#[tokio::test]
async fn a_user_creates_so_many_sessions() {
    let world = World::start(|settings| {
        patient(settings);
        settings.rate_limit_sessions_per_hour = 2;
    })
    .await;
    let (_one, _two) = (world.speak().await, world.speak().await);
    let ann = create(&world, "ann");
    is_limit(&world.refused(&ann).await, "createSession", 1_800);
    let (error, close, _) = refused_in_band(&world, &ann).await;
    is_limit_message(&error, "createSession", 1_800);
    assert_eq!(close, 1013);
    enter(&world, &create(&world, "bob"), "sessionCreated").await;
    world.clock.advance(Duration::from_millis(1_799_001));
    is_limit(&world.refused(&ann).await, "createSession", 1);
    world.clock.advance(Duration::from_millis(999));
    enter(&world, &ann, "sessionCreated").await;
    is_limit(&world.refused(&ann).await, "createSession", 1_800);
}

/// A world in which the test is a proxy and says where its connections come from.
async fn behind_a_proxy(change: impl FnOnce(&mut ambo_server::Settings)) -> World {
    World::start(|settings| {
        patient(settings);
        unlimited(settings);
        settings.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
        change(settings);
    })
    .await
}

async fn joined(world: &World, address: &str, query: &str) -> Peer {
    let mut peer = enter_from(world, address, query).await.unwrap();
    let first = peer.json().await;
    assert_ne!(first["type"], "error", "{first}");
    peer
}

#[tokio::test]
async fn an_address_joins_so_often() {
    let world = behind_a_proxy(|settings| settings.rate_limit_joins_per_min = 2).await;
    let speaking = world.speak().await;
    let query = join(&speaking.session, "es");
    for (first, second, other) in [
        ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
        ("::ffff:192.0.2.7", "192.0.2.7", "::ffff:192.0.2.8"),
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", "2001:db8:0:2::1"),
    ] {
        joined(&world, first, &query).await;
        joined(&world, second, &query).await;
        let refused = enter_from(&world, first, &query).await.err().unwrap();
        is_limit(&refused, "joinSession", 30);
        let refused = enter_from(&world, second, &go_on(&speaking.session, "es")).await;
        is_limit(&refused.err().unwrap(), "joinSession", 30);
        joined(&world, other, &query).await;
    }
    world.clock.advance(secs(30));
    joined(&world, "192.0.2.1", &query).await;
    let refused = enter_from(&world, "192.0.2.1", &query).await.err().unwrap();
    is_limit(&refused, "joinSession", 30);
    let limited = "rate_limit_exceeded_total{operation=\"joinSession\"}";
    assert_eq!(metric(&world, limited).await, 7);
}

#[tokio::test]
async fn nobody_names_an_address_but_a_trusted_proxy() {
    let world = World::start(|settings| settings.rate_limit_joins_per_min = 1).await;
    let speaking = world.speak().await;
    let query = join(&speaking.session, "es");
    joined(&world, "192.0.2.1", &query).await;
    let refused = enter_from(&world, "192.0.2.2", &query).await.err().unwrap();
    is_limit(&refused, "joinSession", 60);
}

#[tokio::test]
async fn an_address_knocks_so_often() {
    let world = behind_a_proxy(|settings| settings.rate_limit_connects_per_min = 3).await;
    let token = world.token("ann");
    let create = format!("action=createSession&sourceLanguage=en&token={token}");
    joined(&world, "192.0.2.1", &create).await;
    for _ in 0..2 {
        let refused = enter_from(&world, "192.0.2.1", &join(NOWHERE, "es")).await.err().unwrap();
        assert_eq!(refused.code(), "SESSION_NOT_FOUND", "refused attempts count too");
    }
    let refused = enter_from(&world, "192.0.2.1", &create).await.err().unwrap();
    is_limit(&refused, "connect", 20);
    joined(&world, "192.0.2.2", &create).await;
    world.clock.advance(secs(20));
    joined(&world, "192.0.2.1", &create).await;
}

#[tokio::test]
async fn guessing_costs() {
    let world = behind_a_proxy(|settings| settings.rate_limit_refused_joins_per_min = 3).await;
    let speaking = world.speak().await;
    let here = speaking.session.as_str();
    let guesser = "192.0.2.1";
    let mut listener = joined(&world, guesser, &join(here, "es")).await;
    world.clock.advance(mins(100));
    let token = told_to_refresh(&mut listener).await;
    for _ in 0..5 {
        joined(&world, guesser, &join(here, "de")).await;
    }
    // Unknown, malformed, by a refresh: each is a guess. A token proves nothing of another session.
    let guesses = [join(NOWHERE, "es"), join("X", "es"), go_on(NOWHERE, "es")];
    for guess in &guesses {
        let refused = enter_from(&world, guesser, guess).await.err().unwrap();
        assert!(matches!(refused.code(), "SESSION_NOT_FOUND" | "INVALID_SESSION_ID"));
    }
    let good = [join(here, "es"), go_on(here, "de")];
    for query in guesses.iter().chain(&good) {
        let refused = enter_from(&world, guesser, query).await.err().unwrap();
        is_limit(&refused, "refusedJoin", 20);
    }
    joined(&world, "192.0.2.2", &join(here, "es")).await;
    let refresh = format!("{}&refreshToken={token}", go_on(here, "es"));
    let mut moved = joined(&world, guesser, &refresh).await;
    is_alive(&mut moved).await;
    let resume = format!(
        "action=refreshConnection&role=speaker&sessionId={here}&token={}",
        world.token("ann")
    );
    joined(&world, guesser, &resume).await;
    world.clock.advance(secs(20));
    joined(&world, guesser, &join(here, "es")).await;
}

#[tokio::test]
async fn heartbeats_come_so_often() {
    let world = World::start(|_| {}).await;
    let mut speaking = world.speak().await;
    let mut listener = world.listen(&speaking.session, "es").await;
    for _ in 0..4 {
        is_alive(&mut listener).await;
    }
    let heartbeat = json!({ "action": "heartbeat" });
    for _ in 0..3 {
        is_limit_message(&listener.ask(heartbeat.clone()).await, "heartbeat", 30);
    }
    is_alive(&mut speaking.peer).await;
    // The refused ones cost nothing, and were signs of life.
    world.clock.advance(secs(30));
    is_alive(&mut listener).await;
    is_limit_message(&listener.ask(heartbeat.clone()).await, "heartbeat", 30);
    // A beat of 30 s with jitter, on top of a burst.
    let mut fresh = world.listen(&speaking.session, "es").await;
    for round in 0..40 {
        world.clock.advance(secs(if round % 2 == 0 { 23 } else { 37 }));
        for peer in [&mut fresh, &mut speaking.peer] {
            peer.send(heartbeat.clone()).await;
            peer.json_of("heartbeatAck").await;
        }
    }
    // Refused beats close nothing, however many they are.
    for _ in 0..500 {
        fresh.send(heartbeat.clone()).await;
    }
    let mut refused = 0;
    for _ in 0..500 {
        refused += u32::from(fresh.json().await["type"] == "error");
    }
    assert!(refused >= 496, "{refused}");
    world.clock.advance(secs(60));
    is_alive(&mut fresh).await;
}

#[tokio::test]
async fn control_messages_come_so_fast() {
    let world = World::start(|_| {}).await;
    let mut speaking = world.speak().await;
    let mut listener = world.listen(&speaking.session, "es").await;
    let status = json!({ "action": "getSessionStatus" });
    let change = json!({ "action": "changeLanguage", "targetLanguage": "es" });
    for _ in 0..5 {
        assert_eq!(speaking.peer.ask(status.clone()).await["type"], "sessionStatus");
        // What is not understood counts as well.
        assert_eq!(speaking.peer.ask(json!({ "action": "x" })).await["code"], "INVALID_ACTION");
        assert_eq!(listener.ask(change.clone()).await["type"], "languageChanged");
        assert_eq!(listener.ask(status.clone()).await["code"], "FORBIDDEN");
    }
    is_limit_message(&speaking.peer.ask(status.clone()).await, "control", 1);
    is_limit_message(&speaking.peer.ask(json!({})).await, "control", 1);
    is_limit_message(&listener.ask(change.clone()).await, "control", 1);
    is_alive(&mut speaking.peer).await;
    world.clock.advance(Duration::from_millis(100));
    assert_eq!(speaking.peer.ask(status.clone()).await["type"], "sessionStatus");
    is_limit_message(&speaking.peer.ask(status.clone()).await, "control", 1);
    is_alive(&mut listener).await;
}

#[tokio::test]
async fn a_flood_is_closed() {
    let world = World::start(|_| {}).await;
    let mut speaking = world.speak().await;
    let mut listener = world.listen(&speaking.session, "es").await;
    let flood = async |peer: &mut Peer| {
        let mut answers = 0;
        for _ in 0..400 {
            peer.send(json!({ "action": "x" })).await;
        }
        while let Some(message) = peer.next().await {
            match message {
                tokio_tungstenite::tungstenite::Message::Close(frame) => {
                    assert_eq!(u16::from(frame.unwrap().code), 1008);
                }
                _ => answers += 1,
            }
        }
        answers
    };
    assert_eq!(flood(&mut listener).await, 311, "10, then 300 refusals, then the last");
    listener.vanish();
    flood(&mut speaking.peer).await;
    speaking.peer.vanish();
    world.until("both are gone", |world| world.server.held().connections == 0).await;
    let mut late = world.listen(&speaking.session, "es").await;
    let (_again, _) = crate::support::speak_again(&world, &speaking.session).await;
    assert_eq!(late.json().await["type"], "sessionResumed", "it was lost, not gone");
}

/// Holds that nothing is refused until a heartbeat is answered.
fn is_before_the_ack(message: &Value) -> bool {
    assert_ne!(message["type"], "error", "one for the whole episode: {message}");
    message["type"] != "heartbeatAck"
}

#[tokio::test]
async fn audio_comes_so_fast() {
    let world = World::start(|settings| {
        patient(settings);
        settings.rate_limit_heartbeats_per_min = 0;
    })
    .await;
    let mut speaking = world.speak().await;
    let mut listener = world.listen(&speaking.session, "es").await;
    let mut next = 1;
    let mut send = async |peer: &mut Peer, count: u32| {
        for _ in 0..count {
            peer.send_binary(frame(next, b"x")).await;
            next += 1;
        }
    };
    send(&mut speaking.peer, 200).await;
    is_alive(&mut speaking.peer).await;
    send(&mut speaking.peer, 50).await;
    is_limit_message(&speaking.peer.json().await, "audio", 1);
    let sent = json!({ "action": "sendAudio", "audioData": "AAAA" });
    speaking.peer.send(sent.clone()).await;
    is_alive(&mut speaking.peer).await;
    for sequence in 1..=200 {
        assert_eq!(listener.binary().await, frame(sequence, b"x"));
    }
    listener.quiet().await;
    assert_eq!(metric(&world, "audio_frames_dropped_total{reason=\"excess\"}").await, 51);
    // A pause ends the episode, and the next one is told again.
    world.clock.advance(secs(2));
    send(&mut speaking.peer, 201).await;
    let error = speaking.peer.json_of("error").await;
    is_limit_message(&error, "audio", 1);
    // Half again as fast as allowed, for half a minute.
    drop(listener);
    for _ in 0..29 {
        world.clock.advance(secs(1));
        send(&mut speaking.peer, 150).await;
        speaking.peer.send(json!({ "action": "heartbeat" })).await;
        while is_before_the_ack(&speaking.peer.json().await) {}
    }
    world.clock.advance(secs(1));
    send(&mut speaking.peer, 101).await;
    assert_eq!(speaking.peer.closed().await.0, 1008);
}

#[tokio::test]
async fn sizes_are_configured() {
    let world = World::start(|settings| {
        settings.max_control_size = 100;
        settings.max_audio_size = 10;
        settings.max_message_size = 2_000;
    })
    .await;
    let mut speaking = world.speak().await;
    let long = json!({ "action": "heartbeat", "x": "x".repeat(100) });
    assert_eq!(speaking.peer.ask(long).await["details"], json!({ "limit": 100 }));
    speaking.peer.send_binary(frame(1, &[0; 11])).await;
    assert_eq!(speaking.peer.json().await["details"], json!({ "limit": 10 }));
    let long = json!({ "action": "sendAudio", "audioData": "AAAAAAAAAAAAAAAA" });
    assert_eq!(speaking.peer.ask(long).await["details"], json!({ "limit": 10 }));
    speaking.peer.send_text(&"x".repeat(2_001)).await;
    assert_eq!(speaking.peer.closed().await.0, 1009);
}

#[tokio::test]
async fn there_are_so_many_places() {
    let world = World::start(|settings| settings.max_connections = 2).await;
    let speaking = world.speak().await;
    let listener = world.listen(&speaking.session, "es").await;
    for _ in 0..20 {
        let refused = world.refused(&join(&speaking.session, "es")).await;
        assert_eq!((refused.status, refused.code()), (503, "SERVICE_UNAVAILABLE"));
        let wait = refused.retry_after.unwrap();
        assert_eq!(refused.body["details"], json!({ "service": "node", "retryAfter": wait }));
    }
    listener.leave(1000).await;
    world.until("there is a place", |world| world.server.held().connections == 1).await;
    let mut listener = world.listen(&speaking.session, "es").await;
    is_alive(&mut listener).await;
}

#[tokio::test]
async fn an_address_has_so_many_places() {
    let world = World::start(|settings| settings.max_connections_per_address = 2).await;
    let speaking = world.speak().await;
    let _listener = world.listen(&speaking.session, "es").await;
    for _ in 0..20 {
        is_limit(&world.refused(&join(&speaking.session, "es")).await, "connect", 10);
    }
    // Behind a proxy it is known only with the request; then it can be told in band as well.
    let world = behind_a_proxy(|settings| settings.max_connections_per_address = 1).await;
    let speaking = world.speak().await;
    let query = join(&speaking.session, "es");
    let _one = joined(&world, "192.0.2.1", &query).await;
    is_limit(&enter_from(&world, "192.0.2.1", &query).await.err().unwrap(), "connect", 10);
    let headers = [crate::harness::AMBO, ("x-forwarded-for", "192.0.2.1")];
    let mut peer = world.knock(&format!("/ws?{query}"), &headers).await.unwrap();
    is_limit_message(&peer.json().await, "connect", 10);
    assert_eq!(peer.closed().await.0, 1013);
    joined(&world, "192.0.2.2", &query).await;
}

#[tokio::test]
async fn no_limit_is_set_by_zero() {
    let world = World::start(|settings| {
        unlimited(settings);
        settings.max_listeners_per_session = 0;
        settings.max_connections = 0;
        settings.max_connections_per_address = 0;
    })
    .await;
    for _ in 0..60 {
        world.refused(&join("X", "es")).await;
        world.speak().await.peer.vanish();
    }
    let mut speaking = world.speak().await;
    let mut listeners = Vec::new();
    for _ in 0..60 {
        listeners.push(world.listen(&speaking.session, "es").await);
    }
    for number in 1..=400 {
        is_alive(&mut speaking.peer).await;
        let status = json!({ "action": "getSessionStatus" });
        assert_eq!(speaking.peer.ask(status).await["listenerCount"], 60);
        speaking.peer.send_binary(frame(number, b"x")).await;
        assert_eq!(listeners[0].binary().await, frame(number, b"x"));
    }
    assert_eq!(world.now(), START);
}
