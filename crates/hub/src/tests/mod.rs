//! What holds for the whole hub.

pub mod pipe;
