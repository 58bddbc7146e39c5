//! The standalone server
