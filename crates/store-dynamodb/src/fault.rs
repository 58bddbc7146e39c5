//! What DynamoDB's errors mean for whoever asked.

use std::error::Error;

use ambo_app::ports::StoreFault;
use ambo_core::Millis;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

/// How long somebody waits for whom no attempt was good.
pub(crate) const LATER: Millis = Millis::from_secs(1);

/// The fault behind an error that was tried again as often as is sensible. So none of them is
/// transient: whoever tries again at once does what was done a dozen times.
pub(crate) fn fault<E>(error: SdkError<E>) -> StoreFault
where
    E: Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    match &error {
        SdkError::ServiceError(service) => match service.err().code() {
            Some("TransactionConflictException") => StoreFault::contended(LATER, error),
            Some(
                "ProvisionedThroughputExceededException"
                | "ThrottlingException"
                | "RequestLimitExceeded"
                | "TransactionInProgressException",
            ) => StoreFault::unavailable(LATER, error),
            _ if service.raw().status().is_server_error() => StoreFault::unavailable(LATER, error),
            _ => StoreFault::broken(error),
        },
        SdkError::ConstructionFailure(_) => StoreFault::broken(error),
        // No answer, or one that was cut off.
        _ => StoreFault::unavailable(LATER, error),
    }
}
