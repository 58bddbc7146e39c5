//! The Rust client: a machine without IO, and a tokio shell round it.
//!
//! [`Speaker`] and [`Listener`] are what programs use. Behind them the [`Machine`] decides
//! everything: it is told what happens ([`Input`]) and says what to do ([`Effect`]), so that its
//! behaviour is tested without sockets and without waiting. The clients in other languages have
//! the same machine under the same names.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod backoff;
mod close;
mod dice;
mod effect;
mod event;
mod frames;
mod input;
mod machine;
mod order;
mod pulse;
mod timing;

pub use close::CloseReason;
pub use effect::{Effect, Message, wants_token};
pub use event::{Closed, Event, Resumed, Status, Turn};
pub use input::{Command, Failure, Frame, Framing, Input, Refused, SocketId};
pub use machine::{Machine, Role};
pub use timing::Timing;
