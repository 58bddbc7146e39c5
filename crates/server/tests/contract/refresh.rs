//! §5 Refresh: a member goes on on another connection, by query or by message.
//!
//! | sentence | test |
//! |---|---|
//! | the new connection becomes the speaker's, with its own record | `a_speaker_moves_and_the_old_connection_changes_nothing` |
//! | what the old one does (close, heartbeat, audio) changes nothing | the same |
//! | by message, the connection it is sent on becomes the member's | `a_speaker_moves_by_message`, `a_listener_moves_by_message` |
//! | it attaches a speaker to a session whose speaker is lost | `life::…`, `broadcast::…` |
//! | it extends the session's expiry | `life::a_session_expires…` |
//! | the refreshToken moves the member: the count stays, capacity is not asked | `a_listener_moves_in_a_full_session` |
//! | a token that is wrong, used or of another session is none | `a_token_that_proves_nothing_is_none` |
//! | without it, one that was told, of the same session, address and language | `without_a_token_the_one_that_was_told_is_moved` |
//! | else an ordinary join with all its limits | `a_token_that_proves_nothing_is_none`, `limits::…` |
//! | a superseded connection is closed with 1000 after 30 s | `a_superseded_connection_is_closed_in_the_end` |
//! | what was missed is replayed | `audio::…` |

use serde_json::{Value, json};

use crate::harness::{Peer, START, World, frame};
use crate::support::{
    enter, enter_from, go_on, has, is_alive, is_superseded, join, metric, mins, open_world,
    patient, secs, settle, speak_again, status, take_up, text, told_to_refresh, unlimited,
    until_listeners,
};

const REFRESHED: &str = "connectionRefreshComplete";

async fn of_places(max_listeners: u32) -> World {
    World::start(|settings| {
        patient(settings);
        unlimited(settings);
        settings.max_listeners_per_session = max_listeners;
    })
    .await
}

/// Lets connections come to the age at which they are told to refresh.
async fn grow_old(world: &World) {
    world.clock.advance(mins(100));
}

#[tokio::test]
async fn a_speaker_moves_and_the_old_connection_changes_nothing() {
    let world = open_world().await;
    let mut speaking = world.speak().await;
    let session = speaking.session.clone();
    let mut listener = world.listen(&session, "es").await;
    speaking.peer.send_binary(frame(7, b"old")).await;
    assert_eq!(listener.binary().await, frame(7, b"old"));
    let (mut new, refreshed) = speak_again(&world, &session).await;
    has(&refreshed, &json!({ "sessionId": session, "role": "speaker", "lastSequence": 7 }));
    let old = &mut speaking.peer;
    is_superseded(old).await;
    for message in [
        json!({ "action": "controlSession", "command": "pause" }),
        json!({ "action": "getSessionStatus" }),
        json!({ "action": "endSession" }),
    ] {
        let refused = old.ask(message).await;
        assert_eq!(refused["code"], "CONNECTION_NOT_FOUND", "{refused}");
    }
    old.send_binary(frame(8, b"ghost")).await;
    old.send(json!({ "action": "sendAudio", "audioData": "AAAA", "sequence": 9 })).await;
    is_superseded(old).await;
    new.send_binary(frame(8, b"new")).await;
    assert_eq!(listener.binary().await, frame(8, b"new"));
    let revoked = metric(&world, "audio_frames_dropped_total{reason=\"revoked\"}").await;
    assert_eq!(revoked, 2);
    speaking.peer.leave(1000).await;
    is_alive(&mut new).await;
    assert_eq!(status(&mut new).await["listenerCount"], 1);
    listener.quiet().await;
    let completed = "refreshes_total{role=\"speaker\",outcome=\"completed\"}";
    assert_eq!(metric(&world, completed).await, 1);
}

