//! A listener changes to another language.

use super::join::{hear, must_serve};
use super::{Actor, Seen, Terms};
use crate::change::Change;
use crate::connection::Role;
use crate::decision::{Decision, Reply};
use crate::language::Language;
use crate::refusal::Refusal;
use crate::session_id::SessionId;

/// The member, its age and the count stay.
pub(super) fn decide(
    believed: Option<&SessionId>,
    target: Language,
    actor: &Actor<'_>,
    terms: &Terms,
    seen: &Seen,
) -> Result<Decision, Refusal> {
    let own = seen.own()?;
    if own.role == Role::Speaker {
        return Err(Refusal::Forbidden);
    }
    if believed.is_some_and(|believed| *believed != own.session) {
        let expected = "the session of this connection";
        return Err(Refusal::InvalidParameters { field: "sessionId", expected });
    }
    let session = seen.live(&own.session, actor.stamp.now)?;
    must_serve(target, session, terms)?;
    let is_new = own.role.target() != Some(target);
    let change = is_new.then(|| Change::Retune {
        connection: own.id.clone(),
        session: session.id.clone(),
        target,
    });
    let source_language = session.source_language;
    Ok(Decision {
        change,
        reply: Some(Reply::LanguageChanged {
            session: session.id.clone(),
            target,
            source_language,
        }),
        grant: Some(hear(session, target, None)),
        ..Decision::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixtures::{World, en, es, id};

    fn retune(
        world: &World,
        believed: Option<SessionId>,
        target: Language,
        seen: &Seen,
    ) -> Result<Decision, Refusal> {
        decide(believed.as_ref(), target, &world.anyone("c2"), &world.terms, seen)
    }

    #[test]
    fn a_listener_changes_its_language_and_nothing_else() {
        let world = World::new();
        let decision = retune(&world, Some(id()), en(), &world.seen_by_listener()).unwrap();
        assert!(matches!(decision.change, Some(Change::Retune { target, .. }) if target == en()));
        let same = retune(&world, None, es(), &world.seen_by_listener()).unwrap();
        assert_eq!(same.change, None);
        assert!(matches!(same.reply, Some(Reply::LanguageChanged { .. })));
    }

    #[test]
    fn refusals() {
        let world = World::new();
        let zz = Language::parse("zz").unwrap();
        let other = SessionId::parse("gentle-river-100");
        let unserved = Refusal::UnsupportedLanguage { language: zz, session: id() };
        let ended = Seen { session: None, ..world.seen_by_listener() };
        let cases = [
            (None, zz, world.seen_by_listener(), unserved),
            (None, en(), world.seen_by_speaker(), Refusal::Forbidden),
            (None, en(), world.seen(), Refusal::ConnectionNotFound),
            (None, en(), ended, Refusal::SessionNotFound { session: id() }),
        ];
        for (believed, target, seen, expected) in cases {
            assert_eq!(retune(&world, believed, target, &seen), Err(expected));
        }
        let refused = retune(&world, other, en(), &world.seen_by_listener());
        let field = "sessionId";
        assert!(matches!(refused, Err(Refusal::InvalidParameters { field: f, .. }) if f == field));
    }
}
