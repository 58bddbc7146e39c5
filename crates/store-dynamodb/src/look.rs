//! Consistent looks at rows.

use std::collections::{BTreeSet, HashMap};

use ambo_app::ports::StoreFault;
use ambo_core::{Connection, ConnectionId, Session, SessionId};
use aws_sdk_dynamodb::types::KeysAndAttributes;

use crate::DynamoStore;
use crate::fault::fault;
use crate::pause::pause;
use crate::rows::{Item, SessionRow, parse_connection, parse_session, readable};
use crate::write::{Table, key_of};

/// Rounds in which the rest is asked for when DynamoDB has answered a part.
const ROUNDS: u32 = 8;

/// Some connections with their sessions, and some sessions more. An ended session is not seen, nor
/// are its connections.
///
/// A connection's session is read after it, or beside it: a connection that was there belonged to
/// a session that was there.
#[derive(Debug, Default)]
pub(crate) struct Look {
    sessions: HashMap<SessionId, SessionRow>,
    connections: HashMap<ConnectionId, Connection>,
}

/// What stands in a connection's place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Nothing.
    Free,
    /// A member of a session.
    Taken,
    /// What is left of a member of an ended session, until that is forgotten.
    Fading,
}

impl Look {
    /// The session, if it has not ended.
    pub(crate) fn session(&self, id: &SessionId) -> Option<&Session> {
        self.live(id).map(|row| &row.session)
    }

    /// Its row, if it has not ended.
    pub(crate) fn live(&self, id: &SessionId) -> Option<&SessionRow> {
        self.row(id).filter(|row| row.ended_at.is_none())
    }

    /// The row with this id, ended or not.
    pub(crate) fn row(&self, id: &SessionId) -> Option<&SessionRow> {
        self.sessions.get(id)
    }

    /// The connection, if it is a member.
    pub(crate) fn member(&self, id: &ConnectionId) -> Option<&Connection> {
        self.connections.get(id).filter(|connection| self.live(&connection.session).is_some())
    }

    /// The connection, if it is a listener of this session.
    pub(crate) fn listener(&self, id: &ConnectionId, of: &SessionId) -> Option<&Connection> {
        let member = self.member(id).filter(|member| member.session == *of);
        member.filter(|member| member.role.target().is_some())
    }

    /// Whether the connection has a row in the same session, ended or not.
    pub(crate) fn is_kept(&self, listed: &Connection) -> bool {
        self.connections.get(&listed.id).is_some_and(|row| row.session == listed.session)
    }

    /// What stands in a connection's place.
    pub(crate) fn place(&self, id: &ConnectionId) -> Place {
        match (self.member(id), self.connections.contains_key(id)) {
            (Some(_), _) => Place::Taken,
            (None, true) => Place::Fading,
            (None, false) => Place::Free,
        }
    }

    fn take_all(&mut self, found: Vec<(Table, Item)>) -> Result<(), StoreFault> {
        for (table, item) in &found {
            match table {
                Table::Sessions => {
                    let row = parse_session(item)?;
                    self.sessions.insert(row.session.id.clone(), row);
                }
                Table::Connections => {
                    let connection = parse_connection(item)?;
                    self.connections.insert(connection.id.clone(), connection);
                }
            }
        }
        Ok(())
    }
}

impl DynamoStore {
    /// Looks at these sessions and connections, and at the sessions of the latter.
    pub(crate) async fn look<'a>(
        &self,
        sessions: impl IntoIterator<Item = &'a SessionId>,
        connections: impl IntoIterator<Item = &'a ConnectionId>,
    ) -> Result<Look, StoreFault> {
        let mut look = Look::default();
        let sessions: BTreeSet<_> = sessions.into_iter().map(SessionId::as_str).collect();
        let connections = connections.into_iter().map(ConnectionId::as_str).collect();
        let asked = [(Table::Sessions, &sessions), (Table::Connections, &connections)];
        look.take_all(self.read(asked).await?)?;
        let of = look.connections.values().map(|connection| connection.session.clone());
        let of: Vec<_> = of.filter(|id| !sessions.contains(id.as_str())).collect();
        let others = of.iter().map(SessionId::as_str).collect();
        look.take_all(self.read([(Table::Sessions, &others)]).await?)?;
        Ok(look)
    }

    /// Looks at those of these connections that can be read, and not at their sessions, so that all
    /// seem to be of none.
    pub(crate) async fn look_alone<'a>(
        &self,
        connections: impl IntoIterator<Item = &'a ConnectionId>,
    ) -> Result<Look, StoreFault> {
        let connections = connections.into_iter().map(ConnectionId::as_str).collect();
        let found = self.read([(Table::Connections, &connections)]).await?;
        let connections =
            found.iter().filter_map(|(_, item)| readable(item, parse_connection(item)));
        let connections =
            connections.map(|connection| (connection.id.clone(), connection)).collect();
        Ok(Look { connections, ..Look::default() })
    }

    async fn read<'a>(
        &self,
        asked: impl IntoIterator<Item = (Table, &'a BTreeSet<&'a str>)>,
    ) -> Result<Vec<(Table, Item)>, StoreFault> {
        let mut requests = HashMap::new();
        for (table, ids) in asked.into_iter().filter(|(_, ids)| !ids.is_empty()) {
            let keys = ids.iter().map(|id| key_of(table, id)).collect();
            let request = KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(true);
            let request = request.build().map_err(StoreFault::broken)?;
            requests.insert(table.name(&self.tables).to_owned(), request);
        }
        let mut found = Vec::new();
        for round in 0..ROUNDS {
            if requests.is_empty() {
                return Ok(found);
            }
            if round > 0 {
                pause(round).await;
            }
            let request = self.client.batch_get_item().set_request_items(Some(requests));
            let answer = request.send().await.map_err(fault)?;
            for (name, items) in answer.responses.unwrap_or_default() {
                let is_sessions = name == Table::Sessions.name(&self.tables);
                let table = if is_sessions { Table::Sessions } else { Table::Connections };
                found.extend(items.into_iter().map(|item| (table, item)));
            }
            requests = answer.unprocessed_keys.unwrap_or_default();
        }
        Err(StoreFault::transient("rows were not read in any of several rounds"))
    }
}
