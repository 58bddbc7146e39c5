//! Pauses between attempts that the SDK knows nothing of.

use std::time::Duration;

/// The longest pause before the second attempt.
const FIRST: Duration = Duration::from_millis(20);
/// How often it doubles.
const DOUBLINGS: u32 = 4;

/// Waits before the `attempt`-th attempt after the first: for anything from nothing to the whole
/// pause, so that rivals spread out.
pub(crate) async fn pause(attempt: u32) {
    let longest = FIRST * 2_u32.pow(attempt.saturating_sub(1).min(DOUBLINGS));
    tokio::time::sleep(longest.mul_f64(fastrand::f64())).await;
}
