//! The store, the bus and the node leases of a cluster on Redis or Valkey.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod engine;
mod fault;
mod line;
mod settings;

pub use engine::{Engine, Script};
pub use settings::{RedisSettings, SettingsError};
