//! One socket of the shell: reads and writes until it is closed.

use std::time::Duration;

use ambo_wire::ConnectQuery;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::sync::mpsc::{Receiver, Sender};
use tokio::time::timeout;
use tokio_websockets::{CloseCode, Message as Frame};

use crate::effect::{Message, wants_token};
use crate::handshake::{self, Stream};
use crate::input::{Failure, Input, SocketId};
use crate::server::Server;
use crate::tokens::Tokens;

/// Something to be written.
#[derive(Debug)]
pub(crate) enum Outgoing {
    Text(String),
    Audio(Message),
    Ping,
    /// The last thing written.
    Close(u16),
}

/// Time for the server to answer a close frame.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);
/// Messages written together; more would only let the first ones wait.
const BATCH: usize = 64;

/// What a socket needs to open and to report.
#[derive(Debug)]
pub(crate) struct Socket {
    pub id: SocketId,
    pub server: Server,
    pub tokens: Option<Tokens>,
    pub inputs: Sender<Input>,
}

impl Socket {
    /// Lives as long as the socket. When the machine is gone, nobody hears the reports.
    pub async fn run(self, query: ConnectQuery, outgoing: Receiver<Outgoing>) {
        let socket = self.id;
        let (stream, framing) = match self.open(&query).await {
            Ok(opened) => opened,
            Err(failure) => return self.report(Input::Failed { socket, failure }).await,
        };
        self.report(Input::Opened { socket, framing }).await;
        let (mut sink, mut source) = stream.split();
        let closed = tokio::select! {
            closed = self.read(&mut source) => Some(closed),
            () = self.write(&mut sink, outgoing) => None,
        };
        match closed {
            Some(closed) => {
                self.report(closed).await;
                // The library answers the close frame while it is polled.
                let _ = timeout(CLOSE_LIMIT, sink.close()).await;
            }
            None => {
                let end = async { while let Some(Ok(_)) = source.next().await {} };
                let _ = timeout(CLOSE_LIMIT, end).await;
            }
        }
    }

    async fn open(&self, query: &ConnectQuery) -> Result<(Stream, crate::Framing), Failure> {
        let token = match &self.tokens {
            Some(tokens) if wants_token(query) => {
                Some(tokens.token().await.map_err(Failure::NoToken)?)
            }
            Some(_) | None => None,
        };
        handshake::open(&self.server, query, token.as_deref()).await
    }

    /// Reads until the end, and tells how it came.
    async fn read(&self, source: &mut SplitStream<Stream>) -> Input {
        let socket = self.id;
        while let Some(Ok(message)) = source.next().await {
            if let Some((code, reason)) = message.as_close() {
                let (code, reason) = (Some(code.into()), reason.to_owned());
                return Input::Closed { socket, code, reason };
            }
            let input = if let Some(text) = message.as_text() {
                Input::Text { socket, text: text.to_owned() }
            } else if message.is_ping() {
                Input::Ping { socket }
            } else if message.is_pong() {
                Input::Pong { socket }
            } else {
                Input::Binary { socket, bytes: message.into_payload().into() }
            };
            self.report(input).await;
        }
        Input::Closed { socket, code: None, reason: String::new() }
    }

    /// Writes until the close frame, what waits together.
    async fn write(&self, sink: &mut SplitSink<Stream, Frame>, mut outgoing: Receiver<Outgoing>) {
        let mut batch = Vec::with_capacity(BATCH);
        while outgoing.recv_many(&mut batch, BATCH).await > 0 {
            let (mut frames, mut is_closing) = (0, false);
            for message in batch.drain(..) {
                frames += usize::from(matches!(message, Outgoing::Audio(_)));
                is_closing |= matches!(message, Outgoing::Close(_));
                if sink.feed(frame(message)).await.is_err() {
                    // The reader sees the end too, and tells it.
                    return std::future::pending().await;
                }
            }
            if sink.flush().await.is_err() {
                return std::future::pending().await;
            }
            if is_closing {
                return;
            }
            if frames > 0 {
                self.report(Input::Written { socket: self.id, frames }).await;
            }
        }
    }

    async fn report(&self, input: Input) {
        let _ = self.inputs.send(input).await;
    }
}

fn frame(message: Outgoing) -> Frame {
    match message {
        Outgoing::Text(text) | Outgoing::Audio(Message::Text(text)) => Frame::text(text),
        Outgoing::Audio(Message::Binary(bytes)) => Frame::binary(bytes),
        Outgoing::Ping => Frame::ping(&b""[..]),
        Outgoing::Close(code) => Frame::close(CloseCode::try_from(code).ok(), ""),
    }
}
