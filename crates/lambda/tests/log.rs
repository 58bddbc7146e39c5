//! What is logged, and what never is. In a process of its own: which lines are written is decided
//! once for all threads.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(dead_code, reason = "the world is made for more tests than this")]

#[path = "it/world.rs"]
mod world;

use std::io::Write;
use std::sync::Arc;

use ambo_lambda::logging;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tracing::Level;

use world::{World, connect_event, join};

/// A log that tests read.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn every_line_has_the_fields_and_nothing_that_names_a_person() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = logging::subscriber(Level::DEBUG, move || writer.clone());
    let _guard = tracing::subscriber::set_default(subscriber);
    let world = World::new().await;
    let token = world.token("ann@example.org").0;
    let create = [("action", "createSession"), ("sourceLanguage", "en"), ("token", &*token)];
    let mut event = connect_event("L0SM9cOFvHcCIhw=", None, &create, &[]);
    event["methodArn"] = json!("arn:aws:execute-api:eu-central-1:1:a/prod/$connect");
    world.give("authorizer", event).await;
    world.connect("L0SM9cOFvHcCIhw=", Some("ann@example.org"), &create).await;
    let told = world.take("L0SM9cOFvHcCIhw=");
    let session = told[0]["sessionId"].as_str().unwrap();
    world.knock("Q7hP2mXbTn0Zk4c=", None, &join("gentle-river-100", "es")).await;
    world.connect("Q7hP2mXbTn0Zk4c=", None, &join(session, "es")).await;
    world.connect("Q7hP2mXbTn0Zk5d=", None, &join(session, "es")).await;
    world.spoil("Q7hP2mXbTn0Zk5d=").await;
    world.answer("Q7hP2mXbTn0Zk4c=", &[500; 9]);
    world.say("connection", "L0SM9cOFvHcCIhw=", json!({ "action": "dance" })).await;
    world.say("heartbeat", "L0SM9cOFvHcCIhw=", json!({ "action": "heartbeat" })).await;
    world.say("connection", "L0SM9cOFvHcCIhw=", json!({ "action": "endSession" })).await;
    world.give("disconnect", json!({})).await;
    world.answer("Q7hP2mXbTn0Zk6e=", &[410; 8]);
    world.connect("Q7hP2mXbTn0Zk6e=", Some("ann@example.org"), &create).await;
    let text = String::from_utf8(log.0.lock().clone()).unwrap();
    for secret in ["L0SM9", "Q7hP2", "192.0.2", "ann@", "example.org", &token, "eyJ"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for line in &lines {
        for field in ["timestamp", "level", "component", "operation", "message"] {
            assert!(line[field].is_string(), "{field} in {line}");
        }
    }
    let said = |message: &str| {
        let found = lines.iter().find(|line| line["message"] == message);
        found.unwrap_or_else(|| panic!("{message} in {text}"))
    };
    let accepted = said("accepted");
    assert_eq!(
        (&accepted["operation"], &accepted["sessionId"]),
        (&json!("createSession"), &json!(session))
    );
    assert!(accepted["durationMs"].is_u64() && accepted["userContext"].is_string());
    assert_eq!(accepted["correlationId"].as_str().unwrap().len(), 16);
    assert_eq!(said("refused")["errorCode"], "SESSION_NOT_FOUND");
    assert_eq!(said("a connection could not be reached")["component"], "outbox");
    assert_eq!(said("a first message could not be delivered")["operation"], "postFirstMessage");
    assert_eq!(said("ended")["correlationId"], session);
    let unreadable = said("a row that cannot be read is passed over");
    assert_eq!(unreadable["correlationId"].as_str().unwrap().len(), 16);
    assert_eq!(unreadable["sessionId"], session);
}
