//! The store of the serverless runtime, on Amazon DynamoDB.
//!
//! Three tables hold everything: sessions, connections and limits' buckets. Every change is one
//! conditional update or one transaction, and its guard is the condition. What decides is read
//! consistently; the index of connections lists, and never decides.
//!
//! *Invariant*: a session's row counts its listeners, all and by language, and both counts change
//! in the transaction that changes a listener's row. So they are the truth without being counted.
//!
//! *Invariant*: a connection's row is a member's only while its session's row says `active`. The
//! end of a session is one write, however many listeners there are; their rows stay until they
//! were told, and nobody sees them but who tells them.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod changes;
mod clock;
mod fault;
mod forget;
mod limits;
mod listing;
mod load;
mod look;
mod pause;
mod retry;
mod rolls;
mod rows;
mod tally;
mod write;

use std::collections::HashMap;

use ambo_app::ports::{Page, Paid, Store, StoreFault, Totals};
use ambo_core::rules::{Seen, Toll, Wanted};
use ambo_core::{Applied, Change, Connection, Millis, Rate, SessionId};
use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use parking_lot::Mutex;

use crate::fault::fault;
use crate::forget::Named;
use crate::rows::text;

pub use crate::rolls::{Bookmark, Roll};

/// The connections' index, by session and target language.
const INDEX: &str = "sessionId-targetLanguage-index";

/// What the three tables are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tables {
    /// Key `sessionId`, time to live `expiresAt`.
    pub sessions: String,
    /// Key `connectionId`, time to live `ttl`, index `sessionId-targetLanguage-index`.
    pub connections: String,
    /// Key `identifier`, time to live `expiresAt`.
    pub rate_limits: String,
}

/// Sessions, connections and limits in DynamoDB.
pub struct DynamoStore {
    client: Client,
    tables: Tables,
    /// Tells this store from others at work in the same tables.
    instance: String,
    patience: Millis,
    /// Whom this store named to be told, by ended session, until it forgets that.
    named: Mutex<HashMap<SessionId, Named>>,
}

impl DynamoStore {
    /// A store in these tables. When it tries again is its own matter: the client's settings for
    /// that are not used.
    pub fn new(client: Client, tables: Tables) -> Self {
        let instance = format!("{:032x}", fastrand::u128(..));
        let client = retry::persistent(&client);
        Self { client, tables, instance, patience: forget::PATIENCE, named: Mutex::default() }
    }

    /// The same store with another patience for whoever tells of an end, before someone else does;
    /// a minute, if nothing is said.
    pub fn with_patience(self, patience: Millis) -> Self {
        Self { patience, ..self }
    }
}

#[async_trait]
impl Store for DynamoStore {
    async fn load(&self, wanted: &Wanted) -> Result<Seen, StoreFault> {
        self.seen(wanted).await
    }

    async fn commit(&self, change: &Change) -> Result<Applied, StoreFault> {
        self.apply(change).await
    }

    async fn pay(&self, toll: &Toll, rate: Rate, now: Millis) -> Result<Paid, StoreFault> {
        self.paid(toll, rate, now).await
    }

    async fn due(
        &self,
        now: Millis,
        after: Option<&SessionId>,
        limit: usize,
    ) -> Result<Vec<SessionId>, StoreFault> {
        self.first_due(now, after, limit).await
    }

    async fn members(
        &self,
        session: &SessionId,
        page: Page<'_>,
    ) -> Result<Vec<Connection>, StoreFault> {
        self.page_of_members(session, page).await
    }

    async fn forget(&self, session: &SessionId) -> Result<(), StoreFault> {
        self.forgotten(session).await
    }

    async fn totals(&self) -> Result<Totals, StoreFault> {
        self.counted().await
    }

    async fn check(&self) -> Result<(), StoreFault> {
        // Any key will do; no session has this one.
        let request = self.client.get_item().table_name(&self.tables.sessions);
        request.key("sessionId", text("-")).send().await.map_err(fault).map(drop)
    }
}
