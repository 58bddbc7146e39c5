//! Whatever happens, in any order and at once; see `ambo_testkit::interleavings`.

use std::sync::atomic::{AtomicU32, Ordering};

use ambo_store_redis::{Engine, RedisStore};
use ambo_testkit::interleavings::{play, rage, steps};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

use crate::servers;

/// A store of which nobody else knows.
async fn new_store(url: &str) -> RedisStore {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let prefix = format!("world{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let settings = servers::settings(url).with_key_prefix(&prefix).unwrap();
    RedisStore::new(Engine::connect(&settings).await.unwrap())
}

fn config() -> ProptestConfig {
    // What has failed once is played first, every time.
    let kept = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/store/failures.txt");
    ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(kept))),
        // Each holds thousands of answers of a server against the model.
        cases: 48,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn whatever_happens_the_world_is_as_the_model_says(steps in steps()) {
        let server = servers::now(servers::server());
        play(async || new_store(&server.url()).await, &steps);
    }
}

#[test]
fn whatever_happens_at_once_nothing_is_lost_on_one_server() {
    let server = servers::now(servers::server());
    for seed in 0..12 {
        rage(async || new_store(&server.url()).await, seed);
    }
}

#[test]
fn whatever_happens_at_once_nothing_is_lost_on_a_cluster() {
    let cluster = servers::now(servers::cluster());
    for seed in 100..104 {
        rage(async || new_store(&cluster.url()).await, seed);
    }
}
