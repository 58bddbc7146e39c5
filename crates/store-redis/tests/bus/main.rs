//! The bus between nodes, against real servers.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod cluster;
mod faults;
mod follow;
mod order;
mod queue;
mod refused;
mod sentinel;
mod support;
