//! What an event wants to see.

use ambo_app::ports::StoreFault;
use ambo_core::rules::{OfSession, Seen, Told, Wanted};
use ambo_core::{Connection, ConnectionId, Role};

use crate::fault::fault;
use crate::rows::{number_of, source_of, string_of, text};
use crate::write::names;
use crate::{DynamoStore, INDEX};

impl DynamoStore {
    /// What is wanted, by one or two rounds of consistent reads.
    pub(crate) async fn seen(&self, wanted: &Wanted) -> Result<Seen, StoreFault> {
        let asked = match &wanted.session {
            OfSession::Named(id) => Some(id),
            OfSession::No | OfSession::Own | OfSession::OwnIfSpeaker => None,
        };
        let look = self.look(asked, wanted.own.iter().chain(&wanted.named)).await?;
        let own = wanted.own.as_ref().and_then(|id| look.member(id));
        let of_own = match &wanted.session {
            OfSession::Own => own,
            OfSession::OwnIfSpeaker => own.filter(|own| own.role == Role::Speaker),
            OfSession::No | OfSession::Named(_) => None,
        };
        let session = asked.or(of_own.map(|own| &own.session));
        let row = session.and_then(|id| look.live(id));
        let named = wanted.named.as_ref().and_then(|id| look.member(id));
        let told = match &wanted.told {
            Some(told) if named.is_none() => self.longest_told(told).await?,
            Some(_) | None => None,
        };
        let languages = row.filter(|_| wanted.languages).map(|row| row.languages.clone());
        Ok(Seen {
            session: row.map(|row| row.session.clone()),
            own: own.cloned(),
            named: named.cloned(),
            told,
            languages: languages.unwrap_or_default(),
        })
    }

    /// The index proposes, and may be behind; the row itself decides.
    async fn longest_told(&self, told: &Told) -> Result<Option<Connection>, StoreFault> {
        let key = "#sessionId = :session AND #targetLanguage = :target";
        let filter = "#sourceAddress = :source AND attribute_exists(#refreshSecret)";
        let fields = "#connectionId, #toldAt";
        let query = self
            .client
            .query()
            .table_name(&self.tables.connections)
            .index_name(INDEX)
            .key_condition_expression(key)
            .filter_expression(filter)
            .projection_expression(fields)
            .set_expression_attribute_names(names([Some(key), Some(filter), Some(fields)]))
            .expression_attribute_values(":session", text(told.session.as_str()))
            .expression_attribute_values(":target", text(told.target.as_str()))
            .expression_attribute_values(":source", source_of(told.source));
        let mut items = query.into_paginator().items().send();
        let mut proposed = Vec::new();
        while let Some(item) = items.try_next().await.map_err(fault)? {
            let id = string_of(&item, "connectionId")?.to_owned();
            proposed.push((number_of(&item, "toldAt")?, id));
        }
        proposed.sort_unstable();
        for id in proposed.iter().filter_map(|(_, id)| ConnectionId::parse(id)) {
            let look = self.look(None, [&id]).await?;
            let still = look.listener(&id, &told.session).filter(|listener| {
                listener.told.is_some()
                    && listener.source == told.source
                    && listener.role.target() == Some(told.target)
            });
            if let Some(still) = still {
                return Ok(Some(still.clone()));
            }
        }
        Ok(None)
    }
}
