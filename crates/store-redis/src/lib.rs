//! The store, the bus and the node leases of a cluster on Redis or Valkey.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod agreement;
mod bus;
mod engine;
mod fault;
mod leases;
mod line;
mod node_id;
mod settings;
mod store;

pub use agreement::{Agreement, agree};
pub use bus::{Bus, BusCounters, BusSettings, Count, Entry, EntryId, Since, Topic};
pub use engine::{Engine, Script};
pub use leases::{Claim, EngineMark, Forgotten, Leases, Renewed};
pub use node_id::NodeId;
pub use settings::{RedisSettings, SettingsError};
pub use store::RedisStore;
