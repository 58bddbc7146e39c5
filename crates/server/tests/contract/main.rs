//! Every sentence of the wire contract that concerns a server by itself, over a real socket.
//!
//! Each module begins with a table of sentences and the tests that show them. Time is moved by
//! hand; a test waits for nothing but the server's answers.

#![allow(clippy::unwrap_used)]

#[path = "../harness/mod.rs"]
mod harness;
mod support;

mod ages;
mod audio;
mod broadcast;
mod connecting;
mod crowd;
mod life;
mod limits;
mod messages;
mod refresh;
mod refusals;
mod sizes;
mod slow;
mod status;
mod transcripts;
