use ambo_core::event::Command as Control;
use ambo_core::{QualityTier, SessionId};
use ambo_wire::ConnectQuery;
use ambo_wire::audio::Kind;
use serde_json::json;

use super::bench::{Bench, ID, frame, language, state};
use crate::effect::Effect;
use crate::event::{Closed, Event, Resumed};
use crate::input::{Command, Frame, Framing, Input, SocketId};
use crate::machine::Role;

fn live() -> serde_json::Value {
    state(false, false)
}

fn control(bench: &mut Bench, control: Control) {
    bench.command(Command::Control { control, message: None });
}

#[test]
fn a_speaker_creates_a_session_and_speaks() {
    let mut bench = Bench::new_speaker();
    bench.say(1);
    bench.give(Input::Start);
    let create = ConnectQuery::Create {
        token: String::new(),
        source_language: "en".into(),
        quality_tier: "standard".into(),
    };
    assert_eq!(bench.opens(), [(1, create)]);
    bench.opened(1);
    bench.created(1);
    assert_eq!(bench.machine.session(), Some(ID));
    bench.say(2);
    assert_eq!(bench.spoken(), [(1, 1, 1), (1, 2, 2)]);
}

#[test]
fn a_session_that_is_there_is_taken_up_after_its_last_frame() {
    let session = SessionId::parse(ID);
    let quality = QualityTier::Standard;
    let mut bench = Bench::new(Role::Speaker { session, language: language("en"), quality });
    bench.give(Input::Start);
    let refresh = ConnectQuery::RefreshSpeaker { token: String::new(), session_id: ID.into() };
    assert_eq!(bench.opens(), [(1, refresh)]);
    bench.speaker_back(1, Some(40), &live());
    assert!(matches!(bench.events()[..], [Event::SessionTaken { .. }]));
    bench.say(1);
    assert_eq!(bench.spoken(), [(1, 41, 1)]);
}

#[test]
fn replies_to_somebody_else_are_none() {
    let mut bench = Bench::new_speaker();
    bench.give(Input::Start);
    bench.opened(1);
    bench.take();
    bench.joined(1);
    assert_eq!(bench.take(), []);
    bench.created(1);
    bench.closed(1, None, "");
    bench.pass(1_000);
    bench.opened(2);
    bench.take();
    bench.created(2);
    bench.listener_back(2, "es");
    assert_eq!(bench.take(), []);
    bench.speaker_back(2, None, &live());
    assert!(matches!(bench.events()[..], [Event::Reconnected(_)]));
}

#[test]
fn a_refresh_loses_no_frame() {
    let mut bench = Bench::speaker();
    (1..=5).for_each(|byte| bench.say(byte));
    bench.told_to_refresh(1);
    bench.say(6);
    assert_eq!(bench.spoken().last(), Some(&(1, 6, 6)), "the first socket carries meanwhile");
    // The server had heard up to 4 when the member moved.
    bench.speaker_back(2, Some(4), &live());
    bench.say(7);
    let effects = bench.effects.clone();
    assert_eq!(bench.spoken(), [(2, 5, 5), (2, 6, 6), (2, 7, 7)]);
    assert!(effects.contains(&Effect::Close { socket: SocketId(1), code: 1000 }));
    assert!(effects.contains(&Effect::Deliver(Event::Refreshed(Resumed { replayed: 2 }))));
}

#[test]
fn frames_wait_for_a_lost_connection_and_what_may_be_lost_goes_again() {
    let mut bench = Bench::speaker();
    (1..=3).for_each(|byte| bench.say(byte));
    bench.closed(1, None, "");
    bench.say(4);
    bench.say(5);
    bench.take();
    bench.pass(1_000);
    bench.speaker_back(2, Some(2), &live());
    assert_eq!(bench.spoken(), [(2, 3, 3), (2, 4, 4), (2, 5, 5)]);
}

