//! The issuer that Ambo itself is when no other is configured.

use std::fmt;
use std::path::Path;

use ambo_app::ports::{Keys, Unidentified};
use ambo_core::event::Token;
use ambo_core::refusal::Unauthorized;
use ambo_core::{Millis, UserId};
use async_trait::async_trait;
use aws_lc_rs::digest;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;

use crate::key_file::{self, KeyFileError};
use crate::key_set::KeySet;
use crate::token::{Dialect, Expected, Shown};

/// Issues tokens, and knows the users behind them.
///
/// Its Ed25519 key lies in the data directory, where the server and `ambo token` share it.
pub struct LocalIssuer {
    expected: Expected,
    kid: String,
    jwks: String,
    signing: EncodingKey,
    keys: KeySet,
}

impl LocalIssuer {
    /// What its tokens name as their issuer, and as their audience.
    pub const NAME: &str = "ambo";

    /// The key's file in the data directory.
    pub const KEY_FILE: &str = "issuer-key.pem";

    /// The longest life of a token: a leap year. A token cannot be called back one by one.
    pub const MAX_TTL: Millis = Millis::from_mins(366 * 24 * 60);

    /// The issuer whose key lies in `data_dir`. Without one a key is made there; whoever does so
    /// at the same moment gets the same key.
    pub fn open(data_dir: &Path) -> Result<Self, KeyFileError> {
        let path = data_dir.join(Self::KEY_FILE);
        let pkcs8 = key_file::open(&path)?;
        let damaged = || KeyFileError::Damaged { path: path.clone() };
        let pair = Ed25519KeyPair::from_pkcs8(&pkcs8).map_err(|_| damaged())?;
        // A parser forgives much. A key that is not written again to the bit as it was read was
        // damaged: ours, with both halves, or one that OpenSSL made, with the private half only.
        let as_ours = pair.to_pkcs8().map_err(|_| damaged())?;
        let as_openssls = pair.to_pkcs8v1().map_err(|_| damaged())?;
        if pkcs8 != as_ours.as_ref() && pkcs8 != as_openssls.as_ref() {
            return Err(damaged());
        }
        let x = BASE64_URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
        let kid = thumbprint(&x);
        let jwks = jwks(&x, &kid);
        Ok(Self {
            expected: Expected {
                issuer: Self::NAME.to_owned(),
                audiences: vec![Self::NAME.to_owned()],
                dialect: Dialect::Standard,
            },
            keys: KeySet::parse(jwks.as_bytes()).map_err(|_| damaged())?,
            signing: EncodingKey::from_ed_der(&pkcs8),
            kid,
            jwks,
        })
    }

    /// A token with which `user` can speak from `now` on, for `ttl`, in whole seconds.
    pub fn issue(&self, user: &str, ttl: Millis, now: Millis) -> Result<Token, IssueError> {
        if UserId::parse(user).is_none() || user.chars().any(char::is_control) {
            return Err(IssueError::User);
        }
        if ttl < Millis::from_secs(1) || ttl > Self::MAX_TTL {
            return Err(IssueError::Ttl);
        }
        let issued_at = now.0 / 1_000;
        let claims = Claims {
            iss: Self::NAME,
            aud: Self::NAME,
            sub: user,
            iat: issued_at,
            nbf: issued_at,
            exp: issued_at + ttl.0 / 1_000,
        };
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(self.kid.clone());
        let token = jsonwebtoken::encode(&header, &claims, &self.signing);
        token.map(|text| Token(text.into())).map_err(IssueError::Sign)
    }

    /// The public key as a JWKS document, for whoever verifies these tokens elsewhere.
    pub fn jwks_json(&self) -> &str {
        &self.jwks
    }
}

#[async_trait]
impl Keys for LocalIssuer {
    async fn identify(&self, token: &Token, now: Millis) -> Result<UserId, Unidentified> {
        let identified = Shown::read(token).and_then(|shown| {
            let key = self.keys.find(&shown)?.ok_or(Unauthorized::InvalidToken)?;
            self.expected.user(&shown, key, now)
        });
        identified.map_err(Unidentified::Refused)
    }
}

impl fmt::Debug for LocalIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalIssuer").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// Why a token was not issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The name cannot be a user's.
    #[error("a user's name has 1 to {} bytes and no control characters", UserId::MAX_LEN)]
    User,
    /// The time is out of range.
    #[error("a token lives for one second to {} days", LocalIssuer::MAX_TTL.0 / 86_400_000)]
    Ttl,
    /// A bug.
    #[error("cannot sign the token")]
    Sign(#[source] jsonwebtoken::errors::Error),
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    iat: u64,
    nbf: u64,
    exp: u64,
}

/// The name of a key that anybody can tell from the key itself (RFC 7638).
fn thumbprint(x: &str) -> String {
    let members = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
    BASE64_URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, members.as_bytes()))
}

fn jwks(x: &str, kid: &str) -> String {
    format!(
        r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","use":"sig","kid":"{kid}","x":"{x}"}}]}}"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_named_by_its_thumbprint() {
        // RFC 8037, appendix A.3.
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        assert_eq!(thumbprint(x), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }
}
