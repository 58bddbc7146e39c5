//! The shell against a server that drops, delays, repeats, closes with every code, never finishes
//! a refresh and sends garbage. Time is the machine's matter: here it is only made short.
#![allow(clippy::unwrap_used)]

mod peer;

use ambo_client::{
    CloseReason, Closed, Event, Events, Failure, Language, Listener, ListenerOptions, Millis,
    Resumed, Server, SessionId, Speaker, SpeakerOptions, Timing, Tokens,
};
use ambo_wire::websocket::{self, Message};
use peer::*;
use serde_json::json;

fn language(code: &str) -> Language {
    Language::parse(code).unwrap()
}

async fn speak(server: Server, timing: Timing) -> Result<(Speaker, Events), Closed> {
    let options = SpeakerOptions::new(Tokens::fixed("a.b.c"), language("en"));
    Speaker::connect(&server, SpeakerOptions { timing, ..options }).await
}

async fn listen(server: Server, timing: Timing) -> Result<(Listener, Events), Closed> {
    let options = ListenerOptions::new(SessionId::parse(ID).unwrap(), language("es"));
    Listener::connect(&server, ListenerOptions { timing, ..options }).await
}

/// A speaker whose session is created.
async fn speaker(server: &ScriptedServer, timing: Timing) -> (Peer, Speaker, Events) {
    let client = tokio::spawn(speak(server.server(), timing));
    let mut peer = server.open().await;
    peer.say(&created()).await;
    let (speaker, mut events) = client.await.unwrap().unwrap();
    assert!(matches!(next(&mut events).await, Some(Event::SessionCreated { .. })));
    (peer, speaker, events)
}

/// The listener comes back, and then leaves, so that the next one finds the server alone.
async fn comes_back(server: &ScriptedServer, listener: &Listener, events: &mut Events) {
    let mut peer = server.open().await;
    peer.say(&listener_back(0)).await;
    until(events, |event| matches!(event, Event::Reconnected(_)).then_some(())).await;
    listener.leave().await.unwrap();
    assert_eq!(peer.hear_close().await, Some(1000));
    drop(peer);
    while next(events).await.is_some() {}
}

/// A listener who has joined.
async fn listener(server: &ScriptedServer, timing: Timing) -> (Peer, Listener, Events) {
    let client = tokio::spawn(listen(server.server(), timing));
    let mut peer = server.open().await;
    peer.say(&joined()).await;
    let (listener, mut events) = client.await.unwrap().unwrap();
    assert!(matches!(next(&mut events).await, Some(Event::SessionJoined { .. })));
    (peer, listener, events)
}

#[tokio::test]
async fn a_speaker_creates_and_speaks() {
    let server = ScriptedServer::start().await;
    let (mut peer, speaker, _events) = speaker(&server, Timing::default()).await;
    assert_eq!(peer.query["action"], "createSession");
    assert_eq!(peer.query["token"], "", "query strings end up in logs");
    assert_eq!(peer.headers["authorization"], "Bearer a.b.c");
    assert_eq!(peer.headers["sec-websocket-protocol"], "ambo.v1");
    assert_eq!(speaker.session_id(), ID);
    speaker.configure("pcm").await.unwrap();
    speaker.send("one").await.unwrap();
    speaker.pause().await.unwrap();
    assert_eq!(&peer.hear_frame().await.payload[..], b"pcm");
    let frame = peer.hear_frame().await;
    assert_eq!((frame.sequence, &frame.payload[..]), (2, &b"one"[..]));
    assert_eq!(peer.hear_text().await["command"], "pause");
}

#[tokio::test]
async fn the_first_message_may_come_with_the_handshake() {
    let server = ScriptedServer::start().await;
    let client = tokio::spawn(listen(server.server(), Timing::default()));
    server.next().await.agree(&[joined(), ended()]).await;
    let (_listener, mut events) = client.await.unwrap().unwrap();
    assert!(matches!(next(&mut events).await, Some(Event::SessionJoined { .. })));
    assert!(matches!(next(&mut events).await, Some(Event::Ended { .. })));
    assert_eq!(next(&mut events).await, Some(Event::Closed(Closed::Ended)));
    assert_eq!(next(&mut events).await, None);
}

