//! Tokens of an issuer elsewhere: OpenID Connect, Amazon Cognito among them.

use std::error::Error;
use std::fmt;
use std::fmt::Write as _;
use std::sync::Arc;

use ambo_app::ports::{Keys, Unidentified};
use ambo_core::event::Token;
use ambo_core::refusal::Unauthorized;
use ambo_core::{Millis, UserId};
use async_trait::async_trait;
use jsonwebtoken::DecodingKey;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::fetch::{FetchError, Fetcher, OidcError};
use crate::key_set::KeySet;
use crate::token::{Dialect, Expected, Shown};

/// How often an issuer is asked at most, whatever tokens are shown: anybody can invent a kid.
pub const FETCH_EVERY: Millis = Millis::from_secs(30);

/// The age at which keys are fetched anew, so that a revoked key is not used for ever.
pub const REFRESH_AFTER: Millis = Millis::from_mins(60);

/// Which issuer, and for whom its tokens are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OidcSettings {
    /// The issuer, to the letter as its tokens name it.
    pub issuer: String,
    /// Audiences, or client ids, that a token may be meant for; at least one.
    pub audiences: Vec<String>,
    /// Where the keys are. Without it the issuer's discovery document is asked, or, with Cognito,
    /// `{issuer}/.well-known/jwks.json`, the address Amazon documents.
    pub jwks_url: Option<String>,
    /// How the issuer says whom a token is meant for.
    pub dialect: Dialect,
    /// When keys that have grown old are fetched anew.
    pub renewal: Renewal,
}

/// When keys older than [`REFRESH_AFTER`] are fetched anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// While they are used one more time, so that nobody waits.
    Meanwhile,
    /// Before they are used. For a process that is stopped when it has answered, and all that it
    /// has under way with it: there the last use of a revoked key could be days away.
    First,
}

impl OidcSettings {
    /// Settings for an issuer, whose dialect its name tells.
    pub fn new(issuer: impl Into<String>, audiences: Vec<String>) -> Self {
        let issuer = issuer.into();
        let dialect = if is_cognito(&issuer) { Dialect::Cognito } else { Dialect::Standard };
        Self { issuer, audiences, jwks_url: None, dialect, renewal: Renewal::Meanwhile }
    }
}

/// `https://cognito-idp.{region}.amazonaws.com/{pool}`; in China the domain ends in `.cn`.
fn is_cognito(issuer: &str) -> bool {
    let host = issuer.strip_prefix("https://").and_then(|rest| rest.split('/').next());
    host.and_then(|host| host.strip_prefix("cognito-idp."))
        .is_some_and(|rest| rest.ends_with(".amazonaws.com") || rest.ends_with(".amazonaws.com.cn"))
}

/// Knows the users behind an issuer's tokens.
///
/// Keys are cached. A key nobody knows is asked for once, by one request that all who wait for it
/// share, and never more often than [`FETCH_EVERY`]. Keys older than [`REFRESH_AFTER`] are fetched
/// anew, as [`Renewal`] says. An issuer that fails takes nothing away: the keys it gave are used for
/// as long as it fails.
pub struct Oidc {
    expected: Expected,
    cache: Arc<Cache>,
}

impl Oidc {
    /// Knows an issuer's users. Nothing is asked of it yet.
    pub fn new(settings: OidcSettings) -> Result<Self, OidcError> {
        let OidcSettings { issuer, audiences, jwks_url, dialect, renewal } = settings;
        if audiences.is_empty() {
            return Err(OidcError::NoAudience);
        }
        let fetcher = match (jwks_url, dialect) {
            (Some(url), _) => Fetcher::of_keys(&url)?,
            (None, Dialect::Standard) => Fetcher::of_issuer(&issuer)?,
            (None, Dialect::Cognito) => {
                let issuer = issuer.trim_end_matches('/');
                Fetcher::of_keys(&format!("{issuer}/.well-known/jwks.json"))?
            }
        };
        let expected = Expected { issuer, audiences, dialect };
        let cache = Cache { fetcher, renewal, state: Mutex::new(State::default()) };
        Ok(Self { expected, cache: Arc::new(cache) })
    }

    /// Fetches the keys, so that the first speaker need not wait for them. A failure is logged,
    /// and keys are asked for again when one is needed.
    pub async fn warm(&self, now: Millis) {
        let flight = self.cache.fly(&mut self.cache.state.lock(), now);
        landed(flight).await;
    }
}

#[async_trait]
impl Keys for Oidc {
    async fn identify(&self, token: &Token, now: Millis) -> Result<UserId, Unidentified> {
        let shown = Shown::read(token).map_err(Unidentified::Refused)?;
        let key = self.cache.key(&shown, now).await?;
        self.expected.user(&shown, &key, now).map_err(Unidentified::Refused)
    }
}

impl fmt::Debug for Oidc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Oidc").field("issuer", &self.expected.issuer).finish_non_exhaustive()
    }
}

struct Cache {
    fetcher: Fetcher,
    renewal: Renewal,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    keys: KeySet,
    /// When the keys above were asked for.
    asked_at: Millis,
    /// When the issuer was asked last, with or without success.
    tried_at: Option<Millis>,
    /// Why the last attempt failed.
    failure: Option<Arc<FetchError>>,
    /// The request under way. It is over when its sender is gone.
    flight: Option<Flight>,
}

