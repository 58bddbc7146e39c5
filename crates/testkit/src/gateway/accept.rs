//! The one port: which request is for what.

use std::convert::Infallible;
use std::io::Cursor;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, join};
use tokio::net::{TcpListener, TcpStream};

use super::{Shared, connect, invoke, manage};

pub(super) type Answer = Response<Full<Bytes>>;

/// A handshake's head is at most so long.
const MAX_HEAD_BYTES: usize = 16 * 1024;
const MAX_HEADERS: usize = 100;

pub(super) fn answer(status: u16, body: impl Into<Bytes>) -> Answer {
    Response::builder().status(status).body(Full::new(body.into())).unwrap()
}

pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, peer)) = listener.accept().await {
        tokio::spawn(serve(stream, peer, shared.clone()));
    }
}

async fn serve(mut stream: TcpStream, peer: SocketAddr, shared: Arc<Shared>) {
    // The HTTP library writes header names in small letters; functions see them as they came.
    let Some(head) = head(&mut stream).await else { return };
    let names = Arc::new(names(&head));
    let service = service_fn(move |request| {
        // In a task of its own: a function runs on when a client does not wait for it.
        let answer = tokio::spawn(route(request, names.clone(), peer, shared.clone()));
        async move { Ok::<_, Infallible>(answer.await.unwrap_or_else(|_| self::answer(500, ""))) }
    });
    // A message is written at once, as a test looks at each.
    let _ = stream.set_nodelay(true);
    let (reading, writing) = stream.into_split();
    let whole = join(Cursor::new(head).chain(reading), writing);
    // Clients may leave as they like.
    let _ =
        http1::Builder::new().serve_connection(TokioIo::new(whole), service).with_upgrades().await;
}

async fn route(
    request: Request<Incoming>,
    names: Arc<Vec<String>>,
    peer: SocketAddr,
    shared: Arc<Shared>,
) -> Answer {
    let path = request.uri().path();
    if path.starts_with("/2015-03-31/functions/") {
        return invoke::answer(request, &shared).await;
    }
    match path.trim_start_matches('/').split_once("/@connections/") {
        Some((stage, id)) if stage == shared.plan.stage => {
            let id = percent_encoding::percent_decode_str(id).decode_utf8_lossy().into_owned();
            manage::answer(request, &id, &shared).await
        }
        Some(_) => manage::refusal(403),
        None => connect::answer(request, &names, peer, &shared).await,
    }
}

/// Reads as far as the end of the first request's head.
async fn head(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut head = Vec::with_capacity(4 * 1024);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if head.len() > MAX_HEAD_BYTES || stream.read_buf(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    Some(head)
}

/// The names of all headers, as they are written.
fn names(head: &[u8]) -> Vec<String> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    // What cannot be read here is refused by the HTTP library.
    let _ = request.parse(head);
    request.headers.iter().map(|header| header.name.to_owned()).collect()
}
