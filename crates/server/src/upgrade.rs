//! From an HTTP request to an open WebSocket, or to a refusal.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ambo_app::Outcome;
use ambo_core::event::Via;
use ambo_core::{
    Arrival, ConnectionId, Event, Grant, Refusal, Reply, Role, SessionId, SourceAddress,
};
use ambo_hub::{Framing, Socket, socket};
use ambo_wire::websocket::{self, Handshake, HandshakeError};
use ambo_wire::{Connecting, ErrorBody, SUBPROTOCOL, ServerMessage};
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::connection::{Admitted, refuse_in_band};
use crate::departure::take_back;
use crate::http::{Peer, json};
use crate::logging::{hashed, hashed_source};
use crate::node::{Admission, Node, Phase};
use crate::places::Place;

/// Seconds within which nodes have mostly told an engine again what it has forgotten.
const TOLD_AGAIN: u64 = 3;

/// Answers a request to open a WebSocket.
pub(crate) async fn answer(node: Arc<Node>, peer: Peer, mut request: Request) -> Response {
    let names = request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let handshake = match Handshake::read(names) {
        Ok(handshake) => handshake,
        Err(error) => return no_handshake(error),
    };
    let Some(on_upgrade) = request.extensions_mut().remove::<OnUpgrade>() else {
        return no_handshake(HandshakeError::NoUpgrade);
    };
    let knock = Knock {
        source: SourceAddress::of(node.proxies.client(peer.address.ip(), request.headers())),
        id: new_id(&node),
        is_ambo: handshake.offers(SUBPROTOCOL),
        on_upgrade,
        accept: handshake.accept,
        start: Instant::now(),
        peer,
        coming: Arc::clone(&node.coming),
    };
    let place = match knock.place() {
        Ok(place) => place,
        Err(refusal) => return knock.refuse(node, &refusal, None),
    };
    if node.phase() >= Phase::Draining {
        let refusal = Refusal::ServiceUnavailable { service: "node", retry_after: 1 };
        return knock.refuse(node, &refusal, Some(place));
    }
    let query = request.uri().query().unwrap_or_default();
    let connecting = Connecting::parse(query, authorization(request.headers()));
    // In a task of its own: of a client that hangs up meanwhile the HTTP server asks no more, but it
    // may have become a member, and then it must leave again.
    let decided = tokio::spawn(knock.decide(node, connecting, place)).await;
    decided.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

/// Somebody who wants to come in.
struct Knock {
    source: SourceAddress,
    id: ConnectionId,
    /// Whether the client reads refusals, and audio, on the socket.
    is_ambo: bool,
    on_upgrade: OnUpgrade,
    accept: String,
    start: Instant,
    peer: Peer,
    /// Held until the connection is entered, or nothing came of it.
    coming: Arc<()>,
}

impl Knock {
    fn place(&self) -> Result<Place, Refusal> {
        let unavailable = Refusal::ServiceUnavailable { service: "node", retry_after: 1 };
        let mut place = self.peer.take_place().ok_or(unavailable)?;
        match place.assign(self.source) {
            Ok(()) => Ok(place),
            Err(no_place) => {
                self.peer.give_back(place);
                Err(no_place.refusal())
            }
        }
    }

    /// Asks the rules, and answers as they say.
    async fn decide(self, node: Arc<Node>, connecting: Connecting, place: Place) -> Response {
        let arrival = Arrival {
            connection: self.id.clone(),
            source: self.source,
            via: Via::Connect,
            token: connecting.token,
            intent: connecting.intent,
            stamp: node.clock.stamp(),
        };
        let floor = match &arrival.intent {
            Ok(Event::RefreshSpeaker { session }) => Some(node.floor_of(session).lock().await),
            _ => None,
        };
        let Outcome { answer, notices, grant } = node.app.handle(&arrival).await;
        let outcome = answer.and_then(|reply| reply.ok_or(Refusal::Internal));
        let (outcome, admission) = match outcome {
            Ok(reply) => node.receive(reply, grant.as_ref()).await,
            Err(refusal) => (Err(for_now(&node, refusal).await), Admission::None),
        };
        observe(&node, &arrival, &outcome, self.start.elapsed());
        let reply = match outcome {
            Ok(reply) => reply,
            Err(refusal) => {
                drop(floor);
                if matches!(refusal, Refusal::Internal | Refusal::ServiceUnavailable { .. }) {
                    take_back(&node, &arrival);
                }
                return self.refuse(node, &refusal, Some(place));
            }
        };
        drop(floor);
        let (role, session) = member(grant.as_ref(), &reply);
        let admitted = Admitted {
            id: self.id.clone(),
            source: self.source,
            framing: if self.is_ambo { Framing::Binary } else { Framing::Json },
            node,
            role,
            session,
            reply,
            grant,
            admission,
            notices,
            place,
            coming: Arc::clone(&self.coming),
        };
        self.accept(admitted)
    }

    /// Switches protocols; the connection is served by a task of its own.
    fn accept(self, admitted: Admitted) -> Response {
        let response = switching(&self.accept, self.is_ambo);
        let send_buffer = admitted.node.send_buffer;
        let limit = admitted.node.pace.handshake_timeout;
        let on_upgrade = self.on_upgrade;
        tokio::spawn(async move {
            match opened(on_upgrade, send_buffer, limit).await {
                Some((socket, read_ahead)) => admitted.serve(socket, read_ahead).await,
                None => admitted.abandon().await,
            }
        });
        response
    }

    /// Refuses: on the socket for a client that offers the subprotocol, else by HTTP status.
    fn refuse(self, node: Arc<Node>, refusal: &Refusal, place: Option<Place>) -> Response {
        node.metrics.refused(refusal);
        let request_id = Some(hashed(&self.id));
        if !self.is_ambo {
            if let Some(place) = place {
                self.peer.give_back(place);
            }
            let status = StatusCode::from_u16(refusal.status());
            let body = ErrorBody::of(refusal, request_id);
            let body = serde_json::to_string(&body).unwrap_or_default();
            return json(status.unwrap_or(StatusCode::BAD_REQUEST), body, refusal.retry_after());
        }
        let response = switching(&self.accept, true);
        let message = ServerMessage::of_refusal(refusal, request_id).encode(node.clock.now());
        let message = websocket::text(&message);
        let (refusal, on_upgrade) = (refusal.clone(), self.on_upgrade);
        tokio::spawn(async move {
            let limit = node.pace.handshake_timeout;
            if let Some((socket, _)) = opened(on_upgrade, node.send_buffer, limit).await {
                refuse_in_band(node.hub.outlet(socket), &refusal, message).await;
            }
            drop(place);
        });
        response
    }
}

/// A session that an engine does not know which may have forgotten it is about to be written again:
/// whoever was told that it is gone would not come back.
async fn for_now(node: &Node, refusal: Refusal) -> Refusal {
    match (&refusal, &node.cluster) {
        (Refusal::SessionNotFound { .. }, Some(cluster)) if cluster.is_behind().await => {
            Refusal::ServiceUnavailable { service: "store", retry_after: TOLD_AGAIN }
        }
        _ => refusal,
    }
}

fn new_id(node: &Node) -> ConnectionId {
    let id = URL_SAFE_NO_PAD.encode(node.clock.stamp().entropy.secret());
    let id = match &node.cluster {
        None => ConnectionId::parse(&id),
        Some(cluster) => cluster.connection_id(&id),
    };
    id.unwrap_or_else(|| unreachable!("base64 is visible ASCII"))
}

/// What the connection is a member of.
fn member(grant: Option<&Grant>, reply: &Reply) -> (Role, SessionId) {
    match (grant, reply) {
        (Some(Grant::Hear { session, target, .. }), _) => {
            (Role::Listener { target: *target }, session.clone())
        }
        (Some(Grant::Speak { session, .. }), _) => (Role::Speaker, session.clone()),
        // Every reply to a new connection comes with a grant.
        (None, reply) => unreachable!("{reply:?}"),
    }
}

fn authorization(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()
}

fn no_handshake(error: HandshakeError) -> Response {
    let hint = format!("{error}; this is a WebSocket endpoint\n");
    if error == HandshakeError::BadVersion {
        let version = [(header::SEC_WEBSOCKET_VERSION, "13")];
        return (StatusCode::UPGRADE_REQUIRED, version, hint).into_response();
    }
    (StatusCode::BAD_REQUEST, hint).into_response()
}

fn switching(accept: &str, is_ambo: bool) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::from_str(accept) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    if is_ambo {
        let protocol = HeaderValue::from_static(SUBPROTOCOL);
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    response
}

/// The raw socket under an upgraded connection, and what was read from it too early.
async fn opened(
    on_upgrade: OnUpgrade,
    send_buffer: usize,
    limit: Duration,
) -> Option<(Socket, Bytes)> {
    let upgraded = tokio::time::timeout(limit, on_upgrade).await.ok()?.ok()?;
    let (socket, read_ahead) = take_apart(upgraded)?;
    // Fails only for a peer that is gone, which the first read tells.
    if let Some(stream) = socket.stream() {
        let _ = socket::tune(stream, send_buffer);
    }
    Some((socket, read_ahead))
}

fn take_apart(upgraded: Upgraded) -> Option<(Socket, Bytes)> {
    match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => Some((Socket::Plain(parts.io.into_inner()), parts.read_buf)),
        Err(upgraded) => {
            let parts = upgraded.downcast::<TokioIo<TlsStream<TcpStream>>>().ok()?;
            let (stream, session) = parts.io.into_inner().into_inner();
            Some((Socket::tls(stream, session), parts.read_buf))
        }
    }
}

