//! Messages on open connections; their answers are posted.

use ambo_core::Millis;
use serde_json::{Value, json};

use crate::world::{World, message_event};

#[tokio::test]
async fn control_messages_are_answered_and_told() {
    let world = World::new().await;
    let session = world.session().await;
    world.join("eva", &session, "es").await;
    world.take("ann");
    let cases = [
        ("ann", json!({ "action": "controlSession", "command": "pause" }), "broadcastState"),
        ("ann", json!({ "action": "controlSession", "command": "resume" }), "broadcastState"),
        ("eva", json!({ "action": "changeLanguage", "targetLanguage": "de" }), "languageChanged"),
        ("ann", json!({ "action": "getSessionStatus" }), "sessionStatus"),
    ];
    for (connection, message, answer) in cases {
        let response = world.say("connection", connection, message.clone()).await;
        assert_eq!(response, json!({ "statusCode": 200 }));
        let told = world.take(connection);
        let told = told.iter().find(|told| told["type"] == answer);
        assert!(told.is_some(), "{message}");
        if answer == "sessionStatus" {
            assert_eq!(told.unwrap()["languageDistribution"], json!({ "de": 1 }));
        }
    }
}

#[tokio::test]
async fn an_end_reaches_everybody_once_and_closes() {
    let world = World::new().await;
    let session = world.session().await;
    world.join("eva", &session, "es").await;
    world.join("max", &session, "de").await;
    world.take("ann");
    world.say("connection", "ann", json!({ "action": "endSession", "reason": "Amen" })).await;
    for connection in ["ann", "eva", "max"] {
        let told = world.take(connection);
        assert_eq!(told.len(), 2, "{told:?}");
        assert_eq!(told[0]["reason"], "speakerEnded");
        assert_eq!(told[0]["message"], "Amen");
        assert_eq!(told[1], "closed");
    }
    world.part("eva", 1000).await;
    world.say("heartbeat", "eva", json!({ "action": "heartbeat" })).await;
    assert_eq!(world.take("eva")[0]["code"], "CONNECTION_NOT_FOUND");
}

