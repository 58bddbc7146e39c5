//! The connections of the WebSocket API, by its management interface.

use std::sync::Arc;
use std::time::Duration;

use ambo_core::ConnectionId;
use backon::{ExponentialBuilder, Retryable as _};

use crate::aws::{Answer, Aws, Call, CallError};
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

/// Posts to connections and closes them.
pub(crate) struct Connections {
    aws: Arc<Aws>,
    /// The stage's address, without a slash at the end.
    endpoint: String,
}

/// An attempt that may be made again.
enum Trouble {
    /// The service was busy or never heard of it.
    Passing(String),
    /// It will not be otherwise the next time.
    Lasting(String),
}

impl Connections {
    pub(crate) fn new(aws: Arc<Aws>, endpoint: String) -> Self {
        Self { aws, endpoint }
    }

    /// Posts a message. What is busy is asked again, a few times.
    pub(crate) async fn post(&self, connection: &ConnectionId, message: &str) -> Posted {
        let attempt = || self.call("POST", connection, message.as_bytes().to_vec());
        self.told(connection, "post", tried(attempt).await)
    }

    /// Closes a connection. The code cannot be chosen: it is 1000.
    pub(crate) async fn delete(&self, connection: &ConnectionId) {
        let attempt = || self.call("DELETE", connection, Vec::new());
        self.told(connection, "delete", tried(attempt).await);
    }

    async fn call(
        &self,
        method: &str,
        connection: &ConnectionId,
        body: Vec<u8>,
    ) -> Result<Posted, Trouble> {
        let id: String = form_urlencoded::byte_serialize(connection.as_str().as_bytes()).collect();
        let url = format!("{}/@connections/{id}", self.endpoint);
        let headers = &[("content-type", "application/octet-stream")];
        let call = Call { service: "execute-api", method, url: &url, headers, body };
        judged(self.aws.send(call).await)
    }

    /// Logs what could not be done.
    fn told(
        &self,
        connection: &ConnectionId,
        operation: &'static str,
        outcome: Result<Posted, Trouble>,
    ) -> Posted {
        outcome.unwrap_or_else(|trouble| {
            let (Trouble::Passing(error) | Trouble::Lasting(error)) = trouble;
            tracing::warn!(
                component = "outbox",
                operation,
                correlationId = hashed(connection),
                error,
                "a connection could not be reached"
            );
            Posted::Failed
        })
    }
}

/// Four attempts within a second at most. API Gateway's limits refill every second; what lasts
/// longer would hold up the function more than it helps one listener.
async fn tried<F>(attempt: impl FnMut() -> F) -> Result<Posted, Trouble>
where
    F: Future<Output = Result<Posted, Trouble>>,
{
    let pauses = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(40))
        .with_max_delay(Duration::from_millis(320))
        .with_max_times(3)
        .with_jitter();
    attempt.retry(pauses).when(|trouble| matches!(trouble, Trouble::Passing(_))).await
}

fn judged(outcome: Result<Answer, CallError>) -> Result<Posted, Trouble> {
    match outcome {
        Ok(Answer { status: 200..=299, .. }) => Ok(Posted::Delivered),
        Ok(Answer { status: 410, .. }) => Ok(Posted::Gone),
        Ok(Answer { status: status @ (429 | 500..), .. }) => {
            Err(Trouble::Passing(format!("status {status}")))
        }
        Ok(Answer { status, .. }) => Err(Trouble::Lasting(format!("status {status}"))),
        Err(error) if error.is_unheard() => Err(Trouble::Passing(chain(&error))),
        // It may have arrived: a second time would be one too many.
        Err(error) => Err(Trouble::Lasting(chain(&error))),
    }
}

/// An error with everything that caused it, on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
