//! §2 Client → server: every message, its answer, and what is wrong with messages.
//!
//! | sentence | test |
//! |---|---|
//! | heartbeat, its optional `timestamp`, its ack | `a_heartbeat_is_answered` |
//! | sendAudio: no answer, errors only; its fields | `send_audio_is_answered_by_errors_only` |
//! | controlSession | `broadcast::…` |
//! | changeLanguage keeps the member and the count | `a_listener_changes_its_language` |
//! | changeLanguage keeps the age | `ages::a_change_of_language_keeps_the_age` |
//! | getSessionStatus | `the_speaker_asks_who_listens` |
//! | endSession, optional reason | `the_speaker_ends_the_session` |
//! | refreshConnection by message | `refresh::…` |
//! | wrong roles | `what_is_not_for_a_role_is_refused_and_nothing_else_happens` |
//! | non-JSON, non-object, missing or unknown action | `what_cannot_be_understood_is_refused_by_name` |
//! | unknown fields are ignored | `unknown_fields_are_ignored` |
//! | sizes, and what is no message or frame at all | `sizes::…` |

use serde_json::{Value, json};

use crate::harness::{Peer, START, frame};
use crate::support::{
    ended, has, is_alive, join, mins, open_world, secs, speak_plain, status, text, until_empty,
};

/// The error that a message is answered with.
async fn refusal(peer: &mut Peer, message: &Value) -> (String, Value) {
    let answer = peer.ask(message.clone()).await;
    assert_eq!(answer["type"], "error", "{message} is answered by {answer}");
    (text(&answer, "code").to_owned(), answer["details"].clone())
}

#[tokio::test]
async fn a_heartbeat_is_answered() {
    let world = open_world().await;
    let mut speaking = world.speak().await;
    let mut listener = world.listen(&speaking.session, "es").await;
    for peer in [&mut speaking.peer, &mut listener] {
        for timestamp in [json!(null), json!(START.0), json!(0), json!("soon"), json!({})] {
            let heartbeat = json!({ "action": "heartbeat", "timestamp": timestamp });
            let ack = peer.ask(heartbeat).await;
            assert_eq!(ack, json!({ "type": "heartbeatAck", "timestamp": START.0 }));
        }
    }
    world.pass(secs(3)).await;
    listener.send(json!({ "action": "heartbeat" })).await;
    let ack = listener.json_of("heartbeatAck").await;
    assert_eq!(ack["timestamp"], START.0 + 3_000, "the server's clock");
}

#[tokio::test]
async fn what_is_not_for_a_role_is_refused_and_nothing_else_happens() {
    let world = open_world().await;
    let mut speaking = world.speak().await;
    let session = speaking.session.clone();
    let mut listener = world.listen(&session, "es").await;
    let change = json!({ "action": "changeLanguage", "targetLanguage": "de" });
    let as_listener = json!({ "action": "refreshConnection", "sessionId": session,
        "role": "listener", "targetLanguage": "de" });
    for message in [&change, &as_listener] {
        assert_eq!(refusal(&mut speaking.peer, message).await.0, "FORBIDDEN", "{message}");
    }
    let messages = [
        json!({ "action": "sendAudio", "audioData": "AAAA" }),
        json!({ "action": "controlSession", "command": "pause" }),
        json!({ "action": "getSessionStatus" }),
        json!({ "action": "endSession" }),
        json!({ "action": "refreshConnection", "sessionId": session, "role": "speaker",
            "token": world.token("ann") }),
    ];
    for message in messages {
        assert_eq!(refusal(&mut listener, &message).await.0, "FORBIDDEN", "{message}");
    }
    listener.send_binary(frame(1, b"sound")).await;
    assert_eq!(listener.error().await, "FORBIDDEN");
    is_alive(&mut listener).await;
    let status = status(&mut speaking.peer).await;
    assert_eq!(status["languageDistribution"], json!({ "es": 1 }));
    assert_eq!(status["broadcastState"]["isPaused"], false);
}

#[tokio::test]
async fn what_cannot_be_understood_is_refused_by_name() {
    let world = open_world().await;
    let mut speaking = world.speak().await;
    let mut plain = world.connect_plain(&join(&speaking.session, "es")).await;
    assert_eq!(plain.json().await["type"], "sessionJoined");
    let cases = [
        ("", "INVALID_MESSAGE"),
        ("hello", "INVALID_MESSAGE"),
        ("{\"action\":\"heartbeat\"", "INVALID_MESSAGE"),
        ("[{\"action\":\"heartbeat\"}]", "INVALID_MESSAGE"),
        ("null", "INVALID_MESSAGE"),
        ("7", "INVALID_MESSAGE"),
        ("\"heartbeat\"", "INVALID_MESSAGE"),
        ("{}", "INVALID_ACTION"),
        ("{\"action\":null}", "INVALID_ACTION"),
        ("{\"action\":7}", "INVALID_ACTION"),
        ("{\"action\":\"Heartbeat\"}", "INVALID_ACTION"),
        ("{\"action\":\"createSession\"}", "INVALID_ACTION"),
        ("{\"action\":\"joinSession\"}", "INVALID_ACTION"),
        ("{\"type\":\"heartbeat\"}", "INVALID_ACTION"),
    ];
    for peer in [&mut speaking.peer, &mut plain] {
        for (message, code) in cases {
            peer.send_text(message).await;
            assert_eq!(peer.error().await, code, "{message}");
        }
        is_alive(peer).await;
    }
    plain.send_binary(frame(1, b"sound")).await;
    let error = plain.json().await;
    has(&error, &json!({ "code": "INVALID_PARAMETERS", "details": { "field": "message" } }));
    is_alive(&mut plain).await;
}

