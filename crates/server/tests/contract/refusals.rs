//! §1 The order of the checks and the two ways of refusing; §4 Errors.
//!
//! | sentence | test |
//! |---|---|
//! | HTTP status, JSON body, `Retry-After`; in band on `ambo.v1` with its close | `each_refusal_is_told_in_both_ways` |
//! | every code at connect, with its details | `each_refusal_is_told_in_both_ways`, and below |
//! | RATE_LIMIT_EXCEEDED at connect, in both ways | `limits::…` |
//! | SESSION_FULL | `a_full_session_is_told_in_both_ways` |
//! | SERVICE_UNAVAILABLE of the identity provider; nothing at all for listeners | `without_its_issuer_…` |
//! | the order of the checks, by requests that break two rules | `the_first_rule_broken_is_the_one_told` |
//! | nothing is stored by a refused request | `nothing_is_stored_by_a_refused_request`, `a_refused_request_pays_…` |
//! | INVALID_MESSAGE, CONNECTION_NOT_FOUND, MESSAGE_TOO_LARGE | on open connections only: `messages` |
//! | INTERNAL_ERROR; SERVICE_UNAVAILABLE of the store | not to be had from a healthy server: the walk's and the wrappers' own tests |

use ambo_core::Language;
use ambo_core::Languages;
use serde_json::{Value, json};

use crate::harness::World;
use crate::support::{
    create, enter, go_on, is_alive, join, metric, old_token, patient, refused_in_band, secs,
    status, take_up, unlimited, until_totals,
};

const SOMEWHERE: &str = "faithful-shepherd-427";

fn english_and_spanish() -> Languages {
    Languages::both_ways(["en", "es"].into_iter().filter_map(Language::parse))
}

/// A request, its code and status, its details, and the message where it is part of the contract.
type Case = (String, &'static str, u16, Value, Option<&'static str>);

fn malformed() -> Vec<Case> {
    let case = |query: &str, field: &str| {
        (query.to_owned(), "INVALID_PARAMETERS", 400, json!({ "field": field }), None)
    };
    let create = "action=createSession";
    let refresh = format!("action=refreshConnection&sessionId={SOMEWHERE}");
    let listen = format!("{refresh}&role=listener&targetLanguage=es");
    vec![
        case(create, "sourceLanguage"),
        case(&format!("{create}&sourceLanguage=EN"), "sourceLanguage"),
        case(&format!("{create}&sourceLanguage=en&qualityTier=gold"), "qualityTier"),
        case("action=joinSession&targetLanguage=es", "sessionId"),
        case(&format!("action=joinSession&sessionId={SOMEWHERE}"), "targetLanguage"),
        case("action=refreshConnection&role=speaker", "sessionId"),
        case(&refresh, "role"),
        case(&format!("{refresh}&role=owner"), "role"),
        case(&format!("{refresh}&role=listener"), "targetLanguage"),
        case(&format!("{listen}&lastSequence=-1"), "lastSequence"),
        case(&format!("{listen}&lastSequence=1.5"), "lastSequence"),
        case(&format!("{listen}&lastSequence=4294967296"), "lastSequence"),
        case(&format!("{listen}&refreshToken=abc"), "refreshToken"),
    ]
}

