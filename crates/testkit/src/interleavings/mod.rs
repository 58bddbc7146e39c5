//! Random interleavings of everything that can happen: one after the other against a model, and
//! truly at once against what must hold whatever happened.
//!
//! A store's tests give [`play`] and [`rage`] a new store each time, of which nobody else knows.

mod model;
mod play;
mod step;
mod storm;

pub use play::play;
pub use step::{Proof, Step, steps};
pub use storm::rage;
