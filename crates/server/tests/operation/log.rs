//! The log of a whole conversation: every line a JSON object, and nothing in it that names a
//! person or opens a door.

use std::io;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use ambo_server::{Settings, logging};
use ambo_testkit::redis::RedisServer;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tracing_subscriber::fmt::MakeWriter;

use crate::harness::{Peer, World, frame};
use crate::support::faulty::{CAUSE, Mishap, Mishaps};
use crate::support::issuer::{AUDIENCE, Issuer, Signer};
use crate::support::store_on;

/// All that this process logs, at the most talkative level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

static LOG: LazyLock<Log> = LazyLock::new(|| {
    let log = Log::default();
    let subscriber = logging::subscriber("trace", log.clone()).unwrap();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    log
});

impl Log {
    fn lines(&self) -> Vec<String> {
        String::from_utf8(self.0.lock().clone()).unwrap().lines().map(str::to_owned).collect()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// What must never be found.
#[derive(Default)]
struct Secrets(Vec<String>);

impl Secrets {
    fn add(&mut self, secret: &str) {
        assert!(secret.len() >= 4, "{secret} would be found everywhere");
        self.0.push(secret.to_owned());
    }

    fn add_all(&mut self, secrets: &[&str]) {
        secrets.iter().for_each(|secret| self.add(secret));
    }

    fn add_token(&mut self, token: &str) {
        self.add(token);
        token.split('.').for_each(|part| self.add(part));
    }

    /// What a message holds that is for its receiver only.
    fn add_from(&mut self, message: &Value) {
        for field in ["connectionId", "refreshToken"] {
            if let Some(secret) = message[field].as_str() {
                secret.split('.').for_each(|part| self.add(part));
            }
        }
    }

    fn search(&self, lines: &[String]) {
        for line in lines {
            for secret in &self.0 {
                assert!(!line.contains(secret.as_str()), "{secret} is in the log: {line}");
            }
        }
    }
}

const MAIL: &str = "ruth.gleaner@example.org";
const PROXIED: &str = "203.0.113.77";
const PROXIED_V6: &str = "2001:db8:77:66::55";
/// A client without a proxy, on a system where the loopback has many addresses.
const DIRECT: &str = "127.77.1.9";

/// Joins, says all that a listener may say and some that it may not, and leaves.
async fn listener_talks(mut peer: Peer, secrets: &mut Secrets) {
    secrets.add_from(&peer.json_of("sessionJoined").await);
    for message in [
        json!({ "action": "heartbeat" }),
        json!({ "action": "changeLanguage", "targetLanguage": "de" }),
        json!({ "action": "changeLanguage", "targetLanguage": "xx", "note": MAIL }),
        json!({ "action": "controlSession", "command": "pause", "message": MAIL }),
        json!({ "action": MAIL }),
    ] {
        peer.ask(message).await;
    }
    peer.send_text("{ not JSON ruth.gleaner@example.org").await;
    peer.error().await;
    peer.send_binary(frame(1, b"not mine to speak")).await;
    peer.error().await;
    peer.leave(1000).await;
}

async fn conversation(secrets: &mut Secrets) {
    let store = Mishaps::new();
    let proxy = "127.0.0.1/32".parse().unwrap();
    let change = |settings: &mut Settings| {
        settings.trusted_proxies = vec![proxy];
        settings.heartbeat_timeout = Duration::ZERO;
    };
    let world = World::start_around(change, store.around()).await;
    let token = world.token(MAIL);
    let wrong = "bm90IGEgaGVhZGVy.bm9yIGNsYWltcw.bm9yIGEgc2lnbmF0dXJl";
    secrets.add_token(&token);
    secrets.add_token(wrong);
    let create = |token: &str| format!("action=createSession&sourceLanguage=en&token={token}");
    let mut speaker = world.connect_for(PROXIED, &create(&token)).await;
    let created = speaker.json().await;
    secrets.add_from(&created);
    let session = created["sessionId"].as_str().unwrap();
    let join = format!("action=joinSession&sessionId={session}&targetLanguage=es");

    assert_eq!(world.connect_for(PROXIED, &create(wrong)).await.error().await, "UNAUTHORIZED");
    let bearer = format!("Bearer {wrong}");
    let headers = [("authorization", bearer.as_str()), ("x-forwarded-for", PROXIED)];
    let target = "/ws?action=createSession&sourceLanguage=en";
    assert_eq!(world.knock(target, &headers).await.err().unwrap().status, 401);
    for query in [
        format!("action=joinSession&sessionId={MAIL}&targetLanguage=es"),
        format!("action=joinSession&sessionId=calm-lake-100&targetLanguage=es&token={token}"),
        format!("action={MAIL}&token={token}"),
        format!("{join}&refreshToken={token}&action=joinSession&targetLanguage=zz"),
    ] {
        let _ = world.connect_for(PROXIED_V6, &query).await.json().await;
    }
    listener_talks(world.connect_for(PROXIED, &join).await, secrets).await;
    listener_talks(world.connect_for(PROXIED_V6, &join).await, secrets).await;
    if cfg!(target_os = "linux") {
        let peer = world.connect_from(DIRECT, &format!("/ws?{join}")).await;
        listener_talks(peer, secrets).await;
    }
    speaker.send_binary(frame(1, b"ruth.gleaner")).await;
    speaker.send(json!({ "action": "controlSession", "command": "mute", "message": MAIL })).await;
    speaker.json_of("broadcastState").await;

    refreshes(&world, speaker, session, &token, secrets).await;
    faults(&world, &store, &create(&token), &join).await;
    world.stop().await;
}

/// Everybody moves to a new connection, one way or the other, and the session ends.
async fn refreshes(
    world: &World,
    mut speaker: Peer,
    session: &str,
    token: &str,
    secrets: &mut Secrets,
) {
    let join = format!("action=joinSession&sessionId={session}&targetLanguage=es");
    let mut listener = world.connect_for(PROXIED, &join).await;
    secrets.add_from(&listener.json().await);
    let aged = world.settings.connection_refresh + Duration::from_secs(1);
    world.clock.advance(aged.saturating_sub(Duration::from_secs(30)));
    for peer in [&mut speaker, &mut listener] {
        peer.send(json!({ "action": "heartbeat" })).await;
        peer.json_of("heartbeatAck").await;
    }
    world.pass(Duration::from_secs(40)).await;
    speaker.json_of("connectionRefreshRequired").await;
    let asked = listener.json_of("connectionRefreshRequired").await;
    secrets.add_from(&asked);
    let secret = asked["refreshToken"].as_str().unwrap();
    let base = format!("action=refreshConnection&sessionId={session}");
    let again = format!("{base}&role=listener&targetLanguage=es&refreshToken={secret}");
    let mut moved = world.connect_for(PROXIED, &again).await;
    secrets.add_from(&moved.json_of("connectionRefreshComplete").await);
    let mut used = world.connect_for(PROXIED, &again).await;
    secrets.add_from(&used.json().await);
    let query = format!("{base}&role=speaker&token={token}");
    let mut second = world.connect_for(PROXIED, &query).await;
    secrets.add_from(&second.json_of("connectionRefreshComplete").await);
    let stranger = world.token("boaz.landlord@example.org");
    secrets.add_token(&stranger);
    let mut refused =
        world.connect_for(PROXIED, &format!("{base}&role=speaker&token={stranger}")).await;
    assert_eq!(refused.error().await, "FORBIDDEN");
    speaker.vanish();
    used.vanish();
    second.send(json!({ "action": "endSession", "reason": MAIL })).await;
    moved.json_of("sessionEnded").await;
    [listener, moved, second, refused].into_iter().for_each(Peer::vanish);
    world.until("nothing is left", |world| world.server.held().connections == 0).await;
}

async fn faults(world: &World, store: &Mishaps, create: &str, join: &str) {
    store.fail(Mishap::Broken, &["open"]);
    assert_eq!(world.connect_for(PROXIED, create).await.error().await, "INTERNAL_ERROR");
    store.heal();
    let mut speaker = world.connect_for(PROXIED, create).await;
    let session = speaker.json().await["sessionId"].as_str().unwrap().to_owned();
    let old = join.split('&').nth(1).unwrap();
    let join = join.replace(old, &format!("sessionId={session}"));
    store.fail(Mishap::Broken, &["admit"]);
    assert_eq!(world.connect_for(PROXIED, &join).await.error().await, "INTERNAL_ERROR");
    store.heal();
    speaker.vanish();
    world.until("nothing is left", |world| world.server.held().connections == 0).await;
}

async fn elsewhere(secrets: &mut Secrets) {
    let key = Signer::es256("kid-of-the-other-issuer");
    let issuer = Issuer::start(&[&key]).await;
    let base = issuer.base.clone();
    let world = World::start(move |settings| {
        settings.oidc_issuer = Some(base);
        settings.oidc_audience = vec![AUDIENCE.into()];
    })
    .await;
    let mut claims = issuer.claims("sub-4711-naomi");
    for (name, value) in [
        ("email", "naomi.bitter@example.org"),
        ("name", "Naomi of Bethlehem"),
        ("phone_number", "+49 30 123456"),
        ("nonce", "n-0S6_WzA2Mj"),
    ] {
        claims[name] = json!(value);
        secrets.add(value);
    }
    secrets.add_all(&["sub-4711-naomi", AUDIENCE, "kid-of-the-other-issuer"]);
    let good = key.token(&claims);
    claims["exp"] = json!(1_700_000_000);
    let expired = key.token(&claims);
    for (token, kind) in [(&good, "sessionCreated"), (&expired, "error")] {
        secrets.add_token(token);
        let query = format!("action=createSession&sourceLanguage=en&token={token}");
        let mut peer = world.connect(&query).await;
        let message = peer.json().await;
        assert_eq!(message["type"], kind);
        secrets.add_from(&message);
    }
    issuer.fail();
    world.clock.advance(Duration::from_secs(60));
    let unknown = Signer::es256("kid-that-nobody-knows").token(&claims);
    secrets.add("kid-that-nobody-knows");
    secrets.add_token(&unknown);
    let query = format!("action=createSession&sourceLanguage=en&token={unknown}");
    assert_eq!(world.connect(&query).await.error().await, "SERVICE_UNAVAILABLE");
}

/// Holds the form that every line has.
fn check_form(line: &str) {
    let entry: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let text = |field: &str| {
        let text = entry[field].as_str().unwrap_or_default();
        assert!(!text.is_empty(), "no {field}: {line}");
        text
    };
    let shape: String =
        text("timestamp").chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "0000-00-00T00:00:00.000000Z", "{line}");
    assert!(["ERROR", "WARN", "INFO", "DEBUG", "TRACE"].contains(&text("level")), "{line}");
    assert!(text("component").chars().all(|c| c.is_ascii_lowercase()), "{line}");
    assert!(text("operation").chars().all(|c| c.is_ascii_alphabetic()), "{line}");
    text("message");
    if ["INTERNAL_ERROR", "SERVICE_UNAVAILABLE"]
        .contains(&entry["errorCode"].as_str().unwrap_or(""))
    {
        // Of a fault there is the line with its causes, and the one of the request it met.
        assert!(entry["error"].is_string() || entry["message"] == "refused", "no cause: {line}");
    }
}

#[tokio::test]
async fn a_whole_conversation_leaves_no_secret_in_the_log() {
    let log = &*LOG;
    let mut secrets = Secrets::default();
    secrets.add_all(&[MAIL, "ruth.gleaner", "boaz.landlord", PROXIED, "2001:db8:77", DIRECT]);
    conversation(&mut secrets).await;
    elsewhere(&mut secrets).await;

    let lines = log.lines();
    assert!(lines.len() > 30, "{lines:#?}");
    assert!(secrets.0.len() > 40, "{}", secrets.0.len());
    secrets.search(&lines);
    lines.iter().for_each(|line| check_form(line));
    let of = |operation: &str| {
        let operation = format!("\"operation\":\"{operation}\"");
        lines.iter().filter(|line| line.contains(&operation)).cloned().collect::<Vec<_>>()
    };
    for operation in ["start", "createSession", "joinSession", "refreshConnection", "end", "stop"] {
        assert!(!of(operation).is_empty(), "nobody logged {operation}: {lines:#?}");
    }
    for field in ["correlationId", "durationMs", "userContext"] {
        let accepted = of("createSession");
        assert!(accepted.iter().all(|line| line.contains(field)), "{accepted:#?}");
    }
    let with_cause = |operation: &str| {
        let lines = of(operation);
        lines.iter().filter(|line| line.contains(CAUSE)).count()
    };
    assert!(with_cause("open") >= 1, "{lines:#?}");
}

#[tokio::test]
async fn what_goes_wrong_between_nodes_is_logged_in_the_same_form() {
    let log = &*LOG;
    let engine = RedisServer::start().await;
    let world = World::start(|settings| settings.store = store_on(&engine)).await;
    let speaking = world.speak().await;
    let _listener = world.listen(&speaking.session, "es").await;
    let channel = format!("ambo:{{{}}}:audio:en", speaking.session);
    for (command, message) in [
        (&["PUBLISH", &channel, "of nobody"][..], "a message on the bus is none of its own"),
        (&["CLIENT", "KILL", "TYPE", "pubsub"], "the bus's connection is made anew"),
    ] {
        engine.run::<i64>(command).await;
        let told = || log.lines().into_iter().filter(move |line| line.contains(message));
        world.until(message, |_| told().next().is_some()).await;
        told().for_each(|line| check_form(&line));
    }
    world.stop().await;
}

#[tokio::test]
async fn a_fault_is_logged_once_with_its_causes() {
    let log = &*LOG;
    let store = Mishaps::new();
    let world = World::start_around(|_| {}, store.around()).await;
    let mut speaking = world.speak().await;
    let count = || {
        let is_it =
            |line: &&String| line.contains("\"operation\":\"steer\"") && line.contains(CAUSE);
        log.lines().iter().filter(is_it).count()
    };
    store.fail(Mishap::Broken, &["steer"]);
    let before = count();
    let pause = json!({ "action": "controlSession", "command": "pause" });
    assert_eq!(speaking.peer.ask(pause).await["code"], "INTERNAL_ERROR");
    assert_eq!(count() - before, 1);
    let lines = log.lines();
    let line = lines.iter().rfind(|line| line.contains("\"operation\":\"steer\"")).unwrap();
    let entry: Value = serde_json::from_str(line).unwrap();
    assert_eq!(entry["level"], "ERROR");
    assert_eq!(entry["errorCode"], "INTERNAL_ERROR");
    assert_eq!(entry["error"], format!("store: broken: {CAUSE}"));
}
