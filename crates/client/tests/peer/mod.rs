//! A server that does what a test tells it, right or wrong, over real sockets.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::time::Duration;

use ambo_client::{AudioFrame, Event, Events, Kind, Language, Millis, Server, Timing};
use ambo_wire::websocket::{self, Decoder, Message, accept_key};
use bytes::{Bytes, BytesMut};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

pub const ID: &str = "faithful-shepherd-427";

/// Longer than anything here takes; a test that hangs fails instead.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct ScriptedServer {
    listener: TcpListener,
}

/// One connection, seen from the server.
pub struct Peer {
    pub stream: TcpStream,
    pub query: BTreeMap<String, String>,
    pub headers: BTreeMap<String, String>,
    decoder: Decoder,
    received: BytesMut,
}

impl ScriptedServer {
    pub async fn start() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    pub fn address(&self) -> String {
        format!("ws://{}/ws", self.listener.local_addr().unwrap())
    }

    pub fn server(&self) -> Server {
        Server::parse(&self.address()).unwrap()
    }

    /// The next connection, with its request read and not answered.
    pub async fn next(&self) -> Peer {
        let (stream, _) = timeout(PATIENCE, self.listener.accept()).await.unwrap().unwrap();
        Peer::read(stream).await
    }

    /// The next connection, with its WebSocket open.
    pub async fn open(&self) -> Peer {
        let mut peer = self.next().await;
        peer.agree(&[]).await;
        peer
    }

    /// No connection comes for a while.
    pub async fn nobody_comes(&self) {
        let nobody = timeout(Duration::from_millis(150), self.listener.accept()).await;
        assert!(nobody.is_err(), "somebody came");
    }
}

impl Peer {
    async fn read(mut stream: TcpStream) -> Self {
        let mut received = BytesMut::new();
        while !received.ends_with(b"\r\n\r\n") {
            let read = timeout(PATIENCE, stream.read_buf(&mut received)).await.unwrap().unwrap();
            assert!(read > 0, "the client hung up before it had asked");
        }
        let text = String::from_utf8(received.to_vec()).unwrap();
        let mut lines = text.lines();
        let target = lines.next().unwrap().split(' ').nth(1).unwrap();
        let query = target.split_once('?').unwrap().1;
        let query = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let header = |line: &str| {
            let (name, value) = line.split_once(": ")?;
            Some((name.to_lowercase(), value.to_owned()))
        };
        let headers = lines.filter_map(header).collect();
        let decoder = Decoder::new(1024 * 1024);
        Self { stream, query, headers, decoder, received: BytesMut::new() }
    }

