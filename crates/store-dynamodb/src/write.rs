//! One guarded write, alone or in a transaction with others.

use std::collections::HashMap;

use ambo_app::ports::StoreFault;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{BuildError, ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeValue, ConditionCheck, Delete, Put, ReturnValue, TransactWriteItem, Update,
};

use crate::Tables;
use crate::fault::{LATER, fault};
use crate::retry::{failure, is_passing};
use crate::rows::{Item, text};

/// Which table a row is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    Sessions,
    Connections,
}

impl Table {
    pub(crate) fn name(self, tables: &Tables) -> &str {
        match self {
            Self::Sessions => &tables.sessions,
            Self::Connections => &tables.connections,
        }
    }

    pub(crate) const fn key(self) -> &'static str {
        match self {
            Self::Sessions => "sessionId",
            Self::Connections => "connectionId",
        }
    }
}

/// What is done to one row if its condition holds.
///
/// Expressions are written with `#attribute` for every attribute, and the names behind them are
/// found by reading the expression: so no word that DynamoDB reserves can stand in one by itself.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    table: Table,
    act: Act,
    condition: String,
    values: HashMap<String, AttributeValue>,
}

#[derive(Clone, Debug)]
enum Act {
    Put(Item),
    Update { key: Item, expression: String },
    Delete { key: Item },
    Check { key: Item },
}

/// What became of writes.
pub(crate) enum Written {
    /// They were made. A single update gives the row as it is now.
    Yes(Option<Item>),
    /// Some condition did not hold, and nothing was written.
    Refused,
}

impl Write {
    /// A row where there is none with its key.
    pub(crate) fn put(table: Table, item: Item) -> Self {
        let condition = format!("attribute_not_exists(#{})", table.key());
        Self::of(table, Act::Put(item)).when(condition)
    }

    /// A change of a row.
    pub(crate) fn update(table: Table, key: &str, expression: impl Into<String>) -> Self {
        let expression = expression.into();
        Self::of(table, Act::Update { key: key_of(table, key), expression })
    }

    /// The end of a row.
    pub(crate) fn delete(table: Table, key: &str) -> Self {
        Self::of(table, Act::Delete { key: key_of(table, key) })
    }

    /// No change, but a condition for those beside it.
    pub(crate) fn check(table: Table, key: &str) -> Self {
        Self::of(table, Act::Check { key: key_of(table, key) })
    }

    fn of(table: Table, act: Act) -> Self {
        Self { table, act, condition: String::new(), values: HashMap::new() }
    }

    /// What must hold, beside what was said already.
    pub(crate) fn when(mut self, condition: impl AsRef<str>) -> Self {
        if !self.condition.is_empty() {
            self.condition.push_str(" AND ");
        }
        self.condition.push_str(condition.as_ref());
        self
    }

    /// The value behind a `:name` of the expressions.
    pub(crate) fn with(mut self, name: &str, value: AttributeValue) -> Self {
        self.values.insert(name.into(), value);
        self
    }

    fn into_part(self, tables: &Tables) -> Result<TransactWriteItem, BuildError> {
        let Self { table, act, condition, values } = self;
        let table = table.name(tables);
        let condition = Some(condition).filter(|condition| !condition.is_empty());
        let values = Some(values).filter(|values| !values.is_empty());
        let names = names([condition.as_deref(), act.expression()]);
        let part = TransactWriteItem::builder();
        let part = match act {
            Act::Put(item) => part.put(
                Put::builder()
                    .table_name(table)
                    .set_item(Some(item))
                    .set_condition_expression(condition)
                    .set_expression_attribute_names(names)
                    .set_expression_attribute_values(values)
                    .build()?,
            ),
            Act::Update { key, expression } => part.update(
                Update::builder()
                    .table_name(table)
                    .set_key(Some(key))
                    .update_expression(expression)
                    .set_condition_expression(condition)
                    .set_expression_attribute_names(names)
                    .set_expression_attribute_values(values)
                    .build()?,
            ),
            Act::Delete { key } => part.delete(
                Delete::builder()
                    .table_name(table)
                    .set_key(Some(key))
                    .set_condition_expression(condition)
                    .set_expression_attribute_names(names)
                    .set_expression_attribute_values(values)
                    .build()?,
            ),
            Act::Check { key } => part.condition_check(
                ConditionCheck::builder()
                    .table_name(table)
                    .set_key(Some(key))
                    .set_condition_expression(condition)
                    .set_expression_attribute_names(names)
                    .set_expression_attribute_values(values)
                    .build()?,
            ),
        };
        Ok(part.build())
    }
}

