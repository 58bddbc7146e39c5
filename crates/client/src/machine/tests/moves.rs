//! What is said on a connection that the server has already left, and what is not known of it.

use ambo_core::Millis;
use ambo_core::event::Command as Control;
use ambo_wire::ConnectQuery;
use serde_json::{Value, json};

use super::bench::{Bench, ID, state, state_at};
use crate::close::CloseReason;
use crate::effect::Effect;
use crate::event::{Closed, Event};
use crate::input::{Command, Failure, Framing, Input, SocketId};

fn live() -> Value {
    state(false, false)
}

fn steer(bench: &mut Bench, control: Control, message: Option<&str>) {
    let message = message.map(Into::into);
    bench.command(Command::Control { control, message });
}

fn state_is(bench: &mut Bench, socket: u64, state: &Value) {
    let message = json!({
        "type": "broadcastState", "sessionId": ID, "broadcastState": state, "timestamp": 1,
    });
    bench.text(socket, &message);
}

fn language_is(bench: &mut Bench, socket: u64, target: &str) {
    let message = json!({
        "type": "languageChanged", "sessionId": ID, "targetLanguage": target,
        "sourceLanguage": "en", "timestamp": 1,
    });
    bench.text(socket, &message);
}

fn change(bench: &mut Bench, target: &str) {
    bench.command(Command::ChangeLanguage { target: target.into() });
}

fn targets(opens: Vec<(u64, ConnectQuery)>) -> Vec<String> {
    let target = |(_, query)| match query {
        ConnectQuery::RefreshListener { target_language, .. } => target_language,
        other => panic!("{other:?}"),
    };
    opens.into_iter().map(target).collect()
}

#[test]
fn a_status_that_was_not_told_is_asked_for_again() {
    let ask = json!({ "action": "getSessionStatus" });
    let mut bench = Bench::speaker();
    bench.told_to_refresh(1);
    bench.command(Command::Status);
    assert_eq!(bench.sent(), [(1, ask.clone())]);
    bench.refused(1, "CONNECTION_NOT_FOUND", json!({}));
    bench.speaker_back(2, None, &live());
    assert_eq!(bench.sent(), [(2, ask.clone())]);
    // Without a connection it waits; once told, it is not asked for again.
    bench.closed(2, None, "");
    bench.command(Command::Status);
    bench.pass(2_000);
    bench.speaker_back(3, None, &live());
    assert_eq!(bench.sent(), [(3, ask)]);
    let status = json!({
        "type": "sessionStatus", "sessionId": ID, "listenerCount": 0, "languageDistribution": {},
        "sessionDuration": 1, "broadcastState": live(), "updateReason": "requested",
        "timestamp": 1,
    });
    bench.text(3, &status);
    bench.told_to_refresh(3);
    bench.speaker_back(4, None, &live());
    assert_eq!(bench.sent(), []);
}

#[test]
fn a_wish_that_was_not_confirmed_is_told_again_with_its_words() {
    let mut bench = Bench::speaker();
    bench.told_to_refresh(1);
    steer(&mut bench, Control::Pause, Some("back soon"));
    bench.take();
    bench.speaker_back(2, None, &live());
    let pause = json!({ "action": "controlSession", "command": "pause", "message": "back soon" });
    assert_eq!(bench.sent(), [(2, pause)]);
}

#[test]
fn a_wish_from_before_the_session_is_told_to_it() {
    let mut bench = Bench::new_speaker();
    steer(&mut bench, Control::Mute, None);
    bench.give(Input::Start);
    bench.opened(1);
    bench.created(1);
    assert_eq!(bench.sent(), [(1, json!({ "action": "controlSession", "command": "mute" }))]);
}

#[test]
fn an_older_answer_confirms_no_newer_wish() {
    let mut bench = Bench::speaker();
    for control in [Control::Pause, Control::Resume, Control::Pause] {
        steer(&mut bench, control, None);
    }
    state_is(&mut bench, 1, &state(true, false));
    state_is(&mut bench, 1, &live());
    bench.say(1);
    assert_eq!(bench.spoken(), [], "the server has paused again, or is about to");
    state_is(&mut bench, 1, &state(true, false));
    steer(&mut bench, Control::Resume, None);
    state_is(&mut bench, 1, &live());
    bench.say(2);
    assert_eq!(bench.spoken(), [(1, 1, 2)]);
}