#[tokio::test]
async fn a_parameter_that_is_missing_or_malformed_is_named() {
    let world = open_world().await;
    let mut speaking = world.speak().await;
    let mut listener = world.listen(&speaking.session, "es").await;
    let long = "x".repeat(281);
    let of_speaker = [
        (json!({ "action": "controlSession" }), "command"),
        (json!({ "action": "controlSession", "command": "stop" }), "command"),
        (json!({ "action": "controlSession", "command": ["pause"] }), "command"),
        (json!({ "action": "controlSession", "command": "pause", "message": long }), "message"),
        (json!({ "action": "controlSession", "command": "pause", "message": {} }), "message"),
        (json!({ "action": "endSession", "reason": long }), "reason"),
        (json!({ "action": "endSession", "reason": true }), "reason"),
        (json!({ "action": "refreshConnection" }), "sessionId"),
        (json!({ "action": "refreshConnection", "sessionId": speaking.session }), "role"),
    ];
    for (message, field) in of_speaker {
        let refusal = refusal(&mut speaking.peer, &message).await;
        assert_eq!(refusal.0, "INVALID_PARAMETERS", "{message}");
        assert_eq!(refusal.1, json!({ "field": field }), "{message}");
    }
    for target in [json!(null), json!(""), json!("DE"), json!(["de"]), json!(49)] {
        let message = json!({ "action": "changeLanguage", "targetLanguage": target });
        let refusal = refusal(&mut listener, &message).await;
        assert_eq!(refusal.1, json!({ "field": "targetLanguage" }), "{message}");
    }
    let state = &status(&mut speaking.peer).await["broadcastState"];
    assert_eq!((&state["isPaused"], &state["lastStateChange"]), (&json!(false), &json!(START.0)));
}

#[tokio::test]
async fn unknown_fields_are_ignored() {
    let world = open_world().await;
    let mut speaking = world.speak().await;
    let mut listener = world.listen(&speaking.session, "es").await;
    let odd =
        json!({ "a": [1, { "b": null }], "token": {}, "role": 7, "type": "x", "sequence": [] });
    let with = |mut message: Value| {
        for (name, value) in odd.as_object().unwrap() {
            message[name] = value.clone();
        }
        message
    };
    for peer in [&mut speaking.peer, &mut listener] {
        let ack = peer.ask(with(json!({ "action": "heartbeat" }))).await;
        assert_eq!(ack["type"], "heartbeatAck", "{ack}");
    }
    let pause = with(json!({ "action": "controlSession", "command": "pause" }));
    assert_eq!(speaking.peer.ask(pause).await["type"], "broadcastState");
    assert_eq!(listener.json().await["type"], "sessionPaused");
    let change = with(json!({ "action": "changeLanguage", "targetLanguage": "de" }));
    assert_eq!(listener.ask(change).await["type"], "languageChanged");
    let asked = with(json!({ "action": "getSessionStatus" }));
    assert_eq!(speaking.peer.ask(asked).await["type"], "sessionStatus");
    let refresh = json!({ "action": "refreshConnection", "sessionId": speaking.session,
        "role": "listener", "targetLanguage": "de", "token": [], "qualityTier": {} });
    assert_eq!(listener.ask(refresh).await["type"], "connectionRefreshComplete");
    let ended = speaking.peer.ask(with(json!({ "action": "endSession" }))).await;
    assert_eq!(ended["type"], "sessionEnded");
}

