//! Events in the shapes API Gateway sends, and in shapes it should not.

use serde_json::{Value, json};

use crate::world::World;

fn fixture(name: &str) -> Value {
    let path = format!("{}/tests/events/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[tokio::test]
async fn the_golden_events_make_a_session() {
    let world = World::new().await;
    let policy = world.give("authorizer", fixture("authorize")).await;
    assert_eq!(policy["policyDocument"]["Statement"][0]["Effect"], "Allow");
    let response = world.give("connection", fixture("connect-create")).await;
    assert_eq!(response["headers"]["Sec-WebSocket-Protocol"], "ambo.v1");
    world.run_orders().await;
    let told = world.take("L0SM9cOFvHcCIhw=");
    assert_eq!(told[0]["connectionId"], "L0SM9cOFvHcCIhw=");
    let session = told[0]["sessionId"].as_str().unwrap();
    let mut join = fixture("connect-join");
    join["queryStringParameters"]["sessionId"] = json!(session);
    join["multiValueQueryStringParameters"]["sessionId"] = json!([session]);
    assert_eq!(world.give("connection", join).await["statusCode"], 200);
    world.run_orders().await;
    let speaker = "L0SM9cOFvHcCIhw=";
    world.take(speaker);
    world.give("heartbeat", fixture("message-heartbeat")).await;
    assert_eq!(world.types(speaker), ["heartbeatAck"]);
    world.give("connection", fixture("message-default")).await;
    assert_eq!(world.take(speaker)[0]["code"], "INVALID_MESSAGE");
    world.give("disconnect", fixture("disconnect")).await;
    assert_eq!(world.types("Q7hP2mXbTn0Zk4c="), ["sessionJoined", "sessionPaused"]);
    assert_eq!(world.give("disconnect", fixture("scheduled")).await["statusCode"], 200);
}

/// Every field of a golden event, left out or of another type: each has an answer.
#[tokio::test]
async fn a_field_that_is_missing_or_wrong_has_a_defined_reading() {
    let world = World::new().await;
    let cases = [
        ("authorizer", "authorize"),
        ("connection", "connect-create"),
        ("connection", "connect-join"),
        ("connection", "message-default"),
        ("heartbeat", "message-heartbeat"),
        ("disconnect", "disconnect"),
        ("disconnect", "scheduled"),
    ];
    for (handler, name) in cases {
        for path in paths(&fixture(name)) {
            for broken in [None, Some(json!(7)), Some(json!({}))] {
                let mut event = fixture(name);
                *event.pointer_mut(&path).unwrap() = broken.clone().unwrap_or_default();
                if broken.is_none() {
                    remove(&mut event, &path);
                }
                let answer = world.give(handler, event).await;
                let is_answer =
                    answer["statusCode"].is_u64() || answer["policyDocument"].is_object();
                assert!(is_answer, "{handler} {path} {broken:?}: {answer}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_no_event_is_an_error_of_whoever_sent_it() {
    let world = World::new().await;
    for event in
        [json!(null), json!(7), json!({}), json!({ "requestContext": { "eventType": "TEA" } })]
    {
        for handler in ["connection", "heartbeat", "refresh", "disconnect"] {
            let answer = world.give(handler, event.clone()).await;
            assert_eq!(answer, json!({ "statusCode": 500 }), "{handler}: {event}");
        }
    }
}

/// Every place in a value, as JSON pointers.
fn paths(value: &Value) -> Vec<String> {
    let Some(fields) = value.as_object() else { return Vec::new() };
    let below = |(name, value): (&String, &Value)| {
        let name = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
        let inner: Vec<_> = paths(value).iter().map(|path| format!("{name}{path}")).collect();
        [vec![name], inner].concat()
    };
    fields.iter().flat_map(below).collect()
}

fn remove(event: &mut Value, path: &str) {
    let (parent, name) = path.rsplit_once('/').unwrap();
    event.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(&name.replace("~1", "/"));
}
