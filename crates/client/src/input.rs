//! What the machine is told: by its sockets, by its user, by the clock.

use ambo_core::Millis;
use ambo_core::event::Command as Control;
use ambo_wire::ErrorBody;
use ambo_wire::audio::Kind;
use bytes::Bytes;

use crate::close::CloseReason;

/// Names one socket of one machine. Never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketId(pub u64);

/// How audio travels on a socket: what the server has chosen of what was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// The subprotocol `ambo.v1`: binary frames.
    Binary,
    /// No subprotocol: base64 in JSON.
    Json,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// Begin: open the first socket.
    Start,
    /// A socket has finished its handshake. The server's first message is still to come.
    Opened {
        /// Which.
        socket: SocketId,
        /// What was agreed on.
        framing: Framing,
    },
    /// A text message.
    Text {
        /// Where it came.
        socket: SocketId,
        /// The message.
        text: String,
    },
    /// A binary message.
    Binary {
        /// Where it came.
        socket: SocketId,
        /// The message.
        bytes: Bytes,
    },
    /// A ping: a sign of life. The shell answers it.
    Ping {
        /// Where it came.
        socket: SocketId,
    },
    /// The answer to our ping: what was sent before it has arrived.
    Pong {
        /// Where it came.
        socket: SocketId,
    },
    /// Audio has left for the network.
    Written {
        /// Where.
        socket: SocketId,
        /// How many frames.
        frames: usize,
    },
    /// The socket is closed, with the code and reason of the close frame if there was one.
    Closed {
        /// Which.
        socket: SocketId,
        /// `None`: the line ended without a word.
        code: Option<u16>,
        /// For people, but for `superseded` and `slow consumer`.
        reason: String,
    },
    /// The socket could not be opened.
    Failed {
        /// Which.
        socket: SocketId,
        /// Why.
        failure: Failure,
    },
    /// The user wants something.
    Command(Command),
    /// The time of [`Machine::deadline`](crate::Machine::deadline) has come.
    Tick,
}

/// What the user wants.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Speaker: say something.
    Send(Frame),
    /// Speaker: steer the broadcast.
    Control {
        /// How.
        control: Control,
        /// Shown to the listeners.
        message: Option<String>,
    },
    /// Speaker: ask who listens.
    Status,
    /// Speaker: say what is still to be said, then end the session.
    End {
        /// Shown to the listeners.
        reason: Option<String>,
    },
    /// Listener: hear another language.
    ChangeLanguage {
        /// Which.
        target: String,
    },
    /// Go at once. For a speaker this ends the session too.
    Leave,
    /// The network may be back: do not wait any longer.
    Wake,
}

/// A frame before it has a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it carries.
    pub kind: Kind,
    /// When it was captured, in microseconds since the epoch.
    pub captured_micros: u64,
    /// 1 byte to 32 KiB.
    pub payload: Bytes,
}

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Failure {
    /// Nobody answers, or no Ambo server does.
    #[error("{0}")]
    Unreachable(String),
    /// The server said no.
    #[error("{}", .0.error.message)]
    Refused(Box<Refused>),
    /// The connection was closed.
    #[error("{0}")]
    Closed(CloseReason),
    /// The token provider has no token.
    #[error("there is no token: {0}")]
    NoToken(String),
}

/// The server's no.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    /// The HTTP status, or the one that goes with the code.
    pub status: u16,
    /// The code, the sentence and the details.
    pub error: ErrorBody,
    /// When the server asks to come back, if it does.
    pub retry_after: Option<Millis>,
}

impl Refused {
    /// A refusal that came as a message.
    pub fn of(error: ErrorBody) -> Self {
        let retry_after = error.retry_after().map(Millis::from_secs);
        Self { status: status_of(&error.code), error, retry_after }
    }
}

impl Failure {
    /// Whether trying again is pointless: a refusal of class 4xx, but for "too many requests", or
    /// a close that means the same.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Refused(refused) => {
                (400..500).contains(&refused.status) && refused.status != TOO_MANY_REQUESTS
            }
            Self::Closed(reason) => !reason.comes_back(),
            Self::Unreachable(_) | Self::NoToken(_) => false,
        }
    }

    /// Whether the server has surely done nothing of what it was asked for. After a fault of its
    /// own, or without its answer, nobody knows.
    pub(crate) fn has_changed_nothing(&self) -> bool {
        match self {
            Self::Refused(refused) => (400..500).contains(&refused.status),
            Self::NoToken(_) => true,
            Self::Closed(_) | Self::Unreachable(_) => false,
        }
    }

    /// Whether the session is over, or never was.
    pub(crate) fn is_no_session(&self) -> bool {
        matches!(self, Self::Refused(refused) if refused.error.code == "SESSION_NOT_FOUND")
    }

    /// When the server asks to come back.
    pub fn retry_after(&self) -> Option<Millis> {
        match self {
            Self::Refused(refused) => refused.retry_after,
            Self::Closed(_) | Self::Unreachable(_) | Self::NoToken(_) => None,
        }
    }
}

const TOO_MANY_REQUESTS: u16 = 429;

/// The status of a code. One that this version does not know may pass, so it counts as 500.
fn status_of(code: &str) -> u16 {
    match code {
        "INVALID_ACTION"
        | "INVALID_MESSAGE"
        | "INVALID_PARAMETERS"
        | "INVALID_SESSION_ID"
        | "INVALID_LANGUAGE"
        | "UNSUPPORTED_LANGUAGE" => 400,
        "UNAUTHORIZED" => 401,
        "FORBIDDEN" => 403,
        "SESSION_NOT_FOUND" | "CONNECTION_NOT_FOUND" => 404,
        "MESSAGE_TOO_LARGE" => 413,
        "RATE_LIMIT_EXCEEDED" => TOO_MANY_REQUESTS,
        "SESSION_FULL" | "SERVICE_UNAVAILABLE" => 503,
        _ => 500,
    }
}
