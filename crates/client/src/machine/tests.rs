//! Whole conversations without a socket or a clock.

mod bench;
mod chaos;
mod listener;
mod moves;
mod speaker;
mod world;