/// A request that callers wait for; nothing is ever sent through it.
type Flight = watch::Receiver<()>;

impl Cache {
    /// The key a token names, from the cache or else from the issuer.
    async fn key(
        self: &Arc<Self>,
        shown: &Shown<'_>,
        now: Millis,
    ) -> Result<DecodingKey, Unidentified> {
        let flight = {
            let mut state = self.state.lock();
            match state.key(shown)? {
                Some(key) if elapsed(state.asked_at, now) < REFRESH_AFTER => return Ok(key),
                Some(key) if self.renewal == Renewal::Meanwhile => {
                    self.fly(&mut state, now);
                    return Ok(key);
                }
                Some(_) | None => self.fly(&mut state, now),
            }
        };
        landed(flight).await;
        let state = self.state.lock();
        match state.key(shown)? {
            Some(key) => Ok(key),
            None => Err(state.unknown(now)),
        }
    }

    /// Joins the request under way, or starts one where it is time to. A task of its own makes
    /// it, so that it ends well when the speaker who caused it hangs up.
    fn fly(self: &Arc<Self>, state: &mut State, now: Millis) -> Option<Flight> {
        let under_way = state.flight.as_ref().filter(|flight| flight.has_changed().is_ok());
        if let Some(flight) = under_way {
            return Some(flight.clone());
        }
        if state.tried_at.is_some_and(|at| elapsed(at, now) < FETCH_EVERY) {
            return None;
        }
        state.tried_at = Some(now);
        let (sender, flight) = watch::channel(());
        state.flight = Some(flight.clone());
        let cache = Arc::clone(self);
        tokio::spawn(async move {
            let fetched = cache.fetcher.keys().await;
            cache.state.lock().land(fetched, now);
            drop(sender);
        });
        Some(flight)
    }
}

impl State {
    fn key(&self, shown: &Shown<'_>) -> Result<Option<DecodingKey>, Unidentified> {
        self.keys.find(shown).map(|key| key.cloned()).map_err(Unidentified::Refused)
    }

    fn land(&mut self, fetched: Result<KeySet, FetchError>, asked_at: Millis) {
        match fetched {
            Ok(keys) => {
                tracing::debug!(
                    component = "identity",
                    operation = "fetchKeys",
                    keys = keys.len(),
                    "the issuer's keys were fetched"
                );
                self.keys = keys;
                self.asked_at = asked_at;
                self.failure = None;
            }
            Err(error) => {
                tracing::warn!(
                    component = "identity",
                    operation = "fetchKeys",
                    cached = self.keys.len(),
                    error = %chain(&error),
                    "the issuer's keys cannot be fetched"
                );
                self.failure = Some(Arc::new(error));
            }
        }
    }

    /// What a token with an unknown key is: not good, if the issuer was asked and did not know it
    /// either; else nobody can tell.
    fn unknown(&self, now: Millis) -> Unidentified {
        let source = match (&self.failure, self.tried_at) {
            (None, Some(_)) => return Unidentified::Refused(Unauthorized::InvalidToken),
            (None, None) => Arc::new(FetchError::NeverAsked),
            (Some(failure), _) => Arc::clone(failure),
        };
        let passed = self.tried_at.map_or(Millis::ZERO, |at| elapsed(at, now));
        let retry_after = (FETCH_EVERY - passed).max(Millis::from_secs(1));
        Unidentified::Unavailable { retry_after, source: source.into() }
    }
}

async fn landed(flight: Option<Flight>) {
    if let Some(mut flight) = flight {
        // It ends by an error, as its sender is dropped and never sends.
        let _ = flight.changed().await;
    }
}

/// The time since a moment. Speakers that arrive together bear moments a little out of order,
/// which is no time at all; but a clock that was set back far must not stop us from asking.
fn elapsed(since: Millis, now: Millis) -> Millis {
    if since > now + FETCH_EVERY { Millis(u64::MAX) } else { now.since(since) }
}

/// An error with everything that caused it, on one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a string cannot fail.
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cognito_is_told_by_its_host() {
        let dialect = |issuer: &str| OidcSettings::new(issuer, vec!["app".into()]).dialect;
        for cognito in [
            "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Ab12Cd34E",
            "https://cognito-idp.cn-north-1.amazonaws.com.cn/cn-north-1_Ab12Cd34E",
        ] {
            assert_eq!(dialect(cognito), Dialect::Cognito, "{cognito}");
        }
        for other in [
            "https://id.example.org",
            "https://cognito-idp.example.org/pool",
            "https://cognito-idp.eu-central-1.amazonaws.com.example.org/pool",
            "https://example.org/cognito-idp.eu-central-1.amazonaws.com/pool",
            "http://cognito-idp.eu-central-1.amazonaws.com/pool",
        ] {
            assert_eq!(dialect(other), Dialect::Standard, "{other}");
        }
    }

    #[test]
    fn time_runs_forward_except_when_the_clock_is_set_back_far() {
        let noon = Millis(1_700_000_000_000);
        assert_eq!(elapsed(noon, noon + Millis(5)), Millis(5));
        assert_eq!(elapsed(noon + Millis(5), noon), Millis::ZERO);
        assert!(elapsed(noon + Millis::from_mins(60), noon) > REFRESH_AFTER);
    }
}
