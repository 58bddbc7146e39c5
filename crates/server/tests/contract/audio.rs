//! §7 Audio: framings, order, what is kept, what is dropped, who is too slow.
//!
//! | sentence | test |
//! |---|---|
//! | codec-agnostic: byte for byte | `a_frame_arrives_byte_for_byte` |
//! | two framings, both fed to every listener whatever the sender used | `each_listener_gets_its_own_framing` |
//! | the layout of the binary frame | `each_listener_gets_its_own_framing`, `messages::a_frame_that_is_none…` |
//! | kind 2 is replayed to every newcomer | `a_newcomer_gets_the_last_codec_configuration` |
//! | a sequence not above the last one is dropped | `a_sequence_is_heard_once` |
//! | a sender may send again after a reconnect | `a_sequence_is_heard_once` |
//! | the last 10 s, at most 1,000 frames, 4 MiB | `so_much_is_kept` |
//! | `lastSequence`: what it missed, in order, then live, nothing twice | `a_refresh_misses_nothing`, `whoever_comes_back_hears_everything_once` |
//! | paused or muted, refused silently and counted | `paused_or_muted_audio_is_dropped_and_counted` |
//! | a listener too slow | `slow::…` |
//! | listeners of every language hear the floor | `every_language_hears_the_floor` |

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{AMBO, START, World, frame, frame_of};
use crate::support::{
    Dice, enter, enter_plain, go_on, has, is_alive, join, metric, open_world, secs, speak_again,
    speak_plain, text, until_listeners,
};

fn sent(sequence: Option<u32>, payload: &[u8]) -> Value {
    json!({ "action": "sendAudio", "audioData": STANDARD.encode(payload), "sequence": sequence })
}

/// The sequence of a binary frame.
pub fn sequence_of(frame: &[u8]) -> u32 {
    u32::from_be_bytes(frame[4..8].try_into().unwrap())
}

#[tokio::test]
async fn a_frame_arrives_byte_for_byte() {
    let world = open_world().await;
    let mut speaking = world.speak().await;
    let mut one = world.listen(&speaking.session, "es").await;
    let mut other = world.listen(&speaking.session, "en").await;
    let every_byte: Vec<u8> = (0..=255).cycle().take(5_000).collect();
    let mut frames = vec![frame(0, b"\0"), frame(1, &every_byte), frame(2, b"\xff\xfe")];
    let mut with_odd_time = frame(u32::MAX - 1, &every_byte);
    with_odd_time[8..16].copy_from_slice(&[0xff; 8]);
    frames.push(with_odd_time);
    frames.push(frame_of(2, b"en", u32::MAX, b"opus"));
    for frame in frames {
        speaking.peer.send_binary(frame.clone()).await;
        for listener in [&mut one, &mut other] {
            assert_eq!(listener.binary().await, frame);
        }
    }
}

#[tokio::test]
async fn each_listener_gets_its_own_framing() {
    let world = open_world().await;
    let mut in_binary = world.speak().await;
    let mut in_json = speak_plain(&world).await;
    world.clock.advance(Duration::from_millis(1_234));
    for speaking in [&mut in_binary, &mut in_json] {
        let session = speaking.session.clone();
        let (mut plain, _) = enter_plain(&world, &join(&session, "es"), "sessionJoined").await;
        let mut binary = world.listen(&session, "es").await;
        let is_binary = speaking.peer.response.headers().contains_key(AMBO.0);
        for sequence in [7, 8] {
            match is_binary {
                true => speaking.peer.send_binary(frame(sequence, b"sound")).await,
                false => speaking.peer.send(sent(Some(sequence), b"sound")).await,
            }
            let expected = json!({
                "type": "audioData",
                "sessionId": session,
                "language": "en",
                "sequence": sequence,
                "audioData": "c291bmQ=",
                "timestamp": world.now().0,
            });
            assert_eq!(plain.json().await, expected);
            let mut expected = frame(sequence, b"sound");
            if !is_binary {
                // The capture time of what came in JSON is when it came.
                let micros = (START.0 + 1_234) * 1_000;
                expected[8..16].copy_from_slice(&micros.to_be_bytes());
            }
            assert_eq!(binary.binary().await, expected);
        }
        // A speaker on `ambo.v1` may use JSON too.
        speaking.peer.send(sent(None, b"more")).await;
        assert_eq!(plain.json().await["sequence"], 9, "the number after the last");
        assert_eq!(sequence_of(&binary.binary().await), 9);
    }
    let mut speaking = speak_plain(&world).await;
    let mut listener = world.listen(&speaking.session, "es").await;
    speaking.peer.send(sent(None, b"first")).await;
    assert_eq!(sequence_of(&listener.binary().await), 1);
}

