//! The embedded store: state in memory, sessions durable in SQLite