impl Act {
    fn expression(&self) -> Option<&str> {
        match self {
            Self::Update { expression, .. } => Some(expression),
            Self::Put(_) | Self::Delete { .. } | Self::Check { .. } => None,
        }
    }

    fn into_key(self) -> Item {
        match self {
            Self::Put(item) => item,
            Self::Update { key, .. } | Self::Delete { key } | Self::Check { key } => key,
        }
    }
}

/// Makes all writes or none. A single update costs half of what it would in a transaction.
pub(crate) async fn write(
    client: &Client,
    tables: &Tables,
    writes: Vec<Write>,
) -> Result<Written, StoreFault> {
    if let [Write { act: Act::Update { key, expression }, table, condition, values }] =
        writes.as_slice()
    {
        let request = client
            .update_item()
            .table_name(table.name(tables))
            .set_key(Some(key.clone()))
            .update_expression(expression)
            .condition_expression(condition)
            .set_expression_attribute_names(names([Some(condition.as_str()), Some(expression)]))
            .set_expression_attribute_values(Some(values.clone()))
            .return_values(ReturnValue::AllNew);
        return match request.send().await {
            Ok(done) => Ok(Written::Yes(done.attributes)),
            Err(error) if is_refused(&error) => Ok(Written::Refused),
            Err(error) => Err(fault(error)),
        };
    }
    let parts = writes.into_iter().map(|write| write.into_part(tables));
    let parts = parts.collect::<Result<Vec<_>, _>>().map_err(StoreFault::broken)?;
    // The SDK draws the idempotency token, once for all attempts.
    match client.transact_write_items().set_transact_items(Some(parts)).send().await {
        Ok(_) => Ok(Written::Yes(None)),
        Err(error) => refused_or_fault(error),
    }
}

/// Removes one row by itself; whether it was there as the condition has it.
pub(crate) async fn delete(
    client: &Client,
    tables: &Tables,
    write: Write,
) -> Result<bool, StoreFault> {
    let Write { table, act, condition, values } = write;
    let request = client
        .delete_item()
        .table_name(table.name(tables))
        .set_key(Some(act.into_key()))
        .set_expression_attribute_names(names([Some(condition.as_str())]))
        .condition_expression(condition)
        .set_expression_attribute_values(Some(values));
    match request.send().await {
        Ok(_) => Ok(true),
        Err(error) if is_refused(&error) => Ok(false),
        Err(error) => Err(fault(error)),
    }
}

/// Makes the names that expressions speak of by `#name`.
pub(crate) fn names<'a>(
    expressions: impl IntoIterator<Item = Option<&'a str>>,
) -> Option<HashMap<String, String>> {
    let is_part = |c: char| c.is_ascii_alphanumeric();
    let named = |text: &'a str| {
        text.split('#').skip(1).map(move |rest| rest.split(|c| !is_part(c)).next().unwrap_or(rest))
    };
    let names = expressions.into_iter().flatten().flat_map(named);
    let names: HashMap<_, _> = names.map(|name| (format!("#{name}"), name.to_owned())).collect();
    Some(names).filter(|names| !names.is_empty())
}

/// A row's key.
pub(crate) fn key_of(table: Table, key: &str) -> Item {
    Item::from([(table.key().into(), text(key))])
}

fn is_refused<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code);
    code == Some("ConditionalCheckFailedException")
}

fn refused_or_fault(error: SdkError<TransactWriteItemsError>) -> Result<Written, StoreFault> {
    use TransactWriteItemsError::TransactionCanceledException;
    let Some(TransactionCanceledException(canceled)) = error.as_service_error() else {
        return Err(fault(error));
    };
    let codes: Vec<_> = canceled.cancellation_reasons().iter().filter_map(failure).collect();
    if codes.contains(&"ConditionalCheckFailed") {
        return Ok(Written::Refused);
    }
    // What passes has not passed at any attempt.
    Err(if !codes.iter().all(|code| is_passing(code)) {
        StoreFault::broken(error)
    } else if codes.contains(&"TransactionConflict") {
        StoreFault::contended(LATER, error)
    } else {
        StoreFault::unavailable(LATER, error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_with_a_hash() {
        let names = names([Some("SET #a = :b, #languages.#es = :one"), None, Some("(#c)")]);
        let names = names.unwrap();
        for name in ["a", "languages", "es", "c"] {
            assert_eq!(names[&format!("#{name}")], name);
        }
        assert_eq!(names.len(), 4);
        assert_eq!(super::names([Some("nothing")]), None);
    }
}
