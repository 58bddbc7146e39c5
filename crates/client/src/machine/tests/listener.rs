use ambo_core::Millis;
use ambo_wire::ConnectQuery;
use serde_json::json;

use super::bench::{Bench, ID, state, state_at};
use crate::close::CloseReason;
use crate::effect::Effect;
use crate::event::{Closed, Event, Resumed};
use crate::input::{Command, Failure, Input, SocketId};

fn back(token: Option<&str>, last_sequence: Option<u32>) -> ConnectQuery {
    ConnectQuery::RefreshListener {
        session_id: ID.into(),
        target_language: "es".into(),
        refresh_token: token.map(Into::into),
        last_sequence,
    }
}

fn sequences(events: &[Event]) -> Vec<u32> {
    let sequence = |event: &Event| match event {
        Event::Audio(frame) => Some(frame.sequence),
        _ => None,
    };
    events.iter().filter_map(sequence).collect()
}

#[test]
fn a_listener_joins_and_hears() {
    let mut bench = Bench::new_listener();
    bench.give(Input::Start);
    let join = ConnectQuery::Join { session_id: ID.into(), target_language: "es".into() };
    assert_eq!(bench.opens(), [(1, join)]);
    bench.opened(1);
    bench.hear(1, 1);
    assert_eq!(bench.take(), [], "nothing counts before the first message");
    bench.joined(1);
    assert!(matches!(bench.events()[..], [Event::SessionJoined { .. }]));
    bench.hear(1, 7);
    bench.hear(1, 8);
    bench.hear(1, 8);
    bench.hear(1, 11);
    let events = bench.events();
    assert_eq!(sequences(&events), [7, 8, 11]);
    assert!(matches!(events[2], Event::Gap { frames: 2 }));
}

#[test]
fn audio_in_json_is_heard_too() {
    let mut bench = Bench::listener();
    let message = json!({
        "type": "audioData", "sessionId": ID, "language": "en", "sequence": 5,
        "audioData": "c291bmQ=", "timestamp": 1,
    });
    bench.text(1, &message);
    let events = bench.events();
    let [Event::Audio(frame)] = &events[..] else { panic!("{events:?}") };
    assert_eq!((frame.sequence, &frame.payload[..]), (5, &b"sound"[..]));
}

#[test]
fn a_refresh_makes_before_it_breaks() {
    let mut bench = Bench::listener();
    bench.hear(1, 7);
    bench.told_to_refresh(1);
    assert_eq!(bench.opens(), [(2, back(Some("proof.c1"), Some(7)))]);
    bench.hear(1, 8);
    bench.opened(2);
    bench.hear(1, 9);
    assert_eq!(sequences(&bench.events()), [8, 9], "the first socket plays meanwhile");
    bench.listener_back(2, "es");
    let effects = bench.take();
    let close = Effect::Close { socket: SocketId(1), code: 1000 };
    let refreshed = Event::Refreshed(Resumed { replayed: 2 });
    assert_eq!(effects, [close, Effect::Deliver(refreshed)]);
    // The replay begins where the refresh was asked for; the first socket may still talk.
    for (socket, sequence) in [(2, 8), (2, 9), (1, 10), (2, 10), (2, 11)] {
        bench.hear(socket, sequence);
    }
    bench.closed(1, Some(1000), "superseded");
    let events = bench.events();
    assert_eq!(sequences(&events), [10, 11]);
    assert_eq!(events.len(), 2, "no gap, no loss");
    // A later loss has no token left to show.
    bench.closed(2, None, "");
    bench.pass(1_000);
    assert_eq!(bench.opens(), [(3, back(None, Some(11)))]);
}

