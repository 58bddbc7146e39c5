//! Identity against real issuers: key sets over real sockets, tokens signed without the library
//! that verifies them.
#![allow(clippy::unwrap_used)]

mod garbage;
mod issuer;
mod local;
mod tls;
mod tokens;
mod world;
