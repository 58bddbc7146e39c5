//! Rules 7, 13 and 15: what events look like. The golden files have the shapes of the public
//! fixtures; `*` stands for any text and `#` for any number.

use ambo_testkit::gateway::Function;
use aws_lambda_events::apigw::{
    ApiGatewayCustomAuthorizerRequestTypeRequest, ApiGatewayWebsocketProxyRequest,
};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::sync::Arc;

use crate::support::{double, event_of, fine, knock, plan};

fn golden(name: &str) -> Value {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/gateway/golden");
    serde_json::from_str(&std::fs::read_to_string(format!("{folder}/{name}.json")).unwrap())
        .unwrap()
}

/// Holds that both have the same fields, and the same values where the golden one names them.
fn compare(place: &str, golden: &Value, found: &Value) {
    match (golden, found) {
        (Value::Object(wanted), Value::Object(fields)) => {
            let names = |map: &serde_json::Map<String, Value>| {
                map.keys().cloned().collect::<std::collections::BTreeSet<_>>()
            };
            assert_eq!(names(fields), names(wanted), "{place}");
            for (name, wanted) in wanted {
                compare(&format!("{place}.{name}"), wanted, &fields[name]);
            }
        }
        (Value::Array(wanted), Value::Array(values)) => {
            assert_eq!(values.len(), wanted.len(), "{place}");
            for (wanted, value) in wanted.iter().zip(values) {
                compare(place, wanted, value);
            }
        }
        (Value::String(any), Value::String(text)) if any == "*" => assert!(!text.is_empty()),
        (Value::String(any), found) if any == "#" => assert!(found.is_u64(), "{place}: {found}"),
        (wanted, found) => assert_eq!(found, wanted, "{place}"),
    }
}

#[tokio::test]
async fn events_have_the_shape_of_the_public_fixtures() {
    let (gateway, seen) = double(plan().authorizer("a", &[]), fine).await;
    let asked: Arc<Mutex<Vec<Value>>> = Arc::default();
    let kept = asked.clone();
    gateway.deploy(
        "a",
        Function::scripted(move |event| {
            kept.lock().push(event);
            async {
                Ok(json!({ "principalId": "anonymous", "policyDocument": { "Statement": {
                    "Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "*" } } }))
            }
        }),
    );
    let query = "?action=joinSession&targetLanguage=es&name=a%20b&name=%C3%BC";
    let headers = [("user-agent", "tests"), ("x-some-thing", "1")];
    let mut client = knock(&gateway, query, &headers).await.unwrap();
    client.send(r#"{"action":"heartbeat"}"#.into()).await;
    event_of(&seen, "heartbeat").await;
    client.socket.close(None).await.unwrap();
    let authorize = asked.lock()[0].clone();
    compare("authorize", &golden("authorize"), &authorize);
    let request: ApiGatewayCustomAuthorizerRequestTypeRequest =
        serde_json::from_value(authorize).unwrap();
    assert_eq!(request.query_string_parameters.first("name").unwrap(), "ü");
    let mut ids = std::collections::BTreeSet::new();
    let mut begun = std::collections::BTreeSet::new();
    for (route, name) in
        [("$connect", "connect"), ("heartbeat", "message"), ("$disconnect", "disconnect")]
    {
        let event = event_of(&seen, route).await;
        compare(name, &golden(name), &event);
        let parsed: ApiGatewayWebsocketProxyRequest = serde_json::from_value(event).unwrap();
        ids.insert(parsed.request_context.connection_id.unwrap());
        begun.insert(parsed.request_context.connected_at);
    }
    // Both are the same for as long as the connection lasts.
    assert_eq!((ids.len(), begun.len()), (1, 1));
}

#[tokio::test]
async fn a_tick_has_the_shape_of_eventbridge() {
    let (gateway, seen) = double(plan(), fine).await;
    gateway.tick("f").await.unwrap();
    compare("scheduled", &golden("scheduled"), &seen.lock()[0]);
}
