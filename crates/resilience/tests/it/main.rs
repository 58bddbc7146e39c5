//! Wrapped stores that fail by plan, alone and behind the walk. Time is the test's own.
#![allow(clippy::unwrap_used)]

mod calls;
mod walk;
mod world;
