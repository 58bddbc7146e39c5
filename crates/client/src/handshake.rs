//! From an address to an open WebSocket, or to the server's reason for none.
//!
//! Written out here because a refused handshake matters: its body says why, and its
//! `Retry-After` when to come back.

use std::io::Cursor;
use std::time::Duration;

use ambo_core::Millis;
use ambo_wire::websocket::accept_key;
use ambo_wire::{ConnectQuery, ErrorBody, SUBPROTOCOL};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf, Bytes, BytesMut};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, Chain, Join, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;
use tokio_websockets::{ClientBuilder, Limits, WebSocketStream};
use url::Url;

use crate::input::{Failure, Framing, Refused};
use crate::server::Server;

pub(crate) type Stream = WebSocketStream<Join<Chain<Cursor<Bytes>, ReadHalf<Io>>, WriteHalf<Io>>>;
type Io = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// The largest head of an answer, in bytes; proxies add a few KiB of headers at most.
const MAX_HEAD: usize = 16 * 1024;
/// Headers in it.
const MAX_HEADERS: usize = 64;
/// The largest body of a refusal that is read, in bytes; an error object has a few hundred.
const MAX_BODY: usize = 64 * 1024;
/// Time for that body. The status and the headers say the most.
const BODY_LIMIT: Duration = Duration::from_secs(1);
/// The largest message taken from a server, in bytes: a frame of 32 KiB in base64 fits often.
const MAX_MESSAGE: usize = 256 * 1024;

/// Opens a WebSocket. The caller limits the time.
pub(crate) async fn open(
    server: &Server,
    query: &ConnectQuery,
    token: Option<&str>,
) -> Result<(Stream, Framing), Failure> {
    let mut io = connect(server).await?;
    let key = STANDARD.encode(random());
    let request = request(&server.url, query, token, &key)?;
    io.write_all(request.as_bytes()).await.map_err(|error| lost(&error))?;
    io.flush().await.map_err(|error| lost(&error))?;
    let mut received = BytesMut::new();
    let head = read_head(&mut io, &mut received).await?;
    if head.status != 101 {
        return Err(refusal(&mut io, &head, received).await);
    }
    let framing = head.accepted(&key)?;
    // The first messages may have come with the head.
    let (read, write) = tokio::io::split(io);
    let read = AsyncReadExt::chain(Cursor::new(received.freeze()), read);
    let stream = tokio::io::join(read, write);
    let limits = Limits::default().max_payload_len(Some(MAX_MESSAGE));
    Ok((ClientBuilder::new().limits(limits).take_over(stream), framing))
}

async fn connect(server: &Server) -> Result<Io, Failure> {
    let host = server.url.host_str().unwrap_or_default();
    let name = host.trim_start_matches('[').trim_end_matches(']');
    let port = server.url.port_or_known_default().unwrap_or(80);
    let stream = TcpStream::connect((name, port))
        .await
        .map_err(|error| unreachable(format!("nobody answers at {host}:{port}: {error}")))?;
    // Audio is small and must not wait for more of it. An error here only costs time.
    let _ = stream.set_nodelay(true);
    let Some(tls) = &server.tls else { return Ok(Either::Left(stream)) };
    let name = ServerName::try_from(name.to_owned())
        .map_err(|_| unreachable(format!("{host} is no name a certificate can have")))?;
    let stream = TlsConnector::from(tls.clone()).connect(name, stream).await;
    let stream = stream.map_err(|error| unreachable(format!("no TLS with {host}: {error}")))?;
    Ok(Either::Right(Box::new(stream)))
}

