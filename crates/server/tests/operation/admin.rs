//! The operator's door: who is let in, what is answered, and what it does.

use std::future::pending;
use std::net::SocketAddr;
use std::time::Duration;

use ambo_core::Millis;
use ambo_server::settings::Secret;
use ambo_server::{Clock, Server, Settings};
use serde_json::{Value, json};

use crate::harness::{START, World};
use crate::metrics::Page;
use crate::stop::Stopping;
use crate::support::faulty::{Mishap, Mishaps};
use crate::support::{header, send_raw, settings, status};

const TOKEN: &str = "correct-horse-battery-staple";

fn with_door(settings: &mut Settings) {
    settings.admin_listen = Some("127.0.0.1:0".parse().unwrap());
    settings.drain_period = Duration::from_secs(60);
}

/// A request at the operator's door.
#[derive(Clone, Copy)]
struct Operator<'a> {
    door: SocketAddr,
    headers: &'a str,
}

impl Operator<'_> {
    fn of(world: &World) -> Self {
        Self { door: world.server.admin_address().unwrap(), headers: "" }
    }

    async fn ask(&self, request: &str) -> (u16, String) {
        let headers = self.headers;
        let request = format!(
            "{request} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n{headers}Connection: close\r\n\r\n"
        );
        let answer = send_raw(self.door, request.as_bytes()).await;
        (status(&answer), answer)
    }

    /// The status and the JSON of an answer.
    async fn json(&self, request: &str) -> (u16, Value) {
        let (code, answer) = self.ask(request).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert_eq!(header(head, "content-type").unwrap(), "application/json", "{answer}");
        (code, serde_json::from_str(body).unwrap())
    }
}

const GUARDED: [&str; 4] =
    ["GET /metrics", "GET /drain", "POST /drain", "POST /sessions/no-such-999/close"];

#[tokio::test]
async fn with_a_token_only_probes_are_for_everybody() {
    let world = World::start(|settings| {
        with_door(settings);
        settings.admin_token = Secret::parse(TOKEN);
    })
    .await;
    let nobody = Operator::of(&world);
    assert_eq!(nobody.ask("GET /healthz").await.0, 200);
    assert_eq!(nobody.ask("GET /readyz").await.0, 200);
    let wrong = format!("Authorization: Bearer {TOKEN}x\r\n");
    let basic = format!("Authorization: Basic {TOKEN}\r\n");
    for (headers, told) in [
        ("", "Authentication required"),
        (&basic, "Authentication required"),
        (&wrong, "Invalid token"),
    ] {
        for request in GUARDED {
            let operator = Operator { headers, ..nobody };
            let (code, answer) = operator.ask(request).await;
            assert_eq!((code, header(&answer, "www-authenticate")), (401, Some("Bearer".into())));
            assert!(answer.contains(told) && answer.contains("UNAUTHORIZED"), "{answer}");
        }
    }
    assert_eq!(world.get("/readyz").await.0, 200, "nobody has begun a drain");
    let right = format!("Authorization: bearer {TOKEN}\r\n");
    let operator = Operator { headers: &right, ..nobody };
    let (code, page) = operator.ask("GET /metrics").await;
    assert_eq!(code, 200);
    Page::read(page.split_once("\r\n\r\n").unwrap().1);
    assert_eq!(operator.json("GET /drain").await.0, 200);
    world.stop().await;
}

#[tokio::test]
async fn no_page_in_a_browser_is_let_in() {
    let world = World::start(with_door).await;
    let page = Operator { headers: "Origin: http://127.0.0.1:1\r\n", ..Operator::of(&world) };
    for request in GUARDED {
        let (code, refused) = page.json(request).await;
        assert_eq!((code, &refused["code"]), (403, &json!("FORBIDDEN")), "{request}");
    }
    world.stop().await;
}

#[tokio::test]
async fn metrics_are_at_the_operators_door_alone_and_the_audience_finds_nothing_of_it() {
    let world = World::start(with_door).await;
    assert_eq!(Operator::of(&world).ask("GET /metrics").await.0, 200);
    for path in ["/metrics", "/drain", "/sessions/no-such-999/close"] {
        assert_eq!(world.get(path).await.0, 404, "{path}");
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(world.get(path).await.0, 200, "a balancer asks {path} where it sends clients");
    }
    for request in ["GET /", "GET /ws", "GET /.well-known/jwks.json"] {
        assert_eq!(Operator::of(&world).ask(request).await.0, 404, "{request}");
    }
    for request in ["DELETE /drain", "GET /sessions/no-such-999/close"] {
        assert_eq!(Operator::of(&world).ask(request).await.0, 405, "{request}");
    }
    world.stop().await;
}

