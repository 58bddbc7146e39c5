//! The roll of all connections, for the sweep.

use ambo_app::ports::StoreFault;
use ambo_core::Connection;

use crate::DynamoStore;
use crate::fault::fault;
use crate::rows::{Item, parse_connection, readable};

/// A page of the roll.
#[derive(Debug)]
pub struct Roll {
    /// Those on it that can be read.
    pub connections: Vec<Connection>,
    /// Where the next page begins, if there may be one.
    pub next: Option<Bookmark>,
}

/// A place in the roll.
#[derive(Debug)]
pub struct Bookmark(Item);

impl DynamoStore {
    /// A page of the connections of all sessions, ended or not, in the table's own order: at most
    /// `limit` of them, from this place on. Connections that come or go while pages are asked for
    /// may or may not appear, and what a page says may be a moment old: it decides nothing.
    pub async fn connections(
        &self,
        from: Option<Bookmark>,
        limit: i32,
    ) -> Result<Roll, StoreFault> {
        let scan = self.client.scan().table_name(&self.tables.connections).limit(limit);
        let scan = scan.set_exclusive_start_key(from.map(|Bookmark(key)| key));
        let page = scan.send().await.map_err(fault)?;
        let read = |item: &Item| readable(item, parse_connection(item));
        let connections = page.items().iter().filter_map(read).collect();
        Ok(Roll { connections, next: page.last_evaluated_key.map(Bookmark) })
    }
}
