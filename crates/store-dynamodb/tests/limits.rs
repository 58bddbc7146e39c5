//! What a limit costs, and what becomes of it when it cannot be asked.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use ambo_app::ports::{Paid, Store};
use ambo_core::limits::{Identity, LimitKey, Operation};
use ambo_core::rules::Toll;
use ambo_core::{Millis, Rate};
use ambo_resilience::Settings;
use ambo_store_dynamodb::DynamoStore;
use ambo_testkit::dynamo::{DynamoServer, Engine, create_tables};
use common::between::{Mishap, refusal};
use common::{names, new_names, now, source, watched};

const THREE: Rate = Rate::new(3, Millis::from_mins(1));

fn toll() -> Toll {
    let identity = Identity::Source(source());
    Toll::Take(LimitKey { operation: Operation::JoinSession, identity })
}

#[tokio::test]
async fn a_token_costs_one_update_and_a_second_only_of_a_bucket_in_use() {
    let (store, between) = watched().await;
    let now = now();
    let mut updates = Vec::new();
    for expected in [true, true, true, false, false] {
        let before = between.requests("UpdateItem").len();
        let paid = store.pay(&toll(), THREE, now).await.unwrap();
        assert_eq!(paid == Paid::Yes, expected, "{paid:?}");
        updates.push(between.requests("UpdateItem").len() - before);
    }
    assert_eq!(updates, [1, 2, 2, 1, 1]);
    assert_eq!(between.everything().len(), 7, "and nothing is read");
    let full = now + Millis::from_mins(3);
    assert_eq!(store.pay(&toll(), THREE, full).await.unwrap(), Paid::Yes);
    assert_eq!(between.requests("UpdateItem").len(), 8);
    let key = &between.requests("UpdateItem")[0]["Key"]["identifier"]["S"];
    let Toll::Take(expected) = toll() else { panic!() };
    assert_eq!(key.as_str().unwrap(), expected.to_text());
}

#[tokio::test]
async fn a_bucket_that_was_thrown_away_meanwhile_is_full() {
    let (store, between) = watched().await;
    // As if it had been there at the first update, and was gone at the second.
    let item = serde_json::json!({
        "__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",
        "message": "The conditional request failed",
        "Item": { "fullAt": { "N": (now().0 * 1_000 + 1_000_000).to_string() } },
    });
    between.will("UpdateItem", [Mishap::Refusal(400, item)]);
    assert_eq!(store.pay(&toll(), THREE, now()).await.unwrap(), Paid::Yes);
    assert_eq!(between.requests("UpdateItem").len(), 3);
}

#[tokio::test]
async fn a_throttled_limit_is_asked_again() {
    let (store, between) = watched().await;
    between.will("UpdateItem", [refusal(400, "ThrottlingException"), Mishap::Loss]);
    assert_eq!(store.pay(&toll(), THREE, now()).await.unwrap(), Paid::Yes);
}

#[tokio::test]
async fn a_limit_that_cannot_be_asked_lets_pass() {
    let server = DynamoServer::start(Engine::Dynoxide);
    let tables = new_names();
    create_tables(&server.client(), names(&tables)).await;
    let store = Arc::new(DynamoStore::new(server.client(), tables));
    // However busy the machine is, a limit that can be asked is asked.
    let call_limit = Duration::from_secs(60);
    let settings = Settings { attempts: 1, call_limit, ..Settings::default() };
    let resilient = ambo_resilience::wrap(store, &settings);
    let once = Rate::new(1, Millis::from_mins(1));
    assert_eq!(resilient.store.pay(&toll(), once, now()).await.unwrap(), Paid::Yes);
    let wait = resilient.store.pay(&toll(), once, now()).await.unwrap();
    assert!(matches!(wait, Paid::Wait(_)), "{wait:?}");
    assert_eq!(resilient.health.unlimited(), 0);
    drop(server);
    assert_eq!(resilient.store.pay(&toll(), once, now()).await.unwrap(), Paid::Yes);
    assert_eq!(resilient.health.unlimited(), 1);
    assert!(resilient.store.check().await.is_err());
}
