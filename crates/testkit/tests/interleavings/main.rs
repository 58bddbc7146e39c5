//! Random interleavings of everything that can happen: one after the other against a model, and
//! truly at once against what must hold whatever happened.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod model;
mod play;
mod storm;
