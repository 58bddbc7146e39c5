//! Refusals as clients read them: a code, a sentence that says what to do, details.

use ambo_core::Refusal;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The error object: the `error` message without its `type` and `timestamp`, and the JSON body of
/// a refused handshake.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorBody {
    /// What clients tell refusals by.
    pub code: String,
    /// For people.
    pub message: String,
    /// Finds the refusal in the server's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// What the code's row in the contract names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
}

impl ErrorBody {
    /// A refusal as it goes out.
    pub fn of(refusal: &Refusal, request_id: Option<String>) -> Self {
        Self {
            code: refusal.code().to_owned(),
            message: error_message(refusal),
            request_id,
            details: details(refusal),
        }
    }

    /// Seconds after which trying again makes sense, if the server said so.
    pub fn retry_after(&self) -> Option<u64> {
        self.details.as_ref()?.get("retryAfter")?.as_u64()
    }
}

/// What people read. Says nothing of the inside.
pub fn error_message(refusal: &Refusal) -> String {
    match refusal {
        Refusal::InvalidAction => "Unknown or missing action.".into(),
        Refusal::InvalidMessage => "The message must be a JSON object.".into(),
        Refusal::InvalidParameters { field, expected } => {
            format!("Invalid parameter {field}: expected {expected}.")
        }
        Refusal::InvalidSessionId { .. } => {
            "Invalid sessionId: expected two words and a number, such as faithful-shepherd-427."
                .into()
        }
        Refusal::InvalidLanguage { language } => {
            format!("The source language {language} is not supported.")
        }
        Refusal::UnsupportedLanguage { language, .. } => {
            format!("The target language {language} is not supported in this session.")
        }
        // These texts are part of the contract, word for word.
        Refusal::Unauthorized(why) => why.message().into(),
        Refusal::Forbidden => "This connection may not do this.".into(),
        Refusal::SessionNotFound { .. } => {
            "There is no such session, or it has ended. Check the id.".into()
        }
        Refusal::ConnectionNotFound => {
            "This connection is no longer part of a session. Connect again.".into()
        }
        Refusal::MessageTooLarge { limit } => {
            format!("The message is too large: at most {limit} bytes are allowed.")
        }
        Refusal::RateLimitExceeded { retry_after, .. } => {
            format!("Too many requests. Try again in {retry_after} s.")
        }
        Refusal::Internal => "Something went wrong on our side.".into(),
        Refusal::SessionFull { max_listeners, .. } => {
            format!("The session is full: it has {max_listeners} places. Try again later.")
        }
        Refusal::ServiceUnavailable { retry_after, .. } => {
            format!("The service is unavailable. Try again in {retry_after} s.")
        }
    }
}

fn details(refusal: &Refusal) -> Option<Value> {
    Some(match refusal {
        Refusal::InvalidParameters { field, .. } => json!({ "field": field }),
        Refusal::InvalidSessionId { given } => json!({ "field": "sessionId", "sessionId": given }),
        Refusal::InvalidLanguage { language } => json!({ "languageCode": language.as_str() }),
        Refusal::UnsupportedLanguage { language, session } => {
            json!({ "languageCode": language.as_str(), "sessionId": session.as_str() })
        }
        Refusal::SessionNotFound { session } => json!({ "sessionId": session.as_str() }),
        Refusal::MessageTooLarge { limit } => json!({ "limit": limit }),
        Refusal::RateLimitExceeded { operation, retry_after } => {
            json!({ "operation": operation.as_str(), "retryAfter": retry_after })
        }
        Refusal::SessionFull { session, max_listeners } => {
            json!({ "sessionId": session.as_str(), "maxListeners": max_listeners })
        }
        Refusal::ServiceUnavailable { service, retry_after } => {
            json!({ "service": service, "retryAfter": retry_after })
        }
        Refusal::InvalidAction
        | Refusal::InvalidMessage
        | Refusal::Unauthorized(_)
        | Refusal::Forbidden
        | Refusal::ConnectionNotFound
        | Refusal::Internal => return None,
    })
}

#[cfg(test)]
mod tests {
    use ambo_core::SessionId;
    use ambo_core::limits::Operation;
    use ambo_core::refusal::Unauthorized;

    use super::*;

    #[test]
    fn details_are_those_of_the_contract() {
        let session = SessionId::parse("faithful-shepherd-427").unwrap();
        let cases = [
            (
                Refusal::RateLimitExceeded { operation: Operation::Heartbeat, retry_after: 30 },
                json!({ "operation": "heartbeat", "retryAfter": 30 }),
            ),
            (
                Refusal::SessionFull { session, max_listeners: 500 },
                json!({ "sessionId": "faithful-shepherd-427", "maxListeners": 500 }),
            ),
            (
                Refusal::ServiceUnavailable { service: "store", retry_after: 5 },
                json!({ "service": "store", "retryAfter": 5 }),
            ),
            (Refusal::MessageTooLarge { limit: 4096 }, json!({ "limit": 4096 })),
        ];
        for (refusal, expected) in cases {
            assert_eq!(ErrorBody::of(&refusal, None).details, Some(expected));
        }
        let body = ErrorBody::of(&Refusal::Unauthorized(Unauthorized::TokenExpired), None);
        assert_eq!((body.message.as_str(), body.details), ("Token expired", None));
    }
}
