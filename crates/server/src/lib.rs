//! The standalone server
pub mod settings;
