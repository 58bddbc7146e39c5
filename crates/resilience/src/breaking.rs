//! A store that fails is left alone for a while.

use std::sync::Arc;

use ambo_app::ports::{FaultKind, Store, StoreFault};
use ambo_core::Millis;
use tokio::time::Instant;

use crate::breaker::Turn;
use crate::call::{UnderWay, every_call_goes_through};
use crate::{Call, Health};

/// Turns calls away at once where the ones before have failed in a row, so that clients need not
/// wait for a failure and the store can recover.
///
/// Each operation has its own breaker: what fails takes nothing with it that works. A store that
/// is down altogether shows at its first operation, `load`, which every event begins with.
///
/// Transient and unavailable count as failures. Contended and broken do not: the store has
/// answered, be it that one row is wanted by too many or cannot be read, and one session's row
/// must not shut out all the others.
///
/// [`check`](Store::check) has none: it is how others learn that the store is back, and must not
/// say for half a minute what was true before.
pub struct BreakingStore {
    inner: Arc<dyn Store>,
    health: Arc<Health>,
}

impl BreakingStore {
    /// Wraps a store. The breakers are those of `health`.
    pub fn new(inner: Arc<dyn Store>, health: Arc<Health>) -> Self {
        Self { inner, health }
    }

    async fn through<'a, T>(
        &self,
        call: Call,
        run: impl Fn() -> UnderWay<'a, T>,
    ) -> Result<T, StoreFault> {
        if call == Call::Check {
            return run().await;
        }
        let pass = self.health.breaker(call).enter(Instant::now()).map_err(|left| {
            let left = left.as_nanos().div_ceil(1_000_000);
            let left = Millis(u64::try_from(left).unwrap_or(u64::MAX));
            StoreFault::unavailable(left, "the circuit breaker is open")
        })?;
        let result = run().await;
        let now = Instant::now();
        let turn = match result.as_ref().map_err(|fault| fault.kind) {
            Ok(_) | Err(FaultKind::Contended { .. } | FaultKind::Broken) => pass.succeeded(now),
            Err(FaultKind::Transient | FaultKind::Unavailable { .. }) => pass.failed(now),
        };
        log(call, turn);
        result
    }
}

every_call_goes_through!(BreakingStore);

fn log(call: Call, turn: Turn) {
    let operation = call.as_str();
    match turn {
        Turn::None => {}
        Turn::Opened => {
            tracing::warn!(component = "store", operation, "the circuit breaker opened");
        }
        Turn::Closed => {
            tracing::info!(component = "store", operation, "the circuit breaker closed");
        }
    }
}
