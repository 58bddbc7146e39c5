//! Notices, posted to each member of their audience.

use std::sync::Arc;
use std::time::Instant;

use ambo_app::ports::{Outbox, Page, Store, StoreFault};
use ambo_core::notice::{self, EndReason};
use ambo_core::{Audience, Connection, Millis, Notice, Role, SessionId, Tidings};
use ambo_store_dynamodb::DynamoStore;
use ambo_wire::ServerMessage;
use async_trait::async_trait;
use futures_util::stream::{self, StreamExt as _};
use parking_lot::Mutex;

use crate::chain::chain;
use crate::connections::{Connections, IN_FLIGHT, Posted};
use crate::metrics::Metrics;

/// The most members told of anything: the store reads a session's whole list at each page, so it
/// is asked for one page.
const EVERYBODY: usize = 100_000;
/// A younger connection may not be open yet, and seem gone: no handshake takes longer than API
/// Gateway waits for a function.
const SURELY_OPEN: Millis = Millis::from_secs(30);

/// Delivers by the management interface.
pub(crate) struct GatewayOutbox {
    pub(crate) connections: Arc<Connections>,
    pub(crate) store: Arc<dyn Store>,
    /// The same without its wrappers, for what only it can tell.
    pub(crate) rolls: Arc<DynamoStore>,
    pub(crate) metrics: Arc<Metrics>,
    /// Members that turned out to be gone, for whoever walks their departure.
    pub(crate) departed: Mutex<Vec<Connection>>,
}

#[async_trait]
impl Outbox for GatewayOutbox {
    async fn deliver(&self, notice: &Notice, now: Millis) {
        match &notice.audience {
            Audience::Connection(connection) => {
                if let Some(message) = for_one(&notice.tidings) {
                    self.connections.post(connection, &message.encode(now)).await;
                }
            }
            Audience::Listeners(session) | Audience::Everyone(session) => {
                let Some(message) = ServerMessage::of_tidings(&notice.tidings, session) else {
                    return;
                };
                match &notice.tidings {
                    Tidings::Ended { reason, .. } => {
                        self.tell_end(session, *reason, &message.encode(now)).await;
                    }
                    _ => self.tell_listeners(session, &message.encode(now), now).await,
                }
            }
        }
    }
}

impl GatewayOutbox {
    /// Posts a message to a session's listeners. Each is on its own: none waits for another.
    pub(crate) async fn tell_listeners(&self, session: &SessionId, message: &str, now: Millis) {
        let start = Instant::now();
        let page = Page { after: None, limit: EVERYBODY };
        let mut members = self.found(session, self.store.members(session, page).await);
        members.retain(|member| member.role != Role::Speaker);
        let tell = |member: Connection| async move {
            let posted = self.connections.post_among(&member.id, message).await;
            if posted == Posted::Gone && now.since(member.connected_at) >= SURELY_OPEN {
                self.departed.lock().push(member);
            }
        };
        stream::iter(members).for_each_concurrent(IN_FLIGHT, tell).await;
        self.metrics.fanned_out(start.elapsed());
    }

    /// Tells everybody of a session that it is over, and closes their connections.
    async fn tell_end(&self, session: &SessionId, reason: EndReason, message: &str) {
        let start = Instant::now();
        let members = self.found(session, self.rolls.to_be_told(session).await);
        tracing::info!(
            component = "session",
            operation = "end",
            correlationId = %session,
            reason = reason.as_str(),
            members = members.len(),
            "ended"
        );
        let tell = |member: Connection| async move {
            // One that cannot be reached cannot be closed either; its next word is answered with
            // CONNECTION_NOT_FOUND.
            if self.connections.post_among(&member.id, message).await == Posted::Delivered {
                self.connections.delete(&member.id).await;
            }
        };
        stream::iter(members).for_each_concurrent(IN_FLIGHT, tell).await;
        self.metrics.fanned_out(start.elapsed());
    }

    /// Those found; nobody when the store fails, which the sweep makes good where it must be.
    fn found(
        &self,
        session: &SessionId,
        members: Result<Vec<Connection>, StoreFault>,
    ) -> Vec<Connection> {
        members.unwrap_or_else(|fault| {
            tracing::error!(
                component = "outbox",
                operation = "members",
                correlationId = %session,
                error = chain(&fault),
                "the members of a session were not told"
            );
            Vec::new()
        })
    }
}

/// What one connection is told by itself. One that was superseded hears nothing of it, and is left
/// to its client and to API Gateway's own limits: to close it would cut off what its client still
/// reads.
fn for_one(tidings: &Tidings) -> Option<ServerMessage> {
    match tidings {
        // The session is named in the tidings themselves.
        Tidings::RefreshRequired(required) => ServerMessage::of_tidings(tidings, &required.session),
        Tidings::Warning { remaining_minutes } => Some(ServerMessage::ConnectionWarning {
            message: notice::warning_message(*remaining_minutes),
            remaining_minutes: *remaining_minutes,
        }),
        Tidings::Broadcast { .. } | Tidings::Ended { .. } | Tidings::Superseded => None,
    }
}
