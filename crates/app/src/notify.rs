//! Telling others, once the one who asked has been answered.

use ambo_core::{Audience, Millis, Notice, Tidings};

use crate::App;

impl App {
    /// Delivers an outcome's notices in their order. Called after its reply was written and its
    /// grant seated, so that nobody hears of a thing before the one who did it.
    pub async fn notify(&self, notices: &[Notice], now: Millis) {
        for notice in notices {
            self.outbox.deliver(notice, now).await;
            if let Notice { audience: Audience::Everyone(session), tidings: Tidings::Ended { .. } } =
                notice
                && let Err(fault) = self.store.forget(session).await
            {
                // The session is over all the same; the store's own clean-up takes the rest.
                tracing::warn!(
                    component = "app",
                    operation = "forget",
                    correlationId = %session,
                    error = %crate::walk::chain(&fault),
                    "an ended session left something behind"
                );
            }
        }
    }
}
