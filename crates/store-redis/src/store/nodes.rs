//! Which node may hold connections of which session, for those who come after a node.

use ambo_app::ports::StoreFault;
use ambo_core::{Connection, ConnectionId, SessionId};
use futures_util::future::try_join_all;

use super::{LONGEST_LIFE, RedisStore, keys};

/// So many sessions are asked for at the same time.
const BATCH: usize = 256;

/// The node that holds a connection: the part of its id before the first dot.
pub(super) fn of(connection: &ConnectionId) -> Option<&str> {
    connection.as_str().split_once('.').map(|(node, _)| node)
}

impl RedisStore {
    /// Sessions that the node may hold connections of, in order of id, the first of them after
    /// `after`: all that it does hold some of, and perhaps others.
    pub async fn sessions_of(
        &self,
        node: &str,
        after: Option<&SessionId>,
        limit: usize,
    ) -> Result<Vec<SessionId>, StoreFault> {
        let mut sessions = self.noted(node).await?;
        sessions.retain(|id| after.is_none_or(|after| id > after));
        sessions.sort_unstable();
        sessions.truncate(limit);
        Ok(sessions)
    }

    /// The members of a session whose connections the node holds, in order of id.
    pub async fn members_of(
        &self,
        session: &SessionId,
        node: &str,
    ) -> Result<Vec<Connection>, StoreFault> {
        let ids = self.member_ids(session).await?;
        let ids: Vec<_> = ids.into_iter().filter(|id| of(id) == Some(node)).collect();
        self.rows(session, &ids).await
    }

    /// Forgets those of a node's sessions that have ended. To be called from time to time, so that
    /// what a node leaves when it dies is no more than what lived then.
    pub async fn forget_ended(&self, node: &str) -> Result<(), StoreFault> {
        for some in self.noted(node).await?.chunks(BATCH) {
            let there = try_join_all(some.iter().map(|session| self.is_there(session))).await?;
            for (session, _) in some.iter().zip(there).filter(|(_, is_there)| !is_there) {
                self.unnote_one(node, session).await?;
            }
        }
        Ok(())
    }

    /// Forgets which sessions a node held connections of, once it is gone for good.
    pub async fn forget_node(&self, node: &str) -> Result<(), StoreFault> {
        let mut remove = redis::cmd("DEL");
        remove.arg(keys::node(&self.engine, node));
        self.engine.run::<u8>(remove).await.map(drop)
    }

    /// Notes that a connection's node is about to hold one of the session's.
    pub(super) async fn note(
        &self,
        connection: &ConnectionId,
        session: &SessionId,
    ) -> Result<(), StoreFault> {
        let Some(node) = of(connection) else { return Ok(()) };
        let (keys, args) = ([keys::node(&self.engine, node)], (session.as_str(), LONGEST_LIFE.0));
        self.engine.invoke::<u8>(&self.steps.note, &keys, args).await.map(drop)
    }

    /// Takes notes back of a session that has ended.
    pub(super) async fn unnote(
        &self,
        session: &SessionId,
        gone: &[(ConnectionId, u64)],
    ) -> Result<(), StoreFault> {
        let mut nodes: Vec<_> = gone.iter().filter_map(|(connection, _)| of(connection)).collect();
        nodes.sort_unstable();
        nodes.dedup();
        for node in nodes {
            self.unnote_one(node, session).await?;
        }
        Ok(())
    }

    async fn unnote_one(&self, node: &str, session: &SessionId) -> Result<(), StoreFault> {
        let keys = [keys::node(&self.engine, node)];
        self.engine.invoke::<u8>(&self.steps.unnote, &keys, session.as_str()).await.map(drop)
    }

    async fn noted(&self, node: &str) -> Result<Vec<SessionId>, StoreFault> {
        let mut list = redis::cmd("ZRANGE");
        list.arg(keys::node(&self.engine, node)).arg(0).arg(-1);
        let sessions: Vec<String> = self.engine.run(list).await?;
        // What is no id names no session.
        Ok(sessions.iter().filter_map(|id| SessionId::parse(id)).collect())
    }

    async fn is_there(&self, session: &SessionId) -> Result<bool, StoreFault> {
        let [session, _, _] = keys::session(&self.engine, session);
        let mut ask = redis::cmd("EXISTS");
        ask.arg(session);
        self.engine.run(ask).await
    }
}
