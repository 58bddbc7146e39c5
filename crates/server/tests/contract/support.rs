//! Words that the tests of the contract share.

use std::time::Duration;

use ambo_core::Millis;
use ambo_identity::LocalIssuer;
use ambo_server::Settings;
use serde_json::{Value, json};

use crate::harness::{AMBO, Peer, Refused, Speaking, World};

pub const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub const fn mins(mins: u64) -> Duration {
    Duration::from_secs(mins * 60)
}

/// Nobody is closed for being silent: for tests that let hours pass and do not beat.
pub fn patient(settings: &mut Settings) {
    settings.heartbeat_interval = Duration::ZERO;
    settings.heartbeat_timeout = Duration::ZERO;
}

/// No limit but on sizes, for tests that do much in no time.
pub fn unlimited(settings: &mut Settings) {
    settings.rate_limit_sessions_per_hour = 0;
    settings.rate_limit_refused_joins_per_min = 0;
    settings.rate_limit_joins_per_min = 0;
    settings.rate_limit_connects_per_min = 0;
    settings.rate_limit_heartbeats_per_min = 0;
    settings.rate_limit_control_per_sec = 0;
    settings.rate_limit_audio_per_sec = 0;
}

/// A world whose clients may be silent and busy.
pub async fn open_world() -> World {
    World::start(|settings| {
        patient(settings);
        unlimited(settings);
    })
    .await
}

/// A text field.
pub fn text<'a>(message: &'a Value, name: &str) -> &'a str {
    message[name].as_str().unwrap_or_else(|| panic!("no {name} in {message}"))
}

/// Holds that a message has these fields with these values.
#[track_caller]
pub fn has(message: &Value, expected: &Value) {
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(message[name], *value, "{name} of {message}");
    }
}

/// The query with which a user makes a session in English.
pub fn create(world: &World, user: &str) -> String {
    format!("action=createSession&sourceLanguage=en&token={}", world.token(user))
}

pub fn join(session: &str, language: &str) -> String {
    format!("action=joinSession&sessionId={session}&targetLanguage={language}")
}

/// The query with which a user takes up a session as its speaker.
pub fn take_up(world: &World, session: &str, user: &str) -> String {
    let token = world.token(user);
    format!("action=refreshConnection&role=speaker&sessionId={session}&token={token}")
}

/// The query with which a listener goes on, without a token.
pub fn go_on(session: &str, language: &str) -> String {
    format!("action=refreshConnection&role=listener&sessionId={session}&targetLanguage={language}")
}

/// A token that was good the day before.
pub fn old_token(world: &World, user: &str) -> String {
    let issuer = LocalIssuer::open(world.folder.path()).unwrap();
    let two_days_ago = world.now() - Millis::from_mins(2 * 24 * 60);
    issuer.issue(user, Millis::from_mins(24 * 60), two_days_ago).unwrap().0.into()
}

/// A new connection and its first message, of this type.
pub async fn enter(world: &World, query: &str, kind: &str) -> (Peer, Value) {
    let mut peer = world.connect(query).await;
    let first = peer.json().await;
    assert_eq!(first["type"], kind, "{first}");
    (peer, first)
}

/// The same without the subprotocol.
pub async fn enter_plain(world: &World, query: &str, kind: &str) -> (Peer, Value) {
    let mut peer = world.connect_plain(query).await;
    let first = peer.json().await;
    assert_eq!(first["type"], kind, "{first}");
    (peer, first)
}

/// A connection that a trusted proxy says comes from this address; `None` when it is refused.
pub async fn enter_from(world: &World, address: &str, query: &str) -> Result<Peer, Refused> {
    world.knock(&format!("/ws?{query}"), &[("x-forwarded-for", address)]).await
}

/// A speaker that takes up its session, on `ambo.v1`.
pub async fn speak_again(world: &World, session: &str) -> (Peer, Value) {
    enter(world, &take_up(world, session, "ann"), "connectionRefreshComplete").await
}

/// A refusal told on the socket: the error, and the close after it.
pub async fn refused_in_band(world: &World, query: &str) -> (Value, u16, String) {
    let mut peer = world.knock(&format!("/ws?{query}"), &[AMBO]).await.unwrap();
    let error = peer.json().await;
    assert_eq!(error["type"], "error", "{error}");
    let (code, reason) = peer.closed().await;
    (error, code, reason)
}

/// Holds that the session goes on for this connection.
pub async fn is_alive(peer: &mut Peer) {
    let ack = peer.ask(json!({ "action": "heartbeat" })).await;
    assert_eq!(ack["type"], "heartbeatAck", "{ack}");
}