#[tokio::test]
async fn a_refused_handshake_says_why_and_when_to_come_back() {
    let server = ScriptedServer::start().await;
    let body = error("SERVICE_UNAVAILABLE", json!({ "service": "store", "retryAfter": 5 }));
    let cases = [
        ("503 Service Unavailable\r\nRetry-After: 7", body.to_string(), "SERVICE_UNAVAILABLE", 7),
        ("503 Service Unavailable", body.to_string(), "SERVICE_UNAVAILABLE", 5),
        ("502 Bad Gateway\r\nRetry-After: 3", "<html>oh no</html>".into(), "HTTP_502", 3),
    ];
    for (head, body, code, seconds) in cases {
        let client = tokio::spawn(listen(server.server(), Timing::default()));
        server.next().await.refuse(head, &body).await;
        let Err(Closed::Failed(failure)) = client.await.unwrap() else { panic!("{head}") };
        assert_eq!(failure.retry_after(), Some(Millis::from_secs(seconds)));
        assert!(!failure.is_final());
        let Failure::Refused(refused) = failure else { panic!("{failure:?}") };
        assert_eq!(refused.error.code, code);
    }
    let client = tokio::spawn(listen(server.server(), Timing::default()));
    server.next().await.refuse("404 Not Found", "").await;
    let Err(Closed::Failed(failure)) = client.await.unwrap() else { panic!() };
    assert!(failure.is_final());
}

#[tokio::test]
async fn a_refusal_whose_body_never_ends_is_one_all_the_same() {
    let server = ScriptedServer::start().await;
    // Not the time that the client gives the server, but that it gives the body.
    let patient = Timing { connect_limit: Millis::from_secs(60), ..Timing::default() };
    let head = "HTTP/1.1 403 Forbidden\r\nRetry-After: 7\r\n";
    let chunked = "Transfer-Encoding: chunked\r\n\r\n9\r\nforbidden\r\n";
    for rest in [chunked, "Content-Length: 9\r\n\r\nfor"] {
        let client = tokio::spawn(listen(server.server(), patient.clone()));
        let mut peer = server.next().await;
        peer.raw(format!("{head}{rest}").as_bytes()).await;
        let Err(Closed::Failed(failure)) = client.await.unwrap() else { panic!("{rest}") };
        assert_eq!(failure.retry_after(), Some(Millis::from_secs(7)));
        assert!(failure.is_final(), "{failure:?}");
    }
}

#[tokio::test]
async fn a_refusal_in_band_is_the_same() {
    let server = ScriptedServer::start().await;
    let client = tokio::spawn(listen(server.server(), Timing::default()));
    let mut peer = server.open().await;
    peer.say(&error("SESSION_NOT_FOUND", json!({ "sessionId": ID }))).await;
    peer.close(1008, "").await;
    let Err(Closed::Failed(Failure::Refused(refused))) = client.await.unwrap() else { panic!() };
    assert_eq!((refused.status, refused.error.code.as_str()), (404, "SESSION_NOT_FOUND"));
}

