//! The names of the store's keys.
//!
//! What must change in one step shares a hash tag, and so a slot: all of a session, and the index
//! of deadlines. Pointers, nodes and buckets stand alone.

use ambo_core::{ConnectionId, LimitKey, SessionId};

use crate::Engine;

/// A session, its members, and those told to refresh, in the order `scripts/prelude.lua` takes.
pub(super) fn session(engine: &Engine, id: &SessionId) -> [String; 3] {
    ["session", "members", "told"].map(|part| engine.key(format_args!("{{{id}}}:{part}")))
}

/// Where a connection is a member.
pub(super) fn pointer(engine: &Engine, id: &ConnectionId) -> String {
    engine.key(format_args!("connection:{}", id.as_str()))
}

/// Sessions by deadline, and by when that was announced.
pub(super) fn deadlines(engine: &Engine) -> [String; 2] {
    ["due", "announced"].map(|part| engine.key(format_args!("{{deadlines}}:{part}")))
}

/// The sessions that a node may hold connections of.
pub(super) fn node(engine: &Engine, node: &str) -> String {
    engine.key(format_args!("node:{node}:sessions"))
}

/// A rate limit's bucket.
pub(super) fn bucket(engine: &Engine, limit: &LimitKey) -> String {
    engine.key(format_args!("limit:{}", limit.to_text()))
}
