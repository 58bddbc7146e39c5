//! Stores in tables of their own.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::sync::atomic::{AtomicUsize, Ordering};

use ambo_store_dynamodb::{DynamoStore, Tables};
use ambo_testkit::dynamo::{DynamoServer, Engine, create_tables};

/// Tables that nobody else uses, on the server that all tests of this process share.
pub async fn tables(engine: Engine) -> (&'static DynamoServer, Tables) {
    static TAKEN: AtomicUsize = AtomicUsize::new(0);
    let server = DynamoServer::shared(engine);
    let name = |of: &str, number: usize| format!("{of}-{number}");
    let number = TAKEN.fetch_add(1, Ordering::Relaxed);
    let tables = Tables {
        sessions: name("sessions", number),
        connections: name("connections", number),
        rate_limits: name("rate-limits", number),
    };
    let names = [&*tables.sessions, &*tables.connections, &*tables.rate_limits];
    create_tables(&server.client(), names).await;
    (server, tables)
}

/// A store in tables that nobody else uses.
pub async fn store(engine: Engine) -> DynamoStore {
    let (server, tables) = tables(engine).await;
    DynamoStore::new(server.client(), tables)
}
