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
pub use query::{ConnectQuery, Connecting};
pub use server_message::{Resumed, ServerMessage, Stamped};

/// The WebSocket subprotocol of clients that read refusals and binary audio.
pub const SUBPROTOCOL: &str = "ambo.v1";

/// The largest message in bytes; API Gateway's limit, kept so that a client fits both servers.
pub const MAX_MESSAGE: usize = 128 * 1024;

/// The largest audio payload in bytes: a second of 16 kHz 16-bit mono.
pub const MAX_AUDIO: usize = 32 * 1024;

/// The largest control message in bytes; the longest meant one is under 2 KiB.
pub const MAX_CONTROL: usize = 4 * 1024;
