//! Any query string and `Authorization` header: reading them never panics, what they ask for does
//! not depend on what is unknown or comes second, and a refusal of them is short.
#![no_main]

use ambo_wire::{Connecting, ErrorBody};
use libfuzzer_sys::fuzz_target;

// The first line is the header, the rest is the query string.
fuzz_target!(|data: &str| {
    let (authorization, query) = match data.split_once('\n') {
        Some((authorization, query)) => (Some(authorization), query),
        None => (None, data),
    };
    let connecting = Connecting::parse(query, authorization);
    if let Some(token) = &connecting.token {
        assert!(!token.0.is_empty());
        let shown = format!("{token:?}");
        assert!(token.0.len() < 12 || !shown.contains(&*token.0), "a token is printed");
    }
    if let Err(refusal) = &connecting.intent {
        let body = serde_json::to_string(&ErrorBody::of(refusal, None)).unwrap();
        assert!(body.len() < 1_024, "{} bytes of refusal", body.len());
    }
    if query.contains("action=") && connecting.intent.is_ok() {
        let more = format!("{query}&unknown=1&action=sing&sessionId=&role=king&token=x");
        let again = Connecting::parse(&more, authorization);
        assert_eq!(again.intent, connecting.intent);
    }
});
