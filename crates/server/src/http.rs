//! What the server answers over HTTP: the WebSocket endpoint, probes, metrics, keys, pages.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{self, HeaderName};
use http::{HeaderValue, StatusCode};

use crate::node::{Node, Phase};
use crate::places::Place;
use crate::upgrade;

/// The place of the TCP connection a request came on, taken by the WebSocket it becomes.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    pub(crate) place: Arc<Mutex<Option<Place>>>,
}

impl Peer {
    pub(crate) fn take_place(&self) -> Option<Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// A refused request leaves its TCP connection, and so its place, as it was.
    pub(crate) fn give_back(&self, mut place: Place) {
        place.unassign();
        *self.place.lock().unwrap_or_else(PoisonError::into_inner) = Some(place);
    }
}

/// What everybody is answered.
pub(crate) fn public() -> Router<Arc<Node>> {
    Router::new()
        .route("/ws", get(endpoint))
        .route("/prod", get(endpoint))
        .route("/", get(root))
        .route("/{file}", get(page))
        .route("/.well-known/jwks.json", get(jwks))
        .merge(probes())
}

/// What the machinery round the node asks it.
pub(crate) fn probes() -> Router<Arc<Node>> {
    Router::new().route("/healthz", get(|| async { "ok\n" })).route("/readyz", get(readyz))
}

/// The page that a Prometheus server reads.
pub(crate) fn measurements() -> Router<Arc<Node>> {
    Router::new().route("/metrics", get(metrics))
}

async fn endpoint(
    State(node): State<Arc<Node>>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Response {
    upgrade::answer(node, peer, request).await
}

/// The endpoint for a WebSocket, the page for a browser.
async fn root(
    State(node): State<Arc<Node>>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Response {
    if request.headers().contains_key(header::UPGRADE) {
        return upgrade::answer(node, peer, request).await;
    }
    file("index.html")
}

async fn page(axum::extract::Path(name): axum::extract::Path<String>) -> Response {
    file(&name)
}

/// The pages that come with the server.
const FILES: [(&str, &str, &str); 3] = [
    ("index.html", "text/html; charset=utf-8", include_str!("../../../web/index.html")),
    ("listen.css", "text/css; charset=utf-8", include_str!("../../../web/listen.css")),
    ("listen.js", "text/javascript; charset=utf-8", include_str!("../../../web/listen.js")),
];

/// Pages load nothing from elsewhere and are framed by nobody.
const POLICY: &str = "default-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self' ws: wss:; media-src 'self' blob:; worker-src 'self' blob:; \
    frame-ancestors 'none'; base-uri 'none'; form-action 'self'";

fn file(name: &str) -> Response {
    let Some((_, kind, text)) = FILES.iter().find(|(known, ..)| *known == name) else {
        return (StatusCode::NOT_FOUND, "not found\n").into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, *kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-cache"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, *text).into_response()
}

/// Ready while new connections are welcome and the store takes changes.
async fn readyz(State(node): State<Arc<Node>>) -> Response {
    if node.phase() != Phase::Serving {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response();
    }
    match node.app.store().check().await {
        Ok(()) => "ready\n".into_response(),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "store unavailable\n").into_response(),
    }
}

async fn metrics(State(node): State<Arc<Node>>) -> Response {
    const TEXT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    crate::logging::report_dropped(&node.metrics.logs_dropped);
    ([(header::CONTENT_TYPE, TEXT)], node.metrics.page()).into_response()
}

async fn jwks(State(node): State<Arc<Node>>) -> Response {
    match &node.jwks {
        Some(keys) => json(StatusCode::OK, keys.clone(), None),
        None => (StatusCode::NOT_FOUND, "tokens are issued elsewhere\n").into_response(),
    }
}

/// A JSON answer, with the seconds to wait before trying again.
pub(crate) fn json(status: StatusCode, body: String, retry_after: Option<u64>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(seconds) = retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

const RETRY_AFTER: HeaderName = header::RETRY_AFTER;
