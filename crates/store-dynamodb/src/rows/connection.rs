//! A connection's row.

use ambo_app::ports::StoreFault;
use ambo_core::{
    Bucket, Connection, ConnectionId, Language, Millis, Role, Secret, SessionId, SourceAddress,
};
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;

use super::{
    Item, Unreadable, bytes_of, flag_of, kept_after, millis, moment_of, number, number_of, parsed,
    text,
};
use crate::clock;

/// How long a silent connection's row is of use at most. API Gateway keeps no connection longer
/// than two hours, and the sweep drops silent ones long before.
const LONGEST: Millis = Millis::from_mins(120);

/// The row of a connection that becomes a member.
pub(crate) fn connection_item(connection: &Connection) -> Item {
    let mut item = Item::from([
        ("connectionId".into(), text(connection.id.as_str())),
        ("sessionId".into(), text(connection.session.as_str())),
        ("role".into(), text(connection.role.as_str())),
        ("sourceAddress".into(), source_of(connection.source)),
        ("joinedAt".into(), millis(connection.joined_at)),
        ("connectedAt".into(), millis(connection.connected_at)),
        ("seenAt".into(), millis(connection.seen_at)),
        ("heartbeatsFullAt".into(), number(connection.beats.0)),
        ("ttl".into(), ttl_after(connection.seen_at)),
    ]);
    // A speaker has no target language, and so does not stand in the index.
    if let Some(target) = connection.role.target() {
        item.insert("targetLanguage".into(), text(target.as_str()));
    }
    if let Some(secret) = &connection.told {
        item.insert("refreshSecret".into(), secret_of(secret));
        item.insert("toldAt".into(), number(clock::micros()));
    }
    if connection.warned {
        item.insert("isWarned".into(), AttributeValue::Bool(true));
    }
    item
}

/// When DynamoDB may throw a connection away that was last heard of at this moment.
pub(crate) fn ttl_after(seen_at: Millis) -> AttributeValue {
    kept_after(seen_at + LONGEST)
}

/// A source address as an attribute.
pub(crate) fn source_of(source: SourceAddress) -> AttributeValue {
    AttributeValue::B(Blob::new(source.as_bytes()))
}

/// A secret as an attribute.
pub(crate) fn secret_of(secret: &Secret) -> AttributeValue {
    AttributeValue::B(Blob::new(secret.0))
}

/// Reads a connection's row.
pub(crate) fn parse_connection(item: &Item) -> Result<Connection, StoreFault> {
    let role = match item.contains_key("targetLanguage") {
        true => Role::Listener { target: parsed(item, "targetLanguage", Language::parse)? },
        false => Role::Speaker,
    };
    let source = bytes_of(item, "sourceAddress")?.ok_or(Unreadable("sourceAddress"))?;
    let beats = number_of(item, "heartbeatsFullAt")?.ok_or(Unreadable("heartbeatsFullAt"))?;
    Ok(Connection {
        id: parsed(item, "connectionId", ConnectionId::parse)?,
        session: parsed(item, "sessionId", SessionId::parse)?,
        role,
        source: SourceAddress::from_bytes(source),
        joined_at: moment_of(item, "joinedAt")?,
        connected_at: moment_of(item, "connectedAt")?,
        seen_at: moment_of(item, "seenAt")?,
        beats: Bucket(beats),
        told: bytes_of(item, "refreshSecret")?.map(Secret),
        warned: flag_of(item, "isWarned"),
    })
}
