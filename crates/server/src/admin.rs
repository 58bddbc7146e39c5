//! The operator's door: probes, metrics, draining, closing a session. It has an address of its own,
//! so that the audience's need not be guarded.

use std::sync::Arc;

use ambo_core::refusal::Unauthorized;
use ambo_core::{Arrival, Event, Refusal, SessionId};
use ambo_wire::{ErrorBody, parse_session_id};
use axum::Router;
use axum::extract::{Path, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::accept::{self, limit_stall};
use crate::drain::{self, Progress};
use crate::http::{json, measurements, probes};
use crate::node::Node;
use crate::settings::Secret;

/// Connections of operators and their machines at the same time; others wait. A handful is usual.
const MAX_CONNECTIONS: usize = 64;

/// Answers operators until told to stop.
pub(crate) async fn run(
    node: Arc<Node>,
    listener: TcpListener,
    router: Router,
    stop: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            () = stop.cancelled() => return,
            accepted = accepted => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let serving = serve(Arc::clone(&node), stream, router.clone());
                tokio::spawn(async move {
                    serving.await;
                    drop(place);
                });
            }
            Err(error) => accept::rest(&error).await,
        }
    }
}

async fn serve(node: Arc<Node>, stream: TcpStream, router: Router) {
    limit_stall(&stream, node.limits().heartbeat_timeout);
    accept::serve(&node, stream, None, router).await;
}

/// All routes. Probes are for everybody, as what asks them often has no place for a token.
pub(crate) fn router(node: Arc<Node>, token: Option<Secret>) -> Router {
    Router::new()
        .route("/drain", get(progress).post(begin_drain))
        .route("/sessions/{id}/close", post(close))
        .merge(measurements())
        .route_layer(from_fn_with_state(token, guard))
        .merge(probes())
        .with_state(node)
}

/// Lets pass whoever shows the token, where there is one.
async fn guard(State(token): State<Option<Secret>>, request: Request, next: Next) -> Response {
    match check(token.as_ref(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refusal) => {
            tracing::warn!(
                component = "admin",
                operation = "guard",
                errorCode = refusal.code(),
                path = request.uri().path(),
                "a request without the right to it"
            );
            refuse(&refusal)
        }
    }
}

fn check(token: Option<&Secret>, headers: &HeaderMap) -> Result<(), Refusal> {
    // Browsers name the page that asks. None may use the machine its reader sits at as a way in.
    if headers.contains_key(header::ORIGIN) {
        return Err(Refusal::Forbidden);
    }
    let Some(token) = token else { return Ok(()) };
    match bearer(headers) {
        Some(shown) if token.is(shown) => Ok(()),
        Some(_) => Err(Refusal::Unauthorized(Unauthorized::InvalidToken)),
        None => Err(Refusal::Unauthorized(Unauthorized::AuthenticationRequired)),
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

async fn progress(State(node): State<Arc<Node>>) -> Response {
    tell(StatusCode::OK, &Progress::of(&node))
}

/// What one who asks for a drain is told.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Begun {
    /// Whether somebody had asked for it before.
    already_draining: bool,
    #[serde(flatten)]
    progress: Progress,
}

/// The same as SIGTERM; asked again, it changes nothing.
async fn begin_drain(State(node): State<Arc<Node>>) -> Response {
    let already_draining = !drain::begin(&node);
    tell(StatusCode::ACCEPTED, &Begun { already_draining, progress: Progress::of(&node) })
}

/// Ends a session by the operator's word.
async fn close(State(node): State<Arc<Node>>, Path(id): Path<String>) -> Response {
    let session = match parse_session_id(&id) {
        Ok(session) => session,
        Err(refusal) => return refuse(&refusal),
    };
    // In a task of its own: an operator who does not wait for the answer leaves no session ended
    // of which its listeners were not told.
    let ended = tokio::spawn(end(node, session)).await;
    match ended.unwrap_or(Err(Refusal::Internal)) {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(refusal) => refuse(&refusal),
    }
}

async fn end(node: Arc<Node>, session: SessionId) -> Result<(), Refusal> {
    let intent = Ok(Event::Close { session: session.clone() });
    let arrival = Arrival { intent, ..Arrival::of_session(session, node.clock.stamp()) };
    let outcome = node.app.handle(&arrival).await;
    node.app.notify(&outcome.notices, node.clock.now()).await;
    outcome.answer.map(drop)
}

fn tell(status: StatusCode, body: &impl Serialize) -> Response {
    json(status, serde_json::to_string(body).unwrap_or_default(), None)
}

fn refuse(refusal: &Refusal) -> Response {
    let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::BAD_REQUEST);
    let body = serde_json::to_string(&ErrorBody::of(refusal, None)).unwrap_or_default();
    let mut response = json(status, body, refusal.retry_after());
    if status == StatusCode::UNAUTHORIZED {
        let bearer = HeaderValue::from_static("Bearer");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, bearer);
    }
    response
}