#[tokio::test]
async fn a_speaker_moves_by_message() {
    let world = open_world().await;
    let mut speaking = world.speak().await;
    let session = speaking.session.clone();
    let mut listener = world.listen(&session, "es").await;
    let refresh = |token: String| {
        json!({ "action": "refreshConnection", "sessionId": session, "role": "speaker",
            "token": token })
    };
    // On its own connection nothing moves.
    let answer = speaking.peer.ask(refresh(world.token("ann"))).await;
    has(&answer, &json!({ "type": REFRESHED, "role": "speaker", "sourceLanguage": "en" }));
    is_alive(&mut speaking.peer).await;
    // The connection that was superseded takes the session back.
    let (mut new, _) = speak_again(&world, &session).await;
    is_superseded(&mut speaking.peer).await;
    for (token, code) in [("garbage".to_owned(), "UNAUTHORIZED"), (String::new(), "UNAUTHORIZED")] {
        assert_eq!(speaking.peer.ask(refresh(token)).await["code"], code);
    }
    let refused = speaking.peer.ask(refresh(world.token("bob"))).await;
    assert_eq!(refused["code"], "FORBIDDEN");
    let answer = speaking.peer.ask(refresh(world.token("ann"))).await;
    assert_eq!(answer["type"], REFRESHED, "{answer}");
    is_superseded(&mut new).await;
    speaking.peer.send_binary(frame(1, b"back")).await;
    assert_eq!(listener.binary().await, frame(1, b"back"));
    new.leave(1000).await;
    world.pass(mins(1)).await;
    settle(&world).await;
    is_alive(&mut speaking.peer).await;
}

#[tokio::test]
async fn a_refresh_stays_in_its_session_and_role() {
    let world = open_world().await;
    let speaking = world.speak().await;
    let mut other = world.speak().await;
    let mut listener = world.listen(&speaking.session, "es").await;
    let elsewhere = json!({ "action": "refreshConnection", "sessionId": other.session,
        "role": "listener", "targetLanguage": "es" });
    assert_eq!(listener.ask(elsewhere).await["code"], "FORBIDDEN");
    let elsewhere = json!({ "action": "refreshConnection", "sessionId": speaking.session,
        "role": "speaker", "token": world.token("ann") });
    assert_eq!(other.peer.ask(elsewhere).await["code"], "FORBIDDEN");
    let nowhere = json!({ "action": "refreshConnection", "sessionId": "faithful-shepherd-427",
        "role": "listener", "targetLanguage": "es" });
    assert_eq!(listener.ask(nowhere).await["code"], "SESSION_NOT_FOUND");
    is_alive(&mut listener).await;
    is_alive(&mut other.peer).await;
}

#[tokio::test]
async fn a_listener_moves_in_a_full_session() {
    let world = of_places(1).await;
    let mut speaking = world.speak().await;
    let session = speaking.session.clone();
    let mut old = world.listen(&session, "es").await;
    grow_old(&world).await;
    let token = told_to_refresh(&mut old).await;
    assert_eq!(world.refused(&join(&session, "es")).await.code(), "SESSION_FULL");
    let query = format!("{}&refreshToken={token}", go_on(&session, "es"));
    let (mut new, refreshed) = enter(&world, &query, REFRESHED).await;
    let expected = json!({ "sessionId": session, "role": "listener", "sourceLanguage": "en",
        "targetLanguage": "es", "replayed": 0 });
    has(&refreshed, &expected);
    assert_eq!(status(&mut speaking.peer).await["listenerCount"], 1);
    is_superseded(&mut old).await;
    // It goes on hearing audio and notices for a while.
    speaking.peer.send_binary(frame(1, b"sound")).await;
    speaking.peer.send(json!({ "action": "controlSession", "command": "mute" })).await;
    for peer in [&mut old, &mut new] {
        assert_eq!(peer.binary().await, frame(1, b"sound"));
        assert_eq!(peer.json().await["type"], "sessionMuted");
    }
    old.leave(1000).await;
    settle(&world).await;
    is_alive(&mut new).await;
    assert_eq!(status(&mut speaking.peer).await["languageDistribution"], json!({ "es": 1 }));
    new.leave(1000).await;
    until_listeners(&mut speaking.peer, 0).await;
}

#[tokio::test]
async fn a_listener_may_move_to_another_language() {
    let world = of_places(1).await;
    let mut speaking = world.speak().await;
    let session = speaking.session.clone();
    let mut old = world.listen(&session, "es").await;
    grow_old(&world).await;
    let token = told_to_refresh(&mut old).await;
    let query = format!("{}&refreshToken={token}", go_on(&session, "de"));
    let (_new, refreshed) = enter(&world, &query, REFRESHED).await;
    assert_eq!(refreshed["targetLanguage"], "de");
    assert_eq!(status(&mut speaking.peer).await["languageDistribution"], json!({ "de": 1 }));
}