#[test]
fn a_server_that_has_forgotten_everything_gets_configuration_and_recent_frames() {
    let mut bench = Bench::speaker();
    let payload = bytes::Bytes::from_static(b"pcm");
    let configuration = Frame { kind: Kind::Configuration, captured_micros: 0, payload };
    bench.command(Command::Send(configuration));
    for byte in 1..=200 {
        bench.say(byte);
        bench.pass_alive(100);
    }
    bench.closed(1, None, "");
    bench.pass(1_000);
    bench.take();
    bench.speaker_back(2, None, &live());
    let spoken = bench.spoken();
    assert_eq!(spoken[0], (2, 1, b'p'));
    let recent = &spoken[1..];
    assert_eq!(recent.last(), Some(&(2, 201, 200)));
    assert!(recent.windows(2).all(|pair| pair[1].1 == pair[0].1 + 1));
    assert!((20..=75).contains(&recent.len()), "{} frames of 100 ms", recent.len());
}

#[test]
fn at_most_thirty_seconds_wait() {
    let mut bench = Bench::speaker();
    bench.closed(1, None, "");
    bench.take();
    for n in 0..400_u64 {
        bench.now = n * 100;
        bench.command(Command::Send(Frame { captured_micros: n, ..frame(1) }));
    }
    let dropped: u64 = bench
        .events()
        .into_iter()
        .map(|event| if let Event::Dropped { frames } = event { frames } else { 0 })
        .sum();
    assert_eq!(dropped, 99, "of 40 s");
}

#[test]
fn a_line_that_does_not_drain_gets_no_more_frames() {
    let mut bench = Bench::speaker();
    (0..100).for_each(|byte| bench.say(byte));
    assert_eq!(bench.spoken().len(), 64);
    bench.give(Input::Written { socket: SocketId(1), frames: 10 });
    assert_eq!(bench.spoken().len(), 10);
}

#[test]
fn nothing_is_numbered_while_the_broadcast_is_paused() {
    let mut bench = Bench::speaker();
    bench.say(1);
    control(&mut bench, Control::Pause);
    bench.say(2);
    assert_eq!(bench.sent(), [(1, json!({ "action": "controlSession", "command": "pause" }))]);
    bench.text(
        1,
        &json!({
            "type": "broadcastState", "sessionId": ID, "broadcastState": state(true, false),
            "timestamp": 1,
        }),
    );
    bench.say(3);
    control(&mut bench, Control::Resume);
    // What is said from the wish on waits for the server's word.
    bench.say(4);
    assert_eq!(bench.spoken(), []);
    bench.text(
        1,
        &json!({
            "type": "broadcastState", "sessionId": ID, "broadcastState": live(), "timestamp": 1,
        }),
    );
    bench.say(5);
    assert_eq!(bench.spoken(), [(1, 2, 4), (1, 3, 5)]);
}

#[test]
fn wishes_without_a_connection_are_told_with_the_next_one() {
    let mut bench = Bench::speaker();
    bench.closed(1, None, "");
    control(&mut bench, Control::Mute);
    control(&mut bench, Control::Pause);
    control(&mut bench, Control::Resume);
    bench.pass(1_000);
    bench.take();
    bench.speaker_back(2, None, &live());
    assert_eq!(bench.sent(), [(2, json!({ "action": "controlSession", "command": "mute" }))]);
    // The server knows it by now, so the next connection does not tell it again.
    bench.closed(2, None, "");
    bench.pass(2_000);
    bench.speaker_back(3, None, &state(false, true));
    assert_eq!(bench.sent(), []);
    bench.say(1);
    assert_eq!(bench.spoken(), [], "muted");
}

#[test]
fn a_refused_command_leaves_things_as_they_were() {
    let mut bench = Bench::speaker();
    control(&mut bench, Control::Pause);
    bench.take();
    bench.refused(1, "RATE_LIMIT_EXCEEDED", json!({ "operation": "control", "retryAfter": 1 }));
    assert!(matches!(bench.events()[..], [Event::Error(_)]));
    bench.say(1);
    assert_eq!(bench.spoken(), [(1, 1, 1)]);
}

#[test]
fn a_refused_heartbeat_changes_nothing() {
    let mut bench = Bench::speaker();
    bench.refused(1, "RATE_LIMIT_EXCEEDED", json!({ "operation": "heartbeat", "retryAfter": 9 }));
    assert_eq!(bench.take(), []);
}

