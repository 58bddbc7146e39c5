//! A cluster of real processes, and everything that can happen to it during a talk.
//!
//! `AMBO_CLUSTER_LISTENERS=3000` makes the rolling restart as large as its promise;
//! `AMBO_CLUSTER_LOG=debug` says what the nodes log, which is shown when a test fails.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::print_stdout, reason = "the rolling restart shows what it took")]

mod deaths;
mod engine;
mod reach;
mod rolling;
mod room;
mod stage;
