//! `$connect`: in or not, and by which answer.

use ambo_core::Millis;
use serde_json::{Value, json};

use crate::line::Line;
use crate::world::{Pairs, World, connect_event, join};

const CREATE: [(&str, &str); 2] = [("action", "createSession"), ("sourceLanguage", "en")];

fn body(response: &Value) -> Value {
    serde_json::from_str(response["body"].as_str().unwrap()).unwrap()
}

#[tokio::test]
async fn nothing_is_posted_before_connect_is_answered() {
    let world = World::new().await;
    let response = world.knock("ann", Some("ann"), &CREATE).await;
    assert_eq!(response, json!({ "statusCode": 200 }));
    assert!(world.take("ann").is_empty());
    world.run_orders().await;
    let told = world.take("ann");
    assert_eq!(told.len(), 1);
    assert_eq!(
        (&told[0]["type"], &told[0]["connectionId"]),
        (&json!("sessionCreated"), &json!("ann"))
    );
    assert_eq!(world.metric("SessionCreationLatency").len(), 1);
}

#[tokio::test]
async fn the_order_goes_to_the_function_itself_and_waits_for_nothing() {
    let world = World::new().await;
    world.knock("ann", Some("ann"), &CREATE).await;
    let asked = world.stub.asked.lock().clone();
    let order = asked.iter().find(|asked| asked.path.contains("invocations")).unwrap();
    assert_eq!(order.path, "/2015-03-31/functions/ambo-connection/invocations");
    assert_eq!(order.headers["x-amz-invocation-type"], "Event");
    let signature = &order.headers["authorization"];
    assert!(signature.contains("/eu-central-1/lambda/aws4_request"), "{signature}");
}

#[tokio::test]
async fn refusals_have_their_status_and_the_error_as_body() {
    let world = World::with(&[("MAX_LISTENERS_PER_SESSION", "1")]).await;
    let session = world.session().await;
    world.join("eva", &session, "es").await;
    let unknown = "gentle-river-100";
    let cases: [(Option<&str>, Pairs<'_>, u16, &str); 8] = [
        (None, &[], 400, "INVALID_ACTION"),
        (None, &[("action", "joinSession"), ("sessionId", "x")], 400, "INVALID_SESSION_ID"),
        (None, &CREATE, 401, "UNAUTHORIZED"),
        (Some("ann"), &[CREATE[0], ("sourceLanguage", "yi")], 400, "INVALID_LANGUAGE"),
        (None, &join(unknown, "es"), 404, "SESSION_NOT_FOUND"),
        (None, &join(&session, "sw"), 400, "UNSUPPORTED_LANGUAGE"),
        (None, &join(&session, "de"), 503, "SESSION_FULL"),
        (
            Some("eva"),
            &[("action", "refreshConnection"), ("role", "speaker"), ("sessionId", &session)],
            403,
            "FORBIDDEN",
        ),
    ];
    for (user, query, status, code) in cases {
        let response = world.knock("max", user, query).await;
        assert_eq!(response["statusCode"], status, "{query:?}");
        assert_eq!(body(&response)["code"], code, "{query:?}");
        assert_eq!(response["headers"]["Retry-After"].is_string(), status == 503);
    }
    assert!(world.take_orders().is_empty() && world.take("max").is_empty());
    assert_eq!(world.metric("ConnectionErrors").len(), 8);
}

#[tokio::test]
async fn a_client_that_cannot_read_a_refused_handshake_is_told_and_closed() {
    let world = World::new().await;
    let offer = [("sec-websocket-protocol", "chat, ambo.v1")];
    let event = connect_event("max", None, &join("gentle-river-100", "es"), &offer);
    let response = world.give("connection", event).await;
    assert_eq!(response["statusCode"], 200);
    assert_eq!(response["headers"]["Sec-WebSocket-Protocol"], "ambo.v1");
    world.run_orders().await;
    let told = world.take("max");
    assert_eq!(
        (&told[0]["type"], &told[0]["code"]),
        (&json!("error"), &json!("SESSION_NOT_FOUND"))
    );
    assert_eq!(told[1], "closed");
    world.stub.plan.lock().invoke = Some(500);
    let event = connect_event("max", None, &join("gentle-river-100", "es"), &offer);
    let response = world.give("connection", event).await;
    assert_eq!(response["statusCode"], 404, "what cannot be told is refused: {response}");
}

#[tokio::test]
async fn one_that_offers_the_subprotocol_gets_it() {
    let world = World::new().await;
    let offer = [("Sec-WebSocket-Protocol", "ambo.v1")];
    let response =
        world.give("connection", connect_event("ann", Some("ann"), &CREATE, &offer)).await;
    assert_eq!(response["headers"]["Sec-WebSocket-Protocol"], "ambo.v1");
}

#[tokio::test]
async fn a_member_whose_first_message_cannot_be_ordered_is_taken_back() {
    let world = World::new().await;
    let session = world.session().await;
    world.stub.plan.lock().invoke = Some(429);
    let response = world.knock("eva", None, &join(&session, "es")).await;
    assert_eq!(response["statusCode"], 503);
    assert_eq!(body(&response)["details"], json!({ "service": "node", "retryAfter": 1 }));
    assert_eq!(world.listeners().await, 0);
}

/// The store has answered too late, and what was asked of it was done.
#[tokio::test]
async fn what_a_refused_connect_has_stored_is_taken_back() {
    let line = Line::open().await;
    let world = World::through(&line).await;
    let session = world.session().await;
    world.join("eva", &session, "es").await;
    let refresh = [("action", "refreshConnection"), ("role", "speaker"), ("sessionId", &session)];
    let refused = async |connection: &str, user: Option<&str>, query: Pairs<'_>| {
        let _held = line.hold("TransactWriteItems", "connections-");
        let response = world.knock(connection, user, query).await;
        assert_eq!(body(&response)["details"]["service"], "store", "{response}");
    };
    refused("max", None, &join(&session, "es")).await;
    assert_eq!(world.listeners().await, 1);
    refused("ann/2", Some("ann"), &refresh).await;
    let told = world.take("eva");
    assert_eq!(told[0]["reason"], "speakerLost", "nobody speaks on what never opened");
    world.connect("ann/3", Some("ann"), &refresh).await;
    assert_eq!(world.types("eva"), ["sessionResumed"]);
    refused("bob", Some("bob"), &CREATE).await;
    world.sweep().await;
    assert_eq!(world.metric("ActiveSessions"), [1.0], "ann's");
}

