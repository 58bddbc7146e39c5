//! §5 Age: told to refresh, warned, closed.
//!
//! | sentence | test |
//! |---|---|
//! | `connectionRefreshRequired` exactly once per connection, by the server's own timer | `each_age_is_told_once` |
//! | … else at the next heartbeat however late | `a_heartbeat_tells_no_second_time`; the rule's own tests, as this server has a timer |
//! | `connectionWarning`, once | `each_age_is_told_once` |
//! | closed at the greatest age with 1001 | `each_age_is_told_once` |
//! | 0 turns each off | `each_age_can_be_turned_off` |
//! | a refresh starts the age anew, a change of language does not | `a_refreshed_connection_is_young`, `a_change_of_language_keeps_the_age` |
//! | reason `drain` | the tests of the operation |

use std::time::Duration;

use ambo_server::Settings;
use serde_json::{Value, json};

use crate::harness::{Peer, START, World};
use crate::support::{
    enter, go_on, has, is_alive, mins, open_world, patient, rest_of, secs, settle, speak_again,
    text, told_to_refresh, unlimited,
};

/// What comes that concerns the age, and the code it ends with.
async fn signs(peer: Peer) -> (Vec<Value>, Option<u16>) {
    let (messages, code) = rest_of(peer).await;
    let is_sign = |message: &Value| text(message, "type").starts_with("connection");
    (messages.into_iter().filter(is_sign).collect(), code)
}

#[tokio::test]
async fn each_age_is_told_once() {
    let world = World::start(|settings| {
        patient(settings);
        unlimited(settings);
        settings.session_max_duration = mins(600);
    })
    .await;
    let speaking = world.speak().await;
    let session = speaking.session.clone();
    let mut listener = world.listen(&session, "es").await;
    world.clock.advance(mins(100) - Duration::from_millis(1));
    settle(&world).await;
    is_alive(&mut listener).await;
    world.clock.advance(Duration::from_millis(1));
    let told = listener.json().await;
    let deadline = START.0 + 7_200_000;
    let expected = json!({
        "type": "connectionRefreshRequired",
        "sessionId": session,
        "role": "listener",
        "targetLanguage": "es",
        "reason": "age",
        "deadline": deadline,
        "timestamp": START.0 + 6_000_000,
    });
    has(&told, &expected);
    for _ in 0..4 {
        world.pass(secs(30)).await;
        is_alive(&mut listener).await;
    }
    world.clock.advance(mins(3) - Duration::from_millis(1));
    is_alive(&mut listener).await;
    world.clock.advance(Duration::from_millis(1));
    let warned = listener.json().await;
    has(&warned, &json!({ "type": "connectionWarning", "remainingMinutes": 15 }));
    for _ in 0..14 {
        world.clock.advance(mins(1));
        is_alive(&mut listener).await;
    }
    world.clock.advance(Duration::from_millis(59_999));
    is_alive(&mut listener).await;
    world.clock.advance(Duration::from_millis(1));
    assert_eq!(listener.closed().await.0, 1001);
    let (signs, code) = signs(speaking.peer).await;
    let kinds: Vec<_> = signs.iter().map(|sign| text(sign, "type")).collect();
    assert_eq!(kinds, ["connectionRefreshRequired", "connectionWarning"]);
    let expected = json!({ "role": "speaker", "sessionId": session, "reason": "age",
        "deadline": deadline, "targetLanguage": null, "refreshToken": null });
    has(&signs[0], &expected);
    assert_eq!(code, Some(1001));
}

#[tokio::test]
async fn a_heartbeat_tells_no_second_time() {
    let world = open_world().await;
    let speaking = world.speak().await;
    let mut listener = world.listen(&speaking.session, "es").await;
    // The heartbeat and the timer come at the same moment; one of them tells.
    world.clock.advance(mins(106));
    for _ in 0..5 {
        listener.send(json!({ "action": "heartbeat" })).await;
    }
    let mut kinds = Vec::new();
    for _ in 0..7 {
        kinds.push(text(&listener.json().await, "type").to_owned());
    }
    let count = |kind: &str| kinds.iter().filter(|found| *found == kind).count();
    let counts = ["connectionRefreshRequired", "connectionWarning", "heartbeatAck"].map(count);
    assert_eq!(counts, [1, 1, 5]);
    listener.quiet().await;
}

async fn after_two_hours(change: impl FnOnce(&mut Settings)) -> (Vec<String>, Option<u16>) {
    let world = World::start(|settings| {
        patient(settings);
        settings.session_max_duration = mins(600);
        change(settings);
    })
    .await;
    let speaking = world.speak().await;
    let listener = world.listen(&speaking.session, "es").await;
    for _ in 0..125 {
        world.clock.advance(mins(1));
        settle(&world).await;
    }
    speaking.peer.leave(1000).await;
    let (signs, code) = signs(listener).await;
    (signs.iter().map(|sign| text(sign, "type").to_owned()).collect(), code)
}

#[tokio::test]
async fn each_age_can_be_turned_off() {
    let (refresh, warning) =
        ("connectionRefreshRequired".to_owned(), "connectionWarning".to_owned());
    let off = Duration::ZERO;
    let told = after_two_hours(|settings| settings.connection_refresh = off).await;
    assert_eq!(told, (vec![warning], Some(1001)));
    let told = after_two_hours(|settings| settings.connection_warning = off).await;
    assert_eq!(told, (vec![refresh.clone()], Some(1001)));
    let told = after_two_hours(|settings| settings.connection_max_duration = off).await;
    assert_eq!(told, (vec![refresh], Some(1000)), "without an end there is nothing to warn of");
}

#[tokio::test]
async fn a_refreshed_connection_is_young() {
    let world = World::start(|settings| {
        patient(settings);
        unlimited(settings);
        settings.session_max_duration = mins(600);
    })
    .await;
    let mut speaking = world.speak().await;
    let session = speaking.session.clone();
    let mut listener = world.listen(&session, "es").await;
    let mut tokens = Vec::new();
    for round in 1..=3 {
        world.clock.advance(mins(100));
        let token = told_to_refresh(&mut listener).await;
        let asked = speaking.peer.json_of("connectionRefreshRequired").await;
        assert_eq!(asked["deadline"], START.0 + round * 6_000_000 + 1_200_000);
        let query = format!("{}&refreshToken={token}", go_on(&session, "es"));
        listener = enter(&world, &query, "connectionRefreshComplete").await.0;
        speaking.peer = speak_again(&world, &session).await.0;
        is_alive(&mut listener).await;
        assert!(!tokens.contains(&token), "every connection has its own");
        tokens.push(token);
    }
}

#[tokio::test]
async fn a_change_of_language_keeps_the_age() {
    let world = open_world().await;
    let speaking = world.speak().await;
    let mut listener = world.listen(&speaking.session, "es").await;
    world.clock.advance(mins(60));
    let change = json!({ "action": "changeLanguage", "targetLanguage": "de" });
    assert_eq!(listener.ask(change).await["type"], "languageChanged");
    world.clock.advance(mins(40));
    let told = listener.json().await;
    has(&told, &json!({ "type": "connectionRefreshRequired", "targetLanguage": "de" }));
}
