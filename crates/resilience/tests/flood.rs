//! A flood of warnings. In a process of its own: which lines are written is decided once for all
//! threads.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(dead_code, reason = "the world is made for more tests than this")]

#[path = "it/world.rs"]
mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ambo_app::ports::Paid;
use ambo_core::limits::Identity;
use ambo_core::rules::Toll;
use ambo_core::{LimitKey, Millis, Operation, Rate, SourceAddress};

use world::Fate::Broken;
use world::{NOW, Wrapped, pass, wrapped};

#[tokio::test(start_paused = true)]
async fn a_flood_is_warned_of_once_a_second() {
    let Wrapped { faulty, store, health } = wrapped();
    faulty.always("pay", Broken);
    let (warnings, _guard) = count_warnings();
    let source = SourceAddress::of("192.0.2.1".parse().unwrap());
    let identity = Identity::Source(source);
    let toll = Toll::Take(LimitKey { operation: Operation::Connect, identity });
    let rate = Rate::new(1, Millis::from_mins(1));
    for second in 1..=3 {
        for _ in 0..1_000 {
            assert_eq!(store.pay(&toll, rate, NOW).await.unwrap(), Paid::Yes);
        }
        assert_eq!(warnings.load(Ordering::SeqCst), second);
        pass(Duration::from_secs(1)).await;
    }
    assert_eq!(health.unlimited(), 3_000);
}

/// Counts what is logged as a warning, for as long as the guard lives.
fn count_warnings() -> (Arc<AtomicU64>, tracing::subscriber::DefaultGuard) {
    let count = Arc::<AtomicU64>::default();
    let guard = tracing::subscriber::set_default(Warnings(Arc::clone(&count)));
    (count, guard)
}

struct Warnings(Arc<AtomicU64>);

impl tracing::Subscriber for Warnings {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::WARN
    }

    fn event(&self, _: &tracing::Event<'_>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}