#[test]
fn an_answer_that_was_overtaken_is_an_answer_but_not_the_state() {
    let mut bench = Bench::speaker();
    for control in [Control::Pause, Control::Resume] {
        steer(&mut bench, control, None);
    }
    bench.take();
    state_is(&mut bench, 1, &state_at(3, false, false));
    state_is(&mut bench, 1, &state_at(2, true, false));
    let events = bench.events();
    let [Event::State(state)] = events[..] else { panic!("{events:?}") };
    assert_eq!((state.is_paused, state.last_state_change), (false, 3));
    // Both commands are answered: no wish is left, and nothing is told again.
    bench.say(1);
    assert_eq!(bench.spoken(), [(1, 1, 1)]);
    bench.told_to_refresh(1);
    bench.take();
    bench.speaker_back(2, Some(1), &state_at(2, true, false));
    let events = bench.events();
    assert!(matches!(events[..], [Event::Refreshed(_)]), "decided before the last: {events:?}");
    bench.say(2);
    assert_eq!(bench.spoken(), [(2, 2, 2)]);
}

#[test]
fn an_answer_that_was_lost_with_its_connection_is_told_all_the_same() {
    let mut bench = Bench::speaker();
    bench.told_to_refresh(1);
    steer(&mut bench, Control::Pause, None);
    bench.take();
    bench.speaker_back(2, None, &state(true, false));
    let events = bench.events();
    let [Event::State(state), Event::Refreshed(_)] = events[..] else { panic!("{events:?}") };
    assert!(state.is_paused);
}

#[test]
fn a_frame_too_many_forgets_no_wish() {
    let mut bench = Bench::speaker();
    steer(&mut bench, Control::Pause, None);
    bench.refused(1, "RATE_LIMIT_EXCEEDED", json!({ "operation": "audio", "retryAfter": 1 }));
    bench.say(1);
    assert_eq!(bench.spoken(), [], "the server will not take it");
}

#[test]
fn the_language_that_was_wished_for_last_is_the_one_that_is_heard() {
    let mut bench = Bench::listener();
    change(&mut bench, "de");
    change(&mut bench, "es");
    let sent: Vec<_> =
        bench.sent().into_iter().map(|(_, it)| it["targetLanguage"].clone()).collect();
    assert_eq!(sent, ["de", "es"], "the second one, too, though nothing is confirmed yet");
    language_is(&mut bench, 1, "de");
    language_is(&mut bench, 1, "es");
    // A refusal of one is none of the next, and comes before its answer.
    for code in ["UNSUPPORTED_LANGUAGE", "RATE_LIMIT_EXCEEDED"] {
        change(&mut bench, "zz");
        change(&mut bench, "de");
        let details =
            if code.starts_with('U') { json!({ "languageCode": "zz" }) } else { json!({}) };
        bench.refused(1, code, details);
        language_is(&mut bench, 1, "de");
        bench.take();
        bench.told_to_refresh(1);
        assert_eq!(targets(bench.opens()), ["de"], "{code}");
        bench = Bench::listener();
    }
}

#[test]
fn a_language_that_is_refused_on_the_way_back_costs_no_seat() {
    let refuse = |bench: &mut Bench, socket| {
        bench.opened(socket);
        bench.take();
        bench.refused(socket, "UNSUPPORTED_LANGUAGE", json!({ "languageCode": "zz" }));
        let events = bench.events();
        assert!(matches!(events[0], Event::Error(_)), "{events:?}");
        bench.pass_alive(1_000);
        assert_eq!(targets(bench.opens()), ["es"]);
    };
    let mut bench = Bench::listener();
    bench.closed(1, None, "");
    change(&mut bench, "zz");
    bench.pass(1_000);
    refuse(&mut bench, 2);
    let mut bench = Bench::listener();
    change(&mut bench, "zz");
    bench.told_to_refresh(1);
    refuse(&mut bench, 2);
}

#[test]
fn who_leaves_during_a_refresh_says_so_on_both_connections() {
    let mut bench = Bench::speaker();
    bench.told_to_refresh(1);
    bench.opened(2);
    bench.take();
    bench.command(Command::Leave);
    let close = |socket| Effect::Close { socket: SocketId(socket), code: 1000 };
    assert_eq!(bench.take(), [close(1), close(2), Effect::Deliver(Event::Closed(Closed::Left))]);

    let mut bench = Bench::speaker();
    bench.closed(1, None, "");
    bench.pass(1_000);
    bench.opened(2);
    bench.take();
    bench.command(Command::Leave);
    assert_eq!(bench.take(), [close(2), Effect::Deliver(Event::Closed(Closed::Left))]);
}

#[test]
fn an_end_whose_connection_was_lost_has_the_time_to_be_told_again() {
    let mut bench = Bench::speaker();
    bench.command(Command::End { reason: None });
    bench.pass_alive(9_000);
    bench.closed(1, None, "");
    bench.pass(5_000);
    bench.take();
    bench.speaker_back(2, None, &live());
    assert_eq!(bench.sent(), [(2, json!({ "action": "endSession" }))]);
}

