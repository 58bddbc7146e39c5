//! The connections of the WebSocket API, by its management interface.

use std::sync::Arc;
use std::time::Duration;

use ambo_core::ConnectionId;
use tokio::sync::Semaphore;

use crate::aws::{Aws, Call};
use crate::logging::hashed;

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Posted {
    /// API Gateway took it.
    Delivered,
    /// The connection is gone, or not open yet.
    Gone,
    /// It could not be delivered; that is logged.
    Failed,
}

/// Calls under way at once, whoever makes them. At 20 ms each, 500 listeners are told in a tenth of
/// a second, and one that takes long takes up one of these. A sweep that ends a hundred sessions
/// tells them all together, and a process may have a thousand sockets.
pub(crate) const IN_FLIGHT: usize = 100;
/// How long a post may take, which is 20 ms as a rule, when somebody waits for this one alone: with
/// the store's part, less than a function may take.
pub(crate) const ALONE: Duration = Duration::from_secs(5);
/// The same when others wait: one that hangs must not hold up the function. A hundred that open
/// their connections together need up to half a second for that on a small function.
const AMONG_MANY: Duration = Duration::from_millis(1_500);

/// Posts to connections and closes them.
pub(crate) struct Connections {
    aws: Arc<Aws>,
    /// The stage's address, without a slash at the end.
    endpoint: String,
    in_flight: Semaphore,
}

impl Connections {
    pub(crate) fn new(aws: Arc<Aws>, endpoint: String) -> Self {
        Self { aws, endpoint, in_flight: Semaphore::new(IN_FLIGHT) }
    }

    /// Posts a message that somebody waits for.
    pub(crate) async fn post(&self, connection: &ConnectionId, message: &str) -> Posted {
        self.call("POST", connection, message.as_bytes(), ALONE).await
    }

    /// Posts a message to one of many.
    pub(crate) async fn post_among(&self, connection: &ConnectionId, message: &str) -> Posted {
        self.call("POST", connection, message.as_bytes(), AMONG_MANY).await
    }

    /// Closes a connection. The code cannot be chosen: it is 1000.
    pub(crate) async fn delete(&self, connection: &ConnectionId) {
        self.call("DELETE", connection, &[], AMONG_MANY).await;
    }

    async fn call(
        &self,
        method: &str,
        connection: &ConnectionId,
        body: &[u8],
        limit: Duration,
    ) -> Posted {
        let id: String = form_urlencoded::byte_serialize(connection.as_str().as_bytes()).collect();
        let url = format!("{}/@connections/{id}", self.endpoint);
        let headers = &[("content-type", "application/octet-stream")];
        let call = Call { service: "execute-api", method, url: &url, headers, body, limit };
        // It is never closed.
        let _turn = self.in_flight.acquire().await;
        let error = match self.aws.insist(call).await {
            Ok(200..=299) => return Posted::Delivered,
            Ok(410) => return Posted::Gone,
            Ok(status) => format!("status {status}"),
            Err(error) => error,
        };
        tracing::warn!(
            component = "outbox",
            operation = if method == "POST" { "post" } else { "delete" },
            correlationId = hashed(connection),
            error,
            "a connection could not be reached"
        );
        Posted::Failed
    }
}
