//! A client of the contract, by a WebSocket library that is not ours.

use std::borrow::Borrow;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::schema;

/// No answer of a healthy server takes so long, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Long enough for anything already under way to arrive where nothing is expected.
const QUIET: Duration = Duration::from_millis(150);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// An open connection, from the client's side.
pub struct Client {
    /// The connection itself, for what a client of the contract would not do.
    pub socket: Socket,
    /// The answer to the handshake.
    pub response: http::Response<()>,
}

/// A refused handshake.
#[derive(Debug)]
pub struct Refused {
    /// The status.
    pub status: u16,
    /// What `Retry-After` says, in seconds.
    pub retry_after: Option<u64>,
    /// The JSON body; `null` without one.
    pub body: Value,
}

impl Client {
    /// A connection attempt with these headers.
    pub async fn knock(url: &str, headers: &[(&str, &str)]) -> Result<Self, Refused> {
        let mut request: Request = url.into_client_request().unwrap();
        for (name, value) in headers {
            let name: http::HeaderName = name.parse().unwrap();
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        // Without waiting for more to send: a test says one thing after the other.
        match tokio_tungstenite::connect_async_with_config(request, None, true).await {
            Ok((socket, response)) => Ok(Self { socket, response: response.map(|_| ()) }),
            Err(Error::Http(response)) => Err(Refused::of(&response)),
            Err(error) => panic!("{error}"),
        }
    }

    /// Sends a JSON message.
    pub async fn send(&mut self, message: impl Borrow<Value>) {
        self.send_text(&message.borrow().to_string()).await;
    }

    /// Sends a text.
    pub async fn send_text(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    /// Sends a binary message.
    pub async fn send_binary(&mut self, bytes: impl Into<Bytes>) {
        self.socket.send(Message::binary(bytes)).await.unwrap();
    }

    /// The next message that is not a ping or a pong, or `None` at the end of the stream. What is
    /// text is held against the contract's schema.
    pub async fn next(&mut self) -> Option<Message> {
        let next = tokio::time::timeout(PATIENCE, next(&mut self.socket));
        next.await.expect("the server is silent")
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
    pub async fn binary(&mut self) -> Bytes {
        match self.next().await {
            Some(Message::Binary(bytes)) => bytes,
            other => panic!("no binary message: {other:?}"),
        }
    }

    /// Asks and takes the next message as the answer.
    pub async fn ask(&mut self, message: impl Borrow<Value>) -> Value {
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
        if let Ok(message) = tokio::time::timeout(QUIET, next(&mut self.socket)).await {
            panic!("unexpected: {message:?}");
        }
    }
}

async fn next(socket: &mut Socket) -> Option<Message> {
    loop {
        match socket.next().await?.ok()? {
            Message::Ping(_) | Message::Pong(_) => {}
            message => {
                if let Message::Text(text) = &message {
                    schema::check_message(&serde_json::from_str(text).unwrap());
                }
                return Some(message);
            }
        }
    }
}

impl Refused {
    fn of(response: &http::Response<Option<Vec<u8>>>) -> Self {
        let retry_after = response.headers().get("retry-after");
        let body = response.body().as_deref().unwrap_or_default();
        Self {
            status: response.status().as_u16(),
            retry_after: retry_after.and_then(|value| value.to_str().ok()?.parse().ok()),
            body: serde_json::from_slice(body).unwrap_or_default(),
        }
    }

    /// The code of the error that is the body.
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }
}
