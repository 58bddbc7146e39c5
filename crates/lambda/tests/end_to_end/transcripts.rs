//! The golden conversations of `protocol/transcripts`, the same files as the server's.

use std::time::Duration;

use ambo_core::Millis;
use ambo_testkit::contract::{Ability, Client, Refused, Stage, conversations, converse};
use ambo_testkit::gateway;
use serde_json::Value;

use crate::support::{AMBO, Functions, World, bootstrap, manual};

/// What can be done on AWS, but for the time, which only a test moves.
const ABILITIES: [Ability; 2] = [Ability::Subprotocol, Ability::Refusals];

#[tokio::test]
async fn the_bootstrap_holds_the_golden_conversations() {
    let mut held = Vec::new();
    for (name, text) in conversations() {
        let set = async |given: &Value| set(Functions::Processes, given).await;
        if converse((&name, &text), &ABILITIES, set).await {
            held.push(name);
        }
    }
    // The others need audio, which does not pass here, or a clock that can be moved.
    let expected = ["control", "languages", "refusals", "session", "wrong-messages"];
    assert_eq!(held, expected.map(|name| format!("{name}.jsonl")));
}

#[tokio::test]
async fn the_functions_hold_those_that_take_hours() {
    let mut held = Vec::new();
    let abilities = [ABILITIES[0], ABILITIES[1], Ability::Clock];
    for (name, text) in conversations() {
        let set = async |given: &Value| set(Functions::InProcess(manual()), given).await;
        if text.contains("\"clock\"") && converse((&name, &text), &abilities, set).await {
            held.push(name);
        }
    }
    let expected = ["ages", "expiry", "refresh-listener", "refresh-speaker", "speaker-lost"];
    assert_eq!(held, expected.map(|name| format!("{name}.jsonl")));
}

async fn set(functions: Functions, given: &Value) -> World {
    let given = given.as_object().into_iter().flatten();
    let given = given.map(|(name, value)| (name.to_uppercase(), value.as_str().unwrap()));
    let given: Vec<_> = given.collect();
    let settings: Vec<_> = given.iter().map(|(name, value)| (&**name, *value)).collect();
    let world = World::start(functions.clone(), &settings).await;
    if matches!(functions, Functions::Processes) {
        world.connect_by_one_instance();
    }
    if settings.iter().any(|(name, _)| *name == "LANGUAGES") {
        world.know_languages().await;
    }
    world
}

impl World {
    /// One thing after the other: two instances that tell the same listener something, the second
    /// while the first is still at it, may do so in either order.
    fn connect_by_one_instance(&self) {
        let env = self.environment("connection");
        let env: Vec<_> = env.iter().map(|(name, value)| (&**name, &**value)).collect();
        let function = gateway::Function::binary(&bootstrap(), &env).concurrency(1);
        self.gateway.deploy("connection", function);
    }

    /// The services are asked when nobody waits; until they have answered a table holds.
    async fn know_languages(&self) {
        let mut attempts = 0;
        self.until("the languages", async || {
            attempts += 1;
            // Each somebody else, as one user has few attempts.
            let token = self.token(&format!("user-{attempts}"));
            let query = format!("action=createSession&sourceLanguage=fr&token={token}");
            matches!(self.knock(&query, &[]).await, Err(refused) if refused.status == 400)
        })
        .await;
    }
}

impl Stage for World {
    async fn knock(&self, query: &str, offer: Option<&str>) -> Result<Client, Refused> {
        let headers = if offer == Some(AMBO.1) { &[AMBO][..] } else { &[] };
        self.knock(query, headers).await
    }

    fn token(&self, user: &str) -> String {
        self.token(user)
    }

    /// In steps of a minute, as the schedule ticks.
    async fn pass(&self, span: Duration) {
        const MINUTE: Duration = Duration::from_secs(60);
        let mut left = span;
        while !left.is_zero() {
            self.gateway.settle().await;
            let step = left.min(MINUTE);
            self.clock.advance(Millis(step.as_millis() as u64));
            self.sweep().await;
            left -= step;
        }
    }
}
