//! §3 `sessionStatus` as it is pushed to the speaker.
//!
//! | sentence | test |
//! |---|---|
//! | every 30 s | `it_comes_every_half_minute` |
//! | when the count moved by over 10 % | `it_comes_when_the_count_has_moved_by_more_than_a_tenth` |
//! | when a new language appears | `it_comes_with_a_new_language` |
//! | never more than once a second | `it_never_comes_twice_in_a_second` |
//! | to the speaker, wherever it is | `it_follows_the_speaker` |
//! | its fields, and asked for | `messages::the_speaker_asks_who_listens` |

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Peer, World};
use crate::support::{has, is_alive, open_world, secs, settle, speak_again, text};

/// Lets seconds pass one by one, and gathers what the speaker is told meanwhile.
async fn told(world: &World, speaker: &mut Peer, seconds: u64) -> Vec<Value> {
    let mut told = Vec::new();
    for _ in 0..seconds {
        world.clock.advance(secs(1));
        // The server ticks, and after that a heartbeat is answered.
        settle(world).await;
        told.extend(until_ack(speaker).await);
    }
    told
}

async fn until_ack(speaker: &mut Peer) -> Vec<Value> {
    speaker.send(json!({ "action": "heartbeat" })).await;
    let mut told = Vec::new();
    loop {
        let message = speaker.json().await;
        if message["type"] == "heartbeatAck" {
            return told;
        }
        told.push(message);
    }
}

fn reasons(told: &[Value]) -> Vec<&str> {
    told.iter().map(|message| text(message, "updateReason")).collect()
}

#[tokio::test]
async fn it_comes_every_half_minute() {
    let world = open_world().await;
    let mut speaking = world.speak().await;
    let pushes = told(&world, &mut speaking.peer, 95).await;
    assert_eq!(reasons(&pushes), ["periodic"; 3]);
    for (number, push) in pushes.iter().enumerate() {
        let expected = json!({ "listenerCount": 0, "languageDistribution": {},
            "sessionDuration": (number + 1) * 30 });
        has(push, &expected);
    }
}

#[tokio::test]
async fn it_comes_with_a_new_language() {
    let world = open_world().await;
    let mut speaking = world.speak().await;
    let mut one = world.listen(&speaking.session, "es").await;
    let pushes = told(&world, &mut speaking.peer, 3).await;
    assert_eq!(reasons(&pushes), ["newLanguage"]);
    has(&pushes[0], &json!({ "listenerCount": 1, "languageDistribution": { "es": 1 } }));
    one.ask(json!({ "action": "changeLanguage", "targetLanguage": "de" })).await;
    let pushes = told(&world, &mut speaking.peer, 3).await;
    assert_eq!(reasons(&pushes), ["newLanguage"]);
    has(&pushes[0], &json!({ "languageDistribution": { "de": 1 } }));
}

#[tokio::test]
async fn it_comes_when_the_count_has_moved_by_more_than_a_tenth() {
    let world = open_world().await;
    let mut speaking = world.speak().await;
    let mut listeners = Vec::new();
    let session = speaking.session.clone();
    for _ in 0..10 {
        listeners.push(world.listen(&session, "es").await);
    }
    assert_eq!(reasons(&told(&world, &mut speaking.peer, 3).await), ["newLanguage"]);
    listeners.push(world.listen(&session, "es").await);
    assert!(told(&world, &mut speaking.peer, 5).await.is_empty(), "a tenth is not more");
    listeners.push(world.listen(&session, "es").await);
    let pushes = told(&world, &mut speaking.peer, 3).await;
    assert_eq!(reasons(&pushes), ["listenerCountChange"]);
    assert_eq!(pushes[0]["listenerCount"], 12);
    for _ in 0..2 {
        listeners.pop().unwrap().leave(1000).await;
    }
    let connections = listeners.len() + 1;
    world.until("they are gone", |world| world.server.held().connections == connections).await;
    let pushes = told(&world, &mut speaking.peer, 3).await;
    assert_eq!(reasons(&pushes), ["listenerCountChange"]);
    assert_eq!(pushes[0]["listenerCount"], 10);
}

#[tokio::test]
async fn it_never_comes_twice_in_a_second() {
    let world = open_world().await;
    let mut speaking = world.speak().await;
    let languages = ["es", "de", "fr", "it", "pt", "nl", "pl", "cs", "ro", "sv"];
    let (mut listeners, mut pushes) = (Vec::new(), Vec::new());
    for language in languages {
        for _ in 0..2 {
            listeners.push(world.listen(&speaking.session, language).await);
            world.clock.advance(Duration::from_millis(150));
            settle(&world).await;
            pushes.extend(until_ack(&mut speaking.peer).await);
        }
    }
    let times: Vec<_> = pushes.iter().map(|push| push["timestamp"].as_u64().unwrap()).collect();
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 1_000), "{times:?}");
    assert!(times.len() >= 2, "{times:?}");
    // What was asked for counts as told.
    let asked = speaking.peer.ask(json!({ "action": "getSessionStatus" })).await;
    assert_eq!(asked["listenerCount"], 20);
    assert!(told(&world, &mut speaking.peer, 5).await.is_empty());
}

#[tokio::test]
async fn it_follows_the_speaker() {
    let world = open_world().await;
    let mut speaking = world.speak().await;
    let (mut again, _) = speak_again(&world, &speaking.session).await;
    let _listener = world.listen(&speaking.session, "es").await;
    assert_eq!(reasons(&told(&world, &mut again, 3).await), ["newLanguage"]);
    speaking.peer.quiet().await;
    again.vanish();
    world.until("it is gone", |world| world.server.held().connections == 2).await;
    let (mut back, _) = speak_again(&world, &speaking.session).await;
    let pushes = told(&world, &mut back, 31).await;
    assert_eq!(reasons(&pushes).last(), Some(&"periodic"));
    is_alive(&mut back).await;
}
