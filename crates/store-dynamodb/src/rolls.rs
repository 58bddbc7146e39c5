//! The roll of all connections, for the sweep.

use ambo_app::ports::StoreFault;
use ambo_core::{Connection, ConnectionId};

use crate::DynamoStore;
use crate::fault::fault;
use crate::rows::{parse_connection, text};

impl DynamoStore {
    /// At most `limit` connections of all sessions, ended or not, after this one, in the table's
    /// own order. None at all when there are no more. Connections that come or go while pages are
    /// asked for may or may not appear.
    pub async fn connections(
        &self,
        after: Option<&ConnectionId>,
        limit: i32,
    ) -> Result<Vec<Connection>, StoreFault> {
        let mut scan = self.client.scan().table_name(&self.tables.connections).limit(limit);
        if let Some(after) = after {
            scan = scan.exclusive_start_key("connectionId", text(after.as_str()));
        }
        let page = scan.send().await.map_err(fault)?;
        page.items().iter().map(parse_connection).collect()
    }
}
