//! Listings: members by the index, and what a scan of all sessions finds.

use ambo_app::ports::{Page, StoreFault, Totals};
use ambo_core::{Connection, Millis, SessionId};
use aws_sdk_dynamodb::types::AttributeValue;

use crate::fault::fault;
use crate::rows::{
    ACTIVE, Item, SessionRow, millis, number_of, parse_connection, readable, string_of, text,
};
use crate::write::names;
use crate::{DynamoStore, INDEX};

impl DynamoStore {
    /// All connections of a session, in order of their ids.
    ///
    /// The order is not the index's own: there a member would move when it changes its language,
    /// and be listed twice or not at all. So every page reads the whole listing, which is one
    /// request for as many listeners as a session has.
    pub(crate) async fn page_of_members(
        &self,
        session: &SessionId,
        page: Page<'_>,
    ) -> Result<Vec<Connection>, StoreFault> {
        let look = self.look([session], None).await?;
        let Some(row) = look.row(session) else { return Ok(Vec::new()) };
        let mut members = self.everybody(row).await?;
        members.retain(|member| page.after.is_none_or(|after| member.id > *after));
        members.truncate(page.limit);
        Ok(members)
    }

    /// All connections of a session, ended or not, in order of their ids.
    pub(crate) async fn everybody(&self, row: &SessionRow) -> Result<Vec<Connection>, StoreFault> {
        let session = &row.session.id;
        let mut members = self.listeners(session).await?;
        // The speaker has no language and stands in no index: its key is in the session's row.
        members.extend(self.speaker(row).await?);
        members.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        Ok(members)
    }

    async fn listeners(&self, session: &SessionId) -> Result<Vec<Connection>, StoreFault> {
        let key = "#sessionId = :session";
        let query = self
            .client
            .query()
            .table_name(&self.tables.connections)
            .index_name(INDEX)
            .key_condition_expression(key)
            .set_expression_attribute_names(names([Some(key)]))
            .expression_attribute_values(":session", text(session.as_str()));
        let mut items = query.into_paginator().items().send();
        let mut listeners = Vec::new();
        while let Some(item) = items.try_next().await.map_err(fault)? {
            listeners.extend(readable(&item, parse_connection(&item)));
        }
        Ok(listeners)
    }

    async fn speaker(&self, row: &SessionRow) -> Result<Option<Connection>, StoreFault> {
        let Some(id) = row.speaker() else { return Ok(None) };
        let request = self.client.get_item().table_name(&self.tables.connections);
        let request = request.key("connectionId", text(id.as_str())).consistent_read(true);
        let item = request.send().await.map_err(fault)?.item;
        let speaker = item.and_then(|item| readable(&item, parse_connection(&item)));
        Ok(speaker.filter(|speaker| speaker.session == row.session.id))
    }

    /// The first `limit` ids of the sessions that are due: one pass over all sessions.
    pub(crate) async fn first_due(
        &self,
        now: Millis,
        after: Option<&SessionId>,
        limit: usize,
    ) -> Result<Vec<SessionId>, StoreFault> {
        let is_due = "#status = :status AND (#endsAt <= :now OR #speakerAwaitedUntil <= :now)";
        let values = [(":status", text(ACTIVE)), (":now", millis(now))];
        let mut due = self.ids_where(is_due, values).await?;
        due.retain(|id| after.is_none_or(|after| id > after));
        due.sort_unstable();
        due.truncate(limit);
        Ok(due)
    }

    /// The ids of the sessions of which something holds.
    pub(crate) async fn ids_where<const N: usize>(
        &self,
        filter: &str,
        values: [(&str, AttributeValue); N],
    ) -> Result<Vec<SessionId>, StoreFault> {
        let items = self.sessions_where(filter, values, "#sessionId").await?;
        let ids = items.iter().map(|item| string_of(item, "sessionId"));
        let ids: Result<Vec<_>, _> = ids.collect();
        Ok(ids?.into_iter().filter_map(SessionId::parse).collect())
    }

    /// How many sessions there are, and listeners in them.
    pub(crate) async fn counted(&self) -> Result<Totals, StoreFault> {
        let is_there = [(":status", text(ACTIVE))];
        let fields = "#sessionId, #listenerCount";
        let items = self.sessions_where("#status = :status", is_there, fields).await?;
        let mut totals = Totals { sessions: items.len() as u64, listeners: 0 };
        for item in &items {
            let count = readable(item, number_of(item, "listenerCount"));
            totals.listeners += count.flatten().unwrap_or_default();
        }
        Ok(totals)
    }

    async fn sessions_where<const N: usize>(
        &self,
        filter: &str,
        values: [(&str, AttributeValue); N],
        fields: &str,
    ) -> Result<Vec<Item>, StoreFault> {
        let values = values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let scan = self
            .client
            .scan()
            .table_name(&self.tables.sessions)
            .filter_expression(filter)
            .projection_expression(fields)
            .set_expression_attribute_names(names([Some(filter), Some(fields)]))
            .set_expression_attribute_values(Some(values));
        let items = scan.into_paginator().items().send();
        items.collect::<Result<Vec<_>, _>>().await.map_err(fault)
    }
}
