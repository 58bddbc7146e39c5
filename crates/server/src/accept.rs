//! The accept loop: caps before anything is allocated, time limits on everything before the
//! WebSocket is open.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ambo_core::{Millis, Refusal, SourceAddress};
use ambo_wire::ErrorBody;
use axum::Router;
use axum::extract::Request;
use http::{HeaderValue, StatusCode, header};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
#[cfg(target_os = "linux")]
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tower_service::Service as _;

use crate::http::Peer;
use crate::node::{Node, Phase};
use crate::tls::Tls;

/// How long the loop rests when the system has no more sockets to give.
const OUT_OF_FILES_REST: Duration = Duration::from_millis(100);

/// Accepts connections until told to stop.
pub(crate) async fn run(
    node: Arc<Node>,
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    router: Router,
    stop: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => admit(&node, stream, address, tls.as_ref(), &router),
            Err(error) => rest(&error).await,
        }
    }
}

/// A connection that was reset before it was accepted concerns nobody; a lack of files does.
pub(crate) async fn rest(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if !matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        tracing::error!(
            component = "accept",
            operation = "accept",
            errorCode = "ACCEPT",
            %error,
            "no connection can be accepted; is the limit on open files too low?"
        );
        tokio::time::sleep(OUT_OF_FILES_REST).await;
    }
}

fn admit(
    node: &Arc<Node>,
    stream: TcpStream,
    address: SocketAddr,
    tls: Option<&Arc<Tls>>,
    router: &Router,
) {
    let is_proxy = node.proxies.trusts(address.ip());
    let source = (!is_proxy).then(|| SourceAddress::of(address.ip()));
    let place = match node.places.take(source) {
        Ok(place) => place,
        Err(no_place) => {
            let refusal = no_place.refusal();
            node.metrics.refused(&refusal);
            // Without a TLS handshake nothing can be said.
            return if tls.is_none() {
                turn_away(&stream, &refusal)
            };
        }
    };
    limit_stall(&stream, node.limits().heartbeat_timeout);
    let acceptor = tls.map(|tls| tls.acceptor());
    let peer = Peer { address, place: Arc::new(Mutex::new(Some(place))) };
    let (node, router) = (Arc::clone(node), router.clone());
    // Boxed, because a finished task's own memory lives on until the socket ends, which still
    // knows whom to wake; what is in the box is freed at once.
    tokio::spawn(Box::pin(async move {
        let Some(acceptor) = acceptor else {
            return serve(&node, stream, Some(peer), router).await;
        };
        let limit = node.pace.handshake_timeout;
        if let Ok(Ok(stream)) = tokio::time::timeout(limit, acceptor.accept(stream)).await {
            serve(&node, stream, Some(peer), router).await;
        }
    }));
}

/// Lets the system cut a peer that takes nothing of what was written to it: one that asks and does
/// not read the answer would keep its place for ever. Of no concern where the system cannot.
pub(crate) fn limit_stall(stream: &TcpStream, limit: Millis) {
    #[cfg(target_os = "linux")]
    if !limit.is_zero() {
        let _ = SockRef::from(stream).set_tcp_user_timeout(Some(Duration::from_millis(limit.0)));
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (stream, limit);
}

/// Says why in one write, if the socket takes it; reads nothing.
fn turn_away(stream: &TcpStream, refusal: &Refusal) {
    let status = StatusCode::from_u16(refusal.status()).unwrap_or_default();
    let seconds = refusal.retry_after().unwrap_or_default();
    let body = serde_json::to_string(&ErrorBody::of(refusal, None)).unwrap_or_default();
    let answer = format!(
        "HTTP/1.1 {status}\r\nRetry-After: {seconds}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let _ = stream.try_write(answer.as_bytes());
}

/// Serves HTTP on a connection; the peer is for those requests that ask for it.
pub(crate) async fn serve<S>(node: &Arc<Node>, stream: S, peer: Option<Peer>, router: Router)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = hyper::service::service_fn(|request: Request<hyper::body::Incoming>| {
        let (node, mut router) = (Arc::clone(node), router.clone());
        let mut request = request.map(axum::body::Body::new);
        if let Some(peer) = &peer {
            request.extensions_mut().insert(peer.clone());
        }
        async move {
            let mut response = router.call(request).await?;
            // Whoever keeps this connection is to open the next one elsewhere.
            if node.phase() != Phase::Serving
                && response.status() != StatusCode::SWITCHING_PROTOCOLS
            {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(header::CONNECTION, close);
            }
            Ok::<_, Infallible>(response)
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(node.pace.handshake_timeout)
        .max_headers(MAX_HEADERS)
        .max_buf_size(node.pace.max_header_size.max(MIN_BUFFER))
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        tracing::debug!(component = "http", operation = "serve", %error, "connection failed");
    }
}

/// Header lines of one request; browsers send about twenty.
const MAX_HEADERS: usize = 64;
/// hyper takes no smaller buffer, in bytes.
const MIN_BUFFER: usize = 8 * 1024;
