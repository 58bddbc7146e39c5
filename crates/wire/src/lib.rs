//! The wire contract: messages, error codes, audio frames and the WebSocket codec