fn of_every_code(world: &World, session: &str) -> Vec<Case> {
    let long = "x".repeat(100);
    let bad_id = |id: &str, shown: &str| {
        let details = json!({ "field": "sessionId", "sessionId": shown });
        (join(id, "es"), "INVALID_SESSION_ID", 400, details, None)
    };
    let nobody = |query: &str, token: &str, message| {
        (format!("{query}&token={token}"), "UNAUTHORIZED", 401, Value::Null, Some(message))
    };
    let create_en = "action=createSession&sourceLanguage=en";
    let create_fr = create(world, "ann").replace("=en", "=fr");
    let resume = format!("action=refreshConnection&role=speaker&sessionId={session}");
    let absent = json!({ "sessionId": SOMEWHERE });
    let unserved = json!({ "languageCode": "fr", "sessionId": session });
    let action = |query: &str| (query.to_owned(), "INVALID_ACTION", 400, Value::Null, None);
    vec![
        action(""),
        action("action="),
        action("action=join"),
        action("action=heartbeat"),
        action("sessionId=x"),
        bad_id("HELLO", "HELLO"),
        bad_id(&long, &long[..64]),
        bad_id(&"%C3%A9".repeat(70), &"é".repeat(64)),
        (create_fr, "INVALID_LANGUAGE", 400, json!({ "languageCode": "fr" }), None),
        (join(session, "fr"), "UNSUPPORTED_LANGUAGE", 400, unserved.clone(), None),
        (go_on(session, "fr"), "UNSUPPORTED_LANGUAGE", 400, unserved, None),
        nobody(create_en, "", "Authentication required"),
        nobody(create_en, "garbage", "Invalid token"),
        nobody(create_en, &old_token(world, "ann"), "Token expired"),
        nobody(&resume, "", "Authentication required"),
        nobody(&resume, "garbage", "Invalid token"),
        nobody(&resume, &old_token(world, "ann"), "Token expired"),
        (take_up(world, session, "bob"), "FORBIDDEN", 403, Value::Null, None),
        (join(SOMEWHERE, "es"), "SESSION_NOT_FOUND", 404, absent.clone(), None),
        (go_on(SOMEWHERE, "es"), "SESSION_NOT_FOUND", 404, absent.clone(), None),
        (take_up(world, SOMEWHERE, "ann"), "SESSION_NOT_FOUND", 404, absent, None),
    ]
}

#[tokio::test]
async fn each_refusal_is_told_in_both_ways() {
    let world = World::start(|settings| {
        unlimited(settings);
        settings.languages = english_and_spanish();
    })
    .await;
    let mut speaking = world.speak().await;
    let mut cases = of_every_code(&world, &speaking.session);
    cases.extend(malformed());
    for (query, code, status, details, message) in cases {
        let refused = world.refused(&query).await;
        assert_eq!((refused.status, refused.code()), (status, code), "{query}");
        assert_eq!(refused.body["details"], details, "{query}");
        assert_eq!(refused.retry_after, None);
        if let Some(field) = details.get("field").and_then(Value::as_str) {
            let text = refused.body["message"].as_str().unwrap();
            assert!(text.contains(field), "{text:?} names {field}");
        }
        if let Some(message) = message {
            assert_eq!(refused.body["message"], message, "{query}");
        }
        let (error, close, reason) = refused_in_band(&world, &query).await;
        assert_eq!((error["code"].as_str(), close), (Some(code), 1008), "{query}");
        assert_eq!((&error["details"], reason.as_str()), (&details, code));
        assert_eq!(error["message"], refused.body["message"]);
        assert_eq!(error["timestamp"], world.now().0);
    }
    is_alive(&mut speaking.peer).await;
}

#[tokio::test]
async fn a_refusal_is_json() {
    let world = World::start(|_| {}).await;
    let answer = http_answer(&world, "/ws?action=x").await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.to_lowercase().contains("content-type: application/json"), "{answer}");
    let body: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!((&body["type"], &body["timestamp"]), (&Value::Null, &Value::Null));
}

