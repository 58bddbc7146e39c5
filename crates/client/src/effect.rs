//! What the machine wants done.

use ambo_wire::ConnectQuery;
use bytes::Bytes;

use crate::event::Event;
use crate::input::SocketId;

/// Something for the shell to do, in the order given.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Open a socket: ask the token provider if `query` wants a token, then connect, and report
    /// [`Opened`](crate::Input::Opened) or [`Failed`](crate::Input::Failed).
    Open {
        /// Its name.
        socket: SocketId,
        /// What to ask for. Its token is empty: that is the shell's to add.
        query: ConnectQuery,
    },
    /// Send a control message.
    Text {
        /// Where.
        socket: SocketId,
        /// The message.
        text: String,
    },
    /// Send audio, and report it as [`Written`](crate::Input::Written).
    Audio {
        /// Where.
        socket: SocketId,
        /// The message.
        message: Message,
    },
    /// Send a ping, and report the answer as [`Pong`](crate::Input::Pong).
    Ping {
        /// Where.
        socket: SocketId,
    },
    /// Send what was handed over and a close frame, and forget the socket.
    Close {
        /// Which.
        socket: SocketId,
        /// The code.
        code: u16,
    },
    /// Drop the socket, or the attempt to open it, without a word.
    Abort {
        /// Which.
        socket: SocketId,
    },
    /// Tell the user.
    Deliver(Event),
}

/// A frame in the framing of its socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A binary message.
    Binary(Bytes),
    /// A text message.
    Text(String),
}

/// Whether a query is one of a speaker's, and so wants a token.
pub fn wants_token(query: &ConnectQuery) -> bool {
    match query {
        ConnectQuery::Create { .. } | ConnectQuery::RefreshSpeaker { .. } => true,
        ConnectQuery::Join { .. } | ConnectQuery::RefreshListener { .. } => false,
    }
}
