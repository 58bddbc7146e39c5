//! Rules 12, 16 and 17: `@connections`, and Lambda's Invoke API.

use std::time::{Duration, Instant};

use ambo_testkit::gateway::{Failure, Function, Rate};
use futures_util::SinkExt as _;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{
    call, call_with, connect, count, double, event_of, fine, path_of, plan, until,
};

#[tokio::test]
async fn a_connection_can_be_written_to_looked_at_and_closed() {
    let (gateway, seen) = double(plan(), fine).await;
    let agent = [("user-agent", "tests")];
    let mut client = crate::support::knock(&gateway, "", &agent).await.unwrap();
    let id = gateway.connections()[0].clone();
    assert!(id.len() == 16 && id.ends_with('='), "{id}");
    let path = path_of(&id);
    assert_eq!(call(&gateway, "POST", &path, b"hello").await, (200, None, Vec::new()));
    assert_eq!(client.next().await, Some(Message::text("hello")));

    let (status, _, body) = call(&gateway, "GET", &path, b"").await;
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(status, 200);
    assert_eq!(body["identity"], json!({ "sourceIp": "127.0.0.1", "userAgent": "tests" }));
    for moment in [&body["connectedAt"], &body["lastActiveAt"]] {
        assert!(moment.as_str().unwrap().ends_with('Z'), "{body}");
    }

    assert_eq!(call(&gateway, "DELETE", &path, b"").await, (204, None, Vec::new()));
    assert_eq!(client.closed().await, 1000);
    let context = &event_of(&seen, "$disconnect").await["requestContext"];
    assert_eq!(context["disconnectStatusCode"], 1000);
    assert_eq!(context["disconnectReason"], "Connection Closed Normally");
    for method in ["POST", "GET", "DELETE"] {
        let (status, error, _) = call(&gateway, method, &path, b"").await;
        assert_eq!((status, error.as_deref()), (410, Some("GoneException")), "{method}");
    }
}

#[tokio::test]
async fn a_long_post_comes_in_several_frames_and_a_longer_one_is_refused() {
    let (gateway, _) = double(plan(), fine).await;
    let mut client = connect(&gateway).await;
    let path = path_of(&gateway.connections()[0]);
    let long = "x".repeat(128 * 1024);
    assert_eq!(call(&gateway, "POST", &path, long.as_bytes()).await.0, 200);
    assert_eq!(client.next().await, Some(Message::text(long.clone())));
    let (status, error, _) = call(&gateway, "POST", &path, (long + "x").as_bytes()).await;
    assert_eq!((status, error.as_deref()), (413, Some("PayloadTooLargeException")));
}

#[tokio::test]
async fn only_who_signs_for_this_stage_gets_through() {
    let (gateway, _) = double(plan(), fine).await;
    let _client = connect(&gateway).await;
    let path = path_of(&gateway.connections()[0]);
    let host = gateway.address().to_string();
    let sign = |path: &str, body: &[u8], service: &str| {
        ambo_testkit::gateway::sign("POST", path, &host, body, service)
    };
    let elsewhere = "b1b2c3d4e5.execute-api.us-east-1.amazonaws.com";
    let elsewhere = ambo_testkit::gateway::sign("POST", &path, elsewhere, b"a", "execute-api");
    let right = sign(&path, b"a", "execute-api");
    let other_stage = path.replace("prod", "dev");
    let cases = [
        (&path, right.clone(), 200),
        (&path, Vec::new(), 403),
        (&path, sign(&path, b"a", "lambda"), 403),
        (&path, elsewhere, 403),
        (&path, sign(&path, b"b", "execute-api"), 403),
        (&path, sign("/prod/@connections/x", b"a", "execute-api"), 403),
        (&other_stage, sign(&other_stage, b"a", "execute-api"), 403),
    ];
    for (path, headers, expected) in cases {
        let (status, error, _) = call_with(&gateway, "POST", path, &headers, b"a").await;
        assert_eq!(status, expected, "{path}");
        assert_eq!(error.as_deref(), (status == 403).then_some("ForbiddenException"));
    }
}

