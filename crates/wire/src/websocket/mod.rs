//! The server's half of RFC 6455, without IO: bytes in, messages out; messages in, frames out.
//!
//! Read in this order: [`Decoder`] turns what a client sent into [`Message`]s, [`Frame`] and the
//! functions beside it build whole server frames, [`Handshake`] checks the upgrade request.
//! A server's frames are unmasked, so one encoded frame can be shared by every listener.

mod decode;
mod encode;
mod handshake;

pub use decode::{Close, Decoder, Message, Violation};
pub use encode::{Frame, binary, binary_of, close, close_for, ping, pong, text, text_of};
pub use handshake::{Handshake, HandshakeError, accept_key};

/// Close codes that Ambo sends or expects (RFC 6455 §7.4 and the IANA registry).
pub mod close_code {
    /// All was said.
    pub const NORMAL: u16 = 1000;
    /// The server goes away, or the connection has reached its greatest age.
    pub const GOING_AWAY: u16 = 1001;
    /// The peer broke the protocol.
    pub const PROTOCOL_ERROR: u16 = 1002;
    /// Text that is not UTF-8.
    pub const INVALID_PAYLOAD: u16 = 1007;
    /// A refusal that coming back will not mend.
    pub const POLICY_VIOLATION: u16 = 1008;
    /// A message over the limit.
    pub const MESSAGE_TOO_BIG: u16 = 1009;
    /// Our fault.
    pub const INTERNAL_ERROR: u16 = 1011;
    /// Come back later.
    pub const TRY_AGAIN_LATER: u16 = 1013;
}

/// What a frame carries (RFC 6455 §5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opcode {
    Continuation = 0x0,
    Text = 0x1,
    Binary = 0x2,
    Close = 0x8,
    Ping = 0x9,
    Pong = 0xA,
}

impl Opcode {
    const fn parse(bits: u8) -> Option<Self> {
        match bits {
            0x0 => Some(Self::Continuation),
            0x1 => Some(Self::Text),
            0x2 => Some(Self::Binary),
            0x8 => Some(Self::Close),
            0x9 => Some(Self::Ping),
            0xA => Some(Self::Pong),
            _ => None,
        }
    }

    const fn is_control(self) -> bool {
        self as u8 & 0x8 != 0
    }
}

/// The largest payload of a control frame, in bytes (RFC 6455 §5.5).
const MAX_CONTROL: usize = 125;