/// Logs and measures what became of a new connection.
fn observe(node: &Node, arrival: &Arrival, outcome: &Result<Reply, Refusal>, took: Duration) {
    let operation = arrival.intent.as_ref().map_or("connect", Event::name);
    let seconds = took.as_secs_f64();
    match outcome {
        Ok(Reply::Created { .. }) => node.metrics.session_creation.observe(seconds),
        Ok(Reply::Joined { .. }) => node.metrics.listener_join.observe(seconds),
        Ok(_) | Err(_) => {}
    }
    node.metrics.refreshed(&arrival.intent, outcome);
    let error_code = outcome.as_ref().err().map(Refusal::code);
    let session_id = match outcome {
        Ok(
            Reply::Created { session, .. }
            | Reply::Joined { session, .. }
            | Reply::SpeakerRefreshed { session, .. }
            | Reply::ListenerRefreshed { session, .. },
        ) => Some(session.as_str()),
        Ok(_) | Err(_) => None,
    };
    tracing::info!(
        component = "connection",
        operation,
        correlationId = hashed(&arrival.connection),
        durationMs = took.as_millis() as u64,
        errorCode = error_code,
        sessionId = session_id,
        userContext = hashed_source(&arrival.source),
        "{}",
        if error_code.is_none() { "accepted" } else { "refused" }
    );
}