#[tokio::test]
async fn a_newcomer_gets_the_last_codec_configuration() {
    let world = open_world().await;
    let mut speaking = world.speak().await;
    let session = speaking.session.clone();
    let (old, new) = (frame_of(2, b"en", 1, b"old codec"), frame_of(2, b"en", 3, b"new codec"));
    let (mut plain, _) = enter_plain(&world, &join(&session, "es"), "sessionJoined").await;
    let mut first = world.listen(&session, "es").await;
    for frame in [&old, &frame(2, b"x"), &new, &frame(4, b"y")] {
        speaking.peer.send_binary(frame.clone()).await;
        assert_eq!(first.binary().await, *frame);
    }
    assert_eq!(plain.json().await["sequence"], 2, "it exists in the binary framing only");
    assert_eq!(plain.json().await["sequence"], 4);
    let mut late = world.listen(&session, "de").await;
    assert_eq!(late.binary().await, new, "the last one, before all that is live");
    let (mut late_plain, _) = enter_plain(&world, &join(&session, "es"), "sessionJoined").await;
    // Who comes back has it already, gets it in its place, or before what is left of the rest.
    for (last, frames) in [(4, vec![]), (3, vec![4]), (2, vec![3, 4]), (0, vec![1, 2, 3, 4])] {
        let query = format!("{}&lastSequence={last}", go_on(&session, "es"));
        let (mut back, refreshed) = enter(&world, &query, "connectionRefreshComplete").await;
        assert_eq!(refreshed["replayed"], frames.len(), "after {last}");
        for sequence in frames {
            assert_eq!(sequence_of(&back.binary().await), sequence, "after {last}");
        }
        speaking.peer.send(json!({ "action": "heartbeat" })).await;
        back.quiet().await;
    }
    world.clock.advance(secs(11));
    let query = format!("{}&lastSequence=2", go_on(&session, "es"));
    let (mut back, refreshed) = enter(&world, &query, "connectionRefreshComplete").await;
    assert_eq!(refreshed["replayed"], 0);
    assert_eq!(back.binary().await, new, "the rest is no longer kept, but this is");
    speaking.peer.send_binary(frame(5, b"z")).await;
    for listener in [&mut late, &mut back] {
        assert_eq!(listener.binary().await, frame(5, b"z"));
    }
    assert_eq!(late_plain.json().await["sequence"], 5);
}

#[tokio::test]
async fn a_sequence_is_heard_once() {
    let world = open_world().await;
    let mut speaking = world.speak().await;
    let session = speaking.session.clone();
    let mut listener = world.listen(&session, "es").await;
    for sequence in [5, 5, 4, 6, 1, 0, 10, 9, 11] {
        speaking.peer.send_binary(frame(sequence, b"x")).await;
    }
    speaking.peer.send(sent(Some(11), b"x")).await;
    speaking.peer.send(sent(Some(12), b"x")).await;
    for sequence in [5, 6, 10, 11, 12] {
        assert_eq!(sequence_of(&listener.binary().await), sequence);
    }
    let (mut again, refreshed) = speak_again(&world, &session).await;
    assert_eq!(refreshed["lastSequence"], 12);
    for sequence in 8..=14 {
        again.send_binary(frame(sequence, b"x")).await;
    }
    for sequence in [13, 14] {
        assert_eq!(sequence_of(&listener.binary().await), sequence);
    }
    again.send_binary(frame(u32::MAX, b"x")).await;
    again.send(sent(None, b"there is no number after it")).await;
    assert_eq!(sequence_of(&listener.binary().await), u32::MAX);
    is_alive(&mut again).await;
    listener.quiet().await;
    let dropped = metric(&world, "audio_frames_dropped_total{reason=\"duplicate\"}").await;
    assert_eq!(dropped, 5 + 1 + 5 + 1);
    assert_eq!(metric(&world, "audio_frames_in_total").await, 8 + 12);
    assert_eq!(metric(&world, "audio_frames_out_total").await, 8);
}