#[test]
fn the_end_comes_after_what_was_said() {
    let mut bench = Bench::speaker();
    (0..70).for_each(|byte| bench.say(byte));
    bench.command(Command::End { reason: Some("go in peace".into()) });
    bench.say(99);
    assert_eq!(bench.spoken().len(), 64);
    bench.give(Input::Written { socket: SocketId(1), frames: 64 });
    let effects = bench.effects.clone();
    assert_eq!(bench.spoken().len(), 6, "not the one after the wish to end");
    let Some(Effect::Text { text, .. }) = effects.last() else { panic!("{effects:?}") };
    assert_eq!(text, r#"{"action":"endSession","reason":"go in peace"}"#);
    // A server that does not answer: the close frame ends the session.
    bench.pass_alive(10_000);
    let effects = bench.take();
    assert!(effects.contains(&Effect::Close { socket: SocketId(1), code: 1000 }));
    assert_eq!(effects.last(), Some(&Effect::Deliver(Event::Closed(Closed::Left))));
}

/// One that was paused, goes on, says its last word and ends, all before the server answers.
fn last_word(mut bench: Bench, socket: u64) -> Bench {
    control(&mut bench, Control::Resume);
    bench.say(7);
    bench.command(Command::End { reason: None });
    assert_eq!(bench.spoken(), [], "the server would not take it on {socket}");
    bench
}

fn state_is(bench: &mut Bench, state: serde_json::Value) {
    let message = json!({
        "type": "broadcastState", "sessionId": ID, "broadcastState": state, "timestamp": 1,
    });
    bench.text(1, &message);
}

#[test]
fn the_end_waits_for_the_answer_that_lets_the_last_word_go() {
    let paused = || {
        let mut bench = Bench::speaker();
        control(&mut bench, Control::Pause);
        state_is(&mut bench, state(true, false));
        bench.take();
        bench
    };
    let end = json!({ "action": "endSession" });
    let mut bench = last_word(paused(), 1);
    state_is(&mut bench, live());
    let effects = bench.effects.clone();
    let [.., Effect::Audio { .. }, Effect::Text { .. }] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!(bench.sent(), [(1, end.clone())]);
    // A refusal leaves nothing to wait for.
    let mut bench = last_word(paused(), 1);
    bench.refused(1, "RATE_LIMIT_EXCEEDED", json!({ "operation": "control", "retryAfter": 1 }));
    assert!(bench.effects.contains(&Effect::Deliver(Event::Dropped { frames: 1 })));
    assert_eq!(bench.sent(), [(1, end.clone())]);
    // An answer that never comes is not awaited for longer than a last word may take.
    let mut bench = last_word(paused(), 1);
    bench.pass_alive(29_999);
    assert!(!bench.machine.is_done());
    bench.pass_alive(1);
    assert_eq!(bench.events().last(), Some(&Event::Closed(Closed::Left)));
    // The wish may be older than the connection.
    let mut bench = paused();
    bench.closed(1, None, "");
    let mut bench = last_word(bench, 2);
    bench.pass(1_000);
    bench.take();
    bench.speaker_back(2, None, &state(true, false));
    let resume = json!({ "action": "controlSession", "command": "resume" });
    assert_eq!(bench.sent(), [(2, resume)], "and no end yet");
    // What is paused by wish has nothing more to say.
    let mut bench = paused();
    bench.command(Command::End { reason: None });
    assert_eq!(bench.sent(), [(1, end)]);
}

#[test]
fn who_leaves_does_not_come_back_when_it_is_closed() {
    let mut bench = Bench::speaker();
    bench.command(Command::End { reason: None });
    bench.take();
    bench.closed(1, Some(1000), "");
    assert_eq!(bench.events(), [Event::Closed(Closed::Left)]);
}

#[test]
fn an_end_that_comes_with_the_last_moment_is_told_once() {
    let mut bench = Bench::speaker();
    bench.command(Command::End { reason: None });
    bench.take();
    bench.now = 10_000;
    let ended = json!({
        "type": "sessionEnded", "sessionId": ID, "message": "bye", "reason": "speakerEnded",
        "timestamp": 1,
    });
    bench.text(1, &ended);
    let events = bench.events();
    let [Event::Ended { .. }, Event::Closed(Closed::Ended)] = &events[..] else {
        panic!("{events:?}")
    };
}

#[test]
fn an_end_that_may_not_have_arrived_is_told_again() {
    let mut bench = Bench::speaker();
    bench.command(Command::End { reason: None });
    assert_eq!(bench.sent().len(), 1);
    bench.closed(1, None, "");
    bench.pass(1_000);
    bench.take();
    bench.speaker_back(2, None, &live());
    assert_eq!(bench.sent(), [(2, json!({ "action": "endSession" }))]);
    bench.closed(2, None, "");
    bench.pass(2_000);
    bench.opened(3);
    bench.take();
    bench.refused(3, "SESSION_NOT_FOUND", json!({}));
    assert_eq!(bench.events(), [Event::Closed(Closed::Left)], "as it was meant to be");
}

#[test]
fn an_end_told_on_a_connection_that_was_superseded_is_told_again() {
    let mut bench = Bench::speaker();
    bench.told_to_refresh(1);
    bench.command(Command::End { reason: None });
    assert_eq!(bench.sent(), [(1, json!({ "action": "endSession" }))]);
    // The server had moved the speaker already, and threw that away.
    bench.speaker_back(2, None, &live());
    assert_eq!(bench.sent(), [(2, json!({ "action": "endSession" }))]);
}

#[test]
fn without_the_subprotocol_audio_is_json() {
    let mut bench = Bench::new_speaker();
    bench.give(Input::Start);
    bench.give(Input::Opened { socket: SocketId(1), framing: Framing::Json });
    bench.created(1);
    bench.take();
    bench.command(Command::Send(Frame { kind: Kind::Configuration, ..frame(9) }));
    bench.say(1);
    let effects = bench.take();
    let [Effect::Audio { message: crate::Message::Text(text), .. }] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!(text, r#"{"action":"sendAudio","audioData":"AQEBAQ==","sequence":2}"#);
}

#[test]
fn frames_of_no_size_or_too_much_are_not_taken() {
    let mut bench = Bench::speaker();
    for len in [0, 32 * 1024 + 1] {
        bench.command(Command::Send(Frame { payload: vec![1; len].into(), ..frame(1) }));
    }
    assert_eq!(bench.take(), []);
}

#[test]
fn a_speaker_whose_record_is_gone_first_waits_to_hear_that_it_is_superseded() {
    let mut bench = Bench::speaker();
    bench.refused(1, "CONNECTION_NOT_FOUND", json!({}));
    bench.pass_alive(30_000);
    assert_eq!(bench.opens(), []);
    bench.pass_alive(1_000);
    assert_eq!(bench.opens().len(), 1);

    let mut bench = Bench::speaker();
    bench.refused(1, "CONNECTION_NOT_FOUND", json!({}));
    bench.closed(1, Some(1000), "superseded");
    assert!(matches!(bench.events()[..], [Event::Closed(Closed::ByServer(_))]));
}

#[test]
fn an_answer_that_is_lost_does_not_make_the_speaker_superseded_by_itself() {
    let mut bench = Bench::speaker();
    bench.told_to_refresh(1);
    // The server has moved the speaker to socket 2, but says so to nobody: frames on socket 1
    // are thrown away from now on, while its pings are answered.
    bench.say(1);
    bench.pass_alive(10_000);
    bench.say(2);
    bench.take();
    bench.closed(1, Some(1000), "superseded");
    assert!(matches!(bench.events()[..], [Event::Reconnecting { .. }]));
    bench.pass(1_000);
    let socket = bench.opens()[0].0;
    bench.speaker_back(socket, None, &live());
    assert_eq!(bench.spoken(), [(socket, 1, 1), (socket, 2, 2)]);
}

#[test]
fn a_heartbeat_tells_whether_only_the_answer_was_lost() {
    let mut bench = Bench::speaker();
    bench.told_to_refresh(1);
    bench.closed(2, None, "");
    let sent = bench.sent();
    assert_eq!(sent, [(1, json!({ "action": "heartbeat" }))]);
    bench.refused(1, "CONNECTION_NOT_FOUND", json!({}));
    let effects = bench.take();
    assert_eq!(effects[0], Effect::Abort { socket: SocketId(1) });
    assert!(matches!(effects[1], Effect::Deliver(Event::Reconnecting { .. })));
}
