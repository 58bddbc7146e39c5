//! The walk of every event through the rules, and the three ports it needs.
//!
//! ```text
//! Arrival → identity → limits → load → decide → commit → Outcome → reply → notices
//! ```
//!
//! [`App::handle`] is the only async code of a connection's life; both runtimes are shells
//! round it. The [`ports`] say what a store, an outbox and an identity provider must guarantee.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod notify;
mod outcome;
pub mod ports;
pub mod pseudonym;
mod walk;

pub use outcome::Outcome;
pub use walk::App;