#[test]
fn an_end_on_a_superseded_connection_waits_for_the_new_one() {
    let mut bench = Bench::speaker();
    bench.told_to_refresh(1);
    bench.command(Command::End { reason: None });
    bench.refused(1, "CONNECTION_NOT_FOUND", json!({}));
    // The answer on the second socket never comes; the heartbeat tells that it was lost.
    bench.pass_alive(10_000);
    bench.refused(1, "CONNECTION_NOT_FOUND", json!({}));
    bench.pass(1_000);
    bench.take();
    bench.speaker_back(3, None, &live());
    assert_eq!(bench.sent(), [(3, json!({ "action": "endSession" }))]);
}

#[test]
fn a_refresh_that_was_refused_has_moved_nobody() {
    let mut bench = Bench::speaker();
    bench.say(1);
    bench.told_to_refresh(1);
    bench.opened(2);
    bench.refused(2, "RATE_LIMIT_EXCEEDED", json!({ "operation": "connect", "retryAfter": 60 }));
    assert_eq!(bench.sent(), [], "there is nothing to ask");
    // So it is another program that has taken the session up.
    bench.closed(1, Some(1000), "superseded");
    let closed = Event::Closed(Closed::ByServer(CloseReason::Superseded));
    assert_eq!(bench.events(), [closed]);
    // After a fault of the server nobody knows.
    let mut bench = Bench::speaker();
    bench.told_to_refresh(1);
    bench.opened(2);
    bench.refused(2, "SERVICE_UNAVAILABLE", json!({ "service": "store", "retryAfter": 60 }));
    assert_eq!(bench.sent(), [(1, json!({ "action": "heartbeat" }))]);
    bench.closed(1, Some(1000), "superseded");
    assert!(matches!(bench.events()[..], [Event::Reconnecting { .. }]));
}

#[test]
fn waking_cuts_no_wait_short_that_has_a_reason() {
    let mut bench = Bench::listener();
    bench.told_to_refresh(1);
    bench.opened(2);
    bench.refused(2, "SERVICE_UNAVAILABLE", json!({ "service": "store", "retryAfter": 20 }));
    bench.take();
    bench.command(Command::Wake);
    bench.pass_alive(19_900);
    assert_eq!(bench.opens(), [], "the server asked for it");
    bench.pass_alive(100);
    assert_eq!(bench.opens().len(), 1);

    let mut bench = Bench::speaker();
    bench.refused(1, "CONNECTION_NOT_FOUND", json!({}));
    bench.command(Command::Wake);
    bench.pass_alive(30_000);
    assert_eq!(bench.opens(), [], "another program may have taken the session up");
}

#[test]
fn there_are_never_more_heartbeats_than_the_server_allows() {
    let mut bench = Bench::speaker();
    bench.told_to_refresh(1);
    let (mut tokens, mut at) = (4.0, 0.0);
    for second in 1..=600_u32 {
        bench.pass_alive(1_000);
        let opened = |effect: &Effect| match effect {
            Effect::Open { socket, .. } => Some(*socket),
            _ => None,
        };
        let opened: Vec<_> = bench.effects.iter().filter_map(opened).collect();
        for socket in opened {
            let failure = Failure::Unreachable("x".into());
            bench.give(Input::Failed { socket, failure });
        }
        for (_, message) in bench.sent() {
            assert_eq!(message["action"], "heartbeat");
            let now = f64::from(second);
            tokens = f64::min(4.0, tokens + (now - at) / 30.0) - 1.0;
            at = now;
            assert!(tokens > -0.1, "the jitter of a beat may run ahead by a little: {tokens}");
        }
    }
}

#[test]
fn a_speaker_soon_knows_what_has_arrived() {
    let mut bench = Bench::speaker();
    bench.pass(2_000);
    assert_eq!(bench.take(), [Effect::Ping { socket: SocketId(1) }]);
    let mut bench = Bench::listener();
    bench.pass(4_999);
    assert_eq!(bench.take(), []);
}

#[test]
fn a_socket_without_a_handshake_is_dropped_in_silence() {
    let mut bench = Bench::speaker();
    bench.told_to_refresh(1);
    bench.take();
    bench.command(Command::Leave);
    assert!(bench.take().contains(&Effect::Abort { socket: SocketId(2) }));
    let mut bench = Bench::listener();
    bench.told_to_refresh(1);
    bench.give(Input::Opened { socket: SocketId(2), framing: Framing::Json });
    bench.pass_alive(Millis::from_secs(10).0);
    assert!(bench.take().contains(&Effect::Abort { socket: SocketId(2) }), "nobody wants to go");
}
