//! Rules 9 to 15: what happens on an open connection.

use std::sync::Arc;
use std::time::Duration;

use ambo_testkit::gateway::{Ages, Disconnects, Failure, Function, Plan};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::json;
use tokio::sync::Barrier;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::support::{
    Client, PATIENCE, call, closed, connect, count, double, event_of, fine, path_of, plan, until,
};

#[tokio::test]
async fn a_message_goes_to_the_route_of_its_action() {
    let (gateway, seen) = double(plan(), fine).await;
    let mut client = connect(&gateway).await;
    for (text, route) in [
        (r#"{"action":"heartbeat"}"#, "heartbeat"),
        (r#"{"action":"sing"}"#, "$default"),
        (r#"{"action":"$connect"}"#, "$default"),
        (r#"{"action":5}"#, "$default"),
        ("hello", "$default"),
        ("[]", "$default"),
    ] {
        let before = seen.lock().len();
        client.send(text.into()).await;
        until(text, || seen.lock().len() > before).await;
        let event = seen.lock().last().unwrap().clone();
        assert_eq!(event["requestContext"]["routeKey"], route, "{text}");
        assert_eq!(event["body"], text);
    }
}

#[tokio::test]
async fn without_a_default_the_client_is_told_and_stays() {
    let plan = Plan::new("prod").route("heartbeat", "f");
    let (gateway, seen) = double(plan, fine).await;
    let mut client = connect(&gateway).await;
    for _ in 0..2 {
        client.send("hello".into()).await;
        let told = client.json().await;
        assert_eq!(told["message"], "Forbidden");
        assert_eq!(told["connectionId"], *gateway.connections()[0]);
        assert!(told["requestId"].is_string());
    }
    assert!(seen.lock().is_empty());
}

#[tokio::test]
async fn a_function_that_fails_is_told_and_the_connection_stays() {
    let (gateway, _) = double(plan().route("slow", "g").route("gone", "h"), |event| {
        match event["requestContext"]["routeKey"].as_str() {
            Some("$default") => Err(Failure::error("broken")),
            _ => Ok(json!({ "statusCode": 200, "body": "goes nowhere" })),
        }
    })
    .await;
    let never = Function::scripted(|_| std::future::pending());
    gateway.deploy("g", never.timeout(Duration::from_millis(20)));
    let mut client = connect(&gateway).await;
    for text in ["hello", r#"{"action":"slow"}"#, r#"{"action":"gone"}"#] {
        client.send(text.into()).await;
        assert_eq!(client.json().await["message"], "Internal server error", "{text}");
    }
    // Nothing of this body arrives, so the next thing to come is the post.
    client.send(r#"{"action":"heartbeat"}"#.into()).await;
    let path = path_of(&gateway.connections()[0]);
    call(&gateway, "POST", &path, br#"{"a":1}"#).await;
    assert_eq!(client.json().await, json!({ "a": 1 }));
}

#[tokio::test]
async fn messages_of_one_connection_are_served_at_the_same_time() {
    let (gateway, _) = double(plan().route("meet", "g"), fine).await;
    let both = Arc::new(Barrier::new(2));
    let met = Arc::new(Barrier::new(3));
    let (inside, outside) = (met.clone(), met);
    gateway.deploy(
        "g",
        Function::scripted(move |_| {
            let (both, inside) = (both.clone(), inside.clone());
            async move {
                both.wait().await;
                inside.wait().await;
                Ok(json!({}))
            }
        }),
    );
    let mut client = connect(&gateway).await;
    client.send(r#"{"action":"meet"}"#.into()).await;
    client.send(r#"{"action":"meet"}"#.into()).await;
    tokio::time::timeout(PATIENCE, outside.wait()).await.unwrap();
}

#[tokio::test]
async fn what_is_too_big_or_binary_closes() {
    const FRAME: usize = 32 * 1024;
    let (gateway, seen) = double(plan(), fine).await;
    let part = |kind, bytes: usize, is_last| {
        let kind = OpCode::Data(kind);
        Message::Frame(Frame::message("x".repeat(bytes).into_bytes(), kind, is_last))
    };
    let mut client = connect(&gateway).await;
    client.send(Message::text("x".repeat(FRAME))).await;
    // A message of the greatest length, in frames of the greatest length.
    client.send(part(Data::Text, FRAME, false)).await;
    client.send(part(Data::Continue, FRAME, false)).await;
    client.send(part(Data::Continue, FRAME, false)).await;
    client.send(part(Data::Continue, FRAME, true)).await;
    until("both", || count(&seen, "$default") == 2).await;
    client.send(Message::text("x".repeat(FRAME + 1))).await;
    assert_eq!(client.closed().await, 1009);

    let mut client = connect(&gateway).await;
    client.send(part(Data::Text, FRAME, false)).await;
    for _ in 0..4 {
        // It may be cut before all of it is written.
        let _ = client.socket.send(part(Data::Continue, FRAME, false)).await;
    }
    assert_eq!(client.closed().await, 1009);

    let mut client = connect(&gateway).await;
    client.send(Message::binary(vec![1, 2, 3])).await;
    assert_eq!(client.closed().await, 1003);
    until("all", || count(&seen, "$disconnect") == 3).await;
    assert_eq!(count(&seen, "$default"), 2);
}

#[tokio::test]
async fn connections_that_are_idle_or_old_are_closed() {
    let ages = Ages { idle: Duration::from_millis(50), maximum: Duration::from_secs(100) };
    let (gateway, seen) = double(plan().ages(ages), fine).await;
    let mut client = connect(&gateway).await;
    assert_eq!(client.closed().await, 1001);
    let event = event_of(&seen, "$disconnect").await;
    assert_eq!(event["requestContext"]["disconnectStatusCode"], 1001);
    assert_eq!(event["requestContext"]["disconnectReason"], "Going away");

    let ages = Ages { idle: Duration::from_secs(100), maximum: Duration::from_millis(50) };
    let (gateway, _) = double(plan().ages(ages), fine).await;
    let mut client = connect(&gateway).await;
    // It may have been closed by now.
    let _ = client.socket.send("hello".into()).await;
    assert_eq!(client.closed().await, 1001);
}

#[tokio::test]
async fn pings_are_answered_and_neither_reach_a_function_nor_keep_a_connection_open() {
    let ages = Ages { idle: Duration::from_millis(200), maximum: Duration::from_secs(100) };
    let (gateway, seen) = double(plan().ages(ages), fine).await;
    let busy = async {
        // A busy machine may have no time for a first ping before the connection is closed.
        while pongs_until_closed(connect(&gateway).await).await == 0 {}
    };
    tokio::time::timeout(PATIENCE, busy).await.expect("a connection is kept open, or deaf");
    event_of(&seen, "$disconnect").await;
    assert_eq!(count(&seen, "$default"), 0);
}

/// Pings until the idle connection is closed: how many pings were answered.
async fn pongs_until_closed(mut client: Client) -> usize {
    let mut pongs = 0;
    loop {
        let _ = client.socket.send(Message::Ping(Vec::new().into())).await;
        match client.socket.next().await {
            Some(Ok(Message::Pong(_))) => pongs += 1,
            Some(Ok(Message::Close(Some(frame)))) => {
                assert_eq!(u16::from(frame.code), 1001);
                return pongs;
            }
            other => panic!("neither a pong nor a close: {other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_disconnect_says_how_the_connection_ended() {
    let frame = |code: u16| CloseFrame { code: code.into(), reason: "bye".into() };
    let none = (1005, "Client-side close frame status not set");
    for (close, expected) in [
        (Some(Some(frame(1000))), (1000, "bye")),
        (Some(Some(frame(4001))), (4001, "bye")),
        (Some(None), none),
        (None, (1006, "")),
    ] {
        let (gateway, seen) = double(plan(), fine).await;
        let mut client = connect(&gateway).await;
        match close {
            Some(frame) => client.socket.close(frame).await.unwrap(),
            None => drop(client),
        }
        let context = &event_of(&seen, "$disconnect").await["requestContext"];
        assert_eq!(context["disconnectStatusCode"], expected.0);
        assert_eq!(context["disconnectReason"], expected.1);
    }
}

#[tokio::test]
async fn a_disconnect_comes_as_often_as_it_is_told() {
    let span = Duration::from_millis(30);
    for (disconnects, times) in [
        (Disconnects::Never, 0),
        (Disconnects::Once, 1),
        (Disconnects::Twice, 2),
        (Disconnects::Late(span), 1),
    ] {
        let (gateway, seen) = double(plan(), fine).await;
        gateway.change(|knobs| knobs.disconnects = disconnects);
        let client = connect(&gateway).await;
        gateway.change(|knobs| knobs.disconnects = Disconnects::Once);
        drop(client);
        until("the close", || closed(&gateway) == 1).await;
        let at = gateway.events().last().unwrap().at;
        until("all of them", || count(&seen, "$disconnect") == times).await;
        if disconnects == Disconnects::Late(span) {
            assert!(at.elapsed() >= span);
        }
        // What is served after it, comes after it.
        let mut other = connect(&gateway).await;
        other.send("hello".into()).await;
        event_of(&seen, "$default").await;
        assert_eq!(count(&seen, "$disconnect"), times);
    }
}