#[tokio::test]
async fn what_is_no_server_of_ours_is_told_in_a_sentence() {
    let server = ScriptedServer::start().await;
    let answers: [(&[u8], &str); 5] = [
        (b"SSH-2.0-OpenSSH\r\n\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "does not speak WebSocket"),
        (b"", "hung up"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "HTTP status 200"),
        (&[b'x'; 20_000], "does not speak HTTP"),
    ];
    for (answer, expected) in answers {
        let client = tokio::spawn(listen(server.server(), Timing::default()));
        let mut peer = server.next().await;
        peer.raw(answer).await;
        drop(peer);
        let error = client.await.unwrap().unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    // Nothing listens on the port of a listener that is gone.
    let address = server.server();
    drop(server);
    let error = listen(address, Timing::default()).await.unwrap_err().to_string();
    assert!(error.contains("nobody answers"), "{error}");
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    let server = ScriptedServer::start().await;
    let impatient = Timing { connect_limit: Millis(1_000), ..quick() };
    let client = tokio::spawn(listen(server.server(), impatient.clone()));
    let _silent = server.next().await;
    let error = client.await.unwrap().unwrap_err().to_string();
    assert!(error.contains("no answer"), "{error}");
    let client = tokio::spawn(listen(server.server(), impatient));
    let _open_but_silent = server.open().await;
    let error = client.await.unwrap().unwrap_err().to_string();
    assert!(error.contains("no answer"), "{error}");
}

#[tokio::test]
async fn garbage_and_duplicates_do_not_reach_the_user() {
    let server = ScriptedServer::start().await;
    let (mut peer, _listener, mut events) = listener(&server, Timing::default()).await;
    for garbage in ["", "{", "[1]", r#"{"type":"sessionBlessed"}"#, r#"{"type":"audioData"}"#] {
        peer.raw(&websocket::text(garbage)).await;
        peer.raw(&websocket::binary(garbage.as_bytes())).await;
        peer.raw(&websocket::ping(garbage.as_bytes())).await;
    }
    for sequence in [5, 6, 6, 5, 7, 7] {
        peer.frame(sequence).await;
    }
    peer.frame(10).await;
    assert_eq!(heard(&mut events, 3).await, [5, 6, 7]);
    assert_eq!(next(&mut events).await, Some(Event::Gap { frames: 2 }));
    assert_eq!(heard(&mut events, 1).await, [10]);
    assert!(matches!(peer.hear().await, Some(Message::Pong(_))), "pings are answered");
}

#[tokio::test]
async fn a_listener_refreshes_without_losing_or_repeating_a_frame() {
    let server = ScriptedServer::start().await;
    let (mut old, _listener, mut events) = listener(&server, Timing::default()).await;
    old.frame(1).await;
    assert_eq!(heard(&mut events, 1).await, [1]);
    old.say(&refresh_required()).await;
    let mut new = server.open().await;
    assert_eq!(new.query["action"], "refreshConnection");
    assert_eq!(new.query["refreshToken"], "proof.c1");
    assert_eq!(new.query["lastSequence"], "1");
    old.frame(2).await;
    assert_eq!(next(&mut events).await, Some(Event::Refreshing { reason: "age".into() }));
    assert_eq!(heard(&mut events, 1).await, [2]);
    new.say(&listener_back(1)).await;
    new.frame(2).await;
    new.frame(3).await;
    assert_eq!(next(&mut events).await, Some(Event::Refreshed(Resumed { replayed: 1 })));
    assert_eq!(heard(&mut events, 1).await, [3]);
    assert_eq!(old.hear_close().await, Some(1000));
    old.frame(9).await;
    new.frame(4).await;
    assert_eq!(heard(&mut events, 1).await, [4]);
}

#[tokio::test]
async fn a_speaker_refreshes_without_losing_a_frame() {
    let server = ScriptedServer::start().await;
    let (mut old, speaker, mut events) = speaker(&server, Timing::default()).await;
    for payload in ["1", "2"] {
        speaker.send(payload).await.unwrap();
    }
    assert_eq!(old.hear_frame().await.sequence, 1);
    old.say(&refresh_required()).await;
    let mut new = server.open().await;
    assert_eq!(new.query["role"], "speaker");
    assert_eq!(new.headers["authorization"], "Bearer a.b.c");
    speaker.send("3").await.unwrap();
    assert_eq!(old.hear_frame().await.sequence, 2);
    assert_eq!(old.hear_frame().await.sequence, 3);
    new.say(&speaker_back(1)).await;
    let refreshed = until(&mut events, |event| match event {
        Event::Refreshed(resumed) => Some(resumed.replayed),
        _ => None,
    });
    assert_eq!(refreshed.await, 2);
    speaker.send("4").await.unwrap();
    for sequence in 2..=4 {
        let frame = new.hear_frame().await;
        assert_eq!(frame.sequence, sequence);
        assert_eq!(frame.payload, sequence.to_string());
    }
    assert_eq!(old.hear_close().await, Some(1000));
}

#[tokio::test]
async fn a_refresh_that_is_never_completed_is_tried_again_while_the_old_one_plays() {
    let server = ScriptedServer::start().await;
    let impatient = Timing { connect_limit: Millis(1_000), ..quick() };
    let (mut old, _listener, mut events) = listener(&server, impatient).await;
    old.say(&refresh_required()).await;
    let _never_completed = server.open().await;
    let mut hung_up = server.next().await;
    hung_up.raw(b"HTTP/1.1 500 Oops\r\n\r\n").await;
    drop(hung_up);
    old.frame(1).await;
    let mut failures = 0;
    loop {
        match next(&mut events).await {
            Some(Event::RefreshFailed { retry_in: Some(_), .. }) => failures += 1,
            Some(Event::Refreshing { .. }) => {}
            Some(Event::Audio(frame)) => break assert_eq!(frame.sequence, 1),
            other => panic!("{other:?}"),
        }
    }
    // On a busy machine a good answer may come too late as well, so it is given each time.
    let mut serve = std::pin::pin!(async {
        let mut open = Vec::new();
        loop {
            let mut new = server.open().await;
            new.say(&listener_back(0)).await;
            new.frame(2).await;
            open.push(new);
        }
    });
    let resumed = loop {
        let event = tokio::select! {
            _ = serve.as_mut() => unreachable!("it goes on"),
            event = next(&mut events) => event,
        };
        match event {
            Some(Event::RefreshFailed { retry_in: Some(_), .. }) => failures += 1,
            Some(Event::Refreshed(resumed)) => break resumed,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(resumed, Resumed { replayed: 0 });
    assert!(failures >= 2, "{failures}");
    assert_eq!(heard(&mut events, 1).await, [2]);
}

#[tokio::test]
async fn a_cut_line_is_mended_and_queued_frames_follow() {
    let server = ScriptedServer::start().await;
    let (mut old, speaker, mut events) = speaker(&server, quick()).await;
    speaker.send("1").await.unwrap();
    assert_eq!(old.hear_frame().await.sequence, 1);
    old.cut();
    let lost = |event| matches!(event, Event::Reconnecting { .. }).then_some(());
    until(&mut events, lost).await;
    for payload in ["2", "3"] {
        speaker.send(payload).await.unwrap();
    }
    let mut new = server.open().await;
    assert_eq!(new.query["sessionId"], ID);
    new.say(&speaker_back(1)).await;
    for sequence in 2..=3 {
        assert_eq!(new.hear_frame().await.sequence, sequence);
    }
    until(&mut events, |event| matches!(event, Event::Reconnected(_)).then_some(())).await;
}

#[tokio::test]
async fn each_close_code_brings_the_listener_back_or_ends_it() {
    let server = ScriptedServer::start().await;
    let ends = [
        (1000, "superseded", CloseReason::Superseded),
        (1002, "", CloseReason::ProtocolBroken),
        (1007, "", CloseReason::ProtocolBroken),
        (1008, "", CloseReason::Refused),
        (1009, "", CloseReason::MessageTooLarge),
    ];
    for (code, reason, expected) in ends {
        let (mut peer, _listener, mut events) = listener(&server, quick()).await;
        peer.close(code, reason).await;
        let closed = Some(Event::Closed(Closed::ByServer(expected)));
        assert_eq!(next(&mut events).await, closed, "{code}");
    }
    server.nobody_comes().await;
    for code in [1000, 1001, 1011, 1012, 1013, 3000, 4999] {
        let (mut peer, listener, mut events) = listener(&server, quick()).await;
        peer.close(code, "").await;
        comes_back(&server, &listener, &mut events).await;
    }
}

#[tokio::test]
async fn a_broken_protocol_or_a_huge_message_only_costs_the_connection() {
    let server = ScriptedServer::start().await;
    let huge = websocket::text(&"x".repeat(300 * 1024));
    for bytes in [&b"\xff\xff\xff\xff"[..], b"\x81\x85abcdefghi", b"\xc1\x01x", &huge] {
        let (mut peer, listener, mut events) = listener(&server, quick()).await;
        peer.raw(bytes).await;
        comes_back(&server, &listener, &mut events).await;
    }
}

#[tokio::test]
async fn a_silent_server_is_noticed() {
    let server = ScriptedServer::start().await;
    let timing = Timing { ping_after: Millis(50), pong_limit: Millis(50), ..quick() };
    let (_mute, _listener, mut events) = listener(&server, timing).await;
    let failure = until(&mut events, |event| match event {
        Event::Reconnecting { failure, .. } => Some(failure),
        _ => None,
    });
    assert!(failure.await.to_string().contains("silent"));
}

#[tokio::test]
async fn a_server_that_does_not_read_costs_bounded_memory_and_blocks_nobody() {
    let server = ScriptedServer::start().await;
    let timing = Timing { queue_bytes: 1024 * 1024, ..Timing::default() };
    let (_stuck, speaker, mut events) = speaker(&server, timing).await;
    let payload = vec![7; 32 * 1024];
    // 64 MiB: more than the kernel takes, by far more than may wait here.
    for _ in 0..2_000 {
        speaker.send(payload.clone()).await.unwrap();
    }
    let dropped = |event| match event {
        Event::Dropped { frames } => Some(frames),
        _ => None,
    };
    assert!(until(&mut events, dropped).await > 0);
}

#[tokio::test]
async fn a_server_that_does_not_read_cannot_keep_a_speaker_from_leaving() {
    let server = ScriptedServer::start().await;
    let timing = Timing {
        queue_bytes: 1024 * 1024,
        queue_span: Millis(500),
        frames_at_once: 10_000,
        ..Timing::default()
    };
    let (_stuck, speaker, mut events) = speaker(&server, timing).await;
    for _ in 0..2_000 {
        speaker.send(vec![7; 32 * 1024]).await.unwrap();
    }
    drop(speaker);
    let closed = |event| matches!(event, Event::Closed(_)).then_some(event);
    assert_eq!(until(&mut events, closed).await, Event::Closed(Closed::Left));
}

#[tokio::test]
async fn a_speaker_that_is_dropped_says_everything_and_ends_the_session() {
    let server = ScriptedServer::start().await;
    let (mut peer, speaker, mut events) = speaker(&server, quick()).await;
    speaker.send("amen").await.unwrap();
    drop(speaker);
    assert_eq!(peer.hear_frame().await.payload, "amen");
    assert_eq!(peer.hear_text().await["action"], "endSession");
    // The server does not answer; the close frame must do.
    assert_eq!(peer.hear_close().await, Some(1000));
    drop(peer);
    assert_eq!(next(&mut events).await, Some(Event::Closed(Closed::Left)));
    assert_eq!(next(&mut events).await, None);
}

#[tokio::test]
async fn each_connect_asks_for_a_token() {
    let server = ScriptedServer::start().await;
    let count = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = count.clone();
    let tokens = Tokens::ask(move || {
        let n = counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        async move { if n == 1 { Err("the sign-in page is down".into()) } else { Ok(format!("t{n}")) } }
    });
    let options = SpeakerOptions { timing: quick(), ..SpeakerOptions::new(tokens, language("en")) };
    let address = server.server();
    let client = tokio::spawn(async move { Speaker::connect(&address, options).await });
    let mut old = server.open().await;
    assert_eq!(old.headers["authorization"], "Bearer t0");
    old.say(&created()).await;
    let (_speaker, mut events) = client.await.unwrap().unwrap();
    old.cut();
    let mut new = server.open().await;
    assert_eq!(new.headers["authorization"], "Bearer t2", "a failure to get one is transient");
    new.say(&speaker_back(0)).await;
    until(&mut events, |event| matches!(event, Event::Reconnected(_)).then_some(())).await;
}

#[tokio::test]
async fn frames_of_no_size_are_refused_at_once() {
    let server = ScriptedServer::start().await;
    let (_peer, speaker, _events) = speaker(&server, quick()).await;
    assert!(speaker.send("").await.is_err());
    assert!(speaker.send(vec![0; 32 * 1024 + 1]).await.is_err());
    assert!(speaker.send(vec![0; 32 * 1024]).await.is_ok());
}
