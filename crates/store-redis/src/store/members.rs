//! Listing the members of a session.

use ambo_app::ports::{Page, StoreFault};
use ambo_core::{Connection, ConnectionId, SessionId};

use super::{RedisStore, keys, row};

impl RedisStore {
    /// A page in order of id: who goes meanwhile shifts nobody.
    pub(super) async fn page_of(
        &self,
        session: &SessionId,
        page: Page<'_>,
    ) -> Result<Vec<Connection>, StoreFault> {
        let ids = self.member_ids(session).await?;
        let start = page.after.map_or(0, |after| ids.partition_point(|id| id <= after));
        let end = start.saturating_add(page.limit).min(ids.len());
        self.rows(session, &ids[start..end]).await
    }

    /// The ids of all members, in order.
    pub(super) async fn member_ids(
        &self,
        session: &SessionId,
    ) -> Result<Vec<ConnectionId>, StoreFault> {
        let [_, members, _] = keys::session(&self.engine, session);
        let mut list = redis::cmd("HKEYS");
        list.arg(members);
        let ids: Vec<String> = self.engine.run(list).await?;
        // What is no id names no member.
        let mut ids: Vec<_> = ids.iter().filter_map(|id| ConnectionId::parse(id)).collect();
        ids.sort_unstable();
        Ok(ids)
    }

    /// The records of those who are still members. One that cannot be read is passed over, with a
    /// warning: it must not hold up the others.
    pub(super) async fn rows(
        &self,
        session: &SessionId,
        ids: &[ConnectionId],
    ) -> Result<Vec<Connection>, StoreFault> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let [_, members, _] = keys::session(&self.engine, session);
        let mut read = redis::cmd("HMGET");
        read.arg(members);
        for id in ids {
            read.arg(id.as_str());
        }
        let rows: Vec<Option<String>> = self.engine.run(read).await?;
        let there = ids.iter().zip(rows).filter_map(|(id, row)| Some((id, row?)));
        Ok(there
            .filter_map(|(id, row)| readable(row::connection(id, session, &row), session))
            .collect())
    }
}

fn readable(read: Result<Connection, StoreFault>, session: &SessionId) -> Option<Connection> {
    if let Err(fault) = &read {
        tracing::warn!(
            component = "store",
            operation = "members",
            correlationId = %session,
            error = %fault.source,
            "a member that cannot be read is passed over"
        );
    }
    read.ok()
}
