//! A server under test, on a real socket and with a clock that the test moves, and a peer that
//! speaks to it through a WebSocket library that is not ours.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ambo_core::Millis;
use ambo_identity::LocalIssuer;
use ambo_server::{Clock, Server, Settings};
use ambo_testkit::contract as schema;
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// No answer of a healthy server takes so long, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// Long enough for anything already under way to arrive where nothing is expected.
const QUIET: Duration = Duration::from_millis(150);
/// The moment at which every test begins.
pub const START: Millis = Millis(1_795_000_000_000);

/// A running server.
pub struct World {
    pub server: Server,
    pub clock: Clock,
    pub settings: Settings,
    pub folder: Arc<TempDir>,
}

impl World {
    /// A server with the defaults, but for what `change` changes.
    pub async fn start(change: impl FnOnce(&mut Settings)) -> Self {
        Self::start_in(Arc::new(TempDir::new().unwrap()), Clock::manual(START), change).await
    }

    /// A server on this data directory, such as one that another server left.
    pub async fn start_in(
        folder: Arc<TempDir>,
        clock: Clock,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let mut settings = Settings::default();
        settings.listen = "127.0.0.1:0".parse().unwrap();
        settings.data_dir = folder.path().to_owned();
        change(&mut settings);
        let server = Server::start(&settings, clock.clone()).await.unwrap();
        Self { server, clock, settings, folder }
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    pub fn now(&self) -> Millis {
        self.clock.now()
    }

    /// Moves the clock in steps no longer than a second, so that the timers see every age.
    pub async fn pass(&self, span: Duration) {
        let mut left = span;
        while !left.is_zero() {
            let step = left.min(Duration::from_secs(1));
            self.clock.advance(step);
            tokio::task::yield_now().await;
            left -= step;
        }
    }

    /// A token for this user, good for a day.
    pub fn token(&self, user: &str) -> String {
        let issuer = LocalIssuer::open(self.folder.path()).unwrap();
        let day = Millis::from_mins(24 * 60);
        issuer.issue(user, day, self.now()).unwrap().0.into()
    }

    /// Opens a connection with this query, at `/ws`, offering `ambo.v1`.
    pub async fn connect(&self, query: &str) -> Peer {
        self.knock(&format!("/ws?{query}"), &[AMBO]).await.unwrap()
    }

    /// The same without the subprotocol.
    pub async fn connect_plain(&self, query: &str) -> Peer {
        self.knock(&format!("/ws?{query}"), &[]).await.unwrap()
    }

    /// A connection attempt with these headers.
    pub async fn knock(&self, target: &str, headers: &[(&str, &str)]) -> Result<Peer, Refused> {
        let mut request: Request =
            format!("ws://{}{target}", self.address()).into_client_request().unwrap();
        for (name, value) in headers {
            let name: http::HeaderName = name.parse().unwrap();
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        // Without waiting for more to send: a test says one thing after the other.
        match tokio_tungstenite::connect_async_with_config(request, None, true).await {
            Ok((socket, response)) => Ok(Peer { socket, response: response.map(|_| ()) }),
            Err(Error::Http(response)) => Err(Refused::of(*response)),
            Err(error) => panic!("{error}"),
        }
    }

    /// A refusal of a client that does not offer the subprotocol.
    pub async fn refused(&self, query: &str) -> Refused {
        match self.knock(&format!("/ws?{query}"), &[]).await {
            Err(refused) => refused,
            Ok(_) => panic!("{query} was accepted"),
        }
    }

    /// A session by `ann`, spoken in English.
    pub async fn speak(&self) -> Speaking {
        let query = format!("action=createSession&sourceLanguage=en&token={}", self.token("ann"));
        let mut peer = self.connect(&query).await;
        let created = peer.json().await;
        assert_eq!(created["type"], "sessionCreated", "{created}");
        Speaking { peer, session: created["sessionId"].as_str().unwrap().to_owned() }
    }

    /// A listener of a session, after its `sessionJoined`.
    pub async fn listen(&self, session: &str, language: &str) -> Peer {
        let query = format!("action=joinSession&sessionId={session}&targetLanguage={language}");
        let mut peer = self.connect(&query).await;
        let joined = peer.json().await;
        assert_eq!(joined["type"], "sessionJoined", "{joined}");
        peer
    }

    /// Waits until something holds that the server does in its own time.
    pub async fn until(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let start = tokio::time::Instant::now();
        while !holds(self) {
            assert!(start.elapsed() < PATIENCE, "not in time: {what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Stops at once.
    pub async fn stop(self) {
        self.server.stop(std::future::ready(())).await.unwrap();
    }

    /// An HTTP request without a body: status, headers and body of the answer.
    pub async fn get(&self, path: &str) -> (u16, String, String) {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = TcpStream::connect(self.address()).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_owned(), body.to_owned())
    }
}

pub const AMBO: (&str, &str) = ("sec-websocket-protocol", "ambo.v1");

/// A speaker and its session.
pub struct Speaking {
    pub peer: Peer,
    pub session: String,
}

/// A refused handshake.
#[derive(Debug)]
pub struct Refused {
    pub status: u16,
    pub retry_after: Option<u64>,
    pub body: Value,
}

impl Refused {
    fn of(response: http::Response<Option<Vec<u8>>>) -> Self {
        let retry_after = response.headers().get("retry-after");
        let body = response.body().as_deref().unwrap_or_default();
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        if !body.is_null() {
            schema::check_refusal(&body);
        }
        Self {
            status: response.status().as_u16(),
            retry_after: retry_after.and_then(|value| value.to_str().ok()?.parse().ok()),
            body,
        }
    }

    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }
}

/// An open connection, from the client's side.
pub struct Peer {
    pub socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    pub response: http::Response<()>,
}

impl Peer {
    pub async fn send(&mut self, message: Value) {
        self.socket.send(Message::text(message.to_string())).await.unwrap();
    }

    pub async fn send_text(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    pub async fn send_binary(&mut self, bytes: impl Into<bytes::Bytes>) {
        self.socket.send(Message::binary(bytes)).await.unwrap();
    }

    /// The next message that is not a ping or a pong, or `None` at the end of the stream. What is
    /// text is held against the contract's schema.
    pub async fn next(&mut self) -> Option<Message> {
        let next = async {
            loop {
                match self.socket.next().await? {
                    Ok(Message::Ping(_) | Message::Pong(_)) => {}
                    Ok(message) => {
                        if let Message::Text(text) = &message {
                            schema::check_message(&serde_json::from_str(text).unwrap());
                        }
                        return Some(message);
                    }
                    Err(_) => return None,
                }
            }
        };
        tokio::time::timeout(PATIENCE, next).await.expect("the server is silent")
    }

    /// The next message, as JSON.
    pub async fn json(&mut self) -> Value {
        match self.next().await {
            Some(Message::Text(text)) => serde_json::from_str(&text).unwrap(),
            other => panic!("no text: {other:?}"),
        }
    }

    /// The next message of this type; others before it are passed over.
    pub async fn json_of(&mut self, kind: &str) -> Value {
        loop {
            let message = self.json().await;
            if message["type"] == kind {
                return message;
            }
        }
    }

    /// The next message, as a binary one.
    pub async fn binary(&mut self) -> bytes::Bytes {
        match self.next().await {
            Some(Message::Binary(bytes)) => bytes,
            other => panic!("no binary message: {other:?}"),
        }
    }

    /// Asks and takes the next message as the answer.
    pub async fn ask(&mut self, message: Value) -> Value {
        self.send(message).await;
        self.json().await
    }

    /// The code of the error that is the next message.
    pub async fn error(&mut self) -> String {
        let message = self.json().await;
        assert_eq!(message["type"], "error", "{message}");
        message["code"].as_str().unwrap().to_owned()
    }

    /// The close frame that is the next message; it is answered, and the stream ends.
    pub async fn closed(&mut self) -> (u16, String) {
        let frame = match self.next().await {
            Some(Message::Close(Some(frame))) => frame,
            other => panic!("no close frame: {other:?}"),
        };
        assert!(self.next().await.is_none(), "something came after the close frame");
        (frame.code.into(), frame.reason.to_string())
    }

    /// Leaves with a close frame.
    pub async fn leave(mut self, code: u16) {
        let frame = CloseFrame { code: code.into(), reason: "".into() };
        self.socket.close(Some(frame)).await.unwrap();
        while self.next().await.is_some() {}
    }

    /// Is gone without a word.
    pub fn vanish(self) {
        drop(self);
    }

    /// Holds that nothing arrives for a moment.
    pub async fn quiet(&mut self) {
        if let Ok(message) = tokio::time::timeout(QUIET, self.next()).await {
            panic!("unexpected: {message:?}");
        }
    }
}

/// A binary frame of English audio.
pub fn frame(sequence: u32, payload: &[u8]) -> Vec<u8> {
    frame_of(1, b"en", sequence, payload)
}

/// A binary frame.
pub fn frame_of(kind: u8, language: &[u8; 2], sequence: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![1, kind, language[0], language[1]];
    frame.extend(sequence.to_be_bytes());
    frame.extend(1_795_000_000_000_000_u64.to_be_bytes());
    frame.extend(payload);
    frame
}