#[tokio::test]
async fn a_session_that_the_operator_ends_tells_everybody() {
    let world = World::start(with_door).await;
    let operator = Operator::of(&world);
    let mut speaking = world.speak().await;
    let mut other = world.speak().await;
    let mut listener = world.listen(&speaking.session, "es").await;
    let close = format!("POST /sessions/{}/close", speaking.session);

    let (code, answer) = operator.ask(&close).await;
    assert_eq!(code, 204, "{answer}");
    let ended = listener.json_of("sessionEnded").await;
    assert_eq!(ended["reason"], "closedByOperator", "{ended}");
    assert_eq!(listener.closed().await.0, 1000);
    let ended = speaking.peer.json_of("sessionEnded").await;
    assert_eq!(ended["reason"], "closedByOperator", "{ended}");
    assert_eq!(speaking.peer.closed().await.0, 1000);

    let (code, refused) = operator.json(&close).await;
    assert_eq!((code, &refused["code"]), (404, &json!("SESSION_NOT_FOUND")));
    assert_eq!(refused["details"]["sessionId"], speaking.session.as_str());
    let (code, refused) = operator.json("POST /sessions/No-Session/close").await;
    assert_eq!((code, &refused["code"]), (400, &json!("INVALID_SESSION_ID")));
    assert_eq!(refused["details"]["sessionId"], "No-Session");
    let ack = other.peer.ask(json!({ "action": "heartbeat" })).await;
    assert_eq!(ack["type"], "heartbeatAck", "another session goes on");
    world.stop().await;
}

#[tokio::test]
async fn a_session_that_cannot_be_ended_now_is_not() {
    let mishaps = Mishaps::new();
    let world = World::start_around(with_door, mishaps.around()).await;
    let mut speaking = world.speak().await;
    mishaps.fail(Mishap::Unavailable, &["end"]);
    let close = format!("POST /sessions/{}/close", speaking.session);
    let (code, refused) = Operator::of(&world).json(&close).await;
    assert_eq!((code, &refused["code"]), (503, &json!("SERVICE_UNAVAILABLE")));
    speaking.peer.send(json!({ "action": "heartbeat" })).await;
    speaking.peer.json_of("heartbeatAck").await;
    world.stop().await;
}

#[tokio::test]
async fn a_drain_is_begun_and_watched_at_the_operators_door() {
    let world = World::start(with_door).await;
    let operator = Operator::of(&world);
    let mut speaking = world.speak().await;
    let listener = world.listen(&speaking.session, "es").await;
    let progress = |phase: &str, connections: usize, deadline: Option<Millis>| {
        let deadline = deadline.map(|deadline| deadline.0);
        json!({ "phase": phase, "connections": connections, "deadline": deadline })
    };
    assert_eq!(operator.json("GET /drain").await, (200, progress("serving", 2, None)));
    assert_eq!(world.metric_at(operator.door, "draining").await, "0");

    let deadline = START + Millis(60_000);
    let mut begun = progress("leaving", 2, Some(deadline));
    begun["alreadyDraining"] = false.into();
    assert_eq!(operator.json("POST /drain").await, (202, begun.clone()));
    begun["alreadyDraining"] = true.into();
    assert_eq!(operator.json("POST /drain").await, (202, begun));
    assert_eq!(operator.ask("GET /readyz").await.0, 503);
    assert_eq!(world.get("/readyz").await.0, 503, "not ready at once, whoever stops it");
    assert_eq!(world.metric_at(operator.door, "draining").await, "1");
    world.server.asked_to_drain().await;

    let stopping = Stopping::begin(world, pending());
    stopping.clock.advance(Duration::from_secs(30));
    speaking.peer.json_of("connectionRefreshRequired").await;
    assert_eq!(operator.json("GET /drain").await, (200, progress("draining", 2, Some(deadline))));
    listener.leave(1001).await;
    while operator.json("GET /drain").await.1["connections"] != 1 {}
    drop(speaking);
    stopping.done().await;
}

impl World {
    async fn metric_at(&self, door: SocketAddr, name: &str) -> String {
        let (_, page) = Operator { door, headers: "" }.ask("GET /metrics").await;
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_default().to_owned()
    }
}

#[tokio::test]
async fn an_address_that_is_taken_is_told_with_its_setting() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::TempDir::new().unwrap();
    let mut settings = settings(&folder);
    settings.admin_listen = taken.local_addr().ok();
    let error = Server::start(&settings, Clock::manual(START)).await.err().unwrap();
    assert!(format!("{error:#}").starts_with("admin_listen: 127.0.0.1:"), "{error:#}");
}