#[tokio::test]
async fn a_token_that_proves_nothing_is_none() {
    let world = of_places(2).await;
    let mut speaking = world.speak().await;
    let other = world.speak().await;
    let session = speaking.session.clone();
    let mut old = world.listen(&session, "es").await;
    let mut stranger = world.listen(&other.session, "es").await;
    grow_old(&world).await;
    let token = told_to_refresh(&mut old).await;
    let strange = told_to_refresh(&mut stranger).await;
    let query = |token: &str| format!("{}&refreshToken={token}", go_on(&session, "es"));
    let wrong = format!("{}.{}", "0".repeat(32), token.split_once('.').unwrap().1);
    let unknown = format!("{}.nobody", "0".repeat(32));
    // The first takes the member of the one who was told, for it comes from the same address and
    // asks for the same language; from then on there is nobody left who was told.
    let (_new, _) = enter(&world, &query(&token), REFRESHED).await;
    assert_eq!(status(&mut speaking.peer).await["listenerCount"], 1);
    let (mut second, _) = enter(&world, &query(&token), REFRESHED).await;
    assert_eq!(status(&mut speaking.peer).await["listenerCount"], 2, "used: a join");
    for token in [&token, &wrong, &unknown, &strange] {
        let refused = world.refused(&query(token)).await;
        assert_eq!(refused.code(), "SESSION_FULL", "{token}: a join, with all its limits");
    }
    second.send(json!({ "action": "heartbeat" })).await;
    second.json_of("heartbeatAck").await;
    is_alive(&mut stranger).await;
}

