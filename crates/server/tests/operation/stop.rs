//! Stopping: nobody loses a word, and sessions outlive the process.

use std::collections::BTreeSet;
use std::future::{pending, ready};
use std::sync::Arc;
use std::time::Duration;

use ambo_core::Millis;
use ambo_server::Clock;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{Peer, START, World, frame};
use crate::support::{ask, header, read_to_end, status, upgrade};

const MINUTE: Duration = Duration::from_secs(60);

/// A server that is stopping, with its clock.
pub struct Stopping {
    pub clock: Clock,
    done: JoinHandle<anyhow::Result<()>>,
}

impl Stopping {
    pub fn begin(world: World, at_once: impl Future<Output = ()> + Send + 'static) -> Self {
        let World { server, clock, .. } = world;
        Self { clock, done: tokio::spawn(server.stop(at_once)) }
    }

    pub fn is_done(&self) -> bool {
        self.done.is_finished()
    }

    pub async fn done(self) {
        let done = tokio::time::timeout(Duration::from_secs(20), self.done);
        done.await.expect("it does not stop").unwrap().unwrap();
    }
}

/// Takes the invitation to move, and the moment at which it came.
async fn asked_to_move(peer: &mut Peer, clock: &Clock) -> (Value, Millis) {
    let asked = peer.json_of("connectionRefreshRequired").await;
    (asked, clock.now())
}

#[tokio::test]
async fn everybody_is_asked_in_the_first_half_and_closed_at_the_end() {
    let world = World::start(|settings| settings.drain_period = Duration::from_secs(30)).await;
    let mut speaking = world.speak().await;
    let mut peers = Vec::new();
    for _ in 0..5 {
        peers.push(world.listen(&speaking.session, "es").await);
    }
    let session = speaking.session.clone();
    let stopping = Stopping::begin(world, pending());
    let clock = stopping.clock.clone();
    let moving = tokio::spawn(async move {
        for _ in 0..600 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            clock.advance(Duration::from_millis(250));
        }
    });

    let told = tokio::spawn({
        let clock = stopping.clock.clone();
        async move {
            let told = asked_to_move(&mut speaking.peer, &clock).await;
            (speaking.peer, told)
        }
    });
    let mut listeners = Vec::new();
    for mut peer in peers {
        let clock = stopping.clock.clone();
        listeners.push(tokio::spawn(async move {
            let told = asked_to_move(&mut peer, &clock).await;
            (peer, told)
        }));
    }
    let (mut speaker, (message, at)) = told.await.unwrap();
    assert_eq!((&message["role"], &message["reason"]), (&"speaker".into(), &"drain".into()));
    assert!(message.get("refreshToken").is_none(), "{message}");
    let mut moments = BTreeSet::from([at]);
    let mut peers = Vec::new();
    for listener in listeners {
        let (peer, (message, at)) = listener.await.unwrap();
        assert_eq!((&message["role"], &message["reason"]), (&"listener".into(), &"drain".into()));
        assert_eq!(message["sessionId"], session.as_str());
        assert_eq!(message["targetLanguage"], "es");
        assert!(message["refreshToken"].is_string(), "{message}");
        assert_eq!(message["deadline"], START.0 + 30_000, "{message}");
        moments.insert(at);
        peers.push(peer);
    }
    let last = moments.last().unwrap().since(START);
    assert!(moments.len() >= 5, "all at once: {moments:?}");
    assert!(last >= Millis(10_000) && last <= Millis(16_500), "the last was asked after {last}");

    let restart = (1012, "service restart".to_owned());
    assert_eq!(closed_after(&mut speaker, &["sessionStatus"]).await, restart);
    assert!(stopping.clock.now() >= START + Millis(30_000), "closed too early");
    for mut peer in peers {
        // Whoever hears it before its own close learns that the speaker is awaited.
        assert_eq!(closed_after(&mut peer, &["sessionPaused"]).await, restart);
    }
    stopping.done().await;
    moving.abort();
}

