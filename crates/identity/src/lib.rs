//! Who a speaker is: JWT verification, key sets and the built-in issuer.
//!
//! Read in this order: `token` says what a token must hold, `oidc` where an issuer's keys come
//! from and how long they stay, `local` what Ambo does when it is its own issuer.
//!
//! *Invariants.* Nothing of a token or of its claims is ever logged, kept or printed. Whatever a
//! token holds, no code here panics. Only RS256, ES256 and EdDSA are believed, and a key only with
//! the algorithm of its own type. Keys come over TLS, or from this very machine.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod fetch;
mod key_file;
mod key_set;
mod local;
mod oidc;
mod token;

use std::path::Path;

use ambo_app::ports::{Keys, Unidentified};
use ambo_core::event::Token;
use ambo_core::{Millis, UserId};
use async_trait::async_trait;

pub use fetch::{AddressError, FetchError, OidcError};
pub use key_file::KeyFileError;
pub use local::{IssueError, LocalIssuer};
pub use oidc::{FETCH_EVERY, Oidc, OidcSettings, REFRESH_AFTER, Renewal};
pub use token::{Dialect, LEEWAY, MAX_TOKEN_LEN};

/// Who issues the tokens a deployment believes.
#[derive(Debug)]
pub enum Identity {
    /// An issuer elsewhere.
    Oidc(Oidc),
    /// Ambo itself.
    Local(LocalIssuer),
}

impl Identity {
    /// Believes an issuer elsewhere.
    pub fn oidc(settings: OidcSettings) -> Result<Self, OidcError> {
        Oidc::new(settings).map(Self::Oidc)
    }

    /// Believes the built-in issuer whose key lies in `data_dir`, and makes that key at need.
    pub fn local(data_dir: &Path) -> Result<Self, KeyFileError> {
        LocalIssuer::open(data_dir).map(Self::Local)
    }

    /// Gets ready for the first speaker; see [`Oidc::warm`].
    pub async fn warm(&self, now: Millis) {
        match self {
            Self::Oidc(oidc) => oidc.warm(now).await,
            Self::Local(_) => {}
        }
    }

    /// The JWKS document to serve, where the keys are our own.
    pub fn jwks_json(&self) -> Option<&str> {
        match self {
            Self::Oidc(_) => None,
            Self::Local(issuer) => Some(issuer.jwks_json()),
        }
    }
}

#[async_trait]
impl Keys for Identity {
    async fn identify(&self, token: &Token, now: Millis) -> Result<UserId, Unidentified> {
        match self {
            Self::Oidc(oidc) => oidc.identify(token, now).await,
            Self::Local(issuer) => issuer.identify(token, now).await,
        }
    }
}
