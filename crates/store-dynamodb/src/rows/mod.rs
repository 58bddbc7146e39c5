//! What a row holds, and how it is read.
//!
//! Times are milliseconds since the epoch, but for the two attributes by which DynamoDB itself
//! throws rows away: `expiresAt` and `ttl` are seconds, and nothing is decided by them.

mod connection;
mod session;

use std::collections::HashMap;

use ambo_app::ports::StoreFault;
use ambo_app::pseudonym;
use ambo_core::{Millis, SessionId};
use aws_sdk_dynamodb::types::AttributeValue;

pub(crate) use connection::{connection_item, parse_connection, secret_of, source_of, ttl_after};
pub(crate) use session::{ACTIVE, ENDED, SessionRow, expiry_after, parse_session, session_item};

/// A row as DynamoDB has it.
pub(crate) type Item = HashMap<String, AttributeValue>;

/// What is kept of something after its time, so that nothing vanishes that somebody looks at.
const KEPT_FOR: Millis = Millis::from_mins(60);

/// A row that is not as this crate writes it.
#[derive(Debug, thiserror::Error)]
#[error("the attribute {0} is missing or unreadable")]
struct Unreadable(&'static str);

impl From<Unreadable> for StoreFault {
    fn from(unreadable: Unreadable) -> Self {
        StoreFault::broken(unreadable)
    }
}

/// What a row among many says. One that cannot be read is passed over, with a warning: it must not
/// hold up the others. Whoever asks for that row alone is told.
pub(crate) fn readable<T>(item: &Item, read: Result<T, StoreFault>) -> Option<T> {
    if let Err(fault) = &read {
        let session = parsed(item, "sessionId", SessionId::parse).ok();
        tracing::warn!(
            component = "store",
            operation = "read",
            correlationId = string_of(item, "connectionId").ok().map(pseudonym::of_connection),
            sessionId = session.as_ref().map(SessionId::as_str),
            error = %fault.source,
            "a row that cannot be read is passed over"
        );
    }
    read.ok()
}

/// A string attribute.
pub(crate) fn text(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

/// A number attribute.
pub(crate) fn number(number: impl ToString) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

/// A moment as milliseconds.
pub(crate) fn millis(moment: Millis) -> AttributeValue {
    number(moment.0)
}

/// When a row may be thrown away that is of use until `moment`, in seconds.
pub(crate) fn kept_after(moment: Millis) -> AttributeValue {
    number((moment + KEPT_FOR).as_secs_ceil())
}

/// A string that must be there.
pub(crate) fn string_of<'a>(item: &'a Item, name: &'static str) -> Result<&'a str, StoreFault> {
    let value = item.get(name).and_then(|value| value.as_s().ok());
    Ok(value.ok_or(Unreadable(name))?)
}

/// A number that may be missing.
pub(crate) fn number_of(item: &Item, name: &'static str) -> Result<Option<u64>, StoreFault> {
    let Some(value) = item.get(name) else { return Ok(None) };
    let number = value.as_n().ok().and_then(|digits| digits.parse().ok());
    Ok(Some(number.ok_or(Unreadable(name))?))
}

/// A moment that must be there.
fn moment_of(item: &Item, name: &'static str) -> Result<Millis, StoreFault> {
    Ok(Millis(number_of(item, name)?.ok_or(Unreadable(name))?))
}

/// A flag, which is not set where it is missing.
fn flag_of(item: &Item, name: &'static str) -> bool {
    item.get(name).and_then(|value| value.as_bool().ok()).copied().unwrap_or_default()
}

/// Sixteen bytes that may be missing.
fn bytes_of(item: &Item, name: &'static str) -> Result<Option<[u8; 16]>, StoreFault> {
    let Some(value) = item.get(name) else { return Ok(None) };
    let bytes = value.as_b().ok().and_then(|bytes| bytes.as_ref().try_into().ok());
    Ok(Some(bytes.ok_or(Unreadable(name))?))
}

/// What a string that must be there means.
fn parsed<T>(
    item: &Item,
    name: &'static str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<T, StoreFault> {
    Ok(parse(string_of(item, name)?).ok_or(Unreadable(name))?)
}
