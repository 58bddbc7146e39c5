//! The store, the bus and the node leases of a cluster on Redis or Valkey.
#![cfg_attr(test, allow(clippy::unwrap_used))]
