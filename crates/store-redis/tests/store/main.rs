//! The store against real servers.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod around;
mod crowd;
mod draft;
mod interleavings;
mod on_a_cluster;
mod on_one_server;
mod servers;
mod tls;
mod trouble;
