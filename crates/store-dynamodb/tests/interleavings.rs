//! Whatever happens, in any order and at once; see `ambo_testkit::interleavings`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use ambo_store_dynamodb::DynamoStore;
use ambo_testkit::dynamo::Engine;
use ambo_testkit::interleavings::{play, rage, steps};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

async fn new_store(engine: Engine) -> DynamoStore {
    let (server, tables) = common::lasting_tables(engine).await;
    DynamoStore::new(server.client(), tables)
}

/// Each case holds thousands of answers of a server against the model.
fn config(cases: u32) -> ProptestConfig {
    // What has failed once is played first, every time.
    let kept = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interleavings.failures.txt");
    ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(kept))),
        cases,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config(24))]

    #[test]
    fn whatever_happens_the_world_is_as_the_model_says(steps in steps()) {
        play(async || new_store(Engine::Dynoxide).await, &steps);
    }
}

proptest! {
    #![proptest_config(config(3))]

    #[test]
    fn so_it_is_on_dynamodb_local(steps in steps()) {
        play(async || new_store(Engine::DynamoDbLocal).await, &steps);
    }
}

#[test]
fn whatever_happens_at_once_nothing_is_lost() {
    for seed in 0..6 {
        rage(async || new_store(Engine::Dynoxide).await, seed);
    }
}

#[test]
fn whatever_happens_at_once_nothing_is_lost_on_dynamodb_local() {
    rage(async || new_store(Engine::DynamoDbLocal).await, 100);
}
