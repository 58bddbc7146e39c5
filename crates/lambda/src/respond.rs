//! What a function returns to API Gateway.

use ambo_core::{ConnectionId, Refusal};
use ambo_wire::{ErrorBody, SUBPROTOCOL};
use serde_json::{Value, json};

use crate::logging::hashed;

/// All is done; where there is an answer it was posted.
pub(crate) fn done() -> Value {
    json!({ "statusCode": 200 })
}

/// The connection is let in, with the subprotocol if the client offered it.
pub(crate) fn accepted(is_ambo: bool) -> Value {
    if !is_ambo {
        return done();
    }
    json!({ "statusCode": 200, "headers": { "Sec-WebSocket-Protocol": SUBPROTOCOL } })
}

/// The handshake is refused. API Gateway passes the status on; whether the body arrives is its
/// own affair.
pub(crate) fn refused(refusal: &Refusal, connection: &ConnectionId) -> Value {
    let body = ErrorBody::of(refusal, Some(hashed(connection)));
    let mut headers = json!({ "Content-Type": "application/json" });
    if let Some(seconds) = refusal.retry_after() {
        headers["Retry-After"] = json!(seconds.to_string());
    }
    json!({
        "statusCode": refusal.status(),
        "headers": headers,
        // An error object always has a JSON form.
        "body": serde_json::to_string(&body).unwrap_or_default(),
    })
}

/// What came is no event this function knows: somebody wired it wrongly.
pub(crate) fn unknown(function: &'static str) -> Value {
    tracing::error!(
        component = "lambda",
        operation = function,
        errorCode = "INTERNAL_ERROR",
        "an event that this function does not know"
    );
    json!({ "statusCode": 500 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_has_its_status_its_body_and_when_to_come_back() {
        let connection = ConnectionId::parse("L0SM9cOFvHcCIhw=").unwrap();
        let cases = [
            (Refusal::Forbidden, 403, json!(null)),
            (Refusal::ServiceUnavailable { service: "store", retry_after: 5 }, 503, json!("5")),
        ];
        for (refusal, status, retry_after) in cases {
            let response = refused(&refusal, &connection);
            assert_eq!(response["statusCode"], status);
            assert_eq!(response["headers"]["Retry-After"], retry_after);
            let body: Value = serde_json::from_str(response["body"].as_str().unwrap()).unwrap();
            assert_eq!(body["code"], refusal.code());
            assert_eq!(body["requestId"], hashed(&connection));
            assert!(body.get("type").is_none());
        }
    }

    #[test]
    fn a_client_that_offers_the_subprotocol_gets_it() {
        assert_eq!(accepted(true)["headers"]["Sec-WebSocket-Protocol"], "ambo.v1");
        assert_eq!(accepted(false), json!({ "statusCode": 200 }));
    }
}
