//! A sign of life or of age.

use ambo_core::{Bucket, Change, Connection, ConnectionId, Millis, Secret, SessionId};
use aws_sdk_dynamodb::types::AttributeValue;

use super::Plan;
use crate::clock;
use crate::look::Look;
use crate::rows::{ACTIVE, expiry_after, millis, number, secret_of, text, ttl_after};
use crate::write::{Table, Write};

/// The change.
struct Touch<'a> {
    connection: &'a ConnectionId,
    was_seen: Millis,
    seen_at: Millis,
    beats: Bucket,
    told: Option<Secret>,
    warned: bool,
    extend: Option<(&'a SessionId, Millis)>,
}

pub(super) fn blind(change: &Change) -> Plan {
    let Some(touch) = Touch::of(change) else { return Plan::STALE };
    let mut writes = vec![touch.note()];
    if let Some((session, until)) = touch.extend {
        writes = vec![touch.note_in(session), extend(session, until)];
    }
    Plan::Write(writes)
}

pub(super) fn sighted(change: &Change, look: &Look) -> Plan {
    let Some(touch) = Touch::of(change) else { return Plan::STALE };
    let Some(row) = look.member(touch.connection) else { return Plan::STALE };
    let is_repetition = touch.is_noted(row);
    if !is_repetition && !touch.fits(row) {
        return Plan::STALE;
    }
    let mut writes = Vec::new();
    if !is_repetition {
        writes.push(touch.note_in(&row.session));
    }
    let session = look.session(&row.session);
    if let Some((extended, until)) = touch.extend
        && let Some(session) = session.filter(|session| session.id == *extended)
        && session.expires_at < until
    {
        writes.push(extend(extended, until));
    }
    if writes.is_empty() { Plan::DONE } else { Plan::Write(writes) }
}

impl<'a> Touch<'a> {
    fn of(change: &'a Change) -> Option<Self> {
        let Change::Touch { connection, was_seen, seen_at, beats, told, warned, extend } = change
        else {
            return None;
        };
        Some(Self {
            connection,
            was_seen: *was_seen,
            seen_at: *seen_at,
            beats: *beats,
            told: *told,
            warned: *warned,
            extend: extend.as_ref().map(|(session, until)| (session, *until)),
        })
    }

    /// Whether the row is as this change leaves it.
    fn is_noted(&self, row: &Connection) -> bool {
        row.seen_at == self.seen_at
            && row.beats == self.beats
            && (self.told.is_none() || row.told == self.told)
            && (!self.warned || row.warned)
    }

    /// Whether the row is as the rule saw it.
    fn fits(&self, row: &Connection) -> bool {
        row.seen_at == self.was_seen
            && (self.told.is_none() || row.told.is_none())
            && (!self.warned || !row.warned)
    }

    fn note_in(&self, session: &SessionId) -> Write {
        self.note().when("#sessionId = :session").with(":session", text(session.as_str()))
    }

    fn note(&self) -> Write {
        let mut set =
            String::from("SET #seenAt = :seenAt, #heartbeatsFullAt = :heartbeats, #ttl = :ttl");
        let mut condition = String::from("#seenAt = :wasSeen");
        if self.told.is_some() {
            set += ", #refreshSecret = :secret, #toldAt = :toldAt";
            condition += " AND attribute_not_exists(#refreshSecret)";
        }
        if self.warned {
            set += ", #isWarned = :true";
            condition += " AND attribute_not_exists(#isWarned)";
        }
        let mut write = Write::update(Table::Connections, self.connection.as_str(), set)
            .when(condition)
            .with(":wasSeen", millis(self.was_seen))
            .with(":seenAt", millis(self.seen_at))
            .with(":heartbeats", number(self.beats.0))
            .with(":ttl", ttl_after(self.seen_at));
        if let Some(secret) = &self.told {
            write = write.with(":secret", secret_of(secret));
            write = write.with(":toldAt", number(clock::micros()));
        }
        if self.warned { write.with(":true", AttributeValue::Bool(true)) } else { write }
    }
}

/// A speaker's sign of life extends its session, and never shortens it.
fn extend(session: &SessionId, until: Millis) -> Write {
    let set = "SET #endsAt = :endsAt, #expiresAt = :expiresAt";
    Write::update(Table::Sessions, session.as_str(), set)
        .when("#status = :active AND #endsAt < :endsAt")
        .with(":active", text(ACTIVE))
        .with(":endsAt", millis(until))
        .with(":expiresAt", expiry_after(until))
}
