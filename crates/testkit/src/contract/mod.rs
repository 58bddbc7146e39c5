//! What holds a runtime to the wire contract: a client that holds every message against the
//! schema, and the golden conversations.

mod client;
mod conversation;
mod schema;

pub use client::{Client, Refused};
pub use conversation::{Ability, Stage, conversations, converse};
pub use schema::{check_message, check_refusal};
