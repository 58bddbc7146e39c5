//! The wire contract: messages, error codes, audio frames and the WebSocket codec.
//!
//! Everything that crosses a socket is parsed here into [`ambo_core`]'s types and written from
//! them. Nothing here does IO; `protocol/PROTOCOL.md` is the contract in words.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod audio;
pub mod client_message;
mod error;
mod parameters;
pub mod query;
pub mod server_message;
pub mod websocket;

pub use audio::AudioFrame;
pub use client_message::{ClientMessage, Incoming};
pub use error::{ErrorBody, error_message};
pub use parameters::parse_session_id;
pub use query::{ConnectQuery, Connecting};
pub use server_message::{Resumed, ServerMessage, Stamped};

/// The WebSocket subprotocol of clients that read refusals and binary audio.
pub const SUBPROTOCOL: &str = "ambo.v1";

/// The largest of each kind of thing a client may send, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// A WebSocket message. The default is API Gateway's, so that a client fits both servers.
    pub message: usize,
    /// An audio payload, decoded: a second of 16 kHz 16-bit mono.
    pub audio: usize,
    /// A message that is not audio; the longest meant one is under 2 KiB.
    pub control: usize,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { message: 128 * 1024, audio: 32 * 1024, control: 4 * 1024 }
    }
}
