//! The wire contract: messages, error codes, audio frames and the WebSocket codec

pub mod websocket;
