//! `@connections`: how functions reach clients.

use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::json;

use super::accept::{Answer, answer as plain};
use super::log::Happening;
use super::socket::{Command, Live, MAX_MESSAGE_BYTES};
use super::{Shared, moment, signature};

pub(super) async fn answer(
    request: Request<Incoming>,
    connection: &str,
    shared: &Arc<Shared>,
) -> Answer {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return refusal(400) };
    let body = body.to_bytes();
    let answer = if signature::is_right(&head, &body, "execute-api") {
        wait(connection, shared).await;
        serve(&head.method, body, connection, shared)
    } else {
        refusal(403)
    };
    shared.log.add(Happening::Called {
        method: head.method.to_string(),
        connection: connection.to_owned(),
        status: answer.status().as_u16(),
    });
    answer
}

async fn wait(connection: &str, shared: &Shared) {
    let latency = {
        let knobs = shared.knobs.lock();
        knobs.slow.get(connection).copied().unwrap_or(knobs.post_latency)
    };
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
}

fn serve(method: &Method, body: Bytes, connection: &str, shared: &Shared) -> Answer {
    if let Some(status) = wanted_refusal(connection, shared) {
        return refusal(status);
    }
    if !shared.posts.take() {
        return refusal(429);
    }
    if body.len() > MAX_MESSAGE_BYTES {
        return refusal(413);
    }
    let Some(live) = shared.connection(connection) else { return refusal(410) };
    match *method {
        Method::POST if live.command(Command::Post(body)) => plain(200, ""),
        Method::DELETE if live.command(Command::Close) => plain(204, ""),
        Method::POST | Method::DELETE => refusal(410),
        Method::GET => described(&live),
        _ => refusal(403),
    }
}

/// What a test wants to go wrong.
fn wanted_refusal(connection: &str, shared: &Shared) -> Option<u16> {
    let mut knobs = shared.knobs.lock();
    if let Some(left) = knobs.throttled_posts.checked_sub(1) {
        knobs.throttled_posts = left;
        return Some(429);
    }
    knobs.answers.get(connection).copied()
}

fn described(live: &Live) -> Answer {
    let body = json!({
        "connectedAt": moment::iso(live.caller.connected_at),
        "identity": {
            "sourceIp": live.caller.source.to_string(),
            "userAgent": live.caller.user_agent,
        },
        "lastActiveAt": moment::iso(live.last_active()),
    });
    let mut answer = plain(200, body.to_string());
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

/// An error by its name.
pub(super) fn refusal(status: u16) -> Answer {
    let kind = match status {
        403 => "ForbiddenException",
        410 => "GoneException",
        413 => "PayloadTooLargeException",
        429 => "LimitExceededException",
        400 => "BadRequestException",
        _ => "InternalServerErrorException",
    };
    let body = if status == 403 { r#"{"message":"Forbidden"}"# } else { r#"{"message":null}"# };
    let mut answer = plain(status, body);
    answer.headers_mut().insert("x-amzn-errortype", HeaderValue::from_static(kind));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}
