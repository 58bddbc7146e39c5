//! The way to everybody who did not ask.

use ambo_core::{Millis, Notice};
use async_trait::async_trait;

/// Delivers notices.
#[async_trait]
pub trait Outbox: Send + Sync {
    /// Brings a notice to its audience, in parallel, each member once.
    ///
    /// Notices that one caller delivers one after the other reach each member in that order. A
    /// member that cannot be reached delays nobody, and is the outbox's own affair: nothing is
    /// reported back. After an [`Ended`](ambo_core::Tidings::Ended) the connections are closed.
    async fn deliver(&self, notice: &Notice, now: Millis);
}
