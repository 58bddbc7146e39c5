//! Who a token speaks for.

use ambo_core::event::Token;
use ambo_core::refusal::Unauthorized;
use ambo_core::{Millis, UserId};
use async_trait::async_trait;

/// Knows the users behind tokens.
#[async_trait]
pub trait Keys: Send + Sync {
    /// The user a token was issued to, once its signature, times, issuer and audience are
    /// verified. `now` is the moment it was shown. Whatever the token holds, this neither panics
    /// nor writes it anywhere.
    async fn identify(&self, token: &Token, now: Millis) -> Result<UserId, Unidentified>;
}

/// Why a token names nobody.
#[derive(Debug, thiserror::Error)]
pub enum Unidentified {
    /// It is not good.
    #[error("{}", .0.message())]
    Refused(Unauthorized),
    /// Nobody can tell right now: the issuer does not answer and its keys are not known.
    #[error("the identity provider cannot be reached")]
    Unavailable {
        /// When asking again makes sense.
        retry_after: Millis,
        /// What happened.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
