//! Rules 1 to 8 and 17: handshakes.

use std::sync::Arc;
use std::time::Duration;

use ambo_testkit::gateway::{Disconnects, Failure, Function, Gateway, Happening, Plan, Rate};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::error::{ProtocolError, SubProtocolError};

use crate::support::{call, connect, count, double, event_of, fine, knock, path_of, plan, until};

#[tokio::test]
async fn a_handshake_waits_for_its_function_and_has_no_connection_until_then() {
    let gateway = Gateway::start(plan()).await;
    let (gate, ids) = (Arc::new(Semaphore::new(0)), tokio::sync::mpsc::unbounded_channel());
    let (tell, mut told) = ids;
    let held = gate.clone();
    gateway.deploy(
        "f",
        Function::scripted(move |event| {
            let (held, tell) = (held.clone(), tell.clone());
            async move {
                tell.send(event["requestContext"]["connectionId"].clone()).unwrap();
                held.acquire().await.unwrap().forget();
                Ok(json!({ "statusCode": 200 }))
            }
        }),
    );
    let client = connect(&gateway);
    tokio::pin!(client);
    let id = tokio::select! {
        _ = &mut client => panic!("it did not wait"),
        id = told.recv() => id.unwrap(),
    };
    let path = path_of(id.as_str().unwrap());
    let (status, error, _) = call(&gateway, "POST", &path, b"early").await;
    assert_eq!((status, error.as_deref()), (410, Some("GoneException")));
    gate.add_permits(1);
    let mut client = client.await;
    assert_eq!(gateway.connections(), [id.as_str().unwrap()]);
    assert_eq!(call(&gateway, "POST", &path, br#"{"a":1}"#).await.0, 200);
    assert_eq!(client.json().await, json!({ "a": 1 }));
}

#[tokio::test]
async fn what_the_function_answers_decides() {
    let cases: [(Result<Value, Failure>, u16); 7] = [
        (Ok(json!({ "statusCode": 404, "body": "goes nowhere" })), 404),
        (Ok(json!({ "statusCode": 503 })), 503),
        (Ok(json!({ "statusCode": "200" })), 502),
        (Ok(json!("fine")), 502),
        (Ok(Value::Null), 502),
        (Err(Failure::error("broken")), 502),
        (Err(Failure::Exited("signal".to_owned())), 502),
    ];
    for (answer, status) in cases {
        let (gateway, seen) = double(plan(), move |_| answer.clone()).await;
        let (refused, body) = knock(&gateway, "", &[]).await.err().unwrap();
        assert_eq!(refused, status);
        match status {
            502 => assert_eq!(body["message"], "Bad Gateway"),
            _ => assert_eq!(body, "", "{status}"),
        }
        assert!(gateway.connections().is_empty());
        assert_eq!(count(&seen, "$disconnect"), 0);
    }
}

#[tokio::test]
async fn a_function_that_is_not_there_or_does_not_answer_is_an_error() {
    let gateway = Gateway::start(plan()).await;
    assert_eq!(knock(&gateway, "", &[]).await.err().unwrap().0, 500);
    let never = Function::scripted(|_| std::future::pending());
    gateway.deploy("f", never.timeout(Duration::from_millis(20)));
    assert_eq!(knock(&gateway, "", &[]).await.err().unwrap().0, 504);
}

/// Time stands still but where everybody waits for it.
#[tokio::test(start_paused = true)]
async fn a_function_has_twenty_nine_seconds() {
    let gateway = Gateway::start(plan()).await;
    let never = Function::scripted(|_| std::future::pending());
    gateway.deploy("f", never.timeout(Duration::from_secs(900)));
    let start = tokio::time::Instant::now();
    let (status, body) = knock(&gateway, "", &[]).await.err().unwrap();
    assert_eq!((status, &body["message"]), (504, &json!("Endpoint request timed out")));
    assert_eq!(start.elapsed().as_secs(), 29);
}

#[tokio::test]
async fn a_subprotocol_is_the_functions_choice() {
    let protocol = ("sec-websocket-protocol", "a, b");
    let (gateway, _) = double(plan(), |_| {
        Ok(json!({ "statusCode": 200, "headers": { "sec-webSocket-Protocol": "b" } }))
    })
    .await;
    assert_eq!(knock(&gateway, "", &[protocol]).await.unwrap().protocol.as_deref(), Some("b"));

    let (gateway, _) = double(plan(), fine).await;
    let mut request = gateway.url().into_client_request().unwrap();
    request.headers_mut().insert(protocol.0, protocol.1.parse().unwrap());
    let answer = tokio_tungstenite::connect_async(request).await;
    let none = SubProtocolError::NoSubProtocol;
    let none = Error::Protocol(ProtocolError::SecWebSocketSubProtocolError(none));
    assert_eq!(answer.err().unwrap().to_string(), none.to_string());
}

#[tokio::test]
async fn the_stage_is_the_path_and_an_address_has_an_end() {
    let (gateway, seen) = double(plan(), fine).await;
    assert_eq!(knock(&gateway, "uction", &[]).await.err().unwrap().0, 403);
    assert_eq!(knock(&gateway, "/more", &[]).await.err().unwrap().0, 403);
    let long = format!("?a={}", "x".repeat(4_096 - "/prod?a=".len()));
    assert!(knock(&gateway, &long, &[]).await.is_ok());
    assert_eq!(knock(&gateway, &format!("{long}x"), &[]).await.err().unwrap().0, 414);
    assert_eq!(count(&seen, "$connect"), 1);
}

fn allow(resource: &str) -> Value {
    json!({
        "principalId": "ann",
        "policyDocument": { "Version": "2012-10-17", "Statement": [
            { "Effect": "Allow", "Action": "execute-api:Invoke", "Resource": resource },
        ] },
        "context": { "userId": "ann", "age": 5 },
    })
}

async fn authorized(plan: Plan, answer: Result<Value, Failure>) -> Gateway {
    let (gateway, _) = double(plan, fine).await;
    gateway.deploy(
        "a",
        Function::scripted(move |event| {
            assert_eq!(event["type"], "REQUEST");
            let answer = answer.clone();
            async move { answer }
        }),
    );
    gateway
}

#[tokio::test]
async fn the_authorizer_decides_first() {
    let unauthorized = Failure::error("Unauthorized");
    let cases = [
        (Ok(allow("arn:aws:execute-api:*:*:*/prod/$connect")), None),
        (Ok(allow("arn:aws:execute-api:*:*:*/dev/$connect")), Some((403, "Forbidden"))),
        (Err(unauthorized), Some((401, "Unauthorized"))),
        (Err(Failure::error("no")), Some((500, "Internal server error"))),
        (Ok(json!({ "isAuthorized": true })), Some((500, "Internal server error"))),
    ];
    for (answer, expected) in cases {
        let gateway = authorized(plan().authorizer("a", &[]), answer).await;
        let refused = knock(&gateway, "", &[]).await.err();
        let refused = refused.map(|(status, body)| (status, body["message"].clone()));
        assert_eq!(refused, expected.map(|(status, message)| (status, json!(message))));
        let invoked = |name| {
            let all = gateway.events().into_iter().filter_map(|entry| match entry.happening {
                Happening::Invoked { function, .. } => Some(function),
                _ => None,
            });
            all.filter(|function| function == name).count()
        };
        assert_eq!((invoked("a"), invoked("f")), (1, usize::from(expected.is_none())));
    }
}

#[tokio::test]
async fn a_missing_identity_source_asks_nobody() {
    let sources = ["route.request.querystring.token", "route.request.header.x-key"];
    let gateway = authorized(plan().authorizer("a", &sources), Ok(allow("*"))).await;
    let key = [("x-key", "k")];
    for (query, headers) in
        [("", &key[..]), ("?token=", &key[..]), ("?token=t", &[]), ("?token=t", &[("x-key", "")])]
    {
        let (status, body) = knock(&gateway, query, headers).await.err().unwrap();
        assert_eq!((status, &body["message"]), (401, &json!("Unauthorized")));
    }
    assert_eq!(gateway.events().iter().filter(|e| is_invocation(&e.happening)).count(), 0);
    assert!(knock(&gateway, "?token=t", &key).await.is_ok());

    // The names of headers keep their case, so the source that names one has to.
    let source = ["route.request.header.X-Key"];
    let gateway = authorized(plan().authorizer("a", &source), Ok(allow("*"))).await;
    assert_eq!(knock(&gateway, "", &key).await.err().map(|refused| refused.0), Some(401));
}

fn is_invocation(happening: &Happening) -> bool {
    matches!(happening, Happening::Invoked { .. })
}

#[tokio::test]
async fn what_the_authorizer_said_is_in_every_later_event_in_strings() {
    let (gateway, seen) = double(plan().authorizer("a", &[]), fine).await;
    gateway.deploy("a", Function::scripted(|_| async { Ok(allow("*")) }));
    let mut client = connect(&gateway).await;
    client.send("hello".into()).await;
    event_of(&seen, "$default").await;
    drop(client);
    for route in ["$connect", "$default", "$disconnect"] {
        let event = event_of(&seen, route).await;
        let expected = json!({ "userId": "ann", "age": "5", "principalId": "ann" });
        assert_eq!(event["requestContext"]["authorizer"], expected, "{route}");
    }
}

#[tokio::test]
async fn too_many_handshakes_are_throttled() {
    let plan = plan().handshakes(Rate { per_second: 0.001, burst: 2.0 });
    let (gateway, _) = double(plan, fine).await;
    let (_one, _two) = (connect(&gateway).await, connect(&gateway).await);
    assert_eq!(knock(&gateway, "", &[]).await.err().unwrap().0, 429);
}

#[tokio::test]
async fn a_client_that_does_not_wait_is_served_and_then_gone() {
    let gateway = Gateway::start(plan()).await;
    let gate = Arc::new(Semaphore::new(0));
    let (held, seen) = (gate.clone(), Arc::new(parking_lot::Mutex::new(Vec::new())));
    let kept = seen.clone();
    gateway.deploy(
        "f",
        Function::scripted(move |event| {
            kept.lock().push(event);
            let held = held.clone();
            async move {
                held.acquire().await.unwrap().forget();
                Ok(json!({ "statusCode": 200 }))
            }
        }),
    );
    {
        let client = connect(&gateway);
        tokio::pin!(client);
        tokio::select! {
            _ = &mut client => panic!("it did not wait"),
            () = until("$connect", || count(&seen, "$connect") == 1) => {}
        }
    }
    gate.add_permits(2);
    let event = event_of(&seen, "$disconnect").await;
    assert_eq!(event["requestContext"]["disconnectStatusCode"], 1006);
}

#[tokio::test]
async fn a_disconnect_may_come_before_its_connect() {
    let (gateway, seen) = double(plan(), fine).await;
    gateway.change(|knobs| knobs.disconnects = Disconnects::Early);
    drop(connect(&gateway).await);
    until("the close", || crate::support::closed(&gateway) == 1).await;
    let routes: Vec<_> =
        seen.lock().iter().map(|event| event["requestContext"]["routeKey"].clone()).collect();
    assert_eq!(routes, ["$disconnect", "$connect"]);
}
