//! The authorizer: who stands behind a new connection.
//!
//! It says so only of those who need to be somebody. A listener needs no token, and what is wrong
//! with a request beside its token is told by the connection function, in the contract's words.

use std::sync::Arc;

use ambo_app::ports::{Keys, Unidentified};
use ambo_core::{Refusal, rules};
use ambo_identity::Identity;
use ambo_wire::Connecting;
use serde_json::{Value, json};

use crate::chain::chain;
use crate::clock::Clock;
use crate::event::GatewayEvent;
use crate::keys::{IDENTITY, UNAVAILABLE, USER_ID};
use crate::metrics::Metrics;

/// Who a policy is for where nobody is known.
const NOBODY: &str = "anonymous";

/// Verifies tokens.
pub(crate) struct Authorizer {
    pub(crate) identity: Identity,
    pub(crate) clock: Clock,
    pub(crate) metrics: Arc<Metrics>,
}

impl Authorizer {
    /// Answers `$connect`'s request for a policy.
    pub(crate) async fn answer(&self, event: Value) -> Value {
        let event = GatewayEvent::new(event);
        let Some(method) = event.method() else {
            tracing::error!(
                component = "authorizer",
                operation = "authorize",
                errorCode = "INTERNAL_ERROR",
                "an event without methodArn"
            );
            return policy("Deny", "*", NOBODY, json!({}));
        };
        let connecting = Connecting::parse(&event.query(), event.header("Authorization"));
        let needs_user = connecting.intent.as_ref().is_ok_and(rules::needs_user);
        let Some(token) = connecting.token.filter(|_| needs_user) else {
            return policy("Allow", method, NOBODY, json!({}));
        };
        match self.identity.identify(&token, self.clock.now()).await {
            Ok(user) => policy("Allow", method, user.as_str(), json!({ USER_ID: user.as_str() })),
            Err(Unidentified::Refused(why)) => {
                tracing::info!(
                    component = "authorizer",
                    operation = "authorize",
                    errorCode = "UNAUTHORIZED",
                    reason = why.message(),
                    "denied"
                );
                // The connection function counts all other refusals; of this one it never hears.
                let refusal = Refusal::Unauthorized(why);
                self.metrics.refused(&refusal);
                self.metrics.refreshed::<()>(&connecting.intent, &Err(refusal));
                policy("Deny", method, NOBODY, json!({}))
            }
            Err(Unidentified::Unavailable { source, .. }) => {
                tracing::error!(
                    component = "authorizer",
                    operation = "authorize",
                    errorCode = "SERVICE_UNAVAILABLE",
                    error = chain(&*source),
                    "a speaker cannot be identified"
                );
                policy("Allow", method, NOBODY, json!({ IDENTITY: UNAVAILABLE }))
            }
        }
    }
}

fn policy(effect: &str, method: &str, principal: &str, context: Value) -> Value {
    json!({
        "principalId": principal,
        "policyDocument": {
            "Version": "2012-10-17",
            "Statement": [{
                "Action": "execute-api:Invoke",
                "Effect": effect,
                "Resource": method,
            }],
        },
        "context": context,
    })
}
