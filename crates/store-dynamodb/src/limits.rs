//! Token buckets, each one number in a row: when it will be full again, in microseconds.
//!
//! What a token costs depends on whether the bucket is full, so there are two updates, each with
//! the condition under which it is the right one. The first is for a full bucket, as most are;
//! when it is not, the row that comes back says whether the second is of use. Nothing is read
//! before it is written, and of two that race each takes its own token.

use ambo_app::ports::{Paid, StoreFault};
use ambo_core::rules::Toll;
use ambo_core::{Bucket, Millis, Rate};
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure;

use crate::DynamoStore;
use crate::fault::fault;
use crate::rows::{Item, kept_after, number, number_of, text};
use crate::write::names;

/// Updates tried for one token. A third is needed only when DynamoDB throws the bucket away
/// between the first two.
const TRIES: usize = 4;

/// A row's bucket, as it was when an update did not fit.
enum Taken {
    Yes,
    No(Bucket),
}

impl DynamoStore {
    /// Pays a toll.
    pub(crate) async fn paid(
        &self,
        toll: &Toll,
        rate: Rate,
        now: Millis,
    ) -> Result<Paid, StoreFault> {
        if rate.is_off() {
            return Ok(Paid::Yes);
        }
        match toll {
            Toll::Show(key) => {
                let bucket = self.bucket(&key.to_text()).await?;
                Ok(bucket.take(rate, now).map_or_else(Paid::Wait, |_| Paid::Yes))
            }
            Toll::Take(key) => self.take(&key.to_text(), rate, now).await,
        }
    }

    async fn bucket(&self, identifier: &str) -> Result<Bucket, StoreFault> {
        let request = self.client.get_item().table_name(&self.tables.rate_limits);
        let request = request.key("identifier", text(identifier)).consistent_read(true);
        bucket_of(&request.send().await.map_err(fault)?.item.unwrap_or_default())
    }

    async fn take(&self, identifier: &str, rate: Rate, now: Millis) -> Result<Paid, StoreFault> {
        let mut bucket = Bucket::default();
        for _ in 0..TRIES {
            let taken = if bucket.is_full(now) {
                self.take_of_full(identifier, rate, now).await?
            } else if let Err(wait) = bucket.take(rate, now) {
                return Ok(Paid::Wait(wait));
            } else {
                self.take_of_rest(identifier, rate, now).await?
            };
            match taken {
                Taken::Yes => return Ok(Paid::Yes),
                Taken::No(found) => bucket = found,
            }
        }
        Err(StoreFault::transient("a bucket changed at every attempt"))
    }

    async fn take_of_full(
        &self,
        identifier: &str,
        rate: Rate,
        now: Millis,
    ) -> Result<Taken, StoreFault> {
        let now_micros = now.0.saturating_mul(1_000);
        let set = "SET #fullAt = :after, #expiresAt = :expiresAt";
        let full = "attribute_not_exists(#fullAt) OR #fullAt <= :now";
        let after = now_micros.saturating_add(rate.interval_micros());
        let values = [(":after", after), (":now", now_micros)];
        self.update_bucket(identifier, [set, full], values, empty_until(rate, now)).await
    }

    async fn take_of_rest(
        &self,
        identifier: &str,
        rate: Rate,
        now: Millis,
    ) -> Result<Taken, StoreFault> {
        let now_micros = now.0.saturating_mul(1_000);
        let set = "SET #fullAt = #fullAt + :token, #expiresAt = :expiresAt";
        let rest = "#fullAt > :now AND #fullAt <= :room";
        let token = rate.interval_micros();
        let room = now_micros.saturating_add(rate.span_micros()).saturating_sub(token);
        let values = [(":token", token), (":now", now_micros), (":room", room)];
        self.update_bucket(identifier, [set, rest], values, empty_until(rate, now)).await
    }

    async fn update_bucket<const N: usize>(
        &self,
        identifier: &str,
        [set, condition]: [&str; 2],
        values: [(&str, u64); N],
        until: Millis,
    ) -> Result<Taken, StoreFault> {
        let values = values.into_iter().map(|(name, value)| (name.to_owned(), number(value)));
        let request = self
            .client
            .update_item()
            .table_name(&self.tables.rate_limits)
            .key("identifier", text(identifier))
            .update_expression(set)
            .condition_expression(condition)
            .set_expression_attribute_names(names([Some(set), Some(condition)]))
            .set_expression_attribute_values(Some(values.collect()))
            .expression_attribute_values(":expiresAt", kept_after(until))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let Err(error) = request.send().await else { return Ok(Taken::Yes) };
        match error.as_service_error() {
            Some(UpdateItemError::ConditionalCheckFailedException(failed)) => {
                // No row: it was thrown away just now, as a full bucket may be.
                let bucket = failed.item.as_ref().map(bucket_of).transpose()?;
                Ok(Taken::No(bucket.unwrap_or_default()))
            }
            _ => Err(fault(error)),
        }
    }
}

/// The last moment at which a bucket that was used now is not full.
fn empty_until(rate: Rate, now: Millis) -> Millis {
    now + Millis(rate.span_micros().div_ceil(1_000))
}

fn bucket_of(item: &Item) -> Result<Bucket, StoreFault> {
    Ok(Bucket(number_of(item, "fullAt")?.unwrap_or_default()))
}
