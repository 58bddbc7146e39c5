//! A handshake, from the request to the open connection.

use std::net::SocketAddr;
use std::sync::Arc;

use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, UPGRADE,
};
use http::{HeaderMap, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::accept::{Answer, answer as plain};
use super::event::{self, Caller, Handshake};
use super::log::Happening;
use super::socket::{self, Live};
use super::{Disconnects, Failure, INTEGRATION_TIMEOUT, Shared, authorizer, moment, new_id};

const MAX_ADDRESS: usize = 4_096;

pub(super) async fn answer(
    request: Request<Incoming>,
    names: &[String],
    peer: SocketAddr,
    shared: &Arc<Shared>,
) -> Answer {
    let handshake = handshake(&request, names, peer);
    let mut caller = Caller {
        connection: new_id(),
        connected_at: moment::now(),
        source: peer.ip(),
        user_agent: text_of(request.headers(), "user-agent"),
        stage: shared.plan.stage.clone(),
        authorizer: None,
    };
    match admit(&request, &mut caller, &handshake, shared).await {
        Ok(protocol) => open(request, protocol, caller, shared),
        Err((status, message)) => {
            shared.log.add(Happening::Refused { status });
            refusal(status, message, &caller)
        }
    }
}

/// Everything that may refuse a handshake, in its order. What is left is the subprotocol that the
/// function chose.
async fn admit(
    request: &Request<Incoming>,
    caller: &mut Caller,
    handshake: &Handshake,
    shared: &Shared,
) -> Result<Option<String>, (u16, Option<&'static str>)> {
    if request.uri().to_string().len() > MAX_ADDRESS {
        return Err((414, Some("URI Too Long")));
    }
    let (stage, is_throttled) = (request.uri().path().trim_matches('/'), !shared.handshakes.take());
    if stage != shared.plan.stage {
        return Err((403, Some("Forbidden")));
    }
    if is_throttled {
        return Err((429, Some("Too Many Requests")));
    }
    if !request.headers().contains_key(SEC_WEBSOCKET_KEY) {
        return Err((426, Some("Upgrade Required")));
    }
    if let Some(authorizer) = &shared.plan.authorizer {
        let context = authorizer::ask(authorizer, caller, handshake, shared).await;
        caller.authorizer = Some(context.map_err(|status| (status, Some(name_of(status))))?);
    }
    if shared.knobs.lock().disconnects == Disconnects::Early {
        let event = event::disconnect(caller, 1006, "");
        socket::tell_disconnected(shared, &event).await;
    }
    let Some(function) = shared.plan.routes.get("$connect") else { return Ok(None) };
    let pool = shared.function(function).ok_or((500, Some(name_of(500))))?;
    let response = pool.invoke(&event::connect(caller, handshake), INTEGRATION_TIMEOUT).await;
    let response = response.map_err(|failure| match failure {
        Failure::TimedOut => (504, Some("Endpoint request timed out")),
        Failure::Error { .. } | Failure::Exited(_) | Failure::Malformed(_) => {
            (502, Some(name_of(502)))
        }
    })?;
    match response["statusCode"].as_u64() {
        Some(200..300) => Ok(header_of(&response, SEC_WEBSOCKET_PROTOCOL.as_str())),
        // Its body goes nowhere.
        Some(status @ 300..600) => Err((status as u16, None)),
        _ => Err((502, Some(name_of(502)))),
    }
}

fn open(
    mut request: Request<Incoming>,
    protocol: Option<String>,
    caller: Caller,
    shared: &Arc<Shared>,
) -> Answer {
    let key = request.headers()[SEC_WEBSOCKET_KEY].clone();
    let upgrade = hyper::upgrade::on(&mut request);
    let disconnects = shared.knobs.lock().disconnects;
    let connection = caller.connection.clone();
    let (live, commands) = Live::new(caller, disconnects);
    let live = Arc::new(live);
    shared.connections.lock().insert(connection.clone(), live.clone());
    shared.log.add(Happening::Opened { connection });
    tokio::spawn(socket::run(upgrade, live, commands, shared.clone()));
    let mut response = Response::builder()
        .status(101)
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_ACCEPT, derive_accept_key(key.as_bytes()));
    if let Some(protocol) = protocol {
        response = response.header(SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    response.body(Full::default()).unwrap()
}

fn refusal(status: u16, message: Option<&str>, caller: &Caller) -> Answer {
    let Some(message) = message else { return plain(status, "") };
    let body = json!({
        "message": message,
        "connectionId": caller.connection,
        "requestId": new_id(),
    });
    plain(status, body.to_string())
}

fn name_of(status: u16) -> &'static str {
    match status {
        401 => "Unauthorized",
        403 => "Forbidden",
        502 => "Bad Gateway",
        _ => "Internal server error",
    }
}

fn handshake(request: &Request<Incoming>, names: &[String], peer: SocketAddr) -> Handshake {
    let own_way = |name: &str| {
        let found = names.iter().find(|own| own.eq_ignore_ascii_case(name));
        found.map_or_else(|| name.to_owned(), Clone::clone)
    };
    let headers = request.headers().iter().filter(|(name, _)| !is_hop(name.as_str()));
    let mut headers: Vec<_> = headers
        .map(|(name, value)| {
            (own_way(name.as_str()), String::from_utf8_lossy(value.as_bytes()).into_owned())
        })
        .collect();
    for (name, value) in [
        ("X-Amzn-Trace-Id", "Root=1-00000000-000000000000000000000000".to_owned()),
        ("X-Forwarded-For", peer.ip().to_string()),
        ("X-Forwarded-Port", "443".to_owned()),
        ("X-Forwarded-Proto", "https".to_owned()),
    ] {
        headers.push((name.to_owned(), value));
    }
    let query = form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes());
    Handshake { headers, query: query.into_owned().collect() }
}

/// These concern one hop only, and functions do not see them.
fn is_hop(name: &str) -> bool {
    matches!(name, "connection" | "upgrade")
}

fn text_of(headers: &HeaderMap, name: &str) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}

/// A header of a function's response, by its name in any case.
fn header_of(response: &Value, wanted: &str) -> Option<String> {
    let mut headers = response["headers"].as_object().into_iter().flatten();
    let (_, value) = headers.find(|(name, _)| name.eq_ignore_ascii_case(wanted))?;
    value.as_str().map(str::to_owned)
}