/// Holds that this connection is nobody's any more.
pub async fn is_superseded(peer: &mut Peer) {
    let answer = peer.ask(json!({ "action": "heartbeat" })).await;
    assert_eq!(answer["code"], "CONNECTION_NOT_FOUND", "{answer}");
}

/// Who listens, as the speaker is told.
pub async fn status(speaker: &mut Peer) -> Value {
    speaker.send(json!({ "action": "getSessionStatus" })).await;
    loop {
        let message = speaker.json().await;
        if message["updateReason"] == "requested" {
            return message;
        }
    }
}

/// Waits until the speaker is told of so many listeners: departures take a moment.
pub async fn until_listeners(speaker: &mut Peer, count: u64) {
    for _ in 0..2_000 {
        if status(speaker).await["listenerCount"] == count {
            return;
        }
    }
    panic!("never {count} listeners: {}", status(speaker).await);
}

/// The session's end, as it should be told, and the close after it.
pub async fn ended(peer: &mut Peer, reason: &str) -> Value {
    let message = peer.json_of("sessionEnded").await;
    assert_eq!(message["reason"], reason, "{message}");
    assert_eq!(peer.closed().await.0, 1000);
    message
}

/// A number of the metrics page; 0 while it was never counted.
pub async fn metric(world: &World, name: &str) -> u64 {
    let (status, _, page) = world.get("/metrics").await;
    assert_eq!(status, 200);
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0, |number| number.parse::<f64>().unwrap() as u64)
}

/// Waits until the server counts so many sessions and listeners in its store.
pub async fn until_totals(world: &World, sessions: u64, listeners: u64) {
    let mut found = (0, 0);
    for _ in 0..200 {
        world.pass(secs(1)).await;
        settle(world).await;
        found = (metric(world, "active_sessions").await, metric(world, "total_listeners").await);
        if found == (sessions, listeners) {
            return;
        }
    }
    panic!("{found:?} and not {sessions} sessions, {listeners} listeners");
}

/// Waits until nothing is left of any connection or session. Time goes on meanwhile: a close
/// frame that nobody answers is waited for.
pub async fn until_empty(world: &World) {
    until_totals(world, 0, 0).await;
    for _ in 0..500 {
        let held = world.server.held();
        let counted = metric(world, "connections").await;
        if held.connections == 0 && held.sessions == 0 && counted == 0 {
            return;
        }
        world.pass(secs(1)).await;
        settle(world).await;
    }
    panic!("left: {:?}", world.server.held());
}

/// Lets the server take in what has been written to it already.
pub async fn settle(world: &World) {
    assert_eq!(world.get("/healthz").await.0, 200);
}

/// What a listener is told at the age of refresh: its token.
pub async fn told_to_refresh(listener: &mut Peer) -> String {
    let required = listener.json_of("connectionRefreshRequired").await;
    text(&required, "refreshToken").to_owned()
}

/// Everything that still comes, and the close frame at its end.
pub async fn rest_of(mut peer: Peer) -> (Vec<Value>, Option<u16>) {
    use tokio_tungstenite::tungstenite::Message;
    let (mut messages, mut code) = (Vec::new(), None);
    while let Some(message) = peer.next().await {
        match message {
            Message::Text(text) => messages.push(serde_json::from_str(&text).unwrap()),
            Message::Close(frame) => code = frame.map(|frame| frame.code.into()),
            _ => {}
        }
    }
    (messages, code)
}

/// A speaker without the subprotocol.
pub async fn speak_plain(world: &World) -> Speaking {
    let (peer, created) = enter_plain(world, &create(world, "ann"), "sessionCreated").await;
    Speaking { peer, session: text(&created, "sessionId").to_owned() }
}

/// Another server in the place of this one, on what it has left. The connections hear it stop.
pub async fn restart(world: World, connections: Vec<Peer>) -> World {
    let (folder, clock) = (world.folder.clone(), world.clock.clone());
    let gone = futures_util::future::join_all(connections.into_iter().map(rest_of));
    let (gone, ()) = tokio::join!(gone, world.stop());
    assert!(gone.iter().all(|(_, code)| *code == Some(1012)), "{gone:?}");
    World::start_in(folder, clock, patient).await
}

/// Numbers that look like chance, and come again with their seed.
pub struct Dice(pub u64);

impl Dice {
    /// A seed from `AMBO_TEST_SEED`, or of this run; printed, so that it can be had again.
    pub fn thrown() -> Self {
        let given = std::env::var("AMBO_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| u64::from(std::process::id()));
        eprintln!("AMBO_TEST_SEED={seed}");
        Self(seed)
    }

    /// A number below `most`.
    pub fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) as usize % most
    }
}
