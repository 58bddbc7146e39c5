//! Much at once, by the real bootstrap.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ambo_testkit::contract::Client;
use ambo_testkit::gateway::Disconnects;
use futures_util::future::join_all;
use serde_json::json;

use crate::support::{Functions, World, the_machine};

/// What a post takes here. One after the other, five hundred would take fifty seconds.
const POST_LATENCY: Duration = Duration::from_millis(100);
/// Half of that: nobody waits for all the others. How quick it is by itself, with 20 ms a post, is
/// measured by `examples/measure.rs`; here the functions are not optimised, and the machine may be
/// busy.
const TOLD_WITHIN: Duration = Duration::from_secs(25);

const UNLIMITED: [(&str, &str); 4] = [
    ("RATE_LIMIT_HEARTBEATS_PER_MIN", "0"),
    ("RATE_LIMIT_CONTROL_PER_SEC", "0"),
    ("RATE_LIMIT_JOINS_PER_MIN", "0"),
    ("RATE_LIMIT_CONNECTS_PER_MIN", "0"),
];

#[tokio::test]
async fn a_refresh_of_the_speaker_under_load_never_ends_the_session() {
    const REFRESHES: usize = 100;
    let _alone = the_machine().await;
    let world = World::start(Functions::Processes, &UNLIMITED).await;
    let (mut speaker, session) = world.speak().await;
    let is_over = Arc::new(AtomicBool::new(false));
    let mut listeners = Vec::new();
    for language in ["es", "de", "fr", "en"] {
        let listener = world.listen(&session, language).await;
        listeners.push(tokio::spawn(bustle(listener, is_over.clone())));
    }
    let token = world.token("ann");
    let refresh = json!({
        "action": "refreshConnection", "role": "speaker", "sessionId": session, "token": token,
    });
    for round in 0..REFRESHES / 2 {
        let disconnects = [Disconnects::Once, Disconnects::Twice, Disconnects::Never];
        world.gateway.change(|knobs| knobs.disconnects = disconnects[round % 3]);
        // By a new connection. The speaker is that one from here on, told or not: what the old
        // one says would end the session if it still were the speaker's.
        let mut moved = world.connect(&world.refresh_of_speaker(&session)).await;
        speaker.send(&json!({ "action": "endSession" })).await;
        assert_eq!(speaker.json_of("error").await["code"], "CONNECTION_NOT_FOUND");
        completed(&mut moved).await;
        // By a message, back on the old one; or else that says goodbye.
        if round % 2 == 0 {
            speaker.send(&refresh).await;
            completed(&mut speaker).await;
            moved.leave(1000).await;
        } else {
            std::mem::replace(&mut speaker, moved).leave(1000).await;
            speaker.send(&refresh).await;
            completed(&mut speaker).await;
        }
    }
    speaker.send(&json!({ "action": "getSessionStatus" })).await;
    speaker.json_of("sessionStatus").await;
    is_over.store(true, Ordering::Relaxed);
    for listener in join_all(listeners).await {
        listener.unwrap().leave(1000).await;
    }
    world.until_counted(&session, Some(0)).await;
}

async fn completed(speaker: &mut Client) {
    speaker.json_of("connectionRefreshComplete").await;
}

/// A listener that has something to ask all the time, and is answered each time.
async fn bustle(mut listener: Client, is_over: Arc<AtomicBool>) -> Client {
    for language in ["es", "de", "fr", "en"].into_iter().cycle() {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        listener.send(&json!({ "action": "heartbeat" })).await;
        answered(&mut listener, "heartbeatAck").await;
        listener.send(&json!({ "action": "changeLanguage", "targetLanguage": language })).await;
        answered(&mut listener, "languageChanged").await;
    }
    listener
}

async fn answered(listener: &mut Client, kind: &str) {
    loop {
        let message = listener.json().await;
        assert_ne!(message["type"], "sessionEnded", "{message}");
        if message["type"] == kind {
            return;
        }
    }
}

/// A call of the functions has two seconds: the double that answers it gets all of the machine.
#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_are_told_of_the_end_and_a_dead_one_delays_nobody() {
    const LISTENERS: usize = 500;
    let _alone = the_machine().await;
    let world = World::start(Functions::Processes, &UNLIMITED).await;
    let (slowest, took) = world.tell_of_the_end(LISTENERS, POST_LATENCY).await;
    println!("500 told of the end in {slowest:?}, by an invocation of {took:?}");
    assert!(slowest < TOLD_WITHIN, "the last one was told after {slowest:?}");
}
