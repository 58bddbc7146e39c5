//! The Rust client: a machine without IO and a tokio shell round it
