//! The double of API Gateway and Lambda, held to its rules.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod connecting;
mod events;
mod functions;
mod managing;
mod messages;
mod support;
