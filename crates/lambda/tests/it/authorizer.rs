//! Who is let through to `$connect`, and as whom.

use ambo_core::Millis;
use serde_json::{Value, json};

use crate::world::{Pairs, World, connect_event};

const METHOD: &str = "arn:aws:execute-api:eu-central-1:123456789012:a1b2c3/prod/$connect";
const CREATE: [(&str, &str); 2] = [("action", "createSession"), ("sourceLanguage", "en")];

fn event(query: &[(&str, &str)], headers: &[(&str, &str)]) -> Value {
    let mut event = connect_event("c", None, query, headers);
    event["methodArn"] = json!(METHOD);
    event["type"] = json!("REQUEST");
    event
}

fn effect(policy: &Value) -> &str {
    let statement = &policy["policyDocument"]["Statement"][0];
    assert_eq!(statement["Action"], "execute-api:Invoke");
    statement["Effect"].as_str().unwrap()
}

#[tokio::test]
async fn only_a_speakers_token_is_looked_at() {
    let world = World::new().await;
    let good = world.token("ann").0;
    let with = |token| [CREATE[0], CREATE[1], ("token", token)];
    let join = |token| {
        [
            ("action", "joinSession"),
            ("sessionId", "gentle-river-100"),
            ("targetLanguage", "es"),
            ("token", token),
        ]
    };
    let cases: [(Pairs<'_>, Pairs<'_>, &str, Value); 8] = [
        (&with(&good), &[], "Allow", json!({ "userId": "ann" })),
        (
            &CREATE,
            &[("authorization", &format!("Bearer {good}"))],
            "Allow",
            json!({ "userId": "ann" }),
        ),
        (&CREATE, &[], "Allow", json!({})),
        (&with("bad"), &[], "Deny", json!({})),
        (&with("user:ann"), &[], "Deny", json!({})),
        (&join("bad"), &[], "Allow", json!({})),
        (&[("action", "dance"), ("token", "bad")], &[], "Allow", json!({})),
        (&[], &[], "Allow", json!({})),
    ];
    for (query, headers, expected, context) in cases {
        let policy = world.give("authorizer", event(query, headers)).await;
        assert_eq!((effect(&policy), &policy["context"]), (expected, &context), "{query:?}");
        assert_eq!(policy["policyDocument"]["Statement"][0]["Resource"], METHOD);
    }
    world.clock.advance(Millis::from_mins(61));
    let policy = world.give("authorizer", event(&with(&good), &[])).await;
    assert_eq!(effect(&policy), "Deny", "it expired");
    assert_eq!(world.metric("ConnectionErrors"), [1.0; 3], "nobody else can count these");
}

#[tokio::test]
async fn keys_are_asked_for_once_and_a_dead_issuer_stops_no_listener() {
    let world = World::new().await;
    let good = world.token("ann").0;
    let query = [CREATE[0], CREATE[1], ("token", &*good)];
    let asked = || world.stub.asked.lock().iter().filter(|asked| asked.path == "/jwks").count();
    for _ in 0..5 {
        world.give("authorizer", event(&query, &[])).await;
    }
    assert_eq!(asked(), 1);
    world.page("/jwks", 503, json!({}));
    assert_eq!(effect(&world.give("authorizer", event(&query, &[])).await), "Allow");
    world.freeze();
    let policy = world.give("authorizer", event(&query, &[])).await;
    assert_eq!(effect(&policy), "Allow");
    assert_eq!(policy["context"], json!({ "identity": "unavailable" }));
}

/// Lambda stops whatever a function has under way when it has answered.
#[tokio::test]
async fn a_revoked_key_is_not_used_when_the_keys_are_an_hour_old() {
    let world = World::new().await;
    let knock = async || {
        let good = world.token("ann").0;
        let query = [CREATE[0], CREATE[1], ("token", &*good)];
        effect(&world.give("authorizer", event(&query, &[])).await).to_owned()
    };
    assert_eq!(knock().await, "Allow");
    let other = World::new().await.jwks();
    world.page("/jwks", 200, other);
    world.clock.advance(Millis::from_mins(59));
    assert_eq!(knock().await, "Allow");
    world.clock.advance(Millis::from_mins(1));
    assert_eq!(knock().await, "Deny");
}

#[tokio::test]
async fn an_event_without_a_method_allows_nothing() {
    let world = World::new().await;
    for event in [json!({}), json!(null), json!({ "methodArn": 7 })] {
        let policy = world.give("authorizer", event).await;
        assert_eq!(effect(&policy), "Deny");
    }
}
