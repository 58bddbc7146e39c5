//! What is logged, and what never is. In a process of its own: which lines are written is decided
//! once for all threads.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(dead_code, reason = "the world is made for more tests than this")]

#[path = "it/world.rs"]
mod world;

use std::sync::Arc;

use ambo_identity::FETCH_EVERY;
use parking_lot::Mutex;
use serde_json::json;

use world::{Answer, INVALID, Issuer, NOW, Signer, Unavailable, user, verdict};

#[tokio::test]
async fn nothing_of_a_token_is_logged() {
    let signer = Signer::ed25519("a-key-of-ours");
    let issuer = Issuer::with_keys(&[signer.jwk()]).await;
    let oidc = issuer.believer();
    let (log, _guard) = Log::start();
    let mut claims = issuer.claims();
    claims["sub"] = json!("sub-of-ann");
    claims["email"] = json!("ann@example.org");
    let good = signer.token(&claims);
    assert_eq!(verdict(&oidc, &good, NOW).await, user("sub-of-ann"));
    claims["aud"] = json!("other-audience");
    let bad = signer.token(&claims);
    assert_eq!(verdict(&oidc, &bad, NOW).await, INVALID);
    issuer.say("/jwks", Answer::Document("{".into()));
    let unknown = Signer::ed25519("kid-of-eve").token(&claims);
    assert!(matches!(verdict(&oidc, &unknown, NOW + FETCH_EVERY).await, Unavailable(_)));
    let log = log.text();
    assert!(log.contains("the issuer's keys cannot be fetched"), "{log}");
    assert!(log.contains("is not the document it should be: EOF"), "the whole chain: {log}");
    let tokens = [&good, &bad, &unknown];
    let parts = tokens.iter().flat_map(|token| token.0.split('.'));
    for secret in parts.chain(["sub-of-ann", "example.org", "other-audience", "kid-of-eve"]) {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
    assert!(!format!("{oidc:?} {good:?}").contains("ann"));
}

/// All that is logged on this thread, for as long as the guard lives.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

impl Log {
    fn start() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        (log.clone(), tracing::subscriber::set_default(log))
    }

    fn text(&self) -> String {
        self.0.lock().clone()
    }
}

impl tracing::Subscriber for Log {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn event(&self, event: &tracing::Event<'_>) {
        let mut text = self.0.lock();
        event.record(&mut |field: &tracing::field::Field, value: &dyn std::fmt::Debug| {
            text.push_str(&format!("{field}={value:?} "));
        });
        text.push('\n');
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}
