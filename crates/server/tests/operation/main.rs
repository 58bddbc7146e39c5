//! What operators rely on, over real sockets: stopping, logs, metrics, degradation, and an edge
//! that bears whatever comes from the network.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../harness/mod.rs"]
mod harness;
mod support;

mod admin;
mod behind;
mod child;
mod drain;
mod edge;
mod garbage;
mod identity;
mod log;
mod meanwhile;
mod metrics;
mod moving;
mod pages;
mod stop;
mod store;
mod tls;
