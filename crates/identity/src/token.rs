//! What a token must hold, whoever issued it.

use ambo_core::event::Token;
use ambo_core::refusal::Unauthorized;
use ambo_core::{Millis, UserId};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;

/// The longest token looked at, in bytes. Issuers that put groups and photographs into tokens stay
/// below 8 KiB, as most servers take no longer header; what is longer is not worth a parse.
pub const MAX_TOKEN_LEN: usize = 16 * 1024;

/// How far an issuer's clock may be from ours.
pub const LEEWAY: Millis = Millis::from_secs(30);

/// The longest name of a key, in bytes. Thumbprints have 43, Cognito's names 44.
pub(crate) const MAX_KID_LEN: usize = 256;

/// How an issuer says whom a token is meant for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// In `aud`, as RFC 7519 has it.
    Standard,
    /// As Amazon Cognito does: `token_use` is `id` and `aud` the client id, or `token_use` is
    /// `access` and `client_id` is.
    Cognito,
}

/// A token taken apart, but not believed yet.
pub(crate) struct Shown<'a> {
    text: &'a str,
    pub(crate) kid: String,
    pub(crate) algorithm: Algorithm,
}

impl<'a> Shown<'a> {
    /// Reads a token's header. `none` and the symmetric algorithms end here: with those, whoever
    /// knows the public key could sign.
    pub(crate) fn read(token: &'a Token) -> Result<Self, Unauthorized> {
        let text = &*token.0;
        if text.len() > MAX_TOKEN_LEN {
            return Err(Unauthorized::InvalidToken);
        }
        let header = jsonwebtoken::decode_header(text).map_err(|_| Unauthorized::InvalidToken)?;
        let algorithm = match header.alg {
            Algorithm::RS256 | Algorithm::ES256 | Algorithm::EdDSA => header.alg,
            _ => return Err(Unauthorized::InvalidToken),
        };
        // RFC 7515 §4.1.11: extensions we do not know, and we know none, void the token.
        if header.crit.is_some() {
            return Err(Unauthorized::InvalidToken);
        }
        let kid = header.kid.filter(|kid| !kid.is_empty() && kid.len() <= MAX_KID_LEN);
        Ok(Self { text, kid: kid.ok_or(Unauthorized::InvalidToken)?, algorithm })
    }

    /// The claims, once the signature is verified.
    fn claims(&self, key: &DecodingKey) -> Result<Claims, Unauthorized> {
        // The library would read the system's clock; times are compared with the moment at which
        // the token was shown instead, and the rest beside them.
        let mut validation = Validation::new(self.algorithm);
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_aud = false;
        let decoded = jsonwebtoken::decode::<Claims>(self.text, key, &validation);
        decoded.map(|data| data.claims).map_err(|_| Unauthorized::InvalidToken)
    }
}

/// What is expected of a token.
pub(crate) struct Expected {
    pub(crate) issuer: String,
    pub(crate) audiences: Vec<String>,
    pub(crate) dialect: Dialect,
}

impl Expected {
    /// The user a token speaks for. Its age is looked at last, so that only a token which was
    /// good once is called expired.
    pub(crate) fn user(
        &self,
        shown: &Shown<'_>,
        key: &DecodingKey,
        now: Millis,
    ) -> Result<UserId, Unauthorized> {
        let claims = shown.claims(key)?;
        let is_begun = claims.nbf.is_none_or(|nbf| moment(nbf) <= now + LEEWAY);
        if claims.iss != self.issuer || !self.is_meant(&claims) || !is_begun {
            return Err(Unauthorized::InvalidToken);
        }
        let user = UserId::parse(&claims.sub).ok_or(Unauthorized::InvalidToken)?;
        if moment(claims.exp) + LEEWAY <= now {
            return Err(Unauthorized::TokenExpired);
        }
        Ok(user)
    }

    fn is_meant(&self, claims: &Claims) -> bool {
        let is_ours = |name: &String| self.audiences.contains(name);
        let in_audience = match &claims.aud {
            None => None,
            Some(Audience::One(name)) => Some(is_ours(name)),
            Some(Audience::Many(names)) => Some(names.iter().any(is_ours)),
        };
        match (self.dialect, claims.token_use.as_deref()) {
            (Dialect::Standard, _) | (Dialect::Cognito, Some("id")) => in_audience == Some(true),
            // An access token has an audience only when it was bound to one resource server, and
            // then it is good for no other.
            (Dialect::Cognito, Some("access")) => {
                claims.client_id.as_ref().is_some_and(is_ours) && in_audience != Some(false)
            }
            (Dialect::Cognito, _) => false,
        }
    }
}

/// What is read of a token. A claim that is there twice, or is of another type, voids it.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Option<Audience>,
    exp: f64,
    nbf: Option<f64>,
    token_use: Option<String>,
    client_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

/// The moment of a NumericDate: seconds since the epoch, which RFC 7519 §2 allows to be broken.
fn moment(seconds: f64) -> Millis {
    // The cast saturates: a date before the epoch is the epoch, one beyond all time is never.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    Millis((seconds * 1_000.0) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_may_be_broken_or_absurd() {
        assert_eq!(moment(1_700_000_000.0), Millis(1_700_000_000_000));
        assert_eq!(moment(1_700_000_000.25), Millis(1_700_000_000_250));
        assert_eq!(moment(-5.0), Millis(0));
        assert_eq!(moment(1e300), Millis(u64::MAX));
    }
}