/// What an upgrade request is answered with, to the letter.
async fn http_answer(world: &World, target: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(world.address()).await.unwrap();
    let request = format!(
        "GET {target} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_full_session_is_told_in_both_ways() {
    let world = World::start(|settings| settings.max_listeners_per_session = 1).await;
    let speaking = world.speak().await;
    let _one = world.listen(&speaking.session, "es").await;
    let details = json!({ "sessionId": speaking.session, "maxListeners": 1 });
    for query in [join(&speaking.session, "es"), go_on(&speaking.session, "de")] {
        let refused = world.refused(&query).await;
        assert_eq!((refused.status, refused.code()), (503, "SESSION_FULL"));
        assert_eq!(refused.body["details"], details);
        assert!(refused.retry_after.unwrap() >= 1);
        let (error, close, _) = refused_in_band(&world, &query).await;
        assert_eq!((&error["details"], close), (&details, 1013));
    }
}

#[tokio::test]
async fn without_its_issuer_speakers_wait_and_listeners_notice_nothing() {
    let world = World::start(|_| {}).await;
    let speaking = world.speak().await;
    let token = world.token("ann");
    let (folder, clock, session) = (world.folder.clone(), world.clock.clone(), speaking.session);
    speaking.peer.vanish();
    world.stop().await;
    let world = World::start_in(folder, clock, |settings| {
        settings.oidc_issuer = Some("https://127.0.0.1:9".to_owned());
        settings.oidc_audience = vec!["ambo".to_owned()];
        settings.oidc_jwks_url = Some("http://127.0.0.1:9/jwks".to_owned());
    })
    .await;
    let resume = format!("action=refreshConnection&role=speaker&sessionId={session}&token={token}");
    let create = format!("action=createSession&sourceLanguage=en&token={token}");
    for query in [create, resume] {
        let refused = world.refused(&query).await;
        assert_eq!((refused.status, refused.code()), (503, "SERVICE_UNAVAILABLE"));
        assert_eq!(refused.body["details"]["service"], "identity");
        let wait = refused.body["details"]["retryAfter"].as_u64().unwrap();
        assert_eq!(refused.retry_after, Some(wait));
        assert!(wait >= 1);
        let (error, close, _) = refused_in_band(&world, &query).await;
        assert_eq!((error["code"].as_str(), close), (Some("SERVICE_UNAVAILABLE"), 1013));
    }
    let mut listener = world.listen(&session, "es").await;
    is_alive(&mut listener).await;
    enter(&world, &go_on(&session, "es"), "connectionRefreshComplete").await;
}

/// The code of a refusal, with the limit it names.
async fn told(world: &World, query: &str) -> String {
    let refused = world.refused(query).await;
    let operation = refused.body["details"]["operation"].as_str();
    operation.map_or_else(|| refused.code().to_owned(), |operation| format!("429 {operation}"))
}

#[tokio::test]
async fn the_first_rule_broken_is_the_one_told() {
    let world = World::start(|settings| {
        settings.rate_limit_sessions_per_hour = 2;
        settings.rate_limit_joins_per_min = 3;
        settings.max_listeners_per_session = 1;
        settings.languages = english_and_spanish();
    })
    .await;
    let speaking = world.speak().await;
    let here = speaking.session.as_str();
    let _one = world.listen(here, "es").await;
    let bad_token = "action=createSession&sourceLanguage=en&token=garbage";
    let unserved = create(&world, "bob").replace("=en", "=fr");
    let cases = [
        ("format, then token", bad_token.replace("=en", "=E"), "INVALID_PARAMETERS"),
        ("token, then language", bad_token.replace("=en", "=fr"), "UNAUTHORIZED"),
        ("id, then token", take_up(&world, "X", "ann") + "x", "INVALID_SESSION_ID"),
        ("token, then session", take_up(&world, SOMEWHERE, "ann") + "x", "UNAUTHORIZED"),
        ("session, then owner", take_up(&world, SOMEWHERE, "bob"), "SESSION_NOT_FOUND"),
        ("session, then language", go_on(SOMEWHERE, "fr"), "SESSION_NOT_FOUND"),
        ("language, then capacity", join(here, "fr"), "UNSUPPORTED_LANGUAGE"),
        ("of joins: only now are they spent", join(here, "es"), "429 joinSession"),
        ("format, then limit of joins", join(here, "E"), "INVALID_PARAMETERS"),
        ("limit of joins, then session", join(SOMEWHERE, "es"), "429 joinSession"),
        ("the same of a refresh that is a join", go_on(here, "fr"), "429 joinSession"),
        ("of sessions: one", unserved.clone(), "INVALID_LANGUAGE"),
        ("of sessions: two", unserved.clone(), "INVALID_LANGUAGE"),
        ("limit of sessions, then language", unserved.clone(), "429 createSession"),
        ("token, then limit of sessions", old(&world, "bob"), "UNAUTHORIZED"),
        ("format, then limit of sessions", unserved.replace("=fr", "=F"), "INVALID_PARAMETERS"),
    ];
    for (name, query, expected) in cases {
        assert_eq!(told(&world, &query).await, expected, "{name}");
    }
}

fn old(world: &World, user: &str) -> String {
    format!("action=createSession&sourceLanguage=en&token={}", old_token(world, user))
}

#[tokio::test]
async fn the_action_comes_before_the_limit_on_attempts_and_that_before_all_else() {
    let world = World::start(|settings| settings.rate_limit_connects_per_min = 2).await;
    let speaking = world.speak().await;
    world.refused(&join("X", "es")).await;
    let later = [join("X", "es"), join(SOMEWHERE, "es"), old(&world, "ann"), create(&world, "ann")];
    for query in later.into_iter().chain([take_up(&world, &speaking.session, "ann")]) {
        assert_eq!(told(&world, &query).await, "429 connect", "{query}");
    }
    assert_eq!(told(&world, "action=x").await, "INVALID_ACTION");
    world.pass(secs(30)).await;
    assert_eq!(told(&world, "action=x").await, "INVALID_ACTION", "and costs no attempt");
    world.listen(&speaking.session, "es").await;
}

#[tokio::test]
async fn an_expired_session_is_nobodys() {
    let world = World::start(|settings| {
        settings.session_max_duration = secs(60);
        settings.heartbeat_timeout = secs(0);
    })
    .await;
    let speaking = world.speak().await;
    // In one step, so that the request may well come before the server's own look at the time.
    world.clock.advance(secs(60));
    assert_eq!(told(&world, &take_up(&world, &speaking.session, "bob")).await, "SESSION_NOT_FOUND");
    assert_eq!(told(&world, &join(&speaking.session, "zz")).await, "SESSION_NOT_FOUND");
}

#[tokio::test]
async fn nothing_is_stored_by_a_refused_request() {
    let world = World::start(|settings| {
        patient(settings);
        unlimited(settings);
        settings.languages = english_and_spanish();
        settings.max_listeners_per_session = 2;
    })
    .await;
    let mut speaking = world.speak().await;
    let session = speaking.session.clone();
    let _first = world.listen(&session, "es").await;
    let cases = of_every_code(&world, &session).into_iter().chain(malformed());
    for (query, ..) in cases {
        world.refused(&query).await;
        refused_in_band(&world, &query).await;
    }
    let _second = world.listen(&session, "en").await;
    world.refused(&join(&session, "en")).await;
    let status = status(&mut speaking.peer).await;
    assert_eq!(status["languageDistribution"], json!({ "en": 1, "es": 1 }));
    until_totals(&world, 1, 2).await;
    world.until("refused sockets are gone", |world| world.server.held().connections == 3).await;
    assert_eq!(world.server.held().sessions, 1);
    assert_eq!(metric(&world, "connection_errors_total{code=\"FORBIDDEN\"}").await, 2);
}

#[tokio::test]
async fn a_refused_request_pays_no_limit_beyond_the_rule_it_broke() {
    let world = World::start(|settings| {
        settings.rate_limit_sessions_per_hour = 1;
        settings.rate_limit_joins_per_min = 1;
    })
    .await;
    for query in ["action=createSession", &old(&world, "ann"), &create(&world, "ann")[..60]] {
        world.refused(query).await;
    }
    let speaking = world.speak().await;
    assert_eq!(told(&world, &create(&world, "ann")).await, "429 createSession");
    for query in [join(&speaking.session, "E"), join("X", "es"), join(&speaking.session, "")] {
        world.refused(&query).await;
    }
    world.listen(&speaking.session, "es").await;
    assert_eq!(told(&world, &join(&speaking.session, "es")).await, "429 joinSession");
}
