//! A listener joins.

use super::{Actor, Seen, Terms};
use crate::change::Change;
use crate::connection::{Connection, Role};
use crate::decision::{Decision, Grant, Reply};
use crate::language::Language;
use crate::refusal::Refusal;
use crate::session::Session;
use crate::session_id::SessionId;

pub(super) fn decide(
    session: &SessionId,
    target: Language,
    actor: &Actor<'_>,
    terms: &Terms,
    seen: &Seen,
) -> Result<Decision, Refusal> {
    let session = seen.live(session, actor.stamp.now)?;
    seen.must_be_free_for(&session.id)?;
    must_serve(target, session, terms)?;
    let change = admit(session, target, actor, terms, seen)?;
    let reply = Reply::Joined {
        session: session.id.clone(),
        source_language: session.source_language,
        target,
        connection: actor.connection.clone(),
        state: session.broadcast_state(),
    };
    let grant = hear(session, target, None);
    Ok(Decision {
        change: Some(change),
        reply: Some(reply),
        grant: Some(grant),
        ..Decision::default()
    })
}

/// A new member, if there is a place. A connection that is a member already keeps its own.
pub(super) fn admit(
    session: &Session,
    target: Language,
    actor: &Actor<'_>,
    terms: &Terms,
    seen: &Seen,
) -> Result<Change, Refusal> {
    let max = terms.limits.max_listeners;
    let is_member = seen.own.as_ref().is_some_and(|own| own.session == session.id);
    if !is_member && max != 0 && session.listeners >= max {
        return Err(Refusal::SessionFull { session: session.id.clone(), max_listeners: max });
    }
    let now = actor.stamp.now;
    let role = Role::Listener { target };
    let connection =
        Connection::new(actor.connection.clone(), session.id.clone(), role, actor.source, now);
    Ok(Change::Admit { connection, max: if max == 0 { u32::MAX } else { max }, now })
}

/// The refusal of a language that is not served in this session.
pub(super) fn must_serve(
    target: Language,
    session: &Session,
    terms: &Terms,
) -> Result<(), Refusal> {
    if terms.languages.has_target(target, session.source_language) {
        return Ok(());
    }
    Err(Refusal::UnsupportedLanguage { language: target, session: session.id.clone() })
}

/// What a listener of this session may do with audio.
pub(super) fn hear(session: &Session, target: Language, after: Option<u32>) -> Grant {
    Grant::Hear {
        session: session.id.clone(),
        floor: session.source_language,
        target,
        after,
        state: session.broadcast_state(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixtures::{World, es, id};

    fn join(world: &World, target: Language, seen: &Seen) -> Result<Decision, Refusal> {
        decide(&id(), target, &world.anyone("c2"), &world.terms, seen)
    }

    #[test]
    fn a_listener_is_admitted_where_there_is_a_place() {
        let world = World::new();
        let decision = join(&world, es(), &world.seen()).unwrap();
        let Some(Change::Admit { connection, max, now }) = decision.change else { panic!() };
        assert_eq!((max, now), (500, world.now()));
        assert_eq!(connection.role, Role::Listener { target: es() });
        assert!(matches!(decision.reply, Some(Reply::Joined { target, .. }) if target == es()));
        assert!(matches!(decision.grant, Some(Grant::Hear { after: None, .. })));
    }

    #[test]
    fn refusals_come_in_their_order() {
        let zz = Language::parse("zz").unwrap();
        let gone = Refusal::SessionNotFound { session: id() };
        let unserved = Refusal::UnsupportedLanguage { language: zz, session: id() };
        let full = Refusal::SessionFull { session: id(), max_listeners: 500 };
        let world = World::new();
        let mut full_seen = world.seen();
        full_seen.session.as_mut().unwrap().listeners = 500;
        let mut expired = full_seen.clone();
        expired.session.as_mut().unwrap().expires_at = world.now();
        let cases = [
            ("no session", Seen::default(), zz, &gone),
            ("expired, full, unserved", expired, zz, &gone),
            ("full and unserved", full_seen.clone(), zz, &unserved),
            ("full", full_seen, es(), &full),
        ];
        for (name, seen, target, expected) in cases {
            assert_eq!(join(&world, target, &seen).as_ref(), Err(expected), "{name}");
        }
    }

    #[test]
    fn a_member_is_not_refused_its_own_place() {
        let world = World::new();
        let mut seen = world.seen();
        seen.session.as_mut().unwrap().listeners = 500;
        seen.own = Some(world.listener("c2"));
        assert!(join(&world, es(), &seen).is_ok());
    }

    #[test]
    fn a_member_of_something_else_does_not_join() {
        let world = World::new();
        let other = SessionId::parse("gentle-river-100").unwrap();
        let elsewhere = Connection { session: other, ..world.listener("c2") };
        for own in [elsewhere, world.speaker("c2")] {
            let seen = Seen { own: Some(own), ..world.seen() };
            assert_eq!(join(&world, es(), &seen), Err(Refusal::Forbidden));
        }
    }

    #[test]
    fn no_maximum_is_no_maximum() {
        let mut world = World::new();
        world.terms.limits.max_listeners = 0;
        let mut seen = world.seen();
        seen.session.as_mut().unwrap().listeners = 1_000_000;
        let decision = join(&world, es(), &seen).unwrap();
        assert!(matches!(decision.change, Some(Change::Admit { max: u32::MAX, .. })));
    }
}