#[tokio::test]
async fn what_a_test_wants_to_go_wrong_does() {
    let plan = plan().posts(Rate { per_second: 0.001, burst: 2.0 });
    let (gateway, _) = double(plan, fine).await;
    let _client = connect(&gateway).await;
    let id = gateway.connections()[0].clone();
    let path = path_of(&id);
    for (status, name) in [
        (410, "GoneException"),
        (429, "LimitExceededException"),
        (403, "ForbiddenException"),
        (500, "InternalServerErrorException"),
    ] {
        gateway.change(|knobs| _ = knobs.answers.insert(id.clone(), status));
        let (answered, error, _) = call(&gateway, "POST", &path, b"").await;
        assert_eq!((answered, error.as_deref()), (status, Some(name)));
    }
    gateway.change(|knobs| {
        knobs.answers.clear();
        knobs.throttled_posts = 1;
        knobs.slow.insert(id.clone(), Duration::from_millis(40));
    });
    let start = Instant::now();
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(call(&gateway, "POST", &path, b"").await.0);
    }
    // One by the knob, the last by the bucket.
    assert_eq!(statuses, [429, 200, 200, 429]);
    assert!(start.elapsed() >= Duration::from_millis(160));
}

#[tokio::test]
async fn a_post_that_keeps_a_connection_busy_keeps_it_open() {
    let ages = ambo_testkit::gateway::Ages {
        idle: Duration::from_secs(4),
        maximum: Duration::from_secs(100),
    };
    let (gateway, _) = double(plan().ages(ages), fine).await;
    let mut client = connect(&gateway).await;
    let path = path_of(&gateway.connections()[0]);
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(5) {
        assert_eq!(call(&gateway, "POST", &path, b"a").await.0, 200);
        assert_eq!(client.next().await, Some(Message::text("a")));
        // These do not count.
        client.socket.send(Message::Ping(Vec::new().into())).await.unwrap();
    }
    let body: Value = serde_json::from_slice(&call(&gateway, "GET", &path, b"").await.2).unwrap();
    let moment = |name: &str| body[name].as_str().unwrap().to_owned();
    assert!(moment("lastActiveAt") > moment("connectedAt"), "{body}");
    let closed = async {
        while let Some(message) = client.next().await {
            if let Message::Close(frame) = message {
                return u16::from(frame.unwrap().code);
            }
        }
        panic!("there was no close frame")
    };
    assert_eq!(closed.await, 1001);
}

#[tokio::test]
async fn functions_can_invoke_functions() {
    let (gateway, seen) = double(plan(), |event| match event["fail"].as_bool() {
        Some(true) => Err(Failure::error("as told")),
        _ => Ok(json!({ "got": event })),
    })
    .await;
    let path = |name: &str| format!("/2015-03-31/functions/{name}/invocations");
    let host = gateway.address().to_string();
    let invoke = async |name: &str, kind: &str, event: Value| {
        let (path, body) = (path(name), event.to_string());
        let signed = ambo_testkit::gateway::sign("POST", &path, &host, body.as_bytes(), "lambda");
        let kind = ("X-Amz-Invocation-Type".to_owned(), kind.to_owned());
        let headers: Vec<_> = signed.into_iter().chain([kind]).collect();
        call_with(&gateway, "POST", &path, &headers, body.as_bytes()).await
    };
    assert_eq!(invoke("f", "Event", json!({ "a": 1 })).await.0, 202);
    let arn = "arn%3Aaws%3Alambda%3Aus-east-1%3A123456789012%3Afunction%3Af";
    assert_eq!(invoke(arn, "Event", json!({ "a": 1 })).await.0, 202);
    until("both", || seen.lock().len() == 2).await;

    let (status, _, body) = invoke("f", "RequestResponse", json!({ "a": 2 })).await;
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((status, body), (200, json!({ "got": { "a": 2 } })));

    // What fails asynchronously is tried three times in all.
    assert_eq!(invoke("f", "Event", json!({ "fail": true })).await.0, 202);
    until("three", || seen.lock().iter().filter(|event| event["fail"] == true).count() == 3).await;

    let (status, error, _) = invoke("nobody", "Event", json!({})).await;
    assert_eq!((status, error.as_deref()), (404, Some("ResourceNotFoundException")));
    let unsigned = call_with(&gateway, "POST", &path("f"), &[], b"{}").await;
    assert_eq!(unsigned.0, 403);
}

#[tokio::test]
async fn a_rule_ticks() {
    let (gateway, seen) = double(plan(), fine).await;
    gateway.deploy("broken", Function::scripted(|_| async { Err(Failure::error("no")) }));
    gateway.tick("f").await.unwrap();
    assert_eq!(seen.lock()[0]["source"], "aws.events");
    assert_eq!(gateway.tick("broken").await, Err(Failure::error("no")));
    assert_eq!(count(&seen, "$connect"), 0);
}
