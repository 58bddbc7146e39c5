//! The functions, each against a real database and a stub of the services they call.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod authorizer;
mod connect;
mod events;
mod fan_out;
mod first_message;
mod languages;
mod line;
mod messages;
mod settings;
mod sweep;
mod world;