#[tokio::test]
async fn send_audio_is_answered_by_errors_only() {
    let world = open_world().await;
    let mut speaking = speak_plain(&world).await;
    let own = speaking.session.clone();
    let good = [
        json!({ "action": "sendAudio", "audioData": "AAAA" }),
        json!({ "action": "sendAudio", "audioData": "AAA=", "sequence": 17 }),
        json!({ "action": "sendAudio", "audioData": "AA==", "sessionId": own }),
        json!({ "action": "sendAudio", "audioData": "AA==", "sequence": u32::MAX }),
    ];
    for message in good {
        speaking.peer.send(message).await;
        is_alive(&mut speaking.peer).await;
    }
    let bad = [
        (json!({ "action": "sendAudio" }), "audioData"),
        (json!({ "action": "sendAudio", "audioData": "" }), "audioData"),
        (json!({ "action": "sendAudio", "audioData": "AAA" }), "audioData"),
        (json!({ "action": "sendAudio", "audioData": "****" }), "audioData"),
        (json!({ "action": "sendAudio", "audioData": "AA-_" }), "audioData"),
        (json!({ "action": "sendAudio", "audioData": 1234 }), "audioData"),
        (json!({ "action": "sendAudio", "audioData": ["AAAA"] }), "audioData"),
        (json!({ "action": "sendAudio", "audioData": "AAAA", "sequence": -1 }), "sequence"),
        (json!({ "action": "sendAudio", "audioData": "AAAA", "sequence": 1.5 }), "sequence"),
        (json!({ "action": "sendAudio", "audioData": "AAAA", "sequence": 1u64 << 32 }), "sequence"),
        (
            json!({ "action": "sendAudio", "audioData": "AAAA",
                "sessionId": "faithful-shepherd-427" }),
            "sessionId",
        ),
    ];
    for (message, field) in bad {
        let refusal = refusal(&mut speaking.peer, &message).await;
        assert_eq!(refusal.0, "INVALID_PARAMETERS", "{message}");
        assert_eq!(refusal.1, json!({ "field": field }), "{message}");
    }
    let malformed = json!({ "action": "sendAudio", "audioData": "AAAA", "sessionId": "X" });
    assert_eq!(refusal(&mut speaking.peer, &malformed).await.0, "INVALID_SESSION_ID");
}

#[tokio::test]
async fn a_listener_changes_its_language() {
    let world = open_world().await;
    let mut speaking = world.speak().await;
    let own = speaking.session.clone();
    let mut listener = world.listen(&own, "es").await;
    world.pass(mins(1)).await;
    for (language, session) in [("de", None), ("fr", Some(&own)), ("fr", None), ("en", None)] {
        let mut message = json!({ "action": "changeLanguage", "targetLanguage": language });
        if let Some(session) = session {
            message["sessionId"] = json!(session);
        }
        let expected = json!({ "type": "languageChanged", "sessionId": own,
            "targetLanguage": language, "sourceLanguage": "en", "timestamp": world.now().0 });
        assert_eq!(listener.ask(message).await, expected);
        let status = status(&mut speaking.peer).await;
        assert_eq!(status["listenerCount"], 1);
        assert_eq!(status["languageDistribution"], json!({ language: 1 }));
    }
    let other = json!({ "action": "changeLanguage", "targetLanguage": "de",
        "sessionId": "faithful-shepherd-427" });
    let refused = refusal(&mut listener, &other).await;
    assert_eq!(refused, ("INVALID_PARAMETERS".to_owned(), json!({ "field": "sessionId" })));
    let unserved = json!({ "action": "changeLanguage", "targetLanguage": "zz" });
    let details = json!({ "languageCode": "zz", "sessionId": own });
    assert_eq!(
        refusal(&mut listener, &unserved).await,
        ("UNSUPPORTED_LANGUAGE".to_owned(), details)
    );
    speaking.peer.send_binary(frame(1, b"sound")).await;
    assert_eq!(listener.binary().await, frame(1, b"sound"), "it is still seated");
    listener.leave(1000).await;
    crate::support::until_listeners(&mut speaking.peer, 0).await;
}

#[tokio::test]
async fn the_speaker_asks_who_listens() {
    let world = open_world().await;
    let mut speaking = world.speak().await;
    let mut listeners = Vec::new();
    for language in ["es", "de", "es", "en"] {
        listeners.push(world.listen(&speaking.session, language).await);
    }
    // Not more than the tick that pushes: the answer to a question comes at any time.
    world.clock.advance(std::time::Duration::from_millis(999));
    let expected = json!({
        "type": "sessionStatus",
        "sessionId": speaking.session,
        "listenerCount": 4,
        "languageDistribution": { "de": 1, "en": 1, "es": 2 },
        "sessionDuration": 0,
        "broadcastState": { "isPaused": false, "isMuted": false, "lastStateChange": START.0 },
        "updateReason": "requested",
        "timestamp": START.0 + 999,
    });
    for _ in 0..3 {
        let answer = speaking.peer.ask(json!({ "action": "getSessionStatus" })).await;
        assert_eq!(answer, expected);
    }
    world.pass(secs(75)).await;
    assert_eq!(status(&mut speaking.peer).await["sessionDuration"], 75);
}

#[tokio::test]
async fn the_speaker_ends_the_session() {
    let world = open_world().await;
    let cases = [
        (json!({ "action": "endSession" }), "The speaker has ended the session."),
        (json!({ "action": "endSession", "reason": "" }), "The speaker has ended the session."),
        (json!({ "action": "endSession", "reason": "Go in peace ☮" }), "Go in peace ☮"),
    ];
    for (message, shown) in cases {
        let mut speaking = world.speak().await;
        let mut listener = world.listen(&speaking.session, "es").await;
        speaking.peer.send(message).await;
        for peer in [&mut speaking.peer, &mut listener] {
            let message = ended(peer, "speakerEnded").await;
            has(&message, &json!({ "sessionId": speaking.session, "message": shown }));
        }
    }
    until_empty(&world).await;
}
