//! What is tried again, how often and when. The SDK does it, and keeps a transaction's
//! idempotency token over all attempts; this says what it does not know by itself.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::BehaviorVersion;
use aws_sdk_dynamodb::config::interceptors::InterceptorContext;
use aws_sdk_dynamodb::config::retry::{
    ClassifyRetry, RetryAction, RetryConfig, RetryPartition, TokenBucket,
};
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::CancellationReason;

/// Attempts at one request. With the pauses below they take 1.5 s on average: a hundred that want
/// one row at the same moment are through by then, and a client waits no longer for a join.
const ATTEMPTS: u32 = 12;
/// The longest pause before the second attempt; each is drawn from nothing to twice the one
/// before, so that rivals for one row spread out. A transaction takes about this long.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// The longest pause before any attempt.
const LONGEST_PAUSE: Duration = Duration::from_millis(300);

/// The same client, trying again as this store needs it.
pub(crate) fn persistent(client: &Client) -> Client {
    let retries = RetryConfig::standard()
        .with_max_attempts(ATTEMPTS)
        .with_initial_backoff(FIRST_PAUSE)
        .with_max_backoff(LONGEST_PAUSE);
    // The SDK's quota of retries is shared by all that a process does. Conflicts on one busy row
    // would use it up and fail everybody else; the circuit breaker above knows operations apart.
    let quota = RetryPartition::custom("ambo").token_bucket(TokenBucket::unlimited()).build();
    let config = client.config().to_builder();
    let config = config.behavior_version(BehaviorVersion::latest());
    let config = config.retry_config(retries).retry_partition(quota).retry_classifier(Conflicts);
    Client::from_conf(config.build())
}

/// Another transaction holds the row, or the table is short of capacity: both pass.
#[derive(Debug)]
struct Conflicts;

impl ClassifyRetry for Conflicts {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let Some(Err(error)) = context.output_or_error() else {
            return RetryAction::NoActionIndicated;
        };
        let Some(error) = error.as_operation_error() else { return RetryAction::NoActionIndicated };
        let is_passing = if let Some(error) = error.downcast_ref::<TransactWriteItemsError>() {
            is_passing_transaction(error)
        } else if let Some(error) = error.downcast_ref::<UpdateItemError>() {
            matches!(error, UpdateItemError::TransactionConflictException(_))
        } else if let Some(error) = error.downcast_ref::<DeleteItemError>() {
            matches!(error, DeleteItemError::TransactionConflictException(_))
        } else {
            false
        };
        // As a throttled request, whose pauses are those above.
        if is_passing { RetryAction::throttling_error() } else { RetryAction::NoActionIndicated }
    }

    fn name(&self) -> &'static str {
        "Transaction conflicts"
    }
}

fn is_passing_transaction(error: &TransactWriteItemsError) -> bool {
    match error {
        TransactWriteItemsError::TransactionCanceledException(canceled) => {
            let codes: Vec<_> =
                canceled.cancellation_reasons().iter().filter_map(failure).collect();
            !codes.is_empty() && codes.into_iter().all(is_passing)
        }
        // An attempt whose answer was lost is still under way.
        TransactWriteItemsError::TransactionInProgressException(_) => true,
        _ => false,
    }
}

/// Why one part of a transaction failed, if it did.
pub(crate) fn failure(reason: &CancellationReason) -> Option<&str> {
    reason.code().filter(|code| *code != "None")
}

pub(crate) fn is_passing(code: &str) -> bool {
    matches!(code, "TransactionConflict" | "ThrottlingError" | "ProvisionedThroughputExceeded")
}
