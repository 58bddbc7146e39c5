//! The serverless runtime: five AWS Lambda handlers round the walk.
//!
//! ```text
//! API Gateway event → event.rs → Arrival → App::handle → Outcome → respond.rs, outbox.rs
//! ```
//!
//! One binary is all five functions; [`settings`] says which it is and what it reads. Nothing can
//! be posted to a connection before its `$connect` has been answered, so the first message goes
//! another way: see `first_message`. API Gateway is the control plane only; audio does not pass.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod authorizer;
mod aws;
mod chain;
mod clock;
mod connection;
mod connections;
mod context;
mod disconnect;
mod event;
mod first_message;
mod function;
mod http_client;
mod keys;
mod languages;
pub mod logging;
mod message;
mod metrics;
mod outbox;
mod respond;
pub mod settings;
mod status;
mod sweep;

pub use clock::Clock;
pub use function::{Function, run};
