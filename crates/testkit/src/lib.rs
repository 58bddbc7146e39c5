//! What the tests share: the suite every store passes, and a simulated world round the walk.
//!
//! Nothing here is part of the product. Everything panics where a promise is broken, with what was
//! expected in the message.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[cfg(feature = "cluster")]
pub mod cluster;
#[cfg(feature = "contract")]
pub mod contract;
#[cfg(feature = "dynamodb")]
pub mod dynamo;
#[cfg(feature = "gateway")]
pub mod gateway;
pub mod interleavings;
pub mod ports;
#[cfg(feature = "redis")]
pub mod redis;
pub mod store_suite;
pub mod world;