/// The close frame, after nothing but messages of these types.
async fn closed_after(peer: &mut Peer, kinds: &[&str]) -> (u16, String) {
    loop {
        match peer.next().await {
            Some(Message::Text(text)) => {
                assert!(kinds.iter().any(|kind| text.contains(kind)), "{text}");
            }
            Some(Message::Close(Some(frame))) => {
                return (frame.code.into(), frame.reason.to_string());
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn while_it_drains_nobody_new_comes_in_and_probes_are_told() {
    let world = World::start(|settings| settings.drain_period = 10 * MINUTE).await;
    let mut speaking = world.speak().await;
    let address = world.address();
    let readyz = "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut kept = Vec::new();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let (head, body) = ask(&mut stream, readyz).await;
        assert_eq!((status(&head), body.as_str()), (200, "ready\n"));
        assert_eq!(header(&head, "connection"), None);
        kept.push(stream);
    }

    let (now, at_once) = tokio::sync::oneshot::channel();
    let at_once = async move { at_once.await.unwrap() };
    let stopping = Stopping::begin(world, at_once);
    speaking.peer.json_of("connectionRefreshRequired").await;
    let join = format!("/ws?action=joinSession&sessionId={}&targetLanguage=es", speaking.session);
    let healthz = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    let expected = [
        (readyz, 503, None, "draining"),
        (&upgrade(&join, ""), 503, Some("1".to_owned()), "SERVICE_UNAVAILABLE"),
        (healthz, 200, None, "ok"),
    ];
    for (mut stream, (request, code, retry_after, told)) in kept.into_iter().zip(expected) {
        let (head, body) = ask(&mut stream, request).await;
        assert_eq!((status(&head), header(&head, "retry-after")), (code, retry_after), "{head}");
        assert!(body.contains(told), "{body}");
        // The next connection of whoever keeps this one is to go elsewhere.
        assert_eq!(header(&head, "connection"), Some("close".to_owned()));
        assert_eq!(read_to_end(&mut stream).await, "");
    }
    assert!(TcpStream::connect(address).await.is_err(), "it still accepts");

    now.send(()).unwrap();
    assert_eq!(closed_after(&mut speaking.peer, &["sessionStatus"]).await.0, 1012);
    stopping.done().await;
}

#[tokio::test]
async fn when_all_have_left_it_waits_no_longer() {
    let world = World::start(|settings| settings.drain_period = 10 * MINUTE).await;
    let mut speaking = world.speak().await;
    let listeners =
        [world.listen(&speaking.session, "es").await, world.listen(&speaking.session, "de").await];
    // The clock stands still, so it is not time that ends the wait.
    let stopping = Stopping::begin(world, pending());
    for listener in listeners {
        listener.leave(1001).await;
    }
    quiet_or(&mut speaking.peer, "connectionRefreshRequired").await;
    speaking.peer.leave(1000).await;
    stopping.done().await;
}

/// Lets pass what may or may not have been told yet.
async fn quiet_or(peer: &mut Peer, kind: &str) {
    if let Ok(message) = tokio::time::timeout(Duration::from_millis(100), peer.json()).await {
        assert!(message["type"] == kind || message["type"] == "sessionStatus", "{message}");
    }
}

#[tokio::test]
async fn without_a_drain_period_it_asks_and_closes_at_once() {
    let world = World::start(|settings| settings.drain_period = Duration::ZERO).await;
    let mut speaking = world.speak().await;
    let stopping = Stopping::begin(world, pending());
    let asked = speaking.peer.json_of("connectionRefreshRequired").await;
    assert_eq!(asked["deadline"], START.0);
    assert_eq!(closed_after(&mut speaking.peer, &["sessionStatus"]).await.0, 1012);
    stopping.done().await;
}

#[tokio::test]
async fn a_session_outlives_the_process_and_its_speaker_goes_on() {
    let world = World::start(|_| {}).await;
    let speaking = world.speak().await;
    let lost = world.speak().await;
    let token = world.token("ann");
    let (folder, clock) = (Arc::clone(&world.folder), world.clock.clone());
    world.stop().await;

    let world = World::start_in(folder, clock, |_| {}).await;
    let mut speaker = world.connect(&speaking.refresh(&token)).await;
    let complete = speaker.json().await;
    assert_eq!(complete["type"], "connectionRefreshComplete", "{complete}");
    assert_eq!(complete["sessionId"], speaking.session.as_str());
    let mut listener = world.listen(&speaking.session, "es").await;
    speaker.send_binary(frame(1, b"and on")).await;
    assert_eq!(listener.binary().await, frame(1, b"and on"));

    // A speaker that does not come back is awaited from the restart on, and no longer.
    world.pass(Duration::from_secs(31)).await;
    world.metric_becomes("active_sessions", 1.0).await;
    let query = format!("action=joinSession&sessionId={}&targetLanguage=es", lost.session);
    let refused = world.refused(&query).await;
    assert_eq!((refused.status, refused.code()), (404, "SESSION_NOT_FOUND"));
    listener.leave(1000).await;
    speaker.leave(1000).await;
    world.until("nothing is left", |world| world.server.held().connections == 0).await;
    world.server.stop(ready(())).await.unwrap();
}
