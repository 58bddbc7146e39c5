//! §3 The broadcast's state: commands, notices, and what survives.
//!
//! | sentence | test |
//! |---|---|
//! | `broadcastState` to the sender, the matching notice to all listeners | `each_command_is_answered_and_told` |
//! | optional `message` | `each_command_is_answered_and_told` |
//! | it lives in the session and survives a refresh | `the_state_survives_refreshes_and_restarts` |
//! | two concurrent commands both take effect | `commands_at_the_same_moment_all_take_effect` |
//! | newcomers are told the state | `newcomers_are_told_the_state` |
//! | a speaker lost and awaited is `sessionPaused`, `speakerLost` | `a_session_without_its_speaker_is_paused` |
//! | paused or muted, audio is refused | `audio::…` |

use serde_json::{Value, json};

use crate::harness::START;
use crate::support::{
    enter, has, join, open_world, restart, secs, speak_again, status, take_up, text,
};

fn command(command: &str) -> Value {
    json!({ "action": "controlSession", "command": command })
}

#[tokio::test]
async fn each_command_is_answered_and_told() {
    let world = open_world().await;
    let mut speaking = world.speak().await;
    let mut one = world.listen(&speaking.session, "es").await;
    let mut other = world.listen(&speaking.session, "en").await;
    // What is said already changes no state, and is told all the same.
    let cases = [
        ("pause", "sessionPaused", (true, false), true),
        ("mute", "sessionMuted", (true, true), true),
        ("pause", "sessionPaused", (true, true), false),
        ("resume", "sessionResumed", (false, true), true),
        ("resume", "sessionResumed", (false, true), false),
        ("unmute", "sessionUnmuted", (false, false), true),
        ("mute", "sessionMuted", (false, true), true),
        ("unmute", "sessionUnmuted", (false, false), true),
    ];
    let mut changed = START.0;
    for (number, (name, notice, (paused, muted), is_change)) in cases.into_iter().enumerate() {
        world.clock.advance(secs(1));
        if is_change {
            changed = world.now().0;
        }
        let state = json!({ "isPaused": paused, "isMuted": muted, "lastStateChange": changed });
        let mut message = command(name);
        let shown = (number % 2 == 0).then(|| "☕".repeat(280));
        if let Some(shown) = &shown {
            message["message"] = json!(shown);
        }
        speaking.peer.send(message).await;
        let answer = speaking.peer.json_of("broadcastState").await;
        let session = &speaking.session;
        has(&answer, &json!({ "sessionId": session, "broadcastState": state }));
        for listener in [&mut one, &mut other] {
            let told = listener.json().await;
            let expected = json!({ "type": notice, "sessionId": session, "broadcastState": state,
                "message": shown, "reason": null });
            has(&told, &expected);
        }
    }
}

#[tokio::test]
async fn newcomers_are_told_the_state() {
    let world = open_world().await;
    let mut speaking = world.speak().await;
    world.pass(secs(5)).await;
    speaking.peer.ask(command("mute")).await;
    let (_listener, joined) = enter(&world, &join(&speaking.session, "es"), "sessionJoined").await;
    let state = json!({ "isPaused": false, "isMuted": true, "lastStateChange": START.0 + 5_000 });
    assert_eq!(joined["broadcastState"], state);
    assert_eq!(status(&mut speaking.peer).await["broadcastState"], state);
}

#[tokio::test]
async fn commands_at_the_same_moment_all_take_effect() {
    let world = open_world().await;
    for commands in [["pause", "mute"], ["mute", "pause"]] {
        let mut speaking = world.speak().await;
        for name in commands {
            speaking.peer.send(command(name)).await;
        }
        // A refresh runs against them; whatever comes first, nothing of the state is lost.
        let query = take_up(&world, &speaking.session, "ann");
        let (refreshed, ()) =
            tokio::join!(enter(&world, &query, "connectionRefreshComplete"), async {
                while speaking.peer.json().await["type"] == "x" {}
            });
        let (mut again, _) = refreshed;
        let answer = again.ask(command("pause")).await;
        let second = again.ask(command("mute")).await;
        assert_eq!(answer["broadcastState"]["isPaused"], true);
        has(&second["broadcastState"], &json!({ "isPaused": true, "isMuted": true }));
    }
    // Both at once, without waiting for an answer.
    let mut speaking = world.speak().await;
    for name in ["pause", "mute", "resume", "mute", "pause"] {
        speaking.peer.send(command(name)).await;
    }
    for _ in 0..4 {
        speaking.peer.json_of("broadcastState").await;
    }
    let last = speaking.peer.json_of("broadcastState").await;
    has(&last["broadcastState"], &json!({ "isPaused": true, "isMuted": true }));
}

#[tokio::test]
async fn the_state_survives_refreshes_and_restarts() {
    let world = open_world().await;
    let mut speaking = world.speak().await;
    let session = speaking.session.clone();
    world.pass(secs(5)).await;
    speaking.peer.ask(command("pause")).await;
    speaking.peer.ask(command("mute")).await;
    // In the same millisecond, and later all the same.
    let state = json!({ "isPaused": true, "isMuted": true, "lastStateChange": START.0 + 5_001 });
    world.pass(secs(5)).await;
    let (mut again, refreshed) = speak_again(&world, &session).await;
    assert_eq!(refreshed["broadcastState"], state);
    again.ask(command("resume")).await;
    speaking.peer.vanish();
    let world = restart(world, vec![again]).await;
    let (mut again, refreshed) = speak_again(&world, &session).await;
    has(&refreshed["broadcastState"], &json!({ "isPaused": false, "isMuted": true }));
    again.ask(command("unmute")).await;
    let status = status(&mut again).await;
    has(&status["broadcastState"], &json!({ "isPaused": false, "isMuted": false }));
}

#[tokio::test]
async fn a_session_without_its_speaker_is_paused() {
    let world = open_world().await;
    for paused_before in [false, true] {
        let mut speaking = world.speak().await;
        let session = speaking.session.clone();
        let mut listener = world.listen(&session, "es").await;
        if paused_before {
            speaking.peer.ask(command("pause")).await;
            assert_eq!(listener.json().await["type"], "sessionPaused");
        }
        world.pass(secs(5)).await;
        let lost_at = world.now().0;
        speaking.peer.vanish();
        let lost = listener.json().await;
        let state = json!({ "isPaused": true, "isMuted": false, "lastStateChange": lost_at });
        let expected = json!({ "type": "sessionPaused", "reason": "speakerLost",
            "broadcastState": state });
        has(&lost, &expected);
        let (_late, joined) = enter(&world, &join(&session, "de"), "sessionJoined").await;
        assert_eq!(joined["broadcastState"], state, "it can be joined meanwhile");
        world.pass(secs(5)).await;
        let (_again, refreshed) = speak_again(&world, &session).await;
        let back = json!({ "isPaused": paused_before, "isMuted": false,
            "lastStateChange": world.now().0 });
        assert_eq!(refreshed["broadcastState"], back);
        let told = listener.json().await;
        let kind = if paused_before { "sessionPaused" } else { "sessionResumed" };
        has(&told, &json!({ "type": kind, "reason": null, "broadcastState": back }));
        assert_eq!(text(&told, "sessionId"), session);
    }
}
