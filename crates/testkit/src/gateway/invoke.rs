//! Lambda's Invoke API, as far as a function calls itself or another.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method, Request};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::accept::{Answer, answer as plain};
use super::pool::Pool;
use super::{Failure, Shared, signature};

/// An asynchronous invocation that fails is tried so often in all.
const ATTEMPTS: usize = 3;
/// AWS waits a minute, then two.
const PAUSE: Duration = Duration::from_millis(50);
const MAX_EVENT_BYTES: usize = 1024 * 1024;
/// No function may take longer.
const MAX_TIME: Duration = Duration::from_secs(900);

pub(super) async fn answer(request: Request<Incoming>, shared: &Arc<Shared>) -> Answer {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return refusal(400, "RequestTooLarge") };
    let body = body.to_bytes();
    if !signature::is_right(&head, &body, "lambda") {
        return refusal(403, "MissingAuthenticationTokenException");
    }
    let name = name(head.uri.path());
    let Some(pool) = name.and_then(|name| shared.function(&name)) else {
        return refusal(404, "ResourceNotFoundException");
    };
    if head.method != Method::POST {
        return refusal(403, "AccessDeniedException");
    }
    if body.len() > MAX_EVENT_BYTES {
        return refusal(413, "RequestTooLargeException");
    }
    let event: Value = if body.is_empty() {
        json!({})
    } else {
        match serde_json::from_slice(&body) {
            Ok(event) => event,
            Err(_) => return refusal(400, "InvalidRequestContentException"),
        }
    };
    let kind = head.headers.get("x-amz-invocation-type").map(HeaderValue::as_bytes);
    match kind.unwrap_or(b"RequestResponse") {
        b"Event" => {
            tokio::spawn(persist(pool, event));
            plain(202, "")
        }
        b"RequestResponse" => told(pool.invoke(&event, MAX_TIME).await),
        b"DryRun" => plain(204, ""),
        _ => refusal(400, "InvalidParameterValueException"),
    }
}

/// The name in `/2015-03-31/functions/{name or ARN}/invocations`.
fn name(path: &str) -> Option<String> {
    let name = path.strip_prefix("/2015-03-31/functions/")?.strip_suffix("/invocations")?;
    let name = percent_encoding::percent_decode_str(name).decode_utf8_lossy().into_owned();
    match name.split_once(":function:") {
        Some((_, name)) => name.split(':').next().map(str::to_owned),
        None => Some(name),
    }
}

async fn persist(pool: Arc<Pool>, event: Value) {
    for attempt in 1..=ATTEMPTS {
        if pool.invoke(&event, MAX_TIME).await.is_ok() {
            return;
        }
        tokio::time::sleep(PAUSE * attempt as u32).await;
    }
}

fn told(outcome: Result<Value, Failure>) -> Answer {
    let failure = match outcome {
        Ok(value) => return plain(200, value.to_string()),
        Err(failure) => failure,
    };
    let body = match &failure {
        Failure::Error { kind, message } => json!({ "errorType": kind, "errorMessage": message }),
        other => json!({ "errorMessage": other.to_string() }),
    };
    let mut answer = plain(200, body.to_string());
    answer.headers_mut().insert("x-amz-function-error", HeaderValue::from_static("Unhandled"));
    answer
}

fn refusal(status: u16, kind: &'static str) -> Answer {
    let mut answer = plain(status, json!({ "Message": kind }).to_string());
    answer.headers_mut().insert("x-amzn-errortype", HeaderValue::from_static(kind));
    answer
}
