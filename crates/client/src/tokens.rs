//! Where a speaker's tokens come from.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// Asked for a token at every connect, so that a refresh two hours later carries a fresh one.
#[derive(Clone)]
pub struct Tokens(Arc<Provide>);

type Provide = dyn Fn() -> Provided + Send + Sync;
type Provided = Pin<Box<dyn Future<Output = Result<String, String>> + Send>>;

impl Tokens {
    /// Always the same; it must outlive the session.
    pub fn fixed(token: impl Into<String>) -> Self {
        let token = token.into();
        Self::ask(move || std::future::ready(Ok(token.clone())))
    }

    /// Whatever `provide` gives. An error is for people; it is tried again as a lost connection
    /// would be.
    pub fn ask<F, T>(provide: F) -> Self
    where
        F: Fn() -> T + Send + Sync + 'static,
        T: Future<Output = Result<String, String>> + Send + 'static,
    {
        Self(Arc::new(move || Box::pin(provide())))
    }

    pub(crate) async fn token(&self) -> Result<String, String> {
        (self.0)().await
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens(..)")
    }
}
