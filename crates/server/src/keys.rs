//! The identity provider, by the machine's own clock.

use std::sync::Arc;

use ambo_app::ports::{Keys, Unidentified};
use ambo_core::{Millis, Token, UserId};
use ambo_identity::Identity;
use async_trait::async_trait;

use crate::clock::Clock;

/// Ages are measured by a clock that no step disturbs; a token's times were written by others,
/// by the time of day.
pub(crate) struct WallClockKeys {
    pub(crate) identity: Arc<Identity>,
    pub(crate) clock: Clock,
}

#[async_trait]
impl Keys for WallClockKeys {
    async fn identify(&self, token: &Token, _now: Millis) -> Result<UserId, Unidentified> {
        self.identity.identify(token, self.clock.wall()).await
    }
}