    /// Accepts the handshake, and sends these messages in the same write.
    pub async fn agree(&mut self, messages: &[Value]) {
        let accept = accept_key(&self.headers["sec-websocket-key"]);
        let mut answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: ambo.v1\r\n\r\n"
        )
        .into_bytes();
        for message in messages {
            answer.extend_from_slice(&websocket::text(&message.to_string()));
        }
        self.raw(&answer).await;
    }

    /// Refuses the handshake.
    pub async fn refuse(&mut self, head: &str, body: &str) {
        let length = body.len();
        let answer = format!("HTTP/1.1 {head}\r\nContent-Length: {length}\r\n\r\n{body}");
        self.raw(answer.as_bytes()).await;
    }

    pub async fn raw(&mut self, bytes: &[u8]) {
        // A client that has gone already is for the test to notice.
        let _ = self.stream.write_all(bytes).await;
    }

    pub async fn say(&mut self, message: &Value) {
        self.raw(&websocket::text(&message.to_string())).await;
    }

    pub async fn frame(&mut self, sequence: u32) {
        self.raw(&websocket::binary(&frame(sequence).encode())).await;
    }

    pub async fn close(&mut self, code: u16, reason: &str) {
        self.raw(&websocket::close(code, reason)).await;
    }

    /// Cuts the line without a word.
    pub fn cut(self) {
        let _ = self.stream.set_zero_linger();
    }

    /// The next message; `None` when the line has ended.
    pub async fn hear(&mut self) -> Option<Message> {
        loop {
            let mut input = &self.received[..];
            let message = self.decoder.decode(&mut input).unwrap();
            let taken = self.received.len() - input.len();
            let _ = self.received.split_to(taken);
            if message.is_some() {
                return message;
            }
            let read = timeout(PATIENCE, self.stream.read_buf(&mut self.received)).await;
            if !matches!(read.expect("the client says nothing"), Ok(1..)) {
                return None;
            }
        }
    }

    /// The next text message.
    pub async fn hear_text(&mut self) -> Value {
        loop {
            match self.hear().await {
                Some(Message::Text(text)) => return serde_json::from_str(&text).unwrap(),
                Some(Message::Ping(_) | Message::Pong(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// The next frame.
    pub async fn hear_frame(&mut self) -> AudioFrame {
        loop {
            match self.hear().await {
                Some(Message::Binary(bytes)) => return AudioFrame::parse(&bytes, 1 << 20).unwrap(),
                Some(Message::Ping(_) | Message::Pong(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// The code of the close frame that comes next.
    pub async fn hear_close(&mut self) -> Option<u16> {
        loop {
            match self.hear().await {
                Some(Message::Close(close)) => return close.map(|close| close.code),
                Some(Message::Ping(_) | Message::Pong(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

pub fn frame(sequence: u32) -> AudioFrame {
    AudioFrame {
        kind: Kind::Audio,
        language: Language::parse("en").unwrap(),
        sequence,
        captured_micros: u64::from(sequence),
        payload: Bytes::copy_from_slice(&sequence.to_be_bytes()),
    }
}

pub fn state() -> Value {
    json!({ "isPaused": false, "isMuted": false, "lastStateChange": 1 })
}

pub fn created() -> Value {
    json!({
        "type": "sessionCreated", "sessionId": ID, "sourceLanguage": "en",
        "qualityTier": "standard", "connectionId": "c1", "expiresAt": 9, "timestamp": 1,
    })
}

pub fn joined() -> Value {
    json!({
        "type": "sessionJoined", "sessionId": ID, "sourceLanguage": "en", "targetLanguage": "es",
        "connectionId": "c1", "broadcastState": state(), "timestamp": 1,
    })
}

pub fn speaker_back(last: u32) -> Value {
    json!({
        "type": "connectionRefreshComplete", "sessionId": ID, "role": "speaker",
        "connectionId": "c2", "sourceLanguage": "en", "broadcastState": state(),
        "lastSequence": last, "timestamp": 1,
    })
}

pub fn listener_back(replayed: u32) -> Value {
    json!({
        "type": "connectionRefreshComplete", "sessionId": ID, "role": "listener",
        "connectionId": "c2", "sourceLanguage": "en", "targetLanguage": "es",
        "replayed": replayed, "timestamp": 1,
    })
}

pub fn refresh_required() -> Value {
    json!({
        "type": "connectionRefreshRequired", "sessionId": ID, "role": "listener",
        "message": "please", "deadline": 9, "reason": "age", "targetLanguage": "es",
        "refreshToken": "proof.c1", "timestamp": 1,
    })
}

pub fn error(code: &str, details: Value) -> Value {
    let mut error = json!({ "type": "error", "code": code, "message": "no", "timestamp": 1 });
    error["details"] = details;
    error
}

pub fn ended() -> Value {
    json!({
        "type": "sessionEnded", "sessionId": ID, "message": "bye", "reason": "speakerEnded",
        "timestamp": 1,
    })
}

/// Limits short enough that nobody has to wait for them.
pub fn quick() -> Timing {
    Timing {
        connect_limit: Millis(5_000),
        first_retry: Millis(20),
        longest_retry: Millis(100),
        end_limit: Millis(100),
        ..Timing::default()
    }
}

/// The next event.
pub async fn next(events: &mut Events) -> Option<Event> {
    timeout(PATIENCE, events.next()).await.expect("an event was awaited")
}

/// The next event that `wanted` takes; all before it are let go.
pub async fn until<T>(events: &mut Events, wanted: impl Fn(Event) -> Option<T>) -> T {
    loop {
        let event = next(events).await.expect("the client is done");
        if let Some(found) = wanted(event) {
            return found;
        }
    }
}

/// The sequences of the next frames; nothing else may come between.
pub async fn heard(events: &mut Events, count: usize) -> Vec<u32> {
    let mut sequences = Vec::new();
    while sequences.len() < count {
        match next(events).await {
            Some(Event::Audio(frame)) => sequences.push(frame.sequence),
            other => panic!("{other:?} after {sequences:?}"),
        }
    }
    sequences
}