#[tokio::test]
async fn what_is_no_message_for_a_function_is_an_error_on_the_open_connection() {
    let world = World::new().await;
    let session = world.session().await;
    world.join("eva", &session, "es").await;
    let refresh = format!(
        r#"{{"action":"refreshConnection","role":"speaker","sessionId":"{session}","token":"user:ann"}}"#
    );
    let long = format!(r#"{{"action":"endSession","x":"{}"}}"#, "x".repeat(5_000));
    let cases = [
        ("connection", "", "INVALID_MESSAGE"),
        ("connection", "hello", "INVALID_MESSAGE"),
        ("connection", "[]", "INVALID_MESSAGE"),
        ("connection", "{}", "INVALID_ACTION"),
        ("connection", r#"{"action":"dance"}"#, "INVALID_ACTION"),
        ("connection", r#"{"action":"heartbeat"}"#, "INVALID_ACTION"),
        ("connection", &refresh, "INVALID_ACTION"),
        ("heartbeat", r#"{"action":"endSession"}"#, "INVALID_ACTION"),
        ("refresh", r#"{"action":"endSession"}"#, "INVALID_ACTION"),
        ("connection", r#"{"action":"endSession"}"#, "FORBIDDEN"),
        ("connection", r#"{"action":"getSessionStatus"}"#, "FORBIDDEN"),
        ("connection", &long, "MESSAGE_TOO_LARGE"),
    ];
    for (handler, body, code) in cases {
        world.clock.advance(Millis::from_secs(1));
        let response = world.give(handler, message_event("eva", body)).await;
        assert_eq!(response, json!({ "statusCode": 200 }));
        let told = world.take("eva");
        assert_eq!((told.len(), &told[0]["code"]), (1, &json!(code)), "{handler}: {body}");
    }
    assert_eq!(world.listeners().await, 1);
}

#[tokio::test]
async fn audio_is_sent_elsewhere() {
    let audio = json!({ "action": "sendAudio", "audioData": "T2dnUw==" });
    for (url, details) in [
        ("", Value::Null),
        ("wss://media.example.org/ws", json!({ "mediaUrl": "wss://media.example.org/ws" })),
    ] {
        let world = World::with(&[("MEDIA_URL", url)]).await;
        world.session().await;
        world.say("connection", "ann", audio.clone()).await;
        let told = world.take("ann");
        assert_eq!(
            (&told[0]["type"], &told[0]["code"]),
            (&json!("error"), &json!("INVALID_ACTION"))
        );
        assert_eq!(told[0]["details"], details);
        assert!(told[0]["message"].as_str().unwrap().contains(url));
        for _ in 0..10 {
            world.say("connection", "ann", audio.clone()).await;
        }
        assert_eq!(world.take("ann").last().unwrap()["code"], "RATE_LIMIT_EXCEEDED");
    }
}

#[tokio::test]
async fn a_heartbeat_is_acknowledged_and_tells_the_age_however_late() {
    let world = World::new().await;
    let session = world.session().await;
    world.join("eva", &session, "es").await;
    let beat = json!({ "action": "heartbeat", "timestamp": 1 });
    world.say("heartbeat", "eva", beat.clone()).await;
    assert_eq!(world.types("eva"), ["heartbeatAck"]);
    world.clock.advance(Millis::from_mins(107));
    world.say("heartbeat", "eva", beat.clone()).await;
    let told = world.take("eva");
    let types: Vec<_> = told.iter().map(|told| told["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["heartbeatAck", "connectionRefreshRequired", "connectionWarning"]);
    assert_eq!(told[2]["remainingMinutes"], 13);
    world.say("heartbeat", "eva", beat.clone()).await;
    assert_eq!(world.types("eva"), ["heartbeatAck"]);
    assert_eq!(world.metric("HeartbeatLatency").len(), 3);
    world.say("heartbeat", "nobody", beat).await;
    assert_eq!(world.take("nobody")[0]["code"], "CONNECTION_NOT_FOUND");
}

#[tokio::test]
async fn a_listener_moves_with_its_token_and_the_count_stays() {
    let world = World::new().await;
    let session = world.session().await;
    world.join("eva", &session, "es").await;
    world.clock.advance(Millis::from_mins(100));
    world.say("heartbeat", "ann", json!({ "action": "heartbeat" })).await;
    world.say("heartbeat", "eva", json!({ "action": "heartbeat" })).await;
    let token = world.take("eva")[1]["refreshToken"].as_str().unwrap().to_owned();
    let query = [
        ("action", "refreshConnection"),
        ("role", "listener"),
        ("sessionId", &session),
        ("targetLanguage", "es"),
        ("refreshToken", &token),
    ];
    world.connect("eva/2", None, &query).await;
    assert_eq!(world.types("eva/2"), ["connectionRefreshComplete"]);
    world.part("eva", 1000).await;
    assert_eq!(world.listeners().await, 1);
}

#[tokio::test]
async fn a_speaker_refreshes_by_message_with_a_token_of_its_own() {
    let world = World::new().await;
    let session = world.session().await;
    let refresh = |token: Option<&str>| {
        let mut message =
            json!({ "action": "refreshConnection", "role": "speaker", "sessionId": session });
        if let Some(token) = token {
            message["token"] = json!(token);
        }
        message
    };
    let good = world.token("ann").0;
    let others = world.token("eva").0;
    let cases = [
        (None, "UNAUTHORIZED"),
        (Some("user:ann"), "UNAUTHORIZED"),
        (Some("unavailable"), "UNAUTHORIZED"),
        (Some(&*others), "FORBIDDEN"),
    ];
    for (token, code) in cases {
        world.say("refresh", "ann", refresh(token)).await;
        assert_eq!(world.take("ann")[0]["code"], code, "{token:?}");
    }
    world.say("refresh", "ann", refresh(Some(&good))).await;
    assert_eq!(world.types("ann"), ["connectionRefreshComplete"]);
    // Behind a new process, an issuer that is down is nobody's fault but ours.
    world.freeze();
    world.page("/jwks", 500, json!({}));
    world.say("refresh", "ann", refresh(Some(&good))).await;
    assert_eq!(world.take("ann")[0]["code"], "SERVICE_UNAVAILABLE");
    assert_eq!(world.metric("Refreshes").len(), 6);
}