#[test]
fn a_refresh_that_fails_is_tried_again_while_the_first_socket_lives() {
    let mut bench = Bench::listener();
    bench.told_to_refresh(1);
    let mut waits = Vec::new();
    for socket in 2..9 {
        bench.take();
        bench.give(Input::Failed {
            socket: SocketId(socket),
            failure: Failure::Unreachable("x".into()),
        });
        let events = bench.events();
        let [Event::RefreshFailed { retry_in: Some(wait), .. }] = events[..] else {
            panic!("{events:?}")
        };
        waits.push(wait.as_secs_ceil());
        bench.pass_alive(wait.0 - 1);
        assert_eq!(bench.opens(), []);
        bench.pass_alive(1);
        assert_eq!(bench.opens(), [(socket + 1, back(Some("proof.c1"), Some(0)))]);
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
    bench.hear(1, 1);
    assert_eq!(sequences(&bench.events()), [1]);
}

#[test]
fn a_refresh_that_is_never_completed_has_a_time_limit() {
    let mut bench = Bench::listener();
    bench.told_to_refresh(1);
    bench.opened(2);
    bench.take();
    bench.pass_alive(10_000);
    let effects = bench.take();
    let is_failure = |effect: &Effect| {
        matches!(
            effect,
            Effect::Deliver(Event::RefreshFailed { retry_in: Some(Millis(1_000)), .. })
        )
    };
    assert!(effects.contains(&Effect::Abort { socket: SocketId(2) }), "{effects:?}");
    assert!(effects.iter().any(is_failure), "{effects:?}");
    bench.listener_back(2, "es");
    bench.hear(2, 1);
    assert_eq!(bench.take(), [], "the given up socket changes nothing");
}

#[test]
fn a_refused_refresh_is_not_repeated() {
    let mut bench = Bench::listener();
    bench.told_to_refresh(1);
    bench.opened(2);
    bench.take();
    bench.refused(2, "SESSION_NOT_FOUND", json!({}));
    let events = bench.events();
    assert!(matches!(events[..], [Event::RefreshFailed { retry_in: None, .. }]), "{events:?}");
    bench.told_to_refresh(1);
    bench.pass_alive(120_000);
    assert_eq!(bench.opens(), []);
    // When the old one goes, one attempt tells how things are.
    bench.closed(1, Some(1001), "");
    bench.pass(1_000);
    assert_eq!(bench.opens().len(), 1);
    bench.refused(3, "SESSION_NOT_FOUND", json!({}));
    let events = bench.events();
    let [Event::ReconnectFailed { .. }, Event::Closed(Closed::Failed(Failure::Refused(refused)))] =
        &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!(refused.status, 404);
}

#[test]
fn when_the_first_socket_dies_during_a_refresh_the_second_is_the_way_back() {
    let mut bench = Bench::listener();
    bench.told_to_refresh(1);
    bench.take();
    bench.closed(1, None, "");
    let events = bench.events();
    assert!(matches!(events[..], [Event::Reconnecting { retry_in: Millis(0), .. }]), "{events:?}");
    bench.listener_back(2, "es");
    let events = bench.events();
    assert_eq!(events, [Event::Reconnected(Resumed { replayed: 2 })]);
    bench.hear(2, 1);
    assert_eq!(sequences(&bench.events()), [1]);
}

#[test]
fn a_lost_listener_comes_back_with_what_it_has() {
    let mut bench = Bench::listener();
    bench.hear(1, 41);
    bench.take();
    bench.closed(1, None, "");
    let events = bench.events();
    let [Event::Reconnecting { attempt: 1, retry_in, .. }] = events[..] else {
        panic!("{events:?}")
    };
    assert!(retry_in <= Millis(1_000));
    bench.pass(retry_in.0);
    assert_eq!(bench.opens(), [(2, back(None, Some(41)))]);
    bench.listener_back(2, "es");
    bench.hear(2, 42);
    let events = bench.events();
    assert_eq!(events[0], Event::Reconnected(Resumed { replayed: 2 }));
    assert_eq!(sequences(&events), [42]);
}

#[test]
fn each_close_code_has_its_consequence() {
    let ends = [
        (Some(1000), "superseded", CloseReason::Superseded),
        (Some(1002), "", CloseReason::ProtocolBroken),
        (Some(1007), "", CloseReason::ProtocolBroken),
        (Some(1008), "", CloseReason::Refused),
        (Some(1009), "", CloseReason::MessageTooLarge),
    ];
    for (code, reason, expected) in ends {
        let mut bench = Bench::listener();
        bench.closed(1, code, reason);
        assert_eq!(bench.events(), [Event::Closed(Closed::ByServer(expected))], "{code:?}");
        assert!(bench.machine.is_done() && bench.machine.deadline().is_none());
    }
    let codes = [1000, 1001, 1006, 1011, 1012, 1013, 4000];
    for code in codes.map(Some).into_iter().chain([None]) {
        let mut bench = Bench::listener();
        bench.closed(1, code, "slow consumer");
        assert!(matches!(bench.events()[..], [Event::Reconnecting { .. }]), "{code:?}");
        bench.pass(1_000);
        assert_eq!(bench.opens().len(), 1, "{code:?}");
    }
}

#[test]
fn a_refusal_to_come_back_is_final_but_for_too_many_requests() {
    let cases = [
        ("INVALID_PARAMETERS", true),
        ("UNAUTHORIZED", true),
        ("FORBIDDEN", true),
        ("SESSION_NOT_FOUND", true),
        ("UNSUPPORTED_LANGUAGE", true),
        ("RATE_LIMIT_EXCEEDED", false),
        ("INTERNAL_ERROR", false),
        ("SESSION_FULL", false),
        ("SERVICE_UNAVAILABLE", false),
        ("OF_A_LATER_VERSION", false),
    ];
    for (code, is_final) in cases {
        let mut bench = Bench::listener();
        bench.closed(1, None, "");
        bench.pass(1_000);
        bench.opened(2);
        bench.take();
        bench.refused(2, code, json!({}));
        assert_eq!(bench.machine.is_done(), is_final, "{code}");
        bench.pass(60_000);
        assert_eq!(bench.opens().is_empty(), is_final, "{code}");
    }
}

#[test]
fn retry_after_is_obeyed() {
    let mut bench = Bench::listener();
    bench.closed(1, None, "");
    bench.pass(1_000);
    bench.opened(2);
    bench.take();
    bench.refused(2, "SERVICE_UNAVAILABLE", json!({ "service": "store", "retryAfter": 20 }));
    bench.pass(19_999);
    assert_eq!(bench.opens(), []);
    bench.pass(1_001);
    assert_eq!(bench.opens().len(), 1);
}

#[test]
fn the_first_attempt_is_the_users_to_repeat() {
    let mut bench = Bench::new_listener();
    bench.give(Input::Start);
    bench.opened(1);
    bench.take();
    bench.refused(1, "RATE_LIMIT_EXCEEDED", json!({ "retryAfter": 3, "operation": "connect" }));
    let events = bench.events();
    let [Event::Closed(Closed::Failed(failure))] = &events[..] else { panic!("{events:?}") };
    assert_eq!(failure.retry_after(), Some(Millis(3_000)));
    assert!(!failure.is_final());
}

#[test]
fn waits_grow_while_nobody_answers_and_end_with_the_session() {
    let mut bench = Bench::listener();
    bench.closed(1, None, "");
    let (mut socket, mut longest) = (1, 0);
    while !bench.machine.is_done() {
        bench.pass(100);
        for effect in bench.take() {
            match effect {
                Effect::Open { socket: SocketId(opened), .. } => {
                    assert_eq!(opened, socket + 1, "one attempt at a time");
                    socket = opened;
                    let failure = Failure::Unreachable("x".into());
                    bench.give(Input::Failed { socket: SocketId(socket), failure });
                }
                Effect::Deliver(Event::Reconnecting { retry_in, .. }) => {
                    longest = longest.max(retry_in.0);
                }
                _ => {}
            }
        }
    }
    assert!((25_000..=30_000).contains(&longest), "{longest}");
    assert!((7_200_000..7_240_000).contains(&bench.now), "{}", bench.now);
}

#[test]
fn a_server_that_answers_only_to_fall_over_is_not_stormed() {
    let mut bench = Bench::listener();
    let falls = |bench: &mut Bench, socket| {
        bench.closed(socket, Some(1011), "");
        let events = bench.events();
        let [Event::Reconnecting { retry_in, .. }] = events[..] else { panic!("{events:?}") };
        bench.pass(retry_in.0);
        bench.take();
        bench.listener_back(socket + 1, "es");
        bench.take();
        retry_in
    };
    let waits: Vec<_> = (1..=40).map(|socket| falls(&mut bench, socket)).collect();
    assert!(waits[0] <= Millis(1_000));
    assert!(waits.iter().any(|wait| *wait > Millis(20_000)), "{waits:?}");
    // One that serves for a while is a good one again.
    bench.pass_alive(2_000);
    assert!(falls(&mut bench, 41) <= Millis(1_000));
    bench.pass_alive(60_000);
    bench.told_to_refresh(42);
    bench.listener_back(43, "es");
    bench.take();
    assert!(falls(&mut bench, 43) <= Millis(1_000), "what was before the refresh is long ago");
}

#[test]
fn silence_is_noticed_within_ten_seconds() {
    let mut bench = Bench::listener();
    bench.pass(9_999);
    assert_eq!(bench.take(), [Effect::Ping { socket: SocketId(1) }]);
    bench.pass(1);
    let effects = bench.take();
    assert_eq!(effects[0], Effect::Abort { socket: SocketId(1) });
    assert!(matches!(effects[1], Effect::Deliver(Event::Reconnecting { .. })));
}

#[test]
fn heartbeats_go_on_over_a_refresh() {
    let mut bench = Bench::listener();
    let beats = |bench: &mut Bench| -> Vec<u64> {
        let sent = bench.sent();
        assert!(sent.iter().all(|(_, message)| message["action"] == "heartbeat"));
        sent.into_iter().map(|(socket, _)| socket).collect()
    };
    bench.pass_alive(63_000);
    assert_eq!(beats(&mut bench), [1, 1]);
    bench.told_to_refresh(1);
    bench.listener_back(2, "es");
    bench.take();
    bench.pass_alive(63_000);
    assert_eq!(beats(&mut bench), [2, 2]);
}

#[test]
fn a_language_is_changed_at_once_or_with_the_next_connection() {
    let mut bench = Bench::listener();
    bench.command(Command::ChangeLanguage { target: "de".into() });
    let change = json!({ "action": "changeLanguage", "targetLanguage": "de" });
    assert_eq!(bench.sent(), [(1, change.clone())]);
    let changed = json!({
        "type": "languageChanged", "sessionId": ID, "targetLanguage": "de",
        "sourceLanguage": "en", "timestamp": 1,
    });
    bench.text(1, &changed);
    assert_eq!(bench.events(), [Event::LanguageChanged { target_language: "de".into() }]);

    // During a refresh: the new connection has the old language and is told.
    let mut bench = Bench::listener();
    bench.told_to_refresh(1);
    bench.command(Command::ChangeLanguage { target: "de".into() });
    bench.take();
    bench.listener_back(2, "es");
    assert_eq!(bench.sent(), [(2, change)]);

    // While there is none: the way back asks for it.
    let mut bench = Bench::listener();
    bench.closed(1, None, "");
    bench.command(Command::ChangeLanguage { target: "de".into() });
    bench.pass(1_000);
    let opens = bench.opens();
    let [(2, ConnectQuery::RefreshListener { target_language, .. })] = &opens[..] else {
        panic!("{opens:?}")
    };
    assert_eq!(target_language, "de");
}

#[test]
fn a_refused_language_leaves_the_old_one() {
    let mut bench = Bench::listener();
    bench.command(Command::ChangeLanguage { target: "zz".into() });
    bench.take();
    bench.refused(1, "UNSUPPORTED_LANGUAGE", json!({ "languageCode": "zz" }));
    assert!(matches!(bench.events()[..], [Event::Error(_)]));
    bench.closed(1, None, "");
    bench.pass(1_000);
    assert_eq!(bench.opens(), [(2, back(None, Some(0)))]);
}

#[test]
fn an_end_is_told_once_and_is_the_end() {
    let mut bench = Bench::listener();
    let ended = json!({
        "type": "sessionEnded", "sessionId": ID, "message": "bye", "reason": "speakerEnded",
        "timestamp": 1,
    });
    bench.text(1, &ended);
    bench.text(1, &ended);
    bench.closed(1, Some(1000), "");
    let (reason, message) = ("speakerEnded".into(), "bye".into());
    assert_eq!(
        bench.take(),
        [
            Effect::Deliver(Event::Ended { reason, message }),
            Effect::Close { socket: SocketId(1), code: 1000 },
            Effect::Deliver(Event::Closed(Closed::Ended)),
        ]
    );
}

#[test]
fn what_is_not_understood_is_ignored() {
    let mut bench = Bench::listener();
    for garbage in ["", "{", "[]", "17", "null", r#"{"type":7}"#, r#"{"type":"audioData"}"#] {
        bench.raw(1, garbage);
    }
    bench.text(1, &json!({ "type": "sessionBlessed", "song": [1, 2], "timestamp": 1 }));
    for bytes in [&b""[..], b"\x01", &[1; 15], &[0xff; 40]] {
        let bytes = bytes::Bytes::copy_from_slice(bytes);
        bench.give(Input::Binary { socket: SocketId(1), bytes });
    }
    bench.text(99, &json!({ "type": "sessionEnded" }));
    assert_eq!(bench.take(), []);
}

#[test]
fn a_listener_whose_record_is_gone_takes_a_new_connection() {
    let mut bench = Bench::listener();
    bench.refused(1, "CONNECTION_NOT_FOUND", json!({}));
    assert_eq!(bench.opens(), [(2, back(None, Some(0)))]);
    bench.refused(1, "CONNECTION_NOT_FOUND", json!({}));
    assert_eq!(bench.take(), [], "once is enough");
}

#[test]
fn a_listener_whose_record_is_gone_is_not_superseded_while_it_waits_for_a_place() {
    let mut bench = Bench::listener();
    bench.refused(1, "CONNECTION_NOT_FOUND", json!({}));
    bench.opened(2);
    let wait = json!({ "operation": "joinSession", "retryAfter": 90 });
    bench.refused(2, "RATE_LIMIT_EXCEEDED", wait);
    bench.take();
    // It is the next heartbeat that is answered so, and tells nothing new.
    bench.refused(1, "CONNECTION_NOT_FOUND", json!({}));
    assert_eq!(bench.take(), [], "the server asked for the wait");
    bench.closed(1, Some(1000), "superseded");
    let events = bench.events();
    assert!(matches!(events[..], [Event::Reconnecting { .. }]), "{events:?}");
    bench.pass(1_000);
    assert_eq!(bench.opens().len(), 1);
}

#[test]
fn without_a_record_and_without_a_session_there_is_nothing_to_wait_for() {
    let over = |mut bench: Bench, second: u64| {
        bench.opened(second);
        bench.take();
        bench.refused(second, "SESSION_NOT_FOUND", json!({ "sessionId": ID }));
        let effects = bench.take();
        let [
            Effect::Abort { .. },
            Effect::Deliver(Event::RefreshFailed { retry_in: None, .. }),
            Effect::Close { socket: SocketId(1), .. },
            Effect::Deliver(Event::Closed(Closed::Failed(Failure::Refused(refused)))),
        ] = &effects[..]
        else {
            panic!("{effects:?}")
        };
        assert_eq!(refused.status, 404);
    };
    let mut bench = Bench::listener();
    bench.refused(1, "CONNECTION_NOT_FOUND", json!({}));
    over(bench, 2);
    // In whichever order the two are learnt.
    let mut bench = Bench::listener();
    bench.told_to_refresh(1);
    bench.refused(1, "CONNECTION_NOT_FOUND", json!({}));
    over(bench, 2);
    let mut bench = Bench::speaker();
    bench.refused(1, "CONNECTION_NOT_FOUND", json!({}));
    bench.pass_alive(31_000);
    over(bench, 2);
}

#[test]
fn turns_of_the_broadcast_are_told() {
    let mut bench = Bench::listener();
    for kind in ["sessionPaused", "sessionResumed", "sessionMuted", "sessionUnmuted"] {
        let message = json!({
            "type": kind, "sessionId": ID, "broadcastState": state(true, false),
            "message": "soon", "timestamp": 1,
        });
        bench.text(1, &message);
    }
    let events = bench.events();
    let [Event::Paused(turn), Event::Resumed(_), Event::Muted(_), Event::Unmuted(_)] = &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!(turn.message.as_deref(), Some("soon"));
}

#[test]
fn a_turn_that_was_overtaken_is_not_told() {
    let mut bench = Bench::listener();
    let turn = |bench: &mut Bench, socket, kind: &str, state: &serde_json::Value| {
        let message =
            json!({ "type": kind, "sessionId": ID, "broadcastState": state, "timestamp": 1 });
        bench.text(socket, &message);
    };
    turn(&mut bench, 1, "sessionUnmuted", &state_at(3, false, false));
    turn(&mut bench, 1, "sessionMuted", &state_at(2, false, true));
    turn(&mut bench, 1, "broadcastState", &state_at(2, false, true));
    turn(&mut bench, 1, "sessionUnmuted", &state_at(3, false, false));
    let events = bench.events();
    let [Event::Unmuted(_), Event::Unmuted(_)] = &events[..] else { panic!("{events:?}") };
    // It may come on the next connection too.
    bench.told_to_refresh(1);
    bench.listener_back(2, "es");
    bench.take();
    turn(&mut bench, 2, "sessionMuted", &state_at(2, false, true));
    turn(&mut bench, 2, "sessionPaused", &state_at(4, true, false));
    let events = bench.events();
    let [Event::Paused(turn)] = &events[..] else { panic!("{events:?}") };
    assert_eq!(turn.state.last_state_change, 4);
}

#[test]
fn a_turn_from_before_the_join_is_not_told() {
    let mut bench = Bench::new_listener();
    bench.give(Input::Start);
    bench.opened(1);
    let message = |kind: &str, state: serde_json::Value| {
        json!({
            "type": kind, "sessionId": ID, "sourceLanguage": "en", "targetLanguage": "es",
            "connectionId": "c1", "broadcastState": state, "timestamp": 1,
        })
    };
    bench.text(1, &message("sessionJoined", state_at(5, false, false)));
    bench.take();
    bench.text(1, &message("sessionPaused", state_at(4, true, false)));
    assert_eq!(bench.events(), []);
}

#[test]
fn a_network_that_is_back_ends_the_wait() {
    let mut bench = Bench::listener();
    bench.closed(1, None, "");
    bench.take();
    bench.command(Command::Wake);
    assert_eq!(bench.opens().len(), 1);
    bench.listener_back(2, "es");
    bench.take();
    bench.command(Command::Wake);
    assert_eq!(bench.take(), [Effect::Ping { socket: SocketId(2) }]);
    bench.pass(5_000);
    assert!(matches!(bench.events()[..], [Event::Reconnecting { .. }]));
}

#[test]
fn leaving_closes_every_socket() {
    let mut bench = Bench::listener();
    bench.told_to_refresh(1);
    bench.take();
    bench.command(Command::Leave);
    assert_eq!(
        bench.take(),
        [
            Effect::Close { socket: SocketId(1), code: 1000 },
            Effect::Abort { socket: SocketId(2) },
            Effect::Deliver(Event::Closed(Closed::Left)),
        ]
    );
}
