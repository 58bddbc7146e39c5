//! The golden conversations of `protocol/transcripts`, replayed; its README says what they mean.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use ambo_server::settings::{self, Settings, Sources};
use ambo_testkit::contract::{self, Ability, Client, Stage};
use futures_util::FutureExt as _;
use serde_json::Value;

use crate::harness::{AMBO, World};
use crate::support::settle;

#[tokio::test]
async fn every_golden_conversation_is_held() {
    for (name, text) in contract::conversations() {
        replay(&name, &text).await;
    }
}

const SMALL: &str = r#"{"about": "", "needs": [], "clients": false}
{"conn": "a", "do": "connect", "query": {"action": "createSession", "sourceLanguage": "en"}, "token": "a"}
{"conn": "a", "expect": {"type": "sessionCreated", "sessionId": "$s", "timestamp": "$x", "expiresAt": "$x+7200000", "a": null}}
{"conn": "a", "send": {"action": "getSessionStatus"}}
{"conn": "a", "expect": {"type": "sessionStatus", "sessionId": "$s", "listenerCount": 0}}"#;

#[tokio::test]
async fn a_conversation_that_went_otherwise_is_told_by_its_line() {
    replay("small", SMALL).await;
    let cases = [
        ("\"$s\", \"listenerCount\"", "\"$x\", \"listenerCount\"", 5),
        ("\"listenerCount\": 0", "\"listenerCount\": 1", 5),
        ("\"listenerCount\": 0", "\"broadcastState\": {\"isPaused\": true}", 5),
        ("\"a\": null", "\"a\": \"$_\"", 3),
        ("\"a\": null", "\"timestamp\": null", 3),
        ("$x+7200000", "$x+7200001", 3),
        ("\"expect\": {\"type\": \"sessionCreated\"", "\"expectBinary\": {\"kind\": \"1\"", 3),
        (
            "{\"type\": \"sessionStatus\", \"sessionId\": \"$s\", \"listenerCount\": 0}",
            "{}, \"do\": \"x\"",
            5,
        ),
    ];
    for (from, to, line) in cases {
        let wrong = SMALL.replacen(from, to, 1);
        assert_ne!(wrong, SMALL, "{from}");
        let told = AssertUnwindSafe(replay("small", &wrong)).catch_unwind().await.unwrap_err();
        let told = told.downcast_ref::<String>().unwrap();
        assert!(told.starts_with(&format!("small, line {line}:")), "{told}");
    }
}

async fn replay(name: &str, text: &str) {
    let set = async |given: &Value| Server(World::start(|own| configure(own, given)).await);
    assert!(contract::converse((name, text), &Ability::ALL, set).await, "{name} was left out");
}

fn configure(settings: &mut Settings, given: &Value) {
    let given = given.as_object().into_iter().flatten();
    let flags = given.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()));
    let sources = Sources { flags: flags.collect(), ..Sources::default() };
    let (listen, data_dir) = (settings.listen, settings.data_dir.clone());
    *settings = settings::load(&sources).unwrap();
    (settings.listen, settings.data_dir) = (listen, data_dir);
}

/// A server can do all that conversations ask for.
struct Server(World);

impl Stage for Server {
    async fn knock(&self, query: &str, offer: Option<&str>) -> Result<Client, contract::Refused> {
        let headers = if offer == Some(AMBO.1) { &[AMBO][..] } else { &[] };
        Client::knock(&format!("ws://{}/ws?{query}", self.0.address()), headers).await
    }

    fn token(&self, user: &str) -> String {
        self.0.token(user)
    }

    async fn pass(&self, span: Duration) {
        settle(&self.0).await;
        self.0.pass(span).await;
        settle(&self.0).await;
    }
}
