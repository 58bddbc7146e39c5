//! What DynamoDB's errors mean for whoever asked.

use std::error::Error;

use ambo_app::ports::StoreFault;
use ambo_core::Millis;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

/// How long somebody waits whom DynamoDB turned away at every attempt.
const THROTTLED: Millis = Millis::from_secs(1);

/// The fault behind an error that was tried again as often as is sensible.
pub(crate) fn fault<E>(error: SdkError<E>) -> StoreFault
where
    E: Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    match &error {
        SdkError::ServiceError(service) => match service.err().code() {
            Some(
                "ProvisionedThroughputExceededException"
                | "ThrottlingException"
                | "RequestLimitExceeded",
            ) => StoreFault::unavailable(THROTTLED, error),
            Some("TransactionConflictException" | "TransactionInProgressException") => {
                StoreFault::transient(error)
            }
            _ if service.raw().status().is_server_error() => StoreFault::transient(error),
            _ => StoreFault::broken(error),
        },
        SdkError::ConstructionFailure(_) => StoreFault::broken(error),
        // No answer, or one that was cut off.
        _ => StoreFault::transient(error),
    }
}