/// The token goes into a header: query strings end up in logs.
fn request(
    url: &Url,
    query: &ConnectQuery,
    token: Option<&str>,
    key: &str,
) -> Result<String, Failure> {
    let authorization = match token {
        Some(token) if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) => {
            return Err(Failure::NoToken("it is empty, or has characters no token has".into()));
        }
        Some(token) => format!("Authorization: Bearer {token}\r\n"),
        None => String::new(),
    };
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let own = url.query().map(|own| format!("{own}&")).unwrap_or_default();
    let (path, query) = (url.path(), query.encode());
    Ok(format!(
        "GET {path}?{own}{query} HTTP/1.1\r\n\
         Host: {host}{port}\r\n\
         Connection: Upgrade\r\n\
         Upgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: {key}\r\n\
         Sec-WebSocket-Protocol: {SUBPROTOCOL}\r\n\
         User-Agent: ambo-client/{}\r\n\
         {authorization}\r\n",
        env!("CARGO_PKG_VERSION"),
    ))
}

/// The head of the server's answer.
struct Head {
    status: u16,
    headers: Vec<(String, String)>,
}

impl Head {
    fn header(&self, name: &str) -> Option<&str> {
        let is_meant = |(given, _): &&(String, String)| given.eq_ignore_ascii_case(name);
        self.headers.iter().find(is_meant).map(|(_, value)| value.trim())
    }

    /// Whether the answer is the right one to this key, and what was agreed on.
    fn accepted(&self, key: &str) -> Result<Framing, Failure> {
        if self.header("sec-websocket-accept") != Some(&accept_key(key)) {
            return Err(unreachable("there is a server, but it does not speak WebSocket".into()));
        }
        match self.header("sec-websocket-protocol") {
            Some(SUBPROTOCOL) => Ok(Framing::Binary),
            None => Ok(Framing::Json),
            Some(other) => Err(unreachable(format!("the server wants the protocol {other:?}"))),
        }
    }
}

/// Reads the head, and leaves in `received` what came after it.
async fn read_head(
    io: &mut (impl AsyncRead + Unpin),
    received: &mut BytesMut,
) -> Result<Head, Failure> {
    loop {
        let read = io.read_buf(received).await.map_err(|error| lost(&error))?;
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        match response.parse(received) {
            Ok(httparse::Status::Complete(length)) => {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                let pair =
                    |header: &httparse::Header<'_>| (header.name.to_owned(), text(header.value));
                let headers = response.headers.iter().map(pair).collect();
                let head = Head { status: response.code.unwrap_or(0), headers };
                received.advance(length);
                return Ok(head);
            }
            Ok(httparse::Status::Partial) if read > 0 && received.len() < MAX_HEAD => {}
            Ok(httparse::Status::Partial) if read == 0 => {
                return Err(unreachable("the server hung up during the handshake".into()));
            }
            Ok(httparse::Status::Partial) | Err(_) => {
                return Err(unreachable("there is a server, but it does not speak HTTP".into()));
            }
        }
    }
}

/// What a refused handshake says. A body that is none of Ambo's comes from a proxy.
async fn refusal(io: &mut (impl AsyncRead + Unpin), head: &Head, mut body: BytesMut) -> Failure {
    let length = head.header("content-length").and_then(|value| value.parse().ok());
    let length: usize = length.unwrap_or(MAX_BODY).min(MAX_BODY);
    let read =
        async { while body.len() < length && matches!(io.read_buf(&mut body).await, Ok(1..)) {} };
    // A proxy that keeps the line open may not say where its body ends.
    let _ = timeout(BODY_LIMIT, read).await;
    let status = head.status;
    let error = serde_json::from_slice::<ErrorBody>(&body).unwrap_or_else(|_| ErrorBody {
        code: format!("HTTP_{status}"),
        message: format!("the server answered with HTTP status {status}"),
        request_id: None,
        details: None,
    });
    let asked = head.header("retry-after").and_then(|value| value.parse().ok());
    let retry_after = asked.or(error.retry_after()).map(Millis::from_secs);
    Failure::Refused(Box::new(Refused { status, error, retry_after }))
}

fn unreachable(why: String) -> Failure {
    Failure::Unreachable(why)
}

fn lost(error: &std::io::Error) -> Failure {
    Failure::Unreachable(format!("the line broke during the handshake: {error}"))
}

fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    // A predictable key only weakens a check against confused proxies.
    let _ = getrandom::fill(&mut bytes);
    bytes
}
