//! A speaker goes on at a node that was not told all that happened before.

use std::sync::Arc;

use ambo_testkit::redis::RedisServer;
use serde_json::json;

use crate::harness::{Peer, World, frame, frame_of};
use crate::support::{store_on, until};

/// Who comes to the second node first: the session is open there from then on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    Listener,
    ListenerInTheSilence,
    Speaker,
}

/// The sequence of the next frame.
async fn next_sequence(listener: &mut Peer) -> u32 {
    u32::from_be_bytes(listener.binary().await[4..8].try_into().unwrap())
}

/// So that nothing of it is on the bus any more but how far it came.
async fn a_long_silence(engine: &RedisServer, session: &str, frames: usize) {
    let stream = format!("ambo:{{{session}}}:audio:en");
    until("all is on the bus", async || engine.run::<usize>(&["XLEN", &stream]).await >= frames)
        .await;
    engine.run::<()>(&["UNLINK", &stream]).await;
}

#[tokio::test]
async fn a_talk_goes_on_at_another_node_after_a_long_silence() {
    let engine = RedisServer::start().await;
    let home = World::start(|settings| settings.store = store_on(&engine)).await;
    let (folder, clock) = (Arc::clone(&home.folder), home.clock.clone());
    let away = World::start_in(folder, clock, |settings| settings.store = store_on(&engine)).await;
    let talk = [frame_of(2, b"en", 1, b"codec"), frame(2, b"one"), frame(3, b"two")];
    for first in [First::Listener, First::ListenerInTheSilence, First::Speaker] {
        let mut speaking = home.speak().await;
        let session = speaking.session.clone();
        let mut listeners = vec![home.listen(&session, "es").await];
        if first == First::Listener {
            listeners.push(away.listen(&session, "es").await);
        }
        for frame in &talk {
            speaking.peer.send_binary(frame.clone()).await;
            for listener in &mut listeners {
                assert_eq!(listener.binary().await, frame, "{first:?}");
            }
        }
        a_long_silence(&engine, &session, talk.len()).await;
        if first == First::ListenerInTheSilence {
            listeners.push(away.listen(&session, "es").await);
            assert_eq!(listeners[1].binary().await, talk[0]);
        }
        let mut speaker = away.connect(&speaking.refresh(&home.token("ann"))).await;
        assert_eq!(speaker.json().await["lastSequence"], 3, "{first:?}");
        speaker.send(json!({ "action": "sendAudio", "audioData": "b24gYW5kIG9u" })).await;
        for listener in &mut listeners {
            assert_eq!(next_sequence(listener).await, 4, "{first:?}");
        }
    }
    home.stop().await;
    away.stop().await;
}

#[tokio::test]
async fn a_state_that_nobody_told_holds_from_the_next_refresh_on() {
    let engine = RedisServer::start().await;
    let world = World::start(|settings| settings.store = store_on(&engine)).await;
    let mut speaking = world.speak().await;
    let mut listener = world.listen(&speaking.session, "es").await;
    speaking.peer.send(json!({ "action": "controlSession", "command": "pause" })).await;
    assert_eq!(listener.json().await["type"], "sessionPaused");
    let key = format!("ambo:{{{}}}:session", speaking.session);
    let mut speakers = Vec::new();
    for (sequence, paused) in [(1, false), (2, true), (3, false)] {
        // Another node decides so, and dies.
        engine.run::<i64>(&["HSET", &key, "paused", if paused { "1" } else { "0" }]).await;
        engine.run::<i64>(&["HINCRBY", &key, "changed", "1"]).await;
        let mut speaker = world.connect(&speaking.refresh(&world.token("ann"))).await;
        assert_eq!(speaker.json().await["broadcastState"]["isPaused"], paused);
        speaker.send_binary(frame(sequence, b"now and then")).await;
        // What was sent before has been taken when this is answered.
        speaker.send(json!({ "action": "heartbeat" })).await;
        speaker.json_of("heartbeatAck").await;
        speakers.push(speaker);
        if !paused {
            assert_eq!(next_sequence(&mut listener).await, sequence);
        }
    }
    world.stop().await;
}
