//! Which limits an event must pay, and in which order.

use alloc::vec::Vec;

use super::{Actor, Seen};
use crate::connection::ConnectionId;
use crate::event::{Event, Via};
use crate::limits::{Identity, LimitKey, Operation};
use crate::refusal::Refusal;

/// One limit to be paid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Toll {
    /// One token is taken.
    Take(LimitKey),
    /// There must be one, but it stays.
    Show(LimitKey),
}

/// What an event pays before anything is loaded. A connection attempt has paid for itself
/// already, before its parameters were looked at.
pub fn tolls(event: &Event, via: Via, actor: &Actor<'_>) -> Vec<Toll> {
    match event {
        Event::Create { .. } => {
            Vec::from_iter(actor.user.map(|user| {
                Toll::Take(key(Operation::CreateSession, Identity::User(user.clone())))
            }))
        }
        Event::Join { .. } => joining(actor),
        // A speaker's way back into a session is never barred by what others behind the same
        // address do; it has a token, and the attempt itself was counted.
        Event::RefreshSpeaker { .. } | Event::RefreshListener { .. } => match via {
            Via::Connect | Via::Server => Vec::new(),
            Via::Message => control(actor),
        },
        Event::Control { .. }
        | Event::ChangeLanguage { .. }
        | Event::Status
        | Event::End { .. } => control(actor),
        // A heartbeat's bucket lies in the connection's own row: see the heartbeat rule.
        Event::Heartbeat
        | Event::Disconnect(_)
        | Event::Age
        | Event::Drain { .. }
        | Event::Expire { .. }
        | Event::Close { .. } => Vec::new(),
    }
}

/// What an event pays once it is seen what it amounts to: a refresh that takes over nobody's
/// place is an ordinary join, with all its limits.
pub fn tolls_when_seen(event: &Event, actor: &Actor<'_>, seen: &Seen) -> Vec<Toll> {
    match event {
        Event::RefreshListener { session, token, .. }
            if seen.own.is_none() && seen.replaced(session, token.as_ref()).is_none() =>
        {
            joining(actor)
        }
        _ => Vec::new(),
    }
}

/// What a refused guess at a session id costs.
pub fn is_guess(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::InvalidSessionId { .. } | Refusal::SessionNotFound { .. })
}

fn joining(actor: &Actor<'_>) -> Vec<Toll> {
    let source = || Identity::Source(actor.source);
    Vec::from([
        Toll::Show(key(Operation::RefusedJoin, source())),
        Toll::Take(key(Operation::JoinSession, source())),
    ])
}

fn control(actor: &Actor<'_>) -> Vec<Toll> {
    Vec::from([toll_of_message(actor.connection)])
}

/// What a message costs its connection, understood or not.
pub fn toll_of_message(connection: &ConnectionId) -> Toll {
    Toll::Take(key(Operation::Control, Identity::Connection(connection.clone())))
}

fn key(operation: Operation, identity: Identity) -> LimitKey {
    LimitKey { operation, identity }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixtures::{World, en, es, id};
    use crate::session::QualityTier;

    fn names(tolls: &[Toll]) -> Vec<(&'static str, Operation)> {
        let name = |toll: &Toll| match toll {
            Toll::Take(key) => ("take", key.operation),
            Toll::Show(key) => ("show", key.operation),
        };
        tolls.iter().map(name).collect()
    }

    #[test]
    fn each_event_pays_its_own_limit() {
        let world = World::new();
        let create = Event::Create { source_language: en(), quality: QualityTier::Standard };
        let join = Event::Join { session: id(), target: es() };
        let refresh = world.refresh_event(None);
        use Operation::{Control, CreateSession, JoinSession, RefusedJoin};
        let cases = [
            (&create, Via::Connect, Vec::from([("take", CreateSession)])),
            (&join, Via::Connect, Vec::from([("show", RefusedJoin), ("take", JoinSession)])),
            (&refresh, Via::Connect, Vec::new()),
            (&refresh, Via::Message, Vec::from([("take", Control)])),
            (&Event::Status, Via::Message, Vec::from([("take", Control)])),
            (&Event::End { reason: None }, Via::Message, Vec::from([("take", Control)])),
            (&Event::Heartbeat, Via::Message, Vec::new()),
            (&Event::Age, Via::Server, Vec::new()),
        ];
        for (event, via, expected) in cases {
            assert_eq!(names(&tolls(event, via, &world.ann("c2"))), expected, "{event:?}");
        }
    }

    #[test]
    fn a_refresh_that_takes_over_nobody_pays_as_a_join() {
        let world = World::new();
        let actor = world.anyone("c3");
        let refresh = world.refresh_event(None);
        let paid = names(&tolls_when_seen(&refresh, &actor, &world.seen()));
        assert_eq!(paid, [("show", Operation::RefusedJoin), ("take", Operation::JoinSession)]);
        let mut seen = world.seen();
        seen.told = Some(world.told_listener("c2"));
        assert!(tolls_when_seen(&refresh, &actor, &seen).is_empty());
    }

    #[test]
    fn only_unknown_ids_are_guesses() {
        assert!(is_guess(&Refusal::SessionNotFound { session: id() }));
        assert!(is_guess(&Refusal::InvalidSessionId { given: "x".into() }));
        assert!(!is_guess(&Refusal::SessionFull { session: id(), max_listeners: 1 }));
        assert!(!is_guess(&Refusal::Forbidden));
    }
}