#[tokio::test]
async fn a_speaker_nobody_could_identify_is_asked_to_come_back_and_a_listener_is_let_in() {
    let world = World::new().await;
    let session = world.session().await;
    let unavailable = |query: &[(&str, &str)]| {
        let mut event = connect_event("max", None, query, &[]);
        event["requestContext"]["authorizer"] = json!({ "identity": "unavailable" });
        event
    };
    let response = world.give("connection", unavailable(&CREATE)).await;
    assert_eq!(response["statusCode"], 503);
    assert_eq!(body(&response)["details"]["service"], "identity");
    let response = world.give("connection", unavailable(&join(&session, "es"))).await;
    assert_eq!(response["statusCode"], 200);
}

#[tokio::test]
async fn a_token_in_the_query_is_nobody_where_the_authorizer_named_nobody() {
    let world = World::new().await;
    for token in ["user:ann", "unavailable", &world.token("ann").0] {
        let response = world.knock("max", None, &[CREATE[0], CREATE[1], ("token", token)]).await;
        assert_eq!(response["statusCode"], 401, "{token}");
        assert_eq!(body(&response)["message"], "Authentication required");
    }
}

#[tokio::test]
async fn limits_are_kept_by_address_and_user() {
    let world = World::with(&[("RATE_LIMIT_SESSIONS_PER_HOUR", "1")]).await;
    world.session().await;
    let response = world.knock("ann/2", Some("ann"), &CREATE).await;
    assert_eq!(
        (&response["statusCode"], &body(&response)["code"]),
        (&json!(429), &json!("RATE_LIMIT_EXCEEDED"))
    );
    assert_eq!(response["headers"]["Retry-After"], "3600");
    assert_eq!(world.metric("RateLimitExceeded"), [1.0]);
    world.clock.advance(Millis::from_mins(60));
    assert_eq!(world.knock("ann/3", Some("ann"), &CREATE).await["statusCode"], 200);
}

#[tokio::test]
async fn a_limit_that_cannot_be_asked_lets_pass_and_is_counted() {
    let world = World::with(&[("RATE_LIMITS_TABLE", "nowhere")]).await;
    world.knock("ann", Some("ann"), &CREATE).await;
    assert_eq!(world.take_orders().len(), 1, "she is let in");
    assert_eq!(world.metric("RateLimiterFailures"), [1.0, 1.0], "of the connect, of the session");
}
