//! The Rust client: a machine without IO, and a tokio shell round it.
//!
//! [`Speaker`] and [`Listener`] are what programs use. Behind them the [`Machine`] decides
//! everything: it is told what happens ([`Input`]) and says what to do ([`Effect`]), so that its
//! behaviour is tested without sockets and without waiting. The clients in other languages have
//! the same machine under the same names.
//!
//! ```no_run
//! use ambo_client::{Event, Language, Listener, ListenerOptions, Server, SessionId};
//!
//! # async fn listen() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::parse("ws://127.0.0.1:8080/ws")?;
//! let session = SessionId::parse("faithful-shepherd-427").ok_or("no id")?;
//! let spanish = Language::parse("es").ok_or("no language")?;
//! let options = ListenerOptions::new(session, spanish);
//! // Keep the listener: it leaves when it is dropped.
//! let (_listener, mut events) = Listener::connect(&server, options).await?;
//! while let Some(event) = events.next().await {
//!     match event {
//!         Event::Configuration(frame) => println!("the codec: {:?}", frame.payload),
//!         Event::Audio(frame) => println!("frame {}", frame.sequence),
//!         Event::Ended { message, .. } => println!("{message}"),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod backoff;
mod close;
mod dice;
mod effect;
mod event;
mod events;
mod frames;
mod handshake;
mod input;
mod listener;
mod machine;
mod order;
mod pulse;
mod server;
mod shell;
mod socket;
mod speaker;
mod timing;
mod tokens;

pub use ambo_core::event::Command as Control;
pub use ambo_core::{Language, Millis, QualityTier, SessionId};
pub use ambo_wire::audio::Kind;
pub use ambo_wire::server_message::State;
pub use ambo_wire::{AudioFrame, ConnectQuery, ErrorBody};

pub use close::CloseReason;
pub use effect::{Effect, Message, wants_token};
pub use event::{Closed, Event, Resumed, Status, Turn};
pub use events::Events;
pub use input::{Command, Failure, Frame, Framing, Input, Refused, SocketId};
pub use listener::{Listener, ListenerOptions};
pub use machine::{Machine, Role};
pub use server::{Server, ServerError};
pub use speaker::{SendError, Speaker, SpeakerOptions};
pub use timing::Timing;
pub use tokens::Tokens;
