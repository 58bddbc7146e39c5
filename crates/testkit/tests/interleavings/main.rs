//! Random interleavings of everything that can happen, on the embedded store.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use ambo_app::ports::{Store, Totals};
use ambo_core::Millis;
use ambo_store_embedded::{EmbeddedSettings, EmbeddedStore};
use ambo_testkit::interleavings::{play, rage, steps};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

fn config() -> ProptestConfig {
    // What has failed once is played first, every time.
    let kept = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interleavings/failures.txt");
    ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(kept))),
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn whatever_happens_the_world_is_as_the_model_says(steps in steps()) {
        play(async || EmbeddedStore::in_memory(), &steps);
    }
}

#[test]
fn whatever_happens_at_once_nothing_is_lost_in_memory() {
    for seed in 0..60 {
        rage(async || EmbeddedStore::in_memory(), seed);
    }
}

#[test]
fn whatever_happens_at_once_nothing_is_lost_on_disk() {
    for seed in 100..110 {
        let directory = tempfile::tempdir().unwrap();
        let settings = EmbeddedSettings {
            directory: directory.path().to_owned(),
            speaker_grace: Millis::from_secs(20),
            now: Millis(1_700_000_000_000),
        };
        rage(async || EmbeddedStore::open(&settings).unwrap(), seed);
        // And the disk agrees that nothing is left.
        let store = EmbeddedStore::open(&settings).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        assert_eq!(runtime.block_on(store.totals()).unwrap(), Totals::default());
    }
}