#[tokio::test]
async fn without_a_token_the_one_that_was_told_is_moved() {
    let world = World::start(|settings| {
        patient(settings);
        unlimited(settings);
        settings.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await;
    let mut speaking = world.speak().await;
    let session = speaking.session.clone();
    let mut old = enter_from(&world, "192.0.2.1", &join(&session, "es")).await.unwrap();
    assert_eq!(old.json().await["type"], "sessionJoined");
    let listeners = async |speaking: &mut Peer| status(speaking).await["listenerCount"].clone();
    // Nobody was told yet.
    enter_kept(&world, "192.0.2.1", &go_on(&session, "es")).await.leave(1000).await;
    until_listeners(&mut speaking.peer, 1).await;
    grow_old(&world).await;
    told_to_refresh(&mut old).await;
    // Another address, another language, another session.
    let others = [("192.0.2.2", "es"), ("192.0.2.1", "de")];
    let mut kept = Vec::new();
    for (number, (address, language)) in others.into_iter().enumerate() {
        kept.push(enter_kept(&world, address, &go_on(&session, language)).await);
        assert_eq!(listeners(&mut speaking.peer).await, number + 2);
    }
    let other = world.speak().await;
    kept.push(enter_kept(&world, "192.0.2.1", &go_on(&other.session, "es")).await);
    is_alive(&mut old).await;
    kept.push(enter_kept(&world, "192.0.2.1", &go_on(&session, "es")).await);
    assert_eq!(listeners(&mut speaking.peer).await, 3, "moved");
    is_superseded(&mut old).await;
    kept.push(enter_kept(&world, "192.0.2.1", &go_on(&session, "es")).await);
    assert_eq!(listeners(&mut speaking.peer).await, 4, "nobody is left to be moved");
}

async fn enter_kept(world: &World, address: &str, query: &str) -> Peer {
    let mut peer = enter_from(world, address, query).await.unwrap();
    let refreshed = peer.json().await;
    assert_eq!(refreshed["type"], REFRESHED, "{refreshed}");
    peer
}

#[tokio::test]
async fn a_listener_moves_by_message() {
    let world = open_world().await;
    let mut speaking = world.speak().await;
    let session = speaking.session.clone();
    let mut old = world.listen(&session, "es").await;
    grow_old(&world).await;
    let token = told_to_refresh(&mut old).await;
    let refresh = |language: &str, token: Option<&str>| {
        json!({ "action": "refreshConnection", "sessionId": session, "role": "listener",
            "targetLanguage": language, "refreshToken": token })
    };
    // On its own connection only the language changes.
    let mut new = world.listen(&session, "fr").await;
    let answer = new.ask(refresh("de", None)).await;
    has(&answer, &json!({ "type": REFRESHED, "targetLanguage": "de", "replayed": 0 }));
    let both = status(&mut speaking.peer).await;
    assert_eq!(both["languageDistribution"], json!({ "de": 1, "es": 1 }));
    // With another member's token, that member moves here: two become one.
    let answer = new.ask(refresh("it", Some(&token))).await;
    has(&answer, &json!({ "type": REFRESHED, "targetLanguage": "it" }));
    let one = status(&mut speaking.peer).await;
    assert_eq!(one["languageDistribution"], json!({ "it": 1 }));
    is_superseded(&mut old).await;
    is_alive(&mut new).await;
    // A superseded connection may join anew.
    let answer = old.ask(refresh("es", None)).await;
    assert_eq!(answer["type"], REFRESHED, "{answer}");
    is_alive(&mut old).await;
    assert_eq!(status(&mut speaking.peer).await["listenerCount"], 2);
    speaking.peer.send_binary(frame(1, b"x")).await;
    for peer in [&mut old, &mut new] {
        assert_eq!(peer.binary().await, frame(1, b"x"));
        peer.quiet().await;
    }
}

#[tokio::test]
async fn a_superseded_connection_is_closed_in_the_end() {
    let world = open_world().await;
    let mut speaking = world.speak().await;
    let session = speaking.session.clone();
    let mut listener = world.listen(&session, "es").await;
    grow_old(&world).await;
    let token = told_to_refresh(&mut listener).await;
    let query = format!("{}&refreshToken={token}", go_on(&session, "es"));
    let (mut new_listener, _) = enter(&world, &query, REFRESHED).await;
    let (mut new_speaker, _) = speak_again(&world, &session).await;
    world.pass(secs(29)).await;
    settle(&world).await;
    is_superseded(&mut listener).await;
    world.pass(secs(1)).await;
    assert_eq!(listener.closed().await, (1000, "superseded".to_owned()));
    speaking.peer.json_of("connectionRefreshRequired").await;
    loop {
        // Pushes of the status went to whoever was the speaker then.
        match speaking.peer.next().await.unwrap() {
            tokio_tungstenite::tungstenite::Message::Close(frame) => {
                let frame = frame.unwrap();
                assert_eq!((u16::from(frame.code), frame.reason.as_str()), (1000, "superseded"));
                break;
            }
            _ => continue,
        }
    }
    is_alive(&mut new_listener).await;
    assert_eq!(status(&mut new_speaker).await["listenerCount"], 1);
}

#[tokio::test]
async fn a_lost_speaker_comes_back_and_a_late_loss_changes_nothing() {
    let world = open_world().await;
    let speaking = world.speak().await;
    let session = speaking.session.clone();
    let mut listener = world.listen(&session, "es").await;
    let (mut new, _) = speak_again(&world, &session).await;
    // The old connection is lost only now.
    speaking.peer.vanish();
    settle(&world).await;
    listener.quiet().await;
    is_alive(&mut new).await;
    new.vanish();
    assert_eq!(listener.json().await["reason"], "speakerLost");
    world.clock.advance(secs(29));
    settle(&world).await;
    let refused = world.refused(&take_up(&world, &session, "bob")).await;
    assert_eq!(refused.code(), "FORBIDDEN");
    let (mut again, refreshed) = speak_again(&world, &session).await;
    assert_eq!(refreshed["broadcastState"]["isPaused"], false);
    assert_eq!(listener.json().await["type"], "sessionResumed");
    world.pass(secs(60)).await;
    settle(&world).await;
    again.send(json!({ "action": "heartbeat" })).await;
    again.json_of("heartbeatAck").await;
    is_alive(&mut listener).await;
    let told: Value = status(&mut again).await;
    assert_eq!(text(&told, "sessionId"), session);
    assert_eq!(told["sessionDuration"], (world.now().0 - START.0) / 1_000);
}
