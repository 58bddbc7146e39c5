//! Ambo's nouns and rules: values in, a decision out.
//!
//! Nothing here reads a clock, draws a random number, waits, logs or does IO: time and entropy
//! come in as a [`Stamp`]. The crate is `no_std`, so the compiler holds most of that promise.
//!
//! Read in this order: the nouns ([`session`], [`connection`], [`language`], [`session_id`]),
//! what happens ([`event`]), what a rule may want ([`change`]) or say ([`refusal`], [`notice`]),
//! and then [`rules`], one file a verb.
#![no_std]
#![cfg_attr(test, allow(clippy::unwrap_used))]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod bucket;
pub mod change;
pub mod connection;
pub mod decision;
pub mod event;
pub mod language;
pub mod limits;
pub mod notice;
pub mod refusal;
pub mod rules;
pub mod session;
pub mod session_id;
pub mod stamp;
pub mod text;
pub mod words;

pub use bucket::{Bucket, Rate};
pub use change::{Applied, Change, EndGuard};
pub use connection::{Connection, ConnectionId, Role};
pub use decision::{Decision, Grant, Reply};
pub use event::{Arrival, Event, Intent, Token, Via};
pub use language::{Language, Languages};
pub use limits::{LimitKey, Limits, Operation};
pub use notice::{Audience, Notice, Tidings};
pub use refusal::Refusal;
pub use rules::Terms;
pub use session::{BroadcastState, Moment, QualityTier, Session, Speaker};
pub use session_id::SessionId;
pub use stamp::{Entropy, Millis, Stamp};
pub use text::{Secret, SourceAddress, UserId};
pub use words::Words;