#[tokio::test]
async fn so_much_is_kept() {
    let world = open_world().await;
    let replayed = async |session: &str| {
        let query = format!("{}&lastSequence=0", go_on(session, "es"));
        let (mut back, refreshed) = enter(&world, &query, "connectionRefreshComplete").await;
        let count = refreshed["replayed"].as_u64().unwrap();
        let mut sequences = Vec::new();
        for _ in 0..count {
            sequences.push(sequence_of(&back.binary().await));
        }
        sequences
    };
    // At most 1,000 frames.
    let mut many = world.speak().await;
    for sequence in 1..=1_100 {
        many.peer.send_binary(frame(sequence, b"x")).await;
    }
    is_alive(&mut many.peer).await;
    assert_eq!(replayed(&many.session).await, Vec::from_iter(101..=1_100));
    // At most 4 MiB.
    let mut large = world.speak().await;
    for sequence in 1..=140 {
        large.peer.send_binary(frame(sequence, &[0; 32 * 1024])).await;
    }
    is_alive(&mut large.peer).await;
    assert_eq!(replayed(&large.session).await, Vec::from_iter(13..=140));
    // At most 10 s.
    let mut slow = world.speak().await;
    for sequence in 1..=15 {
        slow.peer.send_binary(frame(sequence, b"x")).await;
        slow.peer.send(json!({ "action": "heartbeat" })).await;
        slow.peer.json_of("heartbeatAck").await;
        world.clock.advance(secs(1));
    }
    assert_eq!(replayed(&slow.session).await, Vec::from_iter(6..=15));
    world.clock.advance(Duration::from_millis(9_001));
    assert!(replayed(&slow.session).await.is_empty());
}

#[tokio::test]
async fn a_refresh_misses_nothing() {
    let world = open_world().await;
    let mut speaking = world.speak().await;
    let session = speaking.session.clone();
    for sequence in 1..=20 {
        speaking.peer.send_binary(frame(sequence, &sequence.to_be_bytes())).await;
    }
    is_alive(&mut speaking.peer).await;
    for last in [0, 7, 19, 20, 4_000_000_000] {
        let query = format!("{}&lastSequence={last}", go_on(&session, "es"));
        let missed = 20_u32.saturating_sub(last);
        let (mut binary, refreshed) = enter(&world, &query, "connectionRefreshComplete").await;
        assert_eq!(refreshed["replayed"], missed);
        let (mut plain, refreshed) = enter_plain(&world, &query, "connectionRefreshComplete").await;
        assert_eq!(refreshed["replayed"], missed);
        for sequence in 21 - missed..=20 {
            assert_eq!(binary.binary().await, frame(sequence, &sequence.to_be_bytes()));
            let expected = json!({ "type": "audioData", "sequence": sequence,
                "audioData": STANDARD.encode(sequence.to_be_bytes()) });
            has(&plain.json().await, &expected);
        }
        binary.quiet().await;
    }
    let (mut anew, refreshed) =
        enter(&world, &go_on(&session, "es"), "connectionRefreshComplete").await;
    assert_eq!(refreshed["replayed"], 0, "who does not say what it heard begins anew");
    speaking.peer.send_binary(frame(21, b"live")).await;
    assert_eq!(anew.binary().await, frame(21, b"live"));
}

/// Hears all frames up to the last, and loses its connection again and again.
async fn hear(world: &World, session: &str, last: u32, mut dice: Dice) {
    let mut heard = 0;
    let mut query = format!("{}&lastSequence=0", go_on(session, "es"));
    while heard < last {
        let is_binary = dice.below(2) == 0;
        let (mut peer, refreshed) = match is_binary {
            true => enter(world, &query, "connectionRefreshComplete").await,
            false => enter_plain(world, &query, "connectionRefreshComplete").await,
        };
        assert!(u64::from(last - heard) >= refreshed["replayed"].as_u64().unwrap());
        for _ in 0..1 + dice.below(60) {
            let sequence = match peer.next().await {
                Some(Message::Binary(frame)) => sequence_of(&frame),
                Some(Message::Text(message)) => {
                    let message: Value = serde_json::from_str(&message).unwrap();
                    assert_eq!(text(&message, "type"), "audioData");
                    message["sequence"].as_u64().unwrap() as u32
                }
                other => panic!("{other:?}"),
            };
            assert_eq!(sequence, heard + 1, "in order, nothing twice, nothing missing");
            heard = sequence;
            if heard == last {
                break;
            }
        }
        query = format!("{}&lastSequence={heard}", go_on(session, "es"));
        match dice.below(3) {
            0 => peer.leave(1000).await,
            1 => peer.leave(4000).await,
            _ => peer.vanish(),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn whoever_comes_back_hears_everything_once() {
    const FRAMES: u32 = 900;
    let Dice(seed) = Dice::thrown();
    let world = open_world().await;
    let mut speaking = world.speak().await;
    let session = speaking.session.clone();
    let speak = async {
        let mut dice = Dice(seed);
        let mut last = 0;
        while last < FRAMES {
            for _ in 0..dice.below(20) {
                last = (last + 1).min(FRAMES);
                speaking.peer.send_binary(frame(last, b"sound")).await;
            }
            // Now and then the speaker moves, and says a part again.
            if dice.below(15) == 0 {
                let (peer, refreshed) = speak_again(&world, &session).await;
                let known = refreshed["lastSequence"].as_u64().unwrap_or_default() as u32;
                speaking.peer = peer;
                last = known.saturating_sub(dice.below(5) as u32);
            }
            is_alive(&mut speaking.peer).await;
        }
    };
    let listeners = (1..=6).map(|number| hear(&world, &session, FRAMES, Dice(seed ^ number << 20)));
    let listeners = futures_util::future::join_all(listeners);
    tokio::join!(speak, listeners);
    until_listeners(&mut speaking.peer, 0).await;
}

#[tokio::test]
async fn paused_or_muted_audio_is_dropped_and_counted() {
    let world = open_world().await;
    let mut speaking = world.speak().await;
    let mut listener = world.listen(&speaking.session, "es").await;
    let mut sequence = 0;
    let commands = [("pause", 0), ("mute", 0), ("resume", 0), ("unmute", 1), ("mute", 0)];
    for (command, heard) in commands {
        speaking.peer.ask(json!({ "action": "controlSession", "command": command })).await;
        assert!(text(&listener.json().await, "type").starts_with("session"));
        sequence += 1;
        speaking.peer.send_binary(frame(sequence, b"x")).await;
        speaking.peer.send(sent(None, b"x")).await;
        is_alive(&mut speaking.peer).await;
        for _ in 0..heard * 2 {
            listener.binary().await;
        }
    }
    listener.quiet().await;
    let dropped = metric(&world, "audio_frames_dropped_total{reason=\"muted\"}").await;
    assert_eq!(dropped, 8);
    // What was not heard is not kept either.
    let query = format!("{}&lastSequence=0", go_on(&speaking.session, "es"));
    let (_back, refreshed) = enter(&world, &query, "connectionRefreshComplete").await;
    assert_eq!(refreshed["replayed"], 2);
}

#[tokio::test]
async fn every_language_hears_the_floor() {
    let world = open_world().await;
    let mut speaking = world.speak().await;
    let session = speaking.session.clone();
    let mut listeners = Vec::new();
    for language in ["en", "es", "de", "ja"] {
        listeners.push(world.listen(&session, language).await);
    }
    for sequence in 1..=30 {
        speaking.peer.send_binary(frame(sequence, b"x")).await;
        if sequence % 10 == 0 {
            // In the middle of it all, without losing a frame or hearing one twice.
            let change = json!({ "action": "changeLanguage", "targetLanguage": "fr" });
            listeners[sequence as usize / 10].send(change).await;
        }
    }
    for (number, listener) in listeners.iter_mut().enumerate() {
        let (mut heard, mut changed) = (0, 0);
        while heard < 30 || changed < usize::from(number > 0) {
            match listener.next().await.unwrap() {
                Message::Binary(frame) => {
                    heard += 1;
                    assert_eq!(sequence_of(&frame), heard);
                }
                _ => changed += 1,
            }
        }
    }
}
